"""interp probe --save-probes, interp apply, interp transfer and interp baselines on a tiny model and given answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from analyses import cli
from interp.models.model_sources import ModelSource
from interp.results.heatmap import Heatmap
from interp.results.matrix import Matrix
from tests.row_files import written

N = 96
FLAGS = ["--n", str(N), "--folds", "3", "--positions=last_q,-1", "--dtype", "float32"]
QUICK = ["--permutations", "0", "--bootstraps", "0", "--no-controls"]

pytestmark = pytest.mark.usefixtures("elsewhere")


def answers_file(name: str, wrong_word: str, ids: str) -> Path:
    """Questions with the answers that a model gave: right ones say France, wrong ones something else."""
    rows = [
        {
            "id": f"{ids}{index}",
            "question": f"{ids} {index}?",
            "answer": "France",
            "year": str(1900 + index),
            "model_answer": f"It is {'France' if index % 3 else wrong_word}",
        }
        for index in range(N)
    ]
    rows[0]["answer"], rows[1]["answer"] = wrong_word, "Peru"
    return written(Path(f"{name}.csv"), rows)


def command(source: ModelSource, name: str, *flags: str, status: int = 0) -> None:
    assert cli.main([name, *flags, "--model", str(source.folder)]) == status


def found(pattern: str) -> Path:
    (path,) = Path().rglob(pattern)
    return path


def test_kept_probes_score_another_set_and_other_answers_to_their_own(
    source: ModelSource, capsys: pytest.CaptureFixture
) -> None:
    first, second = answers_file("first", "Brazil", "a"), answers_file("second", "Brazil", "b")
    command(source, "probe", "--dataset", str(first), *FLAGS, *QUICK, "--save-probes")
    probes = found("probes.safetensors")
    assert capsys.readouterr().out.count(str(probes)) == 1

    flags = ["--n", str(N), "--dtype", "float32", "--max-new-tokens", "4"]
    command(source, "apply", str(probes), "--dataset", str(second), *flags)
    told = capsys.readouterr().out
    elsewhere = Heatmap.load(found("probe-from-first.nc"))
    assert "probe-from-first.png" in told
    assert float(elsewhere.data["value"].sel(position="-1").max()) > 0.95, "the last word says it here too"
    assert (elsewhere.data["n"] == N).all()
    assert elsewhere.data.attrs["variant"] == "probes trained on first"
    with xr.open_dataset(found("probe-from-first-*/scores.nc"), engine="h5netcdf") as scores:
        assert scores["score"].shape == (3, 2, N)
        assert bool(np.isfinite(scores["score"]).all())

    # On its own set every answer is scored by the probe of its fold: the map is that of interp probe.
    command(source, "apply", str(probes), "--dataset", str(first), *flags)
    own = Heatmap.load(Path("figures") / source.name / "first" / "probe-from-first.nc")
    probed = Heatmap.load(Path("figures") / source.name / "first" / "probe.nc")
    np.testing.assert_allclose(own.data["value"], probed.data["value"], atol=2e-3)

    # So it is whatever its file is called.
    again = first.with_name("again.csv")
    again.write_bytes(first.read_bytes())
    command(source, "apply", str(probes), "--dataset", str(again), *flags)
    known = Heatmap.load(Path("figures") / source.name / "again" / "probe-from-first.nc")
    np.testing.assert_allclose(known.data["value"], own.data["value"], atol=2e-3)

    command(source, "apply", str(probes), "--dataset", str(second), *flags, "--layers", "1", "--positions=-1", status=2)
    assert "is the result of another run (" in capsys.readouterr().err
    command(source, "apply", str(probes), "--dataset", str(second), *flags, "--layers", "7", status=2)
    assert "no probe at layer 7" in capsys.readouterr().err


def test_probes_of_another_model_are_refused(
    source: ModelSource, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first = answers_file("first", "Brazil", "a")
    command(source, "probe", "--dataset", str(first), *FLAGS, *QUICK, "--save-probes")
    path = found("probes.safetensors")
    from interp.probes.linear_probes import LinearProbes

    probes = LinearProbes.load(path)
    record = probes.record | {"identity": probes.record["identity"] | {"revision": "another"}}
    LinearProbes(probes.layers, probes.positions, probes.fold, probes.arrays, record).save(Path("other.safetensors"))
    capsys.readouterr()
    command(source, "apply", "other.safetensors", "--dataset", str(first), "--n", str(N), status=2)
    assert "has probes of another model (revision: another there" in capsys.readouterr().err
    record = probes.record | {"identity": probes.record["identity"] | {"labels": "shuffled"}}
    LinearProbes(probes.layers, probes.positions, probes.fold, probes.arrays, record).save(Path("dealt.safetensors"))
    command(source, "apply", "dealt.safetensors", "--dataset", str(first), "--n", str(N), status=2)
    assert "has probes of shuffled, not of errors" in capsys.readouterr().err
    command(source, "apply", "nowhere.safetensors", status=2)
    assert "no probes at nowhere.safetensors" in capsys.readouterr().err


def test_probes_are_kept_of_two_classes_only(source: ModelSource, capsys: pytest.CaptureFixture) -> None:
    first = answers_file("first", "Brazil", "a")
    command(source, "probe", "--dataset", str(first), *FLAGS, "--labels", "year", "--save-probes", status=2)
    assert "--save-probes is for labels of two classes, and year is not one" in capsys.readouterr().err


def test_transfer_is_a_matrix_of_sets_that_is_made_once(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    sets = [answers_file("first", "Brazil", "a"), answers_file("second", "Chad", "a")]
    flags = ["--datasets", *map(str, sets), *FLAGS, "--max-new-tokens", "4"]
    command(source, "transfer", *flags)
    folder = Path("figures") / source.name / "transfer"
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.{suffix}" for name in ("transfer", "transfer-beyond-baseline") for suffix in ("nc", "pdf", "png")
    }
    aucs = Matrix.load(folder / "transfer.nc")
    assert aucs.data["train"].values.tolist() == ["first", "second"]
    assert (np.diag(aucs.data["value"]) > 0.9).all()
    assert (aucs.data["n_of_fold"] == aucs.data["n"]).all(), "both sets ask the same questions"
    differences = Matrix.load(folder / "transfer-beyond-baseline.nc")
    assert set(differences.data["baseline"].values.tolist()) <= {
        f"{reading}-{name}{exact}"
        for reading in ("logprob", "logit")
        for name in ("mean", "min", "max", "last")
        for exact in ("", "-exact")
    }
    for train, test in (("first", "second"), ("second", "first")):
        difference = differences.data.sel(train=train, test=test)
        auc = float(aucs.data["value"].sel(train=train, test=test))
        assert float(difference["value"]) == pytest.approx(auc - float(difference["baseline_auc"]))
    told = capsys.readouterr().out
    assert "AUC above that of the test set's best baseline" in told

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("interp.models.loading.load_model", None)
    command(source, "transfer", *flags)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert cli.main(["figures"]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    command(source, "transfer", *flags, "--layer", "1", "--position=-1", status=2)
    assert "is the result of another run (cell: None there, [1, '-1'] here)" in capsys.readouterr().err
    command(source, "transfer", *flags, "--layer", "1", "--position=-1", "--overwrite")
    assert Matrix.load(folder / "transfer.nc").data["train_layer"].values.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--datasets", "cities"], "--datasets is cities; give two sets or more, each once"),
        (["--datasets", "cities", "cities"], "give two sets or more, each once"),
        (["--layer", "1"], "give both --layer and --position, or neither"),
        (["--layer", "9", "--position=-1"], "--layer 9 is not among --layers all of this model, which are 0 to "),
        (["--layer", "1", "--position", "nowhere"], "unknown position 'nowhere'"),
        (["--layer", "1", "--position", "first_q"], "--position first_q is not among --positions"),
        (["--labels", "ended"], "transfer is of correctness"),
        (["--probe", "mlp"], "--probe mlp is not linear"),
    ],
)
def test_what_cannot_be_transferred_is_refused(
    source: ModelSource, capsys: pytest.CaptureFixture, flags: list[str], message: str
) -> None:
    command(source, "transfer", *flags, status=2)
    assert message in capsys.readouterr().err


def test_baselines_are_of_the_judged_answers_and_made_once(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    first = answers_file("first", "Brazil", "a")
    flags = ["--dataset", str(first), "--n", str(N), "--dtype", "float32", "--max-new-tokens", "4"]
    command(source, "baselines", *flags)
    told = capsys.readouterr().out
    assert "p-true-reversed-exact" in told
    folder = Path("figures") / source.name / "first"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {"baselines.nc", "baselines.pdf", "baselines.png"}
    monkeypatch.setattr("interp.models.loading.load_model", None)
    command(source, "baselines", *flags)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    command(source, "baselines", *flags, "--no-p-true", status=2)
    assert "is the result of another run (p_true: True there, False here)" in capsys.readouterr().err
