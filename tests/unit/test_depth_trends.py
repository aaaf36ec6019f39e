"""How columns go with depth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.statistics.depth_trends import DepthTrend, Trend, depth_trend

LAYERS = np.arange(12)


def trend_of(value: np.ndarray, half: float | np.ndarray = 0.01) -> DepthTrend:
    found = depth_trend(np.arange(len(value)), value, value - half, value + half)
    assert found is not None
    return found


@given(st.lists(st.floats(0.05, 1), min_size=2, max_size=12), st.floats(-1, 1))
def test_what_always_rises_is_said_to_rise_and_upside_down_to_fall(steps: list[float], start: float) -> None:
    value = start + np.cumsum(np.array(steps))
    assert trend_of(value)[:3] == (Trend.RISES, pytest.approx(1), None)
    assert trend_of(-value)[:3] == (Trend.FALLS, pytest.approx(-1), None)


@given(st.integers(0, 10_000), st.integers(2, 12))
def test_noise_within_the_intervals_leaves_it_flat(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = 0.7 - rng.uniform(0.0, 0.1, n), 0.7 + rng.uniform(0.0, 0.1, n)
    for value in (np.full(n, 0.7), rng.uniform(low, high)):
        found = depth_trend(np.arange(n), value, low, high)
        assert found is not None
        assert found.trend is Trend.FLAT


def test_a_peak_is_found_where_it_was_planted_and_upside_down_a_dip() -> None:
    value = 0.5 + 0.3 * np.exp(-((LAYERS - 7.0) ** 2) / 4)
    assert (trend_of(value).trend, trend_of(value).turn) == (Trend.PEAKS, 7)
    assert (trend_of(1 - value).trend, trend_of(1 - value).turn) == (Trend.DIPS, 7)


def test_a_peak_that_the_intervals_do_not_tell_from_an_end_is_none() -> None:
    value = np.array([0.5, 0.9, 0.6, 0.75])
    assert trend_of(value, 0.01).trend is Trend.PEAKS
    assert trend_of(value, np.array([0.01, 0.08, 0.01, 0.08])).trend is not Trend.PEAKS


def test_a_peak_that_is_little_above_an_end_is_none() -> None:
    value = np.append(np.linspace(0, 1, 11), 0.9)
    assert trend_of(value, 0.001).trend is Trend.RISES


def test_of_a_peak_and_a_dip_the_one_that_goes_farther_is_told() -> None:
    value = np.array([0.5, 0.9, 0.5, 0.2, 0.5])
    assert (trend_of(value).trend, trend_of(value).turn) == (Trend.PEAKS, 1)
    assert (trend_of(1 - value).trend, trend_of(1 - value).turn) == (Trend.DIPS, 1)


def test_what_goes_up_and_down_has_no_direction() -> None:
    assert trend_of(np.array([0.5, 0.1, 0.9, 0.1, 0.9, 0.5])).trend in (Trend.PEAKS, Trend.DIPS)
    assert trend_of(np.array([0.1, 0.9, 0.1, 0.9])).trend is Trend.NEITHER


@given(st.integers(0, 10_000))
def test_missing_layers_are_as_if_they_were_not_there(seed: int) -> None:
    rng = np.random.default_rng(seed)
    value, kept = rng.normal(size=12), rng.random(12) < 0.7
    holed = np.where(kept, value, np.nan)
    expected = depth_trend(LAYERS[kept], value[kept], value[kept] - 0.1, value[kept] + 0.1)
    found = depth_trend(LAYERS, holed, holed - 0.1, holed + 0.1)
    assert str(found) == str(expected)


def test_one_value_has_no_trend_and_equal_ones_no_correlation() -> None:
    assert depth_trend(LAYERS[:1], np.ones(1), np.ones(1), np.ones(1)) is None
    found = trend_of(np.full(5, 0.7))
    assert found.trend is Trend.FLAT
    assert math.isnan(found.spearman)
