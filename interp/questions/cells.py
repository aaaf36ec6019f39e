"""The cells of a row: what each of them says of a question, and what is wrong with one that cannot be used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from typing import TypeGuard

from interp.examples import GivenAnswer, Question, Span
from interp.questions.tables import SHORT, SURROGATE, Fault
from interp.questions.vocabulary import fold, whole_words

NEEDED = ("question", "answer")
OPTIONAL = ("id", "aliases", "subject", "context", "group", "difficulty", "choices", "completion")
GIVEN = ("model_answer", "exact_answer")
COLUMNS = (*NEEDED, *OPTIONAL, *GIVEN)
NO_ANSWER = "NO ANSWER"
"""Stands in the column ``exact_answer`` where there is none."""
MAX_CHARACTERS = 100_000
"""No model reads a longer question; most often it is a quote that was not closed."""

Cells = Mapping[str, object]
"""A row's cells by the names of `COLUMNS`, without the empty ones."""


def question_of(dataset: str, cells: Cells, number: str) -> Question:
    """The row's question, which goes by the row's number without an id; raises a `Fault` if the row is bad."""
    asked = text_of(cells, "question")
    answers = _answers(cells.get("answer"))
    if asked is None or not answers:
        absent = "question" if asked is None else "answer"
        raise Fault(f"no {absent}", f"no {absent!r}; every row needs a question and an answer")
    text, context = asked.strip(), text_of(cells, "context")
    for name, long in (("question", text), ("context", context or "")):
        if len(long) > MAX_CHARACTERS:
            message = f"the {name} has {len(long):,} characters; give it at most {MAX_CHARACTERS:,}"
            raise Fault(f"{name} too long", message)
    gold, *aliases = dict.fromkeys((*answers, *_listed_names(cells, "aliases")))
    return Question(
        id=(text_of(cells, "id") or number).strip(),
        text=text,
        gold=gold,
        aliases=tuple(aliases),
        subject=_subject(cells, asked),
        dataset=dataset,
        group=_same_text(f"{context or ''} {text}"),
        difficulty=_difficulty(cells.get("difficulty")),
        context=context,
        completion=text_of(cells, "completion"),
        choices=_choices(cells, (gold, *aliases)),
    )


def text_of(values: Cells, name: str) -> str | None:
    """The value's text as it stands, or None if it has no more than spaces; raises a `Fault` if it is no text."""
    value = values.get(name)
    if value is None:
        return None
    if not _is_text_or_number(value):
        raise Fault(f"bad {name}", f"{name!r} is {SHORT.repr(value)}; write a text")
    text = written(value)
    return _encodable(text, name) if text.strip() else None


def written(value: object) -> str:
    """A text as it stands, and a number; a whole one without a point, as which tables with gaps keep whole numbers."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _same_text(text: str) -> str:
    """What two texts share that differ only in case, accents and spaces."""
    return " ".join(fold(text).split()) or text.strip()


def groups_of(cells: Cells) -> tuple[str, ...]:
    """The names of the groups that the row says it is of; none if it says nothing."""
    value = cells.get("group")
    if isinstance(value, list | tuple):
        return _texts(list(value), "group", "write a text, or a list of texts")
    text = text_of(cells, "group")
    return () if text is None else (text.strip(),)


def given_answer_of(cells: Cells, known: Set[str]) -> GivenAnswer | None:
    """What the model said, if the rows have it (`known` are the columns that some row has something in)."""
    if not known & set(GIVEN):
        return None
    said = text_of(cells, "model_answer")
    if said is None:
        message = "no 'model_answer', which other rows have; give it in every row, or leave the column out"
        if "model_answer" not in known:
            message = "an 'exact_answer' and no 'model_answer' that it stands in; give both, or leave the column out"
        raise Fault("no model answer", message)
    exact = cells.get("exact_answer")
    if "exact_answer" not in known:
        return GivenAnswer(said)
    if exact is None or (isinstance(exact, str) and exact.strip() in ("", NO_ANSWER)):
        return GivenAnswer(said, no_exact=True)
    return GivenAnswer(said, exact=_place(cells, "exact_answer", said, "the model's answer"))


def _answers(value: object) -> tuple[str, ...]:
    """The gold name and the aliases beside it; none if there is no answer."""
    return _texts(value if isinstance(value, list) else [value], "answer", "write a text, a number or a list")


def _listed_names(cells: Cells, name: str) -> tuple[str, ...]:
    """The texts of a cell that has them separated by ``|``, or as a list."""
    value = cells.get(name)
    parts = value.split("|") if isinstance(value, str) else list(value) if isinstance(value, tuple) else value
    remedy = "write names separated by '|', or a list of names"
    if parts is not None and not isinstance(parts, list):
        raise Fault(f"bad {name}", f"{name!r} is {SHORT.repr(value)}; {remedy}")
    return _texts(parts or [], name, remedy)


def _choices(cells: Cells, names: Sequence[str]) -> tuple[str, ...]:
    """The offered answers in their alphabetical order, which does not tell the gold one."""
    if "choices" not in cells:
        return ()
    choices = set(_listed_names(cells, "choices"))
    if len({fold(choice) for choice in choices}) < max(2, len(choices)):
        message = (
            f"the choices are {SHORT.repr(sorted(choices))}; write two or more that differ in more than their case"
        )
        raise Fault("no two choices", message)
    if names[0] not in choices:
        message = f"the answer {SHORT.repr(names[0])} is not among the choices; write it there in the same words"
        raise Fault("answer not offered", message)
    return tuple(sorted(choices))


def _texts(values: Sequence[object], name: str, remedy: str) -> tuple[str, ...]:
    """The values' texts, without the empty ones."""
    values = [value for value in values if value is not None]
    wrong = next((value for value in values if not _is_text_or_number(value)), None)
    if wrong is not None:
        raise Fault(f"bad {name}", f"{name!r} has {SHORT.repr(wrong)}; {remedy}")
    texts = [written(value).strip() for value in values if _is_text_or_number(value)]
    return tuple(_encodable(text, name) for text in texts if text)


def _subject(cells: Cells, asked: str) -> Span | None:
    """Where the subject stands in the question without the spaces around it."""
    if not isinstance(cells.get("subject"), list) and text_of(cells, "subject") is None:
        return None
    span = _place(cells, "subject", asked, "the question")
    n_spaces = len(asked) - len(asked.lstrip())
    return Span(span.start - n_spaces, span.stop - n_spaces)


def _place(cells: Cells, name: str, text: str, where: str) -> Span:
    """Where a cell's words stand in a text, first as whole words; or what its ``[start, stop]`` marks there."""
    what, value = name.replace("_", " "), cells[name]
    if isinstance(value, list):
        return _marked(value, name, text, where)
    words = (text_of(cells, name) or "").strip()
    start = text.find(words)
    if start < 0:
        message = f"the {what} {SHORT.repr(words)} does not stand in {where}; copy it from there"
        raise Fault(f"bad {what}", message)
    as_written = (span for span in whole_words(text, words) if span.of(text) == words)
    return next(as_written, Span(start, start + len(words)))


def _marked(offsets: object, name: str, text: str, where: str) -> Span:
    match offsets:
        case [bool(), _] | [_, bool()]:
            pass
        case [int(start), int(stop)] if 0 <= start < stop <= len(text) and text[start:stop].strip():
            words = text[start:stop]
            begin = start + len(words) - len(words.lstrip())
            return Span(begin, begin + len(words.strip()))
    what = name.replace("_", " ")
    message = f"the {what} {SHORT.repr(offsets)} marks no text of {where}; write [start, stop] in characters"
    raise Fault(f"bad {what}", message)


def _difficulty(value: object) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Fault("bad difficulty", f"'difficulty' is {SHORT.repr(value)}; write a number or leave it out")
    return number


def _is_text_or_number(value: object) -> TypeGuard[str | int | float]:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _encodable(text: str, name: str) -> str:
    if SURROGATE.search(text):
        raise Fault("not UTF-8", f"{name!r} has half a character (a lone surrogate); write it whole or leave it out")
    return text
