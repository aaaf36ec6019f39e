"""Maps and the maps of every draw of their examples: what the intervals of correlations are made from."""

from __future__ import annotations

import numpy as np
import pytest

from interp.comparisons.map_agreement import correlation_interval, of_columns, spearman
from interp.comparisons.turned_maps import Turned


def turned(*noises: float, draws: int = 40) -> Turned:
    """Maps that have something in common, whose draws have noise of these sizes; of size 0, without draws."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=(12, 5))
    found = np.stack([common + rng.normal(size=common.shape) for _ in noises])
    drawn = [
        each + noise * rng.normal(size=(draws if noise else 0, *each.shape))
        for each, noise in zip(found, noises, strict=True)
    ]
    return Turned(found, drawn)


def mean(*correlations: float) -> float:
    return float(np.mean(correlations))


def test_intervals_are_of_the_draws_of_either_map_with_itself_and_with_the_other() -> None:
    maps = turned(0.1, 0.5, 0.3)
    for (a, b), of_columns_alone in zip(maps.pairs, maps.intervals(of_columns), strict=True):
        for column, interval in enumerate(of_columns_alone):
            (first, second), (one, other) = (
                [each[..., column] for each in (kind[a], kind[b])] for kind in (maps.found, maps.drawn)
            )
            expected = correlation_interval(
                spearman(first, second),
                np.array([spearman(*both) for both in zip(one, other, strict=True)]),
                (mean(*(spearman(each, first) for each in one)), mean(*(spearman(each, second) for each in other))),
                (mean(*(spearman(each, second) for each in one)), mean(*(spearman(each, first) for each in other))),
            )
            assert interval == pytest.approx(expected)


def test_a_map_without_draws_is_the_same_in_all_of_the_others() -> None:
    maps = turned(0.0, 0.4)
    first, second = maps.found
    correlation = spearman(first, second)
    with_draws = [spearman(first, each) for each in maps.drawn[1]]
    kept = mean(*(spearman(each, second) for each in maps.drawn[1]))
    expected = correlation_interval(correlation, np.array(with_draws), (1.0, kept), (correlation, mean(*with_draws)))
    ((ends,),) = maps.intervals(lambda *both: np.array([spearman(*both)]))
    assert ends == pytest.approx(expected)
    assert np.isnan(turned(0.0, 0.0).intervals(of_columns)).all()
