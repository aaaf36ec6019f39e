"""Drawing: few columns of a heatmap as lines over the layers, with their intervals as bands."""

from __future__ import annotations

import textwrap

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from interp.heatmap import Heatmap
from interp.plot import MARK_COLOUR, OUTLINE_COLOUR, STYLE, settle

SIZE_INCHES = (5.2, 3.4)
LABEL_CHARACTERS = 38
"""Of a line of the axis's label: as many as are as high as the axis."""
COLOURS = ("#08519c", OUTLINE_COLOUR, MARK_COLOUR)
"""Of the lines, in their order."""


def depth_figure(heatmap: Heatmap) -> Figure:
    """Draw a heatmap of at most three columns as a line for each, from the first layer to the last, with a legend.

    The values are on the map's own kind of scale, linear or logarithmic; where it is logarithmic, what is not above 0
    is left out.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        notes = draw_lines(axes, heatmap)
        settle(figure, notes, share_of_notes=0.0)
    return figure


def draw_lines(axes: Axes, heatmap: Heatmap) -> list[str]:
    """Draw the lines, as `depth_figure` says, and return the notes that are to stand below them."""
    data = heatmap.data
    for place, colour in zip(range(data.sizes["position"]), COLOURS, strict=False):
        column = data.isel(position=place)
        name = str(column["position"].item())
        axes.plot(heatmap.layers, column["value"].values, color=colour, linewidth=1.4, label=name)
        axes.fill_between(
            heatmap.layers,
            column["low"].values,
            column["high"].values,
            color=colour,
            alpha=0.2,
            linewidth=0,
        )
    axes.set_yscale(heatmap.scale.kind)
    axes.set_xlabel("Layer")
    axes.set_ylabel(textwrap.fill(str(data.attrs["metric"]), LABEL_CHARACTERS, break_on_hyphens=False))
    axes.spines[["top", "right"]].set_visible(False)
    for label in axes.legend(frameon=False).get_texts():
        label.set_parse_math(False)
    return [f"bands: 95 % interval over sequences (n = {int(data['n'].max())})"]
