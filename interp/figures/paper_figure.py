"""Drawing: the panels of a paper figure, side by side, at the size at which they are printed."""

from __future__ import annotations

import string
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cbook import is_math_text
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from interp.errors import InputError
from interp.figures.depth_figure import draw_lines
from interp.figures.figure_list import Panel, PaperFigure
from interp.figures.figure_text import clipped, overlapping, too_small, written_on
from interp.figures.forest import draw_rows, rows_of
from interp.figures.matrix_figure import draw_matrix
from interp.figures.panels import Shown, has_colours, is_lines, shown_in_panels
from interp.figures.paper_layout import (
    columns_are_too_close,
    filled,
    glyphs_required,
    inches_of,
    is_collapsed,
    label_rows,
    make_room,
    points_of,
    written_notes,
)
from interp.figures.paper_marks import lighten_below_outline, mark_low_side
from interp.figures.plot import colours_of, draw_heatmap
from interp.results.estimates import Estimates
from interp.results.heatmap import Heatmap
from interp.results.matrix import Matrix
from interp.results.result import Result

LAYOUT_DPI = 300.0
"""Finer than a screen's, on whose pixels letters are narrower than on paper: what fits there is cut off here."""
GUESSED_INCHES = 4.5
"""Height of a row of panels when it is first laid out."""
MAP_INCHES, LINES_INCHES, ESTIMATE_INCHES, TRAINED_INCHES = 1.45, 1.45, 0.13, 0.29
"""Height of a map's cells, of the axes of lines, and of the row of an estimate and of a matrix."""
LAYER_INCHES = 0.03
"""A map of many layers is higher, so that each has at least this height."""
LINES_COLUMNS, ESTIMATES_COLUMNS, TESTED_COLUMNS = 16, 10, 4
"""As wide as so many columns of a map are the axes of lines and of estimates, and a column of a matrix."""
MATRIX_DIGITS = 2
"""With more, the intervals would be wider than the cells."""
LEAST_INCHES = 0.25
"""Axes that are smaller have had no room."""
LETTER_POINTS = 3.0
"""Between a panel's letter and its left edge."""
LETTER_WIDTH = 0.56
"""Of a letter of a label, in parts of the size of its font, on average."""
MOST_TOLD = 4
"""So many texts that run over the edge are told one by one, and so many that run into each other."""

Named = TypeVar("Named", Heatmap, Estimates)


@dataclass(frozen=True)
class Composed:
    """A paper figure as it was drawn, and what is to be said of it."""

    figure: Figure
    notes: tuple[str, ...]
    """What is marked in the panels; of several, each with its panel's letter or, without letters, its name."""
    warnings: tuple[str, ...]
    """What a reader would stumble over: texts that run into each other, or over the edge."""


def paper_figure(planned: PaperFigure, results: Mapping[Path, Result], settings: Mapping[Any, Any]) -> Composed:
    """Draw a paper figure: panels in rows, the columns of all maps of a row equally wide, letters in line.

    Rows are labelled as densely as they can be read. The label of the rows, and their numbers where they are the same,
    are only at the first map of a row of panels. Cells on the low side of a scale with a centre carry a dash: in grey,
    both sides are dark. Of a comparison, a panel is how much higher cells rank in one map of a pair than in the other;
    of a matrix, the values with their intervals are written into the cells.

    Parameters
    ----------
    planned
        What is to be drawn.
    results
        The results of its panels, by their files.
    settings
        Those of matplotlib (`interp.figures.paper_style.paper_settings`).

    Raises
    ------
    InputError
        If a result cannot be a panel, there is no room for its axes or the names of its columns, a text is smaller
        than 6 pt, has a character that its fonts do not have, or mathematics that cannot be read.
    """
    _require_mathematics(planned)
    shown = shown_in_panels(planned, results)
    height = planned.height or GUESSED_INCHES * len(planned.panels)
    with matplotlib.rc_context(dict(settings)), glyphs_required():
        figure = Figure(figsize=(planned.width, height), dpi=LAYOUT_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        rows = _axes_of(figure, planned, shown)
        notes = _draw_panels(planned, rows, shown)
        text = written_notes(figure, notes) if planned.notes and notes else None
        _lay_out(figure, planned, rows, shown, text)
        texts = written_on(figure)
    small = too_small(texts)
    if small:
        points = min(text.points for text in small)
        raise InputError(f"text of {points:g} pt ({small[0].words!r}); 6 pt is the least")
    cut = [f"{words!r} runs over the edge" for words in clipped(texts, figure)]
    crossing = [f"{one!r} and {other!r} run into each other" for one, other in overlapping(texts, figure)]
    told = [*_first_of(cut, "run over the edge"), *_first_of(crossing, "run into each other")]
    return Composed(figure, tuple(notes), tuple(told))


def _require_mathematics(planned: PaperFigure) -> None:
    """Raise an `InputError` for a title or label whose formula, between dollar signs, matplotlib cannot read."""
    read = MathTextParser("path").parse
    for panel in (panel for row in planned.panels for panel in row):
        for key in ("title", "x", "y", "bar"):
            text = getattr(panel, key)
            try:
                if text and is_math_text(text):
                    read(text)
            except ValueError as error:
                raise InputError(
                    f"{key!r} is {text!r}, whose mathematics cannot be read; write \\$ for a dollar sign"
                ) from error


def _first_of(told: list[str], what: str) -> list[str]:
    """The first few warnings, and how many more there are."""
    return [*told[:MOST_TOLD], f"{len(told) - MOST_TOLD} more {what}"] if len(told) > MOST_TOLD else told


def _axes_of(figure: Figure, planned: PaperFigure, shown: Mapping[Panel, Shown]) -> list[list[Axes]]:
    """Axes for every panel; in a row, as wide as the columns of each are many."""
    heights = [max(_inches(shown[panel]) for panel in row) for row in planned.panels]
    grid = figure.add_gridspec(len(planned.panels), 1, height_ratios=heights)
    rows = []
    for place, row in enumerate(planned.panels):
        inner = grid[place].subgridspec(1, len(row), width_ratios=[_columns(shown[panel]) for panel in row])
        rows.append([figure.add_subplot(inner[column]) for column in range(len(row))])
    return rows


def _columns(result: Shown) -> int:
    if isinstance(result, Estimates):
        return ESTIMATES_COLUMNS
    if isinstance(result, Matrix):
        return TESTED_COLUMNS * int(result.data.sizes["test"])
    return LINES_COLUMNS if is_lines(result) else int(result.data.sizes["position"])


def _inches(result: Shown) -> float:
    """How high the axes of a result should be."""
    if isinstance(result, Estimates):
        return ESTIMATE_INCHES * (len(result.names) + 1)
    if isinstance(result, Matrix):
        return TRAINED_INCHES * int(result.data.sizes["train"])
    return LINES_INCHES if is_lines(result) else max(MAP_INCHES, LAYER_INCHES * len(result.layers))


def _draw_panels(planned: PaperFigure, rows: list[list[Axes]], shown: Mapping[Panel, Shown]) -> list[str]:
    """Draw every panel, and return what is to be said of them."""
    letters, n_panels = iter(string.ascii_lowercase), sum(map(len, rows))
    has_letters = n_panels > 1 if planned.letters is None else planned.letters
    notes = []
    for panels, row in zip(planned.panels, rows, strict=True):
        for panel, axes in zip(panels, row, strict=True):
            said = _draw_panel(axes, planned, panel, shown[panel])
            letter = next(letters, "") if has_letters else ""
            axes.set_title(panel.title, loc="left")
            _write_letter(axes, letter)
            called = letter or (panel.title or panel.result.stem if n_panels > 1 else "")
            notes += [f"{called}: {'; '.join(said)}" if called else "; ".join(said)] if said else []
        _share_layers(row, [shown[panel] for panel in panels])
    return notes


def _write_letter(axes: Axes, letter: str) -> None:
    """At the left of the title, whether there is one or not."""
    axes.annotate(
        letter,
        (0.0, 1.0),
        xytext=(-LETTER_POINTS, matplotlib.rcParams["axes.titlepad"]),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="baseline",
        fontsize=matplotlib.rcParams["axes.titlesize"],
        fontweight="bold",
        annotation_clip=False,
    )


def _draw_panel(axes: Axes, planned: PaperFigure, panel: Panel, result: Shown) -> list[str]:
    if isinstance(result, Estimates):
        notes: list[str] = []
        draw_rows(axes, rows_of(_renamed(planned, result)), result)
        axes.tick_params(axis="y", labelsize=matplotlib.rcParams["ytick.labelsize"])
    elif isinstance(result, Matrix):
        notes = _draw_matrix(axes, planned, panel, result)
    elif is_lines(result):
        notes = draw_lines(axes, _renamed(planned, result))
        if result.scale.kind == "log":
            # Powers of ten have exponents, which are too small to be read.
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        notes = _draw_map(axes, planned, panel, result)
    for label, set_label in ((panel.x, axes.set_xlabel), (panel.y, axes.set_ylabel)):
        if label is not None:
            set_label(label)
    return notes


def _draw_map(axes: Axes, planned: PaperFigure, panel: Panel, heatmap: Heatmap) -> list[str]:
    palette = _palette(planned, panel, heatmap)
    # Where low values are the telling ones, the palette is turned round: they get the colour of others' highest values.
    colours = palette and palette + ("_r" if colours_of(heatmap).endswith("_r") else "")
    notes = draw_heatmap(axes, _renamed(planned, heatmap), colours=colours)
    _label_bar(axes, panel, heatmap)
    lighten_below_outline(axes)
    return notes + (mark_low_side(axes, heatmap) if heatmap.scale.centre is not None else [])


def _draw_matrix(axes: Axes, planned: PaperFigure, panel: Panel, matrix: Matrix) -> list[str]:
    points = points_of("ytick.labelsize")
    palette = _palette(planned, panel, matrix)
    notes = draw_matrix(axes, matrix, colours=palette, points=(points, points), digits=MATRIX_DIGITS)
    tests, trains = (_names(planned, matrix, axis) for axis in ("test", "train"))
    axes.set_xticks(axes.get_xticks(), tests, rotation=90, ha="center", parse_math=False)
    axes.set_yticks(axes.get_yticks(), trains, parse_math=False)
    _label_bar(axes, panel, matrix)
    return notes


def _renamed(planned: PaperFigure, result: Named) -> Named:
    """A result whose columns, lines or estimates are called as on this figure."""
    axis = result.axes[-1]
    return type(result)(result.data.assign_coords({axis: _names(planned, result, axis)}))


def _names(planned: PaperFigure, result: Shown, axis: str) -> list[str]:
    return [planned.column_names.get(str(name), str(name)) for name in result.data[axis].values]


def _palette(planned: PaperFigure, panel: Panel, result: Shown) -> str | None:
    return panel.palette or (planned.palette if result.scale.centre is None else planned.centred_palette)


def _label_bar(axes: Axes, panel: Panel, result: Shown) -> None:
    """Say beside the colours of a panel what they mean, in lines that are not longer than they are high."""
    (bar,) = [each.colorbar for each in axes.collections if isinstance(each, QuadMesh) and each.colorbar is not None]
    characters = int(72 * MAP_INCHES / (LETTER_WIDTH * points_of("axes.labelsize")))
    meaning = str(result.data.attrs["metric"]) if panel.bar is None else panel.bar
    is_own = panel.bar is not None
    lines = filled(meaning, characters) if is_own else textwrap.fill(meaning, characters, break_on_hyphens=False)
    bar.set_label(lines, parse_math=is_own)


def _share_layers(row: list[Axes], results: list[Shown]) -> None:
    """Number and name the layers of maps only at the first of a row, as far as they are the same."""
    maps = [
        (axes, result.layers)
        for axes, result in zip(row, results, strict=True)
        if isinstance(result, Heatmap) and has_colours(result)
    ]
    labels = [axes.get_ylabel() for axes, _ in maps]
    for ((_, left), (axes, layers)), names in zip(pairwise(maps), pairwise(labels), strict=True):
        if layers == left:
            axes.tick_params(axis="y", labelleft=False)
            axes.set_ylabel("" if names[0] == names[1] else names[1])


def _lay_out(
    figure: Figure, planned: PaperFigure, rows: list[list[Axes]], shown: Mapping[Panel, Shown], notes: Text | None
) -> None:
    """Give every panel its room, the notes theirs, and label as many rows as can be read; then fix all of it."""
    make_room(figure, notes)
    collapsed = is_collapsed(figure)
    for _ in range(2 if planned.height is None else 0):
        wanted = sum(max(_inches(shown[panel]) for panel in row) for row in planned.panels)
        found = sum(inches_of(row[0])[1] for row in rows)
        figure.set_figheight(figure.get_figheight() + wanted - found)
        make_room(figure, notes)
        collapsed = is_collapsed(figure)
    if collapsed:
        raise InputError(f"no room for its panels and their labels; give more {_lacking(figure, planned)!r}")
    for panels, row in zip(planned.panels, rows, strict=True):
        for panel, axes in zip(panels, row, strict=True):
            width, height = inches_of(axes)
            if min(width, height) < LEAST_INCHES:
                key = "width" if width < LEAST_INCHES or planned.height is None else "height"
                raise InputError(f"no room for {panel.result}; give more {key!r}")
            result = shown[panel]
            if isinstance(result, Heatmap) and has_colours(result):
                if columns_are_too_close(axes):
                    raise InputError(f"no room for the names of the columns of {panel.result}; give more 'width'")
                label_rows(axes, result.layers)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _lacking(figure: Figure, planned: PaperFigure) -> str:
    """The key of which a figure needs more to be laid out."""
    if planned.height is None:
        return "width"
    figure.set_figheight(planned.height + GUESSED_INCHES * len(planned.panels))
    return "width" if is_collapsed(figure) else "height"
