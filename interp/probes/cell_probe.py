"""The probe of one cell: fitted to its examples in folds, and scoring each by a probe that has not seen it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from interp.errors import InputError, unknown_name
from interp.probes.classifiers import CLASSIFIERS, Classifier, K, classifier, weights_of
from interp.probes.cross_fitting import InnerFits, choice_within_folds, costs_of_folds, held_out, held_out_scores
from interp.probes.labels import NEVER, Labels
from interp.probes.logistic import ConjugateGradients, Fits, fit_each, rough_log_odds
from interp.questions.answer_columns import MIN_PER_CLASS

MIN_FOLDS_TO_NEST = 3
"""With two folds nothing is left to train on once both are left out."""
SOLVERS = ("newton", "sklearn")
STRENGTHS = (1e-3, 1e-2, 1e-1)
"""Inverse strengths of the regularisation among which to choose for activations. scikit-learn's default of 1 is too
weak for hundreds of standardised features of as many answers."""


MIN_GROUPS = 6
"""With the examples of either class in fewer groups no probe is fitted: most folds would have none, and intervals, over
groups, would not hold the AUC (of noise, 24 examples in 2, 3, 4 and 6 groups: in 27, 69, 81 and 94 %)."""


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
    TOO_FEW_GROUPS_OF_A_CLASS = 9


@dataclass(frozen=True)
class Probing:
    """How the probes of a map are fitted."""

    c: tuple[float, ...] = (1.0,)
    """Inverse strength of the L2 regularisation, as in scikit-learn. Of several, one is chosen for each fold, by the
    log-loss within the other folds."""
    kind: str = "logistic"
    """One of `interp.probes.classifiers.CLASSIFIERS`."""
    solver: str = "newton"
    """Of logistic regression, one of `SOLVERS`: the suite's own, or scikit-learn's, run to the same optimum."""
    standardise: bool = True
    """Whether the features are divided by their deviation."""
    nested: bool = True
    """Whether each cell is also scored within the training folds, for `interp.probes.probe_map.best_cell`."""
    k: int = K
    """Coordinates of the sparse probe."""

    def __post_init__(self) -> None:
        for what, name, known in (("probe", self.kind, CLASSIFIERS), ("solver", self.solver, SOLVERS)):
            if name not in known:
                raise unknown_name(what, name, known)

    @property
    def in_gram_space(self) -> bool:
        """Whether the suite's own solver fits, to inner products."""
        return (self.kind, self.solver) == ("logistic", "newton")


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
    scores = no_scores(labels, probing)
    features = present_features(activations, present)
    if why_no_value(labels, present) or why_not_usable(features):
        return scores
    fold = labels.fold[:, present]
    problem = CellFits(scaled_features(features, by_deviation=probing.standardise), labels.wrong[present], probing)
    choice = choice_within_folds(problem, fold, labels.n_folds, probing.c, nested=nests(labels, probing))
    scores.held_out[:, present], scores.inner[:, present] = held_out_scores(problem, fold, choice.costs), choice.inner
    return scores


def scores_of_labellings(
    activations: Float[torch.Tensor, "example d_model"],
    present: Bool[np.ndarray, " example"],
    labellings: Sequence[Labels],
    probing: Probing,
) -> list[Scores]:
    """What `cell_scores` gives, not nested, for each of several labels of the same examples, from one batch of fits."""
    once, features = replace(probing, nested=False), present_features(activations, present)
    scores = [no_scores(labels, once) for labels in labellings]
    usable = [each for each in zip(labellings, scores, strict=True) if not why_no_value(each[0], present)]
    if not probing.in_gram_space or not usable or why_not_usable(features):
        return [cell_scores(activations, present, labels, once) for labels in labellings]
    problems = _problems_of(scaled_features(features, by_deviation=probing.standardise), present, usable, probing)
    folds = [labels.fold[:, present] for labels, _ in usable]
    fits = [
        InnerFits(problem.can_train, fold, labels.n_folds, probing.c, nested=False)
        for problem, fold, (labels, _) in zip(problems, folds, usable, strict=True)
    ]
    tried = _rough_scores_together(problems, [each.trained for each in fits], probing.c)
    costs = [each.choice(of_each, own.losses).costs for each, of_each, own in zip(fits, tried, problems, strict=True)]
    found = _scores_together(problems, [costs_of_folds(*each) for each in zip(folds, costs, strict=True)])
    for (_, own), fold, of_each in zip(usable, folds, found, strict=True):
        own.held_out[:, present] = held_out(of_each, fold)
    return scores


def _problems_of(
    features: Float[torch.Tensor, "n d_model"],
    present: Bool[np.ndarray, " example"],
    labellings: Sequence[tuple[Labels, Scores]],
    probing: Probing,
) -> list[CellFits]:
    """The same features with several labels, of one Gram matrix."""
    gram = gram_matrix(features)
    return [CellFits(features, labels.wrong[present], probing, gram) for labels, _ in labellings]


def _scores_together(
    problems: Sequence[CellFits], costs: Sequence[Float[np.ndarray, "fit n"]]
) -> list[Float[np.ndarray, "fit n"]]:
    """The scores of the fits of several problems of one Gram matrix, which are made in one batch."""
    n_fits = [len(each) for each in costs]
    scores = problems[0].scores(np.concatenate(costs), _labels_of_fits(problems, n_fits))
    return np.split(scores, np.cumsum(n_fits)[:-1])


def _rough_scores_together(
    problems: Sequence[CellFits], trained: Sequence[Bool[np.ndarray, "fit n"]], costs: Sequence[float]
) -> list[Float[np.ndarray, "cost fit n"]]:
    """The rough scores of the fits of several problems of one Gram matrix, which are made in one batch."""
    n_fits = [len(each) for each in trained]
    scores = problems[0].rough_scores(np.concatenate(trained), costs, _labels_of_fits(problems, n_fits))
    return np.split(scores, np.cumsum(n_fits)[:-1], axis=1)


def _labels_of_fits(problems: Sequence[CellFits], n_fits: Sequence[int]) -> Bool[np.ndarray, "fit n"]:
    return np.repeat([problem.positive for problem in problems], n_fits, axis=0)


def nests(labels: Labels, probing: Probing) -> bool:
    """Whether there are scores within the folds."""
    return probing.nested and labels.n_folds >= MIN_FOLDS_TO_NEST


def no_scores(labels: Labels, probing: Probing) -> Scores:
    """The scores of a cell that cannot have a value: NaN for every example."""
    n_inner, n = labels.n_folds if nests(labels, probing) else 0, len(labels.wrong)
    return Scores(np.full(labels.fold.shape, np.nan), np.full((n_inner, n), np.nan))


def both_classes(
    these: Bool[np.ndarray, "*set example"], positive: Bool[np.ndarray, "*#set example"], least: int = 1
) -> Bool[np.ndarray, "*set"]:
    """Whether at least so many of these examples are positive, and so many are not."""
    return np.asarray(np.minimum((these & positive).sum(-1), (these & ~positive).sum(-1)) >= least)


def why_no_value(labels: Labels, present: Bool[np.ndarray, " example"]) -> NoValue:
    """Why a cell with these examples cannot have a value, as far as the labels tell; ``HAS_VALUE`` if it can."""
    labels.require_of(present)
    wrong, fold = labels.wrong[present], labels.fold[:, present]
    if len(wrong) == 0:
        return NoValue.NO_EXAMPLE
    if len(set(wrong.tolist())) < 2:
        return NoValue.ONE_CLASS_ONLY
    if not both_classes(fold != NEVER, wrong, MIN_PER_CLASS).all():
        return NoValue.TOO_FEW_OF_A_CLASS
    of_classes = [labels.side[present & of_class] for of_class in (labels.wrong, ~labels.wrong)]
    if min(len(np.unique(sides)) for sides in of_classes) < MIN_GROUPS:
        return NoValue.TOO_FEW_GROUPS_OF_A_CLASS
    for of_seed in fold:
        if not all(both_classes(of_seed != number, wrong) for number in set(of_seed.tolist()) - {NEVER}):
            return NoValue.A_FOLD_TRAINS_ON_ONE_CLASS
        if not both_classes(of_seed != NEVER, wrong):
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
    require_present_of(len(activations), present)
    return activations[torch.from_numpy(present).to(activations.device)].double()


def require_present_of(n: int, present: Bool[np.ndarray, "*cell example"]) -> None:
    """Raise an `InputError` if a mask is not of `n` examples."""
    if present.shape[-1] != n:
        raise InputError(
            f"the mask is of {present.shape[-1]} examples, and the store has {n}; give one label, and one row of the "
            "mask, for each example of the store"
        )


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


def converged_fits(
    gram: Float[torch.Tensor, "*cell n n"],
    positive: Bool[np.ndarray, "*fit n"],
    cost: Float[torch.Tensor, "*cell fit n"],
    solver: ConjugateGradients | None = None,
) -> Fits:
    """Fits to labels, the same for all or of their own; a `RuntimeError` if one does not come to its optimum."""
    fits = fit_each(gram, torch.from_numpy(positive).to(gram.device).expand(cost.shape), cost, solver)
    if not bool(fits.converged.all()):
        raise RuntimeError(f"a probe did not converge in {fits.steps} steps (n {gram.shape[-1]})")
    return fits


def log_losses(scores: Float[np.ndarray, "row n"], positive: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "row n"]:
    """The log-loss of log-odds on examples of either class; NaN where there is no score."""
    with np.errstate(invalid="ignore"):  # Of a fold's own examples there is no inner score.
        return np.logaddexp(0, np.where(positive, -scores, scores))


class CellFits:
    """The features of a cell and which of its examples are positive: an `interp.probes.cross_fitting.Problem`.

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
        self.gram = (gram_matrix(features) if gram is None else gram) if probing.in_gram_space else None
        self.solver = None if self.gram is None else ConjugateGradients(self.gram)

    def scores(
        self,
        cost: Float[np.ndarray, "fit n"],
        positive: Bool[np.ndarray, "fit n"] | None = None,
    ) -> Float[np.ndarray, "fit n"]:
        """The log-odds of every example by each probe; an example whose cost is 0 is not trained on.

        With `positive` each has labels of its own, which the suite's own solver alone can take.
        """
        if self.gram is None:
            features = self.features.cpu().numpy()
            scored = [self._classifier(each).decision_function(features) for each in cost]
            return np.stack(scored).astype(np.float64)
        return self._fits(self.gram, cost, positive).scores(self.gram).cpu().numpy()

    def rough_scores(
        self,
        trained: Bool[np.ndarray, "fit n"],
        costs: Sequence[float],
        positive: Bool[np.ndarray, "fit n"] | None = None,
    ) -> Float[np.ndarray, "cost fit n"]:
        """As `scores`, by probes that are trained on some examples at each of several costs; rough by our own solver.

        See `interp.probes.cross_fitting.Problem`.
        """
        if not len(trained):
            return np.empty((len(costs), *trained.shape))
        if self.gram is None:
            return np.stack([self.scores(cost * trained) for cost in costs])
        labels, device = self.positive if positive is None else positive, self.gram.device
        of_fits = torch.from_numpy(labels).to(device).expand(trained.shape)
        made_on = torch.from_numpy(trained).to(device)
        return rough_log_odds(self.gram, of_fits, made_on, costs, self.solver).cpu().numpy()

    def losses(self, scores: Float[np.ndarray, "row n"]) -> Float[np.ndarray, "row n"]:
        """The log-loss of each score; NaN where there is none."""
        return log_losses(scores, self.positive)

    def can_train(self, trained: Bool[np.ndarray, " n"]) -> bool:
        """Whether both classes are among these examples."""
        return bool(both_classes(trained, self.positive))

    def directions(self, cost: Float[np.ndarray, "fit n"]) -> tuple[np.ndarray, np.ndarray]:
        """What the probes of `scores` multiply the features with (fit × d_model), and add (fit)."""
        if self.gram is None:
            fitted = [weights_of(self._classifier(each)) for each in cost]
            return np.stack([weight for weight, _ in fitted]), np.array([intercept for _, intercept in fitted])
        fits = self._fits(self.gram, cost)
        return (fits.alpha @ self.features).cpu().numpy(), fits.intercept.cpu().numpy()

    def _fits(
        self,
        gram: Float[torch.Tensor, "n n"],
        cost: Float[np.ndarray, "fit n"],
        positive: Bool[np.ndarray, "fit n"] | None = None,
    ) -> Fits:
        labels = self.positive if positive is None else positive
        return converged_fits(gram, labels, torch.from_numpy(cost).to(gram.device), self.solver)

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
