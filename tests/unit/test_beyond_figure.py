"""The map beyond the controls: each control's own AUC is drawn below it, and told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from analyses.parts.runs import drawing
from interp.figures.figure_text import overlapping, written_on
from interp.figures.plot import MISSING_COLOUR
from interp.results.heatmap import Heatmap
from interp.results.scales import Scale
from interp.wording.heatmap_description import description_of
from interp.wording.heatmap_wording import sentences
from tests.described_maps import map_of

CONTROL = np.array([[0.71, np.nan, 0.48], [0.6, np.nan, 0.93]])


def beyond(control: np.ndarray = CONTROL, names: tuple[str, ...] = ("token", "all")) -> Heatmap:
    strongest = ["" if np.isnan(each).all() else names[int(np.nanargmax(each))] for each in control.T]
    value = np.linspace(-0.1, 0.2, 12).reshape(4, 3)
    data = map_of(value, names=["a", "b", "c"], scale=Scale(-0.25, 0.25, centre=0.0)).data
    ends = {"control": control, "control_low": control - 0.05, "control_high": control + 0.05}
    return Heatmap(
        data.assign_coords(which=list(names)).assign(
            {name: (("which", "position"), array) for name, array in ends.items()}
            | {"strongest": ("position", strongest)}
        )
    )


def drawn(heatmap: Heatmap, tmp_path: Path, *, with_n: bool = False) -> Figure:
    heatmap.save(tmp_path / "probe-beyond.nc")
    return drawing(tmp_path / "probe-beyond.nc", with_n=with_n)[0]


def values_of(figure: Figure) -> list[Text]:
    return [text for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize("with_n", [False, True])
def test_every_control_has_a_row_below_the_map(tmp_path: Path, *, with_n: bool) -> None:
    figure = drawn(beyond(), tmp_path, with_n=with_n)
    lower = next(axes for axes in figure.axes if axes.texts)
    assert [label.get_text() for label in lower.get_yticklabels()] == ["token", "all"]
    places = {(text.get_position(), text.get_text(), text.get_fontweight()) for text in lower.texts}
    assert places == {
        ((0.5, 0.5), ".71", "bold"),
        ((2.5, 0.5), ".48", "normal"),
        ((0.5, 1.5), ".60", "normal"),
        ((2.5, 1.5), ".93", "bold"),
    }
    assert to_rgb(lower.get_facecolor()) == to_rgb(MISSING_COLOUR)
    names = [text.words for text in written_on(figure) if text.words in "abc"]
    assert sorted(names) == ["a", "b", "c"]  # Once each, under the controls or under the strip of n.
    assert not overlapping(written_on(figure), figure)


@pytest.mark.parametrize("with_n", [False, True])
def test_names_of_columns_have_no_mathematics_in_them(tmp_path: Path, *, with_n: bool) -> None:
    names = ["$$", "$a_b$", "c"]
    figure = drawn(Heatmap(beyond().data.assign_coords(position=names)), tmp_path, with_n=with_n)
    assert [text.words for text in written_on(figure) if text.words in names] == names


def test_dark_cells_have_white_letters(tmp_path: Path) -> None:
    colours = {text.get_text(): to_rgb(text.get_color()) for text in values_of(drawn(beyond(), tmp_path))}
    assert colours[".93"] == (1, 1, 1)
    assert colours[".60"] == (0, 0, 0)


def test_columns_of_the_map_and_of_the_controls_are_in_line(tmp_path: Path) -> None:
    figure = drawn(beyond(), tmp_path)
    figure.draw_without_rendering()
    upper, lower = (axes.get_window_extent() for axes in figure.axes if axes.get_label() != "<colorbar>")
    assert (upper.x0, upper.x1) == pytest.approx((lower.x0, lower.x1))
    assert upper.y0 > lower.y1


def test_the_controls_are_told_with_the_columns_where_they_tell_most() -> None:
    controls = description_of(beyond()).controls
    assert [(each.name, each.least.value, each.most.value, each.column) for each in controls] == [
        ("token", 0.48, 0.71, "a"),
        ("all", 0.6, 0.93, "c"),
    ]
    (told,) = [each for each in sentences(description_of(beyond())) if each.startswith("Alone")]
    assert told == (
        "Alone, the controls have an AUC of .480 (.430 to .530) to .710 (.660 to .760) at a (token); "
        ".600 (.550 to .650) to .930 (.880 to .980) at c (all)."
    )


def test_a_control_that_is_the_same_everywhere_or_nowhere_is_told_so() -> None:
    control = np.array([[0.6, 0.6, 0.6], [np.nan] * 3])
    (told,) = [each for each in sentences(description_of(beyond(control))) if each.startswith("Alone")]
    assert told == "Alone, the controls have an AUC of .600 (.550 to .650) in every column that has one (token)."
    assert not [each for each in sentences(description_of(map_of(np.eye(2)))) if each.startswith("Alone")]
