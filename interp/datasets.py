"""Question sets by name or from a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from interp.cities import city_questions
from interp.errors import InputError, unknown_name
from interp.examples import PromptParts, Question, Span
from interp.questions import QuestionSet, seeded_order
from interp.vocabulary import Vocabulary

BUILT_IN = {"cities": city_questions}
FILE_SUFFIXES = (".csv", ".jsonl")


def load_questions(dataset: str, *, n: int, seed: int) -> QuestionSet:
    """Draw `n` questions from a question set.

    Parameters
    ----------
    dataset
        ``"cities"``, or the path of a ``.csv`` or ``.jsonl`` file whose rows have ``question`` and ``answer`` and
        may have ``id``, ``aliases`` (separated by ``|``), ``subject``, ``group`` and ``difficulty``. In a file, the
        answers that count are all answers of its rows.
    n
        How many questions to draw.
    seed
        Decides which ones, and in what order.

    Raises
    ------
    InputError
        If the set is not known, a row is malformed, or there are fewer than `n` questions.
    """
    if n < 1:
        raise InputError(f"cannot draw {n} questions; give --n a number from 1")
    if dataset in BUILT_IN:
        return BUILT_IN[dataset](n, seed)
    path = Path(dataset)
    if path.suffix.lower() not in FILE_SUFFIXES:
        raise unknown_name("dataset", dataset, BUILT_IN, "Or give the path of a .csv or .jsonl file.")
    if not path.is_file():
        raise InputError(f"no question file at {path}; give the path of an existing .csv or .jsonl file")
    return _file_questions(path, n, seed)


def _file_questions(path: Path, n: int, seed: int) -> QuestionSet:
    questions = [_file_question(path, number, row) for number, row in _rows(path)]
    _require_unique_ids(path, questions)
    if len(questions) < n:
        raise InputError(
            f"{path} has {len(questions)} questions, {n} were asked for; give --n {len(questions)} or less"
        )
    names: dict[str, tuple[str, ...]] = {}
    for question in questions:
        known = names.get(question.gold, (question.gold,))
        names[question.gold] = tuple(dict.fromkeys((*known, *question.aliases)))
    drawn = sorted(questions, key=lambda question: seeded_order(question.id, seed))[:n]
    return QuestionSet(path.stem, tuple(drawn), Vocabulary(names), credit=f"the author of {path.name}")


def _rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Each row with the number that an editor shows for its line (its last line, where a CSV field has several)."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".csv":
                reader = csv.DictReader(file, strict=True)
                for row in reader:
                    yield reader.line_num, dict(row)
            else:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield number, _json_row(path, number, line)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a readable UTF-8 {path.suffix} file: {error}; save it as UTF-8") from error


def _json_row(path: Path, number: int, line: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {number}: not JSON ({error.msg}); write one object on each line") from error
    if not isinstance(row, dict):
        raise InputError(f"{path}, line {number}: not an object; write one object on each line")
    return row


def _file_question(path: Path, number: int, row: dict[str, object]) -> Question:
    where = f"{path}, line {number}"
    fields = {str(key).strip().lower(): value for key, value in row.items() if value not in (None, "")}
    text, gold = _text(fields, "question", where), _text(fields, "answer", where)
    if text is None or gold is None:
        absent = "question" if text is None else "answer"
        raise InputError(
            f"{where}: no {absent!r}; every row needs a question and an answer (found: {', '.join(fields)})"
        )
    identifier = _text(fields, "id", where) or f"{number}"
    subject = _text(fields, "subject", where)
    start = text.find(subject) if subject else -1
    if subject and start < 0:
        raise InputError(f"{where}: the subject {subject!r} does not stand in the question; copy it from there")
    return Question(
        id=identifier,
        prompt_parts=PromptParts("", text, ""),
        gold=gold,
        aliases=_aliases(fields.get("aliases"), where),
        subject=Span(start, start + len(subject)) if subject else None,
        dataset=path.stem,
        group=_text(fields, "group", where) or text,
        difficulty=_number(fields.get("difficulty"), where),
    )


def _text(fields: Mapping[str, object], name: str, where: str) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value).strip() or None
    raise InputError(f"{where}: {name!r} is {value!r}; write a text")


def _aliases(value: object, where: str) -> tuple[str, ...]:
    parts = value.split("|") if isinstance(value, str) else value if isinstance(value, list) else []
    if (value is not None and not parts) or not all(isinstance(part, str) for part in parts):
        raise InputError(f"{where}: 'aliases' is {value!r}; write names separated by '|', or a JSON list of names")
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _number(value: object, where: str) -> float | None:
    if value is None:
        return None
    try:
        return float(str(value))
    except ValueError:
        raise InputError(f"{where}: 'difficulty' is {value!r}; write a number or leave it out") from None


def _require_unique_ids(path: Path, questions: list[Question]) -> None:
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise InputError(f"{path}: the id {question.id!r} occurs more than once; make every id unique")
        seen.add(question.id)
