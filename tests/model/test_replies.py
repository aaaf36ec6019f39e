"""What a model is asked about an answer: to copy the exact answer, and for a verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from interp.answers.extraction import NOT_COPIED, READ_AS_NONE, with_exact_answers
from interp.answers.grading import NO_VERDICT, graded
from interp.answers.replies import Reader
from interp.errors import InputError
from interp.examples import Answer, Question, TokenizedText
from interp.questions.question_set import QuestionSet
from interp.questions.vocabulary import Vocabulary
from tests.respondents import Mute, Scripted

TEXTS = {
    "a": "It is the old Danube, I think.",
    "b": "I do not know.",
    "c": "It is 19\n or the like.",
    "d": " \n ",
    "e": "Ångström, of course",
}
QUESTIONS = {i: Question(i, f"Who is {i}?", "danube", (), None, "test", i) for i in TEXTS}
OPEN = QuestionSet("test", tuple(QUESTIONS.values()), Vocabulary({}), "nobody", extraction="prompted")


def said(identifier: str) -> Answer:
    text = TEXTS[identifier]
    every = tuple(range(1, len(text) + 1))
    return Answer(QUESTIONS[identifier], tuple(range(len(text) + 2)), 2, TokenizedText(text, every, every), ended=True)


def scripted(tokenizer: PreTrainedTokenizerFast, replies: dict[str, list[str]]) -> Scripted:
    def reply(identifier: str, request: str, attempt: int) -> str:
        assert f"Who is {identifier}?" in request
        assert " ".join(TEXTS[identifier].split()) in request
        return replies[identifier][min(attempt, len(replies[identifier]) - 1)]

    return Scripted(Mute(tokenizer), 1, Path("nowhere"), reply)


def asked(respondent: Scripted, tries: int) -> Reader:
    return Reader(respondent, "answers", tries, seed=0)


def test_the_exact_answer_is_what_is_copied_as_whole_words(tokenizer: PreTrainedTokenizerFast) -> None:
    reader = scripted(
        tokenizer,
        {
            "a": [' "the old danube".\nBecause it is long.'],
            "b": ["No answer."],
            "c": ["9", ' "" ', " **19** "],
            "e": ["Short answer: angstrom"],
        },
    )
    found = with_exact_answers([said(i) for i in TEXTS], OPEN, asked(reader, 5))
    assert {answer.question.id: answer.exact_text for answer in found} == {
        "a": "the old Danube",
        "b": None,
        "c": "19",
        "d": None,
        "e": "Ångström",
    }
    assert [answer.why_missing for answer in found] == [None, READ_AS_NONE, None, "empty answer", None]
    assert [answer.named for answer in found] == [("the old Danube",), (), ("19",), (), ("Ångström",)]
    assert {answer.found_by for answer in found} == {"prompted"}
    attempts = [(name, identifier, sampling is None) for name, identifier, sampling in reader.asked]
    assert ("answers-exact-answers-1", "d", True) not in attempts, "an empty answer is not asked about"
    assert attempts[-2:] == [("answers-exact-answers-2", "c", False), ("answers-exact-answers-3", "c", False)]


def test_after_so_many_tries_there_is_none(tokenizer: PreTrainedTokenizerFast) -> None:
    for reply in ("9", "", "a" * 200, "something else", "It is 19 or the like. " * 20):
        reader = scripted(tokenizer, {"c": [reply]})
        (found,) = with_exact_answers([said("c")], OPEN, asked(reader, 3))
        assert (found.exact, found.why_missing) == (None, NOT_COPIED)
        assert len(reader.asked) == 3
    with pytest.raises(InputError, match="--tries is 0"):
        with_exact_answers([said("c")], OPEN, asked(scripted(tokenizer, {}), 0))


def test_the_correct_answer_is_not_in_the_request(tokenizer: PreTrainedTokenizerFast) -> None:
    secret = [replace(said("b"), question=replace(QUESTIONS["b"], gold="Xanadu", aliases=("Shangdu",)))]

    def reply(identifier: str, request: str, attempt: int) -> str:
        assert "Xanadu" not in request
        assert "Shangdu" not in request
        return "know"

    reader = Scripted(Mute(tokenizer), 1, Path("nowhere"), reply)
    (found,) = with_exact_answers(secret, OPEN, asked(reader, 1))
    assert found.exact_text == "know"


def test_a_judge_is_asked_where_the_correct_answer_does_not_stand_in_the_text(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    reader = scripted(tokenizer, {"a": ["the old Danube"], "b": ["know"], "c": ["19"], "e": ["of course"]})
    read = with_exact_answers([said(i) for i in TEXTS], OPEN, asked(reader, 1))
    judge = scripted(tokenizer, {"b": ["Verdict: 1"], "c": ["well", " 0\n1"], "e": ["who knows"]})
    judged = graded(read, "judged", asked(judge, 2))
    assert {answer.question.id: answer.correct for answer in judged} == {
        "a": True,
        "b": True,
        "c": False,
        "d": None,
        "e": None,
    }
    assert judged[-1].why_missing == NO_VERDICT
    assert all(identifier not in "ad" for _, identifier, _ in judge.asked)
