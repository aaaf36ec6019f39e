"""Exact answers, as far as they need no model."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.answers.extraction import COLUMN, EMPTY, NO_NUMBER, NOTHING_NAMED, number_of, with_exact_answers
from interp.examples import Answer, Question, Span, TokenizedText
from interp.questions.question_set import QuestionSet
from interp.questions.vocabulary import Vocabulary
from tests.respondents import NOBODY

VOCABULARY = Vocabulary({"France": ("France",), "Brazil": ("Brazil",), "Japan": ("Japan", "日本")})
QUESTION = Question("q", "In which country is the city of France-Ville?", "France", (), None, "test", "q")


def said(text: str, question: Question = QUESTION) -> Answer:
    every = tuple(range(1, len(text) + 1))
    return Answer(question, tuple(range(3 + len(text))), 3, TokenizedText(text, every, every), ended=True)


def read(answer: Answer, extraction: str) -> Answer:
    questions = QuestionSet("test", (answer.question,), VOCABULARY, "nobody", extraction=extraction)
    (found,) = with_exact_answers([answer], questions, NOBODY)
    return found


@pytest.mark.parametrize(
    ("text", "exact", "named", "why"),
    [
        ("It is in Brazil, near France.", "Brazil", ("Brazil",), None),
        ("It is in France.", "France", ("France",), None),
        ("日本。", "日本", ("Japan",), None),
        ("I do not know.", None, (), NOTHING_NAMED),
        (" \n", None, (), EMPTY),
        ("", None, (), EMPTY),
    ],
)
def test_the_first_answer_that_is_named(text: str, exact: str | None, named: tuple[str, ...], why: str | None) -> None:
    found = read(said(text), "names")
    assert (found.exact_text, found.named, found.why_missing, found.found_by) == (exact, named, why, "names")
    assert found.correct is None, "it is not judged here"


def test_the_answers_that_a_question_offers_count_in_place_of_the_sets() -> None:
    offering = replace(QUESTION, gold="nurse", choices=("carpenter", "nurse"))
    found = read(said("In France, it is the nurse.", offering), "names")
    assert (found.exact_text, found.named) == ("nurse", ("nurse",))


def test_the_subject_is_no_answer() -> None:
    subject = Span(QUESTION.text.index("France-"), len(QUESTION.text) - 1)
    found = read(said("France-Ville is in Brazil.", replace(QUESTION, subject=subject)), "names")
    assert found.exact_text == "Brazil"


TEXTS = st.lists(st.sampled_from(["France", "Brazil", "日本", "19", "9", "no", ",", ".", "\n", "-3.5"]), max_size=12)


@given(words=TEXTS, golds=st.permutations(["France", "Brazil", "Japan", "9", "19"]))
def test_the_correct_answer_has_no_part_in_it(words: list[str], golds: list[str]) -> None:
    for extraction in ("names", "number"):
        spans = {
            read(said(" ".join(words), replace(QUESTION, gold=gold, aliases=(other,))), extraction).exact
            for gold, other in pairwise(golds)
        }
        assert len(spans) == 1


@pytest.mark.parametrize(
    ("text", "exact", "number"),
    [
        ("5 + 4 = 9.", "9", "9"),
        ("It costs $1,200.50 in all", "1,200.50", "2401/2"),
        ("from 12 to −3.5 degrees", "−3.5", "-7/2"),
        ("in 2019-2020", "2020", "2020"),
        ("about 3/4 of it", "3/4", "3/4"),
        ("19", "19", "19"),
        ("the answer is **42**", "42", "42"),
        ("9 of them drink H2O", "9", "9"),
        ("It is 7, 1/0 is none", "7", "7"),
        ("答えは9です", "9", "9"),
        ("1.5e-3 in all", "1.5e-3", "3/2000"),
        ("1,200,000.5.", "1,200,000.5", "2400001/2"),
        ("12/25/2020", None, None),
        ("1.000.000", None, None),
        ("3,14", None, None),
        ("a dozen", None, None),
    ],
)
def test_the_last_number(text: str, exact: str | None, number: str | None) -> None:
    found = read(said(text), "number")
    assert found.exact_text == exact
    assert found.named == (() if number is None else (number,))
    assert found.why_missing == (NO_NUMBER if number is None else None)
    assert number_of(text) == (None if number is None else Fraction(number))


@given(st.fractions(), st.sampled_from(["", "It is ", "3 times 4 is\n"]), st.sampled_from(["", ".", " in all."]))
def test_any_number_is_read_as_it_is_written(number: Fraction, before: str, after: str) -> None:
    assert number_of(f"{before}{number}{after}") == number


@given(st.integers(), st.sampled_from(["", ".", "\n"]))
def test_thousands_may_have_commas(number: int, after: str) -> None:
    assert number_of(f"It is {number:,}{after}") == number


def test_a_users_exact_answer_is_that_of_the_column_whatever_the_rule() -> None:
    for extraction in ("names", "number", "prompted"):
        text = "9 of them, in Brazil or in 日本"
        known = replace(said(text), found_by=COLUMN)
        japan = read(replace(known, exact=Span(text.index("日"), len(text))), extraction)
        assert (japan.exact_text, japan.named, japan.found_by) == ("日本", ("Japan",), COLUMN)
        other = read(replace(known, exact=Span(2, 9)), extraction)
        assert (other.exact_text, other.named) == ("of them", ("of them",)), "it need not be a name of the set"
        none = read(replace(known, why_missing="none"), extraction)
        assert (none.exact, none.why_missing) == (None, "none")
