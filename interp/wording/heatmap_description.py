"""What a heatmap shows, in numbers: its columns, its extremes, its bands, its trends with depth, what is missing.

Nothing here is a word but names and what the map itself says; `interp.wording.heatmap_wording` makes sentences of it.
Where the scale of the map is logarithmic, means are geometric, and variances and distances are those of logarithms. A
missing cell is in no mean, no rank and no sum.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from interp.results.heatmap import Heatmap
from interp.statistics.auc import Interval
from interp.statistics.depth_trends import Trend, depth_trend
from interp.statistics.extremes import Cell, Cells, Region, highest, lowest
from interp.statistics.two_way import TwoWay, two_way
from interp.wording.result_facts import (
    Against,
    Strength,
    Subject,
    against,
    ends_of,
    has_intervals,
    strength_of,
    subject_of,
)

OFTEN = 0.5
"""From this share of the examples on, two columns that are one token are told."""
MOST = 0.5
"""Columns are compared in the layers that all of them have, if these are at least this share of the map's."""


class Column(NamedTuple):
    """A column of the map."""

    name: str
    n: int
    """The number of examples behind the layer that has most of them."""
    n_wrong: int | None
    """How many of them are wrong answers, where the map says so."""
    n_cells: int
    """In how many layers it has a value."""
    mean: float
    """Over the `Means.layers`; NaN without a value."""
    trend: Trend | None
    """None with fewer than two values."""
    spearman: float
    """Of its values with the layer; NaN with fewer than two different ones."""
    turn: Cell | None
    """Where it peaks or dips."""
    n_marked: int


class Means(NamedTuple):
    """How columns compare in their means over layers."""

    strongest: str
    weakest: str
    layers: tuple[int, ...] | None
    """In which all columns that have values have one, and over which means are taken; None where these are fewer than
    `MOST`, and the mean of each column is over its own."""


class Marked(NamedTuple):
    """The cells that the map marks."""

    n_cells: int
    meaning: str


class Control(NamedTuple):
    """What a control of a probe tells alone, at one column and another."""

    name: str
    least: Interval
    most: Interval
    column: str
    """Where it has the most."""


@dataclass(frozen=True)
class Description:
    """What a heatmap shows, in numbers."""

    subject: Subject
    layers: tuple[int, ...]
    columns: tuple[Column, ...]
    scale: tuple[float, float]
    is_log: bool
    centre: float | None
    strength: Strength
    has_intervals: bool
    highest: Region | None
    lowest: Region | None
    """None where no cell has a value."""
    means: Means | None
    """None with fewer than two columns that have values."""
    banding: TwoWay | None
    marked: Marked | None
    """None of a map without marks."""
    against: Against | None
    """None where no value means nothing, or there are no intervals."""
    n_cells: int
    missing: Mapping[str, int]
    """How many cells have no value, by reason."""
    outside: tuple[int, int]
    """How many values are below the colour scale, and above it."""
    dropped: Mapping[str, int]
    """How many examples a column lacks at most, by reason."""
    coinciding: Mapping[str, float]
    """Pairs of columns that are one token in at least `OFTEN` of the examples, with the share."""
    best_nested: Interval | None
    """What the best cell is worth, chosen without the examples that it is scored on."""
    controls: tuple[Control, ...]
    """Of a map that is beyond these: those that have a value somewhere."""


def description_of(heatmap: Heatmap) -> Description:
    """Describe a heatmap of any kind, with any cells missing."""
    value, scale = heatmap.data["value"].values.astype(np.float64), heatmap.scale
    names = heatmap.positions
    cells = Cells(heatmap.layers, names, value, *ends_of(heatmap))
    means, layers = _means_over_layers(scale.placed(value))
    shown = np.exp(means) if scale.kind == "log" else means
    below, above = scale.outside(value)
    return Description(
        subject=subject_of(heatmap),
        layers=tuple(heatmap.layers),
        columns=tuple(_column(heatmap, cells, *each) for each in enumerate(shown.tolist())),
        scale=(scale.low, scale.high),
        is_log=scale.kind == "log",
        centre=scale.centre,
        strength=strength_of(heatmap),
        has_intervals=has_intervals(heatmap),
        highest=_said(highest(cells), heatmap),
        lowest=_said(lowest(cells), heatmap),
        means=_compared(heatmap, means, layers, names),
        banding=two_way(scale.placed(value)),
        marked=_marked(heatmap),
        against=against(heatmap),
        n_cells=value.size,
        missing=heatmap.missing,
        outside=(int(below.sum()), int(above.sum())),
        dropped=_dropped(heatmap),
        coinciding={pair: share for pair, share in _of_json(heatmap, "coinciding").items() if share >= OFTEN},
        best_nested=_best_nested(heatmap),
        controls=_controls(heatmap),
    )


def _means_over_layers(
    placed: Float[np.ndarray, "layer position"],
) -> tuple[Float[np.ndarray, " position"], list[int] | None]:
    """The mean of each column, and the rows that it is over; None if over those that the column has."""
    known = np.isfinite(placed)
    common = known[:, known.any(0)].all(1) & known.any(1)
    is_common = bool(common.sum() >= MOST * len(common))
    counted = known & common[:, None] if is_common else known
    n = counted.sum(0)
    sums = np.where(counted, placed, 0.0).sum(0)
    means = np.divide(sums, n, where=n > 0, out=np.full(len(n), np.nan))
    return means, np.flatnonzero(common).tolist() if is_common else None


def _compared(
    heatmap: Heatmap, means: Float[np.ndarray, " position"], rows: list[int] | None, names: list[str]
) -> Means | None:
    """The strongest and the weakest column; of several, the first by name."""
    centre = heatmap.scale.centre
    away = np.abs(means - (0.0 if centre is None else heatmap.scale.placed(np.array([centre]))))
    strengths = {Strength.HIGH: means, Strength.LOW: -means, Strength.AWAY: away}[strength_of(heatmap)]
    known = {name: float(strength) for name, strength in zip(names, strengths, strict=True) if math.isfinite(strength)}
    if len(known) < 2:
        return None
    return Means(
        strongest=min(known, key=lambda name: (-known[name], name)),
        weakest=min(known, key=lambda name: (known[name], name)),
        layers=None if rows is None else tuple(heatmap.layers[row] for row in rows),
    )


def _column(heatmap: Heatmap, cells: Cells, column: int, mean: float) -> Column:
    data, name = heatmap.data.isel(position=column), cells.names[column]
    value, low, high = (each[:, column] for each in (cells.value, cells.low, cells.high))
    placed = [heatmap.scale.placed(each) for each in (value, low, high)]
    found = depth_trend(np.array(heatmap.layers), *placed)
    row = None if found is None or found.turn is None else heatmap.layers.index(found.turn)
    most = int(data["n"].values.argmax())
    return Column(
        name=name,
        n=int(data["n"].values[most]),
        n_wrong=int(data["n_wrong"].values[most]) if "n_wrong" in data else None,
        n_cells=int(np.isfinite(value).sum()),
        mean=mean,
        trend=None if found is None else found.trend,
        spearman=math.nan if found is None else found.spearman,
        turn=None if row is None else _cell(heatmap, cells.layers[row], name),
        n_marked=int(data["marked"].values.sum()) if "marked" in data else 0,
    )


def _said(region: Region | None, heatmap: Heatmap) -> Region | None:
    """A region whose cell has the interval that the map gives it, not the ends that were taken for those of one."""
    return region and region._replace(cell=_cell(heatmap, region.cell.layer, region.cell.column))


def _cell(heatmap: Heatmap, layer: int, column: str) -> Cell:
    here = heatmap.data.sel(layer=layer, position=column)
    return Cell(layer, column, *(float(here[name]) for name in ("value", "low", "high")))


def _marked(heatmap: Heatmap) -> Marked | None:
    if "marked" not in heatmap.data:
        return None
    return Marked(int(heatmap.data["marked"].values.sum()), str(heatmap.data.attrs["mark"]))


def _dropped(heatmap: Heatmap) -> dict[str, int]:
    most: dict[str, int] = {}
    for reasons in _of_json(heatmap, "missing").values():
        for reason, n in reasons.items():
            most[reason.replace("_", " ")] = max(n, most.get(reason.replace("_", " "), 0))
    return most


def _best_nested(heatmap: Heatmap) -> Interval | None:
    """Of a probe map alone: other maps keep what they were made from."""
    found = _of_json(heatmap, "best_nested").get("auc")
    return Interval(*map(float, found)) if found and heatmap.data.attrs["kind"] == "probe" else None


def _controls(heatmap: Heatmap) -> tuple[Control, ...]:
    """Of a map of `interp.probes.controls.beyond_map`: each control's lowest and highest AUC over the columns."""
    if "strongest" not in heatmap.data:
        return ()
    found = []
    for name in heatmap.data["which"].values.tolist():
        of_control = heatmap.data.sel(which=name)
        ends = of_control[["control", "control_low", "control_high"]].to_array().values.T
        if np.isfinite(ends[:, 0]).any():
            least, most = (int(pick(ends[:, 0])) for pick in (np.nanargmin, np.nanargmax))
            column = heatmap.positions[most]
            found.append(Control(name, Interval(*ends[least].tolist()), Interval(*ends[most].tolist()), column))
    return tuple(found)


def _of_json(heatmap: Heatmap, attribute: str) -> dict[str, Any]:
    return json.loads(heatmap.data.attrs.get(attribute) or "{}")
