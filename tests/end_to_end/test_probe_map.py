"""The whole way on the real small model: what a newcomer runs, and what an impatient one does to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.metrics import roc_auc_score
from transformers import AutoTokenizer

from interp.activations.batch_activations import site_activations
from interp.answers.answer_files import load_answers
from interp.models.hooked_model import HookedModel
from interp.models.loading import load_model
from interp.models.model_sources import resolve_model
from interp.positions import MISSING, PAPER_POSITIONS, position_table
from interp.results.heatmap import Heatmap
from tests.published_procedure import published_positions

RESULT = Path("figures/smollm2-135m/cities/probe.nc")
N = 80
FLAGS = ["--n", str(N), "--folds", "3", "--batch-size", "32", "--dtype", "float32"]
FLAGS += ["--permutations", "200", "--bootstraps", "200"]
COMMAND = [sys.executable, "-m", "analyses.probe", *FLAGS]


def probe(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    outcome = subprocess.run([*COMMAND, *flags], cwd=folder, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    return outcome


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the command ran to its end, undisturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    outcome = probe(folder)
    assert "answers: 80 prompts" in outcome.stderr, "progress is told in lines where there is no terminal"
    assert "\r" not in outcome.stderr, "and not as a bar"
    return folder


def test_the_map_has_the_form_of_the_published_one(finished: Path) -> None:
    heatmap = Heatmap.load(finished / RESULT)
    data = heatmap.data
    assert data.sizes == {"layer": 30, "position": 15}
    assert data["position"].values.tolist() == list(PAPER_POSITIONS)
    assert ((data["value"] >= 0) & (data["value"] <= 1)).all()
    assert ((data["low"] <= data["value"]) & (data["value"] <= data["high"])).all()
    assert heatmap.identity["n"] == N
    counts = json.loads(data.attrs["counts"])
    assert counts["asked"] == N
    assert (data["n"].sel(position="last_q") == counts["answered"]).all()
    assert "exact_answer_first = exact_answer_last" in json.loads(data.attrs["coinciding"])
    assert "CC BY 4.0" in data.attrs["credit"]
    for suffix in (".pdf", ".png"):
        assert (finished / RESULT).with_suffix(suffix).stat().st_size > 10_000


def test_the_scores_of_every_example_are_kept(finished: Path) -> None:
    data = Heatmap.load(finished / RESULT).data
    examples = xr.load_dataset((finished / RESULT).with_name(data.attrs["examples"]), engine="h5netcdf")
    cell = {"layer": 12, "position": "exact_answer_last"}
    auc = roc_auc_score(examples["positive"], examples["value"].sel(cell).isel(scoring=0))
    assert auc == pytest.approx(float(data["value"].sel(cell)), abs=1e-6)


def test_a_second_run_reuses_everything_and_changes_nothing(finished: Path) -> None:
    before = {path: path.read_bytes() for path in (finished / "figures").rglob("*.*")}
    outcome = probe(finished)
    assert "loading" not in outcome.stderr
    assert {path: path.read_bytes() for path in (finished / "figures").rglob("*.*")} == before


def test_other_settings_do_not_replace_a_result_unasked(finished: Path) -> None:
    before = (finished / RESULT).read_bytes()
    outcome = subprocess.run([*COMMAND, "--c", "0.1"], cwd=finished, capture_output=True, text=True, check=False)
    assert outcome.returncode == 2
    assert "c: [0.001, 0.01, 0.1] there, [0.1] here" in outcome.stderr.splitlines()[-1]
    assert (finished / RESULT).read_bytes() == before


def test_positions_are_the_published_procedures_where_it_neither_clamps_nor_falls_back(finished: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(resolve_model("smollm2-135m").folder)
    (path,) = (finished / "runs").rglob("answers.parquet")
    judged = [answer for answer in load_answers(path)[0] if answer.exact is not None]
    strict, paper = position_table(judged), position_table(judged, policy="paper")
    for row, answer in enumerate(judged):
        assert answer.exact is not None
        expected = published_positions(tokenizer, answer)
        assert dict(zip(PAPER_POSITIONS, paper["token"].values[row].tolist(), strict=True)) == expected
        for name, token in zip(PAPER_POSITIONS, strict["token"].values[row].tolist(), strict=True):
            replaced = bool(paper["replaced"].sel(position=name)[row])
            assert replaced == (token != expected[name])
            # They differ only where those characters stand earlier inside another word ("Indian", then "India").
            assert not replaced or answer.text.find(answer.exact.of(answer.text)) < answer.exact.start


def test_the_position_table_and_the_policy_are_kept(finished: Path) -> None:
    (path,) = (finished / "runs").rglob("positions.nc")
    table = xr.load_dataset(path, engine="h5netcdf")
    assert table["position"].values.tolist() == list(PAPER_POSITIONS)
    data = Heatmap.load(finished / RESULT).data
    assert data.attrs["policy"] == table.attrs["policy"] == "strict"
    assert json.loads(data.attrs["replaced"]) == {}


def test_the_papers_policy_is_another_map(finished: Path) -> None:
    probe(finished, "--policy", "paper", "--positions=last_q,subject_last,-30", "--no-controls")
    heatmap = Heatmap.load(finished / RESULT.with_name("probe-paper.nc"))
    assert heatmap.identity["policy"] == "paper"
    assert (heatmap.data["n"] == heatmap.data["n"].max()).all(), "-30 counts on into the prompt"
    assert set(json.loads(heatmap.data.attrs["replaced"])) == {"-30"}


def test_shuffled_labels_share_the_activations(finished: Path) -> None:
    outcome = probe(finished, "--labels", "shuffled", "--no-controls")
    assert "loading" not in outcome.stderr, "answers and activations are reused"
    shuffled = Heatmap.load(finished / RESULT.with_name("probe-shuffled.nc")).data
    assert abs(float(shuffled["value"].mean()) - 0.5) < 0.15


def test_killed_at_every_stage_it_resumes_to_the_same_result(finished: Path, tmp_path: Path) -> None:
    stages: list[Callable[[], bool]] = [
        lambda: any(tmp_path.rglob("answers.jsonl")),
        lambda: any(tmp_path.rglob("store.json")),
        lambda: any(tmp_path.rglob("layer-005.npz")),
    ]
    for reached in stages:
        process = subprocess.Popen(COMMAND, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not reached() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        assert reached(), "the stage was not reached"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / RESULT).exists()
    probe(tmp_path)
    resumed, undisturbed = Heatmap.load(tmp_path / RESULT), Heatmap.load(finished / RESULT)
    assert resumed.data.identical(undisturbed.data)


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.25)])
def test_captured_vectors_are_those_of_run_with_cache(
    finished: Path, dtype: str, tolerance: float, device: str
) -> None:
    """On each prompt alone, relative to the vector's norm; in bfloat16 the model itself is off by a tenth of that."""
    model: HookedModel = load_model(resolve_model("smollm2-135m"), dtype=dtype, device=device)
    (path,) = finished.rglob("answers.parquet")
    judged = [answer for answer in load_answers(path)[0] if answer.correct is not None][:4]
    cells = position_table(judged)["token"].values
    streams = site_activations(model, [answer.token_ids for answer in judged], cells)
    for row, answer in enumerate(judged):
        with torch.inference_mode():
            _, cache = model.run_with_cache(
                torch.tensor([answer.token_ids], device=device), names_filter=lambda name: name.endswith("resid_post")
            )
        for layer in range(30):
            alone = cache[f"blocks.{layer}.hook_resid_post"][0].float().cpu()
            for column in np.flatnonzero(cells[row] != MISSING):
                captured, expected = streams[layer, column, row].float(), alone[cells[row, column]]
                assert (captured - expected).norm() <= tolerance * expected.norm()
