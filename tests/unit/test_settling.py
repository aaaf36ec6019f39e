"""Where answers settle, against loops over examples."""

from __future__ import annotations

import numpy as np
import pytest

from interp.example_values import MEAN, ExampleValues
from interp.settling import settling, settling_layers

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
