"""What patching is made of: runs, the cells that are swapped between them, and what is read of a patched run.

The *receiver* is the run that is patched, the *donor* the run that vectors are taken from: to denoise, a corrupted run
receives from a clean one; to noise, the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int

from interp.errors import InputError
from interp.models.hooked_model import HookedModel
from interp.models.logit_readings import sums_of_products
from interp.models.output_path import output_logits

LOGIT_VALUES = 2**24
"""So many logits, rows times vocabulary, are computed at once."""

PASS_TOKENS = {"cpu": 75.0, "mps": 1_000.0, "cuda": 20_000.0}
"""How many tokens through all blocks take as long as what every pass costs besides: reading the weights, and Python.
Measured with SmolLM2 on a CPU (110 ms a pass, 1.5 ms a token in float32) and an H200 (37 ms a pass, 2.1 µs a token in
bfloat16, 7.5 in float32), estimated for MPS."""


class Target(NamedTuple):
    """A token whose logit is read."""

    place: int
    """Where it is read: at the token before it."""
    token: int


@dataclass(frozen=True)
class Run:
    """What is fed to a model, and what is read of its output."""

    tokens: tuple[int, ...]
    targets: tuple[Target, ...]

    @property
    def places(self) -> tuple[int, ...]:
        """Where the output is read, each place once, ascending."""
        return tuple(sorted({target.place for target in self.targets}))

    @property
    def shape(self) -> tuple[int, int]:
        """At how many places the output is read, and for how many targets: what runs that are read together share."""
        return len(self.places), len(self.targets)


class Unit(NamedTuple):
    """What one row of a sweep patches: a site in consecutive layers, the whole of it or one head."""

    first: int
    last: int
    head: int | None = None


def units_of(layers: Sequence[int], *, n_layers: int, window: int = 1, n_heads: int | None = None) -> list[Unit]:
    """The rows of a sweep, by layer, and within a layer by head if there are any.

    Parameters
    ----------
    layers
        The layers at which windows are centred, ascending.
    n_layers
        Of the model.
    window
        How many layers are patched together, as in Meng et al. 2022 (arXiv 2202.05262, appendix B.1); at the ends of
        the model fewer. What many layers restore together, none of them need restore alone.
    n_heads
        Patch each of so many heads on its own; None patches the site whole.

    Raises
    ------
    InputError
        If the model has no such layer.
    """
    absent = next((layer for layer in layers if not 0 <= layer < n_layers), None)
    if absent is not None:
        raise InputError(f"this model has no layer {absent}; its layers are 0 to {n_layers - 1}")
    heads: Sequence[int | None] = [None] if n_heads is None else range(n_heads)
    before, after = window // 2, (window - 1) // 2
    spans = [(max(layer - before, 0), min(layer + after, n_layers - 1)) for layer in layers]
    return [Unit(first, last, head) for first, last in spans for head in heads]


def pass_tokens(model: HookedModel) -> float:
    """What a pass over a model costs besides its tokens, in tokens through all blocks."""
    return PASS_TOKENS.get(torch.device(model.cfg.device).type, PASS_TOKENS["cpu"])


@dataclass(frozen=True)
class Job:
    """One column of a sweep: a receiver, the token at which it is patched, and what it is given there."""

    receiver: int
    """Which of the receivers."""
    place: int
    donor: Float[torch.Tensor, "layer width"]
    """The site at the donor's token, in every layer of the model."""


class Readings(NamedTuple):
    """What is read of patched runs."""

    logit: Float[torch.Tensor, "row target"]
    logprob: Float[torch.Tensor, "row target"]
    kl: Float[torch.Tensor, " row"]
    """Of the reference's distribution from the run's, at the first place that is read, in nats."""


def readings_of(
    model: HookedModel,
    stream: Float[torch.Tensor, "row place d_model"],
    runs: Sequence[Run],
    references: Sequence[Float[torch.Tensor, " vocab"]] | None = None,
) -> Readings:
    """What is read of runs, from their residual stream after the last block.

    Parameters
    ----------
    model
        The model.
    stream
        At the places where each is read.
    runs
        For each row the run that says what is read.
    references
        For each row the log-probabilities at its first place from which the divergence is measured; None measures none
        (NaN).
    """
    places = stream.shape[1]
    targets = target_table(runs)
    at_once = max(LOGIT_VALUES // (model.cfg.d_vocab * places), 1)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(stream), at_once):
            rows = slice(start, start + at_once)
            flat = rearrange(stream[rows], "row place d_model -> (row place) d_model")
            logits = rearrange(output_logits(model, flat).float(), "(row place) vocab -> row place vocab", place=places)
            of_rows = None if references is None else references[rows]
            parts.append(_readings(logits, targets[rows], of_rows))
    return Readings(*(torch.cat(each).cpu() for each in zip(*parts, strict=True)))


def _readings(
    logits: Float[torch.Tensor, "row place vocab"],
    targets: Int[torch.Tensor, "row target 2"],
    references: Sequence[Float[torch.Tensor, " vocab"]] | None,
) -> Readings:
    rows = torch.arange(len(logits), device=logits.device)[:, None]
    place, token = targets.to(logits.device).unbind(-1)
    normaliser = logits.logsumexp(-1)
    logit = logits[rows, place, token]
    logprob = logit - normaliser[rows, place]
    if references is None:
        return Readings(logit, logprob, logit.new_full((len(logits),), torch.nan))
    first = logits[:, 0].sub_(normaliser[:, :1])  # In place: of the logits, nothing else is read after this.
    return Readings(logit, logprob, _divergence(first, references))


def _divergence(
    logprobs: Float[torch.Tensor, "row vocab"], references: Sequence[Float[torch.Tensor, " vocab"]]
) -> Float[torch.Tensor, " row"]:
    """Of every reference p from the row's distribution q: Σ p log p - Σ p log q, for the rows of a reference at once.

    Not as a product of matrices: over a whole vocabulary these are summed one after the other, and are off by 10⁻³.
    """
    kl = logprobs.new_empty(len(logprobs))
    for _, of_reference in groupby(range(len(references)), key=lambda row: id(references[row])):
        rows = list(of_reference)
        reference = references[rows[0]]
        probabilities = reference.exp()
        negative_entropy = (probabilities * reference).nansum()  # 0 log 0 is 0.
        kl[rows] = negative_entropy - sums_of_products(logprobs[rows[0] : rows[-1] + 1] * probabilities)
    return kl


def put(
    activation: Float[torch.Tensor, "row pos ..."],
    places: Sequence[int],
    donors: Float[torch.Tensor, "row width"],
    head: int | None = None,
) -> None:
    """Put a vector into each row of a site, at one token of each, in place; into one of its heads if given."""
    donors = donors.to(activation.device, activation.dtype)
    shaped = donors
    if activation.ndim > 3:
        shaped = rearrange(donors, "row (head d_head) -> row head d_head", head=activation.shape[2])
    rows, at = torch.arange(len(places), device=activation.device), torch.tensor(places, device=activation.device)
    if head is None:
        activation[rows, at] = shaped
    else:
        activation[rows, at, head] = shaped[:, head]


def target_table(runs: Sequence[Run]) -> Int[torch.Tensor, "row target 2"]:
    """For each run and target, which of the places where the run is read, and which token.

    Raises
    ------
    InputError
        If runs have different numbers of targets or of places.
    """
    shapes = {run.shape for run in runs}
    if len(shapes) != 1:
        raise InputError(f"runs that are patched together are read in different ways (places, targets): {shapes}")
    tables = {
        run: [[run.places.index(target.place), target.token] for target in run.targets] for run in dict.fromkeys(runs)
    }
    return torch.tensor([tables[run] for run in runs])
