"""Drawing: a matrix of training sets by test sets, with its values and their intervals written into it."""

from __future__ import annotations

import re

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from interp.figures.cell_colours import ink_of
from interp.figures.plot import (
    DIVERGING,
    MISSING_COLOUR,
    OUTLINE_COLOUR,
    SEQUENTIAL,
    add_colour_bar,
    normalised,
    settle,
    styled_figure,
)
from interp.results.matrix import Matrix

CELL_INCHES = (0.92, 0.46)
AROUND_INCHES = (3.0, 1.6)
"""Width and height beside those of the cells."""
POINTS = (9.0, 6.0)
"""Size of values and of their intervals."""


def matrix_figure(matrix: Matrix, *, title: str | None = None) -> Figure:
    """Draw a matrix: training sets down, test sets across; what was trained and tested on one set is framed.

    Every cell has its value and below it its interval; one without a value is grey. A title stands above.
    """
    data = matrix.data
    tests = [str(name) for name in data["test"].values]
    sides = zip(CELL_INCHES, data["value"].shape[::-1], AROUND_INCHES, strict=True)
    with styled_figure(*(side * n + around for side, n, around in sides)) as figure:
        axes = figure.add_subplot()
        notes = draw_matrix(axes, matrix)
        axes.set_xticks(axes.get_xticks(), _with_baselines(matrix, tests), rotation=30, ha="right")
        axes.set_yticks(axes.get_yticks(), _with_cells(matrix))
        settle(figure, notes, share_of_notes=0.0, title=title)
    return figure


def draw_matrix(
    axes: Axes, matrix: Matrix, *, colours: str | None = None, points: tuple[float, float] = POINTS, digits: int = 3
) -> list[str]:
    """Draw a matrix, as `matrix_figure` says, and return the notes that are to stand below it.

    Parameters
    ----------
    axes
        Where.
    matrix
        What; its own scale is used.
    colours
        A matplotlib colour map; None means `interp.figures.plot.SEQUENTIAL`, or `DIVERGING` where the scale has a
        centre.
    points
        Size of values and of their intervals.
    digits
        Of both, after the point.
    """
    data = matrix.data
    usual = SEQUENTIAL if matrix.scale.centre is None else DIVERGING
    axes.set_facecolor(MISSING_COLOUR)
    mesh = axes.pcolormesh(data["value"].values, cmap=colours or usual, norm=normalised(matrix.scale))
    add_colour_bar(axes, mesh, str(data.attrs["metric"]))
    _write_values(axes, matrix, mesh, points, digits)
    axes.set_xticks(np.arange(data.sizes["test"]) + 0.5, [str(name) for name in data["test"].values])
    axes.set_yticks(np.arange(data.sizes["train"]) + 0.5, [str(name) for name in data["train"].values])
    axes.set_xlabel("Tested on")
    axes.set_ylabel("Trained on")
    axes.set_ylim(data.sizes["train"], 0)
    axes.tick_params(length=0)
    axes.grid(False, which="both")  # That of a style would go through the cells.
    return ["framed: tested out of fold on the set that it was trained on"]


def _write_values(axes: Axes, matrix: Matrix, mesh: QuadMesh, points: tuple[float, float], digits: int) -> None:
    data = matrix.data
    for row, train in enumerate(data["train"].values):
        for column, test in enumerate(data["test"].values):
            value, low, high = (float(data[name].values[row, column]) for name in ("value", "low", "high"))
            if np.isfinite(value):
                ink = ink_of(mesh, value)
                ends = f"{_short(low, digits)} to {_short(high, digits)}" if np.isfinite(low) else "no interval"
                texts = _short(value, digits), ends
                for text, below, size in zip(texts, (0.4, 0.74), points, strict=True):
                    axes.text(column + 0.5, row + below, text, ha="center", va="center", fontsize=size, color=ink)
            if train == test:
                frame = Rectangle((column, row), 1, 1, fill=False, edgecolor=OUTLINE_COLOUR, linewidth=1.2)
                axes.add_patch(frame).set_clip_on(False)


def _short(value: float, digits: int = 3) -> str:
    """So many digits after the point, without the zero before it, and without the sign of what is rounded to 0."""
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:z.{digits}f}")


def _with_cells(matrix: Matrix) -> list[str]:
    """The training sets, each with the cell of its probe."""
    data = matrix.data
    cells = zip(data["train"].values, data["train_layer"].values, data["train_position"].values, strict=True)
    return [f"{name}\nlayer {layer}, {position}" if position else str(name) for name, layer, position in cells]


def _with_baselines(matrix: Matrix, tests: list[str]) -> list[str]:
    """The test sets, each with its best baseline if that is what the values are above of."""
    if "baseline" not in matrix.data:
        return tests
    names, aucs = matrix.data["baseline"].values, matrix.data["baseline_auc"].values
    return [
        f"{test}\n{name} {_short(float(auc))}" if name else test
        for test, name, auc in zip(tests, names, aucs, strict=True)
    ]
