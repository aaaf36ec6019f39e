"""Question sets by name or from a file."""

from __future__ import annotations

from pathlib import Path

from interp.cities import city_questions
from interp.errors import InputError, unknown_name
from interp.question_files import FILE_SUFFIXES, file_questions
from interp.questions import QuestionSet

BUILT_IN = {"cities": city_questions}


def load_questions(dataset: str, *, n: int, seed: int, strict: bool = False) -> QuestionSet:
    """Draw `n` questions from a question set.

    Parameters
    ----------
    dataset
        The name of a built-in set, such as ``"cities"``, or the path of a ``.csv``, ``.jsonl`` or ``.parquet`` file
        (its columns: `interp.question_files.file_questions`).
    n
        How many questions to draw.
    seed
        Decides which ones, and in what order.
    strict
        Refuse a file for its first bad row, in place of leaving the row out.

    Raises
    ------
    InputError
        If the set is not known, a file cannot be used, or there are fewer than `n` questions.
    """
    if n < 1:
        raise InputError(f"cannot draw {n} questions; give --n a number from 1")
    if dataset in BUILT_IN:
        return BUILT_IN[dataset](n, seed)
    path = Path(dataset)
    if path.suffix.lower() not in FILE_SUFFIXES:
        raise unknown_name("dataset", dataset, BUILT_IN, "Or give the path of a .csv, .jsonl or .parquet file.")
    return file_questions(path, n=n, seed=seed, strict=strict)
