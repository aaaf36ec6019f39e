"""Direct logit attribution: what each layer's attention and MLP write towards a difference of logits.

For an example whose exact answer begins with token a, and a foil f (`interp.lenses.logit_contrasts`)::

    u = W_U[:, a] - W_U[:, f]                                    what reads the difference off the normed stream
    n(x) = g ⊙ (x - mean x · [the norm centres]) / s(x) + b      the final norm
    contribution of c = (g ⊙ (c - mean c · [it centres])) · u / s

with s frozen at the final stream of the position itself. The final stream is the embedding, and what every layer's
attention and MLP have added. So their contributions, and the constants b · u + b_U[a] - b_U[f], add up to the logit
difference that the model itself gives at that position, before its logits are capped (Gemma 2). They are no effects: a
layer that is taken away also changes what the layers above it write, and s.

The stream before the first block is taken as resid_post - attn_out - mlp_out of that block, which saves a store of
every layer's. Two things are held to before there are any numbers: that the parts add up to what is read off the final
stream, in every cell; and for a sample of the examples that what is read there is the model's own output.

References
----------
Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Wang et al. 2023 (arXiv 2211.00593). As
``ActivationCache.logit_attrs`` of TransformerLens, for all families and without folding their norms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from interp.activations.store import Cells
from interp.errors import InputError
from interp.lenses.frozen_norm import FrozenNorm, frozen_norm
from interp.lenses.logit_contrasts import Contrasts
from interp.models.hooked_model import HookedModel, padded
from interp.models.output_path import (
    TOLERANCES,
    logit_scale,
    output_logits,
    require_own_logits,
    unembedded,
    unembedding_of,
)
from interp.positions import MISSING
from interp.work.progress import progress

SITES = ("attn_out", "mlp_out", "resid_post")
"""What contributions are computed from."""


@dataclass(frozen=True)
class Contributions:
    """What every part adds to the logit difference at every cell, in logits; NaN where an example lacks a position."""

    attention: Float[np.ndarray, "example layer position"]
    mlp: Float[np.ndarray, "example layer position"]
    embedding: Float[np.ndarray, "example position"]
    """Of the stream before the first block."""
    constants: Float[np.ndarray, "example position"]
    """Of the biases of the final norm and of the unembedding."""
    difference: Float[np.ndarray, "example position"]
    """What is read off the final stream: the sum of all."""

    @property
    def parts(self) -> dict[str, Float[np.ndarray, "example position"]]:
        """What the difference is made of, over all layers."""
        return {
            "embedding": self.embedding,
            "attention": self.attention.sum(1),
            "MLPs": self.mlp.sum(1),
            "constants": self.constants,
        }


@dataclass(frozen=True)
class Reading:
    """How the differences of examples are read off their streams."""

    norm: FrozenNorm
    directions: Float[torch.Tensor, "example d_model"]
    """In float64."""
    constants: Float[torch.Tensor, " example"]

    def off(
        self,
        vectors: Float[torch.Tensor, "row d_model"],
        scales: Float[torch.Tensor, " row"],
        present: Bool[torch.Tensor, " example"],
    ) -> Float[np.ndarray, " example"]:
        """What vectors of the examples that are present contribute; NaN for the others."""
        read = torch.full(present.shape, torch.nan, dtype=torch.float64)
        read[present] = torch.linalg.vecdot(vectors.double(), self.directions[present]) / scales
        return read.numpy()


def reading_of(model: HookedModel, contrasts: Contrasts) -> Reading:
    """How the model's output path reads differences of logits off its final stream."""
    norm, unembedding = frozen_norm(model), unembedding_of(model, contrasts.tokens)
    weights = torch.from_numpy(contrasts.weights)
    read = weights @ unembedding.vectors
    return Reading(norm, norm.directions(read), read @ norm.bias + weights @ unembedding.biases)


def contributions(
    attn_out: Cells, mlp_out: Cells, resid_post: Cells, mask: Bool[np.ndarray, "example position"], reading: Reading
) -> Contributions:
    """What every cell contributes. Cells are read one at a time, position by position.

    Parameters
    ----------
    attn_out, mlp_out, resid_post
        The activations of every layer of the model, of the same examples.
    mask
        Which examples have which position.
    reading
        How their differences are read.

    Raises
    ------
    InputError
        If the final norm is not linear but for its scale, or the parts do not add up.
    """
    columns = []
    with progress("attribution", total=len(resid_post.positions), unit="positions") as shown:
        for position, present in zip(resid_post.positions, torch.from_numpy(mask.T), strict=True):
            columns.append(_column(attn_out, mlp_out, resid_post, position, present, reading))
            shown.update()
    attention, mlp, embedding, constants, difference = (np.stack(each, axis=-1) for each in zip(*columns, strict=True))
    found = Contributions(attention, mlp, embedding, constants, difference)
    _require_complete(found, resid_post.cell(resid_post.layers[-1], resid_post.positions[0]).dtype)
    return found


def _column(
    attn_out: Cells, mlp_out: Cells, resid_post: Cells, position: str, present: torch.Tensor, reading: Reading
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The contributions at one position, in the order of `Contributions`."""
    layers = resid_post.layers
    final = resid_post.cell(layers[-1], position)[present]
    scales = reading.norm.scales(final)

    def of(cells: Cells, layer: int) -> Float[np.ndarray, " example"]:
        return reading.off(cells.cell(layer, position)[present], scales, present)

    attention, mlp = (np.stack([of(cells, layer) for layer in layers], axis=1) for cells in (attn_out, mlp_out))
    constants = torch.where(present, reading.constants, torch.nan).numpy()
    embedding = of(resid_post, layers[0]) - attention[:, 0] - mlp[:, 0]
    return attention, mlp, embedding, constants, reading.off(final, scales, present) + constants


def _require_complete(found: Contributions, dtype: torch.dtype) -> None:
    """Raise an `InputError` if the parts of any cell do not add up to the difference."""
    sizes = np.abs(found.attention).sum(1) + np.abs(found.mlp).sum(1) + np.abs(found.embedding)
    over = np.sum(list(found.parts.values()), axis=0) - found.difference
    _require_small(over, sizes, dtype, "the parts do not add up to the logit difference")


def require_own_differences(
    model: HookedModel,
    contrasts: Contrasts,
    resid_post: Cells,
    sequences: Sequence[Sequence[int]],
    cells: Int[np.ndarray, "example position"],
    difference: Float[np.ndarray, "example position"],
) -> None:
    """Raise an `InputError` if differences that were read are not those of the model's own output.

    Parameters
    ----------
    model
        The model.
    contrasts, resid_post
        What was read, and off what; the first examples of them are those of the rest.
    sequences
        Tokens of the examples to try.
    cells
        Where their positions are, or `MISSING`.
    difference
        What was read.
    """
    tokens, scale = list(contrasts.tokens), logit_scale(model)
    n, last = len(sequences), resid_post.layers[-1]
    final = torch.stack([resid_post.cell(last, position)[:n] for position in resid_post.positions], dim=1)
    for row, (sequence, places) in enumerate(zip(sequences, cells, strict=True)):
        there = np.flatnonzero(places != MISSING).tolist()
        stream = final[row, there].to(model.cfg.device)
        with torch.inference_mode():
            own = model(padded([sequence]).to(model.cfg.device), return_type="logits")[0, places[there].tolist()]
            require_own_logits(output_logits(model, stream), own.to(stream.device))
            uncapped = scale * unembedded(model, stream)[:, tokens].cpu().double().numpy()
        weighted = contrasts.weights[row] * uncapped
        _require_small(
            difference[row, there] - weighted.sum(1),
            np.abs(weighted).sum(1),
            stream.dtype,
            "the logit difference that is read off the final stream is not the model's own",
        )


def _require_small(
    over: Float[np.ndarray, "*cell"], sizes: Float[np.ndarray, "*cell"], dtype: torch.dtype, what: str
) -> None:
    """Raise an `InputError` if what should be 0 is more than rounding makes of a sum of terms of such sizes."""
    # Of logits, as the output path is held to them; in proportion where the terms are much larger than logits are.
    excess = np.abs(over) / (TOLERANCES[dtype] * np.maximum(sizes / 100, 1))
    if not np.nanmax(excess, initial=0.0) <= 1:
        raise InputError(
            f"{what}: by up to {np.nanmax(np.abs(over)):.3g} logits, which rounding in "
            f"{str(dtype).removeprefix('torch.')} does not explain; this family does more than it is known for here"
        )
