"""How far two maps of the same cells agree, and how far two that have nothing to do with each other would.

======================  ==============================================================================================
statistic               of the cells that both maps have
======================  ==============================================================================================
``spearman``            rank correlation over all cells
``kendall``             Kendall's τ-b: the share of pairs of cells that both order alike less the share that they do not
``within_layers``       Spearman across the columns of a layer, the mean over the layers
``within_columns``      Spearman across the layers of a column, the mean over the columns
``top_shared``          share of the top 5 % of one map's cells that are in the top 5 % of the other's; 5 % by chance
``peak_layers``         rows from the first map's highest cell to the second's; below 0, the second's is earlier
``peak_columns``        columns between the two, likewise
``mean_difference``     mean absolute difference of the values, or of their natural logarithms, of maps in one unit
======================  ==============================================================================================

Neighbouring cells are alike in every map, so that cells are no independent observations, and the usual p-value of a
correlation is far too small: of two maps that are smooth and have nothing in common it finds most to be related
(``python -m benchmarks.compare``). `shift_test` compares the maps with one of them moved in every possible way: by so
many layers and so many columns, around the ends, and with its columns in reverse. That leaves neighbouring layers and
neighbouring columns as alike as they were (torus translation, Harms et al. 2001, Journal of Ecology 89, 947-959). What
both maps have at the same places for a reason of its own, such as columns that go in the same groups, counts as a
relation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import kendalltau, rankdata

from interp.statistics import rank_agreement
from interp.statistics.means import LEVEL

TOP = 0.05
"""The share of the cells that are the top."""
MIN_CELLS = 4
"""Of a layer or a column with fewer cells the order is not asked."""

ALMOST = 1 - 1e-9
"""A correlation of 1 has no finite z."""

Map = Float[np.ndarray, "layer position"]


def spearman(first: Float[np.ndarray, "*cell"], second: Float[np.ndarray, "*cell"]) -> float:
    """Rank correlation of the cells that both have.

    NaN with fewer than `MIN_CELLS`, or where all of a map's are equal.
    """
    if (np.isfinite(first) & np.isfinite(second)).sum() < MIN_CELLS:
        return float("nan")
    return float(rank_agreement.spearman(first.reshape(-1), second.reshape(-1)))


def kendall(first: Map, second: Map) -> float:
    """Kendall's τ-b of the cells that both have; NaN with fewer than `MIN_CELLS`."""
    both = np.isfinite(first) & np.isfinite(second)
    return float(kendalltau(first[both], second[both]).statistic) if both.sum() >= MIN_CELLS else float("nan")


def within_layers(first: Map, second: Map) -> float:
    """Spearman across the columns of each layer, the mean over layers; NaN if none has enough cells."""
    each = _spearman_of_rows(first, second)
    return float(np.nanmean(each)) if np.isfinite(each).any() else float("nan")


def within_columns(first: Map, second: Map) -> float:
    """Spearman across the layers of each column, the mean over columns; NaN if none has enough cells."""
    return within_layers(first.T, second.T)


def of_columns(first: Map, second: Map) -> Float[np.ndarray, " position"]:
    """Spearman across the layers of each column; NaN for one without enough cells."""
    return _spearman_of_rows(first.T, second.T)


def _spearman_of_rows(first: Map, second: Map) -> Float[np.ndarray, " row"]:
    enough = (np.isfinite(first) & np.isfinite(second)).sum(1) >= MIN_CELLS
    return np.where(enough, rank_agreement.spearman(first, second), np.nan)


def n_top(first: Map, second: Map) -> int:
    """How many cells the top ones are."""
    return max(1, round(TOP * int((np.isfinite(first) & np.isfinite(second)).sum())))


def top_shared(first: Map, second: Map) -> float:
    """Share of the top cells that both maps have in common; cells that tie for the last places share them."""
    both = np.isfinite(first) & np.isfinite(second)
    # The top is of the largest values, not of the largest of either sign: from the least value on all are above 0.
    above = [each[both] - each[both].min(initial=np.inf) for each in (first, second)]
    return rank_agreement.rank_agreement(above[0], above[1], n_top(first, second)).top_share


def peak(values: Map) -> tuple[int, int]:
    """The row and the column of the highest cell, the first of those that tie."""
    row, column = np.unravel_index(int(np.nanargmax(values)), values.shape)
    return int(row), int(column)


def peak_distance(first: Map, second: Map, layers: Sequence[int] | None = None) -> tuple[float, float]:
    """Layers and columns from the first map's highest cell to the second's; NaN if they have no cell in common.

    The layers are those of the rows; by default rows are counted.
    """
    both = np.isfinite(first) & np.isfinite(second)
    if not both.any():
        return float("nan"), float("nan")
    (row, column), (other_row, other_column) = (peak(np.where(both, each, np.nan)) for each in (first, second))
    of_rows = range(len(first)) if layers is None else layers
    return float(of_rows[other_row] - of_rows[row]), float(other_column - column)


def mean_difference(first: Map, second: Map) -> float:
    """The mean absolute difference of the cells that both have; NaN if there are none."""
    away = np.abs(first - second)
    return float(np.nanmean(away)) if np.isfinite(away).any() else float("nan")


STATISTICS: Mapping[str, Callable[[Map, Map], float]] = {
    "spearman": spearman,
    "kendall": kendall,
    "within_layers": within_layers,
    "within_columns": within_columns,
    "top_shared": top_shared,
    "peak_layers": lambda first, second: peak_distance(first, second)[0],
    "peak_columns": lambda first, second: peak_distance(first, second)[1],
    "mean_difference": mean_difference,
}


def centre_of_mass(values: Map, layers: Sequence[int]) -> Float[np.ndarray, " position"]:
    """The mean layer of each column, weighted by how far each cell is above the column's lowest one.

    NaN where a column has no cell, or none above another. The layers are those of the rows.
    """
    known = np.isfinite(values)
    lowest = np.where(known, values, np.inf).min(0)
    weight = np.where(known, values - np.where(known.any(0), lowest, 0.0), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weight * np.asarray(layers)[:, None]).sum(0) / weight.sum(0)


def column_peaks(values: Map) -> Float[np.ndarray, " position"]:
    """The row of the highest cell of each column; NaN where a column has none."""
    known = np.isfinite(values)
    rows: np.ndarray = np.where(known, values, -np.inf).argmax(0).astype(np.float64)
    rows[~known.any(0)] = np.nan
    return rows


class ShiftTest(NamedTuple):
    """How a rank correlation compares with that of maps that are moved against each other."""

    p: float
    """How often a correlation that is as far from 0, of either sign, comes from a moved map."""
    reach: float
    """95 % of the moved maps' correlations lie between - reach and reach."""


def shift_test(first: Map, second: Map) -> ShiftTest:
    """Compare the Spearman correlation of two maps with those of the first and the second moved in every way.

    Cells that are missing move with their map; each correlation is over the cells that both have then. The maps as they
    are count as one of the ways. NaN where the maps themselves have no correlation.
    """
    found = abs(spearman(first, second))
    if np.isnan(found):
        return ShiftTest(float("nan"), float("nan"))
    here = np.broadcast_to(first.reshape(-1), (len(first), first.size))
    moved = np.concatenate([_spearman_of_rows(here, each.reshape(here.shape)) for each in moved_maps(second)])
    known = np.abs(moved[np.isfinite(moved)])
    return ShiftTest(float(np.mean(known >= found - 1e-12)), float(np.quantile(known, 0.95)))


def moved_maps(values: Map) -> Iterator[Float[np.ndarray, "layer layer position"]]:
    """For every order of its columns that moving them around the end and reversing them gives, a map for each shift.

    The first map of the first order is the one that is given.
    """
    n_layers, n_columns = values.shape
    rows = np.add.outer(np.arange(n_layers), np.arange(n_layers)) % n_layers
    around = [tuple(np.roll(np.arange(n_columns), by).tolist()) for by in range(n_columns)]
    for order in dict.fromkeys([*around, *(each[::-1] for each in around)]):
        yield values[:, order][rows]


def rank_difference(first: Map, second: Map) -> Map:
    """By how much higher each cell ranks in the first map than in the second, as a share of the cells; from -1 to 1.

    NaN where either has no value.
    """
    both = np.isfinite(first) & np.isfinite(second)
    difference: np.ndarray = np.full(first.shape, np.nan)
    if both.sum() > 1:
        difference[both] = (rankdata(first[both]) - rankdata(second[both])) / (both.sum() - 1)
    return difference


def correlation_interval(
    found: float, drawn: Float[np.ndarray, " draw"], kept: tuple[float, float], crossed: tuple[float, float]
) -> tuple[float, float]:
    """The interval of the correlation that two maps would have if they were of all examples.

    A map of some examples is that of all and noise, which takes from its correlation with any other. A draw of these
    examples has as much noise again, and how much that is can be told from λ, its correlation with the map that it is
    drawn from: with the map's variance as 1, that of a draw is 1 / λ², and that of the map of all examples as much
    below 1 as this is above, 2 - 1 / λ². In the same units the covariance of two maps is the found correlation r, and
    that of their draws r* / λ₁λ₂ with r* the draws' mean correlation. It is another than r if the noise of both goes
    together, and without noise is 2 r - r* / λ₁λ₂. For 2 r there stands what the draws of either map give with the
    other map as it is, r₁ / λ₁ + r₂ / λ₂: as much, but not a matter of which cells that are nearly equal happen to come
    first. So the correlation of the maps of all examples is

        ρ = (r₁ / λ₁ + r₂ / λ₂ - r* / λ₁λ₂) / √((2 - 1/λ₁²)(2 - 1/λ₂²)),

    the correction for attenuation of Spearman 1904 (American Journal of Psychology 15, 72-101), with reliabilities that
    the draws tell. The interval is that of the numerator, from quantiles of Fisher's z of the draws around its mean,
    which scatter by about λ₁λ₂ less than samples do; it is made to hold what was found, too. If a map is as much noise
    as anything, any correlation is possible. How often it holds the correlation says ``python -m benchmarks.compare``.

    Parameters
    ----------
    found
        The correlation of the maps.
    drawn
        That of every draw; NaN where there is none.
    kept
        Of each map the λ: the mean correlation of its draws with it.
    crossed
        Of each map the mean correlation of its draws with the other map.
    """
    known = drawn[np.isfinite(drawn)]
    if not len(known) or not np.isfinite(found):
        return float("nan"), float("nan")
    if not np.min(kept) > math.sqrt(0.5):  # Nor is any of a map that no draw has a correlation with.
        return -1.0, 1.0
    z, both = _fisher_z(known), kept[0] * kept[1]
    away = np.quantile(z, [(1 + LEVEL) / 2, (1 - LEVEL) / 2]) - z.mean()
    twice = sum(of_draws / own for of_draws, own in zip(crossed, kept, strict=True))
    without_noise = np.tanh(_fisher_z(twice - known.mean() / both) - away / both)
    low, high = np.clip(without_noise / math.sqrt((2 - kept[0] ** -2) * (2 - kept[1] ** -2)), -1, 1)
    return min(float(low), found), max(float(high), found)


def kendall_interval(
    found: float, drawn: Float[np.ndarray, " draw"], kept: tuple[float, float], crossed: tuple[float, float]
) -> tuple[float, float]:
    """`correlation_interval` of Kendall's τ, for the correlation of normal variables that have it.

    That is sin(π τ / 2) (Kruskal 1958, Journal of the American Statistical Association 53, 814-861).
    """
    of_kept, of_crossed = (tuple(np.sin(np.pi / 2 * np.array(each)).tolist()) for each in (kept, crossed))
    ends = correlation_interval(math.sin(math.pi / 2 * found), np.sin(np.pi / 2 * drawn), of_kept, of_crossed)
    if not all(map(math.isfinite, ends)):
        return ends
    low, high = (2 / math.pi * math.asin(end) for end in ends)
    # What was found may have been an end, and be rounded to lie beyond it.
    return min(low, found), max(high, found)


def _fisher_z(correlation: Float[np.ndarray, "*draw"] | float) -> Float[np.ndarray, "*draw"]:
    return np.asarray(np.arctanh(np.clip(correlation, -ALMOST, ALMOST)))


CORRELATIONS = {
    "spearman": correlation_interval,
    "kendall": kendall_interval,
    "within_layers": correlation_interval,
    "within_columns": correlation_interval,
}
"""The statistics that noise makes smaller, and how each one's interval is made."""
