"""How far what a lens reads of a stream is from what the model says there, and the gradient that brings it closer.

    KL(p ‖ q_l) = Σ p (log p - log q_l)

over the whole vocabulary, in nats: p is the distribution that the model gives at a token, q_l what the lens reads of
the stream after block l (Belrose et al. 2023, arXiv 2303.08112, section 3).

1. The streams after every block come from one forward pass over some sequences
   (`interp.activations.batch_activations`); what all sequences of the text begin with is run once.
2. Some rows (tokens) at a time, p is computed once, then one layer after the other: there are never more logits in
   memory than `LOGIT_VALUES` of p and of one layer.
3. The gradient with respect to the logits is q_l - p. It goes back through the output path, which is the model's own
   and frozen, to what the translator gave; from there to A_l and b_l is a product with the stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from interp.activations.batch_activations import HooksOfSites, Prefix, batch_activations, hooks_of_sites, prefix_of
from interp.lenses.lens import Lens
from interp.lenses.training_text import TextSequence, shared_tokens
from interp.lenses.tuned_lens import SITE, TunedLens
from interp.models.hooked_model import HookedModel, takes_prefixes
from interp.models.output_path import output_logits, require_own_logits
from interp.positions import MISSING
from interp.work.batches import in_halves_if_need_be
from interp.work.plan import MIN_SHARED

LOGIT_VALUES = 2**23
"""So many logits are computed at once."""
CHECKED = 8
"""So many tokens of a text are run through the model before a training, to hold the output path to its output."""


@dataclass(frozen=True)
class TextStreams:
    """A model that reads sequences of a text, with what all of them begin with."""

    model: HookedModel
    hooks: HooksOfSites
    prefix: Prefix | None

    @classmethod
    def of(cls, model: HookedModel, text: Sequence[TextSequence]) -> TextStreams:
        """For the sequences of a text, of which at least one is counted from its first token."""
        hooks = hooks_of_sites(model, [SITE])
        shared = shared_tokens(text)
        if len(shared) < MIN_SHARED or not takes_prefixes(model):
            return cls(model, hooks, None)
        return cls(model, hooks, prefix_of(model, shared, np.arange(len(shared)), hooks))

    def after_blocks(self, text: Sequence[TextSequence]) -> Float[torch.Tensor, "layer token d_model"]:
        """The streams after every block at all tokens that are counted, on the CPU, sequence after sequence."""

        def run(batch: tuple[TextSequence, ...]) -> list[torch.Tensor]:
            cells = np.full((len(batch), max(each.n_counted for each in batch)), MISSING)
            for row, each in enumerate(batch):
                cells[row, : each.n_counted] = np.arange(each.start, len(each.tokens))
            tokens = [each.tokens for each in batch]
            found = batch_activations(self.model, tokens, cells, self.hooks, self.prefix)[SITE]
            return [found[:, : each.n_counted, row] for row, each in enumerate(batch)]

        return torch.cat(in_halves_if_need_be(run, tuple(text)), dim=1)

    def require_own_output(self, sequence: TextSequence) -> None:
        """Raise an `InputError` if the output path does not give the model's own output at the end of a sequence."""
        last, device = self.after_blocks([sequence])[-1, -CHECKED:], self.model.cfg.device
        with torch.inference_mode():
            own = self.model(torch.tensor([sequence.tokens], device=device), return_type="logits")[0, -len(last) :]
            require_own_logits(output_logits(self.model, last.to(device)), own)


class Gradients(NamedTuple):
    """Of the mean divergence over tokens, with respect to every translator; and that mean."""

    kl: Float[torch.Tensor, " translator"]
    weight: Float[torch.Tensor, "translator d_model d_model"]
    bias: Float[torch.Tensor, "translator d_model"]


def divergences(
    model: HookedModel, lens: Lens, streams: Float[torch.Tensor, "layer token d_model"], *, precision: str = "float32"
) -> Float[torch.Tensor, "shallower token"]:
    """The divergence of every layer but the last at every token.

    Parameters
    ----------
    model
        The model.
    lens
        What reads the streams.
    streams
        After every block.
    precision
        ``"float32"``: the lens goes the output path as the model does; ``"bfloat16"``: with matrix products in that.
    """
    kl = torch.empty(len(streams) - 1, streams.shape[1])
    with torch.inference_mode():
        for rows, own in _own_logprobs(model, streams):
            p = own.exp()
            for layer in range(len(kl)):
                stream = streams[layer, rows].to(own.device)
                with _products(own.device, precision):
                    logits = output_logits(model, lens.translated(stream, layer))
                kl[layer, rows] = _divergence(p, own, logits.float().log_softmax(1)).cpu()
    return kl


def gradients(
    model: HookedModel,
    lens: TunedLens,
    streams: Float[torch.Tensor, "layer token d_model"],
    *,
    precision: str = "float32",
) -> Gradients:
    """The gradients of every translator, each of its own layer's divergence; see `divergences`.

    The parameters of the model should be frozen (`interp.patching.gradient_passes.frozen_parameters`), so that nothing
    is kept for theirs.
    """
    n_tokens = streams.shape[1]
    found = Gradients(lens.bias.new_zeros(len(lens.bias)), torch.zeros_like(lens.weight), torch.zeros_like(lens.bias))
    for rows, own in _own_logprobs(model, streams):
        p = own.exp()
        for layer in range(len(lens.weight)):
            stream = streams[layer, rows].to(own.device)
            read = lens.translated(stream, layer).requires_grad_()
            with torch.enable_grad(), _products(own.device, precision):
                logits = output_logits(model, read)
            logprobs = logits.detach().float().log_softmax(1)
            found.kl[layer] += (_divergence(p, own, logprobs).sum() / n_tokens).to(found.kl)
            of_logits = logprobs.exp_().sub_(p).div_(n_tokens).to(logits.dtype)
            (of_read,) = torch.autograd.grad(logits, read, of_logits)
            exact = of_read.to(lens.weight.dtype)
            # Of a model that is split over devices the translators need not be where its unembedding is.
            found.weight[layer] += (exact.T @ stream.to(exact)).to(found.weight)
            found.bias[layer] += exact.sum(0).to(found.bias)
    return found


def _own_logprobs(
    model: HookedModel, streams: Float[torch.Tensor, "layer token d_model"]
) -> Iterator[tuple[slice, Float[torch.Tensor, "row vocab"]]]:
    """Some rows at a time, what the model itself says there."""
    at_once = max(LOGIT_VALUES // model.cfg.d_vocab, 1)
    for start in range(0, streams.shape[1], at_once):
        rows = slice(start, start + at_once)
        with torch.inference_mode():
            logits = output_logits(model, streams[-1, rows].to(model.cfg.device))
            logprobs = logits.float().log_softmax(1)
        yield rows, logprobs


def _divergence(
    p: Float[torch.Tensor, "row vocab"],
    own: Float[torch.Tensor, "row vocab"],
    logprobs: Float[torch.Tensor, "row vocab"],
) -> Float[torch.Tensor, " row"]:
    return ((own - logprobs).mul_(p)).sum(1)


def _products(device: torch.device, precision: str) -> AbstractContextManager:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
