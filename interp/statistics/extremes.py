"""The highest and the lowest cells of a map, and all that cannot be told from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class Cell(NamedTuple):
    """A cell with its value and the ends of its interval; NaN where it has none."""

    layer: int
    column: str
    value: float
    low: float
    high: float


class Runs(NamedTuple):
    """Cells of one column, as runs of layers that follow each other on the map: the first and the last of each."""

    column: str
    layers: tuple[tuple[int, int], ...]


class Region(NamedTuple):
    """An extreme cell, and all cells whose values lie within its interval.

    It does not depend on which columns are neighbours: those of a map need not be so in the text.
    """

    cell: Cell
    bound: float
    """The end of its interval that the others reach; of a map without intervals, what is taken for it."""
    n_cells: int
    """With the extreme one."""
    n_tied: int
    """How many have just its value."""
    columns: tuple[Runs, ...]
    """Those with the most extreme values first."""


class Cells(NamedTuple):
    """The values of a map, with the ends that are taken for those of their intervals."""

    layers: Sequence[int]
    names: Sequence[str]
    value: Float[np.ndarray, "layer position"]
    low: Float[np.ndarray, "layer position"]
    high: Float[np.ndarray, "layer position"]


def highest(cells: Cells) -> Region | None:
    """The highest cell with what is within its interval; None where no cell has a value.

    Of cells with the same value it is that with the narrowest interval, of these the first by layer and name.
    """
    return _region(cells, sign=1)


def lowest(cells: Cells) -> Region | None:
    """The same of the lowest."""
    return _region(cells, sign=-1)


def _region(cells: Cells, *, sign: int) -> Region | None:
    known = np.isfinite(cells.value)
    if not known.any():
        return None
    value = np.where(known, sign * cells.value, -np.inf)
    # What has no interval comes after all that have one.
    width = np.nan_to_num(cells.high - cells.low, nan=np.inf)
    tied = [(int(row), int(column)) for row, column in np.argwhere(value == value.max())]
    row, column = min(tied, key=lambda at: (float(width[at]), at[0], cells.names[at[1]]))
    bound = float((cells.low if sign > 0 else cells.high)[row, column])
    within = value >= sign * bound
    within[row, column] = True
    return Region(
        Cell(
            cells.layers[row],
            cells.names[column],
            *(float(each[row, column]) for each in (cells.value, cells.low, cells.high)),
        ),
        bound=bound,
        n_cells=int(within.sum()),
        n_tied=len(tied),
        columns=_runs(cells, within, value),
    )


def _runs(
    cells: Cells, within: Bool[np.ndarray, "layer position"], value: Float[np.ndarray, "layer position"]
) -> tuple[Runs, ...]:
    found: list[int] = np.flatnonzero(within.any(0)).tolist()
    columns = sorted(found, key=lambda column: (-float(value[:, column].max()), cells.names[column]))
    return tuple(Runs(cells.names[column], layers_in_runs(cells.layers, within[:, column])) for column in columns)


def layers_in_runs(layers: Sequence[int], chosen: Bool[np.ndarray, " layer"]) -> tuple[tuple[int, int], ...]:
    """Chosen layers, as runs of such as follow each other on the map: the first and the last of each."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(int)))
    return tuple((layers[first], layers[stop - 1]) for first, stop in edges.reshape(-1, 2).tolist())
