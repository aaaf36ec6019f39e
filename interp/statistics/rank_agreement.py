"""Whether two lists of numbers order the same things alike: how far a screening is to be trusted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from interp.errors import InputError


class RankAgreement(NamedTuple):
    """How well estimates order cells; NaN where that cannot be said."""

    spearman: float
    """Rank correlation of the effects with their signs; NaN with fewer than 2 cells, or where all effects are equal."""
    top_share: float
    """Share of the k cells of the largest exact effects, of either sign, that are among the k of the largest estimates;
    k / n by chance. NaN where all cells are among them."""


def rank_agreement(
    estimated: Float[np.ndarray, "*cell"], exact: Float[np.ndarray, "*cell"], k: int = 10
) -> RankAgreement:
    """Compare the order of estimated effects to that of exact ones.

    Parameters
    ----------
    estimated, exact
        Effects of the same cells, in any shape. A cell that is missing (NaN) in either is left out.
    k
        How many cells are the top. Cells that tie for its last places share them, as if drawn by lot in each of the
        two orders: effects that are all equal agree as chance does.

    Raises
    ------
    InputError
        If k is less than 1.
    """
    if k < 1:
        raise InputError(f"the top has at least 1 cell, not {k}")
    known = ~(np.isnan(estimated) | np.isnan(exact))
    first, second = estimated[known].astype(np.float64), exact[known].astype(np.float64)
    top_share = float("nan")
    if len(first) > k:
        top_share = float(_chance_of_top(np.abs(first), k) @ _chance_of_top(np.abs(second), k)) / k
    return RankAgreement(float(spearman(first, second)), top_share)


def spearman(
    first: Float[np.ndarray, "*row cell"], second: Float[np.ndarray, "*row cell"]
) -> Float[np.ndarray, "*row"]:
    """Spearman's correlation of ranks along the last axis, of the cells that are finite in both.

    Ranks of ties are averaged. NaN where either has fewer than 2 different values.
    """
    both = np.isfinite(first) & np.isfinite(second)
    # The ranks from 1 to n have this mean, with ties or without.
    mean = (both.sum(-1, keepdims=True) + 1) / 2
    one, other = (
        np.where(both, rankdata(np.where(both, each, np.inf), axis=-1) - mean, 0.0) for each in (first, second)
    )
    size = np.sqrt((one**2).sum(-1) * (other**2).sum(-1))
    correlation: np.ndarray = np.full(size.shape, np.nan)
    np.divide((one * other).sum(-1), size, out=correlation, where=size > 0)
    return correlation


def _chance_of_top(sizes: Float[np.ndarray, " cell"], k: int) -> Float[np.ndarray, " cell"]:
    """For each cell the chance of being among the k largest, where lots decide between ties."""
    least = np.sort(sizes)[-k]
    above, tied = sizes > least, sizes == least
    return np.select([above, tied], [1.0, (k - above.sum()) / tied.sum()])
