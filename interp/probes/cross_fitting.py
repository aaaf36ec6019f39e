"""Cross-fitting: every example is scored by a fit that was not made on it, and what is chosen is chosen without it.

1. For each fold one fit is made on the other folds, and scores the fold.
2. What is chosen for a fold is chosen by scores of the other folds, each of which is scored by a fit that leaves out
   both, it and the fold that the choice is for. So is the strength of the regularisation of several, the one that
   loses least there; and later the cell of a map, or a threshold. These fits may be rough.

What is fitted, to classes or to numbers, is a `Problem`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.probes.labels import NEVER

CanTrain = Callable[[Bool[np.ndarray, " n"]], bool]
"""Whether a probe can be fitted to these examples."""
Losses = Callable[[Float[np.ndarray, "row n"]], Float[np.ndarray, "row n"]]
"""What each score loses on its example; NaN where there is no score."""


@runtime_checkable
class Problem(Protocol):
    """The examples of one cell, which many probes are fitted to."""

    def scores(self, cost: Float[np.ndarray, "fit n"]) -> Float[np.ndarray, "fit n"]:
        """The score of every example by each probe; what an example's loss counts is its cost, 0 is not trained on."""

    def rough_scores(
        self, trained: Bool[np.ndarray, "fit n"], costs: Sequence[float]
    ) -> Float[np.ndarray, "cost fit n"]:
        """The same by probes that are trained on some examples, at each of several costs.

        They may be as far from the optimum as does not matter for what is chosen by them.
        """

    def losses(self, scores: Float[np.ndarray, "row n"]) -> Float[np.ndarray, "row n"]:
        """What each score loses on its example; NaN where there is no score."""

    def can_train(self, trained: Bool[np.ndarray, " n"]) -> bool:
        """Whether a probe can be fitted to these examples."""


def held_out_scores(
    problem: Problem, fold: Int[np.ndarray, "seed n"], costs: Float[np.ndarray, "seed fold"]
) -> Float[np.ndarray, "seed n"]:
    """For each seed every example's score by the probe that was trained on the other folds; NaN for the unscored.

    `costs` is the inverse strength of the regularisation of the probe that scores each fold.
    """
    return held_out(problem.scores(costs_of_folds(fold, costs)), fold)


def costs_of_folds(
    fold: Int[np.ndarray, "seed n"], costs: Float[np.ndarray, "seed fold"]
) -> Float[np.ndarray, "fit n"]:
    """For each seed and fold what an example counts in the probe that is trained on the other folds."""
    trained = np.stack([fold != number for number in range(costs.shape[1])], axis=1)
    return (costs[:, :, None] * trained).reshape(-1, fold.shape[1])


def held_out(scores: Float[np.ndarray, "fit n"], fold: Int[np.ndarray, "seed n"]) -> Float[np.ndarray, "seed n"]:
    """Of scores by each seed's and fold's probe every example's by the one of its own fold; NaN for the unscored."""
    of_folds = scores.reshape(len(fold), -1, fold.shape[1])
    own = np.take_along_axis(of_folds, np.maximum(fold, 0)[:, None], axis=1)[:, 0]
    return np.where(fold == NEVER, np.nan, own)


class Choice(NamedTuple):
    """What is chosen within the other folds, and what later choices are made by."""

    costs: Float[np.ndarray, "seed fold"]
    """The inverse strength of the regularisation of the probe that scores each fold."""
    inner: Float[np.ndarray, "fold n"]
    """With the first seed, for each fold the scores of the others at its strength, by probes that were trained neither
    on the example's own fold nor on the fold that the scores are for; NaN for the fold's own examples, and where
    nothing is left to train on. Of no fold, if they were not asked for."""


class InnerFits:
    """The fits within the folds, each of which leaves out two of a seed's folds, and serves the choices for both.

    There are those by which something is chosen: of every seed where there are several candidates for the inverse
    strength of the regularisation, and with `nested` of the first.
    """

    def __init__(
        self,
        can_train: CanTrain,
        fold: Int[np.ndarray, "seed n"],
        n_folds: int,
        candidates: Sequence[float],
        *,
        nested: bool,
    ) -> None:
        self.fold, self.n_folds, self.candidates, self.nested = fold, n_folds, tuple(candidates), nested
        n_chosen = len(fold) if len(candidates) > 1 else int(nested)
        self._fits = [_fits_without_two(can_train, of_seed, n_folds) for of_seed in fold[:n_chosen]]
        self._fits += [[] for _ in fold[n_chosen:]]

    @property
    def trained(self) -> Bool[np.ndarray, "fit n"]:
        """Which examples each of the fits is made on."""
        fits = [fit.trained for of_seed in self._fits for fit in of_seed]
        return np.stack(fits) if fits else np.empty((0, self.fold.shape[1]), dtype=bool)

    def choice(self, scores: Float[np.ndarray, "candidate fit n"], losses: Losses) -> Choice:
        """For each fold the candidate that loses least within the others; the first where nothing is scored there.

        The scores are those of each of the fits with every candidate.
        """
        of_seeds = np.split(scores, np.cumsum([len(fits) for fits in self._fits])[:-1], axis=1)
        inner = [self._inner(*each) for each in zip(self._fits, of_seeds, self.fold, strict=True)]
        best = np.array([np.array([_mean_losses(losses(each)) for each in of_seed]).argmin(0) for of_seed in inner])
        costs = np.array(self.candidates, dtype=np.float64)[best]
        of_first = inner[0][best[0], np.arange(self.n_folds)]
        return Choice(costs, of_first if self.nested else of_first[:0])

    def _inner(
        self, fits: Sequence[_WithoutTwo], scores: Float[np.ndarray, "candidate fit n"], fold: Int[np.ndarray, " n"]
    ) -> Float[np.ndarray, "candidate fold n"]:
        """For each fold the scores of the others within them."""
        inner = np.full((len(scores), self.n_folds, len(fold)), np.nan)
        for number, fit in enumerate(fits):
            for outer, other in (fit.left_out, fit.left_out[::-1]):
                inner[:, outer, fold == other] = scores[:, number, fold == other]
        return inner


def choice_within_folds(
    problem: Problem, fold: Int[np.ndarray, "seed n"], n_folds: int, candidates: Sequence[float], *, nested: bool
) -> Choice:
    """For each seed and fold the only candidate, or the best within the other folds; inner scores if `nested`."""
    fits = InnerFits(problem.can_train, fold, n_folds, candidates, nested=nested)
    return fits.choice(problem.rough_scores(fits.trained, candidates), problem.losses)


def chosen_costs(
    problem: Problem, fold: Int[np.ndarray, "seed n"], n_folds: int, candidates: Sequence[float]
) -> Float[np.ndarray, "seed fold"]:
    """For each seed and fold the cost of the probe that scores it: the only one, or the best within the other folds."""
    return choice_within_folds(problem, fold, n_folds, candidates, nested=False).costs


class _WithoutTwo(NamedTuple):
    """A probe that leaves out two folds."""

    left_out: tuple[int, int]
    trained: Bool[np.ndarray, " n"]


def _fits_without_two(can_train: CanTrain, fold: Int[np.ndarray, " n"], n_folds: int) -> list[_WithoutTwo]:
    fits = [_WithoutTwo((one, two), (fold != one) & (fold != two)) for one, two in combinations(range(n_folds), 2)]
    return [fit for fit in fits if can_train(fit.trained)]


def _mean_losses(errors: Float[np.ndarray, "fold n"]) -> Float[np.ndarray, " fold"]:
    """Of each fold the mean over the examples that have a loss; infinite where none has."""
    mean = np.full(len(errors), np.inf)
    known = np.isfinite(errors).any(1)
    mean[known] = np.nanmean(errors[known], axis=1)
    return mean
