"""Where answers settle, against loops over examples."""

from __future__ import annotations

import numpy as np
import pytest

from interp.lenses.lens_map import MIN_EXAMPLES
from interp.lenses.settling import settling, settling_layers
from interp.results.example_values import MEAN, ExampleValues
from interp.statistics.means import drawn_medians, group_draws, percentile_interval

LAYERS, POSITIONS, N = (4, 5, 6, 7), ("last_q", "-1", "-2"), 80


def examples(seed: int = 0) -> ExampleValues:
    """Examples that settle at a random layer, or never, of which some lack a position."""
    rng = np.random.default_rng(seed)
    at = rng.integers(0, len(LAYERS) + 1, (N, len(POSITIONS)))
    settled = (np.arange(len(LAYERS))[:, None] >= at[:, None]).astype(float)
    settled.transpose(0, 2, 1)[rng.random((N, len(POSITIONS))) < 0.1] = np.nan
    settled[10:, :, 2] = 0.0
    ids = tuple(map(str, range(N)))
    return ExampleValues(settled[None], MEAN, ids, ids, LAYERS, POSITIONS)


def test_the_median_is_of_those_that_settle_and_the_share_of_those_that_never_do() -> None:
    of = examples()
    found = settling(of, draws=200)
    for column, name in enumerate(POSITIONS):
        layers, n = [], 0
        for settled in of.values[0, :, :, column]:
            if not np.isnan(settled).any():
                n += 1
                layers += [LAYERS[int(np.flatnonzero(settled)[0])]] if settled[-1] else []
        assert found[name].n == n
        assert found[name].never == pytest.approx(1 - len(layers) / n)
        if name == "-2":
            assert len(layers) < 20
            assert np.isnan(found[name].layer)
        else:
            assert found[name].layer == np.median(layers)
            assert found[name].low <= found[name].layer <= found[name].high


def test_what_is_not_known_of_every_layer_has_no_layer() -> None:
    settled = np.array([[np.nan, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]])[..., None]
    np.testing.assert_array_equal(settling_layers(settled, LAYERS)[:, 0], [np.nan, 6, np.nan, 4])


def test_intervals_are_over_groups_of_examples() -> None:
    layers = tuple(range(60))
    at = np.random.default_rng(5).integers(0, 50, size=(N, 1))
    settled = (np.array(layers)[:, None] >= at[:, None]).astype(float)
    ids, groups = (tuple(f"{name} {number:02d}" for number in range(N)) for name in ("q", "group"))
    groups = tuple(groups[number // 4] for number in range(N))
    of, seen = ExampleValues(settled[None], MEAN, ids, groups, layers, ("-1",)), set()
    for seed in range(8):
        (found,) = settling(of, draws=50, seed=seed).values()
        drawn = drawn_medians(at.astype(float), group_draws(np.arange(N) // 4, 50, np.random.default_rng(seed)))
        low, high = percentile_interval(drawn)
        assert (found.low, found.high) == (low[0], high[0])
        seen.add((found.low, found.high))
    assert len(seen) > 1, "the seed decides"


def test_an_example_counts_where_every_layer_of_it_is_known() -> None:
    settled = np.array([[0, 0, 1, 1], [np.nan, 0, 1, 1], [np.nan] * 4])[..., None]
    for n, never in ((1, 0.0), (0, np.nan)):
        values = settled[1 - n :]
        ids = tuple(map(str, range(len(values))))
        (found,) = settling(ExampleValues(values[None], MEAN, ids, ids, LAYERS, ("-1",)), draws=20).values()
        assert found.n == n
        np.testing.assert_equal(found.never, never)


@pytest.mark.parametrize("n", [MIN_EXAMPLES - 1, MIN_EXAMPLES])
def test_so_many_examples_have_a_median_and_fewer_have_none(n: int) -> None:
    settled = np.zeros((N, len(LAYERS), 1))
    settled[:n, 1:] = 1.0
    ids = tuple(map(str, range(N)))
    (found,) = settling(ExampleValues(settled[None], MEAN, ids, ids, LAYERS, ("-1",)), draws=20).values()
    assert found.n == N
    assert found.never == pytest.approx(1 - n / N)
    assert np.isnan([found.layer, found.low, found.high]).all() == (n < MIN_EXAMPLES)
    assert n < MIN_EXAMPLES or found.layer == LAYERS[1]


def test_intervals_cover() -> None:
    covered = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        at = rng.choice([0, 1, 1, 1, 2, 3], size=(N, 1))
        settled = (np.arange(len(LAYERS))[:, None] >= at[:, None]).astype(float)
        ids = tuple(map(str, range(N)))
        (found,) = settling(
            ExampleValues(settled[None], MEAN, ids, ids, LAYERS, ("-1",)), draws=200, seed=seed
        ).values()
        covered.append(found.low <= 5 <= found.high)
    assert np.mean(covered) >= 0.9


def test_of_no_examples_nothing_settles() -> None:
    nobody = ExampleValues(np.empty((1, 0, len(LAYERS), len(POSITIONS))), MEAN, (), (), LAYERS, POSITIONS)
    for found in settling(nobody, draws=20).values():
        assert found.n == 0
        assert np.isnan([found.layer, found.low, found.high, found.never]).all()
