"""The picture of a prompt in a terminal."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from interp.figures.cell_colours import cell_colours
from interp.figures.prompt_lens_text import HEAD, prompt_lens_text
from interp.figures.terminals import DEPTHS, FROM_LEFT, Terminal, depth_of, padded, painted, width_of
from interp.models.token_labels import whole_label
from interp.results.prompt_map import PromptMap
from tests.prompt_maps import CELLS, FOLLOWING, TOKENS, prompt_map_of

WORDS = [
    " the",
    "中国",
    "العربية",
    "e\u0301",
    "\n",
    " internationalisation",
    "ｆｕｌｌ",
    "😀",
    "한국",
    "\ufe0f",
    " 東京",
    "a",
]
COLOUR = re.compile(r"\033\[[0-9;]*m")
letters = st.text(st.sampled_from("ab é中国ｆ한اع😀\u0301…‹␣↵ไд"), max_size=12)


@pytest.fixture
def heatmap() -> PromptMap:
    return prompt_map_of(CELLS, TOKENS, FOLLOWING)


@pytest.fixture
def wide() -> PromptMap:
    return prompt_map_of([WORDS, WORDS[::-1]], WORDS, [*WORDS[1:], " the"], places=range(90, 102))


def rows_of(text: str) -> list[str]:
    return COLOUR.sub("", text).split("\n\n")[0].splitlines()


SKIN_TONES = "".join(map(chr, range(0x1F3FB, 0x1F400)))
"""Which the other implementation counts as nothing, whether or not they follow a face."""


@given(letters)
def test_texts_are_as_wide_as_another_implementation_has_them(text: str) -> None:
    assert width_of(text) == cell_len(text)
    assert cell_len(padded(text, 30)) == 30


@pytest.mark.parametrize("tone", SKIN_TONES)
def test_a_skin_tone_without_a_face_is_an_emoji_of_its_own(tone: str) -> None:
    assert width_of(tone) == 2


@given(st.text(st.characters(codec="utf-8", exclude_characters=SKIN_TONES), max_size=8))
def test_labels_are_as_wide_as_another_implementation_has_them(text: str) -> None:
    label = whole_label(0, text, Terminal().draws)
    # Where the two know different versions of Unicode they may differ by what one of them does not know.
    assert abs(width_of(label) - cell_len(label)) <= sum(not character.isascii() for character in text)
    assert all(width_of(character) > 0 for character in label if ord(character) < 0x300)


def test_the_rows_are_those_of_the_figure(heatmap: PromptMap) -> None:
    assert [row.split() for row in rows_of(prompt_lens_text(heatmap, width=80))] == [
        ["next", "␣Tower", "␣is", "␣in", "␣Paris"],
        ["0", "␣and", "␣(", "↵", "中"],
        ["1", "␣the", ".", "␣a", "‹0xE4B8›"],
        ["2", "*␣Tower", "*␣is", "⇥", "␣Paris"],
        ["token", "The", "␣Tower", "␣is", "␣in"],
        ["0", "1", "2", "3"],
    ]
    assert "* right about the next token" in prompt_lens_text(heatmap, width=80)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("width", [20, 43, 80, 200])
def test_every_line_fits_and_every_column_begins_at_one_place(wide: PromptMap, width: int, depth: str) -> None:
    text = prompt_lens_text(wide, width=width, depth=depth)
    assert max(cell_len(line) for line in COLOUR.sub("", text).splitlines()) <= width
    above, *layers, below, numbers = rows_of(text)
    shown = [int(number) for number in numbers.split()]
    assert shown == list(range(102 - len(shown), 102)), "as many of the last columns as fit"
    column = (cell_len(layers[0]) - HEAD) // len(shown)
    assert len({cell_len(row) for row in layers}) == 1
    for row in (above, *layers, below):
        for place in range(len(shown)):
            assert cell_begins(row, HEAD + place * column)


def cell_begins(row: str, column: int) -> bool:
    """Whether a sign or a space is at that column of a terminal, and after it a token begins."""
    reached = 0
    for index, character in enumerate(row):
        if reached == column and character in " *":
            return row[index + 1] != " " or row[index:].strip() == ""
        reached += cell_len(character)
    return False


def test_what_is_left_out_is_said(wide: PromptMap) -> None:
    assert "of 0 to 101" in " ".join(prompt_lens_text(wide, width=40).split())
    few = prompt_lens_text(prompt_map_of(CELLS, TOKENS, FOLLOWING), width=30)
    assert re.search(r"tokens \d to 3 of 0 to 3", " ".join(few.split()))


@pytest.mark.parametrize("width", [1, HEAD, HEAD + 3])
def test_the_last_column_is_shown_however_narrow_a_terminal_is(heatmap: PromptMap, width: int) -> None:
    *_, below, number = rows_of(prompt_lens_text(heatmap, width=width))
    assert (below.split(), number.split()) == (["token", "␣in"], ["3"])


def test_colours_are_those_of_the_figure(heatmap: PromptMap) -> None:
    text = prompt_lens_text(heatmap, width=80, depth="24bit")
    grounds = re.findall(r"48;2;(\d+);(\d+);(\d+)m", text)
    expected = np.round(255 * cell_colours(heatmap)).astype(int).reshape(-1, 3)
    assert [tuple(map(int, ground)) for ground in grounds] == [tuple(colour) for colour in expected.tolist()]
    assert len(re.findall(r"\[1;38;2;", text)) == 2, "what is right is bold"
    plain = prompt_lens_text(heatmap, width=80)
    assert rows_of(text) == rows_of(plain)
    assert "colour: probability of the top token" in text
    assert "colour" not in plain


def test_of_256_colours_the_nearest_is_taken() -> None:
    black, grey, red = np.zeros(3), np.full(3, 0.5), np.array([0.98, 0.02, 0.01])
    assert painted("x", red, black, depth="256") == "\033[38;5;16;48;5;196mx\033[0m"
    assert painted("x", grey, np.ones(3), depth="256", bold=True) == "\033[1;38;5;231;48;5;244mx\033[0m"
    assert painted("x", red, black, depth="none", bold=True) == "x"


def test_what_follows_letters_from_the_right_stays_at_their_right() -> None:
    assert padded("ع", 3) == f"ع{FROM_LEFT}  "
    assert padded("a", 3) == "a  "


@pytest.mark.parametrize(
    ("environment", "is_terminal", "depth"),
    [
        ({"COLORTERM": "truecolor"}, True, "24bit"),
        ({"COLORTERM": "24bit", "TERM": "xterm"}, True, "24bit"),
        ({"TERM": "xterm-256color"}, True, "256"),
        ({"COLORTERM": "truecolor"}, False, "none"),
        ({"COLORTERM": "truecolor", "NO_COLOR": "1"}, True, "none"),
        ({"COLORTERM": "truecolor", "NO_COLOR": ""}, True, "24bit"),
        ({"TERM": "dumb"}, True, "none"),
    ],
)
def test_colours_are_for_terminals_that_want_them(environment: dict[str, str], is_terminal: bool, depth: str) -> None:
    assert depth_of(environment, is_terminal=is_terminal) == depth
