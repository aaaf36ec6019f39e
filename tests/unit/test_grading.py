"""When an answer is correct, as far as that needs no model."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.answers.grading import agrees, graded, names_in, normalised
from interp.examples import Answer, Question, Span, TokenizedText
from tests.respondents import NOBODY


def answer(text: str, exact: str | None, gold: str, *aliases: str, named: tuple[str, ...] = ()) -> Answer:
    question = Question("q", "Who?", gold, aliases, None, "test", "q")
    span = None if exact is None else Span(text.index(exact), text.index(exact) + len(exact))
    return Answer(question, (1, 2), 1, TokenizedText(text, (1,), (1,)), ended=True, exact=span, named=named)


def verdict(rule: str, judged: Answer) -> bool | None:
    (found,) = graded([judged], rule, NOBODY)
    return found.correct


@pytest.mark.parametrize(
    ("rule", "judged", "expected"),
    [
        ("named", answer("In Zaire.", "Zaire", "DR Congo", named=("DR Congo",)), True),
        ("named", answer("In Congo.", "Congo", "Congo", named=("DR Congo", "Congo")), True),
        ("named", answer("In C++.", "C++", "C", named=("C++",)), False),
        ("match", answer("It is the Beatles!", "the Beatles", "Beatles"), True),
        ("match", answer("André-Marie Ampère", "André-Marie Ampère", "andre marie ampere"), True),
        ("match", answer("It is Paris, France", "Paris", "Paris, France", "Paris"), True),
        ("match", answer("It is 1.5", "1.5", "15"), False),
        ("match", answer("It is 19", "19", "9"), False),
        ("match", answer("It is -5", "-5", "5"), False),
        ("match", answer("It is −5", "−5", "-5"), True),
        ("match", answer("It is .5", ".5", "5"), False),
        ("match", answer("It is 1,200", "1,200", "1200"), True),
        ("match", answer("It is 1,20", "1,20", "120"), False),
        ("match", answer("It is COVID-19!", "COVID-19", "covid 19"), True),
        ("match", answer("It is 5%", "5%", "5"), True),
        ("match", answer("STRASSE", "STRASSE", "Straße"), True),
        ("match", answer("(A)", "(A)", "A"), True),
        ("match", answer("**A.**", "**A.**", "A"), True),
        ("match", answer("(B)", "(B)", "A"), False),
        ("match", answer("vitamin A", "vitamin A", "vitamin"), False),
        ("match", answer("In Washington DC", "Washington DC", "Washington, D.C."), True),
        ("match", answer("The U.S.", "The U.S.", "US"), True),
        ("match", answer("US-based", "US-based", "U.S.-based"), True),
        ("match", answer("A.I.", "A.I.", "I"), False),
        ("match", answer("JRR Tolkien", "JRR Tolkien", "J. R. R. Tolkien"), True),
        ("match", answer("J.R.R. Tolkien", "J.R.R. Tolkien", "JRR Tolkien"), True),
        ("match", answer("V.I.Lenin", "V.I.Lenin", "VI Lenin"), True),
        ("match", answer("ONeill", "ONeill", "O’Neill"), True),
        ("match", answer("The The", "The The", "the the"), True),
        ("match", answer("An A", "An A", "the"), False),
        ("contains", answer("They are 19", "19", "9"), True),
        ("contains", answer("It is SPANISH", "SPANISH", "Span"), True),
        ("contains", answer("It is Paris", "Paris", "Lyon", "paris"), True),
        ("contains", answer("It is Paris", "Paris", "Lyon"), False),
        ("number", answer("It is 9.0 in all", "9.0", "9"), True),
        ("number", answer("It is 1,200", "1,200", "1200.0"), True),
        ("number", answer("It is 19", "19", "9"), False),
        ("number", answer("It is nine", "nine", "9"), False),
    ],
)
def test_each_rule_says_what_is_correct(rule: str, judged: Answer, expected: bool) -> None:
    assert verdict(rule, judged) is expected


def test_answers_that_name_the_same_are_alike() -> None:
    said = [answer(f"It is {exact}", exact, "Oz") for exact in ("Narnia", "narnia", "the Narnia", "NARNIA.")]
    assert {names_in(each) for each in said} == {("narnia",)}
    assert names_in(answer("In Congo", "Congo", "Oz", named=("DR Congo", "Congo"))) == ("congo", "dr congo")
    assert names_in(answer("I do not know", None, "Oz")) == ("",)


@pytest.mark.parametrize("rule", ["named", "match", "contains", "number"])
def test_without_an_exact_answer_nothing_is_judged(rule: str) -> None:
    assert verdict(rule, answer("It is Paris", None, "Paris")) is None


@pytest.mark.parametrize(
    ("judged", "expected"),
    [
        (answer("They are 19", "19", "9"), False),
        (answer("They are 9.0", "9.0", "9"), True),
        (answer("the Beatles", "the Beatles", "Beatles"), True),
        (answer("In Zaire", "Zaire", "DR Congo", named=("DR Congo",)), True),
        (answer("Zaire, not Congo", "Zaire", "Congo"), False),
        (answer("Apollo 11", "Apollo 11", "Ocean's 11"), False),
    ],
)
def test_whether_the_exact_answer_itself_is_the_correct_one(judged: Answer, expected: bool) -> None:
    assert agrees(judged) is expected


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(TEXTS)
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@given(st.lists(st.text("bcdefghijk", min_size=1), min_size=1, max_size=4))
def test_case_articles_and_punctuation_make_no_difference(words: list[str]) -> None:
    assert normalised(f"The {', '.join(words)}!".upper()) == " ".join(words)


def test_the_exact_answer_is_not_changed_by_its_judgement() -> None:
    before = answer("It is Paris", "Paris", "Paris")
    (after,) = graded([before], "match", NOBODY)
    assert replace(after, correct=None) == before


def test_what_is_no_number_is_not_the_same_number() -> None:
    assert verdict("number", answer("It is many", "many", "a few")) is False
