"""What interp patch prints of a map: values at some depths, and where the effect is largest and in which layers.

At the token that is read, the stream after the last block decides all that is read: a patch there gives the donor's run
whatever the model, and is no peak.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from analyses.parts import patching
from analyses.parts.capturing import DEFAULT_SITE
from analyses.parts.runs import cell_in_words, table_of_values

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from interp.patching.patched_pairs import PatchedPairs
    from interp.results.heatmap import Heatmap

READ_AT = ("exact_answer_before_first", "exact_answer:before")
"""The token at which answers are read."""


def in_words(config: patching.Config, heatmap: Heatmap, n_layers: int, patched: Callable[[], PatchedPairs]) -> str:
    """The values at some depths, and where the effect is largest and in which layers.

    Parameters
    ----------
    config
        Of the map.
    heatmap
        The map.
    n_layers
        Of the model.
    patched
        What every patch gives, where it has to be looked up.
    """
    import numpy as np

    from interp.patching.patch_map import MIN_PAIRS

    data = heatmap.data
    given = given_cells(config, heatmap, n_layers) & np.isfinite(data["value"].values)
    away = np.where(given, np.nan, abs(data["value"].values - float(data.attrs["unpatched"])))
    peaks = peaks_without(config, heatmap, given, patched()) if given.any() else data["peak"].values
    lines = [
        table_of_values(heatmap),
        "",
        "largest mean effect of each position, and the layers where single pairs have theirs:",
    ]
    for column, name in enumerate(heatmap.positions):
        if np.isfinite(away[:, column]).any():
            row = int(np.nanargmax(away[:, column]))
            cell = data.isel(layer=row, position=column)
            told = peaks_in_words(heatmap.layers, peaks[:, column])
            lines.append(f"{name:26}{cell_in_words(cell):>24} at layer {heatmap.layers[row]}, {told}")
    if given.any():
        names = ", ".join(str(name) for name in data["position"].values[given.any(0)])
        first = heatmap.layers[int(given.any(1).argmax())]
        lines.append(f"(without {names} from layer {first} on, where a patch gives the donor's run whatever the model)")
    counts = json.loads(data.attrs["counts"])
    dropped = {why: n for why, n in counts.items() if why.startswith("pairs dropped")}
    enough = ""
    if counts["pairs"] < MIN_PAIRS:
        asked_for_few = counts["pairs"] == config.pairs
        remedy = "give more --pairs" if asked_for_few else "ask more questions, --n, or let more pairs enter, --margin"
        enough = f"; a cell needs {MIN_PAIRS} to have a value ({remedy})"
    return "\n".join([*lines, "", f"{counts['pairs']} pairs{enough}", *(f"{why}: {n}" for why, n in dropped.items())])


def given_cells(config: patching.Config, heatmap: Heatmap, n_layers: int) -> np.ndarray:
    """The cells whose patch is of all that is read: the stream after the last block where that is at one token.

    Of a window that ends there, the cells of other tokens begin before the last attention, and may cause something.
    """
    import numpy as np

    is_of_all = config.site == DEFAULT_SITE and config.readout != "whole"
    if not is_of_all or config.corruption in ("zero", "mean"):
        return np.zeros(heatmap.data["value"].shape, dtype=bool)
    rows = np.array([layer + (config.window - 1) // 2 >= n_layers - 1 for layer in heatmap.layers])
    by_column = heatmap.data["value"].values.T
    read = [column for name, column in zip(heatmap.positions, by_column, strict=True) if name in READ_AT]
    # A column of another name may be of the same tokens: last_q, where models answer at once.
    columns = np.array(
        [
            config.window == 1 or any(np.array_equal(each, column, equal_nan=True) for each in read)
            for column in by_column
        ]
    )
    return rows[:, None] & columns


def peaks_without(config: patching.Config, heatmap: Heatmap, given: np.ndarray, patched: PatchedPairs) -> np.ndarray:
    """In which share of the pairs the largest effect in a column is at each layer, but for the cells that are given."""
    import numpy as np

    from interp.patching.patch_map import peak_shares

    effects = patching.effects(config, patched)
    left_out = given | np.isnan(heatmap.data["value"].values)
    return peak_shares(np.where(left_out, np.nan, effects.values - effects.unpatched))


def peaks_in_words(layers: list[int], peak: np.ndarray) -> str:
    """In which layers the middle half of the pairs have their largest effect, from the share of them at each layer."""
    import numpy as np

    shares = np.nancumsum(peak)
    if not shares[-1] > 0:
        return "no pair has any effect"
    quartiles = [layers[int(np.searchsorted(shares, share - 1e-9))] for share in (0.25, 0.5, 0.75)]
    return f"pairs: {quartiles[1]} ({quartiles[0]} to {quartiles[2]})"
