"""The probe map: where a linear probe can read off that an answer is wrong.

For every cell, over the examples that have the position:

1. The features are centred and divided by their deviation. Labels have no part in it, so that all examples have: one
   Gram matrix serves all fits of a cell.
2. The examples are split into folds: stratified by label, no group on two sides, the same folds for every cell; with
   several seeds in several ways. For each fold an L2 logistic regression is fitted to the other folds, to convergence,
   and scores the fold.
3. The cell's value is the AUC of these out-of-fold scores, the mean over the seeds. Errors are the positive class, as
   in Orgad et al. 2024 (arXiv 2410.02707). The interval is DeLong's, widened for the refits.

What is chosen, the regularisation of a cell or the best cell of the map, is chosen on the other folds, by fits that
leave out two folds: one that the choice will be scored on, and one that it is made on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int

from interp.answer_columns import MIN_PER_CLASS
from interp.auc import Interval, auc_interval, bootstrap_interval, group_draws, refitting_factor
from interp.classifiers import Classifier, K, classifier, weights_of
from interp.cross_fitting import chosen_costs, held_out_scores, inner_scores
from interp.files import whole_file
from interp.heatmap import Heatmap
from interp.labels import NEVER, Labels
from interp.logistic import Fits, fit_each
from interp.progress import progress
from interp.store import Cells
from interp.threads import in_single_threads

log = logging.getLogger(__name__)

MIN_FOLDS_TO_NEST = 3
"""With two folds nothing is left to train on once both are left out."""
METRIC = "AUC of error detection"
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


def out_of_fold_scores(
    store: Cells,
    mask: Bool[np.ndarray, "example position"],
    labels: Labels,
    probing: Probing,
    *,
    parts: Path,
    device: str = "cpu",
) -> Scores:
    """Score every example of every cell by probes that were not trained on it.

    Parameters
    ----------
    store
        The activations.
    mask
        Which examples have which position.
    labels
        What to predict, and the folds.
    probing
        How to fit.
    parts
        A folder that receives each layer's scores, and from which an interrupted run goes on. It must belong to
        exactly these activations, labels and ways of fitting.
    device
        Where to fit.

    Returns
    -------
    Scores
        On layers and positions.
    """

    def of_cell(activations: Float[torch.Tensor, "example d_model"], present: Bool[np.ndarray, " example"]) -> Scores:
        return cell_scores(activations, present, labels, probing)

    return scores_of_cells(store, mask, of_cell, parts=parts, device=device)


def scores_of_cells(
    store: Cells,
    mask: Bool[np.ndarray, "example position"],
    of_cell: Callable[[torch.Tensor, np.ndarray], Scores],
    *,
    parts: Path,
    device: str,
) -> Scores:
    """What a function of a cell's activations, and of which examples have it, gives for every cell.

    Each layer is kept in the folder `parts`, from which an interrupted run goes on.
    """
    layers = []
    done = sum(_part(parts, layer).is_file() for layer in store.layers)
    with progress("probe", total=len(store.layers), done=done, unit="layers") as shown:
        for layer in store.layers:
            part = _part(parts, layer)
            if not part.is_file():
                cells = _scores_of_layer(store, layer, mask, of_cell, device)
                with whole_file(part) as temporary:
                    arrays = [np.stack(each) for each in zip(*cells, strict=True)]
                    np.savez(temporary, held_out=arrays[0], inner=arrays[1])
                shown.update()
            with np.load(part) as saved:
                layers.append(Scores(saved["held_out"], saved["inner"]))
    return Scores(*[np.stack(each) for each in zip(*layers, strict=True)])


def _scores_of_layer(
    store: Cells,
    layer: int,
    mask: Bool[np.ndarray, "example position"],
    of_cell: Callable[[torch.Tensor, np.ndarray], Scores],
    device: str,
) -> list[Scores]:
    def of_column(column: int) -> Scores:
        return of_cell(store.cell(layer, store.positions[column]).to(device), mask[:, column])

    columns = range(len(store.positions))
    return (
        in_single_threads(of_column, columns) if torch.device(device).type == "cpu" else list(map(of_column, columns))
    )


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
    scores.held_out[:, present] = held_out_scores(problem, fold, costs)
    if n_inner:
        scores.inner[:, present] = inner_scores(problem, fold[0], costs[0])
    return scores


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
        if not fits.converged:
            raise RuntimeError(f"a probe did not converge in {fits.steps} steps (n {len(self.positive)})")
        return fits

    def _classifier(self, cost: Float[np.ndarray, " n"]) -> Classifier:
        trained = cost > 0
        made = classifier(self.probing.kind, float(cost.max()), k=self.probing.k)
        return made.fit(self.features.cpu().numpy()[trained], self.positive[trained])


def present_features(
    activations: Float[torch.Tensor, "example d_model"], present: Bool[np.ndarray, " example"]
) -> Float[torch.Tensor, "n d_model"]:
    """The features of the examples that a cell has, in double precision."""
    return activations[torch.from_numpy(present).to(activations.device)].double()


def gram_matrix(features: Float[torch.Tensor, "n d_model"]) -> Float[torch.Tensor, "n n"]:
    """Inner products of examples."""
    if features.device.type != "cpu":
        return features @ features.T
    # NumPy sees that the factors are the same, and computes one half.
    array = features.numpy()
    return torch.from_numpy(array @ array.T)


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


def example_scores(scores: Scores, labels: Labels, store: Cells) -> xr.Dataset:
    """The scores behind a map, for every example, with its label and fold; for spread, drill-down and resampling."""
    return xr.Dataset(
        {
            "score": (("layer", "position", "seed", "example"), scores.held_out.astype(np.float32)),
            labels.called: ("example", labels.wrong),
            "fold": (("seed", "example"), labels.fold),
            "group": ("example", labels.group),
            "side": ("example", labels.side),
        },
        coords={"layer": list(store.layers), "position": list(store.positions), "example": list(store.examples)},
        attrs={"score": f"out-of-fold log-odds of being {labels.called}"},
    )


def probe_map(
    scores: Scores,
    mask: Bool[np.ndarray, "example position"],
    labels: Labels,
    store: Cells,
    *,
    draws: int = 0,
    metric: str = METRIC,
) -> Heatmap:
    """The AUC of every cell's scores, with its interval, n and, where there is no value, the reason.

    With some `draws` also the interval of as many bootstrap samples of the groups, as ``low_bootstrap`` and
    ``high_bootstrap``; with several seeds their standard deviation as ``sd_of_seeds``. `metric` says in words what the
    AUC is of.
    """
    shape = scores.held_out.shape[:2]
    value, low, high, low_bootstrap, high_bootstrap, spread = (np.full(shape, np.nan) for _ in range(6))
    n = np.zeros(shape, dtype=np.int64)
    n_wrong, reason = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int8)
    factor = refitting_factor(labels.n_folds)
    weights = group_draws(labels.side, draws, np.random.default_rng(0)) if draws else None
    for layer, column in np.ndindex(shape):
        present = mask[:, column]
        scored = labels.scored.any(0) & present
        n[layer, column], n_wrong[layer, column] = scored.sum(), labels.wrong[scored].sum()
        reason[layer, column] = why_no_value(labels, present) or why_not_scored(store, layer, column, scores, present)
        if reason[layer, column]:
            continue
        cell = scores.held_out[layer, column]
        interval = auc_interval(cell, labels.wrong, group=labels.side, variance_factor=factor)
        value[layer, column], low[layer, column], high[layer, column] = interval
        if len(cell) > 1:
            spread[layer, column] = np.std([auc_interval(of_seed, labels.wrong).value for of_seed in cell], ddof=1)
        if weights is not None:
            ends = bootstrap_interval(cell, labels.wrong, weights)
            low_bootstrap[layer, column], high_bootstrap[layer, column] = ends
    extra = {f"n_{labels.called}": n_wrong, "why_missing": reason}
    extra |= {"sd_of_seeds": spread} if labels.fold.shape[0] > 1 else {}
    extra |= {"low_bootstrap": low_bootstrap, "high_bootstrap": high_bootstrap} if draws else {}
    return Heatmap.build(
        value,
        low,
        high,
        n,
        layers=store.layers,
        positions=list(store.positions),
        kind="probe",
        metric=metric,
        scale=(0.5, 1.0),
        extra=extra,
        attributes={"why_missing_meanings": " ".join(member.name.lower() for member in NoValue)},
    )


def refitted_aucs(
    store: Cells,
    mask: Bool[np.ndarray, "example position"],
    permuted: Sequence[Labels],
    probing: Probing,
    cells: Sequence[tuple[int, int]],
) -> list[float]:
    """The AUC of some cells (indices of layer and position) with probes fitted anew to each of the permuted labels."""
    once = replace(probing, nested=False)

    def of_cell(layer: int, column: int) -> list[float]:
        activations = store.cell(store.layers[layer], store.positions[column])
        scores = [(cell_scores(activations, mask[:, column], labels, once).held_out, labels) for labels in permuted]
        return [auc_interval(each, labels.wrong).value for each, labels in scores if np.isfinite(each).any()]

    return [auc for aucs in in_single_threads(lambda cell: of_cell(*cell), cells) for auc in aucs]


class Best(NamedTuple):
    """The best cell of a map, chosen for each fold on the others and scored on it."""

    cells: list[tuple[int, str]]
    """The layer and the position that each fold's choice fell on."""
    auc: Interval
    """The mean over the folds of the AUC of the cell that was chosen without them."""
    scores: Float[np.ndarray, "fold example"]
    """Of each fold's examples the held-out scores in its cell; NaN for the other examples."""


def best_cell(scores: Scores, labels: Labels, store: Cells) -> Best | None:
    """Choose the best cell without the answers that it is scored on; None if no fold can choose.

    The best of many cells is better than it will be on new answers, since it is chosen for its luck too. Here for each
    fold every cell is valued by the AUC within the other folds, and the best of them is scored on the fold.
    """
    n_folds = scores.inner.shape[2]
    cells, chosen = [], np.full((n_folds, len(labels.wrong)), np.nan)
    for fold in range(n_folds):
        values = {
            index: auc_interval(scores.inner[(*index, fold)], labels.wrong).value
            for index in np.ndindex(scores.inner.shape[:2])
            if _both_classes(scores.inner[(*index, fold)], labels.wrong)
        }
        if not values:
            return None
        best = max(values, key=lambda index: values[index])
        cells.append((store.layers[best[0]], store.positions[best[1]]))
        own = labels.fold[0] == fold
        chosen[fold, own] = scores.held_out[best][0][own]
    usable = [row for row in chosen if _both_classes(row, labels.wrong)]
    if not usable:
        return None
    factor = refitting_factor(n_folds)
    auc = auc_interval(np.stack(usable), labels.wrong, group=labels.side, variance_factor=factor)
    return Best(cells, auc, np.stack(usable))


def _both_classes(scores: Float[np.ndarray, " example"], wrong: Bool[np.ndarray, " example"]) -> bool:
    return len(set(wrong[np.isfinite(scores)].tolist())) == 2


def why_not_scored(
    store: Cells, layer: int, column: int, scores: Scores, present: Bool[np.ndarray, " example"]
) -> NoValue:
    """What about its activations keeps a cell from having a value, once its labels do not."""
    if np.isfinite(scores.held_out[layer, column]).any():
        return NoValue.HAS_VALUE
    activations = store.cell(store.layers[layer], store.positions[column])
    return why_not_usable(activations[torch.from_numpy(present)]) or NoValue.ACTIVATIONS_NOT_FINITE


def why_not_usable(features: Float[torch.Tensor, "n d_model"]) -> NoValue:
    """What about the features of a cell keeps it from having a value; ``HAS_VALUE`` if nothing does."""
    if not bool(features.isfinite().all()):
        return NoValue.ACTIVATIONS_NOT_FINITE
    return NoValue.ACTIVATIONS_ALL_THE_SAME if bool((features == features[:1]).all()) else NoValue.HAS_VALUE


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


def _part(parts: Path, layer: int) -> Path:
    return parts / f"layer-{layer:03d}.npz"
