"""From which layer on the answer is the most probable token: a layer of every example, and its median.

An example settles at the lowest layer in which, and in all above which, its answer's first token is on top. Where that
is not so in the last layer it never settles, and has no layer: the share of these is told beside the median of the
others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from interp.lenses.lens_map import BOOTSTRAPS, MIN_EXAMPLES
from interp.results.example_values import ExampleValues
from interp.statistics.groups import numbered
from interp.statistics.means import drawn_medians, group_draws, median_of_examples, percentile_interval


class Settling(NamedTuple):
    """Where the examples of one position settle."""

    n: int
    """Examples that have the position and an answer."""
    layer: float
    """The median over those that settle; NaN of fewer than `interp.lenses.lens_map.MIN_EXAMPLES`."""
    low: float
    high: float
    never: float
    """The share of those that do not."""


def settling(examples: ExampleValues, *, draws: int = BOOTSTRAPS, seed: int = 0) -> dict[str, Settling]:
    """Where examples settle, by position; of a map of whether they have settled (`interp.lenses.lens_map.settled`)."""
    settled = examples.values[0]
    layer = settling_layers(settled, examples.layers)
    known, settles = np.isfinite(settled).all(1), np.isfinite(layer)
    kept = np.where(settles.sum(0) >= MIN_EXAMPLES, layer, np.nan)
    weights = group_draws(numbered(examples.groups), draws, np.random.default_rng(seed))
    low, high = percentile_interval(drawn_medians(kept, weights))
    n = known.sum(0)
    never = np.divide(n - settles.sum(0), n, out=np.full(len(n), np.nan), where=n > 0)
    columns = zip(
        n.tolist(), median_of_examples(kept).tolist(), low.tolist(), high.tolist(), never.tolist(), strict=True
    )
    return {name: Settling(*column) for name, column in zip(examples.positions, columns, strict=True)}


def settling_layers(
    settled: Float[np.ndarray, "example layer position"], layers: tuple[int, ...]
) -> Float[np.ndarray, "example position"]:
    """The layer at which each example settles; NaN where it does not, or where that is not known of every layer."""
    first = np.array(layers)[(settled == 1).argmax(1)]
    return np.where(np.isfinite(settled).all(1) & (settled[:, -1] == 1), first, np.nan)
