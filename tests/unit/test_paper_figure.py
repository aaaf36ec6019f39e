"""Paper figures: panels in line, text that can be read, colours that everybody tells apart."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from analyses.parts.drawings import drawn_for_paper
from analyses.parts.runs import load_result
from interp.errors import InputError
from interp.figures.figure_list import CENTRED_PALETTES, PALETTES, Panel, PaperFigure
from interp.figures.figure_text import clipped, overlapping, too_small, written_on
from interp.figures.paper_figure import Composed, paper_figure
from interp.figures.paper_style import OWN_STYLE, paper_settings
from interp.results.comparison import Comparison
from interp.results.estimates import Estimates
from interp.results.heatmap import LINES, Heatmap
from interp.results.matrix import Matrix
from interp.results.result import Result
from interp.results.scales import Scale
from tests import compared_maps
from tests.unit.test_forest import estimates_of
from tests.unit.test_heatmap import heatmap_of

MAP, WIDE, CENTRED, ESTIMATES, MATRIX = (
    Path(f"{name}.nc") for name in ("map", "wide", "centred", "estimates", "matrix")
)
FIGURES = Path(__file__).parents[2] / "figures" / "smollm2-135m"


def results() -> dict[Path, Result]:
    value = np.linspace(0.55, 0.95, 30 * 4).reshape(30, 4)
    return {
        MAP: heatmap_of(value),
        WIDE: heatmap_of(np.repeat(value, 3, axis=1)),
        CENTRED: heatmap_of(value - 0.75, scale=Scale(-0.2, 0.2, centre=0.0)),
        ESTIMATES: estimates_of([0.6, 0.7, 0.8]),
        MATRIX: matrix(),
    }


def matrix() -> Matrix:
    value = np.array([[0.7, np.nan], [np.nan, 0.98]])
    return Matrix.of(
        (value, value - 0.1, value + 0.1, np.full((2, 2), 9)),
        names=[["a", "b"], ["a", "b"]],
        kind="transfer",
        metric="AUC",
        scale=(0.5, 1.0),
    )


def composed(*rows: list[Path | Panel], width: float = 5.5, **given: Any) -> Composed:
    panels = tuple(tuple(each if isinstance(each, Panel) else Panel(each) for each in row) for row in rows)
    return paper_figure(PaperFigure("a", panels, width, **given), results(), paper_settings())


def panels_of(figure: Figure) -> list[Any]:
    """The axes of panels, without colour bars."""
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def letters_of(figure: Figure) -> list[str]:
    return [text.get_text() for axes in panels_of(figure) for text in axes.texts if text.get_fontweight() == "bold"]


def test_panels_are_in_line_and_columns_equally_wide() -> None:
    drawn = composed([MAP, WIDE, CENTRED])
    first, second, third = panels_of(drawn.figure)
    boxes = [axes.get_window_extent() for axes in (first, second, third)]
    assert len({(round(box.y0, 3), round(box.y1, 3)) for box in boxes}) == 1
    columns = [box.width / n for box, n in zip(boxes, (4, 12, 4), strict=True)]
    np.testing.assert_allclose(columns, columns[0], rtol=1e-3)
    assert drawn.figure.get_figwidth() == 5.5
    assert drawn.warnings == ()


def test_letters_follow_each_other_and_are_in_line() -> None:
    drawn = composed([MAP, WIDE], [ESTIMATES])
    assert letters_of(drawn.figure) == ["a", "b", "c"]
    first, second = (axes.texts[-1].get_window_extent() for axes in panels_of(drawn.figure)[:2])
    assert first.y0 == pytest.approx(second.y0)
    assert letters_of(composed([MAP]).figure) == [""]
    assert letters_of(composed([MAP], letters=True).figure) == ["a"]
    assert letters_of(composed([MAP, WIDE], letters=False).figure) == ["", ""]


def test_layers_are_numbered_once_in_a_row_of_panels_and_not_too_densely() -> None:
    drawn = composed([MAP, WIDE])
    first, second = panels_of(drawn.figure)
    assert (first.get_ylabel(), second.get_ylabel()) == ("Layer", "")
    shown = [tick.label1.get_visible() for axes in (first, second) for tick in axes.yaxis.get_major_ticks()[:1]]
    assert shown == [True, False]
    assert [label.get_text() for label in first.get_yticklabels()][:3] == ["0", "3", "6"]
    third = panels_of(composed([MAP, WIDE, Panel(CENTRED, y="Block")]).figure)[2]
    assert third.get_ylabel() == "Block"
    assert not overlapping(written_on(drawn.figure), drawn.figure)


def test_the_height_is_what_the_panels_need_or_what_is_asked_for() -> None:
    short, tall = composed([MAP]).figure, composed([MAP], [MAP]).figure
    assert short.get_figheight() < tall.get_figheight()
    assert panels_of(short)[0].get_window_extent().height / short.dpi == pytest.approx(1.45, abs=0.02)
    assert composed([MAP], height=3.0).figure.get_figheight() == 3.0


@pytest.mark.parametrize(("n_layers", "inches"), [(48, 1.45), (100, 3.0)])
def test_a_map_of_many_layers_is_higher(n_layers: int, inches: float) -> None:
    planned = PaperFigure("a", ((Panel(MAP),),), 5.5)
    figure = paper_figure(planned, {MAP: heatmap_of(np.full((n_layers, 4), 0.7))}, paper_settings()).figure
    assert panels_of(figure)[0].get_window_extent().height / figure.dpi == pytest.approx(inches, abs=0.02)


def test_cells_on_the_low_side_are_marked_since_both_ends_are_dark_in_grey() -> None:
    drawn = composed([CENTRED])
    (axes,) = panels_of(drawn.figure)
    value = results()[CENTRED].data["value"].values
    dashes = {line.get_color(): np.asarray(line.get_xydata()) for line in axes.lines if line.get_marker() == "_"}
    for colour, cells in (("black", (value < -0.02) & (value >= -0.13)), ("white", value < -0.13)):
        rows, columns = np.nonzero(cells)
        assert {tuple(each) for each in dashes[colour]} == set(zip(columns + 0.5, rows + 0.5, strict=True))
        assert len(rows)
    assert "–: below 0" in drawn.notes[0]
    assert not composed([MAP]).notes


def test_the_line_around_marked_cells_has_a_white_one_below_it() -> None:
    data = results()[MAP].data
    marked = Heatmap(data.assign(marked=data["value"] > 0.8)).with_attributes({"mark": "above chance"})
    planned = PaperFigure("a", ((Panel(MAP),),), 5.5)
    drawn = paper_figure(planned, {MAP: marked}, paper_settings())
    lines = [each for each in panels_of(drawn.figure)[0].collections if isinstance(each, LineCollection)]
    white, outline = sorted(lines, key=LineCollection.get_zorder)
    assert to_rgb(np.asarray(white.get_color())[0]) == (1, 1, 1)
    np.testing.assert_array_equal(white.get_segments(), outline.get_segments())
    assert drawn.notes[0].startswith("within the line: above chance")


def test_notes_stand_below_the_panels_or_are_left_to_the_caption() -> None:
    with_notes, without = composed([CENTRED]), composed([CENTRED], notes=False)
    assert with_notes.notes == without.notes
    assert [text.get_text() for text in with_notes.figure.texts] == ["–: below 0"]
    assert without.figure.texts == []
    (axes,) = panels_of(with_notes.figure)
    lowest = min(label.get_window_extent().y0 for label in axes.get_xticklabels())
    assert with_notes.figure.texts[0].get_window_extent().y1 < lowest


@pytest.mark.parametrize("quoted", ["$$", "$5 or 10 % of $9", "$a_b$"])
def test_a_note_with_dollar_signs_stands_as_it_is(quoted: str) -> None:
    heatmap = heatmap_of(np.full((4, 3), 0.7)).with_attributes({"variant": f"clean: {quoted!r}"})
    planned = PaperFigure("a", ((Panel(MAP),),), 5.5)
    (note,) = paper_figure(planned, {MAP: heatmap}, paper_settings()).figure.texts
    assert note.get_text() == f"clean: {quoted!r}"
    assert not note.get_parse_math()


def test_a_note_says_of_which_panel_it_is() -> None:
    other = Path("folder/other.nc")
    panels = ((Panel(CENTRED), Panel(MAP), Panel(other, title="Moved")),)
    of_results = results() | {other: results()[CENTRED]}
    for letters, called in ((None, ["a", "c"]), (False, ["centred", "Moved"])):
        for notes in (True, False):
            drawn = paper_figure(
                PaperFigure("a", panels, 5.5, letters=letters, notes=notes), of_results, paper_settings()
            )
            assert list(drawn.notes) == [f"{name}: –: below 0" for name in called]


def test_labels_palettes_and_names_of_columns_are_those_that_are_asked_for() -> None:
    panel = Panel(MAP, title="Probe", palette="Greys", x="Place", y="Depth", bar="area")
    drawn = composed([panel], column_names={"-1": "last"})
    axes, bar = drawn.figure.axes
    assert (axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()) == ("Probe", "Place", "Depth")
    assert bar.get_ylabel() == "area"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["-4", "-3", "-2", "last"]
    (mesh,) = [each for each in axes.collections if isinstance(each, QuadMesh)]
    assert mesh.get_cmap().name == "Greys"


@pytest.mark.parametrize(
    ("bar", "lines"),
    [
        ("Mean of the changes of $q(a | b)$", ["Mean of the changes of", "$q(a | b)$"]),
        (r"costs \$5 to \$9 a token and $\log p - \log q$", [r"costs \$5 to \$9 a token and", r"$\log p - \log q$"]),
        (
            r"by $\mathrm{change} - \mathrm{mean\ of it}$ then",
            ["by", r"$\mathrm{change} - \mathrm{mean\ of it}$", "then"],
        ),
    ],
)
def test_a_formula_beside_the_colours_is_in_one_line(bar: str, lines: list[str]) -> None:
    _, axes = composed([Panel(MAP, bar=bar)]).figure.axes
    assert axes.get_ylabel().split("\n") == lines


def test_lines_and_estimates_can_be_panels() -> None:
    lenses = heatmap_of(np.full((30, 2), 0.7), positions=["logit lens", "tuned lens"])
    lines = lenses.with_attributes({"drawn_as": LINES} | Scale(0.1, 10.0, "log").attributes)
    planned = PaperFigure("a", ((Panel(MAP), Panel(ESTIMATES)),), 5.5)
    drawn = paper_figure(planned, results() | {MAP: lines}, paper_settings())
    first, second = panels_of(drawn.figure)
    assert len(first.lines) == 2
    assert first.get_yscale() == "log"
    assert [label.get_text() for label in second.get_yticklabels()] == ["baseline 0", "baseline 1", "baseline 2"]
    assert drawn.warnings == ()


def test_lines_and_estimates_are_called_as_they_are_asked_to_be() -> None:
    lenses = heatmap_of(np.array([[0.7, 0.8]] * 30), positions=["logit lens", "tuned lens"])
    lines = lenses.with_attributes({"drawn_as": LINES})
    names = {"logit lens": "$a$", "tuned lens": "$a$", "baseline 1": "$b$"}
    planned = PaperFigure("a", ((Panel(MAP), Panel(ESTIMATES, title="$a$ in \\$")),), 5.5, column_names=names)
    drawn = paper_figure(planned, results() | {MAP: lines}, paper_settings())
    first, second = panels_of(drawn.figure)
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["$a$", "$a$"]
    assert not any(text.get_parse_math() for text in [*first.get_legend().get_texts(), *second.get_yticklabels()])
    assert [line.get_ydata()[0] for line in first.lines] == [0.7, 0.8]
    assert [label.get_text() for label in second.get_yticklabels()] == ["baseline 0", "$b$", "baseline 2"]


@pytest.mark.parametrize(
    ("panel", "given", "message"),
    [
        (Panel(MAP, palette="RdBu"), {}, "'palette' 'RdBu' is for scales with a centre, and that of map.nc has none"),
        (Panel(CENTRED, palette="Blues"), {}, "'Blues' is for scales without a centre, and that of centred.nc has one"),
        (Panel(MAP), {"column_names": {"-11": "a"}}, "'column_names': unknown column '-11'; nearest: -1"),
        (
            Panel(ESTIMATES, palette="Blues"),
            {},
            "'palette' is of colours, and estimates.nc is drawn without any; ",
        ),
        (Panel(ESTIMATES, bar="AUC"), {}, "'bar' is of colours, and estimates.nc is drawn without any"),
        (Panel(CENTRED), {"palette": "Blues"}, "'palette' is for scales without a centre; no panel has one"),
        (Panel(MAP), {"centred_palette": "RdBu"}, "'centred_palette' is for scales with a centre; no panel has one"),
        (Panel(ESTIMATES), {"palette": "Blues"}, "'palette' is for scales without a centre; no panel has one"),
        (Panel(MAP, title="$$"), {}, r"'title' is '$$', whose mathematics cannot be read; write \$ for a dollar sign"),
        (Panel(MAP), {"width": 0.4}, "no room for its panels and their labels; give more 'width'"),
        (Panel(MAP), {"height": 0.2}, "no room for its panels and their labels; give more 'height'"),
        (Panel(MAP), {"height": 0.4}, "no room for map.nc; give more 'height'"),
        (Panel(MAP), {"width": 0.7}, "no room for map.nc; give more 'width'"),
        (Panel(WIDE), {"width": 1.1}, "no room for the names of the columns of wide.nc; give more 'width'"),
        (Panel(CENTRED), {"height": 0.1}, "no room above its notes; give more 'width' or 'height', or leave them out"),
        (Panel(MAP, title="中 a 国"), {}, "no glyph for '中', '国' in DejaVu Sans; write other characters, or give a"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_drawn_is_one_error(panel: Panel, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        composed([panel], **given)


def test_names_of_columns_that_have_no_room_may_be_left_out() -> None:
    drawn = composed([Panel(WIDE)], width=1.1, column_names={f"-{number}": "" for number in range(2, 13)})
    assert drawn.warnings == ()


@pytest.mark.filterwarnings("error")
def test_many_texts_that_run_into_each_other_are_told_in_a_few_lines() -> None:
    warnings = composed([Panel(WIDE)], width=1.3).warnings
    assert len(warnings) == 5
    assert re.fullmatch(r"'-12' and '-11' run into each other", warnings[0])
    assert re.fullmatch(r"\d+ more run into each other", warnings[-1])


def test_what_fits_is_as_wide_on_paper_as_it_was_laid_out() -> None:
    """Not on the pixels of a screen, on which this name is narrower."""
    named = Estimates(results()[ESTIMATES].data.assign_coords(name=["p-true-reversed-exact", "a", "b"]))
    planned = PaperFigure("a", ((Panel(ESTIMATES), Panel(MAP)),), 5.5)
    figure = paper_figure(planned, {ESTIMATES: named, MAP: results()[MAP]}, paper_settings()).figure
    with matplotlib.rc_context(paper_settings() | {"text.hinting": "no_hinting"}):
        figure.set_dpi(72)
        figure.draw_without_rendering()
        assert clipped(written_on(figure), figure) == []
        (name,) = [text for text in written_on(figure) if text.words == "p-true-reversed-exact"]
        assert name.box.x0 > 0


def texts_in_cells(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_fontweight() != "bold"]


def test_a_matrix_is_a_panel_whose_cells_have_their_values_and_intervals() -> None:
    drawn = composed([MAP, MATRIX], column_names={"a": "set A"})
    _, axes = panels_of(drawn.figure)
    assert texts_in_cells(axes) == [".70", ".60 to .80", ".98", ".88 to 1.08"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["set A", "b"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["set A", "b"]
    assert drawn.notes == ("b: framed: tested out of fold on the set that it was trained on",)
    assert drawn.warnings == ()
    # Dark blue has white letters, light blue black ones; what is missing has none.
    assert [to_rgb(text.get_color()) for text in axes.texts[:4:2]] == [(0, 0, 0), (1, 1, 1)]


def test_numbers_of_any_size_in_cells_lack_only_a_zero_before_the_point() -> None:
    value = np.array([[10.5, -0.001], [-0.25, 100.0]])
    data = matrix().data.assign(value=(("train", "test"), value), low=(("train", "test"), value - 0.1))
    data = data.assign(high=(("train", "test"), value + 0.1))
    planned = PaperFigure("a", ((Panel(MATRIX),),), 5.5)
    (axes,) = panels_of(paper_figure(planned, {MATRIX: Matrix(data)}, paper_settings()).figure)
    assert texts_in_cells(axes)[::2] == ["10.50", ".00", "-.25", "100.00"]
    assert texts_in_cells(axes)[1::2] == ["10.40 to 10.60", "-.10 to .10", "-.35 to -.15", "99.90 to 100.10"]


@pytest.mark.parametrize("palette", ["viridis", "Greys"])
def test_letters_are_told_from_any_palette(palette: str) -> None:
    (axes,) = panels_of(composed([Panel(MATRIX, palette=palette)]).figure)
    (mesh,) = [each for each in axes.collections if isinstance(each, QuadMesh)]
    for text, value in zip(axes.texts[:4:2], (0.7, 0.98), strict=True):
        cell, ink = (np.mean(to_rgb(colour)) for colour in (mesh.to_rgba([value])[0], text.get_color()))
        assert abs(cell - ink) > 0.3


def comparison_of(names: str) -> Comparison:
    maps = [compared_maps.operand(name, compared_maps.drawn(seed)) for seed, name in enumerate(names)]
    return compared_maps.compare(*maps)


@pytest.mark.parametrize(("names", "pair", "shown"), [("ab", None, "a - b"), ("abc", "b - c", "b - c")])
def test_of_a_comparison_a_panel_is_how_a_pair_differs_in_rank(names: str, pair: str | None, shown: str) -> None:
    comparison = comparison_of(names)
    panel = Panel(MAP, pair=pair)
    figure = paper_figure(PaperFigure("a", ((panel,),), 5.5), {MAP: comparison}, paper_settings()).figure
    (axes,) = panels_of(figure)
    (mesh,) = [each for each in axes.collections if isinstance(each, QuadMesh)]
    np.testing.assert_array_equal(mesh.get_array(), comparison.data["value"].sel(pair=shown).values)
    assert mesh.colorbar.ax.get_ylabel() == f"Rank in {shown[0]} − rank in {shown[-1]}"


@pytest.mark.parametrize(
    ("names", "pair", "message"),
    [
        ("abc", None, "map.nc compares several pairs of maps; give its panel a 'pair': a - b, a - c, b - c"),
        ("abc", "a - d", "map.nc: unknown pair 'a - d'; nearest: a - c, a - b, b - c"),
        ("", "a - b", "'pair' is for comparisons, and map.nc is a heatmap; leave it out"),
    ],
)
def test_a_pair_that_is_not_there_is_refused(names: str, pair: str | None, message: str) -> None:
    given = {MAP: comparison_of(names)} if names else results()
    with pytest.raises(InputError, match=re.escape(message)):
        paper_figure(PaperFigure("a", ((Panel(MAP, pair=pair),),), 5.5), given, paper_settings())


def test_a_picture_of_a_prompt_is_no_panel() -> None:
    prompt = load_result(FIGURES / "texts" / "lens-the-eiffel-tower-is-in-the-city-of-92ca8c.nc")
    with pytest.raises(InputError, match=r"map.nc is a \w+( \w+)* that cannot be a panel; it is drawn by itself"):
        paper_figure(PaperFigure("a", ((Panel(MAP),),), 5.5), {MAP: prompt}, paper_settings())


def test_text_that_cannot_be_read_on_paper_is_refused(tmp_path: Path) -> None:
    style = tmp_path / "small.mplstyle"
    style.write_text(OWN_STYLE.read_text() + "\nxtick.labelsize: 5.5\n")
    planned = PaperFigure("a", ((Panel(MAP),),), 5.5)
    with pytest.raises(InputError, match=r"text of 5.5 pt \('-4'\); 6 pt is the least"):
        paper_figure(planned, results(), paper_settings(style))


def test_texts_that_run_into_each_other_or_over_the_edge_are_told() -> None:
    figure = Figure(figsize=(2, 1), dpi=100)
    figure.text(0.1, 0.5, "one", fontsize=6)
    figure.text(0.12, 0.5, "two", fontsize=6)
    figure.text(0.9, 0.1, "out of it", fontsize=7)
    figure.text(0.5, 0.9, "free", fontsize=5)
    figure.text(0.5, 0.7, "$10^{3}$", fontsize=8)
    figure.text(0.2, 0.7, "$100$ of a_b", fontsize=6)
    texts = written_on(figure)
    assert overlapping(texts, figure) == [("one", "two")]
    assert clipped(texts, figure) == ["out of it"]
    assert [text.words for text in too_small(texts)] == ["free", "$10^{3}$"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("font.sise: 7", "line 1: unknown setting 'font.sise'; nearest: font.size"),
        ("font.size: big and bold", "line 1: "),
        ("font.size 7", "line 1: 'font.size 7' is no setting; write NAME: VALUE"),
    ],
)
def test_a_style_with_a_mistake_is_one_error(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "own.mplstyle"
    path.write_text(line)
    with pytest.raises(InputError) as raised:
        paper_settings(path)
    assert str(raised.value).startswith(f"{path}, {message}")
    assert "\n" not in str(raised.value)


def test_a_style_can_set_everything_but_what_venues_refuse(tmp_path: Path) -> None:
    path = tmp_path / "own.mplstyle"
    path.write_text('text.color: "#123456"  # ink\npdf.fonttype: 3\n\n')
    settings = paper_settings(path)
    assert settings["text.color"] == "#123456"
    assert settings["pdf.fonttype"] == 42


@pytest.mark.parametrize("result", [MAP, MATRIX])
def test_no_grid_of_a_style_goes_through_the_cells(tmp_path: Path, result: Path) -> None:
    style = tmp_path / "grid.mplstyle"
    style.write_text(OWN_STYLE.read_text() + "\naxes.grid: True\naxes.grid.which: both\n")
    figure = paper_figure(PaperFigure("a", ((Panel(result),),), 5.5), results(), paper_settings(style)).figure
    (axes,) = panels_of(figure)
    assert not any(line.get_visible() for line in [*axes.get_xgridlines(), *axes.get_ygridlines()])


def test_pgf_needs_latex(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    results()[MAP].save(tmp_path / "map.nc")
    planned = PaperFigure("a", ((Panel(tmp_path / "map.nc"),),), 5.5, formats=("pgf",))
    with pytest.raises(InputError, match=r"figures.toml: figure 'a': 'formats' has 'pgf', which needs xelatex"):
        drawn_for_paper(planned, tmp_path / "figures.toml")


LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
DEUTERANOPE = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
PROTANOPE = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)
"""Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB."""


def linear_rgb(palette: str, places: np.ndarray) -> np.ndarray:
    colours = matplotlib.colormaps[palette](places)[:, :3]
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("palette", PALETTES)
def test_palettes_keep_their_order_in_grey(palette: str) -> None:
    grey = linear_rgb(palette, np.linspace(0, 1, 33)) @ LUMINANCE
    steps = np.diff(grey)
    assert (steps > 0).all() or (steps < 0).all()


@pytest.mark.parametrize("palette", CENTRED_PALETTES)
def test_the_two_sides_of_a_palette_with_a_centre_are_told_apart_by_the_colour_blind(palette: str) -> None:
    places = np.linspace(0, 0.4, 9)
    low, high = linear_rgb(palette, places), linear_rgb(palette, 1 - places)
    for seen in (DEUTERANOPE, PROTANOPE):
        away = np.linalg.norm(
            np.clip(low @ seen.T, 0, 1) ** (1 / 2.2) - np.clip(high @ seen.T, 0, 1) ** (1 / 2.2), axis=1
        )
        assert (away > 0.12).all()
    grey = linear_rgb(palette, np.linspace(0, 1, 33)) @ LUMINANCE
    assert (np.diff(grey)[:14] > 0).all()
    assert (np.diff(grey)[-14:] < 0).all()
