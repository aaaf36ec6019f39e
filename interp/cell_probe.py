"""The probe of one cell: fitted to its examples in folds, and scoring each by a probe that has not seen it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from interp.answer_columns import MIN_PER_CLASS
from interp.classifiers import Classifier, K, classifier, weights_of
from interp.cross_fitting import chosen_costs, held_out_and_inner_scores, held_out_scores
from interp.labels import NEVER, Labels
from interp.logistic import Fits, fit_each

MIN_FOLDS_TO_NEST = 3
"""With two folds nothing is left to train on once both are left out."""
SOLVERS = ("newton", "sklearn")


class NoValue(IntEnum):
    """Why a cell of a probe map has no value."""

    HAS_VALUE = 0
    NO_EXAMPLE = 1
    ONE_CLASS_ONLY = 2
    TOO_FEW_OF_A_CLASS = 3
    A_FOLD_TRAINS_ON_ONE_CLASS = 4
    ACTIVATIONS_NOT_FINITE = 5
    ACTIVATIONS_ALL_THE_SAME = 6
    ONE_CLASS_IS_SCORED = 7
    CONTROLS_CANNOT_BE_PROBED = 8


@dataclass(frozen=True)
class Probing:
    """How the probes of a map are fitted."""

    c: tuple[float, ...] = (1.0,)
    """Inverse strength of the L2 regularisation, as in scikit-learn. Of several, one is chosen for each fold, by the
    log-loss within the other folds."""
    kind: str = "logistic"
    """One of `interp.classifiers.CLASSIFIERS`."""
    solver: str = "newton"
    """Of logistic regression, one of `SOLVERS`: the suite's own, or scikit-learn's, run to the same optimum."""
    standardise: bool = True
    """Whether the features are divided by their deviation."""
    nested: bool = True
    """Whether each cell is also scored within the training folds, for `best_cell`."""
    k: int = K
    """Coordinates of the sparse probe."""


class Scores(NamedTuple):
    """Log-odds of being wrong, by probes that were not trained on the example; NaN where there is none."""

    held_out: Float[np.ndarray, "*cells seed example"]
    inner: Float[np.ndarray, "*cells fold example"]
    """With the first seed, by a probe that was also not trained on the fold; no folds if that was not asked for."""


def cell_scores(
    activations: Float[torch.Tensor, "example d_model"],
    present: Bool[np.ndarray, " example"],
    labels: Labels,
    probing: Probing,
) -> Scores:
    """The scores of one cell; NaN for every example of a cell that cannot have a value."""
    n_inner = labels.n_folds if probing.nested and labels.n_folds >= MIN_FOLDS_TO_NEST else 0
    scores = Scores(np.full(labels.fold.shape, np.nan), np.full((n_inner, len(present)), np.nan))
    features = present_features(activations, present)
    if why_no_value(labels, present) or why_not_usable(features):
        return scores
    fold = labels.fold[:, present]
    problem = CellFits(scaled_features(features, by_deviation=probing.standardise), labels.wrong[present], probing)
    costs = np.stack([chosen_costs(problem, of_seed, labels.n_folds, probing.c) for of_seed in fold])
    if n_inner:
        scores.held_out[:, present], scores.inner[:, present] = held_out_and_inner_scores(problem, fold, costs)
    else:
        scores.held_out[:, present] = held_out_scores(problem, fold, costs)
    return scores


def why_no_value(labels: Labels, present: Bool[np.ndarray, " example"]) -> NoValue:
    """Why a cell with these examples cannot have a value, as far as the labels tell; ``HAS_VALUE`` if it can."""
    wrong, fold = labels.wrong[present], labels.fold[:, present]
    if len(wrong) == 0:
        return NoValue.NO_EXAMPLE
    fewest = min(int(wrong.sum()), int((~wrong).sum()))
    if fewest == 0:
        return NoValue.ONE_CLASS_ONLY
    if fewest < MIN_PER_CLASS:
        return NoValue.TOO_FEW_OF_A_CLASS
    for of_seed in fold:
        if any(len(set(wrong[of_seed != number].tolist())) < 2 for number in set(of_seed.tolist()) - {NEVER}):
            return NoValue.A_FOLD_TRAINS_ON_ONE_CLASS
        if len(set(wrong[of_seed != NEVER].tolist())) < 2:
            return NoValue.ONE_CLASS_IS_SCORED
    return NoValue.HAS_VALUE


def why_not_usable(features: Float[torch.Tensor, "n d_model"]) -> NoValue:
    """What about the features of a cell keeps it from having a value; ``HAS_VALUE`` if nothing does."""
    if not bool(features.isfinite().all()):
        return NoValue.ACTIVATIONS_NOT_FINITE
    return NoValue.ACTIVATIONS_ALL_THE_SAME if bool((features == features[:1]).all()) else NoValue.HAS_VALUE


def present_features(
    activations: Float[torch.Tensor, "example d_model"], present: Bool[np.ndarray, " example"]
) -> Float[torch.Tensor, "n d_model"]:
    """The features of the examples that a cell has, in double precision."""
    return activations[torch.from_numpy(present).to(activations.device)].double()


def scaled_features(
    features: Float[torch.Tensor, "n d_model"], *, by_deviation: bool
) -> Float[torch.Tensor, "n d_model"]:
    """Features around their means, and by their deviations; a constant feature is left out of the latter."""
    centred = features - features.mean(0)
    if not by_deviation:
        return centred
    return centred / deviations(features)


def deviations(features: Float[torch.Tensor, "n d_model"]) -> Float[torch.Tensor, " d_model"]:
    """What features are divided by: their deviations, and 1 where a feature is constant."""
    deviation = features.std(0, correction=0)
    return torch.where(deviation > 0, deviation, 1.0)


def gram_matrix(features: Float[torch.Tensor, "n d_model"]) -> Float[torch.Tensor, "n n"]:
    """Inner products of examples."""
    if features.device.type != "cpu":
        return features @ features.T
    # NumPy sees that the factors are the same, and computes one half.
    array = features.numpy()
    return torch.from_numpy(array @ array.T)


class CellFits:
    """The features of a cell and which of its examples are positive: an `interp.cross_fitting.Problem`.

    With `gram`, what `gram_matrix` gives for the features, it is not computed again.
    """

    def __init__(
        self,
        features: Float[torch.Tensor, "n d_model"],
        positive: Bool[np.ndarray, " n"],
        probing: Probing,
        gram: Float[torch.Tensor, "n n"] | None = None,
    ) -> None:
        self.features, self.positive, self.probing = features, positive, probing
        in_gram_space = (probing.kind, probing.solver) == ("logistic", "newton")
        self.gram = (gram_matrix(features) if gram is None else gram) if in_gram_space else None

    def scores(self, cost: Float[np.ndarray, "fit n"]) -> Float[np.ndarray, "fit n"]:
        """The log-odds of every example by each probe; an example whose cost is 0 is not trained on."""
        if self.gram is None:
            features = self.features.cpu().numpy()
            scored = [self._classifier(each).decision_function(features) for each in cost]
            return np.stack(scored).astype(np.float64)
        scores: np.ndarray = self._fits(self.gram, cost).scores(self.gram).cpu().numpy()
        return scores

    def losses(self, scores: Float[np.ndarray, "row n"]) -> Float[np.ndarray, "row n"]:
        """The log-loss of each score; NaN where there is none."""
        with np.errstate(invalid="ignore"):  # Of a fold's own examples there is no inner score.
            return np.asarray(np.logaddexp(0, np.where(self.positive, -scores, scores)))

    def can_train(self, trained: Bool[np.ndarray, " n"]) -> bool:
        """Whether both classes are among these examples."""
        return len(set(self.positive[trained].tolist())) == 2

    def directions(self, cost: Float[np.ndarray, "fit n"]) -> tuple[np.ndarray, np.ndarray]:
        """What the probes of `scores` multiply the features with (fit × d_model), and add (fit)."""
        if self.gram is None:
            fitted = [weights_of(self._classifier(each)) for each in cost]
            return np.stack([weight for weight, _ in fitted]), np.array([intercept for _, intercept in fitted])
        fits = self._fits(self.gram, cost)
        return (fits.alpha @ self.features).cpu().numpy(), fits.intercept.cpu().numpy()

    def _fits(self, gram: Float[torch.Tensor, "n n"], cost: Float[np.ndarray, "fit n"]) -> Fits:
        positive = torch.from_numpy(self.positive).to(gram.device).expand(len(cost), -1)
        fits = fit_each(gram, positive, torch.from_numpy(cost).to(gram.device))
        if not bool(fits.converged.all()):
            raise RuntimeError(f"a probe did not converge in {fits.steps} steps (n {len(self.positive)})")
        return fits

    def _classifier(self, cost: Float[np.ndarray, " n"]) -> Classifier:
        trained = cost > 0
        made = classifier(self.probing.kind, float(cost.max()), k=self.probing.k)
        return made.fit(self.features.cpu().numpy()[trained], self.positive[trained])


def best_cost(cell: CellFits, fold: Int[np.ndarray, " n"], n_folds: int, candidates: Sequence[float]) -> float:
    """The C for a probe of all examples: the only one, or the one with the least log-loss out of fold."""
    if len(candidates) == 1:
        return candidates[0]
    trained = np.stack([fold != number for number in range(n_folds)])
    losses = []
    for c in candidates:
        scores = np.take_along_axis(cell.scores(c * trained), np.maximum(fold, 0)[None], axis=0)
        losses.append(cell.losses(scores)[0, fold != NEVER].mean())
    return candidates[int(np.argmin(losses))]
