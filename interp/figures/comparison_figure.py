"""Drawing: maps beside each other on the same cells, and how every two of them differ in rank."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from interp.figures.plot import draw_heatmap, settle, size_of, styled_figure
from interp.results.comparison import Comparison
from interp.results.heatmap import Heatmap

TITLE_SIZE = 9
MOST_COLUMNS = 4
"""So many panels are in a row at most."""


def comparison_figure(comparison: Comparison) -> Figure:
    """Draw the maps, and the difference of ranks of every pair.

    Two maps and their difference are one row; of three the differences are the row below. Four maps or more are small
    multiples without their many differences. Maps of one metric have one scale, others each its own. The rows and the
    columns are those that all maps have; where layers are matched by depth, a note says whose the rows are.
    """
    maps = dict(zip(comparison.names, shared_scale(comparison.maps), strict=True))
    differences = {title(comparison, pair): comparison.difference(pair) for pair in range(len(comparison.pairs))}
    panels = maps if len(maps) > 3 else maps | differences
    n_columns = min(3 if len(maps) < 4 else MOST_COLUMNS, len(panels))
    n_rows = math.ceil(len(panels) / n_columns)
    width, height = size_of(next(iter(maps.values())), with_n=False)
    with styled_figure(width * n_columns, height * n_rows) as figure:
        notes: list[str] = []
        for number, (name, heatmap) in enumerate(panels.items(), start=1):
            axes = figure.add_subplot(n_rows, n_columns, number)
            axes.set_title(name, fontsize=TITLE_SIZE, parse_math=False)
            of_panel = draw_heatmap(axes, heatmap)
            # What is missing in a map is missing in its differences too, and is not said again.
            notes += [f"{name}: {note}" for note in of_panel if name in maps]
        notes += [str(by_depth)] if (by_depth := comparison.data.attrs["by_depth"]) else []
        settle(figure, notes, share_of_notes=0.0)
    return figure


def shared_scale(maps: list[Heatmap]) -> list[Heatmap]:
    """The maps on the scale that holds all of theirs, if they are of one metric; else as they are."""
    scales = [each.scale for each in maps]
    kinds = {(each.data.attrs["metric"], each.scale.kind, each.scale.centre) for each in maps}
    if len(kinds) > 1:
        return maps
    ends = {"scale_low": min(each.low for each in scales), "scale_high": max(each.high for each in scales)}
    return [each.with_attributes(ends) for each in maps]


def title(comparison: Comparison, pair: int) -> str:
    """Which maps a pair is of, and how far they agree."""
    first, second = (comparison.names[number] for number in comparison.pairs[pair])
    rho, low, high = comparison.statistic(pair, "spearman")
    interval = "" if math.isnan(low) else f" ({low:.2f} to {high:.2f})"
    p = float(comparison.data["p"].values[pair])
    return f"{first} − {second}\nSpearman {rho:.2f}{interval}, p = {p:.2g}"
