"""What any result says of itself: its subject, what is strong in it, what means nothing, where its intervals end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from interp.results.result import Result

MARGIN = 0.05
"""Where no value has an interval, each is taken to be known to within this share of the range of all of them."""


class Strength(StrEnum):
    """What it is for a value to be strong."""

    HIGH = "high"
    LOW = "low"
    """Of ranks and divergences, which are best when they are small."""
    AWAY = "away"
    """From the centre of the scale."""


@dataclass(frozen=True)
class Subject:
    """What a result is of, as it says itself; empty where it does not say."""

    kind: str
    metric: str
    model: str
    dataset: str
    text: str
    """The prompt, of a map of one prompt."""
    site: str
    lens: str
    columns: str
    """What the columns are, where they are no tokens."""
    variant: str
    policy: str
    drawn_as: str


class Against(NamedTuple):
    """How many intervals lie above a value that means nothing, below it, or contain it."""

    reference: float
    above: int
    below: int
    containing: int


def subject_of(result: Result) -> Subject:
    """What a result is of."""
    return Subject(**{name: str(result.data.attrs.get(name, "")) for name in Subject.__dataclass_fields__})


def strength_of(result: Result) -> Strength:
    """What it is for a value of this result to be strong.

    Away from the centre where there is one; else low where the colours are dark at the low end (matplotlib's reversed
    maps, as of ranks) or the metric is a divergence; else high.
    """
    if result.scale.centre is not None:
        return Strength.AWAY
    is_reversed = str(result.data.attrs.get("colours", "")).endswith("_r")
    metric = str(result.data.attrs["metric"])
    return Strength.LOW if is_reversed or "KL" in metric or "divergence" in metric else Strength.HIGH


def reference_of(result: Result) -> float | None:
    """The value that means nothing: what the result says, the centre of its scale, chance of an AUC, 0 of an R²."""
    attributes = result.data.attrs
    for name in ("reference", "unpatched", "centre"):
        if name in attributes:
            return float(attributes[name])
    metric = str(attributes["metric"])
    if metric.startswith(("AUC", "macro AUC")):
        return 0.5
    return 0.0 if metric.startswith("R²") else None


def ends_of(result: Result) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the interval of every value.

    A value without one has itself as both ends; where none has one, the ends are `MARGIN` of the range of all values,
    on the result's scale, to either side.
    """
    value, low, high = (result.data[name].values.astype(np.float64) for name in ("value", "low", "high"))
    placed = result.scale.placed(value)
    known = np.isfinite(placed)
    if has_intervals(result) or not known.any():
        return np.where(np.isfinite(low), low, value), np.where(np.isfinite(high), high, value)
    margin = MARGIN * float(placed[known].max() - placed[known].min())
    if result.scale.kind == "log":
        return value * math.exp(-margin), value * math.exp(margin)
    return value - margin, value + margin


def has_intervals(result: Result) -> bool:
    """Whether any value has an interval."""
    return bool(np.isfinite(result.data["low"].values).any())


def against(result: Result, chosen: np.ndarray | None = None) -> Against | None:
    """How the intervals lie to the value that means nothing; None if there is no such value, or no interval.

    Parameters
    ----------
    result
        Any.
    chosen
        For each value whether it counts; None means that all do.
    """
    low, high = result.data["low"].values, result.data["high"].values
    known = np.isfinite(low) & np.isfinite(high) & (True if chosen is None else chosen)
    reference = reference_of(result)
    if reference is None or not known.any():
        return None
    above, below = int((known & (low > reference)).sum()), int((known & (high < reference)).sum())
    return Against(reference, above, below, int(known.sum()) - above - below)
