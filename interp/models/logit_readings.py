"""What is read off logits over the whole vocabulary, against what the model says in the end.

Logits of a few rows at a time are reduced to a few numbers each before those of the next rows are made, so that memory
does not grow with rows times vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int

UNASKED = -1
"""The rank of a token that is not asked about; its log-probability is NaN."""
NOT_FINITE = -2
"""The rank of a token that is asked about, and the top token, where logits are no numbers: none is ahead of another."""


class Output(NamedTuple):
    """What the model says in the end: its own distribution of the next token."""

    probabilities: Float[torch.Tensor, "row vocab"]
    entropy: Float[torch.Tensor, " row"]
    """In nats."""


class Readings(NamedTuple):
    """What a lens says."""

    log_probability: Float[torch.Tensor, "target row"]
    """Of each token that is asked about, in nats."""
    rank: Int[torch.Tensor, "target row"]
    """How many tokens are more probable: 0 for the most probable one, as `transformer_lens.tools.analysis.logit_lens`
    counts."""
    entropy: Float[torch.Tensor, " row"]
    """Of the whole distribution, in nats."""
    divergence: Float[torch.Tensor, " row"]
    """KL(output ‖ lens) in nats: what is lost by taking the lens's distribution for the model's (Belrose et al. 2023,
    section 2)."""
    top: Int[torch.Tensor, " row"]
    """The most probable token."""
    top_log_probability: Float[torch.Tensor, " row"]
    """In nats."""


def output_of(logits: Float[torch.Tensor, "row vocab"]) -> Output:
    """The model's own distribution, from its logits."""
    relative, exponentials, total, _ = _parts(logits)
    probabilities = exponentials.div_(total[:, None])
    return Output(probabilities, total.log() - sums_of_products(relative.mul_(probabilities)))


def readings_of(
    logits: Float[torch.Tensor, "row vocab"], output: Output, targets: Int[torch.Tensor, "target row"]
) -> Readings:
    """What a lens's logits say.

    Parameters
    ----------
    logits
        Of the lens.
    output
        Of the model, in the same places.
    targets
        The tokens that are asked about; below 0 where none is.
    """
    relative, exponentials, total, top = _parts(logits)
    log_total = total.log()
    not_finite = ~log_total.isfinite()
    asked = relative.gather(1, targets.clamp(min=0).T)
    rank = torch.stack([(relative > column[:, None]).sum(1) for column in asked.T])
    # Sums of products, not matrix products: these lose digits over a large vocabulary, and sum(1) adds in pairs.
    entropy = log_total - sums_of_products(exponentials.mul_(relative)) / total
    # The log-probability that is expected under the model's own distribution is such a sum; no second softmax.
    divergence = log_total - output.entropy - sums_of_products(relative.mul_(output.probabilities))
    return Readings(
        log_probability=(asked - log_total[:, None]).T.masked_fill(targets < 0, torch.nan),
        rank=rank.masked_fill(not_finite, NOT_FINITE).masked_fill(targets < 0, UNASKED),
        entropy=entropy,
        divergence=divergence.clamp(min=0),  # Which it is, but for rounding.
        top=top.masked_fill(not_finite, NOT_FINITE),
        top_log_probability=-log_total,
    )


def sums_of_products(products: Float[torch.Tensor, "row vocab"]) -> Float[torch.Tensor, " row"]:
    """The sum of each row; 0 × -inf, of a token that is ruled out, is 0."""
    sums = products.sum(1)
    if bool(sums.isnan().any()):
        sums = products.nan_to_num_(0.0, torch.inf, -torch.inf).sum(1)
    return sums


class _Parts(NamedTuple):
    relative: Float[torch.Tensor, "row vocab"]
    """Logits less the largest of their row, in float32."""
    exponentials: Float[torch.Tensor, "row vocab"]
    total: Float[torch.Tensor, " row"]
    top: Int[torch.Tensor, " row"]


def _parts(logits: Float[torch.Tensor, "row vocab"]) -> _Parts:
    top = logits.argmax(1)
    relative = logits.float() - logits.gather(1, top[:, None]).float()
    exponentials = relative.exp()
    return _Parts(relative, exponentials, exponentials.sum(1), top)
