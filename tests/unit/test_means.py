"""Statistics of bootstrap draws, against examples that are written out as often as they are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, t

from interp.statistics.means import (
    drawn_means,
    drawn_medians,
    group_draws,
    groups_of_cells,
    mean_of_examples,
    median_of_examples,
    percentile_interval,
)

seeds = st.integers(0, 2**32 - 1)


def some(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values with gaps in them, and draws of their examples."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 12))
    values = np.where(rng.random((n, 2, 3)) < 0.3, np.nan, rng.integers(0, 5, (n, 2, 3)).astype(float))
    return values, group_draws(np.arange(n), 8, rng)


@given(seeds)
def test_a_draw_is_the_examples_as_often_as_they_are_drawn(seed: int) -> None:
    values, weights = some(seed)
    means, medians = drawn_means(values, weights), drawn_medians(values, weights)
    for draw, times in enumerate(weights.astype(int)):
        written_out = np.repeat(values, times, axis=0)
        np.testing.assert_allclose(means[draw], mean_of_examples(written_out))
        for cell in np.ndindex(2, 3):
            known = np.sort(written_out[(slice(None), *cell)])
            known = known[~np.isnan(known)]
            expected = known[(len(known) - 1) // 2] if len(known) else np.nan
            np.testing.assert_equal(medians[(draw, *cell)], expected)


def test_of_no_examples_there_is_no_value() -> None:
    nobody, draws = np.empty((0, 2, 3)), np.empty((8, 0), dtype=np.float32)
    for drawn in (drawn_means(nobody, draws), drawn_medians(nobody, draws)):
        assert drawn.shape == (8, 2, 3)
        assert np.isnan(drawn).all()


@given(seeds)
def test_what_is_missing_is_left_out(seed: int) -> None:
    values, _ = some(seed)
    known = [column[~np.isnan(column)] for column in values.reshape(len(values), -1).T]
    expected = [[f(column) if len(column) else np.nan for column in known] for f in (np.mean, np.median)]
    np.testing.assert_allclose(mean_of_examples(values).reshape(-1), expected[0])
    np.testing.assert_allclose(median_of_examples(values).reshape(-1), expected[1])


@given(seeds)
def test_groups_are_drawn_whole_and_as_many_as_there_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 4, 15)
    weights = group_draws(group, 20, rng)
    for number in np.unique(group):
        assert (weights[:, group == number] == weights[:, group == number][:, :1]).all()
    first = [int(np.flatnonzero(group == number)[0]) for number in np.unique(group)]
    assert (weights[:, first].sum(1) == len(first)).all()


def test_of_one_group_there_is_no_interval() -> None:
    values = np.random.default_rng(0).normal(size=(6, 2, 3))
    weights = group_draws(np.zeros(6, dtype=np.int64), 50, np.random.default_rng(1))
    for drawn in (drawn_means(values, weights), drawn_medians(values, weights)):
        assert np.isnan(percentile_interval(drawn)).all()
    two = group_draws(np.arange(6) // 3, 50, np.random.default_rng(1))
    assert np.isfinite(percentile_interval(drawn_means(values, two))).all()


@pytest.mark.parametrize(("n", "least"), [(8, 0.9), (20, 0.925)])
def test_percentiles_of_few_groups_are_farther_out(n: int, least: float) -> None:
    """So that they hold the mean nearly as often as they should; those as they are do in .87 and .92."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(100):
        drawn = drawn_means(rng.normal(size=(n, 10)), group_draws(np.arange(n), 300, rng))
        (low, high), (lower, higher) = percentile_interval(drawn), percentile_interval(drawn, np.full(10, n))
        assert (lower < low).all()
        assert (high < higher).all()
        held.append((lower <= 0) & (higher >= 0))
    assert np.mean(held) > least


def test_how_far_out_percentiles_are_is_how_much_wider_students_interval_is() -> None:
    drawn = norm.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None]
    low, high = percentile_interval(drawn, np.array([5]))
    assert -low[0] == pytest.approx(high[0]) == pytest.approx(np.sqrt(5 / 4) * t.ppf(0.975, 4), abs=0.01)


def test_groups_are_counted_in_each_cell() -> None:
    values = np.array([[1.0, np.nan], [2.0, 3.0], [np.nan, np.nan], [4.0, 5.0]])
    assert groups_of_cells(values, np.array([0, 0, 1, 2])).tolist() == [2, 2]
    assert groups_of_cells(values, np.array([0, 1, 2, 3])).tolist() == [3, 2]
    assert groups_of_cells(values[:, 0], np.array([7, 7, 7, 9])) == 2
    drawn = np.random.default_rng(0).normal(size=(400, 3))
    drawn[:, 1] = np.nan
    low, high = percentile_interval(drawn, np.array([10**9, 5, 1]))
    np.testing.assert_allclose([low[0], high[0]], np.quantile(drawn[:, 0], [0.025, 0.975]), atol=1e-6)
    np.testing.assert_allclose([low[2], high[2]], np.quantile(drawn[:, 2], [0.025, 0.975]))
    assert np.isnan([low[1], high[1]]).all()


def test_of_two_groups_an_interval_is_far_wider_than_its_draws() -> None:
    drawn = np.linspace(-1, 1, 2001)[:, None]
    (low,), (high,) = percentile_interval(drawn, np.array([2]))
    (low_of_draws,), (high_of_draws,) = percentile_interval(drawn)
    assert low_of_draws == pytest.approx(-0.95)
    assert low < -0.999
    assert (low, low_of_draws) == pytest.approx((-high, -high_of_draws))
