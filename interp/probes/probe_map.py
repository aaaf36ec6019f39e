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

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from interp.activations.store import Cells
from interp.probes.cell_batches import cells_at_once, scores_of_batch
from interp.probes.cell_probe import (
    NoValue,
    Probing,
    Scores,
    both_classes,
    cell_scores,
    scores_of_labellings,
    why_no_value,
    why_not_usable,
)
from interp.probes.halves import Widening, widening_of
from interp.probes.labels import Labels
from interp.results.example_values import AUC, ExampleValues
from interp.results.heatmap import Heatmap
from interp.results.result import meanings_of
from interp.statistics.auc import Interval, auc_interval, bootstrap_interval, refitting_factor
from interp.statistics.means import group_draws
from interp.work.batches import batched
from interp.work.files import whole_file
from interp.work.progress import progress
from interp.work.threads import each_on, in_single_threads

METRIC = "AUC of error detection"


def out_of_fold_scores(
    store: Cells,
    mask: Bool[np.ndarray, "example position"],
    labels: Labels,
    probing: Probing,
    *,
    parts: Path | None = None,
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
        exactly these activations, labels and ways of fitting, of which nothing is kept in it. None: all are fitted.
    device
        Where to fit.

    Returns
    -------
    Scores
        On layers and positions.
    """

    def of_cell(activations: Float[torch.Tensor, "example d_model"], present: Bool[np.ndarray, " example"]) -> Scores:
        return cell_scores(activations, present, labels, probing)

    def of_batch(
        activations: Float[torch.Tensor, "cell example d_model"], present: Bool[np.ndarray, "cell example"]
    ) -> list[Scores]:
        return scores_of_batch(activations, present, labels, probing)

    return scores_of_cells(store, mask, of_cell, of_batch, parts=parts, device=device)


def scores_of_cells(
    store: Cells,
    mask: Bool[np.ndarray, "example position"],
    of_cell: Callable[[torch.Tensor, np.ndarray], Scores],
    of_batch: Callable[[torch.Tensor, np.ndarray], list[Scores]] | None = None,
    *,
    parts: Path | None,
    device: str,
) -> Scores:
    """What a function of a cell's activations, and of which examples have it, gives for every cell.

    On a device other than the CPU `of_batch`, if there is one, is given the cells of as many layers at once as memory
    is for. Each layer is kept in the folder `parts`, if there is one, from which an interrupted run goes on.
    """
    in_batches = of_batch if _takes_batches(device) else None
    found = {} if parts is None else _kept_scores(parts, store.layers)
    missing = [layer for layer in store.layers if layer not in found]
    with progress("probe", total=len(store.layers), done=len(found), unit="layers") as shown:
        for layers in batched(missing, _layers_at_once(store) if in_batches else 1):
            if in_batches:
                of_layers = _scores_of_layers(store, layers, mask, in_batches, device)
            else:
                of_layers = [_scores_of_layer(store, layer, mask, of_cell, device) for layer in layers]
            for layer, cells in zip(layers, of_layers, strict=True):
                found[layer] = _stacked(cells)
                if parts is not None:
                    with whole_file(_part(parts, layer)) as temporary:
                        np.savez(temporary, **found[layer]._asdict())
                shown.update()
    return _stacked([found[layer] for layer in store.layers])


def _stacked(scores: Sequence[Scores]) -> Scores:
    return Scores(*[np.stack(each) for each in zip(*scores, strict=True)])


def _kept_scores(parts: Path, layers: Sequence[int]) -> dict[int, Scores]:
    """The scores of the layers that are in the folder."""
    kept = {}
    for layer in layers:
        if _part(parts, layer).is_file():
            with np.load(_part(parts, layer)) as saved:
                kept[layer] = Scores(**saved)
    return kept


def _takes_batches(device: str) -> bool:
    """Whether many cells at once suit a device; a CPU is faster with one for each thread."""
    return torch.device(device).type != "cpu"


def _layers_at_once(store: Cells) -> int:
    d_model = store.cell(store.layers[0], store.positions[0]).shape[1]
    return max(1, cells_at_once(len(store.examples), d_model) // len(store.positions))


def _scores_of_layers(
    store: Cells,
    layers: Sequence[int],
    mask: Bool[np.ndarray, "example position"],
    of_batch: Callable[[torch.Tensor, np.ndarray], list[Scores]],
    device: str,
) -> list[list[Scores]]:
    cells = [store.cell(layer, position).to(device) for layer in layers for position in store.positions]
    scores = of_batch(torch.stack(cells), np.tile(mask.T, (len(layers), 1)))
    return [list(cells) for cells in batched(scores, len(store.positions))]


def _scores_of_layer(
    store: Cells,
    layer: int,
    mask: Bool[np.ndarray, "example position"],
    of_cell: Callable[[torch.Tensor, np.ndarray], Scores],
    device: str,
) -> list[Scores]:
    def of_column(column: int) -> Scores:
        return of_cell(store.cell(layer, store.positions[column]).to(device), mask[:, column])

    return each_on(device, of_column, range(len(store.positions)))


def example_scores(scores: Scores, labels: Labels, store: Cells, groups: Sequence[str]) -> ExampleValues:
    """The out-of-fold log-odds behind a map, of every example, whose groups have these names."""
    return ExampleValues(
        scores.held_out.transpose(2, 3, 0, 1),
        AUC,
        tuple(store.examples),
        tuple(groups),
        tuple(store.layers),
        tuple(store.positions),
        positive=labels.wrong,
    )


def probe_map(
    scores: Scores,
    mask: Bool[np.ndarray, "example position"],
    labels: Labels,
    store: Cells,
    *,
    draws: int = 0,
    metric: str = METRIC,
    widening: Widening | None = None,
) -> Heatmap:
    """The AUC of every cell's scores, with its interval, n and, where there is no value, the reason.

    With several seeds also their standard deviation, as ``sd_of_seeds``.

    Parameters
    ----------
    scores, mask, labels, store
        The scores and what they were made from.
    draws
        With some, also the interval of as many bootstrap samples of the groups, as ``low_bootstrap`` and
        ``high_bootstrap``.
    metric
        What the AUC is of, in words.
    widening
        What the variance of every cell is multiplied by for the refits, as ``variance_factor`` has it then; by default
        it is `interp.statistics.auc.refitting_factor`.
    """
    shape = scores.held_out.shape[:2]
    value, low, high, low_bootstrap, high_bootstrap, spread, factor = (np.full(shape, np.nan) for _ in range(7))
    n = np.zeros(shape, dtype=np.int64)
    n_wrong, reason = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int8)
    widening = widening or widening_of(refitting_factor(labels.n_folds))
    for layer, column in np.ndindex(shape):
        present = mask[:, column]
        scored = labels.scored.any(0) & present
        n[layer, column], n_wrong[layer, column] = scored.sum(), labels.wrong[scored].sum()
        reason[layer, column] = why_no_value(labels, present) or why_not_scored(store, layer, column, scores, present)
        if reason[layer, column]:
            continue
        cell = scores.held_out[layer, column]
        value[layer, column] = auc_interval(cell, labels.wrong).value
        factor[layer, column] = widening.factor(float(value[layer, column]))
        interval = auc_interval(cell, labels.wrong, group=labels.side, variance_factor=float(factor[layer, column]))
        low[layer, column], high[layer, column] = interval.low, interval.high
        if len(cell) > 1:
            spread[layer, column] = np.std([auc_interval(of_seed, labels.wrong).value for of_seed in cell], ddof=1)
    if draws:
        weights = group_draws(labels.side, draws, np.random.default_rng(0))
        cells = np.argwhere(reason == NoValue.HAS_VALUE)
        ends = in_single_threads(
            lambda cell: bootstrap_interval(
                scores.held_out[tuple(cell)], labels.wrong, weights, variance_factor=float(factor[tuple(cell)])
            ),
            cells,
        )
        low_bootstrap[tuple(cells.T)], high_bootstrap[tuple(cells.T)] = np.array(ends).reshape(-1, 2).T
    extra = {f"n_{labels.called}": n_wrong, "why_missing": reason, "variance_factor": factor}
    extra |= {"sd_of_seeds": spread} if labels.fold.shape[0] > 1 else {}
    extra |= {"low_bootstrap": low_bootstrap, "high_bootstrap": high_bootstrap} if draws else {}
    return Heatmap.of(
        (value, low, high, n),
        names=(store.layers, store.positions),
        kind="probe",
        metric=metric,
        scale=(0.5, 1.0),
        extra=extra,
        attributes=meanings_of(NoValue),
    )


def refitted_aucs(
    store: Cells,
    mask: Bool[np.ndarray, "example position"],
    permuted: Mapping[tuple[int, int], Sequence[Labels]],
    probing: Probing,
    device: str = "cpu",
) -> list[float]:
    """The AUCs of some cells (indices of layer and position) with probes fitted anew to each one's permuted labels."""

    def of_cell(cell: tuple[int, int]) -> list[float]:
        layer, column = cell
        activations = store.cell(store.layers[layer], store.positions[column]).to(device)
        scores = scores_of_labellings(activations, mask[:, column], permuted[cell], probing)
        return [
            auc_interval(each.held_out, labels.wrong).value
            for each, labels in zip(scores, permuted[cell], strict=True)
            if np.isfinite(each.held_out).any()
        ]

    return [auc for of_one in each_on(device, of_cell, list(permuted)) for auc in of_one]


class Best(NamedTuple):
    """The best cell of a map, chosen for each fold on the others and scored on it."""

    cells: list[tuple[int, str]]
    """The layer and the position that each fold's choice fell on."""
    auc: Interval
    """That of `scores`, as a cell of the map has it."""
    scores: Float[np.ndarray, "1 example"]
    """The held-out scores of each fold's examples in the cell that was chosen without them; NaN for the rest."""


def best_cell(scores: Scores, labels: Labels, store: Cells) -> Best | None:
    """Choose the best cell without the answers that it is scored on; None if a fold cannot choose.

    The best of many cells is better than it will be on new answers, since it is chosen for its luck too. Here for each
    fold every cell is valued by the AUC within the other folds, and the best of them scores the fold. The AUC is of the
    scores of all folds together, as that of any cell of the map is: the two can be compared.
    """
    n_folds = scores.inner.shape[2]
    cells, chosen = [], np.full((1, len(labels.wrong)), np.nan)
    for fold in range(n_folds):
        values = {
            index: auc_interval(scores.inner[(*index, fold)], labels.wrong).value
            for index in np.ndindex(scores.inner.shape[:2])
            if both_classes(np.isfinite(scores.inner[(*index, fold)]), labels.wrong)
        }
        if not values:
            return None
        best = max(values, key=lambda index: values[index])
        cells.append((store.layers[best[0]], store.positions[best[1]]))
        own = labels.fold[0] == fold
        chosen[0, own] = scores.held_out[best][0][own]
    if not both_classes(np.isfinite(chosen[0]), labels.wrong):
        return None
    auc = auc_interval(chosen, labels.wrong, group=labels.side, variance_factor=refitting_factor(n_folds))
    return Best(cells, auc, chosen)


def why_not_scored(
    store: Cells, layer: int, column: int, scores: Scores, present: Bool[np.ndarray, " example"]
) -> NoValue:
    """What about its activations keeps a cell from having a value, once its labels do not."""
    if np.isfinite(scores.held_out[layer, column]).any():
        return NoValue.HAS_VALUE
    activations = store.cell(store.layers[layer], store.positions[column])
    return why_not_usable(activations[torch.from_numpy(present)]) or NoValue.ACTIVATIONS_NOT_FINITE


def _part(parts: Path, layer: int) -> Path:
    return parts / f"layer-{layer:03d}.npz"
