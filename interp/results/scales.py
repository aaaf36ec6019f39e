"""Colour scales: what the colours of a map mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

SCALE_KINDS = ("linear", "log")
ROUNDING = 1e-6
"""By so small a share of its scale a value may lie outside and pass for its end."""


@dataclass(frozen=True)
class Scale:
    """What the colours of a map mean."""

    low: float
    high: float
    kind: str = "linear"
    """One of `SCALE_KINDS`: by what equal steps of colour are equal, differences or ratios."""
    centre: float | None = None
    """The value in the middle that the others diverge from, if there is one."""

    @property
    def problem(self) -> str | None:
        """What is wrong with it; None if nothing is."""
        if self.kind not in SCALE_KINDS:
            return f"scale_kind is {self.kind!r}, not one of {', '.join(SCALE_KINDS)}"
        if not self.low < self.high:
            return f"a scale cannot go from {self.low:g} to {self.high:g}"
        if self.kind == "log" and self.low <= 0:
            return f"a log scale cannot begin at {self.low:g}"
        middle = math.sqrt(self.low * self.high) if self.kind == "log" else (self.low + self.high) / 2
        if self.centre is not None and not math.isclose(self.centre, middle, abs_tol=1e-9 * (self.high - self.low)):
            return f"the middle of the scale is {middle:g}, not {self.centre:g}"
        return None

    @property
    def attributes(self) -> dict[str, str | float]:
        """As a heatmap keeps it: what is as usual is not said."""
        attributes: dict[str, str | float] = {"scale_low": self.low, "scale_high": self.high}
        attributes |= {"scale_kind": self.kind} if self.kind != "linear" else {}
        return attributes | ({} if self.centre is None else {"centre": self.centre})

    def outside(
        self, values: Float[np.ndarray, "*cell"]
    ) -> tuple[Bool[np.ndarray, "*cell"], Bool[np.ndarray, "*cell"]]:
        """Which values the colours cannot show: those below the scale, and those above it."""
        rounding = ROUNDING * (self.high - self.low)
        return values < self.low - rounding, values > self.high + rounding

    def placed(self, values: Float[np.ndarray, "*cell"]) -> Float[np.ndarray, "*cell"]:
        """Values as the colours are spaced: their logarithms if it is a log scale, NaN where there is none."""
        if self.kind == "linear":
            return values
        return np.log(values, where=values > 0, out=np.full_like(values, np.nan))


def log_scale(values: Float[np.ndarray, " cell"]) -> Scale:
    """A log scale from a round number to a round number, with all positive values between."""
    positive = values[values > 0]
    if not len(positive):
        return Scale(1.0, 10.0, "log")
    low, high = _round_below(float(positive.min())), _round_above(float(positive.max()))
    return Scale(low, high if high > low else 2 * low, "log")


def ratio_scale(values: Float[np.ndarray, " cell"]) -> Scale:
    """A log scale around 1 to equal factors on both sides, with all positive values between."""
    positive = values[values > 0]
    factor = max(1.0, float(positive.max()), 1 / float(positive.min())) if len(positive) else 1.0
    factor = next((rounded for rounded in (1.2, 1.5, 2.0, 3.0, 5.0) if factor <= rounded), _round_above(factor))
    return Scale(1 / factor, factor, "log", centre=1.0)


def cosine_scale(values: Float[np.ndarray, " cell"]) -> Scale:
    """A linear scale from a round number, below all values, to 1."""
    lowest = float(values.min()) if len(values) else 0.0
    return Scale(1 - _round_above(max(1 - lowest, 0.01)) if lowest >= 0 else -_round_above(max(-lowest, 0.1)), 1.0)


def share_scale(_: Float[np.ndarray, " cell"]) -> Scale:
    """A linear scale from 0 to 1, whatever the values."""
    return Scale(0.0, 1.0)


def centred_scale(values: Float[np.ndarray, "*cell"], centre: float) -> Scale:
    """A linear scale to equal distances on both sides of a centre, with all values between; to two digits."""
    away = float(np.nanmax(np.abs(values - centre), initial=0.0))
    # What is hardly above 0 has no second digit.
    digit = 10.0 ** (math.floor(math.log10(away)) - 1) if away > 1e-300 else 1e-6
    reach = float(f"{max(math.ceil(away / digit), 1) * digit:.6g}")
    return Scale(centre - reach, centre + reach, centre=centre)


def _round_above(value: float) -> float:
    """The smallest number that is not below and is 1, 2 or 5 times a power of ten."""
    return min(number for number in _round_numbers(value) if number >= value)


def _round_below(value: float) -> float:
    """The largest number that is not above and is 1, 2 or 5 times a power of ten."""
    return max(number for number in _round_numbers(value) if number <= value)


def _round_numbers(value: float) -> list[float]:
    """Round numbers around a number above 0."""
    decade = math.floor(math.log10(value))
    # Read, not multiplied: .5 is not 5 * .1 everywhere. A decade more on either side, since log10 is rounded.
    return [float(f"{digit}e{power}") for power in (decade - 1, decade, decade + 1) for digit in (1, 2, 5)]
