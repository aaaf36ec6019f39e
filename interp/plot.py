"""Drawing: a heatmap of layers by tokens, the same bytes for the same values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from interp.files import whole_file
from interp.heatmap import Heatmap

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    # Type 42 keeps text as text; Type 3, the default, is refused by some venues.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "interp",
    "hatch.linewidth": 0.6,
}
CELL_INCHES = (0.29, 0.128)
MAX_LABELLED_LAYERS = 20
"""With more y ticks than this they become rarer."""
STRIP_INCHES, STRIP_SHARE = 0.5, 0.11
"""Height of the strip of n: inches that it adds to the figure, and its share of the map's own height."""
MISSING_COLOUR = "#d9d9d9"
MARK_COLOUR = "#7f7f7f"
NO_DATE = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {"Software": None}}
DPI = 150
DEFAULT_SITE = "resid_post"
"""A map of another site says so."""


def heatmap_figure(heatmap: Heatmap, *, colours: str = "Blues", with_n: bool = False) -> Figure:
    """Draw a heatmap: layer 0 on top, one column per token, the colour bar at the right.

    A cell that is missing is hatched in grey, one outside the colour scale carries a small triangle that points to
    the side it lies on, and a line below says how many of each there are, and whether positions were clamped.

    Parameters
    ----------
    heatmap
        What to draw; its own scale is used.
    colours
        A matplotlib colour map.
    with_n
        Whether to draw, under the columns, a strip of bars with the number of examples behind each.
    """
    value = heatmap.data["value"].values
    n_layers, n_positions = value.shape
    low, high = heatmap.scale
    with matplotlib.rc_context(STYLE):
        size = (2.0 + CELL_INCHES[0] * n_positions, 2.9 + max(CELL_INCHES[1] * n_layers, 1.5))
        if with_n:
            size = (size[0], size[1] + STRIP_INCHES)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        mesh = axes.pcolormesh(value, cmap=colours, vmin=low, vmax=high, edgecolors="face", linewidth=0.1)
        _label_axes(axes, n_layers, [str(name) for name in heatmap.data["position"].values])
        _add_colour_bar(figure, axes, mesh, str(heatmap.data.attrs["metric"]))
        if with_n:
            _add_strip_of_n(axes, heatmap.data["n"].values.max(axis=0))
        notes = _mark_cells(axes, value, low, high)
        if heatmap.data.attrs.get("site", DEFAULT_SITE) != DEFAULT_SITE:
            notes.append(f"site: {heatmap.data.attrs['site']}")
        if heatmap.data.attrs.get("policy", "strict") != "strict":
            notes.append(f"positions: {heatmap.data.attrs['policy']} policy (clamped)")
        if notes:
            figure.text(0.01, 0.005, "   ".join(notes), fontsize=7, color="#595959", ha="left", va="bottom")
        # Layout is settled here, so that every format that is saved later gets the same one.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PDF, PNG or SVG, by the suffix, without dates: the same figure gives the same bytes."""
    with matplotlib.rc_context(STYLE), whole_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=DPI, metadata=NO_DATE.get(path.suffix, {}))


def _label_axes(axes: Axes, n_layers: int, positions: list[str]) -> None:
    axes.set_xlabel("Token")
    axes.set_ylabel("Layer")
    axes.set_xlim(0, len(positions))
    axes.set_ylim(n_layers, 0)
    axes.set_xticks(np.arange(len(positions)) + 0.5, positions, rotation=90)
    step = 2
    while n_layers / step > MAX_LABELLED_LAYERS:
        step *= 2
    labelled = np.arange(0, n_layers, step)
    axes.set_yticks(labelled + 0.5, [str(layer) for layer in labelled])


def _add_colour_bar(figure: Figure, axes: Axes, mesh: QuadMesh, metric: str) -> None:
    bar = figure.colorbar(mesh, ax=axes, pad=0.03, aspect=22)
    bar.set_label(metric)
    if mesh.get_clim() == (0.5, 1.0):
        bar.locator = MultipleLocator(0.1)
    if bar.solids is not None:
        # As vectors, with edges in their own colour: no image in the PDF, and no hairlines between the steps.
        bar.solids.set(edgecolor="face", rasterized=False)


def _add_strip_of_n(axes: Axes, n: np.ndarray) -> None:
    """Bars of n between the columns and their labels, the full height being the largest n, which is written out."""
    strip = axes.inset_axes((0.0, -STRIP_SHARE, 1.0, 0.8 * STRIP_SHARE), sharex=axes)
    strip.bar(np.arange(len(n)) + 0.5, n, width=0.8, color=MARK_COLOUR)
    strip.set_ylim(0, max(n.max(), 1))
    strip.set_yticks([0, int(n.max())])
    strip.set_ylabel("n", rotation=0, labelpad=12)
    strip.tick_params(axis="x", rotation=90)
    strip.set_xlabel(axes.get_xlabel())
    strip.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", labelbottom=False)
    axes.set_xlabel("")


def _mark_cells(axes: Axes, value: np.ndarray, low: float, high: float) -> list[str]:
    """Mark cells that are missing or outside the scale, and say in words how many there are."""
    missing, below, above = np.isnan(value), value < low, value > high
    notes = []
    if missing.any():
        axes.pcolor(
            np.ma.array(np.zeros_like(value), mask=~missing),
            cmap=matplotlib.colors.ListedColormap([MISSING_COLOUR]),
            hatch="////",
            edgecolor=MARK_COLOUR,
            linewidth=0.0,
        )
        notes.append(f"hatched: no value ({missing.sum()})")
    for cells, marker, side, sign in ((below, "v", low, "<"), (above, "^", high, ">")):
        if cells.any():
            rows, columns = np.nonzero(cells)
            axes.plot(columns + 0.5, rows + 0.5, marker, color=MARK_COLOUR, markersize=2.5, markeredgewidth=0)
            notes.append(f"{'▾' if marker == 'v' else '▴'}: {sign} {side:g} ({cells.sum()})")
    return notes
