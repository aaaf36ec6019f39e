"""What a heatmap shows, in sentences. Every word that judges stands for numbers, and is followed by them.

======================  ==============================================================================================
word                    said of
======================  ==============================================================================================
strongest, weakest      of at least two columns, the one with the highest and the lowest mean over layers (the lowest
                        and the highest where low values are strong; where the scale has a centre, the farthest from
                        it and the nearest to it); see `interp.wording.result_facts.strength_of` and
                        `interp.wording.heatmap_description.Means`
highest, lowest         the cell with the largest and the smallest value
within its interval     of that cell's 95 % interval (without intervals: within `interp.wording.result_facts.MARGIN`
                        of the range of all values); a column's cells are told as runs of layers
rises, falls, peaks,    a column, by Spearman's rank correlation with the layer and by its intervals; the definitions
dips, is flat           are in `interp.statistics.depth_trends`
explain                 shares of the variance over cells, by least squares (`interp.statistics.two_way`)
above, below, contain   a 95 % interval, of the value that means nothing (`interp.wording.result_facts.reference_of`)
marked                  what the map itself marks
often                   in at least `interp.wording.heatmap_description.OFTEN` of the examples
======================  ==============================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from interp.number_words import (
    capitalised,
    correlation,
    counted,
    interval,
    listed,
    number,
    of_all,
    percent,
    rounded,
    span,
    with_interval,
)
from interp.results.heatmap import LINES
from interp.statistics.depth_trends import Trend
from interp.statistics.extremes import Cell, Region
from interp.wording.heatmap_description import Column, Control, Description
from interp.wording.result_facts import MARGIN, Strength
from interp.wording.subject_words import against_words, meaning_of, whose

DEFAULT_SITE, STRICT = "resid_post", "strict"
"""A map of another site, or of another policy of positions, says so."""
LENGTHS = ("short", "long")
MOST_COLUMNS = 6
"""Of a region so many columns are named."""
TRENDS = {
    Trend.RISES: "rises in",
    Trend.FALLS: "falls in",
    Trend.PEAKS: "peaks in",
    Trend.DIPS: "dips in",
    Trend.FLAT: "is flat within its intervals in",
    Trend.NEITHER: "has no one direction in",
}
STRENGTHS = {
    Strength.HIGH: "highest {mean} over layers",
    Strength.LOW: "lowest {mean} over layers",
    Strength.AWAY: "{mean} over layers farthest from {centre}",
}
UNNAMED = "of a model that is not named"
UNTESTED = {False: "intervals", True: "a value that means nothing"}
"""What a map lacks without intervals, and with them."""


def sentences(description: Description, length: str = "long") -> tuple[str, ...]:
    """Sentences that say what a heatmap shows.

    Parameters
    ----------
    description
        As `interp.wording.heatmap_description.description_of` gives it.
    length
        One of `LENGTHS`: ``"short"`` is at most two sentences, for an alt text; ``"long"`` is one entry for each thing
        that is said.
    """
    told = _short(description) if length == "short" else _long(description)
    return tuple(f"{capitalised(each)}." for each in told)


def _short(it: Description) -> Iterator[str]:
    said = [f"{counted(len(it.layers), 'layer')}, {counted(len(it.columns), 'column')}", _n(it)]
    said += [f"at {it.subject.site}"] if it.subject.site not in ("", DEFAULT_SITE) else []
    said += [f"positions by the {it.subject.policy} policy"] if it.subject.policy not in ("", STRICT) else []
    said += [it.subject.variant] if it.subject.variant else []
    yield f"{_form(it)}: {listed([it.subject.metric, whose(it.subject)])} ({'; '.join(said)})"
    if it.highest is None or it.lowest is None:
        yield _no_value(it)
        return
    if it.highest.cell.value == it.lowest.cell.value:
        yield f"every value is {number(it.highest.cell.value)}"
        return
    low, high = (f"{number(cell.value)} at {_place(cell)}" for cell in (it.lowest.cell, it.highest.cell))
    meaning = meaning_of(it.subject.metric)
    parts = [f"values go from {low}, to {high}" + (f" ({meaning})" if meaning else "")]
    parts += [_columns(it) + _over(it)] if it.means else []
    parts += [_marked(it)] if it.marked else [against_words(it.against)] if it.against else []
    parts += [_no_value(it)] if it.missing else []
    yield "; ".join(parts)


def _long(it: Description) -> Iterator[str]:
    yield from _about(it)
    if it.highest is None or it.lowest is None:
        yield _no_value(it)
        yield from _notes(it)
        return
    if it.highest.cell.value == it.lowest.cell.value:
        yield f"every value is {number(it.highest.cell.value)}"
    else:
        if it.means:
            yield _columns(it) + _over(it)
        yield _region(it, it.highest, "highest", "at or above")
        yield _region(it, it.lowest, "lowest", "at or below")
        yield from _trends(it)
        yield from _banding(it)
    if it.marked:
        yield _marked(it) + _where_marked(it)
    elif it.against:
        yield against_words(it.against) + "; each is for its cell alone, not corrected for how many there are"
    else:
        yield f"nothing on it is tested: it has neither marks nor {UNTESTED[it.has_intervals]}"
    if it.controls:
        yield f"alone, the controls have an AUC of {'; '.join(map(_control, it.controls))}"
    yield _no_value(it)
    yield _outside(it)
    yield from _notes(it)


def _about(it: Description) -> Iterator[str]:
    meaning = meaning_of(it.subject.metric)
    said = [it.subject.kind] + ([f"{it.subject.lens} lens"] if it.subject.lens else []) + ([meaning] if meaning else [])
    yield f"{_form(it)}: {it.subject.metric} ({'; '.join(said)}; {_colours(it)})"
    place = f", at {it.subject.site}" if it.subject.site else ""
    layers = f"{counted(len(it.layers), 'layer')} ({span(it.layers[0], it.layers[-1])})"
    columns = counted(len(it.columns), "column")
    names = listed([column.name for column in it.columns], most=20, noun="column")
    yield f"it is {whose(it.subject) or UNNAMED}{place}: {layers}, {columns} ({names}); {_n(it)}"


def _form(it: Description) -> str:
    if it.subject.drawn_as == LINES:
        return "lines over layers"
    return f"heatmap of layers by {(it.subject.columns or 'token').lower()}s"


def _colours(it: Description) -> str:
    return f"scale {' to '.join(map(rounded, it.scale))}{', logarithmic' if it.is_log else ''}"


def _n(it: Description) -> str:
    """The numbers of examples per column, from the least to the most."""
    least, most = (choose(it.columns, key=lambda column: (column.n, column.name)) for choose in (min, max))
    if most.n == 0:
        return "n is not known"
    if least.n == most.n:
        said = f"n = {most.n:,} in every column"
    else:
        said = f"n per column from {least.n:,} ({least.name}) to {most.n:,} ({most.name})"
    wrong = [column.n_wrong for column in it.columns if column.n_wrong is not None]
    said += f", {span(min(wrong), max(wrong))} of them wrong" if wrong else ""
    dropped = [f"{reason} ({n:,})" for reason, n in it.dropped.items()]
    return said + (f", the most that a column lacks: {listed(dropped)}" if dropped else "")


def _columns(it: Description) -> str:
    """The strongest and the weakest column, with their means."""
    if it.means is None:
        return ""
    means = {column.name: number(column.mean) for column in it.columns}
    mean = "geometric mean" if it.is_log else "mean"
    how = STRENGTHS[it.strength].format(mean=mean, centre=rounded(it.centre or 0.0))
    strongest, weakest = it.means.strongest, it.means.weakest
    if strongest == weakest:
        return f"no column is stronger than another ({how}: {means[strongest]} in {strongest})"
    return f"strongest column ({how}): {strongest}, {means[strongest]}; weakest: {weakest}, {means[weakest]}"


def _over(it: Description) -> str:
    """Over which layers the means of columns are, if not over all."""
    if it.means is None or it.means.layers == it.layers:
        return ""
    if it.means.layers is None:
        return "; each mean is over the layers in which its column has a value, which are not the same"
    kept = counted(len(it.means.layers), "layer")
    return f" (means over the {kept} in which all of these columns have a value)"


def _place(cell: Cell) -> str:
    return f"{cell.column}, layer {cell.layer}"


def _region(it: Description, region: Region, extreme: str, bound: str) -> str:
    """An extreme cell, and the cells that are within its interval."""
    value, low, high = region.cell.value, region.cell.low, region.cell.high
    ends = f" (95 % interval {interval(low, high)})" if it.has_intervals and low < high else ""
    said = f"{extreme}: {number(value)}{ends} at {_place(region.cell)}"
    if it.has_intervals and math.isnan(low):
        return f"{said}, which has no interval"
    within = "within its interval" if it.has_intervals else f"within {percent(MARGIN)} of the map's range from it"
    if region.n_cells == 1:
        return f"{said}; no other cell lies {within}"
    runs = [f"{each.column} ({_layers(each.layers)})" for each in region.columns]
    tied = f", {region.n_tied:,} of them equal to it" if region.n_tied > 1 else ""
    return (
        f"{said}; {of_all(region.n_cells, it.n_cells, 'cell', ('lies', 'lie'))} {within}, {bound} "
        f"{number(region.bound)}{tied}: {listed(runs, most=MOST_COLUMNS, noun='column')}"
    )


def _layers(runs: Sequence[tuple[int, int]]) -> str:
    """``layer 27``, or ``layers 0, 2 to 4, 6, 7``."""
    parts = [f"{first}, {last}" if last - first == 1 else span(first, last) for first, last in runs]
    is_one = len(runs) == 1 and runs[0][0] == runs[0][1]
    return f"layer{'' if is_one else 's'} {', '.join(parts)}"


def _trends(it: Description) -> Iterator[str]:
    """The columns by how they go with depth, each with its rank correlation."""
    told = []
    for trend, words in TRENDS.items():
        of_trend = [_trend(column) for column in it.columns if column.trend is trend]
        told += [f"{words} {listed(of_trend)}"] if of_trend else []
    if told:
        flat = (
            "" if it.has_intervals else f"; without intervals, flat is within {percent(2 * MARGIN)} of the map's range"
        )
        yield f"with depth (ρ: Spearman's rank correlation with the layer{flat}) it {'; '.join(told)}"


def _trend(column: Column) -> str:
    rho = "no ρ, all values are equal" if math.isnan(column.spearman) else f"ρ {correlation(column.spearman)}"
    if column.turn is None:
        return f"{column.name} ({rho})"
    return f"{column.name} at layer {column.turn.layer} ({number(column.turn.value)}; {rho})"


def _banding(it: Description) -> Iterator[str]:
    if it.banding is None:
        return
    columns, rows, both = (percent(share) for share in it.banding.explained)
    chance = " / ".join(percent(share) for share in it.banding.by_chance)
    of_what = "the values' logarithms" if it.is_log else "the values"
    yield (
        f"of the variance of {of_what} over cells, columns alone explain {columns}, layers alone {rows}, "
        f"both added {both} (of values in no order: {chance})"
    )


def _marked(it: Description) -> str:
    if it.marked is None:
        return ""
    return f"{of_all(it.marked.n_cells, it.n_cells, 'cell', ('is', 'are'))} marked: {it.marked.meaning}"


def _where_marked(it: Description) -> str:
    marked = sorted((-column.n_marked, column.name) for column in it.columns if column.n_marked)
    if it.marked is None or it.marked.n_cells in (0, it.n_cells):
        return ""
    return f"; by column {listed([f'{name} {-n}' for n, name in marked], most=MOST_COLUMNS, noun='column')}"


def _control(control: Control) -> str:
    """What a control tells alone, from column to column."""
    most = f"{with_interval(*control.most)} at {control.column}"
    if control.least.value == control.most.value:
        return f"{with_interval(*control.most)} in every column that has one ({control.name})"
    return f"{with_interval(*control.least)} to {most} ({control.name})"


def _no_value(it: Description) -> str:
    missing = sum(it.missing.values())
    if not missing:
        return "no cell is missing"
    reasons = listed([f"{reason} ({n:,})" for reason, n in it.missing.items()])
    if missing == it.n_cells:
        return f"no cell has a value: {reasons}"
    return f"{of_all(missing, it.n_cells, 'cell', ('has', 'have'))} no value: {reasons}"


def _outside(it: Description) -> str:
    below, above = it.outside
    if not below + above:
        return "no value is outside the colour scale"
    low, high = map(rounded, it.scale)
    return f"outside the colour scale, and drawn as its ends, are {below:,} below {low} and {above:,} above {high}"


def _notes(it: Description) -> Iterator[str]:
    """What the map says that it must not be taken for."""
    subject = it.subject
    if subject.variant:
        yield f"the map's own note: {subject.variant}"
    if subject.policy not in ("", STRICT):
        yield (
            f"positions follow the {subject.policy} policy: where an answer lacks a column's token, another stands in "
            "for it"
        )
    if subject.site not in ("", DEFAULT_SITE):
        yield f"what is mapped is {subject.site}, not the residual stream after the block ({DEFAULT_SITE})"
    if it.coinciding:
        pairs = [f"{pair} ({percent(share)})" for pair, share in it.coinciding.items()]
        yield f"columns that are often one token: {listed(pairs)}"
    if it.best_nested:
        yield (
            f"the highest cell is chosen from all; chosen without the answers that it is scored on, it has "
            f"{with_interval(*it.best_nested)}"
        )
