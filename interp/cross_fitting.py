"""Cross-fitting: every example is scored by a fit that was not made on it, and what is chosen is chosen without it.

1. For each fold one fit is made on the other folds, and scores the fold.
2. Of several strengths of the regularisation one is taken for each fold: the one that loses least on the other folds,
   each of which is scored by a fit that leaves out both, it and the fold that the choice is for.

What is fitted, to classes or to numbers, is a `Problem`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.labels import NEVER

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

        They may be as far from the optimum as does not matter for the mean of their losses.
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
    return _held_out(problem.scores(_costs_of_folds(fold, costs)), fold)


class CrossFits:
    """The fits of `held_out_scores`, and with `nested` those within the folds of the first seed, made together."""

    def __init__(
        self,
        can_train: CanTrain,
        fold: Int[np.ndarray, "seed n"],
        costs: Float[np.ndarray, "seed fold"],
        *,
        nested: bool,
    ) -> None:
        self.fold, self.costs = fold, costs
        self._outer = _costs_of_folds(fold, costs)
        self._inner_fits = _inner_fits(can_train, fold[0], costs[0]) if nested else []

    @property
    def cost(self) -> Float[np.ndarray, "fit n"]:
        """What an example's loss counts in each of the fits."""
        return np.concatenate([self._outer, _costs_of(self._inner_fits)]) if self._inner_fits else self._outer

    def of(self, scores: Float[np.ndarray, "fit n"]) -> tuple[Float[np.ndarray, "seed n"], Float[np.ndarray, "fold n"]]:
        """Of the scores by each of the fits `held_out_scores`, and for each fold those of the others within them.

        The latter are by a probe that was trained neither on the example's own fold nor on the fold that they are for;
        NaN for the fold's own examples, and where nothing is left to train on. The scores of more fits are ignored.
        """
        held_out = _held_out(scores[: len(self._outer)], self.fold)
        inner = scores[len(self._outer) :][: len(self._inner_fits)]
        return held_out, _inner(self._inner_fits, inner, self.fold[0], self.costs[0])


class Candidates:
    """The fits by which one of several strengths of the regularisation is chosen for each fold, made together."""

    def __init__(
        self, can_train: CanTrain, fold: Int[np.ndarray, "seed n"], n_folds: int, candidates: Sequence[float]
    ) -> None:
        # One fit for a pair of folds, whatever the candidate: no cost tells them apart.
        self.fold, self.candidates, self._same = fold, np.array(candidates, dtype=np.float64), np.ones(n_folds)
        self._fits = [_inner_fits(can_train, of_seed, self._same) for of_seed in fold]

    @property
    def trained(self) -> Bool[np.ndarray, "fit n"]:
        """Which examples each of the fits is made on, at every candidate."""
        fits = [fit.trained for of_seed in self._fits for fit in of_seed]
        return np.stack(fits) if fits else np.empty((0, self.fold.shape[1]), dtype=bool)

    def chosen(self, scores: Float[np.ndarray, "candidate fit n"], losses: Losses) -> Float[np.ndarray, "seed fold"]:
        """The candidate that loses least within the other folds; the first where nothing can be fitted within them."""
        of_seeds = np.split(scores, np.cumsum([len(fits) for fits in self._fits])[:-1], axis=1)
        best = []
        for fits, of_seed, fold in zip(self._fits, of_seeds, self.fold, strict=True):
            inner = [_inner(fits, of_candidate, fold, self._same) for of_candidate in of_seed]
            best.append(np.array([_mean_losses(losses(each)) for each in inner]).argmin(0))
        return np.asarray(self.candidates[np.array(best)])


def _mean_losses(errors: Float[np.ndarray, "fold n"]) -> Float[np.ndarray, " fold"]:
    """Of each fold the mean over the examples that have a loss; infinite where none has."""
    mean = np.full(len(errors), np.inf)
    known = np.isfinite(errors).any(1)
    mean[known] = np.nanmean(errors[known], axis=1)
    return mean


def chosen_costs(
    problem: Problem, fold: Int[np.ndarray, "seed n"], n_folds: int, candidates: Sequence[float]
) -> Float[np.ndarray, "seed fold"]:
    """For each seed and fold the cost of the probe that scores it: the only one, or the best within the other folds."""
    if len(candidates) == 1:
        return np.full((len(fold), n_folds), candidates[0], dtype=np.float64)
    among = Candidates(problem.can_train, fold, n_folds, candidates)
    return among.chosen(problem.rough_scores(among.trained, candidates), problem.losses)


class _InnerFit(NamedTuple):
    """A probe that leaves out two folds; it serves both of them, if theirs are to be made with the same cost."""

    left_out: frozenset[int]
    cost: float
    trained: Bool[np.ndarray, " n"]


def _inner_fits(can_train: CanTrain, fold: Int[np.ndarray, " n"], costs: Float[np.ndarray, " fold"]) -> list[_InnerFit]:
    pairs = combinations(range(len(costs)), 2)
    asked = {(pair, float(costs[outer])) for pair in pairs for outer in pair}
    fits = [_InnerFit(frozenset(pair), cost, ~np.isin(fold, pair)) for pair, cost in sorted(asked)]
    return [fit for fit in fits if can_train(fit.trained)]


def _costs_of(fits: Sequence[_InnerFit]) -> Float[np.ndarray, "fit n"]:
    return np.stack([fit.cost * fit.trained for fit in fits])


def _inner(
    fits: Sequence[_InnerFit],
    scores: Float[np.ndarray, "fit n"],
    fold: Int[np.ndarray, " n"],
    costs: Float[np.ndarray, " fold"],
) -> Float[np.ndarray, "fold n"]:
    inner = np.full((len(costs), len(fold)), np.nan)
    for fit, scored in zip(fits, scores, strict=True):
        for outer in fit.left_out:
            (other,) = fit.left_out - {outer}
            if costs[outer] == fit.cost:
                inner[outer, fold == other] = scored[fold == other]
    return inner


def _costs_of_folds(
    fold: Int[np.ndarray, "seed n"], costs: Float[np.ndarray, "seed fold"]
) -> Float[np.ndarray, "fit n"]:
    """For each seed and fold the costs of the probe that is trained on the other folds."""
    trained = np.stack([fold != number for number in range(costs.shape[1])], axis=1)
    return np.asarray((costs[:, :, None] * trained).reshape(-1, fold.shape[1]))


def _held_out(scores: Float[np.ndarray, "fit n"], fold: Int[np.ndarray, "seed n"]) -> Float[np.ndarray, "seed n"]:
    """Of the scores by each seed's and fold's probe every example's by the one that is its own."""
    of_folds = scores.reshape(len(fold), -1, fold.shape[1])
    held_out = np.take_along_axis(of_folds, np.maximum(fold, 0)[:, None], axis=1)[:, 0]
    return np.where(fold == NEVER, np.nan, held_out)
