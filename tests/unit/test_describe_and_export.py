"""The commands ``interp describe`` and ``interp export``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analyses.cli import main
from analyses.describe import as_written
from interp.results.heatmap import Heatmap
from tests.described_maps import map_of

BASELINES = Path(__file__).parents[2] / "figures" / "smollm2-135m" / "cities" / "baselines.nc"
PAIRS = BASELINES.with_name("patch-led-pairs.nc")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "map.nc"
    map_of(np.array([[0.6, np.nan], [0.75, 0.5]]), names=["a", "b"]).save(path)
    return path


def test_describe_says_what_each_file_shows(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", str(saved)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Heatmap of layers by tokens: AUC of error detection (probe;")
    assert main(["describe", str(saved), str(BASELINES), "--length", "short"]) == 0
    parts = capsys.readouterr().out.strip().split("\n\n")
    assert [part.split("\n")[0] for part in parts] == [str(saved), str(BASELINES)]
    assert all(len(part.split("\n")) == 3 for part in parts)


def test_describe_gives_its_numbers_as_json(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", str(saved), "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["path"] == str(saved)
    assert found["description"]["highest"]["cell"]["value"] == 0.75
    assert found["description"]["columns"][1]["spearman"] is None
    assert len(found["sentences"]) > 5


def test_export_writes_whole_files_that_read_back(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made" / "map.csv"
    assert main(["export", str(saved), "--wide", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    np.testing.assert_array_equal(Heatmap.load(out).data["value"].values, Heatmap.load(saved).data["value"].values)
    assert [path.name for path in out.parent.iterdir()] == ["map.csv"]
    assert main(["figures", str(out), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "map.png").is_file()


def test_export_prints_without_a_file(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(saved)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "layer,position,value,low,high,n,why_missing"
    assert main(["export", str(saved), "--format", "latex", "--layers", "1"]) == 0
    assert r" & $n$ & layer 1 \\" in capsys.readouterr().out
    assert main(["export", str(saved), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["attrs"]["model"] == "tiny"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["export", "absent.nc"], "no heatmap at absent.nc"),
        (["describe", "absent.nc"], "no heatmap at absent.nc"),
        (["describe"], "nothing to describe"),
        (["describe", str(PAIRS)], "has what every pair gave, and is no map; give the map beside it"),
        (["export", str(BASELINES), "--wide"], "has one axis and no wide form"),
        (["export", str(BASELINES), "--variable", "n"], "--variable is for --wide"),
        (["export", str(BASELINES), "--wide", "--format", "json"], "--wide is for --format csv"),
        (["export", str(BASELINES), "--layers", "1"], "--layers and --intervals are for --format latex"),
        (["export", str(BASELINES), "--format", "latex", "--layers", "1"], "has no layers"),
    ],
)
def test_what_cannot_be_done_is_one_line(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(flags) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert said in error


def test_markdown_shows_what_looks_like_markup() -> None:
    assert as_written("0 <s>, 1 *a*, 2 __b__, 3 [x](y)") == r"0 \<s>, 1 \*a\*, 2 \_\_b\_\_, 3 \[x\](y)"
    assert as_written("exact_answer_last") == "exact_answer_last"
