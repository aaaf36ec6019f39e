"""The commands on a tiny model: what they keep, what they use again, and what tells one run from another."""

from __future__ import annotations

import json
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyses import cli
from analyses.parts import asking, flags
from interp.activations.store import ActivationStore
from interp.answers.answer_files import load_answers, save_answers
from interp.models.model_sources import ModelSource, resolve_model
from interp.probes.controls import OF_LABELS
from interp.questions.question_set import QuestionSet
from interp.questions.vocabulary import Vocabulary
from interp.results.heatmap import Heatmap
from tests.row_files import written
from tests.stored import contents

CITIES = ["Lyon", "São Paulo", "Paris", "東京", "Le Havre", "Rio", "Nice", "Osaka"]


@pytest.fixture
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"In which country is {city}?", "answer": "France"} for city in CITIES]
    return written(tmp_path / "questions.csv", rows)


def asked(source: ModelSource, questions: Path, *flags: str, status: int = 0, command: str = "answers") -> None:
    common = ["--model", str(source.folder), "--dataset", str(questions), "--max-new-tokens", "6", "--dtype", "float32"]
    assert cli.main([command, *common, *flags]) == status


def said_rows() -> list[dict[str, str]]:
    """Questions with given answers that name one of four countries, some of them wrongly."""
    names = ("France", "Brazil", "Chad", "Peru")
    said = [names[(number * 7 + number // 5) % 4] for number in range(120)]
    return [
        {"question": f"{number}?", "answer": name if number % 3 else "Chad", "model_answer": f"It is {name}"}
        for number, name in enumerate(said)
    ]


def contents_of(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).rglob("*.*")}


def found(name: str) -> list[Path]:
    return sorted(Path("runs").rglob(name))


def test_what_a_model_says_by_its_own_code_is_not_what_it_says_without(source: ModelSource, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(source.folder, tmp_path / "with-code"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModelForCausalLM": "its_own.Model"}}))
    questions = QuestionSet("test", (), Vocabulary({}), "", extraction="prompted")
    for folder, changes in ((source.folder, False), (copy, True)):
        without, trusted = (
            asking.identity_of(
                asking.Setting(
                    flags.Config(reader=str(folder), trust_remote_code=trusts),
                    resolve_model(str(folder)),
                    questions,
                    lambda: pytest.fail("no model is needed"),
                )
            )
            for trusts in (False, True)
        )
        changed = {name for name in without | trusted if without.get(name) != trusted.get(name)}
        assert changed == ({"code", "reader"} if changes else set())


def test_two_processes_that_answer_the_same_both_end(
    source: ModelSource, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def saved(*args: Any) -> None:
        save_answers(*args)
        (journals,) = found("*.journals")
        shutil.rmtree(journals)  # As the other one, which ends first.

    monkeypatch.setattr("interp.answers.answer_files.save_answers", saved)
    asked(source, questions, "--n", "8")
    assert len(found("answers.parquet")) == 1


def test_samples_are_kept_beside_the_greedy_answers(
    source: ModelSource, questions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked(source, questions, "--n", "8", "--samples", "2")
    assert len(found("answers.parquet")) == 1
    first, second = found("sample-*.parquet")
    assert capsys.readouterr().out.split()[-2:] == [str(first), str(second)]
    texts = [[answer.text for answer in load_answers(path)[0]] for path in (*found("answers.parquet"), first, second)]
    assert texts[0] != texts[1] != texts[2]
    assert load_answers(first)[1]["identity"]["temperature"] == 1.0
    before = first.read_bytes(), second.read_bytes()

    asked(source, questions, "--n", "8", "--samples", "3")
    assert len(found("sample-*.parquet")) == 3
    assert (first.read_bytes(), second.read_bytes()) == before, "only the third is new"
    monkeypatch.setattr("interp.models.loading.load_model", None)
    for path in (*found("answers.parquet"), first):
        path.with_suffix(".journals").mkdir()  # As a run leaves them that is killed once the answers are there.
    asked(source, questions, "--n", "8", "--samples", "3")
    assert found("*.journals") == [], "what is finished leaves no journal"


def test_a_sample_that_was_interrupted_goes_on_to_the_same(
    source: ModelSource, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--n", "8", "--samples", "1", "--batch-size", "3"]
    asked(source, questions, *flags)
    (path,) = found("sample-*.parquet")
    whole = load_answers(path)[0]
    path.unlink()

    def killed(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr("interp.answers.answer_files.save_answers", killed)
        asked(source, questions, *flags, status=130)
    (journal,) = found("sample-0000.jsonl")
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join(lines[: len(lines) // 2]))
    asked(source, questions, *flags)
    assert load_answers(path)[0] == whole


@pytest.mark.parametrize(
    "flags",
    [
        ("--grading", "contains"),
        ("--extraction", "number"),
        ("--extraction", "prompted", "--tries", "1"),
        ("--extraction", "prompted", "--tries", "2"),
        ("--prompt-style", "base", "--shots", "1"),
        ("--prompt-style", "base", "--shots", "2"),
        ("--template", "Answer: {question}"),
        ("--max-new-tokens", "5"),
    ],
)
def test_what_decides_the_answers_tells_one_run_from_another(
    source: ModelSource, questions: Path, flags: tuple[str, ...]
) -> None:
    asked(source, questions, "--n", "4")
    asked(source, questions, "--n", "4", *flags)
    asked(source, questions, "--n", "4", *flags)
    assert len(found("answers.parquet")) == 2


def test_what_does_not_decide_them_does_not(source: ModelSource, questions: Path) -> None:
    asked(source, questions, "--n", "4")
    for given in (("--batch-size", "2"), ("--tries", "1"), ("--reader", str(source.folder)), ("--grading", "named")):
        asked(source, questions, "--n", "4", *given)
    assert len(found("answers.parquet")) == 1


def test_another_model_may_read_the_answers(source: ModelSource, questions: Path, tmp_path: Path) -> None:
    flags = ["--n", "4", "--extraction", "prompted", "--tries", "2", "--reader", str(source.folder)]
    asked(source, questions, *flags)
    answers, metadata = load_answers(*found("answers.parquet"))
    assert metadata["identity"]["reader"] == {"model": source.name, "revision": source.revision}
    assert metadata["identity"]["grading"] == "match"
    assert {answer.found_by for answer in answers} == {"prompted"}


def test_a_map_of_answers_that_the_user_has(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "raw": f"In which country is city number {i}?",
            "gold": "France",
            "said": f"City {i} is in {'France' if i % 2 else 'Brazil'}.<|im_end|>",
            "words": "France" if i % 2 else "Brazil",
        }
        for i in range(60)
    ]
    path = written(tmp_path / "said.csv", rows)
    columns = ["--columns", "question=raw", "answer=gold", "model_answer=said", "exact_answer=words"]
    flags = ["--n", "60", "--folds", "2", *columns, "--positions=last_q,exact_answer_first,-1"]
    asked(source, path, *flags, command="probe")
    assert "60  given by the user, not generated" in capsys.readouterr().out
    data = Heatmap.load(*Path("figures").rglob("probe.nc")).data
    assert json.loads(data.attrs["counts"])["correct"] == 30
    assert (data["n"] == 60).all()
    assert (data["value"].sel(position="exact_answer_first") > 0.99).all(), "the words themselves tell right from wrong"

    (figure,) = Path("figures").rglob("probe.pdf")
    assert cli.main(["provenance", str(figure), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["command"].startswith(f"interp probe --model {source.folder} --dataset {path} ")
    assert [folder["there"] for folder in (result["activations"], *result["answers"])] == [True, True]


def test_maps_of_other_sites_stand_beside_each_other(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        {"question": f"{i}?", "answer": "France", "model_answer": "It is France" if i % 2 else "It is Brazil"}
        for i in range(40)
    ]
    path = written(tmp_path / "said.csv", [*rows, rows[0] | {"question": "?", "answer": "Brazil"}])
    flags = ["--n", "41", "--folds", "2", "--positions=last_q,-1"]
    for site in ("resid_post", "attn_out", "attn.hook_q"):
        asked(source, path, *flags, "--site", site, command="probe")
    maps = {found.stem: Heatmap.load(found).data for found in Path("figures").rglob("*[!s].nc")}
    assert {name: data.attrs["site"] for name, data in maps.items()} == {
        "probe": "resid_post",
        "probe-attn_out": "attn_out",
        "probe-attn_hook_q": "attn.hook_q",
    }
    asked(source, path, *flags, "--site", "atn_out", command="probe", status=2)
    assert "unknown site 'atn_out'; nearest: attn_out" in capsys.readouterr().err
    asked(source, path, *flags, "--site", "attn.hook_pattern", command="probe", status=2)
    assert "it has no vector of its own for each of them" in capsys.readouterr().err
    assert len(list(Path("runs").rglob("store.json"))) == 3, "no store is left of what was refused"


def captured(source: ModelSource, questions: Path, *flags: str, status: int = 0) -> None:
    common = ["--n", "8", "--positions=last_q,-2,-1", "--token-budget", "20"]
    asked(source, questions, *common, *flags, command="capture", status=status)


def store_command(*arguments: str) -> int:
    return cli.main(["store", *arguments])


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interp.work.plan.SHARD_EXAMPLES", 2)


@pytest.mark.usefixtures("small_shards")
def test_parts_of_a_capture_are_merged_to_what_one_run_captures(
    source: ModelSource, questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    captured(source, questions, "--shard", "1/2", status=2)
    assert "run 'interp answers' once, with the same flags, before the --shard jobs" in capsys.readouterr().err
    captured(source, questions, "--sites", "resid_post,mlp_out")
    folders = [Path(line) for line in capsys.readouterr().out.split()]
    assert [ActivationStore.read(folder).identity["site"] for folder in folders] == ["resid_post", "mlp_out"]
    whole = contents(folders[0])

    for part in ("1/2", "2/2"):
        captured(source, questions, "--shard", part)
    parts = [Path(line) for line in capsys.readouterr().out.split()]
    assert [part.name for part in parts] == [f"{folders[0].name}.part-{number}-of-2" for number in (1, 2)]
    assert store_command("merge", *map(str, parts), "--into", "merged") == 0
    assert contents(Path("merged")) == whole
    shutil.rmtree(folders[0])
    assert store_command("merge", str(folders[0])) == 0, "the parts are found beside"
    assert contents(folders[0]) == whole
    assert store_command("merge", "nowhere") == 2
    assert "no store of activations at nowhere" in capsys.readouterr().err

    assert store_command("prune") == 0
    told = capsys.readouterr().out
    assert told.count("would remove") == sum(len(contents(part)) for part in parts)
    assert all(part.exists() for part in parts)
    assert store_command("prune", "--yes") == 0
    assert not any(part.exists() for part in parts)
    assert contents(folders[0]) == whole


@pytest.mark.usefixtures("small_shards")
def test_stores_are_listed_verified_exported_and_removed(
    source: ModelSource, questions: Path, capsys: pytest.CaptureFixture
) -> None:
    assert store_command("list") == 2
    assert "no store of activations below runs; 'interp capture' makes one" in capsys.readouterr().err
    captured(source, questions, "--layers", "0,2")
    folder = Path(capsys.readouterr().out.strip())
    assert store_command("list") == 0
    (row,) = capsys.readouterr().out.splitlines()[1:]
    assert row.split()[:7] == ["tiny-llama", "resid_post", "float32", "2", "3", "8", "4/4"]
    assert store_command("verify") == 0
    assert capsys.readouterr().out == f"{folder}: whole\n"
    assert store_command("export", str(folder), "--to", "npz") == 0
    with np.load(capsys.readouterr().out.strip()) as archive:
        assert archive["activations"].shape == (2, 3, 8, 32)

    shard = folder / "shard-0002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    (folder / ".shard-0003.safetensors.killed").touch()
    assert store_command("verify") == 1
    assert capsys.readouterr().out == f"{folder}: damaged: shard 2\n"
    assert store_command("prune", "--yes") == 0
    assert capsys.readouterr().out.split() == [f"{folder}/.shard-0003.safetensors.killed", str(shard)]
    captured(source, questions, "--layers", "0,2")
    capsys.readouterr()
    assert store_command("verify") == 0
    assert store_command("prune", "--stores", "--yes", str(folder)) == 0
    assert not folder.exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--layers", "0,9"], "--layers has 9, and the model has the layers 0 to 2"),
        (["--layers", "2-0"], "--layers has '2-0'; write all, or numbers and ranges such as 0,4,8 or 0-10"),
        (["--shard", "3/2"], "--shard is '3/2'; write i/n with i from 1 to n"),
        (["--token-budget", "0"], "--token-budget is 0; give a number from 1"),
        (["--sites", "resid_pots"], "unknown site 'resid_pots'; nearest: resid_post"),
        (["--sites", "attn.hook_result"], "this model does not show its attn.hook_result: "),
    ],
)
def test_a_capture_that_cannot_be_is_refused(
    source: ModelSource, questions: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    captured(source, questions, *flags, status=2)
    assert message in capsys.readouterr().err


def test_every_kind_of_probe_is_a_map_of_its_own(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("France", "Brazil", "Chad", "Peru")
    rows = [
        {"question": f"{i}?", "answer": "France", "model_answer": f"It is {names[i % 4] if i % 3 else 'France'}"}
        for i in range(120)
    ]
    rows += [{"question": f"other {name}?", "answer": name, "model_answer": "It is France"} for name in names]
    rows = [row | {"kind": "xyz"[place % 3]} for place, row in enumerate(rows)]
    path = written(tmp_path / "said.csv", rows)
    flags = ["--n", "124", "--folds", "3", "--positions=last_q,-1", "--permutations", "50", "--bootstraps", "50"]
    asked(source, path, *flags, "--seeds", "2", "--c", "0.1", "1", command="probe")
    told = capsys.readouterr().out
    assert "chosen without them" in told
    assert "cells above chance (50 permutations, family-wise error 5 %)" in told
    asked(source, path, *flags, "--split", "paper", command="probe")
    asked(source, path, *flags, "--probe", "mass-mean", "--no-controls", command="probe")
    asked(source, path, *flags, "--group", "answer", "--solver", "sklearn", "--no-nested", command="probe")
    maps = {found.stem: Heatmap.load(found).data for found in Path("figures").rglob("*[!s].nc")}
    assert set(maps) == {
        "probe",
        "probe-beyond",
        "probe-paper_split",
        "probe-mass-mean",
        "probe-sklearn-group_answer",
    }
    assert {"sd_of_seeds", "low_bootstrap", "p_corrected", "marked", "f1", "calibration_error"} <= set(maps["probe"])
    assert "calibration_error" not in maps["probe-mass-mean"]
    assert (maps["probe-paper_split"]["n"] == 25).all()
    asked(source, path, *flags, "--split", "paper", "--c", "1", "2", command="probe", status=2)
    assert "--split paper has no folds within which to choose among several --c" in capsys.readouterr().err
    for given, message in (
        (["--selectivity"], "--selectivity is for labels of two classes"),
        (["--alpha", "10"], "--alpha is of numbers, and kind is not"),
    ):
        asked(source, path, *flags, "--labels", "kind", *given, command="probe", status=2)
        assert message in capsys.readouterr().err
        assert not list(Path("figures").rglob("probe-kind.nc")), "it is refused before anything is probed"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--site", "resid_pst"], "unknown site 'resid_pst'; nearest: "),
        (["--layers", "0-40"], "--layers has 40, and the"),
    ],
)
def test_cells_that_a_model_does_not_have_are_refused_before_it_is_asked(
    source: ModelSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    flags: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "said.csv", said_rows())
    asked(source, path, "--n", "120", *flags, command="probe", status=2)
    assert message in capsys.readouterr().err
    assert not [*Path("runs").rglob("answers.parquet"), *Path("runs").rglob("store.json")]


def labelled_questions(folder: Path) -> Path:
    """Answers that the user has; what the file says of them beside can be read off their first word, or cannot."""
    words = ("France", "Brazil", "Chad", "Peru")
    rows = [
        {
            "question": f"{i}?",
            "answer": "France",
            "model_answer": f"It is {words[i % 4]}",
            "kind": words[i % 4] if i else "",
            "even": "yes" if i % 2 else "no",
            "year": 1900 + 30 * (i % 4) if i > 4 else "",
            "note": f"note {i}",
        }
        for i in range(96)
    ]
    return written(folder / "said.csv", rows)


def test_any_column_gives_a_map(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    path = labelled_questions(tmp_path)
    flags = ["--n", "96", "--folds", "3", "--positions=last_q,-1", "--permutations", "20", "--bootstraps", "20"]
    for labels in ("kind", "even", "year", "shuffled:year"):
        asked(source, path, *flags, "--labels", labels, command="probe")
    told = capsys.readouterr().out
    assert "1  without kind" in told
    assert "24  kind = Peru" in told
    assert "48  even = yes" in told
    assert "91  with year" in told
    assert "--labels shuffled:year shows what chance gives" in told
    assert len(found("answers.parquet")) == 1, "what is kept beside the questions decides no answer"
    assert len(found("store.json")) == 1
    maps = {file.stem: Heatmap.load(file).data for file in Path("figures").rglob("*[!s].nc")}
    assert set(maps) == {"probe-kind", "probe-even", "probe-even-beyond", "probe-year", "probe-shuffled-year"}
    assert maps["probe-kind"].attrs["metric"] == "macro AUC of kind (one against the rest)"
    assert maps["probe-even"].attrs["metric"] == "AUC of even"
    assert maps["probe-year"].attrs["metric"] == "R² of year"
    assert {name: data["n"].values.max() for name, data in maps.items()} == {
        "probe-kind": 95,
        "probe-even": 96,
        "probe-even-beyond": 96,
        "probe-year": 91,
        "probe-shuffled-year": 91,
    }
    for name in ("probe-kind", "probe-even", "probe-year"):
        last = maps[name]["value"].sel(position="-1")
        assert (last > 0.9).all(), f"{name}: the last word says it"
    assert (maps["probe-shuffled-year"]["value"] < 0.2).all()
    assert {"n_positive", "marked"} <= set(maps["probe-even"])

    capsys.readouterr()
    monkeypatch.setattr("interp.models.loading.load_model", None)
    monkeypatch.setattr("analyses.probe.measured_maps", None)
    for labels in ("kind", "even", "year"):
        asked(source, path, *flags, "--labels", labels, command="probe")
    assert "probe-year.png" in capsys.readouterr().out, "nothing is made again"


def test_a_control_that_has_the_label_is_left_out_of_its_map(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(OF_LABELS, "even", "shape")
    flags = ["--n", "96", "--folds", "3", "--positions=-1", "--permutations", "0", "--bootstraps", "0"]
    asked(source, labelled_questions(tmp_path), *flags, "--labels", "even", command="probe")
    (beyond,) = Path("figures").rglob("probe-even-beyond.nc")
    assert Heatmap.load(beyond).data["which"].values.tolist() == ["token", "difficulty", "all"]


def test_values_of_the_file_are_in_the_identity_of_their_map(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    path = labelled_questions(tmp_path)
    flags = ["--n", "96", "--folds", "3", "--positions=-1", "--bootstraps", "0", "--labels", "year"]
    asked(source, path, *flags, command="probe")
    before = Heatmap.load(*Path("figures").rglob("probe-year.nc"))
    path.write_text(path.read_text().replace(",1930,", ",1931,"))
    asked(source, path, *flags, command="probe", status=2)
    assert "is the result of another run (label_values: " in capsys.readouterr().err
    asked(source, path, *flags, "--overwrite", command="probe")
    after = Heatmap.load(*Path("figures").rglob("probe-year.nc"))
    assert before.identity | {"label_values": after.identity["label_values"]} == after.identity
    assert len(found("answers.parquet")) == len(found("store.json")) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--labels", "yaer"], "unknown column 'yaer'; nearest: year"),
        (["--labels", "note"], "note has 96 values in 96 answers"),
        (["--labels", "ended"], "ended is 'true' in every answer that has it"),
        (["--labels", "year", "--c", "0.1"], "a number is probed by ridge regression, with --alpha"),
        (["--labels", "year", "--label-kind", "binary"], "year has 4 values"),
        (["--label-kind", "number"], "--label-kind number is not that of correctness"),
        (["--labels", "year", "--alpha", "0"], "--alpha is 0.0; give numbers above 0"),
    ],
)
def test_labels_that_cannot_be_are_refused(
    source: ModelSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    flags: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = labelled_questions(tmp_path)
    asked(source, path, "--n", "96", "--folds", "3", "--positions=-1", *flags, command="probe", status=2)
    assert message in capsys.readouterr().err


def test_selectivity_is_a_map_beside_the_others_and_leaves_them_as_they_are(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "said.csv", said_rows())
    flags = ["--n", "120", "--folds", "3", "--positions=last_q,-1", "--permutations", "0", "--bootstraps", "0"]
    asked(source, path, *flags, command="probe")
    before = contents_of("figures")
    monkeypatch.setattr("interp.probes.chance.with_marks", None)
    monkeypatch.setattr("interp.probes.controls.beyond_map", None)
    asked(source, path, *flags, "--selectivity", command="probe")
    told = capsys.readouterr().out
    assert re.search(r"^4 names that answers give, each with a random label in 3 control tasks$", told, re.M)
    assert re.search(r"^100 % of a cell's answers give a name that their probe was trained on$", told, re.M)
    assert {name: content for name, content in contents_of("figures").items() if name in before} == before
    selective = Heatmap.load(*Path("figures").rglob("probe-selectivity.nc"))
    assert selective.identity["selectivity_tasks"] == 3
    assert {"control_auc", "control_auc_low", "control_auc_high", "sd_of_tasks", "type_trained"} <= set(selective.data)
    assert (selective.data["n"] == 120).all()

    asked(source, path, *flags, "--selectivity", "--selectivity-tasks", "2", command="probe", status=2)
    assert "selectivity_tasks: 3 there, 2 here" in capsys.readouterr().err


def test_a_sparse_probe_is_a_map_for_each_number_of_coordinates(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "said.csv", said_rows())
    flags = ["--n", "120", "--folds", "3", "--positions=last_q,-1", "--permutations", "0", "--probe", "sparse"]
    if int(version("transformer-lens").split(".")[0]) < 4:
        asked(source, path, *flags, command="probe", status=2)
        assert "--probe sparse is TransformerLens's own, which version 3" in capsys.readouterr().err
        return
    asked(source, path, *flags, "--no-controls", command="probe")
    asked(source, path, *flags, "--no-controls", "--k", "3", command="probe")
    maps = {found.stem: Heatmap.load(found) for found in Path("figures").rglob("*[!s].nc")}
    assert {name: each.identity["k"] for name, each in maps.items()} == {"probe-sparse": 16, "probe-sparse-k3": 3}
    assert maps["probe-sparse-k3"].data.attrs["variant"] == "probe: 3 coordinates"
    asked(source, path, *flags, "--k", "33", command="probe", status=2)
    assert "--k is 33, and the activations have 32 coordinates" in capsys.readouterr().err
