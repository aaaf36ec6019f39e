"""Drawing: estimates with their intervals as a forest plot, alone or beside a heatmap of the same measure.

Estimates that are called ``group: name``, the same names in every group, are drawn as a panel for each name, with a row
for each group.
"""

from __future__ import annotations

import json
from textwrap import fill
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from interp.figures.plot import MARK_COLOUR, OUTLINE_COLOUR, draw_heatmap, settle, size_of, styled_figure
from interp.results.estimates import IN_GROUP, Estimates
from interp.results.heatmap import Heatmap

ROW_INCHES = 0.17
AXIS_INCHES, CHARACTER_INCHES = 1.9, 0.062
"""Width of the axis, and of a character of the names at its left."""
LABEL_CHARACTERS = 24
"""So many fit under the axis."""
PANEL_INCHES, TITLE_CHARACTERS = 1.05, 11
"""Width of one of several panels, and how many characters fit in a line above it."""
AROUND_INCHES = 1.1
"""Height beside that of the rows."""
POINT_COLOUR, GRID_COLOUR = "#08519c", "#e5e5e5"
NESTED = "best cell of the map,\nchosen without these answers"


def forest_figure(estimates: Estimates, *, beside: Heatmap | None = None, title: str | None = None) -> Figure:
    """Draw estimates as points on a common axis, each with its interval; the first on top.

    What has no value is named without a point, with a word on it. A dotted line is where a value means nothing.

    Parameters
    ----------
    estimates
        What to draw.
    beside
        A heatmap of the same measure, which is drawn at the left; if it says what its best cell is worth, chosen
        without the answers that it is scored on, this is a row of its own.
    title
        What to write above; by default nothing.
    """
    panels = panels_of(estimates) if beside is None else None
    if panels is not None:
        return _panelled_figure(estimates, panels, title)
    rows = rows_of(estimates, beside)
    longest = max((len(line) for name, *_ in rows for line in name.split("\n")), default=0)
    width, height = AXIS_INCHES + CHARACTER_INCHES * longest, AROUND_INCHES + ROW_INCHES * len(rows)
    of_map = (0.0, 0.0) if beside is None else size_of(beside, with_n=False)
    with styled_figure(of_map[0] + width, max(of_map[1], height)) as figure:
        notes: list[str] = []
        if beside is None:
            axes = figure.add_subplot()
        else:
            left, axes = figure.subplots(1, 2, width_ratios=[of_map[0], AXIS_INCHES + 0.7])
            notes = draw_heatmap(left, beside)
        draw_rows(axes, rows, estimates)
        settle(figure, notes, share_of_notes=0.0, title=title)
    return figure


Row = tuple[str, float, float, float]
"""A name with its value and the ends of its interval."""


def rows_of(estimates: Estimates, beside: Heatmap | None = None) -> list[Row]:
    """What is drawn: the best cell of the map beside, if it says so, then every estimate."""
    columns = [estimates.data[name].values.tolist() for name in ("value", "low", "high")]
    rows: list[Row] = list(zip(estimates.names, *columns, strict=True))
    nested = beside.data.attrs.get("best_nested") if beside is not None else None
    return [(NESTED, *json.loads(nested)["auc"]), *rows] if nested else rows


class Panels(NamedTuple):
    """Estimates by name and group."""

    rows: dict[str, list[Row]]
    """Of each name, with a row for each group that has any value."""
    without_value: list[str]
    """The other groups."""


def panels_of(estimates: Estimates) -> Panels | None:
    """Estimates of the same names in several groups, of which one has a value; None of others."""
    parts = [tuple(name.split(IN_GROUP)) for name in estimates.names]
    if any(len(part) != 2 for part in parts):
        return None
    groups, names = (list(dict.fromkeys(each)) for each in zip(*parts, strict=True))
    if len(groups) < 2 or len(parts) != len(groups) * len(names):
        return None
    row = {part: (value, low, high) for part, (_, value, low, high) in zip(parts, rows_of(estimates), strict=True)}
    n = dict(zip(parts, estimates.data["n"].values.tolist(), strict=True))
    label = {group: f"{group} (n {max(n[group, name] for name in names)})" for group in groups}
    shown = [group for group in groups if not all(np.isnan(row[group, name][0]) for name in names)]
    if not shown:
        return None
    return Panels(
        {name: [(label[group], *row[group, name]) for group in shown] for name in names},
        [label[group] for group in groups if group not in shown],
    )


def _panelled_figure(estimates: Estimates, panels: Panels, title: str | None) -> Figure:
    n_rows = max(map(len, panels.rows.values()))
    labels = [name for rows in panels.rows.values() for name, *_ in rows]
    width = CHARACTER_INCHES * max(map(len, labels), default=0) + PANEL_INCHES * len(panels.rows)
    with styled_figure(width, AROUND_INCHES + ROW_INCHES * n_rows) as figure:
        all_axes = figure.subplots(1, len(panels.rows), sharex=True, squeeze=False)[0]
        for number, (axes, (name, rows)) in enumerate(zip(all_axes, panels.rows.items(), strict=True)):
            draw_rows(axes, rows, estimates)
            axes.set_title(fill(name, TITLE_CHARACTERS), fontsize=9)
            axes.set_xlabel("")
            axes.tick_params(axis="x", labelsize=8)
            axes.grid(axis="y", color=GRID_COLOUR, linewidth=0.5)
            axes.set_axisbelow(True)
            if number:
                axes.tick_params(axis="y", labelleft=False)
        all_axes[len(all_axes) // 2].set_xlabel(str(estimates.data.attrs["metric"]))
        notes = [f"no value: {'; '.join(panels.without_value)}"] if panels.without_value else []
        settle(figure, notes, share_of_notes=0.0, title=title)
    return figure


def draw_rows(axes: Axes, rows: list[Row], estimates: Estimates) -> None:
    """Draw rows from top to bottom, with their names at the left."""
    places = range(len(rows))
    if estimates.reference is not None:
        axes.axvline(estimates.reference, color=MARK_COLOUR, linestyle=":", linewidth=0.8)
    for place, (name, value, low, high) in zip(places, rows, strict=True):
        if np.isnan(value):
            inside = axes.get_yaxis_transform()
            behind = {"facecolor": axes.get_facecolor(), "edgecolor": "none", "pad": 1.0}  # The dotted line ends there.
            axes.text(
                0.02, place, "no value", fontsize=7, color=MARK_COLOUR, va="center", transform=inside, bbox=behind
            )
            continue
        colour = OUTLINE_COLOUR if name == NESTED else POINT_COLOUR
        axes.plot([low, high], [place, place], color=colour, linewidth=1.2, solid_capstyle="butt")
        axes.plot([value], [place], "o", color=colour, markersize=3.5)
    axes.set_yticks(list(places), [name for name, *_ in rows], fontsize=8, parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(fill(str(estimates.data.attrs["metric"]), LABEL_CHARACTERS))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
