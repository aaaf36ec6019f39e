"""Drawing: the map of what a probe knows beyond its controls, and below it what each control tells at each token."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from interp.figures.cell_colours import ink_of
from interp.figures.plot import (
    BELOW_INCHES,
    MISSING_COLOUR,
    SEQUENTIAL,
    draw_heatmap,
    name_columns,
    normalised,
    settle,
    size_of,
    styled_figure,
)
from interp.results.heatmap import Heatmap
from interp.results.scales import Scale

CONTROL_SCALE = Scale(0.5, 1.0)
ROW_INCHES = 0.17
"""Height of a control's row."""
POINTS = 6.0
"""Size of the values that are written into the cells."""
NOTE = "below the map: AUC of each control alone, bold where it is the strongest, which the map is beyond"


def beyond_figure(heatmap: Heatmap, *, with_n: bool = False) -> Figure:
    """Draw a map of `interp.probes.controls.beyond_map`, and below its columns the AUC of each control alone.

    A control has one value for all layers: its features are those of the token and of the answer. The strongest of each
    column is bold; one without a value is grey.

    Parameters
    ----------
    heatmap
        The map, with the values of its controls.
    with_n
        As for `interp.figures.plot.heatmap_figure`.
    """
    width, height = size_of(heatmap, with_n=with_n)
    room = ROW_INCHES * heatmap.data.sizes["which"]
    with styled_figure(width, height + room) as figure:
        upper, lower = figure.subplots(2, 1, height_ratios=[height - BELOW_INCHES, room])
        notes = draw_heatmap(upper, heatmap, with_n=with_n)
        _draw_controls(lower, heatmap)
        if not with_n:  # Else the names stay below the strip of n.
            name_columns(lower, heatmap.positions)
            lower.set_xlabel(upper.get_xlabel())
            upper.tick_params(axis="x", labelbottom=False)
            upper.set_xlabel("")
        settle(figure, [*notes, NOTE])
    return figure


def _draw_controls(axes: Axes, heatmap: Heatmap) -> None:
    """A row for each control, with its AUC written into every cell."""
    control = heatmap.data["control"].transpose("which", "position")
    names, strongest = control["which"].values.tolist(), heatmap.data["strongest"].values.tolist()
    axes.set_facecolor(MISSING_COLOUR)
    mesh = axes.pcolormesh(control.values, cmap=SEQUENTIAL, norm=normalised(CONTROL_SCALE))
    for row, column in zip(*np.nonzero(np.isfinite(control.values)), strict=True):
        value = float(control.values[row, column])
        axes.text(
            column + 0.5,
            row + 0.5,
            f"{value:.2f}".removeprefix("0"),
            ha="center",
            va="center",
            fontsize=POINTS,
            fontweight="bold" if names[row] == strongest[column] else "normal",
            color=ink_of(mesh, value),
        )
    axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=8)
    axes.set_xticks([])
    axes.set_ylim(len(names), 0)
    axes.tick_params(axis="y", length=0)
