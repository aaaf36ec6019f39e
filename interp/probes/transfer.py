"""Transfer: whether probes that were trained on one question set tell errors on another.

1. On each set a probe map is made, with the scores of its answers out of fold and with probes that are kept.
2. For each training set a cell is taken: its best one, which the test sets have no part in, or a given one.
3. There its probe scores the answers to every other set. A question that it was trained on, which is known by its text
   whatever its set is called, is scored by the probe of its fold, which has not seen it; that it had a part in the
   choice of the cell remains. On the set itself all are scored so, and where the cell is the best one, in the cell that
   was best without its fold (see `interp.probes.probe_map.best_cell`).
4. From each AUC that of the test set's best baseline is taken, on the same answers. A probe that does worse than chance
   on another set is not turned around, nor is a baseline; the baseline is the best of many on the very answers, which
   favours it.

As Orgad et al. 2024 (arXiv 2410.02707, section 4 and figure 3), whose probe sits at one cell for each set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.activations.store import Cells
from interp.examples import Question
from interp.probes.cell_probe import NoValue, Scores, both_classes
from interp.probes.labels import Labels
from interp.probes.linear_probes import LinearProbes
from interp.probes.probe_map import METRIC, best_cell
from interp.questions.answer_columns import MIN_PER_CLASS
from interp.results.heatmap import Heatmap
from interp.results.matrix import Matrix
from interp.results.result import meanings_of
from interp.results.scales import Scale
from interp.statistics.auc import Interval, auc_difference, auc_interval, refitting_factor

SCALE = (0.5, 1.0)
DIFFERENCE_SCALE = Scale(-0.4, 0.4, centre=0.0)


class NoTransfer(IntEnum):
    """Why a cell has no value; the code goes on from those of a probe map."""

    NO_PROBE = len(NoValue)
    """It had no value where the probe was trained."""


@dataclass(frozen=True)
class Probed:
    """A question set that has been probed."""

    name: str
    store: Cells
    mask: Bool[np.ndarray, "example position"]
    labels: Labels
    scores: Scores
    probes: Callable[[int, str], LinearProbes]
    """Those of a layer and position, and perhaps of others."""
    baselines: Mapping[str, Float[np.ndarray, " example"]]
    """The confidence of each baseline in each answer."""
    questions: Mapping[str, Question]
    """What each example asks, by its id."""

    def value(self, scores: Float[np.ndarray, "row example"], *, refits: bool) -> Interval | None:
        """The AUC of scores of its answers, the mean over the rows; None if there are too few of a class."""
        if not self.is_enough(np.isfinite(scores).any(0)):
            return None
        return auc_interval(scores, self.labels.wrong, group=self.labels.side, variance_factor=self._factor(refits))

    def beyond(self, scores: Float[np.ndarray, "row example"], name: str, *, refits: bool) -> Interval | None:
        """What the AUC is above that of a baseline, on the answers that have both."""
        error = -self.baselines[name]
        both = np.isfinite(scores) & np.isfinite(error)
        if not self.is_enough(both.any(0)):
            return None
        these, those = np.where(both, scores, np.nan), np.where(both, error, np.nan)
        factor = self._factor(refits)
        return auc_difference(these, those, self.labels.wrong, group=self.labels.side, variance_factor=factor)

    def is_enough(self, scored: Bool[np.ndarray, " example"]) -> bool:
        """Whether there are enough answers of either class."""
        return bool(both_classes(scored, self.labels.wrong, MIN_PER_CLASS))

    def _factor(self, refits: bool) -> float:
        return refitting_factor(self.labels.n_folds) if refits else 1.0

    @property
    def best_baseline(self) -> str | None:
        """The baseline with the highest AUC on its answers; None if none has one."""
        values = {name: self.value(-each[None], refits=False) for name, each in self.baselines.items()}
        known = {name: interval.value for name, interval in values.items() if interval is not None}
        return max(known, key=lambda name: known[name]) if known else None

    def best_place(self) -> tuple[int, str] | None:
        """The cell with the highest AUC out of fold; None if no cell has a value."""
        values = {
            index: interval.value
            for index in np.ndindex(self.scores.held_out.shape[:2])
            if (interval := self.value(self.scores.held_out[index], refits=True)) is not None
        }
        if not values:
            return None
        layer, column = max(values, key=lambda index: values[index])
        return self.store.layers[layer], self.store.positions[column]


def transferred_scores(
    probes: LinearProbes,
    store: Cells,
    mask: Bool[np.ndarray, "example position"],
    layer: int,
    position: str,
) -> Float[np.ndarray, " example"]:
    """The log-odds of being wrong that the probes of one cell give examples; NaN for those without the position.

    An example that the probes were trained on, which goes by its id and has to be of the same question set, is scored
    by the probe that has not seen it; any other by that of all examples.
    """
    present = mask[:, store.positions.index(position)]
    scores: np.ndarray = np.full(len(present), np.nan)
    if present.any():
        examples = [example for example, has in zip(store.examples, present, strict=True) if has]
        activations = store.cell(layer, position)[np.flatnonzero(present).tolist()]
        scores[present] = probes.cell(layer, position).scores(activations, probes.scoring(examples))
    return scores


def transferred_map(
    probes: LinearProbes,
    store: Cells,
    mask: Bool[np.ndarray, "example position"],
    wrong: Bool[np.ndarray, " example"],
    group: Int[np.ndarray, " example"],
    *,
    judged: Bool[np.ndarray, " example"] | None = None,
) -> tuple[Heatmap, Float[np.ndarray, "layer position example"]]:
    """The AUC of probes that were trained elsewhere, for each of their cells, and the scores of all examples.

    The interval is DeLong's over groups, with the probe of all examples taken as given; where that of their fold scores
    some of them, it is for the refits too, as that of a probe map is.

    Parameters
    ----------
    probes
        Of the cells of `store`.
    store, mask
        The examples that are to be scored, and which have which position.
    wrong
        Which of them are wrong.
    group
        Examples of one group, such as twins, have the same number.
    judged
        Those that the AUC is of; by default all.
    """
    known: np.ndarray = np.ones(len(wrong), dtype=bool) if judged is None else judged
    shape = (len(store.layers), len(store.positions))
    value, low, high = (np.full(shape, np.nan) for _ in range(3))
    scores = np.full((*shape, len(wrong)), np.nan)
    reason = np.full(shape, NoValue.HAS_VALUE, dtype=np.int8)
    by_fold = np.isin(probes.scoring(store.examples), range(probes.n_folds))
    for row, column in np.ndindex(shape):
        layer, position = store.layers[row], store.positions[column]
        if not probes.has_cell(layer, position):
            reason[row, column] = NoTransfer.NO_PROBE
            continue
        scores[row, column] = transferred_scores(probes, store, mask, layer, position)
        known_here = np.isfinite(scores[row, column]) & known
        if not both_classes(known_here, wrong, MIN_PER_CLASS):
            reason[row, column] = NoValue.TOO_FEW_OF_A_CLASS
            continue
        factor = refitting_factor(probes.n_folds) if (by_fold & known_here).any() else 1.0
        of_known = np.where(known, scores[row, column], np.nan)
        interval = auc_interval(of_known, wrong, group=group, variance_factor=factor)
        value[row, column], low[row, column], high[row, column] = interval
    scored = np.isfinite(scores) & known
    heatmap = Heatmap.of(
        (value, low, high, scored.sum(2).astype(np.int64)),
        names=(store.layers, store.positions),
        kind="transferred probe",
        metric=METRIC,
        scale=SCALE,
        extra={"n_wrong": (scored & wrong).sum(2).astype(np.int64), "why_missing": reason},
        attributes=meanings_of((*NoValue, *NoTransfer)),
    )
    return heatmap, scores


def transfer_matrices(sets: Sequence[Probed], place: tuple[int, str] | None = None) -> tuple[Matrix, Matrix]:
    """For each pair of sets the AUC of the one's probe on the other, and what it is above the other's best baseline.

    Parameters
    ----------
    sets
        The sets, all of one model and on the same cells.
    place
        The cell; None takes the best one of each training set.

    Returns
    -------
    tuple
        Both with ``train_layer`` and ``train_position``, the cell of each training set (-1 and empty if it has none),
        and ``n_of_fold``, how many answers were scored by the probe of their fold; the second with ``baseline`` and
        ``baseline_auc`` of each test set.
    """
    shape = (len(sets), len(sets))
    aucs, differences = (np.full((3, *shape), np.nan) for _ in range(2))
    n, n_of_fold = (np.zeros(shape, dtype=np.int64) for _ in range(2))
    places = [place or each.best_place() for each in sets]
    best = [each.best_baseline for each in sets]
    trained = [None if at is None else each.probes(*at) for each, at in zip(sets, places, strict=True)]
    for (row, train), (column, test) in ((a, b) for a in enumerate(sets) for b in enumerate(sets)):
        at, of_row = places[row], trained[row]
        if at is None or of_row is None:
            continue
        probes = of_row.for_questions(test.questions, test.name)
        scores = _own_scores(train, place) if train is test else _scores_elsewhere(probes, test, at)
        scored = np.isfinite(scores).any(0)
        trained_on = probes.scoring(test.store.examples) < probes.n_folds
        n[row, column], n_of_fold[row, column] = scored.sum(), (scored & trained_on).sum()
        auc = test.value(scores, refits=train is test)
        if auc is not None:
            aucs[:, row, column] = auc
        baseline = best[column]
        difference = None if baseline is None else test.beyond(scores, baseline, refits=train is test)
        if difference is not None:
            differences[:, row, column] = difference
    matrices = _matrix(sets, aucs, n), _matrix_of_differences(sets, differences, n, best)
    return _with_places(matrices[0], places, n_of_fold), _with_places(matrices[1], places, n_of_fold)


def _own_scores(probed: Probed, place: tuple[int, str] | None) -> Float[np.ndarray, "row example"]:
    """Out of fold: at the cell, or for each fold at the cell that was best without it."""
    if place is None:
        best = best_cell(probed.scores, probed.labels, probed.store)
        return np.full((1, len(probed.labels.wrong)), np.nan) if best is None else best.scores
    row, column = probed.store.layers.index(place[0]), probed.store.positions.index(place[1])
    return probed.scores.held_out[row, column]


def _scores_elsewhere(probes: LinearProbes, test: Probed, place: tuple[int, str]) -> Float[np.ndarray, "row example"]:
    if not probes.has_cell(*place):
        return np.full((1, len(test.labels.wrong)), np.nan)
    return transferred_scores(probes, test.store, test.mask, *place)[None]


def _matrix(
    sets: Sequence[Probed], values: Float[np.ndarray, "3 train test"], n: Int[np.ndarray, "train test"]
) -> Matrix:
    names = [each.name for each in sets]
    return Matrix.of((*values, n), names=(names, names), kind="transfer", metric=METRIC, scale=SCALE)


def _matrix_of_differences(
    sets: Sequence[Probed],
    values: Float[np.ndarray, "3 train test"],
    n: Int[np.ndarray, "train test"],
    best: Sequence[str | None],
) -> Matrix:
    names = [each.name for each in sets]
    metric = "AUC above that of the test set's best baseline"
    matrix = Matrix.of(
        (*values, n), names=(names, names), kind="transfer beyond baseline", metric=metric, scale=DIFFERENCE_SCALE
    )
    of_best = [
        None if name is None else each.value(-each.baselines[name][None], refits=False)
        for each, name in zip(sets, best, strict=True)
    ]
    told = {
        "baseline": ("test", [name or "" for name in best]),
        "baseline_auc": ("test", [np.nan if interval is None else interval.value for interval in of_best]),
    }
    return Matrix(matrix.data.assign(told))


def _with_places(
    matrix: Matrix, places: Sequence[tuple[int, str] | None], n_of_fold: Int[np.ndarray, "train test"]
) -> Matrix:
    told = {
        "train_layer": ("train", [-1 if place is None else place[0] for place in places]),
        "train_position": ("train", ["" if place is None else place[1] for place in places]),
        "n_of_fold": (("train", "test"), n_of_fold),
    }
    return Matrix(matrix.data.assign(told))
