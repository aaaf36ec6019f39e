"""Which cells of a probe map are above chance, corrected for how many were looked at.

The draws are those of `interp.statistics.permutations`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int

from interp.activations.store import Cells
from interp.probes.cell_probe import Probing, Scores
from interp.probes.labels import Labels, Split
from interp.probes.probe_map import refitted_aucs
from interp.results.heatmap import Heatmap
from interp.statistics.auc import auc_above_chance
from interp.statistics.permutations import (
    FAMILY_WISE_ERROR,
    Null,
    exchangeable,
    flipped_sums,
    inflation_of,
    null_aucs,
    permutations,
    ranks_of,
)

REFIT_CELLS, REFIT_DRAWS = 16, 12
"""In how many cells, and for how many permutations of each cell's own, probes are fitted anew to permuted labels.

Cells resemble each other: what one permutation gives some of them it gives the others, and counts as little more than
one. With permutations of its own each refit counts."""


def with_marks(
    heatmap: Heatmap,
    scores: Scores,
    mask: Bool[np.ndarray, "example position"],
    labels: Labels,
    store: Cells,
    split: Split,
    probing: Probing,
    *,
    draws: int,
    seed: int,
    device: str = "cpu",
) -> Heatmap:
    """The map with what chance would give each cell.

    Adds ``p`` (of the cell alone), ``p_corrected`` (of any cell of the map), ``threshold`` (the AUC above which a
    cell is marked) and ``marked``.

    Parameters
    ----------
    heatmap, scores, mask, labels, store, split, probing
        The map and what it was made from.
    draws
        Permutations of the labels.
    seed
        Decides the permutations, and the cells and permutations that are refitted.
    device
        Where these are refitted.
    """
    value = heatmap.data["value"].values
    cells = np.argwhere(np.isfinite(value))
    if not len(cells):
        return heatmap
    rng = np.random.default_rng(seed)
    movable, answers_apart = exchangeable(labels.group), len(np.unique(labels.side)) < len(np.unique(labels.group))
    exchanged = movable and not answers_apart
    # Groups that cannot be exchanged are torn apart, in the refits and in what these are held against alike.
    orders = permutations(labels.group if movable else np.arange(len(labels.group)), draws, rng)
    null = null_aucs(ranks_of(scores.held_out[tuple(cells.T)].swapaxes(0, 1)), labels.wrong[orders])
    sample = rng.choice(len(cells), size=min(REFIT_CELLS, len(cells)), replace=False)
    groups, sides = ([str(number) for number in numbers] for numbers in (labels.group, labels.side))

    def relabelled(order: Int[np.ndarray, " example"]) -> Labels:
        if exchanged:  # Folds go with the labels: they are stratified by them, and groups change places as a whole.
            return replace(labels, wrong=labels.wrong[order], fold=labels.fold[:, order])
        return split.labels(labels.wrong[order].tolist(), groups, sides)

    of_refits = orders[np.arange(len(sample) * REFIT_DRAWS) % draws].reshape(len(sample), REFIT_DRAWS, -1)
    refitted = {
        (int(row), int(column)): [relabelled(order) for order in of_cell]
        for (row, column), of_cell in zip(cells[sample], of_refits, strict=True)
    }
    refits = refitted_aucs(store, mask, refitted, probing, device)
    inflation = inflation_of(refits, null[:, sample])
    if not exchanged:
        of_cells = scores.held_out[tuple(cells.T)]
        parts = [auc_above_chance(of_cell, labels.wrong, labels.side)[1] for of_cell in of_cells]
        null = 0.5 + flipped_sums(np.stack(parts), draws, rng)
    chance = Null(null, inflation)

    data = heatmap.data.assign({name: (("layer", "position"), array) for name, array in chance.marks(value).items()})
    drawn = "permutations" if exchanged else f"sign flips of {'answers' if answers_apart else 'groups'}"
    told = f"above chance ({draws} {drawn}, family-wise error {100 * FAMILY_WISE_ERROR:g} %)"
    return Heatmap(data).with_attributes({"mark": told, "refits_spread": chance.inflation})
