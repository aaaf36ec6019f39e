"""How a column of a map goes with depth, in one word of five, each defined by numbers.

The first that holds:

===========  =========================================================================================================
``FLAT``     one value lies within the intervals of all layers
``PEAKS``    the highest value is at neither end; its interval lies above those of the first and of the last layer, and
             it is above both by at least `CLEAR` of the column's range
``DIPS``     the same downwards; of a column that does both, what goes farther beyond the nearer end
``RISES``    Spearman's rank correlation of the values with the layers, in two digits, is at least `MONOTONE`
``FALLS``    it is at most -`MONOTONE`
``NEITHER``  none of these
===========  =========================================================================================================
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from interp.statistics.rank_agreement import spearman

CLEAR = 0.25
MONOTONE = 0.7
Values = Float[np.ndarray, " layer"]


class Trend(StrEnum):
    """How a column goes with depth."""

    FLAT = "flat"
    PEAKS = "peaks"
    DIPS = "dips"
    RISES = "rises"
    FALLS = "falls"
    NEITHER = "neither"


class DepthTrend(NamedTuple):
    """How a column goes with depth, and the numbers that say so."""

    trend: Trend
    spearman: float
    """With the layer; NaN where all values are equal."""
    turn: int | None = None
    """The layer at which it peaks or dips."""


def depth_trend(layers: Int[np.ndarray, " layer"], value: Values, low: Values, high: Values) -> DepthTrend | None:
    """The trend of a column; layers without a value are left out, and None is what fewer than two say.

    Parameters
    ----------
    layers
        The model's numbers of the rows, ascending.
    value, low, high
        The values and the ends of their intervals, as they are spaced on the map's scale; NaN where missing.
    """
    known = np.isfinite(value)
    layers, value, low, high = (each[known] for each in (layers, value, low, high))
    if len(value) < 2:
        return None
    rho = float(spearman(layers.astype(np.float64), value))
    if low.max() <= high.min():
        return DepthTrend(Trend.FLAT, rho)
    up, down = _beyond_ends(value, low, high), _beyond_ends(-value, -high, -low)
    if max(up, down) > 0:
        row = int(value.argmax() if up >= down else value.argmin())
        return DepthTrend(Trend.PEAKS if up >= down else Trend.DIPS, rho, int(layers[row]))
    return DepthTrend(_direction(rho), rho)


def _direction(rho: float) -> Trend:
    told = round(rho, 2)  # As it is written: what is said to have no direction has a number below the threshold.
    if told >= MONOTONE:
        return Trend.RISES
    return Trend.FALLS if told <= -MONOTONE else Trend.NEITHER


def _beyond_ends(value: Values, low: Values, high: Values) -> float:
    """How far the highest value is above the higher end of the column; 0 where that is not clear."""
    row = int(value.argmax())
    beyond = float(value[row] - max(value[0], value[-1]))
    is_apart = low[row] > max(high[0], high[-1])
    return beyond if is_apart and beyond >= CLEAR * (value.max() - value.min()) else 0.0
