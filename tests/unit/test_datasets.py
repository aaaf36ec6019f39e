from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from interp.errors import InputError, TooFewQuestions
from interp.questions.datasets import load_questions


def test_unknown_sets_and_absent_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown dataset 'citys'; nearest: cities"):
        load_questions("citys", n=1, seed=0)
    with pytest.raises(InputError, match="no question file"):
        load_questions(str(tmp_path / "absent.csv"), n=1, seed=0)


@pytest.mark.parametrize("prefix", ["", "movies:"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, prefix: str) -> None:
    (tmp_path / "questions.tsv").write_text("question\tanswer\nWho?\tme\n")
    with pytest.raises(InputError, match=r"questions\.tsv is not a \.csv, \.json, \.jsonl or \.parquet file"):
        load_questions(f"{prefix}{tmp_path / 'questions.tsv'}", n=1, seed=0)


def test_a_number_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="cannot draw 0 questions"):
        load_questions("cities", n=0, seed=0)


def test_naming_a_set_needs_no_heavy_import() -> None:
    code = "import sys, interp.questions.datasets; print({'numpy', 'pandas', 'pyarrow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize("dataset", ["us-cities", "capitals"])
def test_a_set_that_is_too_small_says_how_many_questions_it_has(dataset: str) -> None:
    with pytest.raises(TooFewQuestions, match=f"{dataset} has") as too_few:
        load_questions(dataset, n=1000, seed=0)
    n = too_few.value.available
    assert 100 < n < 1000
    assert len(load_questions(dataset, n=n, seed=0).questions) == n
    with pytest.raises(TooFewQuestions):
        load_questions(dataset, n=n + 1, seed=0)
