"""Drawing: a matrix of training sets by test sets, with its values and their intervals written into it."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from interp.matrix import Matrix
from interp.plot import DIVERGING, MISSING_COLOUR, OUTLINE_COLOUR, SEQUENTIAL, STYLE, add_colour_bar, normalised, settle

CELL_INCHES = (0.92, 0.46)
AROUND_INCHES = (3.0, 1.6)
"""Width and height beside those of the cells."""
DARK = 0.6
"""From this share of a sequential scale on, and as far from the middle of a diverging one, text is white."""


def matrix_figure(matrix: Matrix) -> Figure:
    """Draw a matrix: training sets down, test sets across; what was trained and tested on one set is framed.

    Every cell has its value and below it its interval; one without a value is grey.
    """
    data = matrix.data
    tests = [str(name) for name in data["test"].values]
    with matplotlib.rc_context(STYLE):
        size = [
            side * n + around
            for side, n, around in zip(CELL_INCHES, data["value"].shape[::-1], AROUND_INCHES, strict=True)
        ]
        figure = Figure(figsize=(size[0], size[1]), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_facecolor(MISSING_COLOUR)
        colours = SEQUENTIAL if matrix.scale.centre is None else DIVERGING
        mesh = axes.pcolormesh(data["value"].values, cmap=colours, norm=normalised(matrix.scale))
        add_colour_bar(axes, mesh, str(data.attrs["metric"]))
        _write_values(axes, matrix)
        axes.set_xticks(np.arange(len(tests)) + 0.5, _with_baselines(matrix, tests), rotation=30, ha="right")
        axes.set_yticks(np.arange(len(data["train"])) + 0.5, _with_cells(matrix))
        axes.set_xlabel("Tested on")
        axes.set_ylabel("Trained on")
        axes.set_ylim(len(data["train"]), 0)
        axes.tick_params(length=0)
        settle(figure, ["framed: tested out of fold on the set that it was trained on"], share_of_notes=0.0)
    return figure


def _write_values(axes: Axes, matrix: Matrix) -> None:
    data = matrix.data
    for row, train in enumerate(data["train"].values):
        for column, test in enumerate(data["test"].values):
            value, low, high = (float(data[name].values[row, column]) for name in ("value", "low", "high"))
            if np.isfinite(value):
                colour = "white" if _is_dark(matrix, value) else "black"
                axes.text(column + 0.5, row + 0.4, _short(value), ha="center", va="center", fontsize=9, color=colour)
                interval = f"{_short(low)} to {_short(high)}"
                axes.text(column + 0.5, row + 0.74, interval, ha="center", va="center", fontsize=6, color=colour)
            if train == test:
                frame = Rectangle((column, row), 1, 1, fill=False, edgecolor=OUTLINE_COLOUR, linewidth=1.2)
                axes.add_patch(frame).set_clip_on(False)


def _is_dark(matrix: Matrix, value: float) -> bool:
    scale = matrix.scale
    if scale.centre is None:
        return (value - scale.low) / (scale.high - scale.low) > DARK
    return abs(value - scale.centre) / (scale.high - scale.centre) > DARK


def _short(value: float) -> str:
    """Three digits, without the zero before the point."""
    return f"{value:.3f}".replace("0.", ".", 1)


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
