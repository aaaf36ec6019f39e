"""The final norm with its scale frozen, by which the logits are linear in what is written to the residual stream.

LayerNorm and RMSNorm, whatever a family makes of their weights, are of one form::

    n(x) = g ⊙ (x - mean x) / s(x) + b        with "- mean x" where the norm centres

and linear once s(x) is given. g, b and whether it centres are read off the model's own norm, from what it makes of
vectors that tell: so a gain of 1 + weight (Gemma), a norm that TransformerLens has folded (no weights left) or none at
all takes the same steps, and no class of norms has to be known.

1. A vector of one number throughout gives b and its negative gives b if the norm centres, else b + g and b - g.
2. Numbers of alternating sign give g, as half the difference of what the vector and its negative give, and b, as half
   the sum. They are so large that the ε in s(x) hardly counts; what g lacks for it, the fitted s(x) lacks too.
3. s(x) of a real stream is the divisor that fits n(x) - b to g ⊙ (x - mean x) best (least squares).

What the fit leaves over must be rounding, in every stream: a norm of another form is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float

from interp.errors import InputError
from interp.models.hooked_model import HookedModel

PROBE = 128.0
"""Of what size the numbers of a probing vector are: a power of two, whose square float16 still holds."""
TOLERANCES = {torch.float64: 1e-5, torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 2e-2}
"""How much of a norm's output the frozen norm may leave over, by its dtype. Some norms compute in float32 in any."""

Norm = Callable[[torch.Tensor], torch.Tensor]
"""Norms rows of streams."""


@dataclass(frozen=True)
class FrozenNorm:
    """A norm as a linear function of the stream and a scale."""

    norm: Norm
    name: str
    """What an error calls it."""
    gain: Float[torch.Tensor, " d_model"]
    """In float64 on the CPU, as the bias."""
    bias: Float[torch.Tensor, " d_model"]
    centres: bool

    def scales(self, stream: Float[torch.Tensor, "row d_model"]) -> Float[torch.Tensor, " row"]:
        """What the norm divides each row by, in float64; NaN for a row that has overflowed.

        Raises
        ------
        InputError
            If the norm is not of this form.
        """
        with torch.inference_mode():
            own = self.norm(stream).cpu().double()
        linear = self.gain * self.centred(stream.cpu().double())
        inverse = torch.linalg.vecdot(own - self.bias, linear) / torch.linalg.vecdot(linear, linear)
        over = (own - self.bias - inverse[:, None] * linear).norm(dim=1) / own.norm(dim=1)
        finite = stream.isfinite().all(1).cpu()
        largest, tolerance = float(over[finite].max()) if bool(finite.any()) else 0.0, TOLERANCES[stream.dtype]
        if not largest <= tolerance:
            raise InputError(
                f"the final norm of this model ({self.name}) is no LayerNorm or RMSNorm: it is not linear once its "
                f"scale is given, by {largest:.2g} of its output, where rounding explains {tolerance:g}"
            )
        return torch.where(finite, 1 / inverse, torch.nan)

    def directions(self, read: Float[torch.Tensor, "row d_model"]) -> Float[torch.Tensor, "row d_model"]:
        """What reads off the stream, once divided by its scale, what vectors read off the norm's output, but for b."""
        # Centring is a projection: it may be done to what reads in place of what is read.
        return self.centred(self.gain * read)

    def centred(self, rows: Float[torch.Tensor, "row d_model"]) -> Float[torch.Tensor, "row d_model"]:
        """The rows without their means, if the norm centres."""
        return rows - rows.mean(1, keepdim=True) if self.centres else rows


def frozen_norm(model: HookedModel) -> FrozenNorm:
    """The final norm of a model."""
    parts: Any = model
    own, device = parts.ln_final, model.cfg.device

    def norm(stream: torch.Tensor) -> torch.Tensor:
        # With an axis of tokens, which the norms of some families expect.
        return own(stream.to(device)[:, None])[:, 0]

    name = type(getattr(own, "original_component", None) or own).__name__
    return probed_norm(norm, name, model.cfg.d_model, parts.unembed.W_U.dtype)


def probed_norm(norm: Norm, name: str, d_model: int, dtype: torch.dtype) -> FrozenNorm:
    """What a norm of streams of so many numbers in a dtype makes of vectors that tell."""
    alternating = PROBE * (1 - 2 * (torch.arange(d_model) % 2)).to(dtype)
    same = torch.full_like(alternating, PROBE)
    with torch.inference_mode():
        up, down, high, low = norm(torch.stack([alternating, -alternating, same, -same])).cpu().double()
    centres = bool((high - low).norm() < 1e-3 * (up - down).norm())
    # Alternating numbers are not quite centred if there is an odd number of them.
    rest = alternating.double() - (alternating.double().mean() if centres else 0)
    return FrozenNorm(
        norm, name, gain=(up - down) / 2 * rest.square().mean().sqrt() / rest, bias=(up + down) / 2, centres=centres
    )
