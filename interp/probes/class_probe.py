"""The probe map of several classes: for each class a probe that tells it from the rest, all on the same folds.

A cell's value is the mean of the AUCs of those classes that it has enough examples of (`MIN_PER_CLASS`). The examples
of the others stay among the rest. How many classes that were is ``n_classes``; what each of them has is
``class_value`` with its interval and ``class_n``, on ``(layer, position, class)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float

from interp.activations.store import Cells
from interp.probes.cell_probe import (
    CellFits,
    NoValue,
    Probing,
    Scores,
    gram_matrix,
    present_features,
    scaled_features,
    why_no_value,
    why_not_usable,
)
from interp.probes.cross_fitting import chosen_costs, held_out_scores
from interp.probes.labels import Labels
from interp.probes.probe_map import scores_of_cells, why_not_scored
from interp.results.heatmap import Heatmap
from interp.results.result import meanings_of
from interp.statistics.auc import auc_interval, macro_auc_interval, macro_bootstrap_interval, refitting_factor
from interp.statistics.means import group_draws

MIN_CLASSES = 2
"""A cell in which fewer classes than this can be told from the rest has no value."""


def class_scores(
    store: Cells,
    mask: Bool[np.ndarray, "example position"],
    classes: Mapping[str, Labels],
    probing: Probing,
    *,
    parts: Path | None = None,
    device: str = "cpu",
) -> Scores:
    """Score every example of every cell, for each class, by probes that were not trained on it.

    As `interp.probes.probe_map.out_of_fold_scores`, on layers, positions and classes; without inner scores.
    """

    def of_cell(activations: Float[torch.Tensor, "example d_model"], present: Bool[np.ndarray, " example"]) -> Scores:
        return class_scores_of_cell(activations, present, classes, probing)

    return scores_of_cells(store, mask, of_cell, parts=parts, device=device)


def class_scores_of_cell(
    activations: Float[torch.Tensor, "example d_model"],
    present: Bool[np.ndarray, " example"],
    classes: Mapping[str, Labels],
    probing: Probing,
) -> Scores:
    """The scores of one cell, on classes; NaN for a class that the cell has too few examples of."""
    fold = next(iter(classes.values())).fold
    scores = Scores(np.full((len(classes), *fold.shape), np.nan), np.full((len(classes), 0, len(present)), np.nan))
    known = [number for number, labels in enumerate(classes.values()) if not why_no_value(labels, present)]
    features = present_features(activations, present)
    if len(known) < MIN_CLASSES or why_not_usable(features):
        return scores
    features = scaled_features(features, by_deviation=probing.standardise)
    gram = gram_matrix(features)
    for number in known:
        labels = list(classes.values())[number]
        problem = CellFits(features, labels.wrong[present], probing, gram)
        of_seeds = fold[:, present]
        costs = chosen_costs(problem, of_seeds, labels.n_folds, probing.c)
        scores.held_out[number][:, present] = held_out_scores(problem, of_seeds, costs)
    return scores


def class_map(
    scores: Scores,
    mask: Bool[np.ndarray, "example position"],
    classes: Mapping[str, Labels],
    store: Cells,
    *,
    metric: str,
    draws: int = 0,
) -> Heatmap:
    """The mean AUC of every cell's classes, with its interval, n and, where there is no value, the reason."""
    shape = scores.held_out.shape[:2]
    of_map = {name: np.full(shape, np.nan) for name in ("value", "low", "high", "low_bootstrap", "high_bootstrap")}
    of_class = {name: np.full((*shape, len(classes)), np.nan) for name in ("class_value", "class_low", "class_high")}
    n, n_classes = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    class_n, reason = np.zeros((*shape, len(classes)), dtype=np.int64), np.zeros(shape, dtype=np.int8)
    any_class = next(iter(classes.values()))
    side, factor = any_class.side, refitting_factor(any_class.n_folds)
    positive = np.stack([labels.wrong for labels in classes.values()])
    weights = group_draws(side, draws, np.random.default_rng(0)) if draws else None
    for cell in np.ndindex(shape):
        present = mask[:, cell[1]]
        scored = any_class.scored.any(0) & present
        n[cell], class_n[cell] = scored.sum(), positive[:, scored].sum(1)
        known = np.isfinite(scores.held_out[cell]).any((1, 2))
        n_classes[cell] = known.sum()
        if not known.any():
            reason[cell] = _why_no_class(store, cell, scores, classes, present)
            continue
        of_known = scores.held_out[cell][known]
        interval = macro_auc_interval(of_known, positive[known], group=side, variance_factor=factor)
        of_map["value"][cell], of_map["low"][cell], of_map["high"][cell] = interval
        for number in np.flatnonzero(known):
            own = scores.held_out[cell][number]
            each = auc_interval(own, positive[number], group=side, variance_factor=factor)
            for name, end in zip(of_class, each, strict=True):
                of_class[name][(*cell, number)] = end
        if weights is not None:
            ends = macro_bootstrap_interval(of_known, positive[known], weights)
            of_map["low_bootstrap"][cell], of_map["high_bootstrap"][cell] = ends
    bootstrapped = {name: of_map[name] for name in ("low_bootstrap", "high_bootstrap")} if draws else {}
    heatmap = Heatmap.of(
        (of_map["value"], of_map["low"], of_map["high"], n),
        names=(store.layers, store.positions),
        kind="probe",
        metric=metric,
        scale=(0.5, 1.0),
        extra={"n_classes": n_classes, "why_missing": reason} | bootstrapped,
        attributes=meanings_of(NoValue),
    )
    cells = ("layer", "position", "class")
    variables = {name: (cells, array) for name, array in (of_class | {"class_n": class_n}).items()}
    return Heatmap(heatmap.data.assign(variables).assign_coords({"class": list(classes)}))


def example_class_scores(scores: Scores, classes: Mapping[str, Labels], store: Cells) -> xr.Dataset:
    """The scores behind a map of classes, for every example, with its class and fold."""
    labels = list(classes.values())
    number = np.stack([each.wrong for each in labels]).argmax(0)
    return xr.Dataset(
        {
            "score": (("layer", "position", "class", "seed", "example"), scores.held_out.astype(np.float32)),
            "label": ("example", np.array(list(classes))[number]),
            "fold": (("seed", "example"), labels[0].fold),
            "group": ("example", labels[0].group),
            "side": ("example", labels[0].side),
        },
        coords={
            "layer": list(store.layers),
            "position": list(store.positions),
            "class": list(classes),
            "example": list(store.examples),
        },
        attrs={"score": "out-of-fold log-odds of being of the class"},
    )


def _why_no_class(
    store: Cells,
    cell: tuple[int, ...],
    scores: Scores,
    classes: Mapping[str, Labels],
    present: Bool[np.ndarray, " example"],
) -> NoValue:
    """Why no class of a cell has scores: what most of its classes lack, or else what its activations do."""
    reasons = [why_no_value(labels, present) for labels in classes.values()]
    if reasons.count(NoValue.HAS_VALUE) >= MIN_CLASSES:
        layer, column = cell
        return why_not_scored(store, layer, column, Scores(scores.held_out.max(2), scores.inner), present)
    lacking = [reason for reason in reasons if reason]
    return max(lacking, key=lacking.count)
