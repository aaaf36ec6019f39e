"""What maps show, in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyses.parts.runs import load_result
from interp.number_words import correlation, number, of_all, percent, rounded
from interp.results.estimates import Estimates
from interp.results.heatmap import Heatmap
from interp.results.scales import Scale
from interp.wording.heatmap_description import description_of
from interp.wording.heatmap_wording import LENGTHS, TRENDS, sentences
from interp.wording.list_description import list_description_of
from interp.wording.list_wording import list_sentences
from tests.described_maps import map_of, random_map

FIGURES = Path(__file__).parents[2] / "figures"
BESIDE = ("-pairs.nc", "-examples.nc")
TRACKED = sorted(path for path in FIGURES.rglob("*.nc") if not path.name.endswith(BESIDE))
TRACKED = [path for path in TRACKED if not path.name.startswith("compare-")]
WORDS_THAT_JUDGE = ("strongest column", "weakest", "highest:", "lowest:", *TRENDS.values(), "explain", "often")


def told(heatmap: Heatmap, length: str = "long") -> str:
    return "\n".join(sentences(description_of(heatmap), length))


@given(st.integers(0, 10_000), st.permutations(range(4)))
def test_other_orders_of_the_columns_say_the_same_in_another_order(seed: int, order: list[int]) -> None:
    heatmap = random_map(seed)
    permuted = Heatmap(heatmap.data.isel(position=order))
    for length in LENGTHS:
        words, others = (sorted(re.split(r"[\s,;.()]+", told(each, length).lower())) for each in (heatmap, permuted))
        assert words == others


def test_a_planted_effect_of_the_columns_is_said_to_explain_all_of_the_variance() -> None:
    heatmap = map_of(np.array([0.6, 0.7, 0.9])[None] + np.zeros((5, 3)))
    assert "columns alone explain 100 %, layers alone 0 %, both added 100 %" in told(heatmap)


def test_a_planted_rise_is_said_to_rise_and_noise_within_its_intervals_does_not_change_flat() -> None:
    rise, rng = np.linspace(0.5, 0.9, 10), np.random.default_rng(0)
    value = np.stack([rise, 0.7 + rng.uniform(-0.01, 0.01, 10), 1.4 - rise], axis=1)
    said = told(map_of(value, 0.02))
    assert "rises in column 0 (ρ 1.00); falls in column 2 (ρ -1.00); is flat within its intervals in column 1" in said


def test_a_peak_is_told_with_its_layer_and_value() -> None:
    value = np.array([[0.5], [0.6], [0.9], [0.55]])
    assert "peaks in column 0 at layer 7 (.900; ρ .40)" in told(map_of(value, layers=[1, 4, 7, 9]))


def test_every_word_that_judges_is_followed_by_a_number() -> None:
    for seed in range(20):
        for sentence in sentences(description_of(random_map(seed))):
            for word in WORDS_THAT_JUDGE:
                if (place := sentence.lower().find(word)) >= 0:
                    assert re.search(r"\d", re.sub(r"column \d", "", sentence[place + len(word) :])), sentence


def test_of_columns_that_are_equally_strong_none_is_the_strongest() -> None:
    said = told(map_of(np.array([[0.6, 0.6], [0.8, 0.8]])))
    assert "No column is stronger than another (highest mean over layers: .700 in column 0)." in said


@pytest.mark.parametrize("length", LENGTHS)
def test_means_over_layers_are_told_with_their_kind_and_their_layers(length: str) -> None:
    value = np.array([[2.0, 4.0], [8.0, 4.0], [8.0, 9.0]])
    said = told(map_of(value, scale=Scale(1.0, 10.0, "log"), names=["a", "b"]), length).lower()
    assert "strongest column (highest geometric mean over layers): b, 5.24; weakest: a, 5.04" in said
    assert "(means" not in said
    value[0, 0] = np.nan
    said = told(map_of(value, names=["a", "b"]), length).lower()
    assert "(highest mean over layers): a, 8" in said
    assert "weakest: b, 6.50 (means over the 2 layers in which all of these columns have a value)" in said
    value[1, 1] = np.nan
    assert "; each mean is over the layers in which its column has a value" in told(map_of(value), length)


def test_an_alt_text_tells_another_site_and_policy() -> None:
    said = told(map_of(np.array([[0.6, 0.7]]), attributes={"site": "attn_out", "policy": "paper"}), "short")
    assert "at attn_out; positions by the paper policy" in said


def test_a_constant_map_has_one_value() -> None:
    said = told(map_of(np.full((3, 2), 0.7), 0.0))
    assert "Every value is .700." in said
    assert "explain" not in said
    assert "strongest" not in said.lower()
    assert sentences(description_of(map_of(np.full((3, 2), 0.7))), "short")[1] == "Every value is .700."


def test_a_map_without_a_value_says_so_and_why() -> None:
    for length in LENGTHS:
        said = told(map_of(np.full((3, 2), np.nan)), length)
        assert "No cell has a value: too few examples (6)." in said
        assert "nan" not in said.lower()


@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (1, 1)])
def test_maps_of_one_layer_or_one_column_are_told(shape: tuple[int, int]) -> None:
    value = np.random.default_rng(0).random(shape)
    said = told(map_of(value))
    assert ("With depth" in said) == (shape[0] > 1)
    assert ("Strongest" in said) == (shape[1] > 1)
    assert "explain" not in said


@pytest.mark.parametrize(
    ("marked", "words"),
    [
        ([[0, 0], [0, 0]], "No cell is marked: above chance"),
        ([[1, 1], [1, 1]], "Every cell is marked: above chance"),
        ([[0, 1], [0, 0]], "1 of 4 cells is marked: above chance (8 permutations); by column b 1."),
        ([[0, 1], [1, 1]], "3 of 4 cells are marked: above chance (8 permutations); by column b 2, a 1."),
    ],
)
def test_marks_are_told_with_what_they_mean(marked: list[list[int]], words: str) -> None:
    assert words in told(map_of(np.full((2, 2), 0.7), marked=np.array(marked), names=["a", "b"]))


def test_without_marks_intervals_are_told_around_what_means_nothing() -> None:
    assert "Of 3 intervals, 1 lie above .5, 1 below it, 1 contain it" in told(map_of(np.array([[0.6, 0.5, 0.4]])))
    norms = map_of(np.array([[20.0, 30.0]]), 1.0, metric="median norm of the residual stream", scale=(10.0, 50.0))
    assert "Nothing on it is tested: it has neither marks nor a value that means nothing." in told(norms)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"variant": "labels: shuffled"}, "The map's own note: labels: shuffled."),
        ({"policy": "paper"}, "Positions follow the paper policy"),
        ({"site": "attn_out"}, "What is mapped is attn_out, not the residual stream"),
        ({"coinciding": '{"a = b": 0.73, "a = c": 0.2}'}, "Columns that are often one token: a = b (73 %)."),
        ({"missing": '{"b": {"no_exact_answer": 228}}'}, "the most that a column lacks: no exact answer (228)"),
        ({"best_nested": '{"auc": [0.8, 0.7, 0.9]}'}, "the answers that it is scored on, it has .800 (.700 to .900)."),
    ],
)
def test_what_the_map_must_not_be_taken_for_is_told(attributes: dict[str, Any], words: str) -> None:
    assert words in told(map_of(np.array([[0.6, 0.7], [0.7, 0.8]]), attributes=attributes))
    assert words not in told(map_of(np.array([[0.6, 0.7], [0.7, 0.8]])))


@pytest.mark.parametrize(
    ("metric", "scale", "words"),
    [
        ("AUC of error detection", Scale(0.5, 1.0), ".5 is chance, 1 is perfect"),
        ("AUC beyond controls (token)", Scale(-1.0, 1.0, centre=0.0), "0 is nothing beyond that"),
        ("Recovery of logit difference, mean", Scale(-1.0, 1.0, centre=0.0), "0 is the corrupted run, 1 the clean one"),
        ("median rank of the answer", Scale(1.0, 100.0, "log"), "1 is the top of the vocabulary"),
        (
            "rank of the answer: median, right ÷ wrong answers",
            Scale(0.5, 2.0, "log", 1.0),
            "below 1 the first rank further up",
        ),
        ("mean KL from the model's output, nats", Scale(0.0, 50.0), "0 is the model's own output"),
        ("R² of year", Scale(0.0, 1.0), "0 is guessing the mean"),
    ],
)
def test_what_the_values_mean_is_told_of_each_metric(metric: str, scale: Scale, words: str) -> None:
    for length in LENGTHS:
        assert words in told(map_of(np.array([[1.0, 2.0]]), metric=metric, scale=scale), length)


@pytest.mark.parametrize("path", TRACKED, ids=lambda path: path.stem)
def test_of_tracked_results_an_alt_text_is_two_sentences_at_most_and_nothing_is_nan(path: Path) -> None:
    result = load_result(path)
    for length in LENGTHS:
        if isinstance(result, Heatmap):
            said = sentences(description_of(result), length)
        else:
            said = list_sentences(list_description_of(result), length)
        assert not re.search(r"\bnan\b|None|  |\(\)|; ;|, ,", "\n".join(said))
        assert all(sentence.endswith(".") and not sentence[0].islower() for sentence in said)
        assert length == "long" or len(said) <= 2


def test_a_group_of_estimates_without_a_value_is_named_once() -> None:
    value = np.array([0.2, np.nan, np.nan, np.nan, np.nan, 0.4])
    names = ["all: probe", "all: oracle", "few: probe", "few: oracle", "none", "one: oracle"]
    estimates = Estimates.of(
        (value, value, value, np.full(6, 9)), names=[names], kind="selection", metric="AUC", scale=(0.0, 1.0)
    )
    for length in LENGTHS:
        said = "\n".join(list_sentences(list_description_of(estimates), length))
        assert "4 of 6 values are missing: all: oracle; few; none." in said


def test_tracked_maps_are_told_as_they_were_read_by_hand() -> None:
    cities = FIGURES / "smollm2-135m" / "cities"
    probe, ranks, patch = (
        told(Heatmap.load(cities / f"{name}.nc")) for name in ("probe", "lens-answer-rank", "patch-led")
    )
    # Another processor rounds otherwise, and `make figures` makes the maps anew: to two digits.
    assert re.search(
        r"Highest: \.8[78]\d \(95 % interval \.8\d\d to \.\d+\) at exact_answer_last, layer \d+; \d+ of 450 cells",
        probe,
    )
    assert "Strongest column (lowest geometric mean over layers): exact_answer_before_first, 2,8" in ranks
    assert re.search(r"by column subject_last \d+, ", patch)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.85, ".850"), (-0.139, "-.139"), (0.9996, "1.00"), (10.55, "10.6"), (3706.4, "3,706"), (999.96, "1,000"),
        (1.0, "1"), (-0.0, "0"), (1e-5, "1.0e-05"), (float("nan"), "no value"), (float("-inf"), "-infinity"),
    ],
)  # fmt: skip
def test_numbers_have_three_to_four_digits(value: float, words: str) -> None:
    assert number(value) == words


def test_other_numbers_are_written_as_they_are_read() -> None:
    assert [rounded(each) for each in (0.5, -0.25, 1.0, 50_000.0, 0.0)] == [".5", "-.25", "1", "50,000", "0"]
    assert [rounded(each) for each in (2e-7, -0.0)] == ["2.0e-07", "0"]
    assert [correlation(each) for each in (0.74, -0.5, 0.999, -1.0)] == [".74", "-.50", "1.00", "-1.00"]
    assert [percent(each) for each in (0.0, 0.001, 0.5, 0.999, 1.0)] == [
        "0 %",
        "less than 1 %",
        "50 %",
        "more than 99 %",
        "100 %",
    ]
    assert of_all(1, 2, "cell", ("is", "are")) == "1 of 2 cells is"


def test_the_highest_cell_may_have_no_interval() -> None:
    """As an AUC of tied scores has none."""
    values = np.array([[0.5, 0.6], [0.9, 0.7], [0.8, 0.7]])
    said = told(map_of(values, np.where(values == 0.9, np.nan, 0.05)))
    assert re.search(r"[Hh]ighest: .900 at [^;]*, layer 1, which has no interval", said)
