"""The lens over one prompt in a terminal: the figure's rows and columns, as text."""

from __future__ import annotations

import textwrap

from interp.figures.cell_colours import cell_colours, ink_on
from interp.figures.terminals import Terminal, padded, painted, width_of
from interp.models.token_labels import labels_of, legend
from interp.results.prompt_map import PromptMap

ROOM = (10, 16)
"""The least columns of the terminal that a token is given, and the most."""
HEAD = 6
"""Columns of the terminal before the first token."""
RIGHT = "*"
"""Before a top token that is the true next token."""


def prompt_lens_text(heatmap: PromptMap, *, width: int, depth: str = "none") -> str:
    """What a lens says over a prompt, as `interp.figures.prompt_lens_figure` draws it, in lines.

    Parameters
    ----------
    heatmap
        What is shown of it are as many of the last columns as the width has room for.
    width
        Of the terminal.
    depth
        How many colours it has, one of `interp.figures.terminals.DEPTHS`.
    """
    n_columns = heatmap.data.sizes["position"]
    room = min(max((width - HEAD) // n_columns - 1, ROOM[0]), ROOM[1])
    labels = labels_of(heatmap.texts, Terminal(), float(room))
    cell = 1 + max(map(width_of, labels.values()))
    n_shown = min(max((width - HEAD) // cell, 1), n_columns)
    shown = heatmap.columns(n_columns - n_shown, n_columns)
    colour = [f"colour: {shown.data.attrs['metric']}"] if depth != "none" else []
    facts = [f"{RIGHT} {shown.data.attrs['mark']}", *colour, *shown.facts]
    signs = legend(labels[token] for token in shown.texts)
    notes = [line for each in (facts, signs) for line in textwrap.wrap(" · ".join(each), width)]
    return "\n".join([*_rows(shown, labels, cell, depth), "", *notes])


def _rows(heatmap: PromptMap, labels: dict[int, str], cell: int, depth: str) -> list[str]:
    """The lines of the picture: the true next tokens, the layers, the prompt's tokens, and their numbers."""
    data, colours = heatmap.data, cell_colours(heatmap)
    words = {name: [f" {labels[int(token)]}" for token in data[name].values] for name in ("next_token", "token")}
    lines = [_line("next", words["next_token"], cell)]
    for row, layer in enumerate(heatmap.layers):
        cells = []
        for column, token in enumerate(data["top_token"].values[row]):
            is_right, ground = bool(data["marked"].values[row, column]), colours[row, column]
            word = padded((RIGHT if is_right else " ") + labels[int(token)], cell)
            cells.append(painted(word, ground, ink_on(ground), depth=depth, bold=is_right))
        lines.append(f"{layer:>{HEAD - 1}} " + "".join(cells))
    return [*lines, _line("token", words["token"], cell), _line("", [f" {place}" for place in heatmap.places], cell)]


def _line(name: str, words: list[str], cell: int) -> str:
    return (f"{name:>{HEAD - 1}} " + "".join(padded(word, cell) for word in words)).rstrip()
