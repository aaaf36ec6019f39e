"""The output path: from the residual stream after the last block to the logits, as the model itself goes it.

Final norm, unembedding, and what a family does to its logits (Gemma 2 caps them), as TransformerLens knows it. Whoever
goes this path first holds it to the model's own logits, with `require_own_logits`: a part that is not known here shows.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float

from interp.errors import InputError
from interp.models import HookedModel

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-3, torch.bfloat16: 0.5, torch.float16: 0.05}
"""How far log-probabilities may be from the model's own, by its dtype: what rounding in another batch does to them,
several times over."""
NEGLIGIBLE = -20.0
"""A log-probability below which rounding may do more, and nothing depends on it."""


def output_logits(model: HookedModel, stream: Float[torch.Tensor, "row d_model"]) -> Float[torch.Tensor, "row vocab"]:
    """The logits of rows of the residual stream after the last block."""
    parts: Any = model
    # With an axis of tokens, which the norms of some families expect.
    logits: torch.Tensor = parts.unembed(parts.ln_final(stream[:, None]))[:, 0]
    if hasattr(model, "adapter"):
        transformed: torch.Tensor = parts.adapter.apply_output_logits_transform(logits)
        return transformed
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
            f"{difference:.3g}, where rounding explains {tolerance:g}; this family does more than that"
        )


def largest_difference(ours: Float[torch.Tensor, "row vocab"], own: Float[torch.Tensor, "row vocab"]) -> float:
    """By how much log-probabilities differ at most, of what is not `NEGLIGIBLE` in both; NaN where any is NaN."""
    first, second = ours.double().log_softmax(1), own.double().log_softmax(1)
    negligible = torch.maximum(first, second) <= NEGLIGIBLE  # Which NaN is not.
    return float((first - second).abs()[~negligible].max())
