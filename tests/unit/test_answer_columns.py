"""What may be predicted in place of correctness, and what kind of label each column is."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.errors import InputError
from interp.examples import Answer, Question, Span, TokenizedText
from interp.questions.answer_columns import COLUMNS, MAX_CLASSES, MIN_PER_CLASS, Value, answer_column, target_of
from interp.questions.datasets import load_questions
from tests.row_files import written

ENOUGH = MIN_PER_CLASS


FRANCE = Span(3, 9)


def answer(name: str = "q", *, exact: Span | None = FRANCE) -> Answer:
    question = Question(name, "Lyon?", "France", (), Span(0, 4), "set", "lyon", 5.0)
    text = TokenizedText("In France", (2, 9), (2, 9))
    return Answer(question, (1, 2, 3, 4, 5), 3, text, ended=True, exact=exact, named=("France",), correct=True)


def test_an_answer_says_what_its_file_says() -> None:
    (values,) = zip(*[answer_column(name, [answer()], {}) for name in COLUMNS], strict=True)
    assert dict(zip(COLUMNS, values, strict=True)) == {
        "gold": "France",
        "group": "lyon",
        "difficulty": 5.0,
        "subject": "Lyon",
        "n_prompt": 3,
        "n_generated": 2,
        "ended": True,
        "exact_text": "France",
        "named": "France",
        "found_by": None,
        "correct": True,
        "why_missing": None,
    }
    assert answer_column("exact_text", [answer(exact=None)], {}) == [None]


@pytest.mark.parametrize(
    ("values", "kind", "positive"),
    [
        ([True, False] * ENOUGH, "binary", "true"),
        (["False", "True", "True"] * ENOUGH, "binary", "True"),
        (["0", "1", "1"] * ENOUGH, "binary", "1"),
        ([1.0, 0, 1] * ENOUGH, "binary", "1"),
        (["pos", "neg", "pos"] * ENOUGH, "binary", "neg"),
        (["a", "b", "c"] * ENOUGH, "classes", None),
        (["1", "2.5", " 3e2 "] * ENOUGH, "number", None),
        ([1, 2, 3], "number", None),
        (["1", "2", "three"] * ENOUGH, "classes", None),
        (["1_1", "1_2", "2_1"] * ENOUGH, "classes", None),
        (["a", "2", "inf"] * ENOUGH, "classes", None),
    ],
)
def test_the_kind_is_as_the_values_are(values: list[Value | None], kind: str, positive: str | None) -> None:
    target = target_of("label", values)
    assert (target.kind, target.positive, target.rows) == (kind, positive, tuple(range(len(values))))
    assert dict(target.left_out) == {}


def test_the_user_may_say_the_kind() -> None:
    years = ["1990", "1991", "1992"] * ENOUGH
    assert target_of("year", years, "classes").kind == "classes"
    assert target_of("zero", ["0", "1"] * ENOUGH, "number").values == (0.0, 1.0) * ENOUGH
    with pytest.raises(InputError, match=r"year has 3 values \('1990' 20, '1991' 20, '1992' 20\); take --label-kind"):
        target_of("year", years, "binary")
    with pytest.raises(InputError, match="year is 'x' in an answer, which is no number"):
        target_of("year", [*years, "x"], "number")


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", math.inf])
@pytest.mark.parametrize("kind", ["auto", "number"])
def test_a_number_that_is_not_finite_is_named_with_its_question(value: Value, kind: str) -> None:
    values = [*map(str, range(50)), None, value]
    questions = [f"row {index}" for index in range(52)]
    message = f"year is '{value}' in the answer to question 'row 51', which is not finite; empty it, or take"
    with pytest.raises(InputError, match=message):
        target_of("year", values, kind, questions)


def test_identifiers_are_no_numbers_unless_the_user_says_so() -> None:
    values = [str(1591440 + index) for index in range(100)]
    for name in ("group", "id", "ID"):
        with pytest.raises(InputError, match=f"{name} has 100 values in 100 answers .* none of them 20 times or more"):
            target_of(name, values)
        assert target_of(name, values, "number").kind == "number"
        assert target_of(name, ["1", "2", "3"] * ENOUGH).kind == "classes"


def test_what_is_missing_or_rare_is_left_out_and_counted() -> None:
    values: list[Value | None] = [None, "", " ", math.nan, *["a", "b", "c"] * ENOUGH, "d", "e", "e"]
    target = target_of("label", values)
    assert target.rows == tuple(range(4, 4 + 3 * ENOUGH))
    assert target.counts == {
        "label = a": ENOUGH,
        "label = b": ENOUGH,
        "label = c": ENOUGH,
        "without label": 4,
        "label of a class with fewer than 20 answers": 3,
    }


def test_two_classes_that_are_left_are_two_classes() -> None:
    target = target_of("label", [*["a", "b", "b"] * ENOUGH, "c"])
    assert (target.kind, target.positive) == ("binary", "a")
    assert target.metric == "AUC of label = a"
    assert target_of("ended", [True, False] * ENOUGH).metric == "AUC of ended"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([None, ""], "label is missing in every answer; --labels needs a column with two values or more"),
        (["a", None, "a"], "label is 'a' in every answer that has it"),
        ([f"text {index}" for index in range(100)], "label has 100 values in 100 answers .* and none of them 20 times"),
        (["a", *["b"] * 50], "label has 2 values in 51 answers ('b' 50, 'a' 1), and 1 of them 20 times"),
        (
            [f"class {index}" for index in range(MAX_CLASSES + 1)] * ENOUGH,
            "label has 31 classes of 20 answers or more, and at most 30 are told apart",
        ),
    ],
)
def test_what_cannot_be_predicted_is_refused(values: list[Value | None], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(").replace(")", r"\)")) as refused:
        target_of("label", values)
    assert "\n" not in str(refused.value)


@given(st.lists(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)), max_size=60))
def test_any_column_is_a_target_or_refused(values: list[Value | None]) -> None:
    try:
        target = target_of("label", values)
    except InputError:
        return
    assert len(target.rows) == len(target.values) == len(values) - sum(target.left_out.values())
    assert sum(target.counts.values()) == len(values)
    if target.kind == "number":
        assert all(isinstance(value, float) and math.isfinite(value) for value in target.values)


ROWS = [
    {"id": "a", "question": "Who?", "answer": "me", "Year": "1990", "note": "x", "nested": "1"},
    {"id": "b", "question": "Why?", "answer": "so", "Year": "", "note": "y", "nested": "2"},
    {"id": "c", "question": "When?", "answer": "now", "Year": " 7", "note": "z", "nested": "3"},
]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json", ".parquet"])
def test_a_column_of_the_file_goes_with_its_questions(tmp_path: Path, suffix: str) -> None:
    rows = [dict(row) for row in ROWS]
    path = tmp_path / f"q{suffix}"
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        written(path, rows)
    plain, kept = (load_questions(str(path), n=2, seed=0, kept=names) for names in ((), ("year",)))
    assert dict(plain.columns) == {}
    assert plain.sha256 == kept.sha256, "what is kept beside the questions is not asked"
    assert plain.questions == kept.questions
    values = answer_column("year", [answer(name) for name in "abc"], kept.columns)
    asked = {question.id for question in kept.questions}
    assert values == [{"a": "1990", "c": " 7"}.get(name) if name in asked else None for name in "abc"]


def test_a_field_within_a_column_may_be_kept(tmp_path: Path) -> None:
    rows = [{"question": "Who?", "answer": "me", "meta": {"year": 1990, "rare": True}}]
    questions = load_questions(str(written(tmp_path / "q.json", rows)), n=1, seed=0, kept=["meta.year", "meta.rare"])
    assert questions.columns == {"meta.year": {"1": 1990}, "meta.rare": {"1": True}}


def test_a_column_of_a_published_set_may_be_kept(tmp_path: Path) -> None:
    rows = [{"question": f"Who played in the movie '{i}'?", "answer": f"actor {i}", "Decade": f"{i}0s"} for i in (7, 8)]
    path = written(tmp_path / "movies.csv", rows)
    questions = load_questions(f"movies:{path}", n=2, seed=0, kept=["decade"])
    assert sorted(questions.columns["decade"].values()) == ["70s", "80s"]
    with pytest.raises(InputError, match="unknown column 'decad'; nearest: Decade"):
        load_questions(f"movies:{path}", n=2, seed=0, kept=["decad"])


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "q.csv", ROWS)
    with pytest.raises(InputError, match=r"unknown column 'yaer'; nearest: Year.* Neither .*q.csv has it"):
        load_questions(str(path), n=2, seed=0, kept=["yaer"])
    with pytest.raises(InputError, match="unknown column 'dificulty'; nearest: difficulty"):
        load_questions("cities", n=2, seed=0, kept=["dificulty"])
    bad = written(tmp_path / "q.json", [{"question": "Who?", "answer": "me", "year": [1990]}])
    with pytest.raises(InputError, match=r"row 1: 'year' is \[1990\]; write a text, a number, true or false"):
        load_questions(str(bad), n=1, seed=0, kept=["year"])


@pytest.mark.parametrize(
    ("dataset", "sha256"),
    [
        ("cities", "527da067acd436c5bb81cce322eb138d3c4513be1f1f9fc332973a60b7848a63"),
        ("capitals", "69bb55025ac60aa82c5b12df741f39ef724c600a327873ad654246c430f09494"),
    ],
)
def test_sets_have_the_identity_that_they_had_before_columns_could_be_kept(dataset: str, sha256: str) -> None:
    assert load_questions(dataset, n=20, seed=0).sha256 == sha256
