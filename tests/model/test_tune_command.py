"""The command that trains a tuned lens: what it writes, uses again, goes on from and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from analyses import cli
from interp.lenses import lens_training
from interp.lenses.lens_divergence import gradients
from interp.lenses.tuned_lens import lens_of
from interp.models.hooked_model import HookedModel
from interp.models.model_sources import ModelSource
from interp.results.heatmap import Heatmap
from tests.row_files import written

SMALL = ["--steps", "6", "--tokens", "40", "--measure-every", "3", "--held-out", "0.4", "--learning-rate", "0.01"]


@pytest.fixture
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [
        {"question": f"Where is {number} of {number * 7}?", "answer": "France", "model_answer": f"It is in {number}."}
        for number in range(40)
    ]
    return written(tmp_path / "questions.csv", rows)


def tuned(source: ModelSource, *flags: str, status: int = 0) -> None:
    common = ["--model", str(source.folder), "--dtype", "float32", "--precision", "float32"]
    assert cli.main(["tune", *common, *SMALL, *flags]) == status


def of_questions(path: Path) -> list[str]:
    return ["--dataset", str(path), "--n", "40"]


def test_a_lens_is_trained_on_answers_and_used_again(
    source: ModelSource,
    model: HookedModel,
    questions: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    tuned(source, *of_questions(questions))
    told = capsys.readouterr().out.splitlines()
    path = Path(told[0])
    assert path.parent.parent == Path("runs/tiny-llama/questions")
    assert [line.rpartition("/")[2] for line in told[1:4]] == ["tuned-lens.nc", "tuned-lens.pdf", "tuned-lens.png"]
    assert sorted(file.name for file in path.parent.iterdir()) == ["lens.safetensors", "tuned-lens.nc"]
    assert torch.is_tensor(lens_of(f"tuned:{path}", model, source).translated(torch.zeros(1, 32), 0))

    heatmap = Heatmap.load(Path(told[1]))
    assert heatmap.layers == [0, 1]
    assert heatmap.data["position"].values.tolist() == ["logit lens", "tuned lens"]
    value = heatmap.data["value"]
    assert (value.sel(position="tuned lens") < value.sel(position="logit lens")).all()
    with safe_open(path, framework="pt") as file:
        record = json.loads(file.metadata()["interp"])
    assert record["revision"] == source.revision
    assert record["held_out_kl"]["tuned lens"] == value.sel(position="tuned lens").values.tolist()
    assert {name: record[name] for name in ("d_model", "n_layers", "site", "dtype", "steps", "dataset")} == {
        "d_model": 32,
        "n_layers": 3,
        "site": "resid_post",
        "dtype": "float32",
        "steps": 6,
        "dataset": "questions",
    }
    assert record["identity"] == heatmap.identity
    assert sum(f"{layer:<6}" == line[:6] for layer in (0, 1) for line in told) == 2

    before = path.read_bytes()
    monkeypatch.setattr("interp.models.loading.load_model", None)
    tuned(source, *of_questions(questions))
    assert capsys.readouterr().out.splitlines() == told
    assert path.read_bytes() == before
    tuned(source, *of_questions(questions), "--steps", "9", status=2)
    assert "is the result of another run (steps: 6 there, 9 here)" in capsys.readouterr().err


def test_an_interrupted_run_goes_on_to_the_same_lens(
    source: ModelSource, questions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    tuned(source, *of_questions(questions))
    path = Path(capsys.readouterr().out.splitlines()[0])
    whole = path.read_bytes()
    for file in path.parent.iterdir():
        file.unlink()
    steps = iter(range(4))

    def killed(*arguments: Any, **named: Any) -> Any:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return gradients(*arguments, **named)

    with monkeypatch.context() as interrupted:
        interrupted.setattr(lens_training, "gradients", killed)
        tuned(source, *of_questions(questions), status=130)
    assert [file.name for file in path.parent.iterdir()] == ["training.pt"]
    tuned(source, *of_questions(questions))
    assert path.read_bytes() == whole
    path.with_name("training.pt").touch()  # As a run leaves it that is killed once the lens and its map are there.
    tuned(source, *of_questions(questions))
    assert sorted(file.name for file in path.parent.iterdir()) == ["lens.safetensors", "tuned-lens.nc"]


def test_a_lens_is_trained_on_a_text(source: ModelSource, questions: Path, capsys: pytest.CaptureFixture) -> None:
    text = Path("Prose.txt")
    text.write_text(" ".join(f"The city of {number} is in {number * 3}." for number in range(80)))
    tuned(source, "--text", str(text), "--length", "12")
    path = Path(capsys.readouterr().out.splitlines()[0])
    assert path.parent.parent == Path("runs/tiny-llama/prose")
    assert Path("figures/tiny-llama/prose/tuned-lens.png").exists()
    assert not list(Path("runs").rglob("answers.parquet")), "nothing is asked"
    text.write_text(text.read_text() + " More.")
    tuned(source, "--text", str(text), "--length", "12", status=2)
    assert "is the result of another run (text: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--steps", "0"], "--steps is 0; give a number from 1"),
        (["--measure-every", "0"], "--measure-every is 0"),
        (["--learning-rate", "0"], "--learning-rate is 0.0; give a number above 0"),
        (["--held-out", "1"], "--held-out is 1.0; give a share between 0 and 1"),
        (["--held-out", "0.1"], "of 40 sequences of text 4 would be set aside, and at least 8 must be"),
        (["--tokens", "5000"], "fewer than one step takes (5000); give more text, or fewer tokens a step"),
        (["--text", "absent.txt"], "no text at absent.txt"),
        (["--length", "9"], "--length is of a text file; give --text"),
        (["--dtype", "float16"], "--dtype float16 has no room for the gradients of a lens"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    source: ModelSource, questions: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    tuned(source, *of_questions(questions), *flags, status=2)
    assert message in capsys.readouterr().err.splitlines()[-1]
