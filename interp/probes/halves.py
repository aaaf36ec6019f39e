"""By how much an AUC of out-of-fold scores varies more than DeLong's variance says, measured on halves of the examples.

DeLong's variance takes the scores as given: it is that of drawing other examples to score. With other examples the
probes would be others too, and folds that are scored by probes with most of their examples in common go up and down
together. By how much that counts depends on the features and on what they tell: in simulation the variance is
1.4 to 2 times DeLong's.

Two halves of the examples, each cross-fitted by itself, are two draws of half the size, which have nothing in common.
The squared difference of their AUCs is expected to be the sum of their variances, so that over many ways to halve

    factor = Σ (AUC of one half - AUC of the other)² / Σ (DeLong's variance of the one + that of the other).

Both variances go down as one over the number of examples, and the factor for halves is taken for that of the whole. One
cell says little about it: it is measured in cells all over the map, each halved in ways of its own, and smoothed. Its
logarithm goes in proportion to the distance of the AUC from .5, as Poisson regression has it, and by as little as need
be.

How often intervals cover with it, and how often with the factor of `interp.statistics.auc.refitting_factor`, which
needs no fits, says ``python -m benchmarks.intervals``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from interp.activations.store import Cells
from interp.probes.cell_batches import LabelledGrams
from interp.probes.cell_probe import (
    CellFits,
    Probing,
    Scores,
    both_classes,
    gram_matrix,
    present_features,
    scaled_features,
)
from interp.probes.cross_fitting import chosen_costs, held_out_scores
from interp.probes.labels import NEVER, Labels
from interp.statistics.auc import auc_and_influence, auc_interval
from interp.work.batches import batched
from interp.work.threads import each_on

log = logging.getLogger(__name__)

CELLS = 20
"""In how many cells the factor is measured, if there are as many."""
BATCH_BYTES = 2**28
"""Of the inner products of halves that are fitted in one batch; what is made of them takes several times as much."""
FEWEST_CELLS = 3
"""With fewer cells than this to measure in, the factor is the same for all."""
SHRINKAGE = 0.2
"""Of what the logarithm gains from .5 to 1, as `PoissonRegressor` has it: with 20 cells, each halved in 5 ways, as if
that were known beforehand to be 0 with a deviation of .4. In simulation it is -.35 with few features, 0 with many."""


class Widening(NamedTuple):
    """What DeLong's variance of an AUC is multiplied by: a factor of 1 at least, by its logarithm."""

    at_chance: float
    per_distance: float = 0.0
    """What the logarithm gains from an AUC of .5 to one of 0 or 1."""

    def factor(self, auc: float) -> float:
        """The factor for this AUC."""
        return math.exp(max(0.0, self.at_chance + self.per_distance * _distance(auc)))


def widening_of(factor: float) -> Widening:
    """The same factor for every AUC."""
    return Widening(math.log(factor))


def measured_widening(
    scores: Scores,
    mask: Bool[np.ndarray, "example position"],
    labels: Labels,
    store: Cells,
    probing: Probing,
    *,
    halvings: int,
    seed: int,
    device: str = "cpu",
) -> Widening | None:
    """What DeLong's variances are multiplied by in a probe map; None where no cell can be halved.

    Parameters
    ----------
    scores, mask, labels, store, probing
        What the map is made from.
    halvings
        In how many ways the examples of a cell are halved; of maps with fewer than `CELLS` cells in more, so that
        there are as many halves.
    seed
        Decides these ways.
    device
        Where halves are fitted.
    """

    def of_cell(cell: tuple[int, int]) -> Spread:
        layer, column = cell
        activations = store.cell(store.layers[layer], store.positions[column]).to(device)
        rng = np.random.default_rng([seed, layer, column])
        return spread_of_halves(activations, mask[:, column], labels, probing, of_each, rng)

    cells = _over_the_map(scores, labels)
    of_each = -(-halvings * CELLS // max(1, len(cells)))
    spreads = each_on(device, of_cell, list(cells))
    measured = [(auc, spread) for auc, spread in zip(cells.values(), spreads, strict=True) if spread.expected]
    if any(spread.found for _, spread in measured):
        return _smoothed(measured)
    if halvings:
        log.warning("no cell can be halved: intervals are widened by what folds have in common")
    return None


class Spread(NamedTuple):
    """How far the AUCs of halves are apart, squared and summed over halvings, and how far DeLong's variance says."""

    found: float
    expected: float


def spread_of_halves(
    activations: Float[torch.Tensor, "example d_model"],
    present: Bool[np.ndarray, " example"],
    labels: Labels,
    probing: Probing,
    halvings: int,
    rng: np.random.Generator,
) -> Spread:
    """The spread of one cell's AUC over halves; a halving is left out if one half cannot be probed."""
    wrong, fold, side = labels.wrong[present], labels.fold[:, present], labels.side[present]
    firsts = [halved(side, wrong, fold[0], rng) for _ in range(halvings)]
    pairs = [(np.flatnonzero(first), np.flatnonzero(~first)) for first in firsts]
    halves = [half for pair in pairs if all(_can_be_probed(wrong[one], fold[:, one]) for one in pair) for half in pair]
    features = scaled_features(present_features(activations, present), by_deviation=probing.standardise)
    scores = _cross_fitted(features, wrong, fold, halves, probing) if halves else []
    found = [auc_and_influence(each, wrong[half], side[half]) for each, half in zip(scores, halves, strict=True)]
    aucs = np.array([auc for auc, _ in found])
    variances = [float((influence**2).sum()) for _, influence in found]
    return Spread(float(((aucs[::2] - aucs[1::2]) ** 2).sum()), sum(variances))


def halved(
    side: Int[np.ndarray, " n"],
    wrong: Bool[np.ndarray, " n"],
    fold: Int[np.ndarray, " n"],
    rng: np.random.Generator,
) -> Bool[np.ndarray, " n"]:
    """Which examples are in the first of two halves: of either class and fold half, and no group in both.

    Groups of one fold that are alike in size and errors make pairs, of which one goes to each half.
    """
    _, first, unit = np.unique(side, return_index=True, return_inverse=True)
    size, errors = np.bincount(unit), np.bincount(unit, weights=wrong)
    order = np.lexsort([rng.random(len(size)), size, errors, fold[first]])
    goes = rng.random((len(size) + 1) // 2) < 0.5
    is_first = np.empty(len(size), dtype=bool)
    is_first[order] = np.stack([goes, ~goes], axis=1).reshape(-1)[: len(size)]
    return is_first[unit]


def _can_be_probed(wrong: Bool[np.ndarray, " n"], fold: Int[np.ndarray, "seed n"]) -> bool:
    """Whether both classes are scored with every seed, and among what the probe of every fold is trained on."""
    left_out = [of_seed == number for of_seed in fold for number in {NEVER, *of_seed.tolist()}]
    return all(both_classes(~each, wrong) for each in left_out)


def _cross_fitted(
    features: Float[torch.Tensor, "n d_model"],
    wrong: Bool[np.ndarray, " n"],
    fold: Int[np.ndarray, "seed n"],
    halves: Sequence[Int[np.ndarray, " _"]],
    probing: Probing,
) -> list[Float[np.ndarray, "seed _"]]:
    """The out-of-fold scores of some of the examples by probes of no others, for each of several such halves."""
    n_folds = int(fold.max()) + 1
    if probing.in_gram_space:
        gram = gram_matrix(features)
        batches = batched(halves, max(1, BATCH_BYTES // (8 * max(map(len, halves)) ** 2)))
        return [each for some in batches for each in _scores_of_batch(gram, wrong, fold, some, n_folds, probing.c)]
    scores = []
    for half in halves:
        rows = torch.from_numpy(half).to(features.device)
        problem, of_half = CellFits(features[rows], wrong[half], probing), fold[:, half]
        scores.append(held_out_scores(problem, of_half, chosen_costs(problem, of_half, n_folds, probing.c)))
    return scores


def _scores_of_batch(
    gram: Float[torch.Tensor, "n n"],
    wrong: Bool[np.ndarray, " n"],
    fold: Int[np.ndarray, "seed n"],
    halves: Sequence[Int[np.ndarray, " _"]],
    n_folds: int,
    candidates: Sequence[float],
) -> list[Float[np.ndarray, "seed _"]]:
    """The scores of halves that are fitted together: small problems that would leave a machine idle one by one."""
    # A half that is smaller than the largest is filled up with an example that is not there.
    size = max(map(len, halves))
    rows = np.stack([np.pad(half, (0, size - len(half))) for half in halves])
    there = np.arange(size) < np.array([len(half) for half in halves])[:, None]
    index = torch.from_numpy(rows).to(gram.device)
    of_halves = gram[index[:, :, None], index[:, None, :]]
    batch = LabelledGrams(of_halves, there, wrong[rows], fold[:, rows].swapaxes(0, 1), n_folds)
    scores = batch.scores(candidates, nested=False)
    return [each.held_out[:, of] for each, of in zip(scores, there, strict=True)]


def _over_the_map(scores: Scores, labels: Labels) -> dict[tuple[int, int], float]:
    """Cells that are spread evenly over those that are scored, row by row, with their AUCs.

    A cell is the indices of its layer and its position. Which ones these are does not depend on their AUCs, so that
    they are the same on machines that round in other ways.
    """
    scored = np.argwhere(np.isfinite(scores.held_out).any((2, 3)))
    places = np.linspace(0, len(scored) - 1, min(CELLS, len(scored)))
    return {
        (row, column): auc_interval(scores.held_out[row, column], labels.wrong).value
        for row, column in scored[places.round().astype(int)].tolist()
    }


def _smoothed(measured: Sequence[tuple[float, Spread]]) -> Widening:
    """The widening that fits the ratios best that were measured at these AUCs."""
    from sklearn.linear_model import PoissonRegressor

    ratio = np.array([spread.found / spread.expected for _, spread in measured])
    distance = np.array([_distance(auc) for auc, _ in measured])
    if len(measured) < FEWEST_CELLS:
        return widening_of(max(1.0, float(ratio.mean())))
    fitted = PoissonRegressor(alpha=SHRINKAGE, solver="newton-cholesky").fit(distance[:, None], ratio)
    return Widening(float(fitted.intercept_), float(fitted.coef_[0]))


def _distance(auc: float) -> float:
    """How far an AUC is from .5, from 0 to 1."""
    return abs(2 * auc - 1)
