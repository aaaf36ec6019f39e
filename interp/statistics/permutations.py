"""What a map of AUCs looks like by chance: labels dealt out anew, jointly over all cells.

1. The labels are permuted over the examples, a thousand times. Groups of examples stay together: their labels are
   exchanged with those of groups of the same size, if nearly all have such (`exchangeable`).
2. For each permutation every cell has the AUC of its held-out scores against the permuted labels.
3. A cell's *z* is its distance from .5 in deviations of its own such AUCs, so that cells with few examples do not
   dominate. The largest z of the whole map is taken for each permutation: a cell whose z is above 95 % of these is
   above chance, whatever the number of cells that were looked at (max-statistic; Westfall & Young 1993, Nichols &
   Holmes 2002).

Where examples that share an answer are on one side of every split, both their labels and their scores are alike, and a
permutation that tears them apart would make chance look too narrow. Their number differs, so that they cannot be
exchanged either, and no more can groups of many sizes. There the AUC above .5, which is a sum over such groups, has the
sign of each group's part drawn anew, the same for all cells: the wild bootstrap of clusters with the null hypothesis
imposed (Cameron, Gelbach & Miller 2008). Parts around the AUC that was found, in place of .5, mark a cell of nothing in
3 maps of 10: one large group that makes an AUC high by chance is then taken for what is normal (``python -m
benchmarks.intervals``).

Held-out scores are the probes' of the true labels: that they would have been trained on other labels is not in them,
and makes AUCs vary more. By how much is measured by refits to permuted labels in some cells, each of which has its own
permutations, and every deviation is multiplied with that ratio (at least 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

FAMILY_WISE_ERROR = 0.05
"""The chance that any cell at all is marked where there is nothing anywhere."""
MOST_UNMOVED = 0.1
"""Labels of at most this share of the examples may stay where they are on average, or groups cannot be exchanged."""
FEWEST_DRAWS = 19
"""With fewer no cell could be marked: the least p-value is 1 / (1 + draws)."""


@dataclass(frozen=True)
class Null:
    """What cells have by chance: AUCs under permuted labels, or other statistics that are drawn jointly."""

    values: Float[np.ndarray, "draw cell"]
    """NaN where a permutation leaves a cell with one class."""
    inflation: float
    """How much wider refits to permuted labels spread than held-out scores against permuted labels."""
    expected: float = 0.5
    """What a cell of nothing has; 0 for differences."""

    @property
    def deviation(self) -> Float[np.ndarray, " cell"]:
        """By how much each cell deviates by chance from what is expected."""
        return self.inflation * np.sqrt(np.nanmean((self.values - self.expected) ** 2, axis=0))

    @property
    def largest(self) -> Float[np.ndarray, " draw"]:
        """The largest z of each permutation, over all cells."""
        varying = self.deviation > 0  # A perfect order has no deviation of its own, and is above whatever chance gives.
        away = (self.values - self.expected) * self.inflation
        return np.nanmax(np.where(varying, away / np.where(varying, self.deviation, 1.0), -np.inf), axis=1)

    def thresholds(self) -> Float[np.ndarray, " cell"]:
        """The value above which each cell is marked; NaN for one that never varies."""
        n_above = math.floor(FAMILY_WISE_ERROR * (1 + len(self.values)) - 1)  # So many draws may be as large.
        largest = np.sort(self.largest)[::-1][n_above] if n_above >= 0 else np.inf
        return self.expected + np.where(self.deviation > 0, self.deviation, np.nan) * largest

    def p_values(self, values: Float[np.ndarray, " cell"]) -> Float[np.ndarray, " cell"]:
        """For each cell how likely its value or a larger one is by chance, were it the only cell."""
        above = (self.expected + self.inflation * (self.values - self.expected) >= values).sum(0)
        return np.where(np.isnan(values), np.nan, (1 + above) / (1 + np.isfinite(self.values).sum(0)))

    def corrected_p_values(self, values: Float[np.ndarray, " cell"]) -> Float[np.ndarray, " cell"]:
        """For each cell how likely it is that any cell of the map has its z or a larger one by chance."""
        varying, away = self.deviation > 0, values - self.expected
        z = np.where(varying, away / np.where(varying, self.deviation, 1.0), np.where(away > 0, np.inf, -np.inf))
        above = (self.largest[:, None] >= z).sum(0)
        return np.where(np.isnan(values), np.nan, (1 + above) / (1 + len(self.values)))

    def marks(self, value: Float[np.ndarray, "layer position"]) -> dict[str, Any]:
        """What a map, whose cells with a value these are, row by row, has for being held against chance.

        That is ``p`` (of the cell alone), ``p_corrected`` (of any cell of the map), ``threshold`` (the value above
        which a cell is marked) and ``marked``, as variables of its dimensions.
        """
        cells = np.isfinite(value)

        def on_map(of_cells: Float[np.ndarray, " cell"]) -> Float[np.ndarray, "layer position"]:
            whole: np.ndarray = np.full(value.shape, np.nan)
            whole[cells] = of_cells
            return whole

        corrected = on_map(self.corrected_p_values(value[cells]))
        return {
            "p": on_map(self.p_values(value[cells])),
            "p_corrected": corrected,
            "threshold": on_map(self.thresholds()),
            "marked": (corrected <= FAMILY_WISE_ERROR).astype(np.int8),
        }


def exchangeable(group: Int[np.ndarray, " example"]) -> bool:
    """Whether groups have so many others of their size that dealing labels out among them moves nearly all labels."""
    _, of_example, sizes = np.unique(group, return_inverse=True, return_counts=True)
    size = sizes[of_example.reshape(-1)]
    n_groups_of = np.bincount(sizes)
    return bool(np.mean(1 / n_groups_of[size]) <= MOST_UNMOVED)


def permutations(
    group: Int[np.ndarray, " example"], n_draws: int, rng: np.random.Generator
) -> Int[np.ndarray, "draw example"]:
    """For each draw and example the one whose label it is dealt: those of a group go to a group of the same size."""
    _, of_example, sizes = np.unique(group, return_inverse=True, return_counts=True)
    ordered = np.argsort(of_example.reshape(-1), kind="stable")
    permuted: np.ndarray = np.empty((n_draws, len(group)), dtype=np.int64)
    size_of_ordered = sizes[of_example.reshape(-1)[ordered]]
    for size in np.unique(sizes):
        places = ordered[size_of_ordered == size].reshape(-1, size)
        orders = rng.permuted(np.tile(np.arange(len(places)), (n_draws, 1)), axis=1)
        permuted[:, places] = places[orders]
    return permuted


def ranks_of(scores: Float[np.ndarray, "... example"]) -> Float[np.ndarray, "... example"]:
    """The mid-rank of every example among those that are scored in its row; 0 for the others."""
    return np.nan_to_num(rankdata(scores, axis=-1, nan_policy="omit"))


def null_aucs(
    ranks: Float[np.ndarray, "seed cell example"], permuted: Bool[np.ndarray, "draw example"]
) -> Float[np.ndarray, "draw cell"]:
    """The AUC of every cell, the mean over the seeds, against each permutation, from `ranks_of` its scores."""
    positive = permuted.astype(np.float64)
    return np.mean([_null_aucs_of_seed(of_seed, positive) for of_seed in ranks], axis=0)


def _null_aucs_of_seed(
    ranks: Float[np.ndarray, "cell example"], positive: Float[np.ndarray, "draw example"]
) -> Float[np.ndarray, "draw cell"]:
    present = (ranks > 0).astype(np.float64)
    n_positive = positive @ present.T
    n_negative = present.sum(1) - n_positive
    above = positive @ ranks.T - n_positive * (n_positive + 1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        values = above / (n_positive * n_negative)
    return np.where((n_positive > 0) & (n_negative > 0), values, np.nan)


def flipped_sums(
    parts: Float[np.ndarray, "cell group"], n_draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "draw cell"]:
    """Sums over groups, with the sign of what every group adds drawn anew, the same for all cells.

    Of AUCs above .5 the parts are those of `interp.statistics.auc.auc_above_chance`.
    """
    signs = rng.choice([-1.0, 1.0], size=(n_draws, parts.shape[1]))
    return signs @ parts.T


def inflation_of(refits: Sequence[float], null: Float[np.ndarray, "draw cell"]) -> float:
    """How much wider AUCs of refits spread around .5 than `null`, of the same cells; at least 1."""
    if not len(refits):
        return 1.0
    spread = float(np.mean((np.array(refits) - 0.5) ** 2))
    return max(1.0, float(np.sqrt(spread / np.nanmean((null - 0.5) ** 2))))
