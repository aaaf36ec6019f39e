"""How much of a table its columns explain, and how much its rows: what is banded, and which way."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

ROUNDING = 1e-12
"""Values that vary by no more than this share of the largest are taken for equal."""


class Shares(NamedTuple):
    """Of a total, what each of three ways to predict a cell explains: its column's mean, its row's, and their sum."""

    columns: float
    rows: float
    both: float


class TwoWay(NamedTuple):
    """How far a table is the sum of an effect of the row and one of the column."""

    explained: Shares
    """Of the sum of squares around the mean of all cells. Where cells are missing, columns and rows share a part of
    what they explain, or hide it from each other: the first two need not add up to the third."""
    by_chance: Shares
    """The same as expected of values in no order, which have as much variance in every cell: the share of the degrees
    of freedom."""


def two_way(values: Float[np.ndarray, "row column"]) -> TwoWay | None:
    """Fit the additive model by least squares to the cells that have a value (two-way layout, unequal cell numbers).

    A missing cell (not finite) is in no sum; it is neither zero nor filled in. None where nothing can be told apart:
    fewer than two rows or two columns with a value, or values that are all equal.

    Source: Scheffé 1959, The Analysis of Variance, chapter 4.
    """
    known = np.isfinite(values)
    rows, columns = known.any(1), known.any(0)
    values, known = values[np.ix_(rows, columns)], known[np.ix_(rows, columns)]
    if min(values.shape) < 2:
        return None
    filled = np.where(known, values, 0.0)
    scale = np.abs(filled).max()
    away = np.where(known, filled / scale - (filled / scale).sum() / known.sum(), 0.0) if scale > 0 else filled
    total = float((away**2).sum())
    if np.abs(away).max() <= ROUNDING:
        return None
    by_column, by_row = (_of_means(away, known, axis) / total for axis in (0, 1))
    both = min(max(_of_sum(away, known) / total, by_column, by_row), 1.0)
    freedom = known.sum() - 1
    by_chance = Shares(
        float((values.shape[1] - 1) / freedom),
        float((values.shape[0] - 1) / freedom),
        float((sum(values.shape) - _n_blocks(known) - 1) / freedom),
    )
    return TwoWay(Shares(by_column, by_row, both), by_chance)


def _of_means(away: Float[np.ndarray, "row column"], known: Bool[np.ndarray, "row column"], axis: int) -> float:
    """The sum of squares of the means along an axis."""
    return float((away.sum(axis) ** 2 / known.sum(axis)).sum())


def _of_sum(away: Float[np.ndarray, "row column"], known: Bool[np.ndarray, "row column"]) -> float:
    """The sum of squares of the additive fit, by its normal equations; of its many solutions, all fit alike."""
    counts = known.astype(np.float64)
    normal = np.block([[np.diag(counts.sum(1)), counts], [counts.T, np.diag(counts.sum(0))]])
    sums = np.concatenate([away.sum(1), away.sum(0)])
    return float(sums @ np.linalg.lstsq(normal, sums, rcond=None)[0])


def _n_blocks(known: Bool[np.ndarray, "row column"]) -> int:
    """In how many parts the table falls, so that no row and no column has cells of two of them."""
    left, blocks = np.ones(known.shape[0], dtype=bool), 0
    while left.any():
        rows: np.ndarray = np.arange(len(left)) == left.argmax()
        reached = 0
        while rows.sum() > reached:
            reached = int(rows.sum())
            rows = np.asarray(known[:, known[rows].any(0)].any(axis=1))
        left[rows] = False
        blocks += 1
    return blocks
