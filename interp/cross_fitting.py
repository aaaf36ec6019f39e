"""Cross-fitting: every example is scored by a fit that was not made on it, and what is chosen is chosen without it.

1. For each fold one fit is made on the other folds, and scores the fold.
2. Of several strengths of the regularisation one is taken for each fold: the one that loses least on the other folds,
   each of which is scored by a fit that leaves out both, it and the fold that the choice is for.

What is fitted, to classes or to numbers, is a `Problem`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.labels import NEVER


@runtime_checkable
class Problem(Protocol):
    """The examples of one cell, which many probes are fitted to."""

    def scores(self, cost: Float[np.ndarray, "fit n"]) -> Float[np.ndarray, "fit n"]:
        """The score of every example by each probe; what an example's loss counts is its cost, 0 is not trained on."""

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
    n_folds = costs.shape[1]
    trained = np.stack([fold != number for number in range(n_folds)], axis=1)
    fitted = problem.scores((costs[:, :, None] * trained).reshape(-1, fold.shape[1])).reshape(trained.shape)
    held_out = np.take_along_axis(fitted, np.maximum(fold, 0)[:, None], axis=1)[:, 0]
    return np.where(fold == NEVER, np.nan, held_out)


def chosen_costs(
    problem: Problem, fold: Int[np.ndarray, " n"], n_folds: int, candidates: Sequence[float]
) -> Float[np.ndarray, " fold"]:
    """For each fold the cost of the probe that scores it: the only one, or the best one within the other folds."""
    if len(candidates) == 1:
        return np.full(n_folds, candidates[0])
    losses = np.full((len(candidates), n_folds), np.inf)
    for row, c in enumerate(candidates):
        inner = inner_scores(problem, fold, np.full(n_folds, c))
        errors = problem.losses(inner)
        known = np.isfinite(errors).any(1)
        losses[row, known] = np.nanmean(errors[known], axis=1)
    return np.asarray(np.array(candidates)[losses.argmin(0)])


def inner_scores(
    problem: Problem, fold: Int[np.ndarray, " n"], costs: Float[np.ndarray, " fold"]
) -> Float[np.ndarray, "fold n"]:
    """For each fold the others' examples, each scored by a probe that was trained neither on its own fold nor on it.

    `costs` is that of each of the folds. NaN for the fold's own examples, and where nothing is left to train on.
    """
    inner = np.full((len(costs), len(fold)), np.nan)
    # Fits of two folds serve both of them, if they are to be made with the same cost.
    asked = {(frozenset(pair), costs[outer]) for pair in combinations(range(len(costs)), 2) for outer in pair}
    fits = [
        (pair, c, ~np.isin(fold, list(pair))) for pair, c in sorted(asked, key=lambda each: (sorted(each[0]), each[1]))
    ]
    fits = [fit for fit in fits if problem.can_train(fit[2])]
    if fits:
        scores = problem.scores(np.stack([c * trained for _, c, trained in fits]))
        for (pair, c, _), scored in zip(fits, scores, strict=True):
            for outer in pair:
                (other,) = pair - {outer}
                if costs[outer] == c:
                    inner[outer, fold == other] = scored[fold == other]
    return inner
