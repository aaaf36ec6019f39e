"""The share of the variance of numbers that held-out predictions explain, with its confidence interval.

    R² = 1 - Σ (y - ŷ)² / Σ (y - ȳ)²

where ŷ is by a probe that was not trained on the example, and ȳ is the mean of the numbers that this probe was trained
on: what it would predict if it knew nothing. The mean of the numbers that are scored, which no probe could know, would
make the R² of knowing nothing negative. 0 is chance, 1 is perfect, and below 0 the probe is worse than the mean.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm, t

from interp.statistics.auc import Interval
from interp.statistics.means import LEVEL


def r_squared_interval(
    errors: Float[np.ndarray, "seed example"],
    of_mean: Float[np.ndarray, "seed example"],
    *,
    group: Int[np.ndarray, " example"],
    variance_factor: float = 1.0,
) -> Interval:
    """R², the mean over several scorings if there are, and its interval by the delta method on log(1 - R²).

    R² is a ratio of two sums over groups. On the logarithmic scale it is the difference of their logarithms, and the
    interval stays below 1. With few groups it is wider, by Student's quantile, as an AUC's is; of one group, and where
    nothing is left unexplained, its ends are NaN.

    Parameters
    ----------
    errors
        The squared errors of the predictions; NaN for examples that a scoring leaves out.
    of_mean
        The squared errors of the mean, of the same examples.
    group
        A number for each example: those of a group come into the sample together.
    variance_factor
        What the variance is multiplied by; see `interp.statistics.auc.refitting_factor`.
    """
    ratios = np.nansum(errors, axis=1) / np.nansum(of_mean, axis=1)
    share = float(ratios.mean())
    scored = np.isfinite(errors - of_mean).any(0)
    n_groups = len(set(group[scored].tolist()))
    if share == 0.0 or n_groups < 2:
        return Interval(1 - share, math.nan, math.nan)
    # What each example adds to the deviation of the unexplained share: its derivative by the example's weight.
    added = (errors - ratios[:, None] * of_mean) / np.nansum(of_mean, axis=1, keepdims=True)
    of_groups = np.bincount(group[scored], weights=np.nan_to_num(added).mean(0)[scored])
    variance = variance_factor * float((of_groups**2).sum()) * n_groups / (n_groups - 1)
    # Of questions that are alone in their groups there are many, but of groups there may be few.
    quantile = norm.ppf((1 + LEVEL) / 2) if n_groups == scored.sum() else t.ppf((1 + LEVEL) / 2, n_groups - 1)
    half = float(quantile) * math.sqrt(variance) / share
    return Interval(1 - share, 1 - share * math.exp(half), 1 - share * math.exp(-half))


def r_squared_bootstrap(
    errors: Float[np.ndarray, "seed example"],
    of_mean: Float[np.ndarray, "seed example"],
    weights: Float[np.ndarray, "draw example"],
) -> tuple[float, float]:
    """The ends between which R² lies in 95 % of draws of the examples; the predictions are taken as given."""
    with np.errstate(invalid="ignore"):  # A draw may have none of the examples.
        drawn = 1 - ((np.nan_to_num(errors) @ weights.T) / (np.nan_to_num(of_mean) @ weights.T)).mean(0)
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
