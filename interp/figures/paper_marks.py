"""Marks on the maps of a paper figure that are told apart in grey print too."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from interp.results.heatmap import Heatmap

WHITE_POINTS = 1.7
"""Width of the white line below the one around marked cells."""
NEAR_CENTRE = 0.1
"""By less than this share of its half of the scale below the centre a cell is not marked as low."""
DARK = 0.65
"""From this share on, a mark is white."""


def lighten_below_outline(axes: Axes) -> None:
    """A white line below the one around marked cells, which in grey would be lost on cells of its own lightness."""
    for outline in [each for each in axes.collections if isinstance(each, LineCollection)]:
        white = LineCollection(
            outline.get_segments(),
            colors="white",
            linewidths=WHITE_POINTS,
            capstyle="projecting",
            clip_on=False,
            zorder=outline.get_zorder() - 0.1,
        )
        axes.add_collection(white)


def mark_low_side(axes: Axes, heatmap: Heatmap) -> list[str]:
    """A dash in every cell that is clearly below the centre of its scale."""
    scale, value = heatmap.scale, heatmap.data["value"].values
    if scale.kind == "log":
        value, low, centre = np.log(np.where(value > 0, value, np.nan)), np.log(scale.low), np.log(scale.centre or 1.0)
    else:
        low, centre = scale.low, scale.centre or 0.0
    share = (centre - value) / (centre - low)
    for colour, cells in (("black", (share > NEAR_CENTRE) & (share <= DARK)), ("white", share > DARK)):
        rows, columns = np.nonzero(cells)
        if not len(rows):
            continue
        axes.plot(columns + 0.5, rows + 0.5, "_", color=colour, markersize=2.2, markeredgewidth=0.4)
    return [f"–: below {scale.centre:g}"] if (share > NEAR_CENTRE).any() else []
