"""Room on a paper figure: for its notes, for its axes, and for the labels of rows."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 50)
"""Of the rows that are labelled: every one, every second one, …"""
LINE_HEIGHT = 1.25
"""Of the labels of two rows, in parts of the size of their font."""
BESIDE_NOTES_INCHES = 0.05
NOTE_COLOUR = "#404040"


def written_notes(figure: Figure, notes: list[str]) -> Text:
    """Write notes into the lower left corner, each beginning a line, no line longer than the figure is wide."""
    size = points_of("xtick.labelsize")
    text = figure.text(0.01, 0.0, "", fontsize=size, color=NOTE_COLOUR, ha="left", va="bottom", linespacing=1.15)
    lines = []
    for note in notes:
        text.set_text(note)
        share = text.get_window_extent().width / figure.bbox.width
        characters = max(int(0.95 * len(note) / share), 8) if share > 0.97 else len(note)
        lines += textwrap.wrap(note, characters, break_on_hyphens=False, subsequent_indent="    ")
    text.set_text("\n".join(lines))
    return text


def make_room(figure: Figure, notes: Text | None) -> None:
    """Keep the panels above the notes."""
    if notes is not None:
        share = (notes.get_window_extent().height / figure.dpi + BESIDE_NOTES_INCHES) / figure.get_figheight()
        figure.set_layout_engine("constrained", rect=(0, share, 1, 1 - share))


def inches_of(axes: Axes) -> tuple[float, float]:
    """Width and height in inches."""
    box = axes.get_window_extent()
    figure = axes.get_figure(root=True)
    return (0.0, 0.0) if figure is None else (box.width / figure.dpi, box.height / figure.dpi)


def label_rows(axes: Axes, layers: list[int]) -> None:
    """Label every row, or every second one, …, whichever can be read."""
    line = LINE_HEIGHT * points_of("ytick.labelsize")
    row = 72 * inches_of(axes)[1] / len(layers)
    step = next((step for step in STEPS if step * row >= line), len(layers))
    labelled = np.arange(0, len(layers), step)
    axes.set_yticks(labelled + 0.5, [str(layers[place]) for place in labelled])


def points_of(setting: str) -> float:
    """The size of a font in points, which a style may give in words."""
    settings: Any = matplotlib.rcParams
    return float(FontProperties(size=settings[setting]).get_size_in_points())
