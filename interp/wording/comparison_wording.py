"""Words for a comparison: what its statistics are called, and two sentences on it."""

from __future__ import annotations

import numpy as np

from interp.number_words import capitalised, counted, listed, number, span, with_interval
from interp.results.comparison import Comparison
from interp.wording.result_facts import subject_of
from interp.wording.subject_words import whose

WORDS = {
    "spearman": "Spearman, all cells",
    "kendall": "Kendall's tau-b, all cells",
    "within_layers": "Spearman within layers",
    "within_columns": "Spearman within columns",
    "top_shared": "top cells in common",
    "peak_layers": "layers from peak to peak",
    "peak_columns": "columns from peak to peak",
    "mean_difference": "mean absolute difference",
}


def short_words(comparison: Comparison) -> list[str]:
    """Two sentences for a caption or an alt text: what is compared, and the rank correlation of every pair."""
    parts = [pair_in_short(comparison, pair) for pair in range(len(comparison.pairs))]
    return [f"{about(comparison)}.", f"Spearman's rank correlation, and p against moved maps: {'; '.join(parts)}."]


def about(comparison: Comparison) -> str:
    """Which maps are compared, of which model and questions, and the numbers of their examples."""
    *names, last = comparison.names
    n = comparison.data["n"].values[np.isfinite(comparison.data["value"].values)]
    known = n[n > 0]  # A published map does not say.
    shape = f"{counted(len(comparison.layers), 'layer')}, {counted(len(comparison.positions), 'column')}"
    said = f"n = {span(int(known.min()), int(known.max()))}" if len(known) else "n is not known"
    of_what = listed([f"maps of {', '.join(names)} and {last} compared by rank", whose(subject_of(comparison))])
    return f"{capitalised(of_what)} ({shape}; {said})"


def pair_in_short(comparison: Comparison, pair: int) -> str:
    """The rank correlation of a pair."""
    data = comparison.data.isel(pair=pair)
    first, second = (comparison.names[place] for place in comparison.pairs[pair])
    rho, p = with_interval(*comparison.statistic(pair, "spearman")), number(float(data["p"]))
    return f"{rho}, p = {p}, of {first} and {second} in {counted(int(data['n_cells']), 'cell')}"
