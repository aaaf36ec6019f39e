"""The probe map of a number: what share of its variance a linear probe predicts on examples that it has not seen.

As the probe map (`interp.probes.probe_map`), with ridge regression in place of logistic regression: features are scaled
over all examples of a cell, one Gram matrix serves all fits, and each fold's penalty is the one of several that has the
smallest squared errors within the other folds. A cell's value is R² against the mean of the examples that were trained
on (`interp.statistics.r_squared`), the mean over the seeds; ``spearman`` is the rank correlation of predictions and
numbers, which a few very large numbers do not decide.

The interval is for the predictions as they are, widened for the refits. It does not know that the penalty was chosen.
In simulation (250 examples, 300 features, penalty chosen) it has 0 where there is nothing to predict in 98 % of draws
(and the procedure's own mean, which is a little below 0, in 78 %), and where there is something the R² that the
procedure has on average in 95 % with numbers that are normal and 88 % with lognormal ones: take the logarithm of what
spreads over several powers of ten, such as a population, or look at ``spearman``.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int

from interp.activations.store import Cells
from interp.probes.cell_probe import MIN_GROUPS, Scores, gram_matrix, present_features, scaled_features, why_not_usable
from interp.probes.cross_fitting import chosen_costs, held_out_scores
from interp.probes.labels import NEVER, Numbers
from interp.probes.probe_map import scores_of_cells
from interp.probes.ridge import ridge_predictions
from interp.questions.answer_columns import MIN_PER_CLASS
from interp.results.heatmap import Heatmap
from interp.results.result import meanings_of
from interp.statistics.auc import refitting_factor
from interp.statistics.means import group_draws
from interp.statistics.r_squared import r_squared_bootstrap, r_squared_interval
from interp.statistics.rank_agreement import spearman

PENALTIES = (1e1, 1e2, 1e3, 1e4, 1e5, 1e6)
"""With features of deviation 1, from hardly any penalty to one that leaves little but the mean."""
MIN_EXAMPLES = 2 * MIN_PER_CLASS
"""A cell with fewer examples than this has no value, as one with fewer of two classes has none."""


class NoNumber(IntEnum):
    """Why a cell of a map of numbers has no value."""

    HAS_VALUE = 0
    NO_EXAMPLE = 1
    TOO_FEW_EXAMPLES = 2
    NUMBERS_ALL_THE_SAME = 3
    A_FOLD_TRAINS_ON_NOTHING = 4
    ACTIVATIONS_NOT_FINITE = 5
    ACTIVATIONS_ALL_THE_SAME = 6
    TOO_FEW_GROUPS = 7


class NumberProblem:
    """The Gram matrix of a cell and the numbers of its examples: an `interp.probes.cross_fitting.Problem`."""

    def __init__(self, gram: Float[torch.Tensor, "n n"], value: Float[np.ndarray, " n"]) -> None:
        self.gram, self.value = gram, value

    def scores(self, cost: Float[np.ndarray, "fit n"]) -> Float[np.ndarray, "fit n"]:
        """What each probe predicts; the cost is 1 / penalty, or 0 for what is not trained on."""
        value, costs = (torch.from_numpy(array).to(self.gram.device) for array in (self.value, cost))
        return ridge_predictions(self.gram, value, costs).cpu().numpy()

    def rough_scores(
        self, trained: Bool[np.ndarray, "fit n"], costs: Sequence[float]
    ) -> Float[np.ndarray, "cost fit n"]:
        """The same of probes that are trained on some examples, at each of several costs; exact."""
        if not len(trained):
            return np.empty((len(costs), *trained.shape))
        return np.stack([self.scores(cost * trained) for cost in costs])

    def losses(self, scores: Float[np.ndarray, "row n"]) -> Float[np.ndarray, "row n"]:
        """The squared error of each prediction."""
        return (self.value - scores) ** 2

    def can_train(self, trained: Bool[np.ndarray, " n"]) -> bool:
        """Whether there is anything to train on."""
        return bool(trained.any())


def number_scores(
    store: Cells,
    mask: Bool[np.ndarray, "example position"],
    numbers: Numbers,
    penalties: Sequence[float] = PENALTIES,
    *,
    standardise: bool = True,
    parts: Path | None = None,
    device: str = "cpu",
) -> Scores:
    """Predict the number of every example of every cell by probes that were not trained on it.

    As `interp.probes.probe_map.out_of_fold_scores`; without inner scores.
    """

    def of_cell(activations: Float[torch.Tensor, "example d_model"], present: Bool[np.ndarray, " example"]) -> Scores:
        return number_scores_of_cell(activations, present, numbers, penalties, standardise=standardise)

    return scores_of_cells(store, mask, of_cell, parts=parts, device=device)


def number_scores_of_cell(
    activations: Float[torch.Tensor, "example d_model"],
    present: Bool[np.ndarray, " example"],
    numbers: Numbers,
    penalties: Sequence[float] = PENALTIES,
    *,
    standardise: bool = True,
) -> Scores:
    """The predictions of one cell; NaN for every example of a cell that cannot have a value."""
    scores = Scores(np.full(numbers.fold.shape, np.nan), np.full((0, len(present)), np.nan))
    features = present_features(activations, present)
    if _no_number(numbers, present) or why_not_usable(features):
        return scores
    gram = gram_matrix(scaled_features(features, by_deviation=standardise))
    problem, fold = NumberProblem(gram, numbers.value[present]), numbers.fold[:, present]
    candidates = [1 / penalty for penalty in penalties]
    costs = chosen_costs(problem, fold, numbers.n_folds, candidates)
    scores.held_out[:, present] = held_out_scores(problem, fold, costs)
    return scores


def number_map(
    scores: Scores,
    mask: Bool[np.ndarray, "example position"],
    numbers: Numbers,
    store: Cells,
    *,
    metric: str,
    draws: int = 0,
) -> Heatmap:
    """R² of every cell's predictions, with its interval, n and, where there is no value, the reason.

    With some `draws` also the interval of as many bootstrap samples of the groups; with several seeds their standard
    deviation as ``sd_of_seeds``.
    """
    shape = scores.held_out.shape[:2]
    names = ("value", "low", "high", "low_bootstrap", "high_bootstrap", "spearman", "sd_of_seeds")
    found = {name: np.full(shape, np.nan) for name in names}
    n, reason = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int8)
    factor, seeds = refitting_factor(numbers.n_folds), range(len(numbers.fold))
    weights = group_draws(numbers.side, draws, np.random.default_rng(0)) if draws else None
    for cell in np.ndindex(shape):
        present, predicted = mask[:, cell[1]], scores.held_out[cell]
        n[cell] = (numbers.scored.any(0) & present).sum()
        reason[cell] = _no_number(numbers, present) or _why_not_predicted(store, cell, predicted, present)
        if reason[cell]:
            continue
        errors = (numbers.value - predicted) ** 2
        of_mean = (numbers.value - training_means(numbers, present)) ** 2
        interval = r_squared_interval(errors, of_mean, group=numbers.side, variance_factor=factor)
        found["value"][cell], found["low"][cell], found["high"][cell] = interval
        found["spearman"][cell] = np.mean([spearman(predicted[seed], numbers.value) for seed in seeds])
        if len(seeds) > 1:
            of_seeds = 1 - np.nansum(errors, axis=1) / np.nansum(of_mean, axis=1)
            found["sd_of_seeds"][cell] = of_seeds.std(ddof=1)
        if weights is not None:
            ends = r_squared_bootstrap(errors, of_mean, weights)
            found["low_bootstrap"][cell], found["high_bootstrap"][cell] = ends
    kept = ["spearman", *(["sd_of_seeds"] if len(seeds) > 1 else []), *(names[3:5] if draws else [])]
    return Heatmap.of(
        (found["value"], found["low"], found["high"], n),
        names=(store.layers, store.positions),
        kind="probe",
        metric=metric,
        scale=(0.0, 1.0),
        extra={name: found[name] for name in kept} | {"why_missing": reason},
        attributes=meanings_of(NoNumber),
    )


def training_means(numbers: Numbers, present: Bool[np.ndarray, " example"]) -> Float[np.ndarray, "seed example"]:
    """For each example of a cell the mean of the numbers that the probe which scores it was trained on; else NaN."""
    means = np.full(numbers.fold.shape, np.nan)
    for seed, fold in enumerate(numbers.fold):
        for number in set(fold[present].tolist()) - {NEVER}:
            means[seed, present & (fold == number)] = numbers.value[present & (fold != number)].mean()
    return means


def example_numbers(scores: Scores, numbers: Numbers, store: Cells) -> xr.Dataset:
    """The predictions behind a map of numbers, for every example, with its number and fold."""
    return xr.Dataset(
        {
            "score": (("layer", "position", "seed", "example"), scores.held_out.astype(np.float32)),
            "label": ("example", numbers.value),
            "fold": (("seed", "example"), numbers.fold),
            "group": ("example", numbers.group),
            "side": ("example", numbers.side),
        },
        coords={"layer": list(store.layers), "position": list(store.positions), "example": list(store.examples)},
        attrs={"score": "out-of-fold predictions of the number"},
    )


def _no_number(numbers: Numbers, present: Bool[np.ndarray, " example"]) -> NoNumber:
    """Why a cell with these examples cannot have a value, as far as the numbers tell; ``HAS_VALUE`` if it can."""
    numbers.require_of(present)
    value, fold = numbers.value[present], numbers.fold[:, present]
    if len(value) == 0:
        return NoNumber.NO_EXAMPLE
    if len(value) < MIN_EXAMPLES:
        return NoNumber.TOO_FEW_EXAMPLES
    if (value == value[0]).all():
        return NoNumber.NUMBERS_ALL_THE_SAME
    if len(np.unique(numbers.side[present])) < MIN_GROUPS:
        return NoNumber.TOO_FEW_GROUPS
    return NoNumber.A_FOLD_TRAINS_ON_NOTHING if _trains_on_nothing(fold) else NoNumber.HAS_VALUE


def _trains_on_nothing(fold: Int[np.ndarray, "seed n"]) -> bool:
    """Whether with some seed all examples are of one fold, or none is scored."""
    return any(len(set(of_seed.tolist())) < 2 for of_seed in fold)


def _why_not_predicted(
    store: Cells,
    cell: tuple[int, ...],
    predicted: Float[np.ndarray, "seed example"],
    present: Bool[np.ndarray, " example"],
) -> NoNumber:
    """What about its activations keeps a cell from having a value, once its numbers do not."""
    if np.isfinite(predicted).any():
        return NoNumber.HAS_VALUE
    activations = store.cell(store.layers[cell[0]], store.positions[cell[1]])
    why = why_not_usable(present_features(activations, present))
    return NoNumber[why.name] if why else NoNumber.ACTIVATIONS_NOT_FINITE
