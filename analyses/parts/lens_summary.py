"""What interp lens prints: tables of values, from which layer on answers are on top, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from analyses.parts.lens_missing import left_out
from analyses.parts.runs import table_of_values

if TYPE_CHECKING:
    from interp.lenses.settling import Settling
    from interp.results.heatmap import Heatmap


SETTLED = "answer-settled"
"""The quantity that is not of one layer alone."""
SIDES = {"correct": "right answers", "wrong": "wrong answers"}


def in_words(maps: Mapping[str, Heatmap], folder: Path, *, draws: int, seed: int) -> str:
    """All that is printed of maps by their names; what every answer gives is in the folder."""
    from interp.results.example_values import FILE

    parts = [table_of_values(heatmap) for heatmap in maps.values() if heatmap.data.attrs["subset"] == "all"]
    settled = [heatmap.data.attrs for heatmap in maps.values() if heatmap.data.attrs["quantity"] == SETTLED]
    # One file for all subsets; a difference has none.
    files = {str(attributes[FILE]) for attributes in settled if FILE in attributes}
    parts += [settling_in_words(folder / file, draws, seed) for file in files]
    return "".join(f"\n{part}\n" for part in [*parts, *left_out(maps)]).rstrip("\n")


def settling_in_words(path: Path, draws: int, seed: int) -> str:
    """From which layer on the answer is the top token at each position; of the file of what every answer gives."""
    from interp.lenses.settling import settling
    from interp.results.example_values import ExampleValues

    found = {side: settling(ExampleValues.load(path, side), draws=draws, seed=seed) for side in SIDES}
    lines = [
        "layer from which on the answer is the top token: median of the answers where it comes to be [95 % interval], "
        "and the share where it never does",
        f"{'':26}" + "".join(f"{words:>40}" for words in SIDES.values()),
        f"{'':26}" + f"{'n':>8}{'layer':>22}{'never':>10}" * len(SIDES),
    ]
    for name in found["correct"]:
        columns = [found[side][name] for side in SIDES]
        told = [f"{each.n:>8}{layer_in_words(each):>22}{never_in_words(each):>10}" for each in columns]
        lines.append(f"{name:26}" + "".join(told))
    return "\n".join(lines)


def layer_in_words(found: Settling) -> str:
    """The median layer with its interval, if there is one."""
    return "–" if math.isnan(found.layer) else f"{found.layer:g} [{found.low:g}, {found.high:g}]"


def never_in_words(found: Settling) -> str:
    """The share of answers that never settle."""
    return "–" if math.isnan(found.never) else f"{100 * found.never:.1f} %"
