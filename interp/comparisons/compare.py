"""Maps laid beside each other: how far they agree in the order of their cells, and where they do not.

1. Each map is turned so that more of what it shows is higher: ranks in a vocabulary, say, are turned round.
2. The rows and columns are those that all maps have; each pair is compared in the cells where both have a value.
3. Ranks of cells are compared, not values: an AUC and a recovery have no common unit.
4. Intervals are of the examples, which are drawn anew, those that several maps share as often in all of them; the maps
   are made again of every draw. What a probe was trained on is not drawn anew.

The statistics and the test against chance are those of `interp.comparisons.map_agreement`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import xarray as xr
from jaxtyping import Float

from interp.comparisons.map_agreement import (
    CORRELATIONS,
    MIN_CELLS,
    STATISTICS,
    Map,
    centre_of_mass,
    column_peaks,
    mean_difference,
    n_top,
    of_columns,
    peak_distance,
    rank_difference,
    shift_test,
)
from interp.comparisons.relative_depth import at_depths, depths
from interp.comparisons.turned_maps import Turned
from interp.errors import InputError
from interp.results.comparison import KIND, Comparison, appearance
from interp.results.example_values import ExampleValues, joint_draws
from interp.results.heatmap import Heatmap
from interp.results.scales import centred_scale
from interp.statistics.means import percentile_interval

DRAWS = 500


@dataclass(frozen=True)
class Operand:
    """A map that is compared; without examples its values are taken as given."""

    name: str
    heatmap: Heatmap
    examples: ExampleValues | None = None
    least: float | None = None
    """Below it all values are taken to be equal, as they are in a published map whose colours end there."""

    def turned(self, values: Float[np.ndarray, "*draw layer position"]) -> Float[np.ndarray, "*draw layer position"]:
        """Values so that more of what the map shows is higher."""
        return self.heatmap.turned(values if self.least is None else np.maximum(values, self.least))


@dataclass(frozen=True)
class Grid:
    """The rows and columns that are compared."""

    layers: list[int]
    positions: list[str]
    by_depth: bool

    def of(
        self, values: Float[np.ndarray, "*draw layer position"], layers: Sequence[int], positions: Sequence[str]
    ) -> Float[np.ndarray, "*draw row column"]:
        """The values on this grid, of maps with these layers and positions."""
        chosen = values[..., [list(positions).index(name) for name in self.positions]]
        if self.by_depth:
            return at_depths(chosen, layers, depths(self.layers))
        return chosen[..., [list(layers).index(layer) for layer in self.layers], :]


def compared(
    operands: Sequence[Operand],
    *,
    by_depth: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
    attributes: Mapping[str, str | float | int] | None = None,
) -> Comparison:
    """Compare two maps or more, every pair of them.

    Parameters
    ----------
    operands
        The maps. Where the examples of neither of a pair are known, it has no intervals.
    by_depth
        Whether layers are matched by relative depth, on the layers of the map that has the fewest, and not by number.
    draws
        Bootstrap draws of the examples.
    seed
        Decides them.
    attributes
        Whatever the run adds.

    Raises
    ------
    InputError
        If there are fewer than two maps, two of one name, one without any value, or no rows and columns that all have;
        if two maps have fewer than `interp.comparisons.map_agreement.MIN_CELLS` cells in common, or one of them the
        same value in all of these.
    """
    grid, rng = grid_of(operands, by_depth=by_depth), np.random.default_rng(seed)
    names = [each.name for each in operands]
    values = np.stack([_on_grid(each, "value", grid) for each in operands])
    n = np.rint(np.nan_to_num(np.stack([_on_grid(each, "n", grid) for each in operands]))).astype(np.int64)
    found = np.stack([each.turned(value) for each, value in zip(operands, values, strict=True)])
    _require_varied(names, found)
    maps = Turned(found, _drawn_maps(operands, grid, found, draws, rng))
    difference = np.stack(maps.of_pairs(rank_difference))
    ends = [_ends(maps.of_draws(rank_difference, *pair), found.shape[1:]) for pair in maps.pairs]
    tests = maps.of_pairs(shift_test)
    of_pairs = {
        "p": np.array([p for p, _ in tests]),
        "reach": np.array([reach for _, reach in tests]),
        "n_cells": np.isfinite(difference).sum((1, 2)),
        "n_top": np.array(maps.of_pairs(n_top)),
    }
    return Comparison.of(
        (
            difference,
            np.stack([low for low, _ in ends]),
            np.stack([high for _, high in ends]),
            np.stack([np.minimum(n[a], n[b]) for a, b in maps.pairs]),
        ),
        names=([f"{names[a]} - {names[b]}" for a, b in maps.pairs], grid.layers, grid.positions),
        kind=KIND,
        metric="Difference of ranks",
        scale=centred_scale(np.array([1.0]), 0.0),
        extra={"maps": xr.DataArray(values, dims=("map", "layer", "position"), coords={"map": names})}
        | {name: xr.DataArray(array, dims="pair") for name, array in of_pairs.items()}
        | _statistics(maps, in_one_unit(operands), grid.layers)
        | _columns(maps, grid.layers)
        | _within_each_column(maps),
        attributes={
            "appearances": json.dumps([appearance(each.heatmap) for each in operands]),
            "with_examples": json.dumps([each.name for each in operands if each.examples is not None]),
            "by_depth": _matched(operands, grid),
            "draws": draws,
            **(attributes or {}),
        },
    )


def grid_of(operands: Sequence[Operand], *, by_depth: bool) -> Grid:
    """The rows and columns that all maps have, in the order of the first; errors as for `compared`."""
    if len(operands) < 2:
        raise InputError("one map has nothing to be compared with; give two or more")
    twice = [name for name, times in Counter(each.name for each in operands).items() if times > 1]
    if twice:
        raise InputError(f"two maps are called {twice[0]!r}; leave one out, or rename its file")
    for each in operands:
        if not np.isfinite(each.heatmap.data["value"].values).any():
            raise InputError(f"{each.name} has no value in any cell; make it again, or leave it out")
    first, *others = (each.heatmap for each in operands)
    positions = [name for name in first.positions if all(name in each.positions for each in others)]
    layers = [layer for layer in first.layers if all(layer in each.layers for each in others)]
    if by_depth:
        layers = min((each.layers for each in (first, *others)), key=len)
    for noun, common in (("positions", positions), ("layers", layers)):
        if not common:
            told = "; ".join(f"{each.name} has {', '.join(map(str, getattr(each.heatmap, noun)))}" for each in operands)
            raise InputError(f"the maps have no {noun} in common ({told}); give maps of the same cells")
    return Grid(layers, positions, by_depth)


def _matched(operands: Sequence[Operand], grid: Grid) -> str:
    """Whose layers the rows are, where layers are matched by relative depth; empty where they are not."""
    if not grid.by_depth:
        return ""
    whose = next(each.name for each in operands if each.heatmap.layers == grid.layers)
    others = [f"{each.name} has {len(each.heatmap.layers)}" for each in operands if each.heatmap.layers != grid.layers]
    return f"layers are matched by relative depth: rows are the {len(grid.layers)} of {whose}" + (
        f"; {', '.join(others)}" if others else ""
    )


def _require_varied(names: Sequence[str], found: Float[np.ndarray, "map layer position"]) -> None:
    """Raise an `InputError` for two maps whose common cells have no order that could be compared."""
    for pair in combinations(range(len(names)), 2):
        both = np.isfinite(found[list(pair)]).all(0)
        told = " and ".join(names[number] for number in pair)
        if both.sum() < MIN_CELLS:
            raise InputError(
                f"{told} have values in {both.sum()} common cells, and a rank correlation takes {MIN_CELLS}; "
                "give maps of the same cells"
            )
        for number in pair:
            if np.ptp(found[number][both]) == 0:
                raise InputError(
                    f"{names[number]} has one value in all of the {both.sum()} cells of {told}, so that they have "
                    "no order; leave it out"
                )


def _on_grid(operand: Operand, variable: str, grid: Grid) -> Float[np.ndarray, "layer position"]:
    heatmap = operand.heatmap
    return grid.of(heatmap.data[variable].values.astype(np.float64), heatmap.layers, heatmap.positions)


def _drawn_maps(
    operands: Sequence[Operand],
    grid: Grid,
    found: Float[np.ndarray, "map layer position"],
    draws: int,
    rng: np.random.Generator,
) -> list[Float[np.ndarray, "_ layer position"]]:
    """The map of every draw of the examples, with a value in no cell that has none in the map; no draws without any."""
    known = [each.examples for each in operands if each.examples is not None]
    sets = [str(each.heatmap.identity.get("questions", "")) for each in operands if each.examples is not None]
    weights = iter(joint_draws(known, draws, rng, sets) if known else [])
    drawn = []
    for operand, value in zip(operands, found, strict=True):
        examples = operand.examples
        if examples is None:
            drawn.append(np.empty((0, *value.shape)))
        else:
            maps = grid.of(examples.drawn(next(weights)), examples.layers, examples.positions)
            drawn.append(np.where(np.isfinite(value), operand.turned(maps), np.nan))
    return drawn


def in_one_unit(operands: Sequence[Operand]) -> bool:
    """Whether values, not only ranks, can be compared: all maps are on one scale, or are of one metric."""
    scales = {(each.heatmap.scale.low, each.heatmap.scale.high, each.heatmap.scale.kind) for each in operands}
    return len(scales) == 1 or len({each.heatmap.data.attrs["metric"] for each in operands}) == 1


def _statistics(maps: Turned, one_unit: bool, layers: Sequence[int]) -> dict[str, xr.DataArray]:
    """Every statistic of every pair, with its interval."""
    statistics = {**STATISTICS, "peak_layers": lambda first, second: peak_distance(first, second, layers)[0]}
    value, low, high = (np.full((len(maps.pairs), len(STATISTICS)), np.nan) for _ in range(3))
    for column, (name, statistic) in enumerate(statistics.items()):
        if statistic is mean_difference and not one_unit:
            continue
        value[:, column] = maps.of_pairs(statistic)
        if name in CORRELATIONS:
            ends = np.array([of_pair for (of_pair,) in maps.intervals(one(statistic), CORRELATIONS[name])])
        else:
            ends = np.array([_ends(np.array(maps.of_draws(statistic, *pair)), ()) for pair in maps.pairs])
        low[:, column], high[:, column] = ends.T
    coordinates = {"statistic": list(STATISTICS)}
    return {
        name: xr.DataArray(array, dims=("pair", "statistic"), coords=coordinates)
        for name, array in (("value_of", value), ("low_of", low), ("high_of", high))
    }


def one(statistic: Callable[[Map, Map], float]) -> Callable[[Map, Map], Float[np.ndarray, " kind"]]:
    """A statistic as an array of one."""
    return lambda first, second: np.array([statistic(first, second)])


def _columns(maps: Turned, layers: Sequence[int]) -> dict[str, xr.DataArray]:
    """Of each map's columns the layer of the highest cell, and the centre of mass with its interval."""
    n_positions, dims = maps.found.shape[2], ("map", "position")
    ends = [_ends([centre_of_mass(each, layers) for each in of_map], (n_positions,)) for of_map in maps.drawn]
    peaks = np.stack([column_peaks(each) for each in maps.found])
    found = {
        "peak": np.where(np.isnan(peaks), np.nan, np.array(layers)[np.nan_to_num(peaks).astype(np.int64)]),
        "centre": np.stack([centre_of_mass(each, layers) for each in maps.found]),
        "centre_low": np.stack([low for low, _ in ends]),
        "centre_high": np.stack([high for _, high in ends]),
    }
    return {name: xr.DataArray(of_maps, dims=dims) for name, of_maps in found.items()}


def _within_each_column(maps: Turned) -> dict[str, xr.DataArray]:
    """Of every pair and column, the rank correlation across the layers, with its interval."""
    value = np.stack(maps.of_pairs(of_columns))
    low, high = np.moveaxis(np.array(maps.intervals(of_columns)), 2, 0)
    named = (("column_spearman", value), ("column_low", low), ("column_high", high))
    return {name: xr.DataArray(array, dims=("pair", "position")) for name, array in named}


def _ends(
    drawn: Sequence[float] | Sequence[np.ndarray] | np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the interval of what has such a shape in every draw; NaN where there are no draws."""
    if not len(drawn):
        return np.full(shape, np.nan), np.full(shape, np.nan)
    return percentile_interval(np.array(drawn))
