"""Question sets by name, from a file, or from the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from interp.errors import InputError, unknown_name
from interp.questions.answer_columns import COLUMNS as OF_ANSWERS
from interp.questions.cities import city_questions
from interp.questions.country_questions import capital_questions, continent_questions, currency_questions
from interp.questions.hub import HubSource, hub_table
from interp.questions.published import PUBLISHED, published_questions
from interp.questions.question_files import Schema, file_questions, table_questions
from interp.questions.question_set import QuestionSet
from interp.questions.tables import FILE_SUFFIXES
from interp.questions.us_cities import us_city_questions


class BuiltIn(NamedTuple):
    """A set that comes with the suite."""

    about: str
    """In a few words, for a list."""
    questions: Callable[[int, int], QuestionSet]
    """Draws so many with a seed."""


BUILT_IN = {
    "cities": BuiltIn("city → country", city_questions),
    "us-cities": BuiltIn("US city → state", us_city_questions),
    "capitals": BuiltIn("country → capital", capital_questions),
    "currencies": BuiltIn("country → currency", currency_questions),
    "continents": BuiltIn("country → continent", continent_questions),
}
"""By name. All are from GeoNames (CC BY 4.0) and need no network."""
_AT_HUB = re.compile(r"[\w.-]+/[\w.-]+")


def load_questions(
    dataset: str,
    *,
    n: int,
    seed: int,
    strict: bool = False,
    columns: Mapping[str, str] | None = None,
    subset: str | None = None,
    split: str | None = None,
    kept: Sequence[str] = (),
) -> QuestionSet:
    """Draw `n` questions from a question set.

    Parameters
    ----------
    dataset
        - The name of a set that comes with the suite, such as ``"cities"`` (`BUILT_IN`).
        - The name of a set of Orgad et al. 2024 (`interp.questions.published.PUBLISHED`), which is then fetched from
          the hub, or ``NAME:PATH`` with the file or folder that has it.
        - The path of a ``.csv``, ``.json``, ``.jsonl`` or ``.parquet`` file (its columns:
          `interp.questions.question_files.file_questions`).
        - ``org/name`` of any data set of the hub, or a folder that `datasets.load_dataset` can open.
    n
        How many questions to draw.
    seed
        Decides which ones, and in what order.
    strict
        Refuse a file for its first bad row, in place of leaving the row out.
    columns
        For a file or the hub: a column of `interp.questions.cells.COLUMNS` -> what it is called there. A field within a
        column is ``column.field``.
    subset, split
        Of a hub's data set; `split` also of a set of the paper (``"train"``, ``"test"``).
    kept
        Other columns of a file or of the hub whose values are to be in `QuestionSet.columns`.

    Raises
    ------
    InputError
        If the set is not known, cannot be read or fetched, or there are fewer than `n` questions.
    """
    if n < 1:
        raise InputError(f"cannot draw {n} questions; give --n a number from 1")
    if dataset in BUILT_IN:
        _require_unused(dataset, columns=columns, subset=subset, dataset_split=split)
        if kept:
            raise unknown_name("column", kept[0], OF_ANSWERS, f"Of {dataset} there are no others; a file of yours may")
        return BUILT_IN[dataset].questions(n, seed)
    name, colon, source = dataset.partition(":")
    if name in PUBLISHED:
        _require_unused(dataset, columns=columns, subset=subset)
        path = Path(source).expanduser() if colon else None
        return published_questions(name, path, split=split, n=n, seed=seed, strict=strict, kept=kept)
    schema = Schema.mapped(columns or {}, kept)
    path = Path(dataset).expanduser()
    if path.suffix.lower() in FILE_SUFFIXES or path.is_file():
        _require_unused(dataset, subset=subset, dataset_split=split)
        return file_questions(path, _with_hint(schema, path), n=n, seed=seed, strict=strict)
    if path.is_dir() or _AT_HUB.fullmatch(dataset):
        at_hub = HubSource(str(path) if path.is_dir() else dataset, subset, split)
        table = hub_table(at_hub, lambda names: schema.choice(at_hub.id, names))
        questions = table_questions(table, schema, name=at_hub.name, n=n, seed=seed, strict=strict)
        return replace(questions, credit=f"{at_hub.id}, on the Hugging Face Hub")
    raise unknown_name(
        "dataset",
        dataset,
        (*BUILT_IN, *PUBLISHED),
        f"Or give the path of a {', '.join(FILE_SUFFIXES)} file, or the hub's org/name",
    )


def _require_unused(dataset: str, **flags: object) -> None:
    """Raise an `InputError` for a flag that would say nothing about this set."""
    used = [f"--{name.replace('_', '-')}" for name, value in flags.items() if value]
    if used:
        raise InputError(f"{dataset} takes no {' and no '.join(used)}; leave it out")


def _with_hint(schema: Schema, path: Path) -> Schema:
    """The schema, with the remedy for somebody who gives the bare file of a published set."""
    for name, known in PUBLISHED.items():
        if any(Path(file).name == path.name for files in known.files.values() for file in files):
            return replace(schema, remedy=f"if it is the file of {name}, read it as --dataset {name}:{path}")
    return schema
