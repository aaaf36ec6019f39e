"""What maps show, in numbers."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from interp.results.estimates import Estimates
from interp.results.heatmap import Heatmap
from interp.results.matrix import Matrix
from interp.results.scales import Scale
from interp.statistics.auc import Interval
from interp.statistics.depth_trends import Trend
from interp.statistics.extremes import Runs
from interp.wording.heatmap_description import Control, Description, description_of
from interp.wording.json_text import json_text
from interp.wording.list_description import list_description_of
from interp.wording.result_facts import Against, Strength, against, reference_of, strength_of
from tests.described_maps import map_of, random_map

SEEDS = st.integers(0, 10_000)


def seen(value: Any) -> str:
    """Everything in it, NaN being equal to itself."""
    return json_text(value)


@given(SEEDS, st.permutations(range(4)))
def test_the_order_of_the_columns_orders_the_columns_and_nothing_else(seed: int, order: list[int]) -> None:
    heatmap = random_map(seed)
    found, permuted = description_of(heatmap), description_of(Heatmap(heatmap.data.isel(position=order)))
    assert seen([found.columns[place] for place in order]) == seen(permuted.columns)
    for field in fields(Description):
        if field.name not in ("columns", "banding"):
            assert seen(getattr(found, field.name)) == seen(getattr(permuted, field.name)), field.name
    assert (found.banding is None) == (permuted.banding is None)
    if found.banding is not None and permuted.banding is not None:
        assert found.banding.explained == pytest.approx(permuted.banding.explained)


@given(SEEDS)
def test_what_is_missing_is_in_no_number(seed: int) -> None:
    """A column and a layer without any value change nothing but the counts of what is missing."""
    heatmap = random_map(seed, missing=0.0)
    value = heatmap.data["value"].values
    half = heatmap.data["high"].values - value
    padded = np.pad(value, ((0, 1), (0, 1)), constant_values=np.nan)
    marked = np.pad(heatmap.data["marked"].values, ((0, 1), (0, 1)))
    found = description_of(heatmap)
    more = description_of(map_of(padded, np.pad(half, ((0, 1), (0, 1))), marked=marked))
    assert more.missing == {"too few examples": padded.size - value.size}
    assert (more.highest, more.lowest, more.means) == (found.highest, found.lowest, found.means)
    assert found.banding is not None
    assert more.banding is not None
    assert more.banding.explained == pytest.approx(found.banding.explained)
    assert [column.mean for column in more.columns[:-1]] == pytest.approx([column.mean for column in found.columns])
    assert [column.trend for column in more.columns] == [*(column.trend for column in found.columns), None]
    assert math.isnan(more.columns[-1].mean)


@given(SEEDS)
def test_the_region_of_an_extreme_is_all_that_is_within_its_interval(seed: int) -> None:
    heatmap = random_map(seed)
    found, value = description_of(heatmap), heatmap.data["value"].values
    for region, best, sign in ((found.highest, np.nanmax(value), 1), (found.lowest, np.nanmin(value), -1)):
        assert region is not None
        assert region.cell.value == best
        within = {
            (layer, name)
            for runs in region.columns
            for name in [runs.column]
            for first, last in runs.layers
            for layer in range(first, last + 1)
        }
        expected = {
            (layer, f"column {column}")
            for layer, column in np.ndindex(value.shape)
            if sign * value[layer, column] >= sign * region.bound
        }
        assert within == expected
        assert region.n_cells == len(expected)
        assert region.bound == (region.cell.low if sign > 0 else region.cell.high)


@pytest.mark.parametrize("half", [np.nan, np.array([[0.1, np.nan], [np.nan, np.nan]])])
def test_a_cell_without_an_interval_is_given_none(half: float | np.ndarray) -> None:
    """Ends are taken for it to find what is as high, and are not said to be its interval."""
    found = description_of(map_of(np.array([[0.5, 0.6], [0.7, 0.9]]), half))
    assert found.highest is not None
    assert found.highest.cell[:3] == (1, "column 1", 0.9)
    assert np.isnan(found.highest.cell[3:]).all()
    assert list(json.loads(json_text(found.highest.cell)).values()) == [1, "column 1", 0.9, None, None]


def test_runs_are_of_layers_that_follow_each_other_on_the_map() -> None:
    value = np.array([[0.9], [0.9], [0.5], [0.9]])
    found = description_of(map_of(value, 0.0, layers=[0, 4, 8, 12])).highest
    assert found is not None
    assert found.columns == (Runs("column 0", ((0, 4), (12, 12))),)
    assert (found.n_cells, found.n_tied) == (3, 3)


def test_columns_are_compared_in_the_layers_that_all_of_them_have() -> None:
    # Where both have a value the second is stronger; over its own layers the first would be.
    value = np.array([[0.6, 0.7], [0.6, 0.7], [0.6, 0.7], [0.99, np.nan]])
    found = description_of(map_of(value))
    assert found.means is not None
    assert (found.means.strongest, found.means.layers) == ("column 1", (0, 1, 2))
    assert [column.mean for column in found.columns] == pytest.approx([0.6, 0.7])
    apart = np.array([[0.6, np.nan], [0.6, np.nan], [np.nan, 0.7], [0.8, 0.7]])
    found = description_of(map_of(apart))
    assert found.means is not None
    assert found.means.layers is None
    assert [column.mean for column in found.columns] == pytest.approx([2 / 3, 0.7])


def test_on_a_logarithmic_scale_means_are_geometric_and_shares_of_logarithms() -> None:
    value = np.array([[1.0, 10.0], [100.0, 1000.0], [10.0, 100.0]])
    ranks = map_of(value, 0.0, metric="median rank of the answer", scale=Scale(1.0, 1000.0, "log"))
    found = description_of(ranks.with_attributes({"colours": "Blues_r"}))
    assert [column.mean for column in found.columns] == pytest.approx([10, 100])
    assert found.banding is not None
    assert found.banding.explained.both == pytest.approx(1)
    assert found.means is not None
    assert (found.strength, found.means.strongest, found.means.weakest) == (Strength.LOW, "column 0", "column 1")


def test_strong_is_what_the_map_means_by_it() -> None:
    value = np.array([[-0.2, 0.1, 0.0]])
    difference = map_of(value, metric="AUC beyond controls", scale=Scale(-0.5, 0.5, centre=0.0))
    found = description_of(difference).means
    assert found is not None
    assert (found.strongest, found.weakest) == ("column 0", "column 2")
    ratio = map_of(np.array([[0.25, 3.0, 1.1]]), 0.0, scale=Scale(0.2, 5.0, "log", centre=1.0))
    found = description_of(ratio).means
    assert found is not None
    assert (found.strongest, found.weakest) == ("column 0", "column 2")
    assert strength_of(map_of(value, metric="mean KL from the model's output, nats")) is Strength.LOW
    assert strength_of(map_of(value)) is Strength.HIGH


@pytest.mark.parametrize(
    ("metric", "attributes", "reference"),
    [
        ("AUC of error detection", {}, 0.5),
        ("macro AUC of gold (one against the rest)", {}, 0.5),
        ("R² of year", {}, 0.0),
        ("Recovery of logit difference, mean", {"unpatched": 1.0}, 1.0),
        ("median norm of the residual stream", {}, None),
        ("AUC of error detection", {"reference": 0.6}, 0.6),
    ],
)
def test_what_means_nothing_is_known_of_each_metric(metric: str, attributes: dict, reference: float | None) -> None:
    assert reference_of(map_of(np.ones((1, 1)), metric=metric, attributes=attributes)) == reference


def test_intervals_are_counted_around_what_means_nothing() -> None:
    heatmap = map_of(np.array([[0.6, 0.51, 0.4, np.nan, 0.52]]), np.array([[0.02, 0.02, 0.02, 0.02, np.nan]]))
    assert against(heatmap) == Against(0.5, above=1, below=1, containing=1)
    assert against(map_of(np.array([[0.6]]), np.nan)) is None


def test_values_outside_the_scale_are_counted_and_missing_ones_are_not() -> None:
    assert description_of(map_of(np.array([[0.4, 0.5, 1.0, 1.2, 1.3, np.nan]]))).outside == (1, 2)


def test_a_map_without_intervals_is_known_to_a_twentieth_of_its_range() -> None:
    value = np.array([[0.0, 0.97], [0.05, 1.0], [0.09, 0.94], [0.04, 0.5]])
    found = description_of(map_of(value, np.nan))
    assert not found.has_intervals
    assert found.highest is not None
    assert found.highest.columns == (Runs("column 1", ((0, 1),)),)
    assert [column.trend for column in found.columns] == [Trend.FLAT, Trend.FALLS]
    assert found.against is None


@pytest.mark.parametrize("value", [0.0, 0.7, 1e300])
def test_a_constant_map_is_described(value: float) -> None:
    found = description_of(map_of(np.full((3, 2), value), 0.0))
    assert found.banding is None
    assert found.highest is not None
    assert (found.highest.cell.value, found.highest.n_tied) == (value, 6)
    assert {column.trend for column in found.columns} == {Trend.FLAT}


@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (1, 1)])
def test_maps_of_one_layer_or_column_are_described(shape: tuple[int, int]) -> None:
    found = description_of(map_of(np.random.default_rng(0).random(shape)))
    assert found.banding is None
    assert (found.means is None) == (shape[1] == 1)
    assert all((column.trend is None) == (shape[0] == 1) for column in found.columns)


def test_a_map_without_a_value_is_described() -> None:
    found = description_of(map_of(np.full((3, 2), np.nan)))
    assert (found.highest, found.lowest, found.means, found.banding, found.against) == (None,) * 5
    assert found.missing == {"too few examples": 6}


def test_the_nested_best_cell_is_told_of_the_probe_map_alone() -> None:
    nested = {"best_nested": '{"cells": [[0, "a"]], "auc": [0.7, 0.6, 0.8]}'}
    heatmap = map_of(np.ones((2, 2)), attributes=nested)
    assert description_of(heatmap).best_nested == (0.7, 0.6, 0.8)
    assert description_of(heatmap.with_attributes({"kind": "probe beyond controls"})).best_nested is None


def test_estimates_and_matrices_are_told_in_order_and_what_is_missing_apart() -> None:
    ends = np.array([[0.6, 0.55, 0.7], [np.nan] * 3, [0.45, 0.4, 0.49], [0.5, 0.4, 0.6]]).T
    estimates = Estimates.of(
        (*ends, np.full(4, 9)), names=[["a", "b", "c", "d"]], kind="baselines", metric="AUC", scale=(0.5, 1.0)
    )
    found = list_description_of(estimates)
    assert [entry.name for entry in found.groups["all"].entries] == [("a",), ("d",), ("c",)]
    assert found.missing == (("b",),)
    assert found.groups["all"].against == Against(0.5, above=1, below=1, containing=1)
    names = ["x", "y"]
    value = np.array([[0.9, 0.4], [0.6, 0.8]])
    matrix = Matrix.of(
        (value, value - 0.05, value + 0.05, np.full((2, 2), 9)),
        names=(names, names),
        kind="transfer",
        metric="AUC",
        scale=(0.5, 1.0),
    )
    groups = list_description_of(matrix).groups
    assert [entry.name for entry in groups["own"].entries] == [("x", "x"), ("y", "y")]
    assert [(entry.name, entry.value) for entry in groups["other"].entries] == [(("y", "x"), 0.6), (("x", "y"), 0.4)]
    assert groups["other"].against == Against(0.5, above=1, below=1, containing=0)


def test_a_description_cannot_be_changed() -> None:
    found = description_of(map_of(np.ones((2, 2))))
    assert replace(found, n_cells=5) != found
    with pytest.raises(AttributeError):
        found.n_cells = 5  # type: ignore[misc]


def test_half_of_the_layers_and_half_of_the_examples_are_enough() -> None:
    value = np.array([[0.6, 0.7], [0.6, 0.7], [0.99, np.nan], [0.99, np.nan]])
    coinciding = json.dumps({"a = b": 0.5, "a = c": 0.49})
    found = description_of(map_of(value, attributes={"coinciding": coinciding}))
    assert found.means is not None
    assert (found.means.strongest, found.means.layers) == ("column 1", (0, 1))
    assert found.coinciding == {"a = b": 0.5}


def test_of_columns_that_are_as_strong_the_first_by_name_is_named() -> None:
    found = description_of(map_of(np.full((3, 3), 0.6), names=["b", "c", "a"])).means
    assert found is not None
    assert (found.strongest, found.weakest) == ("a", "a")


def test_a_column_has_the_n_of_the_layer_that_has_most_and_lacks_what_any_lacks_most() -> None:
    missing = json.dumps({"a": {"no_exact_answer": 3, "after_the_end": 1}, "b": {"no_exact_answer": 5}})
    found = description_of(map_of(np.array([[np.nan, 0.6], [0.7, 0.6]]), attributes={"missing": missing}))
    assert [column.n for column in found.columns] == [100, 100]
    assert found.dropped == {"no exact answer": 5, "after the end": 1}


def test_controls_are_told_where_they_are_least_and_most() -> None:
    ends = {"control": [[0.6, 0.9], [np.nan, 0.7]], "control_low": [[0.5, 0.8], [np.nan, 0.6]]}
    ends |= {"control_high": [[0.7, 1.0], [np.nan, 0.8]]}
    controls = xr.Dataset(
        {name: (("which", "position"), np.array(values)) for name, values in ends.items()},
        coords={"which": ["token", "shape"], "position": ["a", "b"]},
    )
    data = map_of(np.full((2, 2), 0.1), names=["a", "b"]).data.merge(controls)
    found = description_of(Heatmap(data.assign(strongest=("position", ["token", "token"])))).controls
    assert found == (
        Control("token", Interval(0.6, 0.5, 0.7), Interval(0.9, 0.8, 1.0), "b"),
        Control("shape", Interval(0.7, 0.6, 0.8), Interval(0.7, 0.6, 0.8), "b"),
    )
