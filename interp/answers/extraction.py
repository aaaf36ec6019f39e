"""Exact answers: the words of a model's text that are its answer, found without looking at the correct one.

============  ========================================================================================================
rule          exact answer
============  ========================================================================================================
``names``     the first of the answers that count (those of the set, or those that the question offers), as whole words
``number``    the last number (as lm-evaluation-harness's ``flexible-extract``)
``prompted``  what a model copies out of the text, as whole words of it, or that there is NO ANSWER (as Orgad et al.
              2024 do for wrong answers; here for all alike)
============  ========================================================================================================

Where the user's own column says what the exact answer is, that is it, whatever the rule (`found_by` ``"column"``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache

from interp.answers.replies import Reader
from interp.examples import Answer, Span
from interp.questions.cells import NO_ANSWER
from interp.questions.question_set import QuestionSet
from interp.questions.vocabulary import Vocabulary, whole_words

COLUMN = "column"
EMPTY = "empty answer"
NOTHING_NAMED = "names no known answer"
NO_NUMBER = "has no number"
NO_EXACT = "no exact answer, says the column"
READ_AS_NONE = "no exact answer, says the reader"
NOT_COPIED = "the reader copied no words of it"
REQUEST = """\
Copy from the long answer the few words that answer the question, and nothing else. If the long answer does not answer \
the question, write NO ANSWER.

Question: {question}
Long answer: {answer}
Short answer:"""
SHOTS = (
    (
        REQUEST.format(
            question="Who was the first woman to walk on Mars?",
            answer="I am afraid that there is a misunderstanding: nobody has been on Mars yet. Would you like to know "
            "who was the first woman in space?",
        ),
        NO_ANSWER,
    ),
    (
        REQUEST.format(
            question="Which river flows through Vienna?",
            answer="Vienna is the capital of Austria. It lies on the Danube, the second longest river in Europe, and "
            "has about two million inhabitants.",
        ),
        "Danube",
    ),
)
"""Shown as earlier turns, each with the whole instruction. How well a model copies: benchmarks/extraction.py."""
_NUMBER = re.compile(r"(?<![A-Za-z\d/])(?<!\d[.,])[-−]?\d+(?:,\d{3})*(?:\.\d+)?(?:[Ee][-+]?\d+|/\d+)?(?![\d/]|[.,]\d)")
"""A sign counts if it does not stand between two words or numbers (2019-2020), and digits do within no word (H2O), no
date (1/2/2003) and no more than one point (1.000.000)."""
_MARKUP = "\"'`*“”‘’ .\t"


def with_exact_answers(answers: Sequence[Answer], questions: QuestionSet, reader: Reader) -> list[Answer]:
    """The answers with their exact answers, or with why they have none.

    Parameters
    ----------
    answers
        What the model said.
    questions
        The set they answer, with its rule and its names.
    reader
        Who copies exact answers, for ``prompted``; nobody else is asked.
    """
    decided = {answer.question.id: _decided(answer, questions) for answer in answers}
    undecided = [answer for answer in answers if decided[answer.question.id] is None]
    if undecided and questions.extraction == "prompted":
        decided |= _copied(undecided, reader)
    elif undecided:
        rule = {"names": _named, "number": _numbered}[questions.extraction]
        decided |= {answer.question.id: rule(answer, questions.vocabulary) for answer in undecided}
    return [found for answer in answers if (found := decided[answer.question.id]) is not None]


def number_of(text: str) -> Fraction | None:
    """The last number in a text: ``1,200``, ``-3.5``, ``3/4``; None if there is none."""
    span = _last_number(text)
    return _value(span.of(text)) if span else None


def _decided(answer: Answer, questions: QuestionSet) -> Answer | None:
    """The answer where nothing is to be looked for, because the user has said it or it is empty; else None."""
    if answer.found_by == COLUMN:
        words = answer.exact_text
        return answer if words is None else replace(answer, named=questions.vocabulary.answers_of(words) or (words,))
    if not answer.text.strip():
        return replace(answer, found_by=questions.extraction, why_missing=EMPTY)
    return None


def _named(answer: Answer, vocabulary: Vocabulary) -> Answer:
    offered = _vocabulary_of(answer.question.choices) if answer.question.choices else vocabulary
    naming = offered.first_named(answer.text, answer.question.subject_text)
    if naming is None:
        return replace(answer, found_by="names", why_missing=NOTHING_NAMED)
    return replace(answer, exact=naming.span, named=naming.answers, found_by="names")


@cache
def _vocabulary_of(choices: tuple[str, ...]) -> Vocabulary:
    return Vocabulary({choice: (choice,) for choice in choices})


def _numbered(answer: Answer, vocabulary: Vocabulary) -> Answer:  # noqa: ARG001 (a rule takes the set's names)
    span = _last_number(answer.text)
    if span is None:
        return replace(answer, found_by="number", why_missing=NO_NUMBER)
    return replace(answer, exact=span, named=(f"{_value(span.of(answer.text))}",), found_by="number")


def _last_number(text: str) -> Span | None:
    spans = [Span(*match.span()) for match in _NUMBER.finditer(text)]
    return next((span for span in reversed(spans) if _value(span.of(text)) is not None), None)


def _value(number: str) -> Fraction | None:
    try:
        return Fraction(number.replace(",", "").replace("−", "-"))
    except (ValueError, ZeroDivisionError):
        # 7.5/2 is no fraction, and 1/0 is no number.
        return None


def _copied(answers: Sequence[Answer], reader: Reader) -> dict[str, Answer]:
    """What a model copies out of each text; it is asked again while that is not in the text."""
    texts = {answer.question.id: answer.text for answer in answers}

    def span_of(identifier: str, reply: str) -> Span | str | None:
        words = reply.strip().partition("\n")[0].removeprefix("Short answer:").strip(_MARKUP)
        if words.upper() == NO_ANSWER:
            return NO_ANSWER
        return next(whole_words(texts[identifier], words), None) if words else None

    requests = {
        answer.question.id: REQUEST.format(question=answer.question.text, answer=" ".join(answer.text.split()))
        for answer in answers
    }
    spans: Mapping[str, Span | str] = reader.useful_replies("exact-answers", requests, span_of, shots=SHOTS)
    return {answer.question.id: _with_copy(answer, spans.get(answer.question.id)) for answer in answers}


def _with_copy(answer: Answer, copied: Span | str | None) -> Answer:
    if isinstance(copied, Span):
        return replace(answer, exact=copied, named=(copied.of(answer.text),), found_by="prompted")
    why = READ_AS_NONE if copied == NO_ANSWER else NOT_COPIED
    return replace(answer, found_by="prompted", why_missing=why)
