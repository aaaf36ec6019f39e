"""The comparison of maps: how the cells of every two of them rank against each other, and how far they agree."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from interp.results.heatmap import Heatmap
from interp.results.result import Result
from interp.results.scales import Scale
from interp.statistics.auc import Interval

Numbers = dict[str, dict[str, Interval]]
KIND = "comparison"
APPEARANCE = ("kind", "metric", "colours", "variant", "site", "policy", "columns")
"""Attributes of a map that are kept, beside its scale, to draw it."""


@dataclass(frozen=True)
class Comparison(Result):
    """A `Result` on ``(pair, layer, position)``: by how much higher a cell ranks in the pair's first map, from -1 to 1.

    More variables:

    ``maps``
        ``(map, layer, position)``: the maps' own values.
    ``value_of``, ``low_of``, ``high_of``
        ``(pair, statistic)``: as in `interp.comparisons.map_agreement`, with their intervals.
    ``p``, ``reach``, ``n_cells``, ``n_top``
        ``(pair)``: of the test against moved maps, and how many cells are compared, and are the top ones.
    ``column_spearman``, ``column_low``, ``column_high``
        ``(pair, position)``: the rank correlation across the layers of each column, with its interval.
    ``peak``, ``centre``, ``centre_low``, ``centre_high``
        ``(map, position)``: the layer of each column's highest cell, and its centre of mass.

    The attribute ``appearances`` says how each map is drawn, and ``by_depth`` whose layers the rows are, if layers are
    matched by relative depth.
    """

    axes: ClassVar[tuple[str, ...]] = ("pair", "layer", "position")
    noun: ClassVar[str] = "comparison"

    @property
    def names(self) -> list[str]:
        """Of the maps."""
        return [str(name) for name in self.data["map"].values]

    @property
    def positions(self) -> list[str]:
        """Names of the columns."""
        return [str(name) for name in self.data["position"].values]

    @property
    def layers(self) -> list[int]:
        """The numbers of the rows."""
        return [int(layer) for layer in self.data["layer"].values]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Which maps each pair is of, by their number."""
        return list(combinations(range(len(self.names)), 2))

    @property
    def maps(self) -> list[Heatmap]:
        """The maps, each on its own scale, in the rows and columns that are compared."""
        appearances: list[dict[str, Any]] = json.loads(self.data.attrs["appearances"])
        return [
            self._heatmap(value, each["attributes"], Scale(*each["scale"]))
            for value, each in zip(self.data["maps"].values, appearances, strict=True)
        ]

    def difference(self, pair: int) -> Heatmap:
        """The map of a pair's difference of ranks."""
        first, second = (self.names[number] for number in self.pairs[pair])
        metric = f"Rank in {first} − rank in {second}"
        return self._heatmap(self.data["value"].values[pair], {"kind": KIND, "metric": metric}, self.scale)

    def statistic(self, pair: int, name: str) -> Interval:
        """A statistic of a pair, with its interval."""
        of_pair = self.data.isel(pair=pair).sel(statistic=name)
        value, low, high = (float(of_pair[each]) for each in ("value_of", "low_of", "high_of"))
        return Interval(value, low, high)

    @property
    def statistics(self) -> Numbers:
        """Every statistic of every pair, with its interval, by name."""
        names = [str(name) for name in self.data["statistic"].values]
        return {
            str(label): {name: self.statistic(pair, name) for name in names}
            for pair, label in enumerate(self.data["pair"].values)
        }

    def _heatmap(self, value: np.ndarray, attributes: dict[str, str], scale: Scale) -> Heatmap:
        unknown = np.full_like(value, np.nan)
        others = {name: text for name, text in attributes.items() if name not in ("kind", "metric")}
        return Heatmap.of(
            (value, unknown, unknown, np.isfinite(value).astype(np.int64)),
            names=(self.layers, self.positions),
            kind=attributes["kind"],
            metric=attributes["metric"],
            scale=scale,
            attributes=others,
        )


def appearance(heatmap: Heatmap) -> dict[str, Any]:
    """What is kept of a map to draw it: its scale, and some of its attributes."""
    scale, attributes = heatmap.scale, heatmap.data.attrs
    return {
        "scale": [scale.low, scale.high, scale.kind, scale.centre],
        "attributes": {name: str(attributes[name]) for name in APPEARANCE if name in attributes},
    }
