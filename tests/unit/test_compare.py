"""Comparisons of maps: planted relations, missing cells, drawing, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from analyses.parts.runs import load_result
from interp.comparisons.comparable import differences, layers_differ, require_comparable
from interp.comparisons.compare import Operand, compared
from interp.comparisons.map_agreement import CORRELATIONS, MIN_CELLS, spearman
from interp.errors import InputError
from interp.figures.comparison_figure import comparison_figure
from interp.figures.plot import save_figure
from interp.results.comparison import Comparison
from interp.results.example_values import MEAN, ExampleValues, joint_draws
from interp.results.heatmap import LOW, MORE_IS, Heatmap
from interp.results.scales import Scale
from tests.compared_maps import LAYERS, POSITIONS, compare, drawn, operand


def half(begin: int) -> np.ndarray:
    values = drawn()
    values[begin : begin + 6] = np.nan
    return values


def few(n: int) -> np.ndarray:
    values = drawn()
    values.reshape(-1)[n:] = np.nan
    return values


def test_the_same_map_in_another_unit_and_turned_round_is_the_same() -> None:
    values = drawn()
    ranks = operand("ranks", np.exp(-values), scale=Scale(1e-6, 1e6, "log"), examples=False, **{MORE_IS: LOW})
    comparison = compare(operand("probe", values), ranks)
    assert comparison.statistic(0, "spearman").value == pytest.approx(1)
    assert comparison.statistic(0, "peak_layers").value == 0
    np.testing.assert_allclose(comparison.data["value"].values, 0, atol=1e-12)
    np.testing.assert_allclose(comparison.data["centre"].values[0], comparison.data["centre"].values[1])
    assert comparison.data["p"].item() == pytest.approx(1 / (2 * LAYERS * len(POSITIONS)))
    # The maps that are drawn are the ones that were given.
    np.testing.assert_array_equal(comparison.maps[1].data["value"].values, np.exp(-values))


def test_only_common_cells_are_compared_and_missing_ones_stay_missing() -> None:
    first, second = drawn(1), drawn(2)
    second[3, 1] = np.nan
    order = [*POSITIONS[:0:-1], "other"]
    moved = np.concatenate([second[:, :0:-1], np.ones((LAYERS, 1))], axis=1)
    comparison = compare(operand("a", first), operand("b", moved, positions=order))
    assert comparison.positions == POSITIONS[1:]
    assert int(comparison.data["n_cells"][0]) == LAYERS * 5 - 1
    assert np.isnan(comparison.data["value"].sel(position="p1").values[0, 3])
    assert comparison.statistic(0, "spearman").value == pytest.approx(spearman(first[:, 1:], second[:, 1:]))


def test_intervals_are_of_the_examples_and_hold_the_value() -> None:
    comparison = compare(operand("a", drawn(1)), operand("bb", drawn(1) + 0.3 * drawn(2)), operand("ccc", drawn(3)))
    for pair in range(3):
        for name in ("spearman", "kendall", "within_columns"):
            value, low, high = comparison.statistic(pair, name)
            assert low <= value <= high
            assert low < high
    assert comparison.statistic(0, "spearman").value > comparison.statistic(1, "spearman").value
    assert (comparison.data["low"] <= comparison.data["high"]).all()


@pytest.mark.parametrize("name", CORRELATIONS)
def test_intervals_of_correlations_give_back_what_noise_takes_of_either_map(name: str) -> None:
    quiet, noisy = operand("a", drawn(1)), operand("bb", 0.2 * (drawn(1) + 0.5 * drawn(2)))
    value, low, high = compare(quiet, noisy).statistic(0, name)
    assert compare(noisy, quiet).statistic(0, name) == pytest.approx((value, low, high))
    # Draws of the noisy map agree less with the other than it does itself: their percentiles end below that.
    assert low <= value < high
    less_noisy = compare(quiet, operand("bb", drawn(1) + 0.5 * drawn(2))).statistic(0, name)
    assert less_noisy.value == pytest.approx(value)
    assert less_noisy.high < high or high == 1, "which is as far as it goes"


def test_intervals_of_a_columns_correlation_give_back_what_noise_takes_too() -> None:
    quiet = operand("a", drawn(1))
    highs = [
        compare(quiet, operand("bb", scale * (drawn(1) + 0.5 * drawn(2)))).data["column_high"].values[0]
        for scale in (0.3, 1.0)
    ]
    assert (highs[0] >= highs[1] - 0.02).all()
    assert np.mean(highs[0] - highs[1]) > 0.03


def test_without_examples_there_is_no_interval_and_one_side_suffices() -> None:
    bare = [operand(name, drawn(seed), examples=False) for seed, name in enumerate(("a", "b"))]
    comparison = compare(*bare, operand("c", drawn(5)))
    assert np.isnan(comparison.statistic(0, "spearman")[1:]).all()
    assert np.isfinite(comparison.statistic(1, "spearman")[1:]).all()
    assert np.isnan(comparison.data["low"].values[0]).all()
    assert np.isfinite(comparison.data["centre_low"].values[2]).all()
    assert np.isnan(comparison.data["centre_low"].values[0]).all()


def test_models_of_other_depth_are_matched_by_it() -> None:
    depth = np.linspace(0, 1, 12)[:, None] * np.arange(1, 7) % 0.7
    finer = np.linspace(0, 1, 23)[:, None] * np.arange(1, 7) % 0.7
    first, second = operand("small", depth, revision="s"), operand("large", finer, revision="l")
    with pytest.raises(InputError, match=r"small and large differ in the model \(s, l\).*give --by model"):
        require_comparable([first, second], "method")
    require_comparable([first, second], "model")
    comparison = compare(second, first, by_depth=True)
    assert comparison.layers == list(range(12))
    assert comparison.statistic(0, "spearman").value > 0.999

    assert comparison.data.attrs["by_depth"].endswith("rows are the 12 of small; large has 23")
    told = [text.get_text() for text in comparison_figure(comparison).findobj(Text)]
    assert any("rows are the 12 of small; large has 23" in text for text in told)


def test_of_a_single_layer_nothing_is_said_that_is_not_known() -> None:
    comparison = compare(operand("a", drawn(1)[:1]), operand("b", drawn(2)[:1]))
    assert np.isnan(comparison.data["centre"].values).all()
    assert (comparison.data["peak"].values == 0).all()
    assert np.isnan(comparison.data["column_spearman"].values).all()


def test_columns_have_correlations_with_intervals_of_their_own() -> None:
    first, second = drawn(1), drawn(1)
    second[:, 2] *= -1
    comparison = compare(operand("a", first), operand("bb", second))
    value, low, high = (comparison.data[f"column_{each}"].values[0] for each in ("spearman", "low", "high"))
    np.testing.assert_allclose(value, np.where(np.arange(len(POSITIONS)) == 2, -1, 1))
    assert (low <= value).all()
    assert (value <= high).all()
    assert np.isfinite(low).all()


def test_values_are_compared_in_one_unit_only() -> None:
    first, second = operand("a", drawn(1)), operand("b", drawn(1) + 0.25)
    assert compare(first, second).statistic(0, "mean_difference").value == pytest.approx(0.25)
    other = operand("c", drawn(1), scale=Scale(0.0, 9.0))
    assert np.isnan(compare(first, other).statistic(0, "mean_difference").value)


def test_below_what_a_published_map_shows_all_is_the_same() -> None:
    values = drawn(4)
    clipped = Operand("a", operand("a", values).heatmap, least=0.0)
    published = Operand("b", operand("b", np.maximum(values, 0.0)).heatmap, least=0.0)
    assert compare(clipped, published).statistic(0, "spearman").value == pytest.approx(1)


@pytest.mark.parametrize(
    ("operands", "told"),
    [
        ([operand("a", drawn())], "one map has nothing to be compared with"),
        ([operand("a", drawn()), operand("a", drawn(1))], "two maps are called 'a'"),
        ([operand("a", drawn()), operand("b", np.full((3, 2), np.nan))], "b has no value in any cell"),
        ([operand("a", drawn()), operand("b", drawn(), positions=list("uvwxyz"))], r"no positions in common.*a has p0"),
        ([operand("a", half(0)), operand("b", half(6))], "a and b have values in 0 common cells, and .* takes 4"),
        ([operand("a", drawn()), operand("b", few(3))], "a and b have values in 3 common cells, and .* takes 4"),
        ([operand("a", drawn()), operand("b", 0 * drawn() + 0.7)], "b has one value in all of the 72 cells of a and b"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(operands: list[Operand], told: str) -> None:
    with pytest.raises(InputError, match=told) as refused:
        compare(*operands)
    assert "\n" not in str(refused.value)


def test_other_questions_policies_and_examples_are_refused_by_name() -> None:
    usual = operand("a", drawn())
    other = operand("b", drawn(), identity='{"questions": "other", "n": 40}')
    with pytest.raises(InputError, match=r"differ in the questions.*give --by dataset"):
        require_comparable([usual, other], "method")
    require_comparable([usual, other], "dataset")
    with pytest.raises(InputError, match="differ in the policy of the positions"):
        require_comparable([usual, operand("b", drawn(), policy="paper")], "dataset")
    with pytest.raises(InputError, match="of different examples, such as 'q0' and 'z0'"):
        require_comparable([usual, operand("b", drawn(), prefix="z")], "method")
    # Which is not said of a map that has no examples, and no value: that it has none is said of it when it is compared.
    nobody = operand("b", np.full((LAYERS, len(POSITIONS)), np.nan))
    of_none = ExampleValues(
        np.empty((1, 0, LAYERS, len(POSITIONS))), MEAN, (), (), tuple(range(LAYERS)), tuple(POSITIONS)
    )
    require_comparable([usual, replace(nobody, examples=of_none)], "method")


def test_what_else_differs_is_said() -> None:
    other = operand("b", drawn()[:-1], site="mlp_out", examples=False, positions=["x", *POSITIONS[1:]])
    lines = differences([operand("a", drawn()), other])
    assert "positions: compared are p1, p2, p3, p4, p5; left out are p0 of a; x of b" in lines
    assert any(line.startswith("layers:") and line.endswith("left out are 11 of a") for line in lines)
    assert not any(line.startswith("layers:") for line in differences([operand("a", drawn()), other], by_depth=True))
    assert any(line.startswith("site:") and "mlp_out in b" in line for line in lines)
    assert any("taken as given: b" in line for line in lines)


@pytest.mark.parametrize("n_maps", [2, 3, 5])
def test_a_comparison_is_saved_drawn_and_drawn_again(tmp_path: Path, n_maps: int) -> None:
    comparison = compare(*(operand("abcde"[number], drawn(number)) for number in range(n_maps)))
    comparison.save(tmp_path / "compare.nc")
    loaded = load_result(tmp_path / "compare.nc")
    assert isinstance(loaded, Comparison)
    assert loaded.names == comparison.names
    for path, each in ((tmp_path / "one.png", comparison), (tmp_path / "two.png", loaded)):
        save_figure(comparison_figure(each), path)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    titles = [axes.get_title() for axes in comparison_figure(loaded).axes if axes.get_title()]
    assert len(titles) == {2: 3, 3: 6, 5: 5}[n_maps]


def test_n_is_whole_where_layers_are_matched() -> None:
    rng = np.random.default_rng(0)
    shallow, deep = (operand(f"of {depth}", rng.random((depth, 6)), examples=False) for depth in (4, 18))
    for each in (shallow, deep):
        each.heatmap.data["n"].values[:] = 772
    assert (compare(shallow, deep, by_depth=True).data["n"].values == 772).all()


def test_prompts_that_are_put_in_other_ways_are_told() -> None:
    one, other = (
        operand(name, drawn(1), identity=json.dumps({"template": template}))
        for name, template in (("a", "{question}"), ("b", "Shortly: {question}"))
    )
    assert "template: {question} in a; Shortly: {question} in b" in differences([one, other])


def test_of_chosen_layers_the_numbers_are_layers() -> None:
    values = np.random.default_rng(0).random((4, 6)) / 2
    values[0, 2] = 1.0
    turned = values[::-1].copy()
    maps = [operand(name, each, examples=False) for name, each in (("a", values), ("b", turned))]
    layers = [0, 5, 10, 20]
    chosen = [replace(each, heatmap=Heatmap(each.heatmap.data.assign_coords(layer=layers))) for each in maps]
    assert compare(*chosen).statistic(0, "peak_layers").value == 20


def changed(of: Operand, name: str, cell: tuple[int, int], value: float) -> Operand:
    """The same with another number in a cell of its map, whatever its examples give there."""
    array = of.heatmap.data[name].values.copy()
    array[cell] = value
    return replace(of, heatmap=Heatmap(of.heatmap.data.assign({name: (("layer", "position"), array)})))


def test_n_is_that_of_the_map_that_is_of_fewer_examples() -> None:
    fewer = changed(changed(operand("a", drawn(1)), "n", (2, 3), 7), "n", (0, 0), 90)
    n = compare(fewer, operand("b", drawn(2))).data["n"].values[0]
    assert (n[2, 3], n[0, 0], n[1, 1]) == (7, 40, 40)


def test_the_fewest_cells_that_have_an_order_are_compared() -> None:
    comparison = compare(operand("a", few(MIN_CELLS), examples=False), operand("b", few(MIN_CELLS), examples=False))
    assert comparison.statistic(0, "spearman").value == pytest.approx(1)


def test_a_map_that_has_one_value_in_all_common_cells_is_refused() -> None:
    flat, upper = drawn(1), drawn(2)
    flat[:6], upper[6:] = 1.0, np.nan
    with pytest.raises(InputError, match=r"flat has one value in all of the 36 cells of flat and upper"):
        compare(operand("flat", flat), operand("upper", upper))


def test_draws_of_a_map_whose_small_values_are_more_are_turned_as_it_is() -> None:
    plain, ranks = operand("plain", 5 * drawn(1)), operand("ranks", -5 * drawn(1), **{MORE_IS: LOW})
    value, low, _ = compare(plain, ranks).statistic(0, "spearman")
    assert value == pytest.approx(1)
    assert low > 0.8


def test_a_cell_that_a_map_lacks_has_no_interval_though_its_examples_have_it() -> None:
    lacking = changed(operand("a", drawn(1)), "value", (3, 1), np.nan)
    data = compare(lacking, operand("b", drawn(2))).data
    assert np.isnan([data[name].values[0, 3, 1] for name in ("value", "low", "high")]).all()
    assert np.isfinite(data["low"].values).sum() == np.isfinite(data["value"].values).sum()


def test_centres_of_chosen_layers_are_within_their_intervals_and_an_empty_column_has_none() -> None:
    values, layers = drawn(1), list(range(3, 3 + 2 * LAYERS, 2))
    values[:, 4] = np.nan
    of = operand("a", values)
    assert of.examples is not None
    data = of.heatmap.data.assign_coords(layer=layers)
    chosen = Operand("a", Heatmap(data), replace(of.examples, layers=tuple(layers)))
    found = compare(chosen, replace(chosen, name="b")).data.isel(map=0)
    known = np.arange(len(POSITIONS)) != 4
    low, centre, high = (found[name].values for name in ("centre_low", "centre", "centre_high"))
    assert (low[known] < centre[known]).all()
    assert (centre[known] < high[known]).all()
    assert np.isnan(found["peak"].values).tolist() == (~known).tolist()


def test_groups_that_all_maps_have_are_counted() -> None:
    first, second = operand("a", drawn(1)), operand("b", drawn(2))
    assert second.examples is not None
    names = tuple(f"q{number}" for number in range(30, 70))
    later = replace(second, examples=replace(second.examples, ids=names, groups=names))
    assert "examples: 40 in a, 40 in b; groups of questions in all: 10" in differences([first, later])


def test_layers_differ_where_a_published_map_has_others() -> None:
    own, deeper = operand("a", drawn(1)), operand("b", drawn(1, 20))
    attributes = own.heatmap.data.attrs | {"kind": "published"}
    published = replace(own, heatmap=Heatmap(own.heatmap.data.assign_attrs(attributes)))
    assert layers_differ([published, deeper])
    assert not layers_differ([published, own])
    assert not layers_differ([own, deeper])


def test_maps_of_fewer_questions_are_refused_and_published_ones_have_no_settings() -> None:
    first = operand("a", drawn(1), dtype="float32")
    fewer = operand("b", drawn(2), identity='{"questions": "q", "n": 30}')
    with pytest.raises(InputError, match="how many questions were asked"):
        require_comparable([first, fewer], "method")
    attributes = first.heatmap.data.attrs | {"kind": "published", "dtype": ""}
    published = Operand("c", Heatmap(first.heatmap.data.assign_attrs(attributes)))
    assert not [line for line in differences([first, published]) if line.startswith("dtype")]
    require_comparable([published, fewer], "method")


def test_of_each_map_it_is_known_which_questions_it_is_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """By which examples of the same id are told apart when they are drawn."""
    seen: list[Sequence[str] | None] = []

    def recorded(*given: Any) -> Any:
        seen.append(given[3])
        return joint_draws(*given)

    monkeypatch.setattr("interp.comparisons.compare.joint_draws", recorded)
    maps = [operand(name, drawn(1), identity=json.dumps({"questions": f"of {name}"})) for name in ("one", "two")]
    compared(maps, draws=2, seed=0)
    assert seen == [["of one", "of two"]]
