"""The picture of a prompt, drawn from a map made by hand."""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from interp.errors import InputError
from interp.figures.cell_colours import cell_colours, ink_on
from interp.figures.plot import MISSING_COLOUR, save_figure
from interp.figures.prompt_lens_figure import prompt_lens_figure
from interp.results.heatmap import Heatmap
from interp.results.prompt_map import COLOURS, PromptMap
from tests.prompt_maps import CELLS, FOLLOWING, TOKENS, prompt_map_of

LABELS = [["␣and", "␣(", "↵"], ["␣the", ".", "␣a", "‹0xE4B8›"], ["␣Tower", "␣is", "⇥", "␣Paris"]]
LONG = " internationalisation of everything"


@pytest.fixture
def heatmap() -> PromptMap:
    return prompt_map_of(CELLS, TOKENS, FOLLOWING, places=[3, 4, 5, 6])


def texts_in_cells(figure: Figure) -> dict[tuple[int, int], Text]:
    """By row and column."""
    texts = [text for text in figure.axes[0].texts if not isinstance(text, Annotation)]
    return {(int(text.get_position()[1]), int(text.get_position()[0])): text for text in texts}


def words_around(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if isinstance(text, Annotation)]


def notes_below(figure: Figure) -> str:
    return " ".join(figure.texts[0].get_text().split())


def test_every_cell_has_its_top_token(heatmap: PromptMap) -> None:
    cells = texts_in_cells(prompt_lens_figure(heatmap))
    assert len(cells) == 12
    for row, labels in enumerate(LABELS):
        assert [cells[row, column].get_text() for column in range(len(labels))] == labels


def test_tokens_stand_below_with_their_numbers_and_the_true_next_ones_above(heatmap: PromptMap) -> None:
    figure = prompt_lens_figure(heatmap)
    above, below = ["␣Tower", "␣is", "␣in", "␣Paris"], ["The", "␣Tower", "␣is", "␣in"]
    assert words_around(figure) == ["next", *above, "token", *below, "", "3", "4", "5", "6"]
    axes = figure.axes[0]
    assert axes.get_ylim() == (3, 0), "layer 0 is on top"
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["0", "1", "2"]
    extents = {text.get_text(): text.get_window_extent() for text in axes.texts if isinstance(text, Annotation)}
    cells = axes.get_window_extent()
    assert extents["next"].y0 >= cells.y1
    assert extents["token"].y1 <= cells.y0
    assert extents["3"].y1 <= extents["token"].y0 + 1


def test_what_is_right_is_bold_and_within_the_line(heatmap: PromptMap) -> None:
    figure = prompt_lens_figure(heatmap)
    bold = {cell for cell, text in texts_in_cells(figure).items() if text.get_weight() == "bold"}
    assert bold == {(2, 0), (2, 1)}, "after the last token there is no next one"
    (outline,) = [artist for artist in figure.axes[0].collections if isinstance(artist, LineCollection)]
    assert len(outline.get_segments()) == 6
    assert "within the line: right about the next token (2 of 9)" in notes_below(figure)
    assert "what the model goes on with, not counted" in notes_below(figure)
    cut = prompt_lens_figure(prompt_map_of(CELLS, TOKENS, FOLLOWING, n_tokens=20))
    assert "right about the next token (3 of 12)" in notes_below(cut)


def test_of_the_last_token_alone_nothing_is_said_to_be_right() -> None:
    alone = prompt_lens_figure(prompt_map_of([[" a"]], ["b"], [" a"]))
    assert "right about the next token" not in notes_below(alone)


def test_what_is_written_can_be_told_from_its_cell() -> None:
    probability = np.linspace(0, 1, 12).reshape(3, 4)
    heatmap = prompt_map_of(CELLS, TOKENS, FOLLOWING, probability=probability)
    figure = prompt_lens_figure(heatmap)
    (mesh,) = [artist for artist in figure.axes[0].collections if isinstance(artist, QuadMesh)]
    np.testing.assert_array_equal(mesh.get_array(), probability)
    ground = mesh.to_rgba(mesh.get_array())[..., :3]
    np.testing.assert_allclose(cell_colours(heatmap), ground)
    for cell, text in texts_in_cells(figure).items():
        assert contrast(to_rgb(text.get_color()), ground[cell]) >= 4.5


def contrast(first: tuple[float, ...], second: np.ndarray) -> float:
    """As WCAG 2.2 defines it, written out."""
    luminances = []
    for colour in (first, second):
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
        luminances.append(0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2])
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


def test_ink_is_the_better_of_black_and_white_on_every_colour() -> None:
    for name in ("Blues", "Blues_r", "RdBu"):
        for ground in matplotlib.colormaps[name](np.linspace(0, 1, 50))[:, :3]:
            ink = ink_on(ground)
            assert contrast(tuple(ink), ground) >= contrast(tuple(1 - ink), ground)


@pytest.mark.parametrize("colour", COLOURS)
def test_every_colour_says_what_it_means(heatmap: PromptMap, colour: str) -> None:
    coloured = heatmap.coloured(colour)
    figure = prompt_lens_figure(coloured)
    assert figure.axes[1].get_ylabel().replace("\n", " ") == COLOURS[colour].metric
    (mesh,) = [artist for artist in figure.axes[0].collections if isinstance(artist, QuadMesh)]
    assert mesh.get_clim() == (coloured.scale.low, coloured.scale.high)
    assert coloured.scale.low <= coloured.data["value"].min()
    assert coloured.scale.high >= coloured.data["value"].max()
    assert mesh.get_cmap().name == ("Blues_r" if colour == "rank" else "Blues")


def test_ranks_are_counted_from_one_and_first_ones_are_dark(heatmap: PromptMap) -> None:
    ranks = heatmap.coloured("rank")
    assert ranks.data["value"].values[2, 0] == 1
    assert cell_colours(ranks)[2, 0].max() == cell_colours(ranks).max(axis=2).min()
    assert "scale_kind" not in ranks.coloured("kl").data.attrs, "nothing of the other colour is left"
    assert heatmap.coloured("rank").coloured("probability").data.identical(heatmap.data)
    with pytest.raises(InputError, match="unknown colour 'ranks'; nearest: rank"):
        heatmap.coloured("ranks")


def test_labels_stay_within_their_columns_and_no_two_are_alike() -> None:
    words = [
        LONG,
        LONG + "!",
        LONG[:-1] + "Y",
        "W" * 4,
        "\\u4E2D" * 3,
        "中" * 9,
        "A",
        "А",
        "é",
        "e\u0301",
        " " * 30,
        "\x07",
    ]
    heatmap = prompt_map_of([words, words[::-1]], words, [*words[1:], LONG])
    figure = prompt_lens_figure(heatmap)
    cells = texts_in_cells(figure)
    assert len({text.get_text() for text in cells.values()}) == len(words)
    column = figure.axes[0].get_window_extent().width / len(words)
    for (_, place), text in cells.items():
        extent = text.get_window_extent()
        middle = figure.axes[0].get_window_extent().x0 + (place + 0.5) * column
        assert extent.width <= column, text.get_text()
        assert abs((extent.x0 + extent.x1) / 2 - middle) < 2
    assert "… cut" in notes_below(figure)


def test_columns_of_one_token_are_not_one_column() -> None:
    heatmap = prompt_map_of([["a"] * 5], ["a"] * 5, ["a"] * 5)
    assert words_around(prompt_lens_figure(heatmap))[-5:] == ["0", "1", "2", "3", "4"]


def test_no_glyph_is_missing(heatmap: PromptMap) -> None:
    words = [
        "中国",
        "العربية",
        "😀",
        "🇫🇷",
        "\u2800",
        "ไทย",
        "\ufe0f",
        "e\u0301",
        "\u0301",
        "\udcff",
        "\U000e0001",
        "\xad",
    ]
    every = prompt_map_of([words, words], words, words)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prompt_lens_figure(every).draw_without_rendering()
        prompt_lens_figure(heatmap).draw_without_rendering()


def test_a_window_says_of_what_it_is(heatmap: PromptMap) -> None:
    assert "tokens" not in notes_below(prompt_lens_figure(prompt_map_of(CELLS, TOKENS, FOLLOWING))).split("␣")[0]
    assert "tokens 3 to 6 of 0 to 6" in notes_below(prompt_lens_figure(heatmap))
    assert "what the model goes on with" in notes_below(prompt_lens_figure(heatmap))
    strided = prompt_map_of(CELLS, TOKENS, FOLLOWING, places=[3, 5, 7, 9], n_tokens=20)
    assert "tokens 3 to 9 of 0 to 19, one of every 2" in notes_below(prompt_lens_figure(strided))
    assert "goes on with" not in notes_below(prompt_lens_figure(strided)), "the last token is not shown"


def test_a_cell_without_a_value_is_grey(heatmap: PromptMap) -> None:
    probability = np.full((3, 4), 0.5)
    probability[1, 2] = np.nan
    missing = prompt_map_of(CELLS, TOKENS, FOLLOWING, probability=probability)
    np.testing.assert_allclose(cell_colours(missing)[1, 2], to_rgb(MISSING_COLOUR))
    assert prompt_lens_figure(missing).axes[0].get_facecolor()[:3] == to_rgb(MISSING_COLOUR)


@pytest.mark.parametrize("suffix", [".pdf", ".png"])
def test_a_map_that_was_saved_gives_the_same_bytes(heatmap: PromptMap, tmp_path: Path, suffix: str) -> None:
    heatmap.save(tmp_path / "lens.nc")
    for name, each in (("a", heatmap), ("b", PromptMap.load(tmp_path / "lens.nc"))):
        save_figure(prompt_lens_figure(each), tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_a_map_that_lacks_something_is_none(heatmap: PromptMap, tmp_path: Path) -> None:
    Heatmap(heatmap.data.drop_vars("top_token")).save(tmp_path / "lens.nc")
    with pytest.raises(InputError, match=r"is not a map of a prompt: .*no variable 'top_token'"):
        PromptMap.load(tmp_path / "lens.nc")


def test_bytes_that_are_no_text_are_kept(heatmap: PromptMap, tmp_path: Path) -> None:
    heatmap.save(tmp_path / "lens.nc")
    assert PromptMap.load(tmp_path / "lens.nc").texts == heatmap.texts
    assert "\udce4\udcb8" in heatmap.texts.values()


@pytest.mark.parametrize("sign", [" $$", " $_$", " $x^2$"])
def test_signs_of_mathematics_are_characters_like_others(sign: str, tmp_path: Path) -> None:
    cells = [[sign, *CELLS[0][1:]], *CELLS[1:]]
    figure = prompt_lens_figure(prompt_map_of(cells, [sign, *TOKENS[1:]], FOLLOWING, places=[3, 4, 5, 6]))
    assert texts_in_cells(figure)[0, 0].get_text() == f"␣{sign.strip()}"
    save_figure(figure, tmp_path / "prompt.png")
