"""The forest plot: what it shows of estimates, and beside a map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from analyses.parts.runs import drawing, load_result
from interp.errors import InputError
from interp.figures.forest import NESTED, forest_figure
from interp.figures.plot import save_figure
from interp.results.estimates import Estimates
from interp.results.heatmap import Heatmap


def estimates_of(value: list[float], **attributes: str) -> Estimates:
    middle = np.array(value)
    names = [f"baseline {index}" for index in range(len(value))]
    return Estimates.of(
        (middle, middle - 0.05, middle + 0.05, np.full(len(value), 90)),
        names=[names],
        kind="baselines",
        metric="AUC",
        scale=(0.5, 1.0),
        attributes=attributes,
    )


def map_of(**attributes: str) -> Heatmap:
    value = np.linspace(0.5, 0.9, 12).reshape(4, 3)
    bounds = (value, value - 0.1, value + 0.1, np.full(value.shape, 90))
    names = (np.arange(4), ["a", "b", "c"])
    return Heatmap.of(bounds, names=names, kind="probe", metric="AUC", scale=(0.5, 1.0), attributes=attributes)


def rows_of(figure: Figure) -> dict[str, float]:
    """The points of the rightmost axes, by the names beside them."""
    axes = next(axes for axes in reversed(figure.axes) if axes.get_yticklabels() and axes.get_xlabel() == "AUC")
    names = {
        float(tick): label.get_text() for tick, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
    }
    points = [line for line in axes.lines if line.get_marker() == "o"]
    return {names[float(np.asarray(point.get_ydata())[0])]: float(np.asarray(point.get_xdata())[0]) for point in points}


def test_every_estimate_is_a_point_beside_its_name_and_a_missing_one_is_none() -> None:
    figure = forest_figure(estimates_of([0.6, np.nan, 0.7]))
    assert rows_of(figure) == {"baseline 0": 0.6, "baseline 2": 0.7}
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["no value"]


def grouped(names: list[str], value: list[float]) -> Estimates:
    middle, n = np.array(value), np.arange(10, 10 + len(value))
    bounds = (middle, middle - 0.05, middle + 0.05, n)
    return Estimates.of(bounds, names=[names], kind="answer selection", metric="AUC", scale=(0.0, 1.0))


def test_the_same_names_in_several_groups_are_panels_of_the_groups_that_have_a_value() -> None:
    names = [f"{group}: {name}" for group in ("all", "few", "some") for name in ("probe", "oracle")]
    figure = forest_figure(grouped(names, [0.2, 0.9, np.nan, np.nan, np.nan, 1.0]))
    probe, oracle = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["probe", "oracle"]
    assert [label.get_text() for label in probe.get_yticklabels()] == ["all (n 11)", "some (n 15)"]
    for axes, expected in ((probe, {0: 0.2}), (oracle, {0: 0.9, 1: 1.0})):
        points = [line for line in axes.lines if line.get_marker() == "o"]
        found = {int(np.asarray(each.get_ydata())[0]): float(np.asarray(each.get_xdata())[0]) for each in points}
        assert found == expected
    assert [text.get_text() for text in probe.texts] == ["no value"]
    assert probe.get_xlim() == oracle.get_xlim()
    assert [text.get_text() for text in figure.texts] == ["no value: few (n 13)"]


@pytest.mark.parametrize(
    "names",
    [
        ["all: probe", "all: oracle"],
        ["all: probe", "some: oracle"],
        ["all: probe", "all: oracle", "some: probe"],
        ["all: probe", "some"],
    ],
)
def test_other_names_are_a_list(names: list[str]) -> None:
    (axes,) = forest_figure(grouped(names, [0.5] * len(names))).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == names


def test_groups_of_which_none_has_a_value_are_a_list() -> None:
    (axes,) = forest_figure(grouped(["all: probe", "few: probe"], [np.nan, np.nan])).axes
    assert [text.get_text() for text in axes.texts] == ["no value"] * 2


def test_the_best_cell_of_the_map_beside_it_is_a_row_of_its_own() -> None:
    beside = map_of(best_nested='{"cells": [[1, "a"]], "auc": [0.83, 0.78, 0.88]}')
    assert rows_of(forest_figure(estimates_of([0.6]), beside=beside)) == {NESTED: 0.83, "baseline 0": 0.6}
    assert rows_of(forest_figure(estimates_of([0.6]), beside=map_of())) == {"baseline 0": 0.6}


def test_a_file_of_estimates_is_drawn_beside_the_map_that_it_names(tmp_path: Path) -> None:
    estimates_of([0.6, 0.7], beside="probe.nc").save(tmp_path / "baselines.nc")
    assert isinstance(load_result(tmp_path / "baselines.nc"), Estimates)
    alone = drawing(tmp_path / "baselines.nc")[0].get_size_inches()
    map_of().save(tmp_path / "probe.nc")
    assert isinstance(load_result(tmp_path / "probe.nc"), Heatmap)
    beside = drawing(tmp_path / "baselines.nc")[0]
    assert beside.get_size_inches()[0] > alone[0]
    map_of(identity='{"n": 500}').save(tmp_path / "probe.nc")
    estimates_of([0.6, 0.7], beside="probe.nc", identity='{"n": 1000}').save(tmp_path / "baselines.nc")
    assert drawing(tmp_path / "baselines.nc")[0].get_size_inches()[0] == alone[0], (
        "a map of other answers is no neighbour"
    )
    for name in ("a.png", "b.png"):
        save_figure(drawing(tmp_path / "baselines.nc")[0], tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.nc").write_bytes(b"not one")
    with pytest.raises(InputError, match="is not a result"):
        load_result(tmp_path / "x.nc")
    with pytest.raises(ValueError, match="not a list of estimates"):
        Estimates(map_of().data)


@pytest.mark.parametrize(
    "metric", ["AUC", "accuracy of the chosen answer", "AUC of error detection beyond the best baseline"]
)
def test_what_is_below_the_axis_is_within_the_figure(metric: str) -> None:
    figure = forest_figure(Estimates(estimates_of([0.6, 0.7]).data.assign_attrs(metric=metric)))
    figure.canvas.draw()
    (axes,) = figure.axes
    extent = axes.xaxis.label.get_window_extent()
    assert extent.x0 >= 0
    assert extent.y0 >= 0
    assert extent.x1 <= figure.bbox.width
