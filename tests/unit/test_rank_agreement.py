from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from interp.errors import InputError
from interp.statistics.rank_agreement import rank_agreement

RNG = np.random.default_rng(0)
PAIRS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=5)


def share_by_enumeration(estimated: np.ndarray, exact: np.ndarray, k: int) -> float:
    """The mean over all the ways in which lots may decide between ties, in either order."""

    def tops(sizes: np.ndarray) -> list[set[int]]:
        orders = itertools.permutations(range(len(sizes)))
        return [set(sorted(order, key=lambda cell: -sizes[cell])[:k]) for order in orders]

    pairs = itertools.product(tops(np.abs(estimated)), tops(np.abs(exact)))
    return float(np.mean([len(first & second) / k for first, second in pairs]))


@given(pairs=PAIRS, k=st.integers(1, 4))
def test_ties_are_shared_as_lots_would(pairs: list[tuple[int, int]], k: int) -> None:
    estimated, exact = np.array(pairs, dtype=float).T
    share = rank_agreement(estimated, exact, k).top_share
    if len(pairs) <= k:
        assert np.isnan(share), "all cells are at the top"
    else:
        assert share == pytest.approx(share_by_enumeration(estimated, exact, k))


def test_the_correlation_is_scipys() -> None:
    exact = RNG.integers(-4, 5, size=(6, 7)).astype(float)
    estimated = exact + RNG.normal(size=exact.shape).round()
    expected = spearmanr(estimated.ravel(), exact.ravel()).statistic
    assert rank_agreement(estimated, exact).spearman == pytest.approx(expected)


def test_only_the_order_counts() -> None:
    exact = RNG.normal(size=40)
    assert rank_agreement(np.cbrt(exact), exact, 5) == pytest.approx((1, 1))
    assert rank_agreement(-exact, exact, 5) == pytest.approx((-1, 1)), "the top is of either sign"


def test_missing_cells_are_left_out() -> None:
    exact, estimated = RNG.normal(size=(2, 30))
    holed_exact, holed_estimated = exact.copy(), estimated.copy()
    holed_exact[3], holed_estimated[[3, 11]] = np.nan, np.nan
    kept = np.delete(np.arange(30), [3, 11])
    assert rank_agreement(holed_estimated, holed_exact, 5) == rank_agreement(estimated[kept], exact[kept], 5)


@pytest.mark.parametrize("estimated", [np.zeros(20), np.full(20, np.nan), np.array([1.0] + [np.nan] * 19)])
def test_what_has_no_order_has_no_correlation(estimated: np.ndarray) -> None:
    assert np.isnan(rank_agreement(estimated, RNG.normal(size=20)).spearman)


def test_estimates_that_say_nothing_agree_as_chance_does() -> None:
    assert rank_agreement(np.zeros(20), RNG.normal(size=20), 5).top_share == pytest.approx(5 / 20)


def test_a_top_of_none_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1 cell, not 0"):
        rank_agreement(np.ones(3), np.ones(3), 0)
