from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyQuadMesh, QuadMesh
from matplotlib.figure import Figure

from interp.errors import InputError
from interp.figures.depth_figure import depth_figure
from interp.figures.forest import forest_figure
from interp.figures.matrix_figure import matrix_figure
from interp.figures.plot import heatmap_figure, save_figure
from interp.positions import PAPER_POSITIONS
from interp.results.estimates import Estimates
from interp.results.heatmap import Heatmap
from interp.results.matrix import Matrix
from interp.results.scales import Scale
from tests.unit.test_forest import estimates_of
from tests.unit.test_heatmap import heatmap_of


@pytest.fixture
def heatmap() -> Heatmap:
    value = np.random.default_rng(0).uniform(0.5, 1.0, (30, 15))
    return heatmap_of(value, positions=list(PAPER_POSITIONS))


def labels_of(figure: Figure) -> tuple[list[str], list[str]]:
    axes = figure.axes[0]
    return [tick.get_text() for tick in axes.get_xticklabels()], [tick.get_text() for tick in axes.get_yticklabels()]


def test_the_default_drawing_has_the_form_of_the_published_one(heatmap: Heatmap) -> None:
    figure = heatmap_figure(heatmap)
    axes, bar = figure.axes
    columns, rows = labels_of(figure)
    assert columns == list(PAPER_POSITIONS)
    assert rows == [str(layer) for layer in range(0, 30, 2)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Token", "Layer")
    assert axes.get_ylim() == (30, 0), "layer 0 is on top"
    assert bar.get_ylabel() == "AUC of error detection"
    assert bar.get_position().x0 > axes.get_position().x1
    (mesh,) = [artist for artist in axes.collections if isinstance(artist, QuadMesh)]
    assert mesh.get_cmap().name == "Blues"
    assert mesh.get_clim() == (0.5, 1.0)
    inside = [tick for tick in bar.get_yticklabels() if 0.5 <= tick.get_position()[1] <= 1.0]
    assert [tick.get_text() for tick in inside] == ["0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]
    np.testing.assert_array_equal(mesh.get_array(), heatmap.data["value"].values)
    assert not figure.texts, "nothing is off the scale, so there is nothing to explain"


def test_a_note_with_dollar_signs_stands_as_it_is(heatmap: Heatmap) -> None:
    figure = heatmap_figure(heatmap.with_attributes({"variant": "clean: 'It costs $5_a and $6'"}))
    (note,) = figure.texts
    assert not note.get_parse_math()
    assert "$5_a and $6" in note.get_text()


def test_columns_that_are_no_tokens_are_called_what_they_are(heatmap: Heatmap) -> None:
    named = heatmap.with_attributes({"columns": "Method"})
    assert heatmap_figure(named).axes[0].get_xlabel() == "Method"
    (strip,) = heatmap_figure(named, with_n=True).axes[0].child_axes
    assert strip.get_xlabel() == "Method"


def test_cells_off_the_scale_or_missing_are_marked_and_counted(heatmap: Heatmap) -> None:
    value = heatmap.data["value"].values
    value[0, 0], value[3, 4], value[29, 14] = np.nan, 0.45, 0.3
    figure = heatmap_figure(heatmap)
    axes = figure.axes[0]
    (hatched,) = [artist for artist in axes.collections if isinstance(artist, PolyQuadMesh)]
    assert hatched.get_hatch() == "////"
    assert len(hatched.get_paths()) == 1
    (below,) = axes.lines
    assert below.get_xydata().tolist() == [[4.5, 3.5], [14.5, 29.5]]
    assert figure.texts[0].get_text() == "hatched: no value (1)   ▾: < 0.5 (2)"


def marked(heatmap: Heatmap, cells: np.ndarray) -> Figure:
    data = heatmap.data.assign(marked=(("layer", "position"), cells.astype(np.int8)))
    return heatmap_figure(Heatmap(data).with_attributes({"mark": "above chance", "variant": "labels: shuffled"}))


def test_a_line_goes_around_marked_cells_also_at_the_edge(heatmap: Heatmap) -> None:
    cells = np.zeros((30, 15), dtype=bool)
    cells[0, 0] = cells[5, 3] = cells[5, 4] = True
    figure = marked(heatmap, cells)
    (outline,) = [artist for artist in figure.axes[0].collections if isinstance(artist, LineCollection)]
    sides = {tuple(sorted(map(tuple, side.tolist()))) for side in outline.get_segments()}
    corner = {((0, 0), (0, 1)), ((1, 0), (1, 1)), ((0, 0), (1, 0)), ((0, 1), (1, 1))}
    pair = {((3, 5), (3, 6)), ((5, 5), (5, 6))} | {((x, y), (x + 1, y)) for x in (3, 4) for y in (5, 6)}
    assert sides == corner | pair
    assert "within the line: above chance (3 of 450)" in figure.texts[0].get_text()
    assert "labels: shuffled" in figure.texts[0].get_text()


@pytest.mark.parametrize(("rate", "told"), [(0, "no cell is above chance"), (1, "every cell is above chance")])
def test_no_line_is_drawn_where_all_cells_are_alike(heatmap: Heatmap, rate: int, told: str) -> None:
    figure = marked(heatmap, np.full((30, 15), bool(rate)))
    assert not [artist for artist in figure.axes[0].collections if isinstance(artist, LineCollection)]
    assert told in figure.texts[0].get_text()


@pytest.mark.parametrize(("layers", "step"), [(1, 2), (12, 2), (32, 2), (40, 2), (48, 4), (80, 4), (126, 8)])
def test_layers_of_deep_models_are_labelled_more_rarely(layers: int, step: int) -> None:
    _, rows = labels_of(heatmap_figure(heatmap_of(np.full((layers, 3), 0.7))))
    assert rows == [str(layer) for layer in range(0, layers, step)]


@pytest.mark.parametrize("suffix", [".pdf", ".png", ".svg"])
def test_the_same_heatmap_gives_the_same_bytes(heatmap: Heatmap, tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        save_figure(heatmap_figure(heatmap), tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_formats_do_not_depend_on_what_was_saved_before(heatmap: Heatmap, tmp_path: Path) -> None:
    figure = heatmap_figure(heatmap)
    save_figure(figure, tmp_path / "first.png")
    save_figure(figure, tmp_path / "after.pdf")
    save_figure(heatmap_figure(heatmap), tmp_path / "alone.pdf")
    assert (tmp_path / "after.pdf").read_bytes() == (tmp_path / "alone.pdf").read_bytes()


def axes_inches(figure: Figure) -> float:
    return figure.axes[0].get_window_extent().height / figure.dpi


def drawn_with_title(title: str | None) -> list[Figure]:
    heatmap = heatmap_of(np.array([[0.7, 0.4], [0.6, 0.8]])).with_attributes({"policy": "paper", "site": "attn_out"})
    matrix = Matrix.of(
        (heatmap.data["value"].values,) * 3 + (np.full((2, 2), 9),),
        names=[["a", "b"], ["a", "b"]],
        kind="transfer",
        metric="AUC",
        scale=(0.5, 1.0),
    )
    matrix = Matrix(matrix.data.assign(train_layer=("train", [0, 0]), train_position=("train", ["", ""])))
    grouped = estimates_of([0.6, 0.7, 0.8, 0.9])
    grouped = Estimates(grouped.data.assign_coords(name=["a: x", "a: y", "b: x", "b: y"]))
    return [
        heatmap_figure(heatmap, title=title),
        matrix_figure(matrix, title=title),
        depth_figure(heatmap, title=title),
        forest_figure(estimates_of([0.6, 0.7]), title=title),
        forest_figure(estimates_of([0.6, 0.7]), beside=heatmap, title=title),
        forest_figure(grouped, title=title),
    ]


def test_a_title_stands_above_in_a_figure_that_is_higher_for_it() -> None:
    title = "What is known, and in which of the layers it can be read"
    for plain, titled in zip(drawn_with_title(None), drawn_with_title(title), strict=True):
        assert plain.get_suptitle() == ""
        (text,) = [text for text in titled.texts if text.get_text() == title]
        box = text.get_window_extent()
        assert box.y1 <= titled.bbox.y1
        assert 0 <= box.x0 < box.x1 <= titled.bbox.x1
        assert all(axes.get_tightbbox().y1 < box.y0 for axes in titled.axes)
        assert axes_inches(titled) == pytest.approx(axes_inches(plain), abs=0.05)


def test_a_figure_is_not_written_in_a_format_that_there_is_not(heatmap: Heatmap, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x.jpg: no figure is written as '.jpg'; give .* .pdf, .png, .svg, .pgf"):
        save_figure(heatmap_figure(heatmap), tmp_path / "x.jpg")
    assert not list(tmp_path.iterdir())


def test_pdf_text_is_text(heatmap: Heatmap, tmp_path: Path) -> None:
    save_figure(heatmap_figure(heatmap), tmp_path / "map.pdf")
    contents = (tmp_path / "map.pdf").read_bytes()
    assert b"/Type3" not in contents
    assert b"/TrueType" in contents or b"/CIDFontType2" in contents
    assert b"/Subtype /Image" not in contents, "cells are vectors too"


def test_the_strip_of_n_has_a_bar_for_every_column() -> None:
    heatmap = heatmap_of(np.full((4, 3), 0.7))
    plain, with_n = heatmap_figure(heatmap), heatmap_figure(heatmap, with_n=True)
    assert len(plain.axes) == 2
    (strip,) = with_n.axes[0].child_axes
    heights = [bar.get_height() for bar in strip.patches]
    assert heights == heatmap.data["n"].values.max(axis=0).tolist()


def test_names_of_columns_below_the_strip_of_n_are_drawn_as_they_are_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "interp.figures.plot.drawable", lambda name: (name, ("DejaVu Sans", "DejaVu Serif")[: len(name)])
    )
    names = ["$$", "$a_b$", "c"]
    (strip,) = heatmap_figure(heatmap_of(np.full((4, 3), 0.7), positions=names), with_n=True).axes[0].child_axes
    labels = strip.get_xticklabels()
    assert [(label.get_text(), label.get_rotation(), label.get_parse_math()) for label in labels] == [
        (name, 90, False) for name in names
    ]
    assert labels[0].get_fontfamily() == ["DejaVu Sans", "DejaVu Serif"]


def test_a_map_with_clamped_positions_says_so() -> None:
    heatmap = heatmap_of(np.full((4, 3), 0.7)).with_attributes({"policy": "paper"})
    assert any("paper policy (clamped)" in text.get_text() for text in heatmap_figure(heatmap).texts)
    assert not heatmap_figure(heatmap.with_attributes({"policy": "strict"})).texts


def test_a_map_of_another_site_says_so() -> None:
    heatmap = heatmap_of(np.full((4, 3), 0.7)).with_attributes({"site": "attn_out"})
    assert any("site: attn_out" in text.get_text() for text in heatmap_figure(heatmap).texts)
    assert not heatmap_figure(heatmap.with_attributes({"site": "resid_post"})).texts


def test_columns_that_are_tokens_of_any_script_have_no_empty_boxes() -> None:
    names = ["0 中国", "1 العربية", "2 ␣‹0xE4›", "3 \u2800", "4 a"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        columns, _ = labels_of(heatmap_figure(heatmap_of(np.full((4, 5), 0.7), positions=names)))
    assert columns[3:] == ["3 \\u2800", "4 a"]


def test_layers_that_are_left_out_are_not_counted() -> None:
    _, rows = labels_of(heatmap_figure(heatmap_of(np.full((4, 3), 0.7), layers=[0, 1, 16, 29])))
    assert rows == ["0", "1", "16", "29"], "every row, since none can be told from its neighbours"
    _, rows = labels_of(heatmap_figure(heatmap_of(np.full((5, 3), 0.7), layers=[7, 8, 9, 10, 11])))
    assert rows == ["7", "9", "11"]
    _, rows = labels_of(heatmap_figure(heatmap_of(np.full((40, 3), 0.7), layers=list(range(0, 80, 2)))))
    assert rows == [str(layer) for layer in range(0, 80, 4)]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (10.0, 5000.0, "10 20 50 100 200 500 1000 2000 5000"),
        (1.0, 1000.0, "1 10 100 1000"),
        (20.0, 50.0, "20 30 40 50"),
        (100.0, 500.0, "100 150 200 300 500"),
        (1 / 1.5, 1.5, "0.7 0.8 0.9 1 1.1 1.2 1.5"),
        (0.1, 10.0, "0.1 0.2 0.5 1 2 5 10"),
    ],
)
def test_a_log_scale_has_ticks_at_round_numbers(low: float, high: float, ticks: str) -> None:
    value = np.geomspace(low, high, 12).reshape(4, 3)
    figure = heatmap_figure(heatmap_of(value, scale=Scale(low, high, "log")))
    axes, bar = figure.axes
    assert [tick.get_text() for tick in bar.get_yticklabels()] == ticks.split()
    (mesh,) = [artist for artist in axes.collections if isinstance(artist, QuadMesh)]
    shades = mesh.norm(value).data.ravel()
    np.testing.assert_allclose(np.diff(shades), 1 / 11, err_msg="equal ratios are equal steps")


def test_a_scale_with_a_centre_has_a_diverging_map_that_is_white_there() -> None:
    figure = heatmap_figure(heatmap_of(np.array([[0.5, 1.0, 2.0]]), scale=Scale(0.5, 2.0, "log", centre=1.0)))
    (mesh,) = [artist for artist in figure.axes[0].collections if isinstance(artist, QuadMesh)]
    below, at, above = mesh.cmap(mesh.norm(np.array([0.5, 1.0, 2.0])))[:, :3]
    assert below[0] > below[2], "red where it shrinks"
    assert above[2] > above[0], "blue where it grows"
    assert at.min() > 0.95


def test_what_has_no_logarithm_is_drawn_at_the_end_of_the_scale_and_marked() -> None:
    figure = heatmap_figure(heatmap_of(np.array([[0.0, 5.0, 20.0]]), scale=Scale(1.0, 10.0, "log")))
    (mesh,) = [artist for artist in figure.axes[0].collections if isinstance(artist, QuadMesh)]
    assert mesh.norm(np.array([0.0, 20.0])).tolist() == [0, 1]
    assert figure.texts[0].get_text() == "▾: < 1 (1)   ▴: > 10 (1)"


def test_cells_without_a_value_are_counted_by_reason_where_it_is_known(heatmap: Heatmap) -> None:
    value = heatmap.data["value"].values
    reason = np.zeros(value.shape, dtype=np.int8)
    value[:2, 3], reason[:2, 3] = np.nan, 2
    value[4, 4], reason[4, 4] = np.nan, 1
    data = heatmap.data.assign(why_missing=(("layer", "position"), reason))
    figure = heatmap_figure(Heatmap(data.assign_attrs(why_missing_meanings="has_value no_example no_layer_before")))
    assert figure.texts[0].get_text() == "hatched: no example (1), no layer before (2)"


def test_long_notes_have_room_of_their_own_below_the_axis() -> None:
    short = heatmap_of(np.full((4, 3), 0.4))
    long = short.with_attributes({"policy": "paper", "site": "attn.hook_q"})
    beside, below = heatmap_figure(short), heatmap_figure(long)
    assert below.texts[0].get_text().splitlines() == [
        "▾: < 0.5 (12)",
        "site: attn.hook_q",
        "positions: paper policy (clamped)",
    ]
    assert below.get_figheight() > beside.get_figheight()
    label = below.axes[0].xaxis.label.get_window_extent()
    assert below.texts[0].get_window_extent().y1 <= label.y0 + 1
    assert below.texts[0].get_window_extent().x1 <= below.bbox.x1


def test_a_long_metric_is_broken_into_lines_that_fit_the_bar() -> None:
    metric = "median cosine of the residual stream with layer before"
    for n_layers in (4, 30):
        bar = heatmap_figure(heatmap_of(np.full((n_layers, 3), 0.7)).with_attributes({"metric": metric})).axes[1]
        assert bar.get_ylabel().replace("\n", " ") == metric
        extent = bar.yaxis.label.get_window_extent()
        assert bar.figure.bbox.y0 <= extent.y0 <= extent.y1 <= bar.figure.bbox.y1
