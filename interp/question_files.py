"""Question sets from rows: what each column means, and what is wrong with a row that cannot be used."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from interp.errors import InputError, unknown_name
from interp.examples import GivenAnswer, Question, Span
from interp.questions import MAX_SHOTS, QuestionSet, seeded_order
from interp.tables import SHORT, SURROGATE, Fault, Row, Table, column_key, read_table
from interp.vocabulary import Vocabulary, fold, whole_words

log = logging.getLogger(__name__)

NEEDED = ("question", "answer")
OPTIONAL = ("id", "aliases", "subject", "context", "group", "difficulty", "choices", "completion")
GIVEN = ("model_answer", "exact_answer")
COLUMNS = (*NEEDED, *OPTIONAL, *GIVEN)
NO_ANSWER = "NO ANSWER"
"""Stands in the column ``exact_answer`` where there is none."""
MAX_CHARACTERS = 100_000
"""No model reads a longer question; most often it is a quote that was not closed."""
LOGGED = 5
"""So many of the rows that are left out are logged one by one."""
SHOWN_COLUMNS = 12

Cells = Mapping[str, object]


@dataclass(frozen=True)
class Schema:
    """Where the cells of a question come from in a row."""

    needed: tuple[str, ...] = NEEDED
    """Columns without which a file is refused."""
    optional: tuple[str, ...] = (*OPTIONAL, *GIVEN)
    """Columns that are read if they are there."""
    cells: Callable[[Mapping[str, object]], Cells] = dict
    """The cells by the names of `COLUMNS` from a row's values by lower-case column; may raise a `Fault`."""
    remedy: str = (
        "name the columns of questions and answers 'question' and 'answer', or say with --columns which they are"
    )

    @classmethod
    def mapped(cls, columns: Mapping[str, str]) -> Schema:
        """The schema of a file whose columns have other names.

        Parameters
        ----------
        columns
            A name of `COLUMNS` -> the file's column; ``answer.value`` is the field ``value`` of the column ``answer``.

        Raises
        ------
        InputError
            If a name is not one of `COLUMNS`.
        """
        for name in columns:
            if name not in COLUMNS:
                raise unknown_name("column", name, COLUMNS)
        paths = {name: columns.get(name, name) for name in COLUMNS}
        return cls(
            needed=tuple(dict.fromkeys([*(paths[name] for name in NEEDED), *columns.values()])),
            optional=tuple(path for name, path in paths.items() if name not in (*NEEDED, *columns)),
            cells=lambda values: {name: _at(values, path) for name, path in paths.items()},
        )

    def choice(self, source: str, columns: Sequence[str]) -> list[str]:
        """The columns that are wanted; raises an `InputError` that names `source` if one is there twice."""
        wanted = {key for path in (*self.needed, *self.optional) for key in (column_key(path), _head(path))}
        chosen = [name for name in columns if column_key(name) in wanted]
        twice = [name for name, count in Counter(map(column_key, chosen)).items() if count > 1]
        if twice:
            raise InputError(f"{source} has more than one column {twice[0]!r}; keep one of them")
        return chosen

    def has(self, table: Table, path: str) -> bool:
        """Whether a table has the column of a path."""
        keys = {column_key(name) for name in table.columns}
        return column_key(path) in keys or _head(path) in keys


class Sorted(NamedTuple):
    """A table's usable rows, and for each other row the reason and a line that describes it."""

    questions: list[Question]
    given: dict[str, GivenAnswer]
    faults: list[tuple[str, str]]


def file_questions(path: Path, schema: Schema | None = None, *, n: int, seed: int, strict: bool = False) -> QuestionSet:
    """`n` questions of a file, in an order that `seed` decides.

    The answers that count are all answers of its usable rows. A bad row is left out, counted by reason in ``dropped``
    and described in ``excluded``.

    Parameters
    ----------
    path
        A ``.csv``, ``.json``, ``.jsonl`` or ``.parquet`` file in UTF-8. Every row needs ``question`` and ``answer`` (a
        text or a number; outside CSV also a list of them, whose first is the gold name and whose others are aliases).
        It may have

        - ``id`` (unique), ``aliases`` (texts separated by ``|``, or a list), ``difficulty`` (a number);
        - ``subject`` (a text that stands in the question; outside CSV also its ``[start, stop]`` in characters);
        - ``context`` (a text to be read with the question);
        - ``group`` (a text; outside CSV also a list: rows that share any of them are one group). Rows without it are
          in one group if question and context differ only in case, accents and spaces;
        - ``choices`` (texts separated by ``|``, or a list, the answer among them): the answers that this question
          offers, in place of all answers of the file;
        - ``completion`` (a text that the answer completes, which a base model is given in place of the question);
        - ``model_answer`` (what the model said, which is then not generated) and ``exact_answer`` (the words of it
          that are the answer, or `NO_ANSWER`; outside CSV also their ``[start, stop]``).

        Case does not matter in these names, and other columns are ignored.
    schema
        Where these cells come from, if the file calls its columns something else.
    n
        How many questions to draw.
    seed
        Decides which ones, and in what order.
    strict
        Refuse the file for its first bad row.

    Raises
    ------
    InputError
        If the file cannot be read, has no column of questions or of answers, or has fewer than `n` usable rows; with
        `strict` also if it has a bad row.
    """
    schema = schema or Schema.mapped({})
    table = read_table(path, lambda names: schema.choice(f"{path}", names))
    found = table_questions(table, schema, name=path.stem, n=n, seed=seed, strict=strict)
    return replace(found, credit=f"the author of {path.name}")


def table_questions(
    table: Table, schema: Schema, *, name: str, n: int, seed: int, strict: bool, **options: Any
) -> QuestionSet:
    """`n` questions of a table's rows, in an order that `seed` decides; `options` are more fields of the set."""
    _require_columns(table, schema)
    found = _sorted_out(table, schema, name, strict)
    excluded = tuple(line for _, line in found.faults)
    _log_excluded(table.source, excluded, len(table.rows))
    _require_enough(table.source, len(found.questions), n, excluded)
    ordered = sorted(found.questions, key=lambda question: seeded_order(question.id, seed))
    asked_groups = {question.group for question in ordered[:n]}
    left = [question for question in ordered[n:] if question.group not in asked_groups]
    given = {question.id: found.given[question.id] for question in ordered[:n] if question.id in found.given}
    has_exact = any(answer.exact or answer.no_exact for answer in given.values())
    return QuestionSet(
        **{
            "name": name,
            "questions": tuple(ordered[:n]),
            "left": tuple(left[:MAX_SHOTS]),
            "vocabulary": Vocabulary(_names(found.questions)),
            "credit": table.source,
            "dropped": dict(Counter(reason for reason, _ in found.faults)),
            "excluded": excluded,
            "given": given,
            # A user's exact answers need not be names that the file has.
            **({"grading": "match"} if has_exact else {}),
            **options,
        }
    )


def text_of(values: Cells, name: str) -> str | None:
    """The value's text as it stands, or None if it has no more than spaces; raises a `Fault` if it is no text."""
    value = values.get(name)
    if value is None:
        return None
    if not _is_text_or_number(value):
        raise Fault(f"bad {name}", f"{name!r} is {SHORT.repr(value)}; write a text")
    return _encodable(str(value), name) if str(value).strip() else None


def _head(path: str) -> str:
    return column_key(path.partition(".")[0])


def _at(values: Mapping[str, object], path: str) -> object:
    """The value of a column, or of a field within it."""
    if column_key(path) in values:
        return values[column_key(path)]
    value: object = values
    for depth, part in enumerate(path.split(".")):
        value = value.get(part if depth else column_key(part)) if isinstance(value, Mapping) else None
    return value


def _require_columns(table: Table, schema: Schema) -> None:
    if not table.columns and not table.rows:
        raise InputError(f"{table.source} is empty; write a row with a question and an answer for each question")
    absent = [name for name in schema.needed if not schema.has(table, name)]
    if absent and (table.columns or any(row.fault is None for row in table.rows)):
        found = ", ".join(SHORT.repr(name) for name in table.columns[:SHOWN_COLUMNS]) or "none"
        more = f" and {len(table.columns) - SHOWN_COLUMNS} more" if len(table.columns) > SHOWN_COLUMNS else ""
        encoding = "; save it as UTF-8" if any(map(SURROGATE.search, table.columns)) else ""
        raise InputError(
            f"{table.source} has no column {' and no column '.join(map(repr, absent))} (found: {found}{more}); "
            f"{schema.remedy}{encoding}"
        )
    if not table.rows:
        raise InputError(f"{table.source} has no rows; write a row with a question and an answer for each question")


def _sorted_out(table: Table, schema: Schema, dataset: str, strict: bool) -> Sorted:
    questions: dict[str, Question] = {}
    groups: dict[str, tuple[str, ...]] = {}
    given: dict[str, GivenAnswer] = {}
    faults: list[tuple[str, str]] = []
    rows = [_cells(row, schema) for row in table.rows]
    known = {name for cells in rows if not isinstance(cells, Fault) for name in cells}
    for row, cells in zip(table.rows, rows, strict=True):
        try:
            if isinstance(cells, Fault):
                raise cells
            question = _question(dataset, cells, row.number)
            if question.id in questions:
                message = f"the id {SHORT.repr(question.id)} occurs more than once; make every id unique"
                raise Fault("duplicate id", message)
            if answer := _given(cells, known):
                given[question.id] = answer
            groups[question.id] = _groups(cells) or (question.group,)
            questions[question.id] = question
        except Fault as fault:
            line = f"{table.source}, {table.unit} {row.number}: {fault}"
            if strict:
                raise InputError(line) from fault
            faults.append((fault.reason, line))
    group_of = _joined(groups)
    return Sorted([replace(question, group=group_of[question.id]) for question in questions.values()], given, faults)


def _joined(groups: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """One group for each question, such that questions which share a name of theirs are in one."""
    if all(len(names) == 1 for names in groups.values()):
        return {identifier: name for identifier, (name,) in groups.items()}
    from scipy.cluster.hierarchy import DisjointSet

    joined: Any = DisjointSet(sorted({name for names in groups.values() for name in names}))
    for first, *others in groups.values():
        for other in others:
            joined.merge(first, other)
    named = {name: min(subset) for subset in joined.subsets() for name in subset}
    return {identifier: named[names[0]] for identifier, names in groups.items()}


def _log_excluded(source: str, excluded: Sequence[str], n_rows: int) -> None:
    for line in excluded[:LOGGED]:
        log.warning("%s", line)
    if excluded:
        log.warning("%s: %d of %d rows are bad and were left out", source, len(excluded), n_rows)


def _require_enough(source: str, n_usable: int, n: int, excluded: Sequence[str]) -> None:
    if not n_usable:
        raise InputError(f"{source} has no usable row, {len(excluded)} were left out; the first: {excluded[0]}")
    if n_usable < n:
        left_out = f" ({len(excluded)} bad rows were left out)" if excluded else ""
        raise InputError(
            f"{source} has {n_usable} questions{left_out}, {n} were asked for; give --n {n_usable} or less"
        )


def _names(questions: Iterable[Question]) -> dict[str, tuple[str, ...]]:
    """Every gold answer with all names that it goes by in any of the questions."""
    names: dict[str, dict[str, None]] = {}
    for question in questions:
        names.setdefault(question.gold, {}).update(dict.fromkeys(question.names))
    return {gold: tuple(known) for gold, known in names.items()}


def _cells(row: Row, schema: Schema) -> dict[str, object] | Fault:
    """The cells that are not empty, or what is wrong with the row; pandas writes an empty number as NaN."""
    if row.fault is not None:
        return row.fault
    try:
        cells = schema.cells(row.values)
    except Fault as fault:
        return fault
    return {
        name: value
        for name, value in cells.items()
        if value not in (None, "") and not (isinstance(value, float) and math.isnan(value))
    }


def _question(dataset: str, cells: Cells, number: int) -> Question:
    """The row's question; raises a `Fault` if the row is bad."""
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
        id=(text_of(cells, "id") or f"{number}").strip(),
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


def _same_text(text: str) -> str:
    """What two texts share that differ only in case, accents and spaces."""
    return " ".join(fold(text).split()) or text.strip()


def _groups(cells: Cells) -> tuple[str, ...]:
    value = cells.get("group")
    if isinstance(value, list | tuple):
        return _texts(list(value), "group", "write a text, or a list of texts")
    text = text_of(cells, "group")
    return () if text is None else (text.strip(),)


def _given(cells: Cells, known: Set[str]) -> GivenAnswer | None:
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
    choices = _listed_names(cells, "choices")
    if choices and names[0] not in choices:
        message = f"the answer {SHORT.repr(names[0])} is not among the choices; write it there in the same words"
        raise Fault("answer not offered", message)
    return tuple(sorted(set(choices)))


def _texts(values: Sequence[object], name: str, remedy: str) -> tuple[str, ...]:
    """The values' texts, without the empty ones."""
    values = [value for value in values if value is not None]
    wrong = next((value for value in values if not _is_text_or_number(value)), None)
    if wrong is not None:
        raise Fault(f"bad {name}", f"{name!r} has {SHORT.repr(wrong)}; {remedy}")
    return tuple(_encodable(str(value).strip(), name) for value in values if str(value).strip())


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
    whole = whole_words(text, words)
    return whole if whole and whole.of(text) == words else Span(start, start + len(words))


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


def _is_text_or_number(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _encodable(text: str, name: str) -> str:
    if SURROGATE.search(text):
        raise Fault("not UTF-8", f"{name!r} has half a character (a lone surrogate); write it whole or leave it out")
    return text
