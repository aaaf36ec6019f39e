"""Drawing: a heatmap of layers by tokens, the same bytes for the same values."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from interp.errors import InputError
from interp.figures.figure_files import figure_bytes
from interp.figures.figure_metadata import FORMATS
from interp.figures.glyphs import drawable
from interp.results.heatmap import Heatmap
from interp.results.scales import Scale
from interp.work.files import write_if_other

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    # Type 42 keeps text as text; Type 3, the default, is refused by some venues.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "interp",
    "hatch.linewidth": 0.6,
    "savefig.dpi": 150,
}
CELL_INCHES = (0.29, 0.128)
BELOW_INCHES = 2.9
"""Height beside that of the rows, for the names of the positions."""
CHARACTER_INCHES, LINE_INCHES = 0.065, 0.13
"""Width of a character of a label, and height of a line of notes."""
SHARE_OF_NOTES = 0.4
"""The share of the figure's width that notes may take beside the label of the axis."""
BESIDE_TITLE_INCHES = 0.08
"""Height above and below a title."""
LABELLED_ROW_INCHES = 0.16
"""Height of a row that has a label of its own."""
MAX_LABELLED_LAYERS = 20
"""With more y ticks than this they become rarer."""
SEQUENTIAL, DIVERGING = "Blues", "RdBu"
"""Colour maps, safe for the colour-blind; of the diverging one, for a scale with a centre, blue is the high side."""
LOG_TICKS = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.1, 1.2, 1.5, 2, 3, 4, 5, 6, 7, 8, 9))
"""Leading digits of a log scale's ticks, from few to many."""
STRIP_INCHES, STRIP_SHARE = 0.5, 0.11
"""Height of the strip of n: inches that it adds to the figure, and its share of the map's own height."""
MISSING_COLOUR = "#d9d9d9"
MARK_COLOUR = "#7f7f7f"
OUTLINE_COLOUR = "#d95f02"
"""Of the cells that are marked; seen on both ends of the colour maps."""
DEFAULT_SITE = "resid_post"
"""A map of another site says so."""


def heatmap_figure(
    heatmap: Heatmap, *, colours: str | None = None, with_n: bool = False, title: str | None = None
) -> Figure:
    """Draw a heatmap: the first layer on top, one column per token, the colour bar at the right.

    A cell that is missing is hatched in grey, one outside the colour scale carries a small triangle that points to
    the side it lies on, and a line below says how many of each there are, why they are missing where that is known,
    and whether positions were clamped. Where columns are no tokens, the attribute ``columns`` says what they are.
    Rows are labelled with the model's numbers of the layers: every second one, or where some are left out every
    one, as long as there are not too many.

    Parameters
    ----------
    heatmap
        What to draw; its own scale is used.
    colours
        A matplotlib colour map; None means the heatmap's own attribute ``colours``, else `SEQUENTIAL`, or `DIVERGING`
        where the scale has a centre.
    with_n
        Whether to draw, under the columns, a strip of bars with the number of examples behind each.
    title
        What to write above the map, in a figure that is higher by as much; by default nothing.
    """
    with styled_figure(*size_of(heatmap, with_n=with_n)) as figure:
        notes = draw_heatmap(figure.add_subplot(), heatmap, colours=colours, with_n=with_n)
        settle(figure, notes, title=title)
    return figure


@contextmanager
def styled_figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches with nothing on it, to be drawn on and settled in the suite's own style."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def draw_heatmap(axes: Axes, heatmap: Heatmap, *, colours: str | None = None, with_n: bool = False) -> list[str]:
    """Draw a heatmap, as `heatmap_figure` says, and return the notes that are to stand below it."""
    value = heatmap.data["value"].values
    mesh = axes.pcolormesh(
        value, cmap=colours or colours_of(heatmap), norm=normalised(heatmap.scale), edgecolors="face", linewidth=0.1
    )
    axes.set_xlabel(str(heatmap.data.attrs.get("columns", "Token")))
    _label_axes(axes, heatmap.layers, heatmap.positions)
    add_colour_bar(axes, mesh, str(heatmap.data.attrs["metric"]))
    if with_n:
        _add_strip_of_n(axes, heatmap)
    axes.grid(False, which="both")  # That of a style would go through the cells.
    notes = _mark_cells(axes, heatmap)
    if heatmap.data.attrs.get("site", DEFAULT_SITE) != DEFAULT_SITE:
        notes.append(f"site: {heatmap.data.attrs['site']}")
    if heatmap.data.attrs.get("policy", "strict") != "strict":
        notes.append(f"positions: {heatmap.data.attrs['policy']} policy (clamped)")
    return notes + ([str(heatmap.data.attrs["variant"])] if heatmap.data.attrs.get("variant") else [])


def colours_of(heatmap: Heatmap) -> str:
    """The matplotlib colour map of a heatmap."""
    usual = SEQUENTIAL if heatmap.scale.centre is None else DIVERGING
    return str(heatmap.data.attrs.get("colours", usual))


def settle(
    figure: Figure, notes: list[str], *, share_of_notes: float = SHARE_OF_NOTES, title: str | None = None
) -> None:
    """Write the notes below a figure, and settle its layout, so that every format that is saved gets the same one.

    Notes that take more than so large a share of the figure's width are put below the labels of the axes. For a title
    the figure is made higher.
    """
    if title:
        text = figure.suptitle(title, wrap=True)
        room = text.get_window_extent().height / figure.dpi + BESIDE_TITLE_INCHES
        figure.set_figheight(figure.get_figheight() + room)
    if notes:
        _add_notes(figure, notes, share_of_notes)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def save_figure(figure: Figure, path: Path, sources: Mapping[str, str] | None = None) -> None:
    """Write a figure as PDF, PNG, SVG or PGF, by the suffix, as `interp.figures.figure_files.figure_bytes` says.

    Raises
    ------
    InputError
        If the suffix is another.
    """
    kind = path.suffix[1:].lower()
    if kind not in FORMATS:
        suffixes = ", ".join(f".{each}" for each in FORMATS)
        raise InputError(
            f"{path}: no figure is written as {path.suffix!r}; give the file one of the suffixes {suffixes}"
        )
    write_if_other(path, figure_bytes(figure, kind, STYLE, sources))


def _add_notes(figure: Figure, notes: list[str], share_beside: float) -> None:
    """Write notes into the lower left corner, or if they would run into the axis's label, each below it on its own."""
    together = "   ".join(notes)
    # A text that a note quotes may have dollar signs, between which there is no mathematics.
    text = figure.text(0.01, 0.005, together, fontsize=7, color="#595959", ha="left", va="bottom", parse_math=False)
    share = text.get_window_extent().width / figure.bbox.width
    if share > share_beside:
        characters = int(0.94 * len(together) / share)
        lines = [line for note in notes for line in textwrap.wrap(note, characters, break_on_hyphens=False)]
        text.set_text("\n".join(lines))
        width, height = figure.get_size_inches()
        room = LINE_INCHES * len(lines)
        bottom = room / (height + room)
        figure.set_size_inches(width, height + room)
        figure.set_layout_engine("constrained", rect=(0, bottom, 1, 1 - bottom))


def size_of(heatmap: Heatmap, *, with_n: bool) -> tuple[float, float]:
    """Width and height of a heatmap's figure in inches."""
    n_layers, n_positions = heatmap.data["value"].shape
    row = CELL_INCHES[1] if _follow_each_other(heatmap.layers) else LABELLED_ROW_INCHES
    height = BELOW_INCHES + max(row * n_layers, 1.5) + (STRIP_INCHES if with_n else 0)
    return 2.0 + CELL_INCHES[0] * n_positions, height


def normalised(scale: Scale) -> Normalize:
    """How matplotlib turns values into places on a colour scale."""
    # What is below a log scale may be 0, which has no logarithm: it takes the colour of the end, and its mark.
    return LogNorm(scale.low, scale.high, clip=True) if scale.kind == "log" else Normalize(scale.low, scale.high)


def _follow_each_other(layers: list[int]) -> bool:
    return layers == list(range(layers[0], layers[0] + len(layers)))


def _label_axes(axes: Axes, layers: list[int], positions: list[str]) -> None:
    axes.set_ylabel("Layer")
    axes.set_xlim(0, len(positions))
    axes.set_ylim(len(layers), 0)
    name_columns(axes, positions)
    step = 2 if _follow_each_other(layers) else 1
    while len(layers) / step > MAX_LABELLED_LAYERS:
        step *= 2
    labelled = np.arange(0, len(layers), step)
    axes.set_yticks(labelled + 0.5, [str(layers[row]) for row in labelled])


def name_columns(axes: Axes, positions: list[str]) -> None:
    """Write the names of the positions below their columns; tokens may be in any script."""
    names = [drawable(name) for name in positions]
    axes.set_xticks(np.arange(len(names)) + 0.5, [name for name, _ in names], rotation=90, parse_math=False)
    for column, (_, families) in enumerate(names):
        if len(families) > 1:
            axes.get_xticklabels()[column].set_fontfamily(list(families))


def add_colour_bar(axes: Axes, mesh: QuadMesh, metric: str) -> None:
    """Draw the colours of a map at its right, with what they mean."""
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("these axes are in no figure")
    bar = figure.colorbar(mesh, ax=axes, pad=0.03, aspect=22)
    characters = int((_height_of_panel(axes, figure.get_figheight()) - BELOW_INCHES) / CHARACTER_INCHES)
    bar.set_label(textwrap.fill(metric, max(characters, 24), break_on_hyphens=False), parse_math=False)
    if mesh.get_clim() == (0.5, 1.0):
        bar.locator = MultipleLocator(0.1)
    if isinstance(mesh.norm, LogNorm):
        ticks = _log_ticks(*mesh.get_clim())
        bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        bar.minorticks_off()
    if bar.solids is not None:
        # As vectors, with edges in their own colour: no image in the PDF, and no hairlines between the steps.
        bar.solids.set(edgecolor="face", rasterized=False)


def _height_of_panel(axes: Axes, of_figure: float) -> float:
    """How much of a figure's height a map has: its share where there are several rows of maps."""
    place = axes.get_subplotspec()
    rows = np.array([1.0] if place is None else place.get_gridspec().get_height_ratios())
    return of_figure / len(rows) if np.ptp(rows) == 0 else of_figure


def _add_strip_of_n(axes: Axes, heatmap: Heatmap) -> None:
    """Bars of n between the columns and their labels, the full height being the largest n, which is written out."""
    n = heatmap.data["n"].values.max(axis=0)
    strip = axes.inset_axes((0.0, -STRIP_SHARE, 1.0, 0.8 * STRIP_SHARE), sharex=axes)
    strip.bar(np.arange(len(n)) + 0.5, n, width=0.8, color=MARK_COLOUR)
    strip.set_ylim(0, max(n.max(), 1))
    strip.set_yticks([0, int(n.max())])
    strip.set_ylabel("n", rotation=0, labelpad=12)
    name_columns(strip, heatmap.positions)
    strip.set_xlabel(axes.get_xlabel())
    strip.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", labelbottom=False)
    axes.set_xlabel("")


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers within a log scale: four or more, if there are, and not many more."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in LOG_TICKS:
        numbers = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
        ticks = [number for number in numbers if low <= number <= high]
        if len(ticks) >= 4:
            break
    return ticks


def _mark_cells(axes: Axes, heatmap: Heatmap) -> list[str]:
    """Mark cells that are missing or outside the scale, and say in words how many there are, and why."""
    value, low, high = heatmap.data["value"].values, heatmap.scale.low, heatmap.scale.high
    missing, (below, above) = np.isnan(value), heatmap.scale.outside(value)
    notes = []
    if missing.any():
        axes.pcolor(
            np.ma.array(np.zeros_like(value), mask=~missing),
            cmap=matplotlib.colors.ListedColormap([MISSING_COLOUR]),
            hatch="////",
            edgecolor=MARK_COLOUR,
            linewidth=0.0,
        )
        notes.append("hatched: " + ", ".join(f"{why} ({n})" for why, n in heatmap.missing.items()))
    for cells, marker, side, sign in ((below, "v", low, "<"), (above, "^", high, ">")):
        if cells.any():
            rows, columns = np.nonzero(cells)
            axes.plot(columns + 0.5, rows + 0.5, marker, color=MARK_COLOUR, markersize=2.5, markeredgewidth=0)
            notes.append(f"{'▾' if marker == 'v' else '▴'}: {sign} {side:g} ({cells.sum()})")
    if "marked" in heatmap.data:
        notes += outline_marked(axes, heatmap.data["marked"].values.astype(bool), str(heatmap.data.attrs["mark"]))
    return notes


def outline_marked(axes: Axes, marked: Bool[np.ndarray, "layer position"], meaning: str) -> list[str]:
    """Draw a line around the cells that are marked, and say what the mark means."""
    if marked.all() or not marked.any():
        return [f"{'every' if marked.any() else 'no'} cell is {meaning}"]
    # With a frame of cells that are not marked, a region at the edge of the map is closed too.
    framed = np.pad(marked, 1)
    across, down = np.nonzero(np.diff(framed[1:-1], axis=1)), np.nonzero(np.diff(framed[:, 1:-1], axis=0))
    sides = [[(column, row), (column, row + 1)] for row, column in zip(*across, strict=True)]
    sides += [[(column, row), (column + 1, row)] for row, column in zip(*down, strict=True)]
    axes.add_collection(
        LineCollection(sides, colors=OUTLINE_COLOUR, linewidths=0.9, capstyle="projecting", clip_on=False, zorder=3)
    )
    return [f"within the line: {meaning} ({marked.sum()} of {marked.size})"]
