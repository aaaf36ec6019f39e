"""The output path: from the residual stream after the last block to the logits, as the model itself goes it.

Final norm, unembedding, and what a family does to its logits (Gemma 2 caps them), as TransformerLens knows it. Whoever
goes this path first holds it to the model's own logits, with `require_own_logits`: a part that is not known here shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float

from interp.errors import InputError
from interp.models.hooked_model import HookedModel

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-3, torch.bfloat16: 0.5, torch.float16: 0.05}
"""How far log-probabilities may be from the model's own, by its dtype: what rounding in another batch does to them,
several times over."""
NEGLIGIBLE = -20.0
"""A log-probability below which rounding may do more, and nothing depends on it."""


class Unembedding(NamedTuple):
    """What the unembedding multiplies the normed stream by, and adds, for some tokens' logits."""

    vectors: Float[torch.Tensor, "token d_model"]
    biases: Float[torch.Tensor, " token"]


def output_logits(model: HookedModel, stream: Float[torch.Tensor, "row d_model"]) -> Float[torch.Tensor, "row vocab"]:
    """The logits of rows of the residual stream after the last block."""
    return _as_the_family_does(model, unembedded(model, stream))


def unembedded(model: HookedModel, stream: Float[torch.Tensor, "row d_model"]) -> Float[torch.Tensor, "row vocab"]:
    """The logits of rows of the residual stream after the last block, before a family caps or scales them."""
    parts: Any = model
    # With an axis of tokens, which the norms of some families expect.
    return parts.unembed(parts.ln_final(stream[:, None]))[:, 0]


def unembedding_of(model: HookedModel, tokens: Sequence[int]) -> Unembedding:
    """The unembedding of some tokens, in float64 on the CPU; times what the family scales all logits by."""
    parts: Any = model
    chosen, scale = list(tokens), logit_scale(model)
    vectors, biases = parts.unembed.W_U.detach()[:, chosen].T, parts.unembed.b_U.detach()[chosen]
    return Unembedding(scale * vectors.cpu().double(), scale * biases.cpu().double())


def logit_scale(model: HookedModel) -> float:
    """By what a family multiplies its logits (Cohere, Granite), as the slope at 0 of what it does to them.

    A cap does nothing there.
    """
    parts: Any = model
    with torch.inference_mode(False):  # Which has gradients, whatever a caller has turned off.
        nothing = torch.zeros(1, parts.unembed.W_U.shape[1], device=model.cfg.device, requires_grad=True)
        (slope,) = torch.autograd.grad(_as_the_family_does(model, nothing).sum(), nothing)
    return float(slope[0, 0])


def _as_the_family_does(
    model: HookedModel, logits: Float[torch.Tensor, "row vocab"]
) -> Float[torch.Tensor, "row vocab"]:
    """What a family does to its logits: Gemma 2 caps them, Cohere and Granite scale them, most leave them alone."""
    if hasattr(model, "adapter"):
        adapter: Any = model.adapter
        return adapter.apply_output_logits_transform(logits)
    cap = getattr(model.cfg, "output_logits_soft_cap", None) or 0.0
    return cap * torch.tanh(logits / cap) if cap > 0 else logits


def require_own_logits(ours: Float[torch.Tensor, "row vocab"], own: Float[torch.Tensor, "row vocab"]) -> None:
    """Raise an `InputError` if logits of this path are not those of the model's own forward pass, or are no numbers."""
    if not bool(own.float().logsumexp(-1).isfinite().all()):  # Logits of -inf, of tokens that are ruled out, are fine.
        raise InputError(
            f"the model's own output is not a number in {str(own.dtype).removeprefix('torch.')}; take --dtype float32"
        )
    difference, tolerance = largest_difference(ours, own), TOLERANCES[own.dtype]
    if not difference <= tolerance:
        raise InputError(
            f"final norm and unembedding do not give this model's own output: log-probabilities differ by "
            f"{difference:.3g}, where rounding explains {tolerance:g}; this family {what_is_missing(ours, own)}"
        )


def what_is_missing(ours: Float[torch.Tensor, "row vocab"], own: Float[torch.Tensor, "row vocab"]) -> str:
    """What a family does to its logits that makes the model's own of those of this path, in words: what explains all.

    Tried are a factor, a cap and a bias. Anything else, such as another norm, is not told.
    """
    x, y = (logits.detach().cpu().double() for logits in (ours, own))
    if not bool((x.isfinite() & y.isfinite()).all()):
        return "does more than that"
    tolerance = TOLERANCES[own.dtype]
    left_x, left_y = (logits - logits.mean(1, keepdim=True) for logits in (x, y))
    factor = float((left_x * left_y).sum() / (left_x * left_x).sum())
    if largest_difference(factor * x, y) <= tolerance:
        return f"also multiplies its logits, by {factor:.3g}"
    cap = _cap_between(float(x.abs().max()), float(y.abs().max()))
    if cap is not None and largest_difference(cap * torch.tanh(x / cap), y) <= tolerance:
        return f"also caps its logits, at {cap:.3g}"
    # One that is the same in every row; of a single row any difference would be.
    if len(x) > 1 and largest_difference(x + (left_y - left_x).mean(0), y) <= tolerance:
        return "also adds a bias to its logits"
    return "does more than that, and it is no factor, cap or bias of the logits"


def _cap_between(largest: float, capped: float) -> float | None:
    """The cap that makes one size of another; None if that is no smaller."""
    if not 0 < capped < largest:
        return None
    low, high = capped, capped * 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if middle * math.tanh(largest / middle) < capped else (low, middle)
    return high


def largest_difference(ours: Float[torch.Tensor, "row vocab"], own: Float[torch.Tensor, "row vocab"]) -> float:
    """By how much log-probabilities differ at most, of what is not `NEGLIGIBLE` in both; NaN where any is NaN."""
    first, second = (logits.cpu().double().log_softmax(1) for logits in (ours, own))
    negligible = torch.maximum(first, second) <= NEGLIGIBLE  # Which NaN is not.
    return float((first - second).abs()[~negligible].max())
