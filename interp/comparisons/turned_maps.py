"""Maps on one grid, turned so that more is higher, with the map of every draw of their examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from interp.comparisons.map_agreement import Map, correlation_interval

T = TypeVar("T")
Correlations = Callable[[Map, Map], Float[np.ndarray, " kind"]]
"""One or more correlations of two maps, such as those of each column."""
Ends = tuple[float, float]
MadeInterval = Callable[[float, Float[np.ndarray, " draw"], Ends, Ends], Ends]
"""What makes an interval, such as `interp.comparisons.map_agreement.correlation_interval`."""


@dataclass(frozen=True)
class Turned:
    """The maps on one grid, turned so that more is higher, and the map of every draw of the examples."""

    found: Float[np.ndarray, "map layer position"]
    drawn: Sequence[Float[np.ndarray, "_ layer position"]]
    """Of each map; without draws where its examples are not known."""

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Every two of the maps, by their number."""
        return list(combinations(range(len(self.found)), 2))

    def of_pairs(self, function: Callable[[Map, Map], T]) -> list[T]:
        """What a function gives for every pair of maps."""
        return [function(self.found[a], self.found[b]) for a, b in self.pairs]

    def of_draws(self, function: Callable[[Map, Map], T], a: int, b: int) -> list[T]:
        """What it gives for two of them in every draw; a map without draws is the same in all of the other's."""
        first, second = (self.drawn[number] for number in (a, b))
        first = first if len(first) else np.broadcast_to(self.found[a], second.shape)
        second = second if len(second) else np.broadcast_to(self.found[b], first.shape)
        return [function(*both) for both in zip(first, second, strict=True)]

    def crossed(self, correlations: Correlations, number: int, other: int) -> Float[np.ndarray, " kind"]:
        """The mean of each correlation of the draws of one of them with another, or with itself, as it was found.

        Without draws that of what was found; NaN where no draw has one.
        """
        drawn = self.drawn[number] if len(self.drawn[number]) else self.found[number][None]
        of_draws = np.array([correlations(each, self.found[other]) for each in drawn])
        known = np.isfinite(of_draws).sum(0)
        mean: np.ndarray = np.full(len(known), np.nan)
        np.divide(np.nansum(of_draws, axis=0), known, where=known > 0, out=mean)
        return mean

    def intervals(self, correlations: Correlations, made: MadeInterval = correlation_interval) -> list[list[Ends]]:
        """For every pair the interval of each correlation, corrected for what chance takes from it."""
        kept = [self.crossed(correlations, number, number) for number in range(len(self.found))]
        return [self._intervals_of_pair(correlations, made, kept, a, b) for a, b in self.pairs]

    def _intervals_of_pair(
        self, correlations: Correlations, made: MadeInterval, kept: Sequence[np.ndarray], a: int, b: int
    ) -> list[Ends]:
        found = correlations(self.found[a], self.found[b])
        of_draws = np.array(self.of_draws(correlations, a, b)).reshape(-1, len(found)).T
        crossed = self.crossed(correlations, a, b), self.crossed(correlations, b, a)
        numbers = np.array([found, kept[a], kept[b], *crossed]).T.tolist()
        return [
            made(value, drawn, (kept_a, kept_b), (of_a, of_b))
            for drawn, (value, kept_a, kept_b, of_a, of_b) in zip(of_draws, numbers, strict=True)
        ]
