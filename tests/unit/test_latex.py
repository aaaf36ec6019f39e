r"""LaTeX: texts that come back as they were, tables that plain LaTeX with booktabs sets."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analyses.parts.runs import load_result
from interp.comparisons.map_agreement import STATISTICS
from interp.errors import InputError
from interp.results.estimates import Estimates
from interp.results.heatmap import Heatmap
from interp.results.scales import Scale
from interp.wording.latex_table import INTERVALS, chosen_layers, latex_number, latex_table
from interp.wording.latex_text import ACCENTS, ASCII, SIGNS, latex_text
from tests.compared_maps import compare, drawn, operand
from tests.described_maps import map_of, random_map

FIGURES = Path(__file__).parents[2] / "figures" / "smollm2-135m"
PRINTED = {source: character for character, source in (ASCII | SIGNS).items()} | {r"\ ": " ", "{}": ""}
ACCENTED = re.compile(r"\\([`'^~\"=.uvrHc])\{([A-Za-z])\}")
NUMBERED = re.compile(r"\\texttt\{U\+([0-9A-F]{4,6})\}")


def text_of(source: str) -> str:
    """What the source prints: read from the left, the longest command first, as TeX does."""
    marks = {command: mark for mark, command in ACCENTS.items()}
    commands, found = sorted(PRINTED, key=len, reverse=True), ""
    while source:
        if match := ACCENTED.match(source):
            found, source = found + unicodedata.normalize("NFC", match[2] + marks[match[1]]), source[match.end() :]
        elif match := NUMBERED.match(source):
            found, source = found + chr(int(match[1], 16)), source[match.end() :]
        else:
            command = next((each for each in commands if source.startswith(each)), source[0])
            found, source = found + PRINTED.get(command, command), source[len(command) :]
    return found


@given(st.text(max_size=12) | st.text(" -'`,[*\\_{}$%&#^~<>|\"é–−…中\n", max_size=12))
@example("\\texttt{U+4E2D}")
@example("a--b  ''c'' [x] *")
@example("\ud800")
def test_a_text_is_printed_as_it_is(text: str) -> None:
    source = latex_text(text)
    assert source.isascii()
    assert text_of(source) == text


@given(st.text(max_size=12) | st.text("[*]{}\\ &%#", max_size=12))
def test_no_sign_of_a_text_does_anything(text: str) -> None:
    """What is left when all commands are taken out has nothing that TeX acts on, and braces are in pairs."""
    source = latex_text(text)
    left = re.sub(r"\\(ensuremath\{(\\[a-zA-Z|]+|\^2)\}|[a-zA-Z]+\{?|[^a-zA-Z])", "", source)
    assert not set(left) & set("$%&#_^~\\")
    assert not re.match(r"[\[*]", source)
    depth = 0
    for sign in re.sub(r"\\[{}]", "", source):
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0


@given(st.integers(0, 10_000), st.sampled_from(INTERVALS))
def test_every_row_of_a_table_has_its_cells(seed: int, intervals: str) -> None:
    heatmap = random_map(seed, names=["a & b", "50 %", "[x]", "c_1 \\\\"])
    lines = latex_table(heatmap, layers=[0, 3, 5], intervals=intervals).split("\n")
    rows = [line for line in lines if line.endswith(r" \\")]
    assert len(rows) == 5
    assert all(len(re.findall(r"(?<!\\)&", row)) == 4 for row in rows)
    values = heatmap.data["value"].sel(layer=[0, 3, 5]).values
    assert "\n".join(rows).count("--") == np.isnan(values).sum()


def test_a_value_is_written_with_its_interval() -> None:
    heatmap = map_of(np.array([[0.75, np.nan], [0.625, 0.5]]), 0.125, names=["a", "b"])
    table = latex_table(heatmap)
    assert r"a & $100$ & $.750_{.625}^{.875}$ & $.625_{.500}^{.750}$ \\" in table
    assert r"b & $100$ & -- & $.500_{.375}^{.625}$ \\" in table
    assert r"$.750$ $[.625, .875]$" in latex_table(heatmap, intervals="brackets")
    assert r"a & $100$ & $.750$ & $.625$ \\" in latex_table(heatmap, intervals="none")
    assert "n = 100" in table
    assert "AUC of error detection, of tiny on cities, at resid\\_post; .5 is chance" in table
    assert "--: no value (too few examples)." in table


def test_a_value_that_is_missing_for_no_known_reason_is_said_to_be() -> None:
    value = np.array([0.25, np.nan])
    estimates = Estimates.of(
        (value, value, value, np.full(2, 9)), names=[["a − b", "c"]], kind="gain", metric="AUC", scale=(0.0, 1.0)
    )
    table = latex_table(estimates)
    assert r"a \ensuremath{-} b & $9$ & $.250_{.250}^{.250}$ \\" in table
    assert "--: no value." in table


def test_n_that_is_not_known_is_no_number() -> None:
    published = map_of(np.array([[0.75], [0.5]]), np.nan, names=["a"])
    table = latex_table(Heatmap(published.data.assign(n=published.data["n"] * 0)))
    assert r"a & -- & $.750$ & $.500$ \\" in table
    assert "n is not known." in table


def test_n_of_a_map_without_a_value_is_that_of_its_cells() -> None:
    table = latex_table(map_of(np.full((2, 1), np.nan), names=["a"]))
    assert r"a & $3$ & -- & -- \\" in table
    assert "n = 3; --: no value" in table


def test_layers_are_those_that_are_given_or_as_far_apart_as_they_can_be() -> None:
    heatmap = map_of(np.full((30, 1), 0.7))
    assert chosen_layers(heatmap, None) == [0, 10, 19, 29]
    assert chosen_layers(heatmap, [7, 3, 7]) == [7, 3]
    assert chosen_layers(map_of(np.full((2, 1), 0.7), layers=[4, 9]), None) == [4, 9]
    assert chosen_layers(map_of(np.full((1, 1), 0.7), layers=[4]), None) == [4]
    with pytest.raises(InputError, match="no such layer of this map: 30, 31; it has layers 0 to 29"):
        latex_table(heatmap, layers=[0, 30, 31])


@pytest.mark.parametrize(
    ("value", "source"),
    [(3706.0, "3{,}706"), (1.2e-5, r"1.2\times 10^{-5}"), (-0.139, "-.139"), (float("-inf"), r"-\infty")],
)
def test_numbers_are_for_math_mode(value: float, source: str) -> None:
    assert latex_number(value) == source


@pytest.mark.parametrize(
    "name",
    [
        "cities/baselines",
        "transfer/transfer",
        "texts/lens-the-eiffel-tower-is-in-the-city-of-92ca8c",
        "cities/patch-led",
    ],
)
def test_tracked_results_of_every_shape_are_tables(name: str) -> None:
    result = load_result(FIGURES / f"{name}.nc")
    table = latex_table(result)
    assert table.isascii()
    assert table.count(r"\\" + "\n") == 1 + result.data["value"].shape["layer" in result.axes]
    if "layer" not in result.axes:
        with pytest.raises(InputError, match="has no layers; leave out --layers"):
            latex_table(result, layers=[0])


@pytest.mark.parametrize("intervals", INTERVALS)
def test_a_comparison_is_a_table_of_its_statistics_by_pair(intervals: str) -> None:
    maps = [operand(name, drawn(seed)) for seed, name in enumerate(("one", "a_b", "c&d"))]
    comparison = compare(*maps)
    table = latex_table(comparison, intervals=intervals)
    rows = [line for line in table.split("\n") if line.endswith(r" \\")]
    assert rows[0] == r" & one, a\_b & one, c\&d & a\_b, c\&d \\"
    assert len(rows) == 1 + len(STATISTICS) + 2
    value, low, high = (latex_number(each) for each in comparison.statistic(2, "spearman"))
    written = {"scripts": f"${value}_{{{low}}}^{{{high}}}$", "brackets": f"${value}$ $[{low}, {high}]$"}
    assert rows[1].startswith("Spearman, all cells & ")
    assert rows[1].endswith(rf"& {written.get(intervals, f'${value}$')} \\")
    p = " & ".join(f"${latex_number(each)}$" for each in comparison.data["p"].values.tolist())
    assert rows[-2] == rf"p against moved maps & {p} \\"
    assert rows[-1] == r"cells & $72$ & $72$ & $72$ \\"
    assert ("95" in table) == (intervals != "none")


def test_a_statistic_that_no_pair_has_is_no_row_and_intervals_that_are_not_known_are_not_told() -> None:
    ranks = operand("ranks", np.exp(-drawn()), scale=Scale(1e-6, 1e6, "log"), examples=False)
    table = latex_table(compare(operand("a", drawn(), examples=False), ranks))
    assert "mean absolute difference" not in table
    assert "95" not in table
    assert "_{" not in table
