"""Means and medians over examples, cell by cell, with bootstrap intervals; what is missing is left out."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm, t

LEVEL = 0.95
"""Confidence level of every interval."""


def mean_of_examples(values: Float[np.ndarray, "example ..."]) -> Float[np.ndarray, "*cell"]:
    """The mean of the finite values of each cell; NaN where there is none."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0.0).sum(0) / known.sum(0)


def median_of_examples(values: Float[np.ndarray, "example ..."]) -> Float[np.ndarray, "*cell"]:
    """The median of the values of each cell that are not NaN; NaN where there is none."""
    median: np.ndarray = np.full(values.shape[1:], np.nan)
    some = np.isfinite(values).any(0)
    median[some] = np.nanmedian(values[:, some], axis=0)
    return median


def group_draws(
    group: Int[np.ndarray, " example"], n_draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "draw example"]:
    """How often each draw has each example, when as many groups as there are are drawn with replacement.

    NaN of a single group, of which all draws would be the same: an interval of them would have no length; and of none.
    """
    numbers, of_example = np.unique(group, return_inverse=True)
    if len(numbers) < 2:
        return np.full((n_draws, len(group)), np.nan, dtype=np.float32)
    times = rng.multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), size=n_draws)
    return times[:, of_example.reshape(-1)].astype(np.float32)


def drawn_means(
    values: Float[np.ndarray, "example ..."], weights: Float[np.ndarray, "draw example"]
) -> Float[np.ndarray, "draw ..."]:
    """The mean of each cell in each bootstrap draw of the examples; NaN where a draw has none of a cell's."""
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    known = np.isfinite(flat)
    times = weights.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: np.ndarray = (times @ np.where(known, flat, 0.0)) / (times @ known)
    return means.reshape(len(weights), *values.shape[1:])


def drawn_medians(
    values: Float[np.ndarray, "example ..."], weights: Float[np.ndarray, "draw example"]
) -> Float[np.ndarray, "draw ..."]:
    """The median of each cell in each draw: the smallest value that at least half of the draw's do not exceed."""
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    medians = np.full((len(weights), flat.shape[1]), np.nan)
    for cell, column in enumerate(flat.T):
        known = np.flatnonzero(~np.isnan(column))
        if len(known):
            order = known[np.argsort(column[known], kind="stable")]
            below = weights[:, order].cumsum(1, dtype=np.float64)
            # A draw without any of the cell's examples has no median.
            half = (below >= below[:, -1:] / 2).argmax(1)
            medians[:, cell] = np.where(below[:, -1] > 0, column[order[half]], np.nan)
    return medians.reshape(len(weights), *values.shape[1:])


def percentile_interval(
    drawn: Float[np.ndarray, "draw ..."], n: Int[np.ndarray, "*cell"] | None = None
) -> tuple[Float[np.ndarray, "*cell"], Float[np.ndarray, "*cell"]]:
    """The ends between which 95 % of the draws lie (Efron & Tibshirani 1993, chapter 13); NaN where there is none.

    Parameters
    ----------
    drawn
        What each draw gives.
    n
        Of how many independent groups each cell is. Draws of few scatter too little, as a variance does that is divided
        by n, and are taken for normal: with n, the percentiles are farther out by as much as Student's interval is
        wider (Hesterberg 2015, The American Statistician 69, 371-386, section 4.3: the expanded percentile interval).
    """
    flat = drawn.reshape(len(drawn), -1)
    low, high = np.full(flat.shape[1], np.nan), np.full(flat.shape[1], np.nan)
    some = np.isfinite(flat).any(0)
    of_cells = np.zeros(flat.shape[1], dtype=np.int64) if n is None else np.asarray(n).reshape(-1)
    for number in np.unique(of_cells[some]):
        these, tail = some & (of_cells == number), (1 - LEVEL) / 2
        if n is not None and number > 1:
            tail = float(norm.cdf(math.sqrt(number / (number - 1)) * t.ppf(tail, number - 1)))
        low[these], high[these] = np.nanquantile(flat[:, these], [tail, 1 - tail], axis=0)
    return low.reshape(drawn.shape[1:]), high.reshape(drawn.shape[1:])


def groups_of_cells(
    values: Float[np.ndarray, "example ..."], group: Int[np.ndarray, " example"]
) -> Int[np.ndarray, "*cell"]:
    """In how many groups each cell has a finite value."""
    known = np.isfinite(values)
    return np.asarray(np.stack([known[group == number].any(0) for number in np.unique(group)]).sum(0))
