"""What a probe map, and the maps beside it, say in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from analyses.parts.runs import cell_in_words, table_of_values, value_in_words

if TYPE_CHECKING:
    import xarray as xr

    from interp.results.heatmap import Heatmap


METRICS = {
    "average_precision": "average precision",
    "accuracy": "accuracy",
    "f1": "F1",
    "calibration_error": "expected calibration error",
}
"""Those of `interp.probes.metrics`, in words."""


def in_words(heatmap: Heatmap) -> str:
    """The values at four depths, and of a probe map the counts, the best cell, and how many cells are above chance."""
    if "control_auc" in heatmap.data:
        return "\n".join(["", *_selectivity_in_words(heatmap), "", table_of_values(heatmap)])
    if "control" in heatmap.data:
        return "\n".join(["", *_controls_in_words(heatmap), "", table_of_values(heatmap)])
    counts = json.loads(heatmap.data.attrs["counts"])
    lines = [*(f"{count:6d}  {label}" for label, count in counts.items()), "", table_of_values(heatmap), ""]
    lines += [*_missing_in_words(heatmap), *_classes_in_words(heatmap), *_best_in_words(heatmap)]
    lines += [*_metrics_in_words(heatmap), *_intervals_in_words(heatmap)]
    return "\n".join([*lines, *_marks_in_words(heatmap)])


def _controls_in_words(heatmap: Heatmap) -> list[str]:
    data = heatmap.data
    which = data["which"].values
    lines = [
        "AUC of the controls [95 % interval]; *: the strongest there, which the map is beyond",
        " " * 26 + "".join(f"{name:>22} " for name in which).rstrip(),
    ]
    for position in heatmap.positions:
        row = data.sel(position=position)
        cells = zip(row["control"].values, row["control_low"].values, row["control_high"].values, strict=True)
        told = [value_in_words(*map(float, cell)) for cell in cells]
        marks = ["*" if name == row["strongest"].item() else " " for name in which]
        of_controls = "".join(f"{value:>22}{mark}" for value, mark in zip(told, marks, strict=True))
        lines.append(f"{position:26}{of_controls}".rstrip())
    return lines


def _selectivity_in_words(heatmap: Heatmap) -> list[str]:
    data = heatmap.data
    n_tasks = len(json.loads(data.attrs["shares_positive_of_tasks"]))
    lines = [f"{data.attrs['n_types']} names that answers give, each with a random label in {n_tasks} control tasks"]
    of = int(data["value"].notnull().sum())
    if of:
        shares, aucs = data["type_trained"], data["control_auc"]
        above, below = int((data["low"] > 0).sum()), int((data["high"] < 0).sum())
        least, most = (f"{100 * float(end):.0f} %" for end in (shares.min(), shares.max()))
        lines += [
            f"{least if least == most else f'{least} to {most}'} of a cell's answers give a name that their probe was "
            "trained on",
            f"AUC on the control tasks: {float(aucs.min()):.3f} to {float(aucs.max()):.3f}; the probe's own "
            f"is above it in {above} of {of} cells and below it in {below}, by intervals that are each for one cell "
            "and not corrected for their number",
        ]
    return lines


def _classes_in_words(heatmap: Heatmap) -> list[str]:
    """The columns that some class has too few answers in."""
    if "n_classes" not in heatmap.data:
        return []
    n_classes, of = heatmap.data["n_classes"].max("layer"), heatmap.data.sizes["class"]
    return [
        f"{name}: of {int(n)} of {of} classes, the others have too few answers there"
        for name, n in zip(heatmap.positions, n_classes.values, strict=True)
        if 0 < n < of
    ]


def _missing_in_words(heatmap: Heatmap) -> list[str]:
    """Why no cell has a value, if none has."""
    from interp.questions.answer_columns import MIN_PER_CLASS

    if not bool(heatmap.data["value"].isnull().all()):
        return []
    told = ", ".join(f"{why} ({n} cells)" for why, n in heatmap.missing.items())
    return [f"no cell has a value: {told}; a cell needs {MIN_PER_CLASS} of either class (ask more questions: --n)"]


def _best_cell(heatmap: Heatmap) -> xr.Dataset | None:
    """The cell with the highest value, the first of them by layer; None if none has a value."""
    from interp.comparisons.map_agreement import peak

    value = heatmap.data["value"]
    if bool(value.isnull().all()):
        return None
    layer, position = peak(value.values)
    return heatmap.data.isel(layer=layer, position=position)


def _best_in_words(heatmap: Heatmap) -> list[str]:
    best = _best_cell(heatmap)
    if best is None:
        return []
    where = f"layer {int(best.layer)}, {best.position.item()}"
    lines = [f"best cell: {where}: {cell_in_words(best)}, chosen on the answers that it is scored on"]
    if "best_nested" in heatmap.data.attrs:
        nested = json.loads(heatmap.data.attrs["best_nested"])
        chosen = ", ".join(sorted({f"layer {layer} {position}" for layer, position in nested["cells"]}))
        lines.append(f"chosen without them: {value_in_words(*nested['auc'])} ({chosen})")
    return lines


def _metrics_in_words(heatmap: Heatmap) -> list[str]:
    """What else than its AUC says how good the best cell is, and what a probe that knows nothing would have of it."""
    best = _best_cell(heatmap)
    if best is None or "average_precision" not in best:
        return []
    named = [(name, float(best[name])) for name in METRICS if name in best and bool(best[name].notnull())]
    told = ", ".join(f"{METRICS[name]} {value:.3f}" for name, value in named)
    called = next(name for name in ("wrong", "positive") if f"n_{name}" in best)
    share = float(best[f"n_{called}"] / best["n"])
    return [f"other metrics of the best cell, where {share:.3f} of the answers are {called}: {told}"]


def _intervals_in_words(heatmap: Heatmap) -> list[str]:
    if "variance_factor" not in heatmap.data or bool(heatmap.data["value"].isnull().all()):
        return []
    factor = heatmap.data["variance_factor"]
    ends = f"{float(factor.min()):.2f} to {float(factor.max()):.2f}"
    return [f"intervals: for the refits, {ends} times the variance of the scores as given"]


def _marks_in_words(heatmap: Heatmap) -> list[str]:
    if (kind := heatmap.data.attrs.get("label_kind", "binary")) != "binary":
        what = "a number has" if kind == "number" else "several classes have"
        shuffled = f"--labels shuffled:{heatmap.data.attrs['labels']} shows what chance gives"
        return [f"{what} no cells marked above chance, no controls and no best cell chosen apart; {shuffled}"]
    if "marked" not in heatmap.data:
        return []
    marked, threshold = heatmap.data["marked"], heatmap.data["threshold"]
    ends = f"{float(threshold.min()):.3f} to {float(threshold.max()):.3f}"
    spread = f"refits to permuted labels spread {heatmap.data.attrs['refits_spread']:.2f} times as wide"
    of = int(heatmap.data["value"].notnull().sum())
    return [f"{int(marked.sum())} of {of} cells {heatmap.data.attrs['mark']}: AUC above {ends}; {spread}"]
