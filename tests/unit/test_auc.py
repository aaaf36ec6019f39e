from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from interp.auc import auc_interval


@given(
    positive=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    negative=st.lists(st.integers(0, 5), min_size=1, max_size=12),
)
def test_the_value_is_the_share_of_ordered_pairs(positive: list[int], negative: list[int]) -> None:
    scores = np.array([*positive, *negative], dtype=float)
    labels = np.array([True] * len(positive) + [False] * len(negative))
    value, low, high = auc_interval(scores, labels)
    assert value == pytest.approx(roc_auc_score(labels, scores))
    assert 0 <= low <= value <= high <= 1


def test_the_variance_is_delongs() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(60) < 0.4
    scores = rng.normal(size=60) + labels
    pairs = (scores[labels][:, None] > scores[~labels]) + 0.5 * (scores[labels][:, None] == scores[~labels])
    variance = pairs.mean(1).var(ddof=1) / labels.sum() + pairs.mean(0).var(ddof=1) / (~labels).sum()
    value, low, high = auc_interval(scores, labels)
    half = (np.log(high / (1 - high)) - np.log(low / (1 - low))) / 2
    assert half == pytest.approx(1.959964 * np.sqrt(variance) / (value * (1 - value)), rel=1e-5)


@pytest.mark.parametrize("n", [60, 400])
@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_the_interval_covers_at_its_level(n: int, shift: float) -> None:
    rng = np.random.default_rng(1)
    truth = norm.cdf(shift / np.sqrt(2))
    labels = np.arange(n) < n // 3
    runs = 2000
    covered = 0
    for _ in range(runs):
        _, low, high = auc_interval(rng.normal(size=n) + shift * labels, labels)
        covered += low <= truth <= high
    assert 0.93 <= covered / runs <= 0.97


def test_perfect_order_still_has_an_interval() -> None:
    scores = np.arange(30.0)
    value, low, high = auc_interval(scores, scores >= 10)
    assert (value, high) == (1.0, 1.0)
    assert low == pytest.approx(0.025 ** (1 / 10))
    assert auc_interval(-scores, scores >= 10).high == pytest.approx(1 - 0.025 ** (1 / 10))


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="both classes"):
        auc_interval(np.arange(3.0), np.ones(3, dtype=bool))
