"""The probe map: where a linear probe can read off that an answer is wrong.

For every cell, over the examples that have the position:

1. Split the examples into folds: stratified by label, no group on two sides, the same folds for every cell.
2. For each fold, standardise the features by the other folds' mean and deviation, fit an L2 logistic regression
   there to convergence, and score the fold.
3. The cell's value is the AUC of these out-of-fold scores. Errors are the positive class, as in Orgad et al. 2024
   (arXiv 2410.02707). The interval is DeLong's, widened for the refits.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int

from interp.auc import auc_interval, refitting_factor
from interp.errors import InputError
from interp.files import whole_file
from interp.heatmap import Heatmap
from interp.logistic import fit_logistic
from interp.progress import progress
from interp.store import Cells

log = logging.getLogger(__name__)

MIN_PER_CLASS = 10
"""A cell with fewer examples of either class than this has no value."""
METRIC = "AUC of error detection"


class NoValue(IntEnum):
    """Why a cell of a probe map has no value."""

    HAS_VALUE = 0
    NO_EXAMPLE = 1
    ONE_CLASS_ONLY = 2
    TOO_FEW_OF_A_CLASS = 3
    A_FOLD_TRAINS_ON_ONE_CLASS = 4
    ACTIVATIONS_NOT_FINITE = 5


@dataclass(frozen=True)
class Labels:
    """What is to be predicted for each example, and how the examples are split."""

    wrong: Bool[np.ndarray, " example"]
    fold: Int[np.ndarray, " example"]

    @classmethod
    def of(cls, correct: Sequence[bool], groups: Sequence[str], *, folds: int, seed: int) -> Labels:
        """Errors as the positive class, and seeded folds, stratified by it, that keep every group together.

        Raises
        ------
        InputError
            If there are not enough groups for the folds.
        """
        from sklearn.model_selection import StratifiedGroupKFold

        wrong = ~np.array(correct, dtype=bool)
        n_groups = len(set(groups))
        if folds < 2 or n_groups < folds:
            raise InputError(
                f"cannot split {len(wrong)} judged answers in {n_groups} groups into {folds} folds; "
                "ask more questions (--n) or give another --folds (2 at least)"
            )
        fold = np.zeros(len(wrong), dtype=np.int64)
        if min(wrong.sum(), (~wrong).sum()) >= folds:
            splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
            for number, (_, test) in enumerate(splitter.split(wrong, wrong, list(groups))):
                fold[test] = number
        # With fewer examples of a class than folds no cell will have a value, whatever the folds.
        return cls(wrong, fold)


def out_of_fold_scores(
    store: Cells, mask: Bool[np.ndarray, "example position"], labels: Labels, *, c: float, parts: Path
) -> Float[np.ndarray, "layer position example"]:
    """Score every example of every cell by a probe that was not trained on it; NaN where there is none.

    Parameters
    ----------
    store
        The activations.
    mask
        Which examples have which position.
    labels
        What to predict, and the folds.
    c
        Inverse strength of the regularisation.
    parts
        A folder that receives each layer's scores, and from which an interrupted run goes on. It must belong to
        exactly these activations and labels.
    """
    layers = []
    done = sum(_part(parts, layer).is_file() for layer in store.layers)
    with progress("probe", total=len(store.layers), done=done, unit="layers") as shown:
        for layer in store.layers:
            part = _part(parts, layer)
            if not part.is_file():
                scores = np.stack(
                    [
                        cell_scores(store.cell(layer, position), mask[:, column], labels, c)
                        for column, position in enumerate(store.positions)
                    ]
                )
                with whole_file(part) as temporary:
                    np.save(temporary, scores)
                shown.update()
            layers.append(np.load(part))
    return np.stack(layers)


def cell_scores(
    activations: Float[torch.Tensor, "example d_model"], present: Bool[np.ndarray, " example"], labels: Labels, c: float
) -> Float[np.ndarray, " example"]:
    """The out-of-fold log-odds of being wrong for every example of one cell; NaN where there is none."""
    scores = np.full(len(present), np.nan)
    features = activations[torch.from_numpy(present)].double()
    wrong, fold = torch.from_numpy(labels.wrong[present]), torch.from_numpy(labels.fold[present])
    if _no_value(labels, present) or not bool(features.isfinite().all()):
        return scores
    held_out = torch.full((len(features),), torch.nan, dtype=torch.float64)
    for number in sorted(set(fold.tolist())):
        test, train = fold == number, fold != number
        standard = _standardised(features, train)
        fit = fit_logistic(standard[train] @ standard[train].T, wrong[train], c)
        if not fit.converged:
            raise RuntimeError(f"the probe did not converge in {fit.steps} steps (n {int(train.sum())}, C {c})")
        held_out[test] = fit.scores(standard[test] @ standard[train].T)
    scores[present] = held_out.numpy()
    return scores


def example_scores(scores: Float[np.ndarray, "layer position example"], labels: Labels, store: Cells) -> xr.Dataset:
    """The scores behind a map, for every example, with its label and fold; for spread, drill-down and resampling."""
    return xr.Dataset(
        {
            "score": (("layer", "position", "example"), scores.astype(np.float32)),
            "wrong": ("example", labels.wrong),
            "fold": ("example", labels.fold),
        },
        coords={"layer": list(store.layers), "position": list(store.positions), "example": list(store.examples)},
        attrs={"score": "out-of-fold log-odds of being wrong"},
    )


def probe_map(
    scores: Float[np.ndarray, "layer position example"],
    mask: Bool[np.ndarray, "example position"],
    labels: Labels,
    store: Cells,
) -> Heatmap:
    """The AUC of every cell's scores, with its interval, n and, where there is no value, the reason."""
    shape = scores.shape[:2]
    value, low, high = (np.full(shape, np.nan) for _ in range(3))
    n = np.broadcast_to(mask.sum(0), shape).astype(np.int64)
    n_wrong = np.broadcast_to((mask & labels.wrong[:, None]).sum(0), shape).astype(np.int64)
    reason = np.zeros(shape, dtype=np.int8)
    factor = refitting_factor(int(labels.fold.max()) + 1) if labels.fold.any() else 1.0
    for layer, column in np.ndindex(shape):
        present = mask[:, column]
        cell = scores[layer, column, present]
        reason[layer, column] = _no_value(labels, present) or (
            NoValue.HAS_VALUE if np.isfinite(cell).all() else NoValue.ACTIVATIONS_NOT_FINITE
        )
        if not reason[layer, column]:
            interval = auc_interval(cell, labels.wrong[present], variance_factor=factor)
            value[layer, column], low[layer, column], high[layer, column] = interval
    return Heatmap.build(
        value,
        low,
        high,
        n,
        layers=store.layers,
        positions=list(store.positions),
        kind="probe",
        metric=METRIC,
        scale=(0.5, 1.0),
        extra={"n_wrong": n_wrong, "why_missing": reason},
        attributes={"why_missing_meanings": " ".join(member.name.lower() for member in NoValue)},
    )


def _no_value(labels: Labels, present: Bool[np.ndarray, " example"]) -> NoValue:
    """Why a cell with these examples cannot have a value, as far as the labels tell; ``HAS_VALUE`` if it can."""
    wrong, fold = labels.wrong[present], labels.fold[present]
    if len(wrong) == 0:
        return NoValue.NO_EXAMPLE
    fewest = min(int(wrong.sum()), int((~wrong).sum()))
    if fewest == 0:
        return NoValue.ONE_CLASS_ONLY
    if fewest < MIN_PER_CLASS:
        return NoValue.TOO_FEW_OF_A_CLASS
    if any(len(set(wrong[fold != number].tolist())) < 2 for number in set(fold.tolist())):
        return NoValue.A_FOLD_TRAINS_ON_ONE_CLASS
    return NoValue.HAS_VALUE


def _standardised(
    features: Float[torch.Tensor, "example d_model"], train: Bool[torch.Tensor, " example"]
) -> Float[torch.Tensor, "example d_model"]:
    """All examples by the training examples' mean and deviation; a constant feature is left out of the scaling."""
    mean, deviation = features[train].mean(0), features[train].std(0, correction=0)
    return (features - mean) / torch.where(deviation > 0, deviation, 1.0)


def _part(parts: Path, layer: int) -> Path:
    return parts / f"layer-{layer:03d}.npy"
