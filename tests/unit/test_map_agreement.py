"""How far maps agree: against scipy, against planted relations, and how often the test finds what is not there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau, spearmanr

from benchmarks.compare import FORMS, Config, covered, related_maps
from interp.comparisons.map_agreement import (
    MIN_CELLS,
    STATISTICS,
    centre_of_mass,
    column_peaks,
    correlation_interval,
    kendall,
    kendall_interval,
    moved_maps,
    n_top,
    of_columns,
    peak_distance,
    rank_difference,
    shift_test,
    spearman,
    top_shared,
    within_columns,
    within_layers,
)

SHAPE = (6, 5)
values = arrays(np.float64, SHAPE, elements=st.floats(-5, 5, width=16))


def with_gaps(seed: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=shape)
    drawn[rng.random(shape) < 0.2] = np.nan
    return drawn


@pytest.mark.parametrize("seed", range(5))
def test_correlations_are_scipys_over_the_cells_that_both_have(seed: int) -> None:
    first, second = with_gaps(seed), with_gaps(seed + 100)
    both = np.isfinite(first) & np.isfinite(second)
    assert spearman(first, second) == pytest.approx(spearmanr(first[both], second[both]).statistic)
    assert kendall(first, second) == pytest.approx(kendalltau(first[both], second[both]).statistic)
    columns = [
        spearmanr(a[known], b[known]).statistic
        for a, b in zip(first.T, second.T, strict=True)
        if (known := np.isfinite(a) & np.isfinite(b)).sum() >= MIN_CELLS
    ]
    assert within_columns(first, second) == pytest.approx(np.mean(columns))
    each = of_columns(first, second)
    assert each[np.isfinite(each)].tolist() == pytest.approx(columns)
    assert within_layers(first.T, second.T) == pytest.approx(np.mean(columns))


@given(values, values, st.floats(0.1, 3), st.floats(-3, 3))
@settings(max_examples=60, deadline=None)
def test_only_the_order_of_cells_counts(first: np.ndarray, second: np.ndarray, factor: float, shift: float) -> None:
    transformed = np.exp(first * factor / 5) + shift
    for name in ("spearman", "kendall", "within_layers", "within_columns", "top_shared"):
        # Rounding may tie cells that were apart: where it does, there is nothing to compare.
        if len(np.unique(transformed)) == len(np.unique(first)):
            statistic = STATISTICS[name]
            assert statistic(transformed, second) == pytest.approx(statistic(first, second), nan_ok=True)


@given(values)
@settings(max_examples=60, deadline=None)
def test_a_map_is_its_own_best_match_and_its_opposites_worst(first: np.ndarray) -> None:
    varied = first + np.linspace(0, 20, first.size).reshape(SHAPE) ** 1.5
    assert spearman(varied, varied) == pytest.approx(1) == kendall(varied, varied)
    assert spearman(varied, -varied) == pytest.approx(-1)
    assert top_shared(varied, varied) == 1
    assert peak_distance(varied, varied) == (0, 0)
    assert not np.nan_to_num(rank_difference(varied, varied)).any()


def test_peaks_and_centres_move_with_the_map() -> None:
    rng = np.random.default_rng(0)
    longer = np.exp(-((np.arange(40)[:, None] - rng.integers(15, 20, size=4)) ** 2) / 8)
    first, second = longer[5:35], longer[2:32]
    assert peak_distance(first, second)[0] == 3
    centres = [centre_of_mass(each, range(30)) for each in (first, second)]
    np.testing.assert_allclose(centres[1] - centres[0], 3, atol=1e-6)
    np.testing.assert_array_equal(column_peaks(second) - column_peaks(first), 3)


def test_differences_of_rank_are_of_the_common_cells_and_cancel() -> None:
    first, second = with_gaps(1), with_gaps(2)
    difference = rank_difference(first, second)
    assert (np.isfinite(difference) == (np.isfinite(first) & np.isfinite(second))).all()
    assert np.nansum(difference) == pytest.approx(0)
    np.testing.assert_allclose(difference, -rank_difference(second, first))
    assert np.nanmax(np.abs(difference)) <= 1


def test_what_cannot_be_said_is_nan() -> None:
    nothing, flat = np.full(SHAPE, np.nan), np.ones(SHAPE)
    for name, statistic in STATISTICS.items():
        assert np.isnan(statistic(nothing, with_gaps(0))), name
    assert np.isnan(spearman(flat, with_gaps(0)))
    assert np.isnan(shift_test(flat, with_gaps(0))).all()
    assert np.isnan(centre_of_mass(flat, range(len(flat)))).all()
    assert np.isnan(column_peaks(nothing)).all()


@given(st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_moved_maps_are_all_that_leave_neighbours_together(n_layers: int, n_columns: int) -> None:
    values = np.arange(n_layers * n_columns, dtype=np.float64).reshape(n_layers, n_columns)
    moved = [each for of_order in moved_maps(values) for each in of_order]
    np.testing.assert_array_equal(moved[0], values)
    assert len({each.tobytes() for each in moved}) == len(moved)
    assert len(moved) == n_layers * n_columns * (2 if n_columns > 2 else 1)
    for each in moved:
        rows, columns = np.divmod(each.astype(int), n_columns)
        assert (np.diff(rows, axis=0) % n_layers == 1 % n_layers).all()
        assert not np.diff(columns, axis=0).any()
        assert not np.diff(rows, axis=1).any()
        steps = set((np.diff(columns, axis=1) % n_columns).ravel().tolist())
        assert steps in (set(), {1 % n_columns}, {-1 % n_columns})


@pytest.mark.parametrize("form", ["rough", "smooth, columns differ", "smooth, neighbours alike"])
def test_maps_that_have_nothing_in_common_are_seldom_found_related(form: str) -> None:
    rng = np.random.default_rng(0)
    p = []
    for _ in range(120):
        first, second = related_maps(FORMS[form], "independent", (20, 8), rng)
        p.append(shift_test(first, second).p)
    # At 5 %, more than 13 of 120 are found with probability .002.
    assert (np.array(p) <= 0.05).sum() <= 13


@pytest.mark.parametrize("relation", ["shifted by 3", "half shared"])
def test_maps_that_are_related_are_found_to_be(relation: str) -> None:
    rng = np.random.default_rng(0)
    p = []
    for _ in range(40):
        first, second = related_maps(FORMS["smooth"], relation, (30, 15), rng)
        p.append(shift_test(first, second).p)
    assert (np.array(p) <= 0.05).mean() > 0.9


def test_the_test_moves_missing_cells_with_their_map() -> None:
    first, second = with_gaps(3, (20, 8)), with_gaps(4, (20, 8))
    alike = shift_test(first, np.where(np.isfinite(second), first + 0.1 * second, np.nan))
    assert alike.p == pytest.approx(1 / (20 * 8 * 2))
    assert 0 < alike.reach < 0.6
    found = [spearman(first, each) for of_order in moved_maps(second) for each in of_order]
    assert shift_test(first, second) == pytest.approx(
        (np.mean(np.abs(found) >= abs(found[0]) - 1e-12), np.quantile(np.abs(found), 0.95))
    )


@given(
    st.floats(-0.95, 0.95),
    st.tuples(st.floats(0.5, 3), st.floats(0.5, 3)),
    st.tuples(st.floats(0, 0.8), st.floats(0, 0.8)),
    st.floats(-1, 1),
)
@settings(max_examples=200, deadline=None)
def test_what_chance_takes_from_a_correlation_is_given_back(
    true: float, deviations: tuple[float, float], noises: tuple[float, float], together: float
) -> None:
    """Of maps whose cells are normal, with noise that may go together in both."""
    signal, noise = np.square(deviations), np.square(deviations) * np.array(noises)
    shared = together * np.sqrt(noise.prod())
    once, twice = ((true * np.prod(deviations) + n * shared) / np.sqrt((signal + n * noise).prod()) for n in (1, 2))
    kept = np.sqrt((signal + noise) / (signal + 2 * noise))
    # A draw of one map has noise that the other, as it was found, has a part of.
    crossed = once * np.sqrt((signal + noise) / (signal + 2 * noise))
    both = (float(kept[0]), float(kept[1])), (float(crossed[0]), float(crossed[1]))
    ends = correlation_interval(float(once), np.full(9, twice), *both)
    assert ends == pytest.approx(tuple(sorted((true, float(once)))), abs=1e-6)


def test_of_a_map_that_is_chance_alone_nothing_is_known() -> None:
    drawn = np.random.default_rng(0).normal(0, 0.05, size=99)
    assert correlation_interval(0.1, drawn, (0.7, 0.9), (0.1, 0.1)) == (-1, 1)
    assert kendall_interval(0.1, drawn, (0.45, 0.9), (0.1, 0.1)) == (-1, 1)
    assert correlation_interval(0.1, drawn, (0.9, float("nan")), (0.1, 0.1)) == (-1, 1)
    low, high = correlation_interval(0.1, drawn + 0.09, (0.8, 0.9), (0.08, 0.09))
    assert -1 < low < 0.1 < high < 1


def test_without_draws_there_is_no_interval() -> None:
    for interval in (correlation_interval, kendall_interval):
        assert np.isnan(interval(0.5, np.array([]), (1.0, 1.0), (0.5, 0.5))).all()
        assert np.isnan(interval(np.nan, np.array([0.1, 0.2]), (1.0, 1.0), (0.1, 0.2))).all()


def test_the_interval_of_tau_is_that_of_the_correlation_of_normal_cells() -> None:
    correlations = np.random.default_rng(0).normal(0.55, 0.03, size=500)
    kept, crossed = (0.95, 0.9), (0.57, 0.54)
    low, high = correlation_interval(0.6, correlations, kept, crossed)
    tau, *of_normal = (2 / np.pi * np.arcsin(each) for each in (correlations, kept, crossed))
    of_tau = kendall_interval(2 / np.pi * np.arcsin(0.6), tau, *(tuple(each.tolist()) for each in of_normal))
    np.testing.assert_allclose(np.sin(np.pi / 2 * np.array(of_tau)), [low, high])
    assert low < 0.6 < 0.7 < high


@given(st.floats(-1, 1), st.floats(0, 0.3), st.integers(0, 1000))
def test_what_was_found_is_held_to_the_last_digit(found: float, deviation: float, seed: int) -> None:
    drawn = np.clip(found + np.random.default_rng(seed).normal(0, deviation, size=30), -1, 1)
    for interval in (correlation_interval, kendall_interval):
        low, high = interval(found, drawn, (0.98, 0.9), (0.98 * found, 0.9 * found))
        assert low <= found <= high


@pytest.mark.parametrize("form", ["rough", "smooth, columns differ"])
def test_intervals_hold_the_correlation_of_the_maps_of_all_examples(form: str) -> None:
    config = Config(pairs=60, layers=20, columns=8, examples=100, draws=50)
    found = covered(config, FORMS[form], noise=8.0)
    # Of 60 that hold it with 95 % fewer than 52 do with probability .004.
    assert found["all cells"][0] >= 52 / 60
    assert found["all cells"][1] < 0.5
    # Of 480 columns, in eights that are not independent.
    assert found["each column"][0] >= 0.9


def test_layers_that_do_not_follow_each_other_are_their_numbers() -> None:
    layers, first = [0, 5, 10, 20], np.array([[0.9, 0.5], [0.5, 0.5], [0.5, 0.5], [0.9, 0.6]])
    assert peak_distance(first, first[::-1], layers) == (0, 0)
    assert peak_distance(first, np.where(first == 0.6, 1.0, first), layers) == (20, 1)
    np.testing.assert_allclose(centre_of_mass(first, layers), [10, 20])


def test_peaks_are_of_the_cells_that_both_maps_have() -> None:
    first, second = np.zeros((4, 5)), np.zeros((4, 5))
    first[0, 0], first[1, 1], second[0, 0], second[3, 2] = 9.0, 5.0, np.nan, 7.0
    assert peak_distance(first, second) == (2, 1)
    assert peak_distance(second, first) == (-2, -1)


def test_a_columns_centre_has_nothing_to_do_with_the_level_of_the_others() -> None:
    np.testing.assert_allclose(centre_of_mass(np.array([[0.0, 10.0], [1.0, 11.0], [2.0, 12.0]]), range(3)), [5 / 3] * 2)


def test_the_fewest_cells_that_have_an_order_are_enough() -> None:
    first = np.arange(4.0)[None]
    assert spearman(first, first) == pytest.approx(1)
    assert kendall(first, first) == pytest.approx(1)
    assert within_layers(first, first) == pytest.approx(1)


def test_two_cells_have_ranks_that_differ() -> None:
    np.testing.assert_array_equal(rank_difference(np.array([[2.0, 1.0]]), np.array([[1.0, 2.0]])), [[1, -1]])


def test_the_top_is_rounded_to_the_nearest_number_of_cells() -> None:
    cells = np.zeros((6, 6))
    assert n_top(cells, cells) == 2
    assert n_top(cells[:2], cells[:2]) == 1
