"""Room on a paper figure: for its notes, for its axes, and for the labels of rows and columns."""

from __future__ import annotations

import re
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

from interp.errors import InputError

STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 50)
"""Of the rows that are labelled: every one, every second one, …"""
LINE_HEIGHT = 1.25
"""Of the labels of two rows, in parts of the size of their font."""
LEAST_PITCH = 0.5
"""From name to name of two columns, in parts of the size of their font: names that are closer cannot be read at all."""
BESIDE_NOTES_INCHES = 0.05
COLLAPSED = re.compile("constrained_layout not applied")
MISSING_GLYPH = re.compile(r"Glyph (\d+) .*missing from font\(s\) (.*)\.")
"""What matplotlib warns of where it has laid nothing out, and where an empty box stands for a character."""
FORMULA = re.compile(r"(?<!\\)\$(?:\\.|[^\\$])*\$")
"""Between dollar signs that have no backslash before them."""
UNBROKEN = "\N{NO-BREAK SPACE}"
NOTE_COLOUR = "#404040"


def written_notes(figure: Figure, notes: list[str]) -> Text:
    """Write notes into the lower left corner, each beginning a line, no line longer than the figure is wide."""
    size = points_of("xtick.labelsize")
    text = figure.text(0.01, 0.0, "", fontsize=size, color=NOTE_COLOUR, ha="left", va="bottom", linespacing=1.15)
    text.set_parse_math(False)  # A text that a note quotes may have dollar signs.
    lines = []
    for note in notes:
        text.set_text(note)
        share = text.get_window_extent().width / figure.bbox.width
        characters = max(int(0.95 * len(note) / share), 8) if share > 0.97 else len(note)
        lines += textwrap.wrap(note, characters, break_on_hyphens=False, subsequent_indent="    ")
    text.set_text("\n".join(lines))
    return text


def filled(text: str, characters: int) -> str:
    """A text in lines of so many characters at most, where a formula between dollar signs is not broken."""
    if not FORMULA.search(text):
        return textwrap.fill(text, characters, break_on_hyphens=False)
    whole = FORMULA.sub(lambda formula: re.sub(r"\s", UNBROKEN, formula[0]), text)
    lines = textwrap.fill(whole, characters, break_on_hyphens=False, break_long_words=False)
    return lines.replace(UNBROKEN, " ")


def make_room(figure: Figure, notes: Text | None) -> None:
    """Keep the panels above the notes; an `InputError` says so if these leave them no room."""
    if notes is not None:
        share = (notes.get_window_extent().height / figure.dpi + BESIDE_NOTES_INCHES) / figure.get_figheight()
        if share >= 1:
            raise InputError("no room above its notes; give more 'width' or 'height', or leave them out: notes = false")
        figure.set_layout_engine("constrained", rect=(0, share, 1, 1 - share))


def is_collapsed(figure: Figure) -> bool:
    """Lay a figure out, and tell whether there was no room to do so."""
    with taken_warnings(COLLAPSED) as found:
        figure.draw_without_rendering()
    return bool(found)


@contextmanager
def glyphs_required() -> Iterator[None]:
    """Raise an `InputError` at the end if a text has had characters that its fonts do not have."""
    with taken_warnings(MISSING_GLYPH) as found:
        yield
    if found:
        characters = ", ".join(sorted({repr(chr(int(each[1]))) for each in found}))
        raise InputError(
            f"no glyph for {characters} in {found[0][2]}; write other characters, or give a 'style' whose font.family "
            "has them"
        )


@contextmanager
def taken_warnings(pattern: re.Pattern[str]) -> Iterator[list[re.Match[str]]]:
    """Warnings that fit a pattern, which are not printed; others are passed on."""
    found: list[re.Match[str]] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield found
    for each in caught:
        if match := pattern.search(str(each.message)):
            found.append(match)
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


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


def columns_are_too_close(axes: Axes) -> bool:
    """Whether the names of two columns are so close that neither can be read; columns may have no name."""
    named = [column for column, label in enumerate(axes.get_xticklabels()) if label.get_text()]
    pitch = 72 * inches_of(axes)[0] / len(axes.get_xticklabels())
    nearest = min((after - before for before, after in pairwise(named)), default=np.inf)
    return bool(nearest * pitch < LEAST_PITCH * points_of("xtick.labelsize"))


def points_of(setting: str) -> float:
    """The size of a font in points, which a style may give in words."""
    settings: Any = matplotlib.rcParams
    return float(FontProperties(size=settings[setting]).get_size_in_points())
