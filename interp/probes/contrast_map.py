"""The map of probes of contrast pairs: layers by methods, in place of tokens."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float

from interp.probes.cell_probe import Scores
from interp.probes.contrast_probes import METHODS, RANDOM, ContrastCells, LayerScores
from interp.probes.labels import Labels
from interp.probes.probe_map import probe_map
from interp.results.heatmap import Heatmap
from interp.statistics.means import LEVEL
from interp.statistics.permutations import null_aucs, ranks_of

MARK = "above 97.5 % of random directions"
CELLS = ("layer", "position")


def contrast_map(scores: LayerScores, labels: Labels, cells: ContrastCells) -> Heatmap:
    """The AUC of every method in every layer, with its interval and n, and that of random directions.

    Of random directions, which are many, the value is the mean of their AUCs, and the interval what 95 % of them lie
    in. Marked is what is above it in its layer. Beside these there are ``accuracy``, where all with a score above 0 are
    called wrong, and ``auc_trained``, by which the signs were chosen: close to .5, they are as good as tossed. With
    the other sign AUC and accuracy are 1 minus what they are. ``loss`` is that of CCS out of fold: a fit can have
    little of it, and know nothing of correctness.

    Parameters
    ----------
    scores
        Of all layers, as `interp.probes.contrast_probes.contrast_scores` gives them.
    labels, cells
        What they were made from.
    """
    n_methods, n = len(METHODS), len(labels.wrong)
    of_methods = Scores(scores.held_out[:, :n_methods], np.empty((len(cells.layers), n_methods, 0, n)))
    heatmap = probe_map(of_methods, np.ones((n, n_methods), dtype=bool), labels, cells)
    random = scores.held_out[:, n_methods:]
    aucs = np.stack([null_aucs(ranks_of(of_layer.swapaxes(0, 1)), labels.wrong[None])[0] for of_layer in random])
    data = _with_random(heatmap.data, aucs)
    right: np.ndarray = ((scores.held_out > 0) == labels.wrong).mean((2, 3))
    extra = {
        "accuracy": np.where(np.isfinite(data["value"]), _by_column(right), np.nan),
        "auc_trained": _by_column(scores.trained),
        "loss": _by_column(scores.loss),
        "marked": (data["value"] > data["high"].sel(position=RANDOM)).values.astype(np.int8),
    }
    told = {"kind": "contrast", "columns": "Method", "mark": MARK}
    return Heatmap(data.assign({name: (CELLS, array) for name, array in extra.items()})).with_attributes(told)


def _with_random(data: xr.Dataset, aucs: Float[np.ndarray, "layer direction"]) -> xr.Dataset:
    """The map with a column of random directions, of the same examples."""
    low, high = np.quantile(aucs, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    found = {"value": aucs.mean(1), "low": low, "high": high}
    column = data.isel(position=[0]).assign_coords(position=[RANDOM])
    column = column.assign({name: (CELLS, array[:, None]) for name, array in found.items()})
    return xr.concat([data, column], "position")


def _by_column(rows: Float[np.ndarray, "layer row"]) -> Float[np.ndarray, "layer position"]:
    """What there is of every method, and the mean over the random directions."""
    return np.column_stack([rows[:, : len(METHODS)], rows[:, len(METHODS) :].mean(1)])
