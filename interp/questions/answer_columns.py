"""Columns of answers that a probe may be trained to predict, and of what kind each of them is.

A column is what an answer itself says (`COLUMNS`), or a column of the user's question file. Its kind:

===========  =======================================================================================================
``binary``   two values; or True and False
``classes``  three values or more
``number``   more than two values that are all numbers (in CSV they are texts), unless they are names (`IDENTIFIERS`)
===========  =======================================================================================================

A missing value is none: the answer is left out, and counted. So is one whose class has fewer than `MIN_PER_CLASS`. A
number that is not finite, among numbers, is an error.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from interp.errors import InputError
from interp.examples import Answer

Value = str | bool | int | float
MIN_PER_CLASS = 20
"""With fewer examples of either class than this no probe is fitted."""
KINDS = ("binary", "classes", "number")
IDENTIFIERS = ("group", "id")
"""Columns whose values are names though they may be written in digits: numbers only if the user says so."""
MAX_CLASSES = 30
"""With more classes a map would take hours, and nobody could read what it is of."""
SHOWN = 5
AFFIRMATIVE = {frozenset({"true", "false"}): "true", frozenset({"yes", "no"}): "yes", frozenset({"1", "0"}): "1"}
"""Of pairs of values, lower-case, the one that is the positive class, however frequent it is."""

COLUMNS: dict[str, Callable[[Answer], Value | None]] = {
    "gold": lambda answer: answer.question.gold,
    "group": lambda answer: answer.question.group,
    "difficulty": lambda answer: answer.question.difficulty,
    "subject": lambda answer: answer.question.subject_text,
    "n_prompt": lambda answer: answer.n_prompt,
    "n_generated": lambda answer: answer.n_generated,
    "ended": lambda answer: answer.ended,
    "exact_text": lambda answer: answer.exact_text,
    "named": lambda answer: "|".join(answer.named) or None,
    "found_by": lambda answer: answer.found_by,
    "correct": lambda answer: answer.correct,
    "why_missing": lambda answer: answer.why_missing,
}
"""What answers themselves say, by the name of the column in ``answers.parquet`` (of spans, their text)."""


@dataclass(frozen=True)
class Target:
    """What is to be predicted, and of which answers."""

    name: str
    kind: str
    """One of `KINDS`."""
    rows: tuple[int, ...]
    """The answers that are probed, as indices."""
    values: tuple[str, ...] | tuple[float, ...]
    """For each of them what is to be predicted: a number, or the name of its class."""
    positive: str | None = None
    """Of two classes the positive one: the one that says yes, or else the less frequent."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """How many answers are not probed, by reason."""

    @property
    def metric(self) -> str:
        """What the values of its map are, in words."""
        if self.kind == "number":
            return f"R² of {self.name}"
        if self.kind == "classes":
            return f"macro AUC of {self.name} (one against the rest)"
        says_yes = str(self.positive).lower() in AFFIRMATIVE.values()
        return f"AUC of {self.name}" + ("" if says_yes else f" = {self.positive}")

    @property
    def counts(self) -> dict[str, int]:
        """How many answers are of each class, or have a number, and how many are left out and why."""
        if self.kind == "number":
            return {f"with {self.name}": len(self.values), **self.left_out}
        return {f"{self.name} = {value}": n for value, n in Counter(self.values).most_common()} | dict(self.left_out)


def answer_column(
    name: str, answers: Sequence[Answer], columns: Mapping[str, Mapping[str, Value]]
) -> list[Value | None]:
    """The values of a column, one for each answer; None where it is missing.

    Parameters
    ----------
    name
        One of `COLUMNS`, or of `columns`.
    answers
        The answers.
    columns
        Columns of the questions, as `QuestionSet.columns` has them: values by the question's id.
    """
    if name in COLUMNS:
        return [COLUMNS[name](answer) for answer in answers]
    return [columns[name].get(answer.question.id) for answer in answers]


def target_of(
    name: str, values: Sequence[Value | None], kind: str = "auto", questions: Sequence[str] | None = None
) -> Target:
    """What to predict, from the values of a column.

    Parameters
    ----------
    name
        What the column is called.
    values
        One for each answer; None, an empty text and NaN are missing.
    kind
        One of `KINDS`, or ``auto``: as the values are.
    questions
        The id of each answer's question, for errors.

    Raises
    ------
    InputError
        If the values cannot be predicted as this kind: one value only, a text or what is not finite among numbers, too
        few of a class.
    """
    texts = {row: text for row, value in enumerate(values) if (text := _text(value))}
    missing = {f"without {name}": len(values) - len(texts)} if len(texts) < len(values) else {}
    counts = Counter(texts.values())
    if len(counts) < 2:
        only = f"{next(iter(counts))!r} in every answer that has it" if counts else "missing in every answer"
        raise InputError(f"{name} is {only}; --labels needs a column with two values or more")
    numbers = {row: number for row, text in texts.items() if (number := _number(text)) is not None}
    if kind == "number" or (kind == "auto" and len(counts) > 2 and _are_numbers(name, numbers, len(texts))):
        _require_finite(name, texts, numbers, questions)
        return Target(name, "number", tuple(numbers), tuple(numbers.values()), left_out=missing)
    if kind == "binary" and len(counts) > 2:
        raise InputError(f"{name} has {len(counts)} values ({_shown(counts)}); take --label-kind classes or number")
    kept = _kept_classes(name, counts)
    rows = tuple(row for row, text in texts.items() if text in kept)
    rare = f"{name} of a class with fewer than {MIN_PER_CLASS} answers"
    left_out = missing | ({rare: len(texts) - len(rows)} if len(rows) < len(texts) else {})
    classes = tuple(texts[row] for row in rows)
    if len(kept) == 2:
        return Target(name, "binary", rows, classes, _positive(kept, counts), left_out)
    return Target(name, "classes", rows, classes, left_out=left_out)


def _are_numbers(name: str, numbers: Mapping[int, float], n: int) -> bool:
    """Whether `n` values of a column are for numbers; what is not finite does not make them texts."""
    return name.lower() not in IDENTIFIERS and len(numbers) == n and any(map(math.isfinite, numbers.values()))


def _require_finite(
    name: str, texts: Mapping[int, str], numbers: Mapping[int, float], questions: Sequence[str] | None
) -> None:
    """Raise an `InputError` if a text is not that of a finite number."""
    for row, text in texts.items():
        if not math.isfinite(numbers.get(row, math.nan)):
            where = "an answer" if questions is None else f"the answer to question {questions[row]!r}"
            kind = "not finite" if row in numbers else "no number"
            raise InputError(f"{name} is {text!r} in {where}, which is {kind}; empty it, or take --label-kind classes")


def _kept_classes(name: str, counts: Mapping[str, int]) -> list[str]:
    """The classes that are told apart, in alphabetical order."""
    kept = sorted(text for text, n in counts.items() if n >= MIN_PER_CLASS)
    if len(kept) < 2:
        raise InputError(
            f"{name} has {len(counts)} values in {sum(counts.values())} answers ({_shown(counts)}), and "
            f"{len(kept) or 'none'} of them {MIN_PER_CLASS} times or more; two such are needed: take a coarser column, "
            "or ask more questions (--n)"
        )
    if len(kept) > MAX_CLASSES:
        raise InputError(
            f"{name} has {len(kept)} classes of {MIN_PER_CLASS} answers or more, and at most {MAX_CLASSES} are told "
            "apart; take a coarser column, or --label-kind number if they are numbers"
        )
    return kept


def _positive(kept: Sequence[str], counts: Mapping[str, int]) -> str:
    said = AFFIRMATIVE.get(frozenset(text.lower() for text in kept))
    return next((text for text in kept if text.lower() == said), min(kept, key=lambda text: counts[text]))


def _shown(counts: Mapping[str, int]) -> str:
    """The most frequent values, with their numbers."""
    shown = [f"{text[:30]!r} {n}" for text, n in Counter(counts).most_common(SHOWN)]
    return ", ".join([*shown, *(["…"] if len(counts) > SHOWN else [])])


def _text(value: Value | None) -> str | None:
    """A value as a text, the same for a number in whatever form a file has it; None if it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() or None


def _number(text: str) -> float | None:
    if "_" in text:  # To Python 1_2 is 12.
        return None
    try:
        return float(text)
    except ValueError:
        return None
