"""Probes of many cells that are fitted in one batch, as a GPU wants them, and small ones on a CPU too.

What each cell has is what it would have alone (`interp.probes.cell_probe.cell_scores`), but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from interp.probes.cell_probe import (
    NoValue,
    Probing,
    Scores,
    both_classes,
    cell_scores,
    converged_fits,
    log_losses,
    nests,
    no_scores,
    require_present_of,
    why_no_value,
)
from interp.probes.cross_fitting import Choice, InnerFits, costs_of_folds, held_out
from interp.probes.labels import Labels
from interp.probes.logistic import ConjugateGradients, rough_log_odds
from interp.work.batches import batched, in_halves_if_need_be

BATCH_BYTES = 2**31
"""Of the features and inner products of cells that are fitted in one batch on a GPU, in double precision; what is made
of them takes about as much again a few times."""


def scores_of_batch(
    activations: Float[torch.Tensor, "cell example d_model"],
    present: Bool[np.ndarray, "cell example"],
    labels: Labels,
    probing: Probing,
) -> list[Scores]:
    """What `cell_scores` gives for each of several cells, from fits that are made in one batch."""
    if not probing.in_gram_space:
        return [cell_scores(*each, labels, probing) for each in zip(activations, present, strict=True)]

    def of_some(cells: tuple[int, ...]) -> list[Scores]:
        rows, there = list(cells), present[list(cells)]
        features = batch_features(activations[rows], there, by_deviation=probing.standardise)
        wrong, fold = (np.stack([each] * len(rows)) for each in (labels.wrong, labels.fold))
        batch = LabelledGrams(features @ features.mT, there, wrong, fold, labels.n_folds)
        return batch.scores(probing.c, nested=nests(labels, probing))

    require_present_of(activations.shape[1], present)
    why = why_batch_not_usable(activations, present)
    scores = [no_scores(labels, probing) for _ in present]
    together = [cell for cell, there in enumerate(present) if not why_no_value(labels, there) and not why[cell]]
    for cells in batched(together, cells_at_once(*activations.shape[1:])):
        for cell, of_cell in zip(cells, in_halves_if_need_be(of_some, cells), strict=True):
            scores[cell] = of_cell
    return scores


@dataclass(frozen=True)
class LabelledGrams:
    """Inner products of the examples of several cells, with their labels and folds."""

    gram: Float[torch.Tensor, "cell n n"]
    there: Bool[np.ndarray, "cell n"]
    """Which of the examples a cell has; the others have no part in its fits."""
    positive: Bool[np.ndarray, "cell n"]
    fold: Int[np.ndarray, "cell seed n"]
    n_folds: int

    def scores(self, candidates: Sequence[float], *, nested: bool) -> list[Scores]:
        """Those of each cell; what the probe of any fold is trained on must have examples of both classes.

        Fits within the folds, if anything is chosen by them, are one batch, and those that score the folds another.
        """
        solver = ConjugateGradients(self.gram)
        choices = self._choices(candidates, solver, nested=nested)
        costs = [costs_of_folds(fold, choice.costs) for fold, choice in zip(self.fold, choices, strict=True)]
        of_cells = torch.from_numpy(np.stack(costs) * self.there[:, None]).to(self.gram.device)
        fitted = converged_fits(self.gram, self.positive[:, None], of_cells, solver)
        scores = zip(self._of_those_there(fitted.scores(self.gram)), self.fold, choices, strict=True)
        return [Scores(held_out(each, fold), choice.inner) for each, fold, choice in scores]

    def _choices(self, candidates: Sequence[float], solver: ConjugateGradients, *, nested: bool) -> list[Choice]:
        """What is chosen for each cell within its folds."""
        # Of each cell the same fits, also where one cannot be made, so that they are an array.
        fits = [InnerFits(lambda _: True, fold, self.n_folds, candidates, nested=nested) for fold in self.fold]
        trained = np.stack([each.trained for each in fits]) & self.there[:, None]
        scores = self._rough_scores(trained, candidates, solver)
        losses = [partial(log_losses, positive=positive) for positive in self.positive]
        return [each.choice(scores[:, cell], losses[cell]) for cell, each in enumerate(fits)]

    def _rough_scores(
        self, trained: Bool[np.ndarray, "cell fit n"], candidates: Sequence[float], solver: ConjugateGradients
    ) -> Float[np.ndarray, "candidate cell fit n"]:
        """NaN by fits that have no examples of both classes."""
        if not trained.size:
            return np.empty((len(candidates), *trained.shape))
        can_train = both_classes(trained, self.positive[:, None])[..., None]
        # In their place others are made.
        made_on = torch.from_numpy(np.where(can_train, trained, self.there[:, None])).to(self.gram.device)
        positive = torch.from_numpy(self.positive[:, None]).to(self.gram.device).expand(made_on.shape)
        scores = self._of_those_there(rough_log_odds(self.gram, positive, made_on, candidates, solver))
        return np.where(can_train, scores, np.nan)

    def _of_those_there(
        self, scores: Float[torch.Tensor, "*candidate cell fit n"]
    ) -> Float[np.ndarray, "*candidate cell fit n"]:
        """The scores of the examples that a cell has; NaN for the others."""
        return np.where(self.there[:, None], scores.cpu().numpy(), np.nan)


def cells_at_once(n: int, d_model: int) -> int:
    """How many cells of so many examples and features are fitted in one batch."""
    return max(1, BATCH_BYTES // (8 * n * (n + 2 * d_model)))


def batch_features(
    activations: Float[torch.Tensor, "cell example d_model"],
    present: Bool[np.ndarray, "cell example"],
    *,
    by_deviation: bool,
) -> Float[torch.Tensor, "cell example d_model"]:
    """`scaled_features` of each cell's examples; 0 for the others, which so have no part in the fits."""
    there = torch.from_numpy(present).to(activations.device)[:, :, None]
    n = there.sum(1, keepdim=True)
    features = torch.where(there, activations.double(), 0.0)
    # What is constant is not left to rounding, which would be blown up to a deviation of 1.
    varies = ((activations != _one_of_each(activations, present)) & there).any(1, keepdim=True)
    features = torch.where(there & varies, features - features.sum(1, keepdim=True) / n, 0.0)
    if not by_deviation:
        return features
    deviation = (features.square().sum(1, keepdim=True) / n).sqrt()
    return features / torch.where(deviation > 0, deviation, 1.0)


def why_batch_not_usable(
    activations: Float[torch.Tensor, "cell example d_model"], present: Bool[np.ndarray, "cell example"]
) -> list[NoValue]:
    """`why_not_usable` of each cell's examples."""
    absent = ~torch.from_numpy(present).to(activations.device)[:, :, None]
    finite = (activations.isfinite() | absent).all(2).all(1)
    same = ((activations == _one_of_each(activations, present)) | absent).all(2).all(1)
    of_finite = torch.where(same, NoValue.ACTIVATIONS_ALL_THE_SAME, NoValue.HAS_VALUE)
    return [NoValue(why) for why in torch.where(finite, of_finite, NoValue.ACTIVATIONS_NOT_FINITE).tolist()]


def _one_of_each(
    activations: Float[torch.Tensor, "cell example d_model"], present: Bool[np.ndarray, "cell example"]
) -> Float[torch.Tensor, "cell one d_model"]:
    """The first example that each cell has."""
    return activations[range(len(present)), present.argmax(1)][:, None]
