"""Drawing: few columns of a heatmap as lines over the layers, with their intervals as bands."""

from __future__ import annotations

import textwrap

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from interp.figures.plot import MARK_COLOUR, OUTLINE_COLOUR, settle, styled_figure
from interp.results.heatmap import Heatmap

SIZE_INCHES = (5.2, 3.4)
LABEL_CHARACTERS = 38
"""Of a line of the axis's label: as many as are as high as the axis."""
COLOURS = ("#08519c", OUTLINE_COLOUR, MARK_COLOUR)
"""Of the lines, in their order."""
TICK_STEPS = (1, 2, 2.5, 5, 10)
"""Of the layers, as of matplotlib's own ticks, of which only those at whole numbers are kept."""


def depth_figure(heatmap: Heatmap, *, title: str | None = None) -> Figure:
    """Draw a heatmap of at most three columns as a line for each, from the first layer to the last, with a legend.

    The values are on the map's own kind of scale, linear or logarithmic; where it is logarithmic, what is not above 0
    is left out. A value that has none beside it, as that of the only layer, is a point, with its interval as a bar.
    A title stands above.
    """
    with styled_figure(*SIZE_INCHES) as figure:
        axes = figure.add_subplot()
        notes = draw_lines(axes, heatmap)
        settle(figure, notes, share_of_notes=0.0, title=title)
    return figure


def draw_lines(axes: Axes, heatmap: Heatmap) -> list[str]:
    """Draw the lines, as `depth_figure` says, and return the notes that are to stand below them."""
    data, has_points = heatmap.data, False
    for place, colour in zip(range(data.sizes["position"]), COLOURS, strict=False):
        column = data.isel(position=place)
        name, value = str(column["position"].item()), column["value"].values
        alone = _alone(np.where(value > 0, value, np.nan) if heatmap.scale.kind == "log" else value)
        axes.plot(heatmap.layers, value, color=colour, linewidth=1.4, label=name)
        if alone.any():
            has_points = True
            axes.lines[-1].set(marker="o", markersize=3.5, markevery=np.flatnonzero(alone).tolist())
            ends = [column[end].values[alone] for end in ("low", "high")]
            axes.vlines(np.array(heatmap.layers)[alone], *ends, color=colour, linewidth=1.2)
        axes.fill_between(
            heatmap.layers,
            column["low"].values,
            column["high"].values,
            color=colour,
            alpha=0.2,
            linewidth=0,
        )
    axes.set_yscale(heatmap.scale.kind)
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=list(TICK_STEPS), integer=True, min_n_ticks=1))
    axes.set_xlabel("Layer")
    axes.set_ylabel(textwrap.fill(str(data.attrs["metric"]), LABEL_CHARACTERS, break_on_hyphens=False))
    axes.spines[["top", "right"]].set_visible(False)
    for label in axes.legend(frameon=False).get_texts():
        label.set_parse_math(False)
    drawn_as = "bands and bars" if has_points else "bands"
    return [f"{drawn_as}: 95 % interval over sequences (n = {int(data['n'].max())})"]


def _alone(value: Float[np.ndarray, " layer"]) -> Bool[np.ndarray, " layer"]:
    """Which values have none in the row before or after, so that no line goes through them."""
    framed = np.pad(np.isfinite(value), 1)
    return framed[1:-1] & ~framed[:-2] & ~framed[2:]
