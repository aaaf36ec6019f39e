"""interp attribution on a tiny model: what it writes, what it uses again, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analyses import cli
from interp.models.model_sources import ModelSource
from interp.models.output_path import Unembedding, unembedding_of
from interp.results.heatmap import Heatmap
from tests.row_files import written
from tests.stored import contents

N = 30
COUNTRIES = ("France", "Brazil", "Lyon")
QUESTIONS = Path("asked.csv")
POSITIONS = "last_q,exact_answer_before_first,exact_answer_last"


@pytest.fixture(autouse=True)
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions with given answers, a third of which are wrong, and one that names nothing."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "id": f"q{index}",
            "question": f"In which country is city {index}?",
            "answer": COUNTRIES[(index + (index % 9 < 3)) % 3],
            "model_answer": f"It is in {COUNTRIES[index % 3]}" if index else "I do not know",
        }
        for index in range(N)
    ]
    written(QUESTIONS, rows)


def attribution(source: ModelSource, *flags: str, status: int = 0) -> None:
    common = ["--model", str(source.folder), "--dataset", str(QUESTIONS), "--n", str(N), "--dtype", "float32"]
    assert cli.main(["attribution", *common, "--positions", POSITIONS, "--bootstraps", "50", *flags]) == status


def folder_of(source: ModelSource) -> Path:
    return Path("figures") / source.name / "asked"


def test_two_maps_are_drawn_and_made_once(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    attribution(source)
    told = capsys.readouterr().out
    folder = folder_of(source)
    before = contents(folder)
    assert set(before) == {
        f"attribution-{name}.{suffix}" for name in ("attn", "mlp") for suffix in ("nc", "pdf", "png")
    }
    assert all(str(folder / name) in told for name in before)
    assert "the largest parts at exact_answer_before_first" in told
    assert f"{N - 1} answers\nnot attributed: there is no exact answer: 1" in told

    attn, mlp = (Heatmap.load(folder / f"attribution-{name}.nc").data for name in ("attn", "mlp"))
    assert mlp["n"].sel(position="last_q").values.tolist() == [N - 1] * 3
    assert json.loads(mlp.attrs["counts"])["attributed"] == N - 1
    assert (attn.attrs["site"], mlp.attrs["site"]) == ("attn_out", "mlp_out")
    parts = mlp["parts"]
    written = parts.sel(part=["embedding", "constants"]).sum("part") + (attn["value"] + mlp["value"]).sum("layer")
    np.testing.assert_allclose(written, parts.sel(part="logit difference"), rtol=1e-4, atol=1e-4)

    monkeypatch.setattr("interp.models.loading.load_model", None)
    attribution(source)
    assert contents(folder) == before
    assert capsys.readouterr().out == told
    attribution(source, "--bootstraps", "60", status=2)
    assert "is the result of another run (bootstraps: 50 there, 60 here)" in capsys.readouterr().err


def test_wrong_answers_alone_are_held_against_the_gold(source: ModelSource, capsys: pytest.CaptureFixture) -> None:
    attribution(source, "--foil", "gold")
    data = Heatmap.load(folder_of(source) / "attribution-mlp-gold.nc").data
    counts = json.loads(data.attrs["counts"])
    assert counts["attributed"] == counts["answered"] - counts["correct"] == int(data["n"].max())
    assert counts["not attributed: the answer is right"] == counts["correct"]
    assert "the answer's logit less that of the correct answer's" in data.attrs["metric"]
    assert f"not attributed: the answer is right: {counts['correct']}" in capsys.readouterr().out


def test_what_does_not_add_up_to_the_models_output_is_not_drawn(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def doubled(*args: object) -> Unembedding:
        vectors, biases = unembedding_of(*args)  # type: ignore[arg-type]
        return Unembedding(2 * vectors, biases)

    monkeypatch.setattr("interp.lenses.direct_attribution.unembedding_of", doubled)
    attribution(source, status=2)
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "the logit difference that is read off the final stream is not the model's own" in error
    assert list(folder_of(source).iterdir()) == []
