"""What the panels of a paper figure show: results that have a form as a panel, and of a comparison one pair."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from interp.errors import InputError, unknown_name
from interp.figures.figure_list import CENTRED_PALETTES, Panel, PaperFigure
from interp.results.comparison import Comparison
from interp.results.estimates import Estimates
from interp.results.heatmap import DRAWN_AS, LINES, Heatmap
from interp.results.matrix import Matrix
from interp.results.prompt_map import PromptMap
from interp.results.result import Result

Shown = Heatmap | Estimates | Matrix


def shown_in_panels(planned: PaperFigure, results: Mapping[Path, Result]) -> dict[Panel, Shown]:
    """What each panel of a figure shows: its result, or of a comparison how a pair of maps differs in rank.

    Raises
    ------
    InputError
        If a result has no form as a panel, or a key of the list does not fit it.
    """
    shown = {panel: _shown(panel, results[panel.result]) for row in planned.panels for panel in row}
    for panel, result in shown.items():
        is_centred = result.scale.centre is not None
        for key in ("palette", "bar"):
            if getattr(panel, key) is not None and not has_colours(result):
                raise InputError(f"{key!r} is of colours, and {panel.result} is drawn without any; leave it out")
        if panel.palette is not None and (panel.palette in CENTRED_PALETTES) != is_centred:
            raise InputError(
                f"'palette' {panel.palette!r} is for scales {'without' if is_centred else 'with'} a centre, "
                f"and that of {panel.result} has {'one' if is_centred else 'none'}"
            )
    centred = {result.scale.centre is not None for result in shown.values() if has_colours(result)}
    for key, of_centred in (("palette", False), ("centred_palette", True)):
        if getattr(planned, key) is not None and of_centred not in centred:
            raise InputError(f"{key!r} is for scales {'with' if of_centred else 'without'} a centre; no panel has one")
    columns = {name for result in shown.values() for name in _names(result)}
    for name in planned.column_names:
        if name not in columns:
            raise InputError(f"'column_names': {unknown_name('column', name, columns)}")
    return shown


def _shown(panel: Panel, result: Result) -> Shown:
    if isinstance(result, Comparison):
        return result.difference(_pair(panel, result))
    if panel.pair is not None:
        raise InputError(f"'pair' is for comparisons, and {panel.result} is a {result.noun}; leave it out")
    if isinstance(result, PromptMap) or not isinstance(result, Shown):
        raise InputError(f"{panel.result} is a {result.noun} that cannot be a panel; it is drawn by itself")
    return result


def _pair(panel: Panel, comparison: Comparison) -> int:
    """The number of the pair that is shown."""
    pairs = [str(name) for name in comparison.data["pair"].values]
    if panel.pair is None and len(pairs) > 1:
        raise InputError(f"{panel.result} compares several pairs of maps; give its panel a 'pair': {', '.join(pairs)}")
    if panel.pair is not None and panel.pair not in pairs:
        raise InputError(f"{panel.result}: {unknown_name('pair', panel.pair, pairs)}")
    return 0 if panel.pair is None else pairs.index(panel.pair)


def is_lines(result: Shown) -> bool:
    """Whether it is drawn as lines over the layers."""
    return isinstance(result, Heatmap) and result.data.attrs.get(DRAWN_AS) == LINES


def has_colours(result: Shown) -> bool:
    """Whether its values are told by colours."""
    return not isinstance(result, Estimates) and not is_lines(result)


def _names(result: Shown) -> list[str]:
    """What is written at its columns, at its lines or estimates, and of a matrix also at its rows."""
    axes = result.axes if isinstance(result, Matrix) else result.axes[-1:]
    return [str(name) for axis in axes for name in result.data[axis].values]
