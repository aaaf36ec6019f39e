"""Grading: whether an answer is correct. A step of its own, after the exact answer has been found without it.

============  ========================================================================================================
rule          correct if
============  ========================================================================================================
``named``     the exact answer names the correct one, of a set whose answers are all known
``match``     exact and correct answer are the same but for case, accents, articles, punctuation and spaces (as SQuAD:
              Rajpurkar et al. 2016, section 6.1; but points and signs of numbers count, and an ``a`` with no word after
              it is no article: the answer may be the letter)
``contains``  a name of the correct answer stands anywhere in the text, be it inside a longer word and whatever the case
              (as Orgad et al. 2024, github.com/technion-cs-nlp/LLMsKnow, for their open sets)
``number``    exact and correct answer are the same number
``judged``    ``contains``, or else a model says so (as Orgad et al. 2024 for Natural Questions)
============  ========================================================================================================

An answer without an exact answer is not judged: it has no token to map.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace

from interp.answers.extraction import number_of
from interp.answers.replies import Reader
from interp.examples import Answer
from interp.questions.vocabulary import fold

NO_VERDICT = "the judge gave no verdict"
REQUEST = """\
Compare an answer with the true answer to a question. Write 1 if it says the same, and 0 if it does not.

Question: {question}
True answer: {gold}
Answer: {answer}
Verdict:"""
SHOTS = (
    (
        REQUEST.format(
            question="Who painted the ceiling of the Sistine Chapel?",
            gold="Michelangelo",
            answer="It was painted by Raphael, a great painter of the Renaissance, for Pope Julius II.",
        ),
        "0",
    ),
    (
        REQUEST.format(
            question="Which river flows through Vienna?",
            gold="the Danube",
            answer="It is the Donau, which goes on to Bratislava and Budapest.",
        ),
        "1",
    ),
)
_ARTICLE = re.compile(r"\b(?:a|an|the)\s+(?=\S)")
_APOSTROPHE = re.compile("['’‘ʼʻ`]")
_INITIALS = re.compile(r"(?<!\w)[^\W\d_](?:(?:\.[^\W\d_](?!\w))+|\.(?:\s+[^\W\d_]\.)+)")
"""Of names and abbreviations: ``U.S``, ``J. R. R.``"""
_PUNCTUATION = re.compile(r"(?<!\d)(?!(?<!\w)[-−.]\d)[^\w\s]|[^\w\s](?!\d)|_")
"""A sign that is not within a number, and does not begin one (-5, .5)."""
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def graded(answers: Sequence[Answer], rule: str, judge: Reader) -> list[Answer]:
    """The answers with their verdicts, by a rule of the module's table.

    Parameters
    ----------
    answers
        Answers whose exact answers have been looked for.
    rule
        When an answer is correct.
    judge
        Who judges, for ``judged``; nobody else is asked.
    """
    if rule == "judged":
        return _judged(answers, judge)
    is_correct = _RULES[rule]
    return [answer if answer.exact is None else replace(answer, correct=is_correct(answer)) for answer in answers]


def agrees(answer: Answer) -> bool:
    """Whether the exact answer itself is the correct one: named so, the same words, or a number and the same."""
    is_number = not any(character.isalpha() for character in answer.question.gold)
    return _is_named(answer) or _matches(answer) or (is_number and _is_same_number(answer))


def normalised(text: str) -> str:
    """A text without case, accents, articles, punctuation and surplus spaces, unless nothing would be left of it.

    A sign is as good as a space, but an apostrophe, and points between initials, are as good as nothing: ``u.s.`` is
    ``us``, ``o'neill`` is ``oneill``.
    """
    folded = _APOSTROPHE.sub("", _THOUSANDS.sub("", fold(text).replace("−", "-")))
    closed = _INITIALS.sub(lambda initials: "".join(filter(str.isalpha, initials[0])) + " ", folded)
    words = " ".join(_PUNCTUATION.sub(_space_or_mark, closed).split())
    return _ARTICLE.sub("", words) or " ".join(fold(text).split())


def names_in(answer: Answer) -> tuple[str, ...]:
    """What an answer names, `normalised` and in order: two that name the same are alike, however they say it."""
    return tuple(sorted(normalised(name) for name in answer.named or (answer.exact_text or "",)))


def _space_or_mark(sign: re.Match[str]) -> str:
    """A space for a sign; vowel signs and the like, which are no letters to Python, are left."""
    return sign[0] if unicodedata.category(sign[0]).startswith("M") else " "


def _is_named(answer: Answer) -> bool:
    return answer.question.gold in answer.named


def _matches(answer: Answer) -> bool:
    said = normalised(answer.exact_text or "")
    return any(normalised(name) == said for name in answer.question.names)


def _contains(answer: Answer) -> bool:
    return any(name.lower() in answer.text.lower() for name in answer.question.names)


def _is_same_number(answer: Answer) -> bool:
    said = number_of(answer.exact_text or "")
    return said is not None and said == number_of(answer.question.gold)


_RULES: dict[str, Callable[[Answer], bool]] = {
    "named": _is_named,
    "match": _matches,
    "contains": _contains,
    "number": _is_same_number,
}


def _judged(answers: Sequence[Answer], judge: Reader) -> list[Answer]:
    contained = {answer.question.id for answer in answers if _contains(answer)}
    requests = {
        answer.question.id: REQUEST.format(
            question=answer.question.text, gold=answer.question.gold, answer=" ".join(answer.text.split())
        )
        for answer in answers
        if answer.exact is not None and answer.question.id not in contained
    }
    verdicts = judge.useful_replies("verdicts", requests, _verdict, shots=SHOTS)
    return [
        _with_verdict(answer, answer.question.id in contained or verdicts.get(answer.question.id)) for answer in answers
    ]


def _with_verdict(answer: Answer, verdict: bool | None) -> Answer:
    if answer.exact is None:
        return answer
    return replace(answer, correct=verdict, why_missing=NO_VERDICT if verdict is None else None)


def _verdict(identifier: str, reply: str) -> bool | None:  # noqa: ARG001 (every reply is read alike)
    digits = [character for character in reply if character in "01"]
    return digits[0] == "1" if digits else None
