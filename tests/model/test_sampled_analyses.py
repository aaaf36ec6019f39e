"""The commands on sampled answers, on a tiny model whose answers are read by their first token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from analyses import cli
from interp.activations.store import ActivationStore
from interp.examples import Answer, Span
from interp.models.model_sources import ModelSource
from tests.row_files import written

NAMES = ("Chad", "France", "Peru")
N = 120


def read(answers: Sequence[Answer], *_: Any) -> list[Answer]:
    """What a tiny model says is nothing; its first token decides what it is taken to name, or that it names nothing."""
    return [_read(answer) for answer in answers]


def _read(answer: Answer) -> Answer:
    first, number = answer.token_ids[answer.n_prompt], int(answer.question.id)
    if not answer.text or (first + number) % 7 == 0:
        return replace(answer, found_by="names", why_missing="names no known answer")
    named = NAMES[(first * 5 + number) % 3]
    return replace(answer, exact=Span(0, 1), named=(named,), found_by="names", correct=named == "France")


@pytest.fixture
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interp.answers.answers.with_exact_answers", read)
    monkeypatch.setattr("interp.answers.answers.graded", read)
    rows = [{"question": f"In which country is city {index}?", "answer": "France"} for index in range(N)]
    return written(tmp_path / "questions.csv", rows)


def run(source: ModelSource, questions: Path, command: str, *flags: str, status: int = 0) -> None:
    common = ["--model", str(source.folder), "--dataset", str(questions), "--max-new-tokens", "3", "--dtype", "float32"]
    assert cli.main([command, *common, "--n", str(N), *flags]) == status


def result(name: str) -> xr.Dataset:
    (path,) = Path("figures").rglob(f"{name}.nc")
    with xr.open_dataset(path, engine="h5netcdf") as data:
        return data.load()


def test_both_commands_are_of_the_same_samples(
    source: ModelSource, questions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    run(source, questions, "error-types", "--samples", "9")
    told = capsys.readouterr().out
    assert "120  asked, 9 samples each at temperature 1" in told
    assert "probed: resid_post, layer 2, exact_answer_last of the greedy answer" in told
    types = result("error-types")
    assert {"value", "low", "high", "n", "n_of_type", "questions", "questions_disjoint"} <= set(types)
    assert types.attrs["kind"] == "error types"
    assert types["questions_disjoint"].sel(name="consistently correct") == sum(
        types["questions_disjoint"].sel(name=f"consistently correct: {half}") for half in ("always", "mostly")
    )
    few = types["n_of_type"] < 20
    assert few.any()
    assert types["value"].where(few, drop=True).isnull().all()
    assert (types["why_missing"].where(few, drop=True) > 0).all()

    files = sorted(Path("runs").rglob("sample-*.parquet"))
    assert len(files) == 9
    before = [path.read_bytes() for path in files]
    run(source, questions, "select", "--samples", "9")
    assert [path.read_bytes() for path in sorted(Path("runs").rglob("sample-*.parquet"))] == before
    stores = [ActivationStore.read(path.parent) for path in Path("runs").rglob("store.json")]
    assert len(stores) == 10, "the greedy answers and each draw"
    assert {(store.layers, store.positions, store.is_whole()) for store in stores if store} == {
        ((2,), ("exact_answer_last",), True)
    }
    accuracy = result("selection")["value"].sel(
        name=[f"all questions: {name}" for name in ("random", "probe", "oracle")]
    )
    assert (np.diff(accuracy[[0, 2]]) >= 0).all()
    assert accuracy[1] <= accuracy[2]
    gain = result("selection-gain").sel(name="all questions: probe − random")
    assert float(gain["value"]) == pytest.approx(float(accuracy[1] - accuracy[0]))
    assert gain["low"] <= gain["value"] <= gain["high"]
    assert int(gain["n"]) == N

    # Everything is there: the model is not asked again, and the numbers are the same.
    monkeypatch.setattr("interp.models.loading.load_model", None)
    first = result("selection")
    run(source, questions, "select", "--samples", "9")
    xr.testing.assert_identical(result("selection"), first)
    run(source, questions, "select", "--samples", "9", "--layer", "2")
    capsys.readouterr()
    run(source, questions, "error-types", "--samples", "9", "--rules", "paper", status=2)
    assert "is the result of another run (rules: code there, paper here); give --overwrite" in capsys.readouterr().err
    run(source, questions, "error-types", "--samples", "9", "--rules", "paper", "--overwrite")
    drawn = sorted(Path("figures").rglob("*.pdf"))
    assert {path.stem for path in drawn} == {"error-types", "selection", "selection-gain"}
    before = [path.read_bytes() for path in drawn]
    assert cli.main(["figures"]) == 0
    assert [path.read_bytes() for path in drawn] == before


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("error-types", ["--samples", "8"], "--samples is 8; types of errors are told by"),
        ("select", ["--samples", "0"], "--samples is 0; give a number from 1"),
        ("select", ["--layer", "3"], "--layer is 3, and the model has the layers 0 to 2"),
        ("select", ["--position", "last_q,-1"], "unknown position 'last_q,-1'"),
        ("select", ["--temperature", "0"], "the temperature is 0.0"),
        ("error-types", ["--c", "0"], "--c is 0.0; give numbers above 0"),
        ("error-types", ["--folds", "1"], "--folds is 1; give a number from 2"),
    ],
)
def test_bad_flags_are_refused_before_anything_is_written(
    source: ModelSource, questions: Path, command: str, flags: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    run(source, questions, command, *flags, status=2)
    assert message in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["questions.csv"]


def test_without_enough_of_both_classes_no_probe_chooses(
    source: ModelSource, questions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(
        "interp.answers.answers.graded", lambda answers, *_: [replace(each, correct=False) for each in read(answers)]
    )
    run(source, questions, "select", "--samples", "2", status=2)
    assert "no probe can be trained on the greedy answers at layer 2, exact_answer_last" in capsys.readouterr().err
