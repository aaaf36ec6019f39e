"""Drawing: the lens over one prompt, with the top token written into every cell."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal
from matplotlib.text import Text

from interp.figures.cell_colours import cell_colours, ink_on
from interp.figures.glyphs import Font, font_for
from interp.figures.plot import (
    MISSING_COLOUR,
    add_colour_bar,
    colours_of,
    normalised,
    outline_marked,
    settle,
    styled_figure,
)
from interp.models.token_labels import labels_of, legend
from interp.results.prompt_map import PromptMap

POINTS = 6.5
"""Size of what is written into a cell."""
COLUMN_INCHES = (0.42, 0.78)
"""The narrowest column and the widest: between them it is as wide as the longest token."""
BESIDE_TOKEN_INCHES = 0.08
ROW_INCHES = 0.175
AROUND_INCHES = (1.9, 1.25)
"""Width and height beside those of the cells."""
GREY = "#595959"
BETWEEN_NOTES = "   "
LINE_POINTS = 9.0
"""From one line of tokens above or below the cells to the next."""


def prompt_lens_figure(heatmap: PromptMap) -> Figure:
    """Draw what a lens says over a prompt: the first layer on top, the prompt's tokens below, the true next ones above.

    A cell has the top token, in bold and within a line if that is the true next token. Columns carry the numbers of
    their tokens; tokens that are not drawn in full, or not by their characters, are explained below.
    """
    texts = heatmap.texts
    font = font_for(texts.values(), POINTS)
    labels = labels_of(texts, font, 72 * (COLUMN_INCHES[1] - BESIDE_TOKEN_INCHES))
    widest = max(font.width(label) for label in labels.values()) / 72 + BESIDE_TOKEN_INCHES
    column = min(max(widest, COLUMN_INCHES[0]), COLUMN_INCHES[1])
    n_layers, n_columns = heatmap.data["value"].shape
    size = (AROUND_INCHES[0] + column * n_columns, AROUND_INCHES[1] + ROW_INCHES * max(n_layers, 8))
    with styled_figure(*size) as figure:
        axes = figure.add_subplot()
        facts = [*heatmap.facts, *draw_cells(axes, heatmap, labels, font)]
        notes = [BETWEEN_NOTES.join(each) for each in (facts, legend(labels.values())) if each]
        settle(figure, notes, share_of_notes=0.0)
    return figure


def draw_cells(axes: Axes, heatmap: PromptMap, labels: dict[int, str], font: Font) -> list[str]:
    """Draw the cells with their tokens and the tokens around them; returns what the line around cells means."""
    data, colours = heatmap.data, cell_colours(heatmap)
    value = data["value"].values
    axes.set_facecolor(MISSING_COLOUR)
    norm = normalised(heatmap.scale)
    mesh = axes.pcolormesh(value, cmap=colours_of(heatmap), norm=norm, edgecolors="white", linewidth=0.4)
    add_colour_bar(axes, mesh, str(data.attrs["metric"]))
    marked = data["marked"].values.astype(bool)
    for (row, column), token in np.ndenumerate(data["top_token"].values):
        ink = ink_on(colours[row, column])
        text = axes.text(
            column + 0.5, row + 0.52, labels[int(token)], color=ink, ha="center", va="center", parse_math=False
        )
        set_in(text, font, bold=bool(marked[row, column]))
    _write_around(axes, heatmap, labels, font)
    followed = marked[:, : heatmap.n_followed]
    return outline_marked(axes, followed, str(data.attrs["mark"])) if followed.size else []


def set_in(text: Text, font: Font, *, bold: bool) -> None:
    """Set a text in a font: bold if that has its characters, as outlines if a PDF cannot hold it as text."""
    has_bold = bold and all(font.bold().draws(character) for character in text.get_text())
    chosen = font.bold() if has_bold else font
    text.set(family=list(chosen.families), weight=chosen.weight, size=chosen.size)
    if not chosen.holds_as_text(text.get_text()):
        text.set_path_effects([Normal()])


def _write_around(axes: Axes, heatmap: PromptMap, labels: dict[int, str], font: Font) -> None:
    """The true next tokens above the columns, the prompt's tokens and their numbers below, the layers at the left."""
    data, layers = heatmap.data, heatmap.layers
    axes.set_ylim(len(layers), 0)
    axes.set_xlim(0, data.sizes["position"])
    axes.set_yticks(np.arange(len(layers)) + 0.5, [str(layer) for layer in layers], size=7)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.set_ylabel("Layer")
    nexts, tokens = ([labels[int(token)] for token in data[name].values] for name in ("next_token", "token"))
    lines = {
        "next": (1.0, LINE_POINTS / 2, nexts),
        "token": (0.0, -LINE_POINTS / 2 - 1, tokens),
        "": (0.0, -1.5 * LINE_POINTS - 1, [str(place) for place in heatmap.places]),
    }
    for name, (side, offset, words) in lines.items():
        for place, word in enumerate([name, *words]):
            text = axes.annotate(
                word,
                (max(place - 0.5, 0), side),
                xytext=(0 if place else -4, offset),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center" if place else "right",
                va="center",
                color=GREY if not (place and name) else "black",
                annotation_clip=False,
                parse_math=False,
            )
            set_in(text, font, bold=name == "next" and place > 0)
