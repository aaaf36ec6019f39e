"""Question sets from users' files, and from the rows of any table."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from interp.errors import InputError, TooFewQuestions, unknown_name
from interp.examples import GivenAnswer, Question
from interp.questions.answer_columns import COLUMNS as OF_ANSWERS
from interp.questions.answer_columns import Value
from interp.questions.cells import (
    COLUMNS,
    GIVEN,
    NEEDED,
    OPTIONAL,
    Cells,
    given_answer_of,
    groups_of,
    question_of,
    written,
)
from interp.questions.question_set import MAX_SHOTS, QuestionSet, seeded_order
from interp.questions.tables import SHORT, SURROGATE, Fault, Row, Table, column_key, read_table
from interp.questions.vocabulary import Vocabulary

log = logging.getLogger(__name__)

LOGGED = 5
"""So many of the rows that are left out are logged one by one."""
SHOWN_COLUMNS = 12


@dataclass(frozen=True)
class Schema:
    """Where the cells of a question come from in a row."""

    needed: tuple[str, ...] = NEEDED
    """Columns without which a file is refused."""
    optional: tuple[str, ...] = (*OPTIONAL, *GIVEN)
    """Columns that are read if they are there."""
    cells: Callable[[Mapping[str, object]], Cells] = dict
    """The cells by the names of `COLUMNS` from a row's values by lower-case column; may raise a `Fault`."""
    kept: tuple[str, ...] = ()
    """Columns whose values are kept beside the questions, as they are."""
    remedy: str = (
        "name the columns of questions and answers 'question' and 'answer', or say with --columns which they are"
    )

    @classmethod
    def mapped(cls, columns: Mapping[str, str], kept: Sequence[str] = ()) -> Schema:
        """The schema of a file whose columns have other names.

        Parameters
        ----------
        columns
            A name of `COLUMNS` -> the file's column; ``answer.value`` is the field ``value`` of the column ``answer``.
        kept
            The file's columns, or fields within them, whose values are kept beside the questions.

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
            kept=tuple(kept),
        )

    def choice(self, source: str, columns: Sequence[str]) -> list[str]:
        """The columns that are wanted; raises an `InputError` that names `source` if one is there twice."""
        wanted = {key for path in (*self.needed, *self.optional, *self.kept) for key in (column_key(path), _head(path))}
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
    columns: dict[str, dict[str, Value]]
    """The columns that are kept, by name and by the question's id."""


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

        Case does not matter in these names, and other columns are ignored, but for those that the schema keeps.
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
    asked = {question.id for question in ordered[:n]}
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
            "columns": {
                name: {identifier: value for identifier, value in values.items() if identifier in asked}
                for name, values in found.columns.items()
            },
            # A user's exact answers need not be names that the file has.
            **({"grading": "match"} if has_exact else {}),
            **options,
        }
    )


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
    for path in schema.kept:
        if not schema.has(table, path):
            known = (*table.columns, *OF_ANSWERS)
            raise unknown_name("column", path, known, f"Neither {table.source} has it, nor have answers themselves")
    if not table.rows:
        raise InputError(f"{table.source} has no rows; write a row with a question and an answer for each question")


def _sorted_out(table: Table, schema: Schema, dataset: str, strict: bool) -> Sorted:
    questions: dict[str, Question] = {}
    groups: dict[str, tuple[str, ...]] = {}
    given: dict[str, GivenAnswer] = {}
    faults: list[tuple[str, str]] = []
    columns: dict[str, dict[str, Value]] = {path: {} for path in schema.kept}
    rows = [_cells(row, schema) for row in table.rows]
    known = {name for cells in rows if not isinstance(cells, Fault) for name in cells}
    ids = [cells.get("id") for cells in rows if not isinstance(cells, Fault)]
    named = {written(name).strip() for name in ids if isinstance(name, str | int | float)}

    def number_of(row: Row) -> str:
        return f"{row.number}" if f"{row.number}" not in named else f"{table.unit} {row.number}"

    for row, cells in zip(table.rows, rows, strict=True):
        try:
            if isinstance(cells, Fault):
                raise cells
            question = question_of(dataset, cells, number_of(row))
            if question.id in questions:
                message = f"the id {SHORT.repr(question.id)} occurs more than once; make every id unique"
                raise Fault("duplicate id", message)
            if answer := given_answer_of(cells, known):
                given[question.id] = answer
            groups[question.id] = groups_of(cells) or (question.group,)
            questions[question.id] = question
            for path, value in _kept(row, schema, table.place(row)).items():
                columns[path][question.id] = value
        except Fault as fault:
            line = f"{table.place(row)}: {fault}"
            if strict:
                raise InputError(line) from fault
            faults.append((fault.reason, line))
    group_of = _joined(groups)
    grouped = [replace(question, group=group_of[question.id]) for question in questions.values()]
    return Sorted(grouped, given, faults, columns)


def _kept(row: Row, schema: Schema, where: str) -> dict[str, Value]:
    """The values of the columns that are kept, without the missing; raises an `InputError` for one that is no label.

    A row is not left out for it: the questions that are asked are the same, whatever else is kept.
    """
    found: dict[str, Value] = {}
    for path in schema.kept:
        value = _at(row.values, path)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            continue
        if not isinstance(value, str | bool | int | float) or SURROGATE.search(str(value)):
            raise InputError(f"{where}: {path!r} is {SHORT.repr(value)}; write a text, a number, true or false")
        if not isinstance(value, str) or value.strip():
            found[path] = value
    return found


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
        message = f"{source} has {n_usable} questions{left_out}, {n} were asked for; give --n {n_usable} or less"
        raise TooFewQuestions(message, n_usable)


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
