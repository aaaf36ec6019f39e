from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from interp.datasets import available, load_questions
from interp.errors import InputError


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
    code = "import sys, interp.datasets; print({'numpy', 'pandas', 'pyarrow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_as_many_questions_are_available_as_a_set_has() -> None:
    n = available("us-cities", 1000)
    assert 300 < n < 1000
    assert len(load_questions("us-cities", n=n, seed=0).questions) == n
    with pytest.raises(InputError, match="us-cities has"):
        load_questions("us-cities", n=n + 1, seed=0)
    assert available("us-cities", 100) == 100
    assert available("capitals", 1000) == len(
        load_questions("capitals", n=available("capitals", 1000), seed=0).questions
    )
