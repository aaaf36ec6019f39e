"""Rows of users' files: CSV, JSON, JSON lines and Parquet, each row with its number and with what is wrong with it."""

from __future__ import annotations

import csv
import json
import re
import reprlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from interp.errors import InputError, first_line

FILE_SUFFIXES = (".csv", ".json", ".jsonl", ".parquet")
SURROGATE = re.compile(r"[\ud800-\udfff]")
"""What a byte that is not UTF-8 is read as, and what ``"\\ud800"`` in JSON stands for: not a character."""
SHORT = reprlib.Repr()
"""Shows a value of a user's in an error, if need be its ends only."""
SHORT.maxstring = SHORT.maxother = 80

Choice = Callable[[Sequence[str]], Sequence[str]]
"""Says which of a file's columns are wanted; may refuse them with an `InputError`."""


class Fault(Exception):
    """Why a row cannot be used: a short reason to count by, and a message that says what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Row(NamedTuple):
    """One row, its values by lower-case column, or the fault for which it has none."""

    number: int
    values: Mapping[str, object]
    fault: Fault | None = None
    first: int | None = None
    """The line on which it begins, if that is not the one of its number, on which it ends."""


class Table(NamedTuple):
    """All rows of a file or of a hub's data set, with the columns as they are named there."""

    source: str
    """What errors call it."""
    columns: Sequence[str]
    unit: str
    """What a row's number counts: ``"line"`` or ``"row"``."""
    rows: Sequence[Row]

    def place(self, row: Row) -> str:
        """Where a row is: ``FILE, line 5``, or ``FILE, lines 3 to 5``."""
        if row.first is None:
            return f"{self.source}, {self.unit} {row.number}"
        return f"{self.source}, {self.unit}s {row.first} to {row.number}"


def read_table(path: Path, choice: Choice) -> Table:
    """The rows of a file, with the columns that `choice` wants.

    Raises
    ------
    InputError
        If the file cannot be read, or `choice` refuses its columns.
    """
    readers = {".csv": _csv_table, ".json": _json_table, ".jsonl": _jsonl_table, ".parquet": _parquet_table}
    try:
        if not path.is_file():
            raise InputError(f"no question file at {path}; give the path of an existing {_listed(FILE_SUFFIXES)} file")
        if path.suffix.lower() not in readers:
            raise InputError(f"{path} is not a {_listed(FILE_SUFFIXES)} file; write it as one of them")
        return readers[path.suffix.lower()](path, choice)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; give the path of a readable file") from error


def column_key(column: str) -> str:
    """What a column is called by, whatever the case, the spaces around it, and how its accents are written."""
    return unicodedata.normalize("NFC", column).strip().lower()


def _csv_table(path: Path, choice: Choice) -> Table:
    """Rows with the number of the line that they end on."""
    lines = _lines(path)
    with _long_csv_fields():
        rows = list(_csv_rows(path, lines))
    if not rows:
        return Table(f"{path}", (), "line", ())
    (_, _, columns), *others = rows
    if isinstance(columns, Fault):
        raise InputError(f"{path}: the header is {columns}")
    chosen = set(choice(columns))
    found = [
        _csv_row(last, columns, chosen, fields)._replace(first=None if begin == last else begin)
        for begin, last, fields in others
    ]
    return Table(f"{path}", columns, "line", found)


def _csv_rows(path: Path, lines: Sequence[str]) -> Iterator[tuple[int, int, list[str] | Fault]]:
    """The lines on which each row begins and ends, and its fields."""
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
            message = f'not CSV ({error}); write a quote inside a text as ""'
            yield begin, reader.line_num, Fault("not CSV", message)
        else:
            if fields:
                yield begin, reader.line_num, fields


def _csv_row(number: int, columns: Sequence[str], chosen: set[str], fields: list[str] | Fault) -> Row:
    if isinstance(fields, Fault):
        return Row(number, {}, fields)
    while len(fields) > len(columns) and not fields[-1].strip():
        fields = fields[:-1]
    if len(fields) > len(columns):
        message = f"{len(fields)} fields, and the header has {len(columns)}; put a text that has a comma in quotes"
        return Row(number, {}, Fault("more fields than the header", message))
    if any(SURROGATE.search(field) for field in fields):
        return Row(number, {}, _not_utf8())
    return Row(number, _values(zip(columns, fields, strict=False), chosen))


@contextmanager
def _long_csv_fields() -> Iterator[None]:
    """Lift the limit of 128 KiB that `csv` has for a field, beyond which it gives up the file."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _json_table(path: Path, choice: Choice) -> Table:
    """Rows with their number from 1: a list of objects, or the one list that an object has (TriviaQA's ``Data``)."""
    text = "".join(_lines(path))
    if not text.strip():
        return Table(f"{path}", (), "row", ())
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({_json_problem(error)}); write a list of objects") from error
    lists = [value for value in content.values() if isinstance(value, list)] if isinstance(content, dict) else [content]
    if len(lists) != 1 or not isinstance(lists[0], list):
        raise InputError(f"{path} has no list of rows, or more than one; write a list of objects")
    return _table_of_objects(path, "row", enumerate(map(_object, lists[0]), start=1), choice)


def _jsonl_table(path: Path, choice: Choice) -> Table:
    numbered = ((number, line) for number, line in enumerate(_lines(path), start=1) if line.strip())
    return _table_of_objects(path, "line", ((number, _line_object(line)) for number, line in numbered), choice)


def _table_of_objects(
    path: Path, unit: str, objects: Iterable[tuple[int, dict[str, object] | Fault]], choice: Choice
) -> Table:
    numbered = list(objects)
    columns = tuple(dict.fromkeys(name for _, entries in numbered if isinstance(entries, dict) for name in entries))
    chosen = set(choice(columns)) if columns else set()
    rows = [
        Row(number, {}, entries) if isinstance(entries, Fault) else Row(number, _values(entries.items(), chosen))
        for number, entries in numbered
    ]
    return Table(f"{path}", columns, unit, rows)


def _line_object(line: str) -> dict[str, object] | Fault:
    if SURROGATE.search(line):
        return _not_utf8()
    try:
        return _object(json.loads(line))
    except (ValueError, RecursionError) as error:  # too many digits and too many brackets are no JSONDecodeError
        return Fault("not JSON", f"not JSON ({_json_problem(error)}); write one object on each line")


def _object(entry: object) -> dict[str, object] | Fault:
    return entry if isinstance(entry, dict) else Fault("not an object", "not an object; write one object for each row")


def _json_problem(error: Exception) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__


def _parquet_table(path: Path, choice: Choice) -> Table:
    """Rows with their number from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.stat().st_size:
        return Table(f"{path}", (), "row", ())
    rows: list[Row] = []
    try:
        with pq.ParquetFile(path) as file:
            columns: list[str] = file.schema_arrow.names
            for batch in file.iter_batches(columns=list(choice(columns))):
                begin = len(rows)
                rows.extend(_parquet_row(begin + index + 1, batch, index) for index in range(batch.num_rows))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        what = first_line(error)
        raise InputError(f"{path} is not a readable Parquet file ({what}); write it anew, or as .csv") from error
    return Table(f"{path}", columns, "row", rows)


def _parquet_row(number: int, batch: Any, index: int) -> Row:
    try:
        values = [_parquet_value(column[index]) for column in batch.columns]
    except UnicodeDecodeError:
        return Row(number, {}, _not_utf8())
    except (ValueError, OverflowError) as error:
        message = f"a value is not readable ({first_line(error)}); write texts and numbers"
        return Row(number, {}, Fault("not readable", message))
    return Row(number, {column_key(name): value for name, value in zip(batch.schema.names, values, strict=True)})


def _parquet_value(scalar: Any) -> object:
    """A value as it was written: .1 in single precision is .1, and not the .10000000149 next to it in double."""
    import numpy as np
    import pyarrow as pa

    value: Any = scalar.as_py()
    short = {pa.float16(): np.float16, pa.float32(): np.float32}.get(scalar.type)
    return value if short is None or value is None else float(str(short(value)))


def _lines(path: Path) -> list[str]:
    """The lines with their ends; each byte that is not UTF-8 is a surrogate, so that it spoils only its own row."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        return list(file)


def _values(entries: Iterable[tuple[str, object]], chosen: set[str]) -> dict[str, object]:
    return {column_key(name): value for name, value in entries if name in chosen}


def _not_utf8() -> Fault:
    return Fault("not UTF-8", "not UTF-8; save the file as UTF-8")


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
