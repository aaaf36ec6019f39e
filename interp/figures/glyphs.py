"""What fonts can draw: matplotlib's own, and those that are installed for what it lacks.

DejaVu Sans, which comes with matplotlib, has Latin, Greek, Cyrillic, Arabic and most signs, and no Chinese, Japanese,
Korean or Indic letters. A character that it lacks is looked for in the fonts of the system; what none of them has is
written by its number, since it would be an empty box.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import ft2font
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

from interp.models.token_labels import escaped, is_seen

OWN = "DejaVu Sans"
PREFERRED = ("Noto Sans", "Source Han Sans", "Droid Sans Fallback", "WenQuanYi")
"""Beginnings of the names of plain families; others are taken where they have more."""
UNFIT = ("Last Resort", "LastResort", "STIX", "cm")
"""Beginnings of the names of families whose glyphs are not those of the characters, or are for formulas."""
REGULAR = (400, "normal", "regular", "book")
MOST_FAMILIES = 6
"""No more are taken for one picture."""
SIZE = 100.0
"""At which glyphs are measured, in points."""


@dataclass(frozen=True)
class Glyph:
    """A character as it is drawn."""

    advance: float
    """How far the next one is from it, in parts of the font's size."""
    outline: bytes
    is_truetype: bool
    """Whether a PDF can hold it as text."""


@dataclass(frozen=True)
class Font:
    """Families that stand in for each other, at a size: a `interp.models.token_labels.Face` whose unit is the point."""

    families: tuple[str, ...]
    size: float
    weight: str = "normal"

    def draws(self, character: str) -> bool:
        """Whether a family has a glyph for a character that can be seen."""
        if not is_seen(character) or (is_from_the_right(character) and not joins_letters()):
            return False
        return self._glyph(character) is not None

    def width(self, text: str) -> float:
        """How wide a text is, in points, before letters are joined; in bold if that is wider."""
        return self.size * sum(max(self._advance(each), self.bold()._advance(each)) for each in text)

    def look(self, text: str) -> Hashable:
        """The outlines of a text's characters, after those that only differ in their composition have been made one."""
        composed = unicodedata.normalize("NFKC", text)
        return tuple(glyph.outline if (glyph := self._glyph(each)) else each for each in composed)

    def holds_as_text(self, text: str) -> bool:
        """Whether a PDF can hold a text as text, and not only its outlines."""
        return all(glyph.is_truetype for character in text if (glyph := self._glyph(character)))

    def bold(self) -> Font:
        """Matplotlib's own, bold; few of the others come in bold."""
        return replace(self, families=(OWN,), weight="bold")

    def _advance(self, character: str) -> float:
        glyph = self._glyph(character)
        return glyph.advance if glyph else 0.0

    def _glyph(self, character: str) -> Glyph | None:
        return _glyph(self.families, self.weight, character)


def font_for(texts: Iterable[str], size: float) -> Font:
    """The font for some texts: matplotlib's own, then those of the system that have what it lacks."""
    own = Font((OWN,), size)
    lacking = {each for text in texts for each in text if is_seen(each) and not own.draws(each)}
    if not joins_letters():
        lacking = {each for each in lacking if not is_from_the_right(each)}
    return Font((OWN, *_families_for(frozenset(lacking))), size)


def drawable(text: str) -> tuple[str, tuple[str, ...]]:
    """A text with the characters that no font has written by their numbers, and the families that draw it."""
    font = font_for([text], SIZE)
    return escaped(text, font.draws), font.families


def is_from_the_right(character: str) -> bool:
    """Whether a character is of a script that is written from right to left."""
    return unicodedata.bidirectional(character) in ("R", "AL", "AN")


def joins_letters() -> bool:
    """Whether this matplotlib lays out scripts that join their letters and go from right to left (from 3.11 on)."""
    return hasattr(ft2font, "__libraqm_version__")


@cache
def _families_for(characters: frozenset[str]) -> tuple[str, ...]:
    """Families of the system that together have most of the characters, the one that has most of them first."""
    families: list[str] = []
    lacking = set(characters)
    upright = [entry.name for entry in fontManager.ttflist if entry.style == "normal" and entry.weight in REGULAR]
    names = sorted({name for name in upright if not name.startswith(UNFIT)} - {OWN})
    while lacking and len(families) < MOST_FAMILIES:
        had = {name: _had(name, lacking) for name in names}
        best = max(names, key=lambda name: (len(had[name]), name.startswith(PREFERRED)), default="")
        if not had.get(best):
            break
        families.append(best)
        lacking -= had[best]
    return tuple(families)


def _had(family: str, characters: Collection[str]) -> set[str]:
    """Which of the characters a family has."""
    return {each for each in characters if _glyph((family,), "normal", each) is not None}


@cache
def _glyph(families: tuple[str, ...], weight: str, character: str) -> Glyph | None:
    """A character as matplotlib draws it, from the first family that has it; None if it would not be seen."""
    for family in families:
        path = _path(family, weight)
        if path is None:
            continue
        font = get_font(path)
        if not font.get_char_index(ord(character)):
            continue
        font.set_size(SIZE, 72)
        glyph = font.load_char(ord(character), flags=ft2font.LoadFlags.NO_HINTING)
        vertices = np.round(np.asarray(font.get_path()[0], dtype=np.float64), 2)
        advance = glyph.linearHoriAdvance / 65536 / SIZE
        is_seen_there = len(vertices) or character == " "
        return Glyph(advance, vertices.tobytes(), _is_truetype(path)) if is_seen_there else None
    return None


@cache
def _path(family: str, weight: str) -> Any:
    """The file of a family that matplotlib takes; None if it cannot open it (fonts of coloured bitmaps)."""
    try:
        path = findfont(FontProperties(family=[family], weight=weight), fallback_to_default=False)
        get_font(path).set_size(SIZE, 72)
    except (ValueError, RuntimeError, OSError):
        return None
    return path


@cache
def _is_truetype(path: Any) -> bool:
    """Whether a font's outlines are TrueType's, as which matplotlib writes those of every font into a PDF."""
    number = getattr(path, "face_index", 0)
    with Path(path).open("rb") as file:
        head = file.read(16 + 4 * number)
        if head.startswith(b"ttcf"):  # A collection: where each of its fonts begins is said after 12 bytes.
            file.seek(int.from_bytes(head[12 + 4 * number :], "big"))
            head = file.read(4)
    return not head.startswith(b"OTTO")
