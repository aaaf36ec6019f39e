"""A comparison as a table for every pair of maps, and what of each column comes when."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from analyses.parts.runs import value_in_words

if TYPE_CHECKING:
    from interp.results.comparison import Comparison

MOST_DISAGREEING = 5


def in_words(comparison: Comparison) -> str:
    """The comparison as a table for every pair, and what of each column comes when."""
    lines = list(json.loads(comparison.data.attrs["differences"]))
    if comparison.data.attrs["by_depth"]:
        lines.append(str(comparison.data.attrs["by_depth"]))
    for pair in range(len(comparison.pairs)):
        lines += ["", *pair_in_words(comparison, pair)]
    return "\n".join([*lines, "", *columns_in_words(comparison)])


def pair_in_words(comparison: Comparison, pair: int) -> list[str]:
    """How far two maps agree, and where they do not."""
    from interp.wording.comparison_wording import WORDS

    data = comparison.data.isel(pair=pair)
    first, second = (comparison.names[number] for number in comparison.pairs[pair])
    lines = [f"{first} and {second}: {int(data['n_cells'])} cells"]
    for name in data["statistic"].values.tolist():
        interval = comparison.statistic(pair, name)
        if math.isfinite(interval.value):
            lines.append(f"  {WORDS[name]:28}{value_in_words(*interval)}{remark(comparison, pair, name)}")
    lines += ["  Spearman of each column", *(f"    {line}" for line in of_each_column(comparison, pair))]
    p, reach = float(data["p"]), float(data["reach"])
    lines.append(f"  {'against moved maps':28}p = {p:.2g}; 95 % of theirs within {reach:.3f} of 0")
    for text, sign in ((f"higher in {first}", 1), (f"higher in {second}", -1)):
        cells = most_disagreeing(comparison, pair, sign)
        lines.append(f"  {text}: " + ("; ".join(cells) or "no cell"))
    return lines


def of_each_column(comparison: Comparison, pair: int) -> list[str]:
    """The rank correlation across the layers of every column that has one."""
    of_pair = comparison.data.isel(pair=pair)
    lines = []
    for name in comparison.positions:
        column = of_pair.sel(position=name)
        value, low, high = (float(column[f"column_{each}"]) for each in ("spearman", "low", "high"))
        if math.isfinite(value):
            lines.append(f"{name:26}{value_in_words(value, low, high)}")
    return lines


def remark(comparison: Comparison, pair: int, statistic: str) -> str:
    """What a statistic is to be held against, or which cells it is about."""
    if statistic == "top_shared":
        data = comparison.data.isel(pair=pair)
        return f"  (of the top {int(data['n_top'])}; {int(data['n_top']) / int(data['n_cells']):.3f} by chance)"
    if statistic == "mean_difference" and _is_logarithmic(comparison, pair):
        factor = math.exp(comparison.statistic(pair, statistic).value)
        return f"  (of natural logarithms: apart by a factor of {factor:.3g})"
    return ""


def _is_logarithmic(comparison: Comparison, pair: int) -> bool:
    """Whether the maps of a pair are compared by their logarithms."""
    appearances = json.loads(comparison.data.attrs["appearances"])
    return any("log" in appearances[number]["scale"] for number in comparison.pairs[pair])


def most_disagreeing(comparison: Comparison, pair: int, sign: int) -> list[str]:
    """The cells where one map's rank is most above the other's, if the interval of that does not hold 0."""
    import numpy as np

    data = comparison.data.isel(pair=pair)
    value = sign * data["value"].values
    nearest = np.where(sign > 0, data["low"].values, -data["high"].values)
    sure = (value > 0) & ((nearest > 0) | np.isnan(nearest))
    order = np.argsort(np.where(sure, -value, np.inf), axis=None)[: min(MOST_DISAGREEING, int(sure.sum()))]
    cells = [np.unravel_index(index, value.shape) for index in order]
    return [
        f"layer {comparison.layers[row]} {comparison.positions[column]} {sign * value[row, column]:+.2f}"
        for row, column in cells
    ]


def columns_in_words(comparison: Comparison) -> list[str]:
    """For each column the layer of every map's peak, and its centre of mass."""
    lines = ["layer of the peak, and the centre of mass over the layers [95 % interval], of each column"]
    width = max(32, *(len(name) + 2 for name in comparison.names))
    lines.append(f"{'':26}" + "".join(f"{name:>{width}}" for name in comparison.names))
    for name in comparison.positions:
        column = comparison.data.sel(position=name)
        cells = []
        for place in range(len(comparison.names)):
            of_map = column.isel(map=place)
            centre = value_in_words(*(float(of_map[each]) for each in ("centre", "centre_low", "centre_high")))
            has_centre = math.isfinite(float(of_map["centre"]))
            peak = f"{float(of_map['peak']):.0f}" + (f", {centre}" if has_centre else "")
            cells.append("–" if math.isnan(float(of_map["peak"])) else peak)
        lines.append(f"{name:26}" + "".join(f"{cell:>{width}}" for cell in cells))
    return lines
