"""Terminals: how wide a text is there, and how it is given colours."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float

from interp.figures.glyphs import OWN, Font, is_from_the_right
from interp.models.token_labels import is_seen

DEPTHS = ("none", "256", "24bit")
"""How many colours a terminal has."""
TRUE_COLOUR = ("truecolor", "24bit")
"""What COLORTERM says of terminals that take every colour."""
LEVELS = (0, 95, 135, 175, 215, 255)
"""Of red, green and blue, in the cube of colours 16 to 231."""
FROM_LEFT = "\N{LEFT-TO-RIGHT MARK}"
"""After letters that are written from the right: what follows is not drawn to their left."""
JOINING_VOWELS = range(0x1160, 0x1200)
"""Parts of Hangul syllables that are drawn into the part before them."""


@dataclass(frozen=True)
class Terminal:
    """A `interp.models.token_labels.Face` whose unit is the column."""

    def draws(self, character: str) -> bool:
        """Whether a character can be seen; which ones a terminal's font lacks cannot be known."""
        return is_seen(character) and ord(character) not in JOINING_VOWELS

    def width(self, text: str) -> float:
        """How many columns a text takes."""
        return float(width_of(text))

    def look(self, text: str) -> Hashable:
        """What is seen of a text, as far as matplotlib's font is like the terminal's."""
        return Font((OWN,), 1.0).look(text)


def width_of(text: str) -> int:
    """How many columns of a terminal a text takes: wide characters take two, marks on others none."""
    return sum(_width_of(character) for character in text)


def padded(text: str, width: int) -> str:
    """A text in a field, at its left."""
    mark = FROM_LEFT if any(is_from_the_right(character) for character in text) else ""
    return text + mark + " " * (width - width_of(text))


def depth_of(environment: Mapping[str, str], *, is_terminal: bool) -> str:
    """How many colours what is printed may have, one of `DEPTHS` (no-color.org)."""
    if not is_terminal or environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return "none"
    return "24bit" if environment.get("COLORTERM") in TRUE_COLOUR else "256"


def painted(
    text: str, ground: Float[np.ndarray, " rgb"], ink: Float[np.ndarray, " rgb"], *, depth: str, bold: bool = False
) -> str:
    """A text in a colour on another, from 0 to 1 each."""
    if depth == "none":
        return text
    codes = [*(["1"] if bold else []), f"38;{_code(ink, depth)}", f"48;{_code(ground, depth)}"]
    return f"\033[{';'.join(codes)}m{text}\033[0m"


def _code(colour: Float[np.ndarray, " rgb"], depth: str) -> str:
    rgb = np.round(255 * colour).astype(int)
    return f"2;{rgb[0]};{rgb[1]};{rgb[2]}" if depth == "24bit" else f"5;{_nearest(rgb)}"


def _nearest(rgb: np.ndarray) -> int:
    """The nearest of the 256 colours that are the same in all terminals: the cube's, and the greys."""
    known = [*product(LEVELS, repeat=3), *((grey, grey, grey) for grey in range(8, 248, 10))]
    return 16 + int(((np.array(known) - rgb) ** 2).sum(1).argmin())


def _width_of(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
