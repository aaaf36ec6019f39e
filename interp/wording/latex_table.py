r"""Results as LaTeX tables: plain LaTeX with booktabs, and numbers as `interp.number_words` writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from interp.errors import InputError
from interp.number_words import listed, number, span
from interp.results.comparison import Comparison
from interp.results.heatmap import Heatmap
from interp.results.matrix import Matrix
from interp.results.result import NO_REASON, Result
from interp.wording.comparison_wording import WORDS, about
from interp.wording.latex_text import latex_text
from interp.wording.result_facts import has_intervals, subject_of
from interp.wording.subject_words import meaning_of, whose

INTERVALS = ("scripts", "brackets", "none")
MOST_LAYERS = 4
"""So many layers are chosen where none are given: the first, the last, and others as far apart as they can be."""
NO_VALUE = "--"
FINE = 0.01
"""On a scale that ends below it, values that three digits do not show are not rounded to .000."""
Rows = list[list[str]]


class _Form(NamedTuple):
    """How numbers are written."""

    intervals: str
    is_fine: bool


def latex_table(result: Result, *, layers: Sequence[int] | None = None, intervals: str = "scripts") -> str:
    """A table: a row for each position, name, training set or statistic, with the interval of each value.

    Parameters
    ----------
    result
        A heatmap, estimates, a matrix or a comparison, whose columns are the pairs of its maps.
    layers
        Those of a heatmap that become columns; None means `MOST_LAYERS` of them, or all if they are no more.
    intervals
        How they are written, one of `INTERVALS`: as sub- and superscript, in brackets after the value, or not.

    Raises
    ------
    InputError
        If the map has no such layer, or the result has no layers.
    """
    form = _Form(intervals, is_fine=max(abs(result.scale.low), abs(result.scale.high)) < FINE)
    if isinstance(result, Heatmap):
        head, rows = _of_heatmap(result, chosen_layers(result, layers), form)
    elif layers is not None:
        raise InputError(f"the table of a {result.noun} has no layers; leave out --layers")
    elif isinstance(result, Comparison):
        head, rows = _of_comparison(result, form)
    else:
        head, rows = _of_matrix(result, form) if isinstance(result, Matrix) else _of_list(result, form)
    return _environment(_caption(result, intervals), head, rows)


def _environment(caption: str, head: list[str], rows: Rows) -> str:
    first, *others = (" & ".join(cells) + r" \\" for cells in (head, *rows))
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            first,
            r"\midrule",
            *others,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def chosen_layers(heatmap: Heatmap, layers: Sequence[int] | None) -> list[int]:
    """The given layers, each once, or some as far apart as they can be; an `InputError` for one that is not there."""
    kept = heatmap.layers
    if layers is None:
        steps = min(MOST_LAYERS, len(kept))
        return sorted({kept[round(step * (len(kept) - 1) / max(steps - 1, 1))] for step in range(steps)})
    absent = [layer for layer in layers if layer not in kept]
    if absent or not layers:
        wanted = ", ".join(map(str, absent)) or "none given"
        raise InputError(f"no such layer of this map: {wanted}; it has layers {kept[0]} to {kept[-1]}")
    return list(dict.fromkeys(layers))


def latex_number(value: float, *, is_fine: bool = True) -> str:
    r"""A number as `interp.number_words.number` writes it, for math mode: ``3{,}706``, ``1.2\times 10^{-5}``."""
    if math.isinf(value):
        return r"-\infty" if value < 0 else r"\infty"
    text = number(value, is_fine=is_fine).replace(",", "{,}")
    return re.sub(r"e(-?)\+?0*(\d+)$", r"\\times 10^{\1\2}", text)


def _cell(interval: Sequence[float], form: _Form) -> str:
    """A value, followed by the ends of its interval."""
    value, low, high = interval
    if math.isnan(value):
        return NO_VALUE
    said, *ends = (latex_number(each, is_fine=form.is_fine) for each in (value, low, high))
    if form.intervals == "none" or math.isnan(low) or math.isnan(high):
        return f"${said}$"
    if form.intervals == "scripts":
        return f"${said}_{{{ends[0]}}}^{{{ends[1]}}}$"
    return f"${said}$ $[{ends[0]}, {ends[1]}]$"


def _n_cell(result: Result, n: int) -> str:
    """A number of examples; of a result that has none anywhere, such as a published map, it is not known."""
    return f"${n}$" if result.data["n"].values.any() else NO_VALUE


def _of_heatmap(heatmap: Heatmap, layers: list[int], form: _Form) -> tuple[list[str], Rows]:
    data = heatmap.data.sel(layer=layers)
    rows = []
    for column in range(data.sizes["position"]):
        of_column = data.isel(position=column)
        ends = zip(*(of_column[each].values.tolist() for each in ("value", "low", "high")), strict=True)
        n = _n_cell(heatmap, int(heatmap.data["n"].values[:, column].max()))
        rows.append([latex_text(str(of_column["position"].item())), n, *(_cell(each, form) for each in ends)])
    return ["", "$n$", *(f"layer {layer}" for layer in layers)], rows


def _of_list(result: Result, form: _Form) -> tuple[list[str], Rows]:
    columns = [result.data[name].values.tolist() for name in (*result.axes, "value", "low", "high", "n")]
    rows = [
        [latex_text(str(name)), _n_cell(result, int(n)), _cell((value, low, high), form)]
        for name, value, low, high, n in zip(*columns, strict=True)
    ]
    return ["", "$n$", "value"], rows


def _of_matrix(matrix: Matrix, form: _Form) -> tuple[list[str], Rows]:
    value, low, high = (matrix.data[name].values.tolist() for name in ("value", "low", "high"))
    rows = [
        [latex_text(str(train)), *(_cell(ends, form) for ends in zip(*each, strict=True))]
        for train, *each in zip(matrix.data["train"].values, value, low, high, strict=True)
    ]
    return [r"trained on $\backslash$ tested on", *(latex_text(str(name)) for name in matrix.data["test"].values)], rows


def _of_comparison(comparison: Comparison, form: _Form) -> tuple[list[str], Rows]:
    """Every statistic that a pair has, then the test against moved maps and the number of cells."""
    pairs = range(len(comparison.pairs))
    rows = []
    for name in comparison.data["statistic"].values.tolist():
        of_pairs = [comparison.statistic(pair, name) for pair in pairs]
        if any(math.isfinite(each.value) for each in of_pairs):
            rows.append([latex_text(WORDS[name]), *(_cell(each, form) for each in of_pairs)])
    for words, variable in (("p against moved maps", "p"), ("cells", "n_cells")):
        numbers = comparison.data[variable].values.astype(np.float64).tolist()
        rows.append([words, *(f"${latex_number(each)}$" for each in numbers)])
    names = comparison.names
    return ["", *(latex_text(f"{names[a]}, {names[b]}") for a, b in comparison.pairs)], rows


def _caption(result: Result, intervals: str) -> str:
    """What it is of, what its values mean, n, and how intervals and missing values are written."""
    if isinstance(result, Comparison):
        known = np.isfinite(result.data["low_of"].values).any()
        said = [about(result), *([_ends_in_words(intervals)] if known and intervals != "none" else [])]
        return latex_text("; ".join(said) + ".")
    subject, meaning = subject_of(result), meaning_of(str(result.data.attrs["metric"]))
    of_what = listed([subject.metric, whose(subject), f"at {subject.site}" if subject.site else ""])
    n, known = result.data["n"].values, np.isfinite(result.data["value"].values)
    n = n[known] if known.any() else n
    said = [of_what, meaning, subject.variant]
    said += [f"n = {span(int(n.min()), int(n.max()))}" if n.any() else "n is not known"]
    if has_intervals(result) and intervals != "none":
        said.append(_ends_in_words(intervals))
    if result.missing:
        reasons = [reason for reason in result.missing if reason != NO_REASON]
        said.append("–: no value" + (f" ({', '.join(reasons)})" if reasons else ""))
    return latex_text("; ".join(filter(None, said)) + ".")


def _ends_in_words(intervals: str) -> str:
    return f"{'sub- and superscripts' if intervals == 'scripts' else 'in brackets'}: 95 % intervals"
