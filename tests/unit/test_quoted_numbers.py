"""What the pages say of the tracked results, against what these results hold now."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray as xr

from interp.number_words import correlation, interval, number, with_interval

ROOT = Path(__file__).parents[2]
CITIES = ROOT / "figures" / "smollm2-135m" / "cities"
COMPARISON = "compare-probe-lens-answer-rank-first300-patch-led"
LAST, READ = "exact_answer_last", "exact_answer_before_first"


def result(name: str) -> xr.Dataset:
    return xr.load_dataset(CITIES / f"{name}.nc", engine="h5netcdf")


def at(data: xr.Dataset, position: str, layer: int) -> xr.Dataset:
    return data.sel(position=position, layer=layer)


def ends(cell: xr.Dataset) -> str:
    return interval(float(cell["low"]), float(cell["high"]))


def told(cell: xr.Dataset) -> str:
    return with_interval(*(float(cell[name]) for name in ("value", "low", "high")))


def value(cell: xr.Dataset) -> str:
    return number(float(cell["value"]))


def of_probes() -> Iterator[str]:
    probe, beyond, unseen = (result(name) for name in ("probe", "probe-beyond", "probe-group_answer"))
    best, first = at(probe, LAST, 19), at(probe, "last_q", 15)
    yield (
        f"at `{LAST}`, layer 19, the AUC is {value(best)} (95 % interval {ends(best)}, n = {int(best['n'])} answers, "
        f"{int(best['n_wrong'])} of them wrong)"
    )
    yield f"at `last_q`, where the model has said nothing yet, layer 15 has {told(first)}"
    of_unseen = at(unseen, "last_q", 15)
    yield f"countries that the probe has not seen ({value(of_unseen)}, {ends(of_unseen)})"
    nested = json.loads(probe.attrs["best_nested"])["auc"]
    yield f"here {told(best)} becomes {with_interval(*nested)}"
    token, everything = (beyond.sel(position=LAST, which=which) for which in ("token", "all"))
    of_all = with_interval(*(float(everything[name]) for name in ("control", "control_low", "control_high")))
    yield (
        f"At `{LAST}` the token alone gives {number(float(token['control']))} and all controls {of_all}, to which "
        f"layer 19 adds {told(at(beyond, LAST, 19))}"
    )
    population = float(beyond["control"].sel(which="difficulty", position="last_q"))
    yield f"layer 15 adds {told(at(beyond, 'last_q', 15))} to the {number(population)} of the city's population"
    seen, highest, marked = at(probe, LAST, 16), at(unseen, LAST, 16), unseen["marked"]
    yield (
        f"the AUC at `{LAST}`, layer 16, falls from {value(seen)} to {told(highest)}, and {int(marked.sum())} of "
        f"{marked.size} cells are above chance"
    )


def of_the_tuned_lens() -> Iterator[str]:
    lenses = result("tuned-lens")
    said = {
        layer: (told(at(lenses, "tuned lens", layer)), value(at(lenses, "logit lens", layer))) for layer in (5, 22, 23)
    }
    yield "{} nats in place of {} at layer 5".format(*said[5])
    yield "{} in place of {} at layer 22, and {} in place of {} at layer 23".format(*said[22], *said[23])


def of_the_other_maps() -> Iterator[str]:
    patched, lens, direction = (result(name) for name in ("patch-led", "lens-answer-rank", "activation-top-direction"))
    subject, reading = ([at(patched, name, layer) for layer in (22, 23)] for name in ("subject_last", READ))
    yield (
        f"at layer 22 `subject_last` still restores {value(subject[0])} of the logit difference, at layer 23 "
        f"{value(subject[1])}, where the token that is read goes from {value(reading[0])} to {told(reading[1])}"
    )
    before, after = (at(lens, READ, layer) for layer in (22, 23))
    yield f"is {told(before)} at layer 22 and {told(after)} at layer 23"
    share = direction["value"]
    early, tokens = share.sel(layer=slice(2, 8)), ["-8", "-7", "-6"]
    late = share.sel(layer=slice(10, None), position=[READ, *tokens])
    at_last_q = share.sel(layer=slice(23, None), position="last_q")
    of_read, of_tokens = (
        " to ".join(correlation(float(end)) for end in (part.min(), part.max()))
        for part in (early.sel(position=READ), early.sel(position=tokens))
    )
    yield (
        f"in layers 2 to 8, one direction holds {of_read} of the variance at `{READ}` and {of_tokens} of it at `-8` to "
        f"`-6`; from layer 10 on it is {correlation(float(late.max()))} or less in these columns, and from layer 23 on "
        f"{correlation(float(at_last_q.max()))} or less at `last_q`"
    )


def of_the_comparison() -> Iterator[tuple[str, str]]:
    compared, names = result(COMPARISON), ("probe and lens", "probe and patching", "lens and patching")
    over_cells = compared[["value_of", "low_of", "high_of"]].sel(statistic="spearman")
    up_column = compared[["column_spearman", "column_low", "column_high"]].sel(position=READ)
    of_cells, of_column = (
        [correlations(each.isel(pair=pair)) for pair in range(3)] for each in (over_cells, up_column)
    )
    told = [f"{each} between {name}" for each, name in zip(of_cells, names, strict=True)]
    yield "README.md", f"over all cells the correlation is {', '.join(told)}"
    yield "docs/compare.md", f"Over all cells the correlations are {told[0]}, {told[1]}, {told[2]}"
    told = [f"{each} {name}" for each, name in zip(of_column, names, strict=True)]
    yield "docs/compare.md", f"Up that column all three go together: {', '.join(told)}"
    lowest, highest = (
        correlation(float(end)) for end in (up_column["column_spearman"].min(), up_column["column_spearman"].max())
    )
    yield "README.md", f"Up that column all three go together ({lowest} to {highest})"
    rows = [(1, "first_answer", 15), (0, "last_q", 21), (1, "second_answer", 6), (0, "second_answer", 0)]
    by, above, below, furthest = (distance(at(compared, name, layer).isel(pair=pair)) for pair, name, layer in rows)
    yield (
        "docs/compare.md",
        f"at `first_answer` in layer 15 (by {by}) and above that of the lens at `last_q` in layer 21",
    )
    yield "docs/compare.md", f"in layer 21 ({above}), and furthest below both at `second_answer`"
    yield "docs/compare.md", f"in layer 6 ({below}) and in layer 0 ({furthest})"
    chance = [correlation(float(p)) for p in compared["p"]]
    yield "docs/compare.md", f"reach that by chance (p = {chance[0]}, {chance[1]} and {chance[2]})"


def distance(cell: xr.Dataset) -> str:
    """By how much a cell ranks higher or lower, with its interval."""
    low, high = sorted(abs(float(cell[name])) for name in ("low", "high"))
    return f"{correlation(abs(float(cell['value'])))}, {correlation(low)} to {correlation(high)}"


def correlations(found: xr.Dataset) -> str:
    """A correlation with its interval."""
    value, low, high = (correlation(float(found[name])) for name in found.data_vars)
    return f"{value} ({low} to {high})"


QUOTED = [*(("README.md", said) for said in (*of_probes(), *of_the_other_maps())), *of_the_comparison()]
QUOTED += [("docs/lens.md", said) for said in of_the_tuned_lens()]
NUMBER = re.compile(r"-?(?:\d[\d,]*)?\.?\d+")


@pytest.mark.parametrize(("page", "sentence"), QUOTED)
def test_a_sentence_has_the_numbers_of_the_results(page: str, sentence: str) -> None:
    """To a unit of their last digits: another processor rounds otherwise, and `make figures` makes results anew."""
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    (found,) = re.findall(NUMBER.pattern.join(map(re.escape, NUMBER.split(sentence))), text)
    for written, now in zip(NUMBER.findall(found), NUMBER.findall(sentence), strict=True):
        unit = 10.0 ** -len(written.partition(".")[2])
        assert float(written.replace(",", "")) == pytest.approx(float(now.replace(",", "")), abs=1.01 * unit)
