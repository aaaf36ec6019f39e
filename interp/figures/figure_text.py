"""What is written on a figure that has been drawn: whether it can be read at the size at which it is printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

LEAST_POINTS = 6.0
SHRINKING = 0.7
"""Of exponents and indices, by matplotlib."""
SCRIPT = re.compile(r"\$[^$]*[\^_][^$]*\$")
ROUNDING = 1e-6
MARGIN = 0.12
"""By so much of its size a text's box may reach into another's, or over the edge: letters do not fill their boxes."""


class Written(NamedTuple):
    """A text, where it is, in pixels of the figure."""

    words: str
    points: float
    box: Bbox


def written_on(figure: Figure) -> list[Written]:
    """All texts that are seen, without those of ticks that lie beyond the ends of their axis."""
    unseen = {id(text) for text in _beyond(figure)}
    texts = [text for text in figure.findobj(Text) if id(text) not in unseen and _is_seen(text)]
    return [Written(text.get_text(), least_points(text), text.get_window_extent()) for text in texts]


def least_points(text: Text) -> float:
    """The size of the smallest of its letters: in formulas, of exponents and indices."""
    has_scripts = text.get_parse_math() and SCRIPT.search(text.get_text())
    return float(text.get_fontsize()) * (SHRINKING if has_scripts else 1.0)


def too_small(texts: list[Written], least: float = LEAST_POINTS) -> list[Written]:
    """Those that are smaller than can be read on paper."""
    return [text for text in texts if text.points < least - ROUNDING]


def clipped(texts: list[Written], figure: Figure) -> list[str]:
    """Those that run over the edge of the figure."""
    edge = figure.bbox
    return [
        text.words
        for text in texts
        if (inner := _inner(text, figure)).x0 < edge.x0
        or inner.y0 < edge.y0
        or inner.x1 > edge.x1
        or inner.y1 > edge.y1
    ]


def overlapping(texts: list[Written], figure: Figure) -> list[tuple[str, str]]:
    """Pairs that run into each other."""
    boxes = [(text.words, _inner(text, figure)) for text in texts]
    return [(one, other) for (one, first), (other, second) in combinations(boxes, 2) if first.overlaps(second)]


def _inner(text: Written, figure: Figure) -> Bbox:
    margin = MARGIN * text.points * figure.dpi / 72
    return text.box.padded(-min(margin, text.box.width / 2, text.box.height / 2))


def _is_seen(text: Text) -> bool:
    axes = text.axes
    return bool(text.get_text().strip()) and text.get_visible() and (axes is None or axes.get_visible())


def _beyond(figure: Figure) -> Iterator[Text]:
    """Labels of ticks that are not drawn: beyond the ends of their axis, or on a side that has none."""
    for axis in figure.findobj(Axis):
        low, high = sorted(axis.get_view_interval())
        rounding = ROUNDING * (high - low)
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low - rounding <= tick.get_loc() <= high + rounding or not axis.get_visible():
                yield from (tick.label1, tick.label2)
