"""A report: results on one HTML page that needs no other file, with their figures, sentences, values and origins.

Every cell of a table says in full what it holds when it is pointed at: its value with the interval and n, or why it
has none. There is no script on the page, and nothing that it would fetch: it can be mailed, archived, and read offline.
The same results give the same bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.colors import to_hex

from interp.figures.cell_colours import cell_colours, ink_on
from interp.number_words import number, with_interval
from interp.results.comparison import Comparison
from interp.results.heatmap import Heatmap
from interp.results.prompt_map import PromptMap
from interp.results.result import Result

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
h2 { margin-top: 3rem; border-top: 1px solid #ccc; padding-top: 1rem }
figure { margin: 1rem 0 }
img { max-width: min(100%, 44rem); height: auto }
.scrolled { overflow-x: auto }
details { margin: .5rem 0 }
summary { cursor: pointer }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12px; background: #f5f5f5; padding: .7rem }
table { border-collapse: collapse; font-size: 11px; font-variant-numeric: tabular-nums }
th { font-weight: normal; text-align: right; padding: 1px 5px; white-space: nowrap }
thead th { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; padding: 5px 1px }
td { text-align: right; padding: 1px 4px; border: 1px solid #fff }
td.missing { background: repeating-linear-gradient(45deg, #fff 0 3px, #ddd 3px 5px) }
td.marked { border-color: #111 }
table.rows td { border-color: #eee; padding: 1px 10px }
"""


@dataclass(frozen=True)
class Section:
    """What a report has of one result."""

    heading: str
    result: Result
    figure: bytes
    """PNG."""
    sentences: Sequence[str]
    """What it shows, the first also as the text in place of the figure."""
    origin: Sequence[str]
    """Where it comes from, in lines."""
    statistics: Sequence[str] = ()
    """Of a comparison, whose values are no table of cells: its statistics, in lines."""


def report_page(title: str, sections: Sequence[Section]) -> str:
    """The HTML page of all sections, in their order, with a table of contents."""
    places = [f"result-{place}" for place in range(1, len(sections) + 1)]
    contents = "\n".join(
        f'<li><a href="#{place}">{escape(section.heading)}</a></li>'
        for place, section in zip(places, sections, strict=True)
    )
    told = "\n".join(section_html(section, place) for place, section in zip(places, sections, strict=True))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n<ol>\n{contents}\n</ol>\n{told}\n"
        "</body>\n</html>\n"
    )


def section_html(section: Section, place: str) -> str:
    """The figure of a result with its sentences, then what is unfolded: its values, and where it comes from."""
    picture = base64.b64encode(section.figure).decode("ascii")
    sentences = "<br>\n".join(escape(line) for line in section.sentences)
    return "\n".join(
        [
            f'<section id="{place}">\n<h2>{escape(section.heading)}</h2>',
            f'<figure>\n<img alt="{escape(section.sentences[0])}" src="data:image/png;base64,{picture}">',
            f"<figcaption>{sentences}</figcaption>\n</figure>",
            _unfolded("Statistics" if isinstance(section.result, Comparison) else "All values", values_html(section)),
            _unfolded("Where it comes from", _as_lines(section.origin)),
            "</section>",
        ]
    )


def values_html(section: Section) -> str:
    """All values of a result as a table; of a comparison its statistics, as they are."""
    result = section.result
    if isinstance(result, Comparison):
        return _as_lines(section.statistics)
    if len(result.axes) == 1:
        return _rows_html(result)
    return _grid_html(result, cell_colours(result) if isinstance(result, Heatmap) else None)


def _as_lines(lines: Sequence[str]) -> str:
    return f"<pre>{escape(chr(10).join(lines))}</pre>"


def _unfolded(summary: str, content: str) -> str:
    return f'<details>\n<summary>{summary}</summary>\n<div class="scrolled">\n{content}\n</div>\n</details>'


def _rows_html(result: Result) -> str:
    """A row for each value of a result on one axis."""
    rows = [
        f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(words)}</td><td>{n}</td></tr>'
        for name, words, n in zip(
            result.data[result.axes[0]].values, _words(result).ravel(), result.data["n"].values, strict=True
        )
    ]
    metric = escape(str(result.data.attrs["metric"]))
    head = f"<thead><tr><td></td><td>{metric} (95 % interval)</td><td>n</td></tr></thead>"
    return f'<table class="rows">\n{head}\n' + "\n".join(rows) + "\n</table>"


def _grid_html(result: Result, colours: Float[np.ndarray, "row column rgb"] | None) -> str:
    """A row and a column for each name on the two axes, in the colours of the figure if there are any."""
    of_row, of_column = result.axes
    names = [str(name) for name in result.data[of_column].values]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    lines = []
    for row, (name, cells) in enumerate(zip(result.data[of_row].values, _cells(result, colours), strict=True)):
        lines.append(f'<tr><th scope="row">{escape(f"{of_row} {name}" if row == 0 else str(name))}</th>{cells}</tr>')
    return f"<table>\n<thead><tr><td></td>{head}</tr></thead>\n" + "\n".join(lines) + "\n</table>"


def _cells(result: Result, colours: Float[np.ndarray, "row column rgb"] | None) -> Iterator[str]:
    """The cells of each row, with all that they have to say where they are pointed at."""
    values, titles = result.data["value"].values, _titles(result)
    for row in range(len(values)):
        looks = [_look(result, colours, row, column) for column in range(values.shape[1])]
        shown = ["" if np.isnan(value) else number(float(value)) for value in values[row]]
        yield "".join(
            f'<td title="{escape(title)}"{look}>{text}</td>'
            for title, look, text in zip(titles[row], looks, shown, strict=True)
        )


def _titles(result: Result) -> np.ndarray[Any, np.dtype[Any]]:
    """For every cell of a grid where it is, its words, and n, which a published map has not, or the top token."""
    data, titles = result.data, _words(result)
    rows, columns = (data[axis].values for axis in result.axes)
    texts = result.texts if isinstance(result, PromptMap) else None
    for row, column in np.ndindex(titles.shape):
        n = int(data["n"].values[row, column])
        more = f", n = {n:,}" if n else ""
        if texts is not None:
            more = f"; top token {texts[int(data['top_token'].values[row, column])]!r}"
        titles[row, column] = f"{result.axes[0]} {rows[row]}, {columns[column]}: {titles[row, column]}{more}"
    return titles


def _look(result: Result, colours: Float[np.ndarray, "row column rgb"] | None, row: int, column: int) -> str:
    """The class and colours of a cell, as attributes of HTML."""
    if np.isnan(result.data["value"].values[row, column]):
        return ' class="missing"'
    is_marked = "marked" in result.data and bool(result.data["marked"].values[row, column])
    look = ' class="marked"' if is_marked else ""
    if colours is None:
        return look
    paper, ink = (to_hex(tuple(rgb.tolist())) for rgb in (colours[row, column], ink_on(colours[row, column])))
    return f'{look} style="background:{paper};color:{ink}"'


def _words(result: Result) -> np.ndarray[Any, np.dtype[Any]]:
    """For every value its words: with its interval, if it has one, or why it is missing."""
    value, low, high = (result.data[name].values for name in ("value", "low", "high"))
    words = [
        why or with_interval(float(middle), float(least), float(most))
        for middle, least, most, why in zip(
            value.ravel(), low.ravel(), high.ravel(), result.reasons.ravel(), strict=True
        )
    ]
    return np.array(words, dtype=object).reshape(value.shape)
