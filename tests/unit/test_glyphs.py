"""What fonts can draw: never an empty box."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from interp.figures import glyphs
from interp.figures.glyphs import OWN, Font, drawable, font_for, joins_letters
from interp.figures.plot import save_figure
from interp.figures.prompt_lens_figure import set_in
from interp.models.token_labels import whole_label

SCRIPTS = (
    "naïve",
    "Ελλάδα",
    "Москва",
    "العربية",
    "שלום",
    "中国",
    "日本語",
    "한국",
    "ไทย",
    "हिन्दी",
    "😀👍🏽",
    "🇫🇷",
    "∮x²",
    "e\u0301\u0301",
)
SQUARE = [(100, 0), (100, 700), (800, 700), (800, 0)]


def tiny_font(path: Path, family: str, characters: str, *, truetype: bool) -> None:
    """A font that has a square for each character."""
    names = {ord(character): f"g{ord(character):X}" for character in characters}
    glyphs_of_font = [".notdef", *names.values()]
    builder = FontBuilder(1000, isTTF=truetype)
    builder.setupGlyphOrder(glyphs_of_font)
    builder.setupCharacterMap(names)
    if truetype:
        builder.setupGlyf({name: square(TTGlyphPen(None)).glyph() for name in glyphs_of_font})
    else:
        strings = {name: square(T2CharStringPen(1000, None)).getCharString() for name in glyphs_of_font}
        builder.setupCFF(family, {}, strings, {})
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs_of_font, (1000, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular", "psName": family})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    builder.save(path)


def square(pen: Any) -> Any:
    pen.moveTo(SQUARE[0])
    for point in SQUARE[1:]:
        pen.lineTo(point)
    pen.closePath()
    return pen


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that has no fonts but matplotlib's own."""
    own = [entry for entry in fontManager.ttflist if "mpl-data" in entry.fname]
    monkeypatch.setattr(fontManager, "ttflist", own)
    glyphs._families_for.cache_clear()
    yield
    for cached in (glyphs._families_for, glyphs._glyph, glyphs._path):
        cached.cache_clear()


def install(folder: Path, family: str, characters: str, *, truetype: bool = True) -> None:
    path = folder / f"{family}.{'ttf' if truetype else 'otf'}"
    tiny_font(path, family, characters, truetype=truetype)
    fontManager.addfont(path)


def drawn(text: str, font: Font, *, bold: bool = False) -> Figure:
    figure = Figure(dpi=600)
    FigureCanvasAgg(figure)
    set_in(figure.text(0.1, 0.5, text), font, bold=bold)
    return figure


@pytest.mark.parametrize("bold", [False, True])
def test_every_label_is_drawn_without_a_missing_glyph(bold: bool) -> None:
    font = font_for(SCRIPTS, 6.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in SCRIPTS:
            drawn(whole_label(0, text, font.draws), font, bold=bold).draw_without_rendering()


def test_what_no_font_has_is_not_drawn() -> None:
    font = font_for(SCRIPTS, 6.5)
    assert font.families == (OWN,)
    assert not font.draws("中")
    assert whole_label(0, "中é", font.draws) == "\\u4E2Dé"
    assert drawable("3 中") == ("3 \\u4E2D", (OWN,))
    for unseen in "\u2800\ufe0f\u200d\x07\xa0":
        assert not font.draws(unseen)


def test_what_an_installed_font_has_is_drawn_by_it(tmp_path: Path) -> None:
    install(tmp_path, "Few", "中")
    install(tmp_path, "Many", "中国人")
    install(tmp_path, "Other", "ไ")
    font = font_for(["中国", "ไa"], 6.5)
    assert font.families == (OWN, "Many", "Other")
    assert font.draws("国")
    assert font.width("国") == pytest.approx(6.5)
    assert not font.bold().draws("国")
    assert drawable("国") == ("国", (OWN, "Many"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = drawn("国ไa", font, bold=True)
        figure.draw_without_rendering()
    save_figure(figure, tmp_path / "text.pdf")
    assert b"Many" in (tmp_path / "text.pdf").read_bytes()
    assert b"/Type3" not in (tmp_path / "text.pdf").read_bytes()


def test_of_fonts_that_have_as_much_a_plain_one_is_taken(tmp_path: Path) -> None:
    install(tmp_path, "A Handwriting", "中")
    install(tmp_path, "Noto Sans Tiny", "中")
    assert font_for(["中"], 6.5).families == (OWN, "Noto Sans Tiny")


def test_outlines_that_a_pdf_cannot_hold_as_a_font_are_drawn_as_paths(tmp_path: Path) -> None:
    install(tmp_path, "Curves", "中", truetype=False)
    font = font_for(["中"], 6.5)
    assert font.families == (OWN, "Curves")
    assert not font.holds_as_text("a中")
    assert font.holds_as_text("ab")
    save_figure(drawn("中", font), tmp_path / "path.pdf")
    assert b"FontFile" not in (tmp_path / "path.pdf").read_bytes()


def test_a_file_that_is_no_font_is_passed_over(tmp_path: Path) -> None:
    install(tmp_path, "Broken", "中")
    (tmp_path / "Broken.ttf").write_bytes(b"no font")
    assert font_for(["中"], 6.5).families == (OWN,)


def test_letters_that_look_the_same_are_known() -> None:
    font = Font((OWN,), 6.5)
    assert font.look("A") == font.look("Α") == font.look("А"), "Latin, Greek, Cyrillic"
    assert font.look("é") == font.look("e\u0301")
    assert font.look("fi") == font.look("ﬁ")
    assert font.look("A") != font.look("B")
    assert font.look("l") != font.look("I")
    assert font.look("中") != font.look("国")


def test_a_text_takes_no_more_room_than_it_is_said_to() -> None:
    font = Font((OWN,), 20.0)
    for text in ("␣international", "WWWWW", "iiiii", "‹0xE4B8›", "العربية", "\\u4E2D"):
        for bold in (False, True):
            figure = drawn(text, font, bold=bold)
            extent = figure.texts[0].get_window_extent()
            assert extent.width * 72 / figure.dpi <= 1.02 * font.width(text) + 0.5, text


def test_without_a_layout_engine_letters_from_the_right_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Font((OWN,), 6.5).draws("ع") == joins_letters()
    monkeypatch.setattr("interp.figures.glyphs.joins_letters", lambda: False)
    font = font_for(["ع"], 6.5)
    assert not font.draws("ع")
    assert whole_label(0, "aع", font.draws) == "a\\u0639"
