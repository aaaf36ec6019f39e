"""Question sets from users' files: CSV, JSON lines and Parquet."""

from __future__ import annotations

import csv
import json
import logging
import math
import re
import reprlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from interp.errors import InputError
from interp.examples import PromptParts, Question, Span
from interp.questions import QuestionSet, seeded_order
from interp.vocabulary import Vocabulary, fold

log = logging.getLogger(__name__)

FILE_SUFFIXES = (".csv", ".jsonl", ".parquet")
NEEDED = ("question", "answer")
COLUMNS = (*NEEDED, "id", "aliases", "subject", "group", "difficulty")
MAX_CHARACTERS = 100_000
"""No model reads a longer question; most often it is a quote that was not closed."""
LOGGED = 5
"""So many of the rows that are left out are logged one by one."""
SHOWN_COLUMNS = 12
_SURROGATE = re.compile(r"[\ud800-\udfff]")
"""What a byte that is not UTF-8 is read as, and what ``"\\ud800"`` in JSON stands for: not a character."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


class _Fault(Exception):
    """Why a row cannot be used: a short reason to count by, and a message that says what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Row(NamedTuple):
    """One row, its cells by lower-case column, or the fault for which it has none."""

    number: int
    cells: Mapping[str, object]
    fault: _Fault | None = None


class _Table(NamedTuple):
    """All rows of a file, with the columns as the file names them."""

    columns: Sequence[str]
    unit: str
    """What a row's number counts: ``"line"`` or ``"row"``."""
    rows: Sequence[_Row]


def file_questions(path: Path, *, n: int, seed: int, strict: bool = False) -> QuestionSet:
    """`n` questions of a file, in an order that `seed` decides.

    The answers that count are all answers of its usable rows. A bad row is left out, counted by reason in ``dropped``
    and described in ``excluded``.

    Parameters
    ----------
    path
        A ``.csv``, ``.jsonl`` or ``.parquet`` file in UTF-8. Every row needs ``question`` and ``answer`` (a text or a
        number; outside CSV also a list of them, whose first is the gold name and whose others are aliases). It may
        have ``id`` (unique), ``aliases`` (texts separated by ``|``, or a list), ``subject`` (a text that stands in
        the question; outside CSV also its ``[start, stop]`` in characters), ``group`` and ``difficulty`` (a number).
        Case does not matter in these names, and other columns are ignored. Rows without a ``group`` are in one group
        if their questions differ only in case, accents and spaces.
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
    table = _table(path)
    _require_columns(path, table)
    questions, faults = _sorted_out(path, table, strict)
    excluded = tuple(line for _, line in faults)
    _log_excluded(path, excluded, len(table.rows))
    _require_enough(path, len(questions), n, excluded)
    drawn = sorted(questions, key=lambda question: seeded_order(question.id, seed))[:n]
    return QuestionSet(
        name=path.stem,
        questions=tuple(drawn),
        vocabulary=Vocabulary(_names(questions)),
        credit=f"the author of {path.name}",
        dropped=dict(Counter(reason for reason, _ in faults)),
        excluded=excluded,
    )


def _table(path: Path) -> _Table:
    readers = {".csv": _csv_table, ".jsonl": _jsonl_table, ".parquet": _parquet_table}
    try:
        if not path.is_file():
            raise InputError(f"no question file at {path}; give the path of an existing {_listed(FILE_SUFFIXES)} file")
        return readers[path.suffix.lower()](path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; give the path of a readable file") from error


def _csv_table(path: Path) -> _Table:
    """Rows with the number of the line that they end on."""
    lines = _lines(path)
    with _long_csv_fields():
        rows = list(_csv_rows(path, lines))
    if not rows:
        return _Table((), "line", ())
    (_, columns), *others = rows
    if isinstance(columns, _Fault):
        raise InputError(f"{path}: the header is {columns}")
    _require_distinct(path, columns)
    return _Table(columns, "line", [_csv_row(number, columns, fields) for number, fields in others])


def _csv_rows(path: Path, lines: Sequence[str]) -> Iterator[tuple[int, list[str] | _Fault]]:
    reader = csv.reader(lines, strict=True)
    while True:
        begin = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if begin < reader.line_num == len(lines):
                # All rows below would be lost with this one, and nobody would miss them.
                raise InputError(
                    f"{path}, line {begin}: a quoted text begins that runs to the end of the file; close its quotes, "
                    'and write a quote inside a text as ""'
                ) from error
            message = f'not CSV ({error}; the row begins on line {begin}); write a quote inside a text as ""'
            yield reader.line_num, _Fault("not CSV", message)
        else:
            if fields:
                yield reader.line_num, fields


def _csv_row(number: int, columns: Sequence[str], fields: list[str] | _Fault) -> _Row:
    if isinstance(fields, _Fault):
        return _Row(number, {}, fields)
    if len(fields) > len(columns):
        message = f"{len(fields)} fields, and the header has {len(columns)}; put a text that has a comma in quotes"
        return _Row(number, {}, _Fault("more fields than the header", message))
    if any(_SURROGATE.search(field) for field in fields):
        return _Row(number, {}, _not_utf8())
    return _Row(number, _cells(zip(columns, fields, strict=False)))


@contextmanager
def _long_csv_fields() -> Iterator[None]:
    """Lift the limit of 128 KiB that `csv` has for a field, beyond which it gives up the file."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _jsonl_table(path: Path) -> _Table:
    columns: dict[str, None] = {}
    rows: list[_Row] = []
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            try:
                entries = _json_object(line)
            except _Fault as fault:
                rows.append(_Row(number, {}, fault))
            else:
                columns.update(dict.fromkeys(entries))
                rows.append(_Row(number, _cells(entries.items())))
    return _Table(tuple(columns), "line", rows)


def _json_object(line: str) -> dict[str, object]:
    if _SURROGATE.search(line):
        raise _not_utf8()
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:  # too many digits and too many brackets are no JSONDecodeError
        what = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise _Fault("not JSON", f"not JSON ({what}); write one object on each line") from error
    if not isinstance(row, dict):
        raise _Fault("not an object", "not an object; write one object on each line")
    return row


def _parquet_table(path: Path) -> _Table:
    """Rows with their number from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.stat().st_size:
        return _Table((), "row", ())
    rows: list[_Row] = []
    try:
        with pq.ParquetFile(path) as file:
            columns: list[str] = file.schema_arrow.names
            _require_distinct(path, columns)
            for batch in file.iter_batches(columns=[name for name in columns if _key(name) in COLUMNS]):
                begin = len(rows)
                rows.extend(_parquet_row(begin + index + 1, batch, index) for index in range(batch.num_rows))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        what = _first_line(str(error))
        raise InputError(f"{path} is not a readable Parquet file ({what}); write it anew, or as .csv") from error
    return _Table(columns, "row", rows)


def _parquet_row(number: int, batch: object, index: int) -> _Row:
    import pyarrow as pa

    assert isinstance(batch, pa.RecordBatch)  # noqa: S101
    try:
        values = [column[index].as_py() for column in batch.columns]
    except UnicodeDecodeError:
        return _Row(number, {}, _not_utf8())
    except (ValueError, OverflowError) as error:
        message = f"a value is not readable ({_first_line(str(error))}); write texts and numbers"
        return _Row(number, {}, _Fault("not readable", message))
    return _Row(number, _cells(zip(batch.schema.names, values, strict=True)))


def _lines(path: Path) -> list[str]:
    """The lines with their ends; each byte that is not UTF-8 is a surrogate, so that it spoils only its own row."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        return list(file)


def _cells(entries: Iterable[tuple[str, object]]) -> dict[str, object]:
    """The values of the known columns that are not empty; pandas writes an empty number as NaN."""
    return {
        _key(name): value
        for name, value in entries
        if _key(name) in COLUMNS and value not in (None, "") and not (isinstance(value, float) and math.isnan(value))
    }


def _key(column: str) -> str:
    return column.strip().lower()


def _require_distinct(path: Path, columns: Sequence[str]) -> None:
    twice = [name for name, count in Counter(map(_key, columns)).items() if count > 1 and name in COLUMNS]
    if twice:
        raise InputError(f"{path} has more than one column {twice[0]!r}; keep one of them")


def _require_columns(path: Path, table: _Table) -> None:
    if not table.columns and not table.rows:
        raise InputError(f"{path} is empty; write a row with a question and an answer for each question")
    known = {_key(name) for name in table.columns}
    absent = [name for name in NEEDED if name not in known]
    if absent and (table.columns or any(row.fault is None for row in table.rows)):
        found = ", ".join(_SHORT.repr(name) for name in table.columns[:SHOWN_COLUMNS]) or "none"
        more = f" and {len(table.columns) - SHOWN_COLUMNS} more" if len(table.columns) > SHOWN_COLUMNS else ""
        encoding = " and save it as UTF-8" if any(map(_SURROGATE.search, table.columns)) else ""
        raise InputError(
            f"{path} has no column {' and no column '.join(map(repr, absent))} (found: {found}{more}); "
            f"name the columns of questions and answers 'question' and 'answer'{encoding}"
        )
    if not table.rows:
        raise InputError(f"{path} has no rows; write a row with a question and an answer for each question")


def _sorted_out(path: Path, table: _Table, strict: bool) -> tuple[list[Question], list[tuple[str, str]]]:
    """The questions of the usable rows, and for each other row the reason and a line that describes it."""
    questions: dict[str, Question] = {}
    faults: list[tuple[str, str]] = []
    for row in table.rows:
        try:
            question = _question(path.stem, row)
            if question.id in questions:
                message = f"the id {_SHORT.repr(question.id)} occurs more than once; make every id unique"
                raise _Fault("duplicate id", message)
            questions[question.id] = question
        except _Fault as fault:
            line = f"{path}, {table.unit} {row.number}: {fault}"
            if strict:
                raise InputError(line) from fault
            faults.append((fault.reason, line))
    return list(questions.values()), faults


def _log_excluded(path: Path, excluded: Sequence[str], n_rows: int) -> None:
    for line in excluded[:LOGGED]:
        log.warning("%s", line)
    if excluded:
        log.warning("%s: %d of %d rows are bad and were left out", path, len(excluded), n_rows)


def _require_enough(path: Path, n_usable: int, n: int, excluded: Sequence[str]) -> None:
    if not n_usable:
        raise InputError(f"{path} has no usable row, {len(excluded)} were left out; the first: {excluded[0]}")
    if n_usable < n:
        left_out = f" ({len(excluded)} bad rows were left out)" if excluded else ""
        raise InputError(f"{path} has {n_usable} questions{left_out}, {n} were asked for; give --n {n_usable} or less")


def _names(questions: Iterable[Question]) -> dict[str, tuple[str, ...]]:
    """Every gold answer with all names that it goes by in any of the questions."""
    names: dict[str, tuple[str, ...]] = {}
    for question in questions:
        known = names.get(question.gold, (question.gold,))
        names[question.gold] = tuple(dict.fromkeys((*known, *question.aliases)))
    return names


def _question(dataset: str, row: _Row) -> Question:
    """The row's question; raises a `_Fault` if the row is bad."""
    if row.fault is not None:
        raise row.fault
    asked = _text(row.cells, "question")
    answers = _answers(row.cells.get("answer"))
    if asked is None or not answers:
        absent = "question" if asked is None else "answer"
        raise _Fault(f"no {absent}", f"no {absent!r}; every row needs a question and an answer")
    text = asked.strip()
    if len(text) > MAX_CHARACTERS:
        message = f"the question has {len(text):,} characters; give it at most {MAX_CHARACTERS:,}"
        raise _Fault("question too long", message)
    gold, *aliases = dict.fromkeys((*answers, *_aliases(row.cells.get("aliases"))))
    return Question(
        id=(_text(row.cells, "id") or f"{row.number}").strip(),
        prompt_parts=PromptParts("", text, ""),
        gold=gold,
        aliases=tuple(aliases),
        subject=_subject(row.cells, asked),
        dataset=dataset,
        group=(_text(row.cells, "group") or " ".join(fold(text).split()) or text).strip(),
        difficulty=_difficulty(row.cells.get("difficulty")),
    )


def _text(cells: Mapping[str, object], name: str) -> str | None:
    """The cell's text as it stands, or None if it has no more than spaces."""
    value = cells.get(name)
    if value is None:
        return None
    if not _is_text_or_number(value):
        raise _Fault(f"bad {name}", f"{name!r} is {_SHORT.repr(value)}; write a text")
    return _encodable(str(value), name) if str(value).strip() else None


def _answers(value: object) -> tuple[str, ...]:
    """The gold name and the aliases beside it; none if there is no answer."""
    return _listed_names(value if isinstance(value, list) else [value], "answer", "write a text, a number or a list")


def _aliases(value: object) -> tuple[str, ...]:
    parts = value.split("|") if isinstance(value, str) else value
    if parts is not None and not isinstance(parts, list):
        message = f"'aliases' is {_SHORT.repr(value)}; write names separated by '|', or a list of names"
        raise _Fault("bad aliases", message)
    return _listed_names(parts or [], "aliases", "write names separated by '|', or a list of names")


def _listed_names(values: list[object], name: str, remedy: str) -> tuple[str, ...]:
    """The values' texts, without the empty ones."""
    values = [value for value in values if value is not None]
    wrong = next((value for value in values if not _is_text_or_number(value)), None)
    if wrong is not None:
        raise _Fault(f"bad {name}", f"{name!r} has {_SHORT.repr(wrong)}; {remedy}")
    return tuple(_encodable(str(value).strip(), name) for value in values if str(value).strip())


def _subject(cells: Mapping[str, object], asked: str) -> Span | None:
    """Where the subject stands in the question without the spaces around it."""
    span = _marked(cells.get("subject"), asked) if isinstance(cells.get("subject"), list) else _found(cells, asked)
    n_spaces = len(asked) - len(asked.lstrip())
    return None if span is None else Span(span.start - n_spaces, span.stop - n_spaces)


def _marked(offsets: object, asked: str) -> Span:
    match offsets:
        case [bool(), _] | [_, bool()]:
            pass
        case [int(start), int(stop)] if 0 <= start < stop <= len(asked) and asked[start:stop].strip():
            words = asked[start:stop]
            begin = start + len(words) - len(words.lstrip())
            return Span(begin, begin + len(words.strip()))
    message = f"the subject {_SHORT.repr(offsets)} marks no text of the question; write [start, stop] in characters"
    raise _Fault("bad subject", message)


def _found(cells: Mapping[str, object], asked: str) -> Span | None:
    subject = (_text(cells, "subject") or "").strip()
    if not subject:
        return None
    start = asked.find(subject)
    if start < 0:
        message = f"the subject {_SHORT.repr(subject)} does not stand in the question; copy it from there"
        raise _Fault("bad subject", message)
    return Span(start, start + len(subject))


def _difficulty(value: object) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _Fault("bad difficulty", f"'difficulty' is {_SHORT.repr(value)}; write a number or leave it out")
    return number


def _is_text_or_number(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _encodable(text: str, name: str) -> str:
    if _SURROGATE.search(text):
        raise _Fault("not UTF-8", f"{name!r} has half a character (a lone surrogate); write it whole or leave it out")
    return text


def _not_utf8() -> _Fault:
    return _Fault("not UTF-8", "not UTF-8; save the file as UTF-8")


def _first_line(text: str) -> str:
    return (text.splitlines() or [""])[0]


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
