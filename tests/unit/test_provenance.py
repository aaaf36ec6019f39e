"""The chain from a figure to what it was made from: read, never made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from analyses import cli
from analyses.parts import asking, flags, loading, patching, procedures, runs
from analyses.parts.command_line import typed
from analyses.provenance import CHANGED, GONE, OF_ANSWERS, SAME, answers_folder
from interp.models.model_sources import ModelSource
from interp.results.comparison import Comparison
from interp.results.heatmap import Heatmap
from tests.unit.test_heatmap import heatmap_of

IDENTITY = {
    "model": "tiny",
    "revision": "abc",
    "dataset": "cities",
    "questions": "f00",
    "n": 5,
    "seed": 3,
    "max_new_tokens": 9,
    "folds": 5,
    "libraries": {"torch": "2"},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A result with its drawing, made by a command."""
    monkeypatch.chdir(tmp_path)
    with typed("interp probe", ["--template", "Say: {question}"]):
        made_by = runs.provenance(IDENTITY)
    path = Path("figures/tiny/cities/probe.nc")
    heatmap_of(np.full((2, 2), 0.7)).with_attributes(made_by | {"store": "activations-1", "credit": "us"}).save(path)
    runs.draw(path, path)
    return path.parent


def chain_of(path: Path, capsys: pytest.CaptureFixture) -> Any:
    assert cli.main(["provenance", str(path), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("kind", ["pdf", "png"])
def test_a_figure_leads_to_its_result_and_to_what_made_it(
    folder: Path, capsys: pytest.CaptureFixture, kind: str
) -> None:
    (Path("runs/tiny/cities") / "activations-1").mkdir(parents=True)
    chain = chain_of(folder / f"probe.{kind}", capsys)
    (result,) = chain["results"]
    assert chain["drawn by"].startswith("Matplotlib")
    assert (result["result"], result["state"]) == (str(folder / "probe.nc"), SAME)
    assert result["command"] == "interp probe --template 'Say: {question}'"
    assert result["config"] == {"max_new_tokens": 9, "folds": 5}
    assert result["activations"] == {"path": "runs/tiny/cities/activations-1", "there": True}
    assert result["answers"] == [{"path": f"runs/tiny/cities/{answers_folder(IDENTITY)}", "there": False}]
    assert result["dataset"] == [{"name": "cities", "n": 5, "sha256": "f00"}]
    assert result["model"] == {"name": "tiny", "revision": "abc"}
    assert (result["seed"], result["credit"]) == (3, "us")
    assert {"python", "interp", "torch", "matplotlib"} <= result["versions"].keys()


def test_what_was_not_recorded_is_said_to_be_so(folder: Path, capsys: pytest.CaptureFixture) -> None:
    path = folder / "old.nc"
    data = heatmap_of(np.full((2, 2), 0.7)).data
    del data.attrs["identity"]
    Heatmap(data).save(path)
    (result,) = chain_of(path, capsys)["results"]
    said = {"result", "sha256", "kind"}
    assert {name for name, value in result.items() if value is not None} == said
    assert cli.main(["provenance", str(path)]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert {name for name, value in lines.items() if value == "not recorded"} == result.keys() - said


def test_a_result_that_has_been_moved_is_found_by_its_hash(folder: Path, capsys: pytest.CaptureFixture) -> None:
    (folder / "probe.nc").rename(folder.parent / "moved.nc")
    (result,) = chain_of(folder / "probe.pdf", capsys)["results"]
    assert (result["result"], result["state"]) == (str(folder.parent / "moved.nc"), SAME)


def test_a_result_that_has_changed_or_is_gone_is_told(folder: Path, capsys: pytest.CaptureFixture) -> None:
    (before,) = chain_of(folder / "probe.pdf", capsys)["results"]
    heatmap_of(np.full((2, 2), 0.8)).save(folder / "probe.nc")
    (after,) = chain_of(folder / "probe.pdf", capsys)["results"]
    assert after["state"] == f"{CHANGED}: then {before['sha256']}"
    assert after["sha256"] != before["sha256"]
    (folder / "probe.nc").unlink()
    (gone,) = chain_of(folder / "probe.pdf", capsys)["results"]
    assert gone == {"result": str(folder / "probe.nc"), "sha256": before["sha256"], "state": GONE}


def test_a_comparison_leads_on_to_its_maps(folder: Path, capsys: pytest.CaptureFixture) -> None:
    rng = np.random.default_rng(0)
    for name in ("other", "gone"):
        heatmap_of(rng.random((4, 3))).with_attributes(runs.provenance(IDENTITY)).save(folder / f"{name}.nc")
    published = folder / "paper.csv"
    Heatmap.load(folder / "other.nc").data["value"].to_pandas().to_csv(published)
    maps = [str(folder / "other.nc"), str(folder / "gone.nc"), str(published)]
    assert cli.main(["compare", *maps, "--draws", "8"]) == 0
    (folder / "gone.nc").unlink()
    capsys.readouterr()
    path = folder / "compare-other-gone-paper.pdf"
    (result,) = chain_of(path, capsys)["results"]
    other, gone, paper = result["compared"]
    assert (other["result"], other["state"], other["dataset"][0]["name"]) == (maps[0], SAME, "cities")
    assert (gone["result"], gone["state"]) == (maps[1], GONE)
    assert (paper["result"], paper["state"], paper["kind"]) == (maps[2], SAME, "published map")
    assert cli.main(["provenance", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("compared ")] == maps


def test_the_maps_of_a_comparison_are_found_in_their_folders(folder: Path, capsys: pytest.CaptureFixture) -> None:
    rng = np.random.default_rng(0)
    maps = [Path("figures/tiny/a/b/map.nc"), Path("figures/tiny/map.nc"), Path("figures/other/b/map.csv")]
    for path in maps[:2]:
        heatmap_of(rng.random((4, 3))).with_attributes(runs.provenance(IDENTITY)).save(path)
    maps[2].parent.mkdir(parents=True)
    Heatmap.load(maps[0]).data["value"].to_pandas().to_csv(maps[2])
    assert cli.main(["compare", *map(str, maps), "--draws", "8", "--out", str(folder)]) == 0
    maps[1].unlink()
    maps[2].write_text(maps[2].read_text().replace(",0", ",-0", 1))
    capsys.readouterr()
    (path,) = folder.glob("compare-*.pdf")
    (result,) = chain_of(path, capsys)["results"]
    first, second, third = result["compared"]
    assert (first["result"], first["state"]) == (str(maps[0]), SAME)
    assert (second["result"], second["state"]) == (str(maps[1]), GONE)
    assert (third["result"], third["kind"]) == (str(maps[2]), "published map")
    assert third["state"].startswith(CHANGED)


def test_a_comparison_that_does_not_say_where_its_maps_are_has_them_beside_it(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    maps = [folder / f"{name}.nc" for name in ("a", "b")]
    for place, path in enumerate(maps):
        heatmap_of(np.random.default_rng(place).random((4, 3))).save(path)
    assert cli.main(["compare", *map(str, maps), "--draws", "8"]) == 0
    older = Comparison.load(folder / "compare-a-b.nc")
    del older.data.attrs["files"]
    older.save(folder / "older.nc")
    capsys.readouterr()
    (result,) = chain_of(folder / "older.nc", capsys)["results"]
    assert [(each["result"], each["state"]) for each in result["compared"]] == [(str(path), SAME) for path in maps]


def test_a_figure_that_says_nothing_has_no_result(folder: Path, capsys: pytest.CaptureFixture) -> None:
    Image.new("L", (2, 2)).save(folder / "photo.png")
    assert cli.main(["provenance", str(folder / "photo.png")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1)[1] for line in printed[1:]] == ["by     not recorded", "not recorded"]


@pytest.mark.parametrize("kind", ["pdf", "png"])
def test_a_figure_that_has_been_cut_off_has_no_chain(folder: Path, capsys: pytest.CaptureFixture, kind: str) -> None:
    path = folder / f"probe.{kind}"
    path.write_bytes(path.read_bytes()[:3000])
    assert cli.main(["provenance", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "it is damaged, its end is missing after 3,000 bytes; draw it again" in said.err.splitlines()[-1]


@pytest.mark.parametrize("name", ["absent.pdf", "absent.nc", "notes.txt"])
def test_what_is_not_there_is_one_error(folder: Path, capsys: pytest.CaptureFixture, name: str) -> None:
    assert cli.main(["provenance", name]) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("error: ")


def test_the_lines_are_aligned(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["provenance", str(folder / "probe.pdf")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert all(line[12] == " " and line[13] != " " for line in lines)
    assert [line[:13].strip() for line in lines][:5] == ["figure", "drawn by", "result", "sha256", "state"]


def test_what_decides_answers_is_the_name_of_nothing_else() -> None:
    """A result's identity has all in one table, where a key that is there twice would be that of the last."""
    everything = [value for name, value in vars(procedures).items() if name.isupper() and isinstance(value, dict)]
    of_answers = (procedures.READ_SIGNS, procedures.INITIALS, procedures.ACCENTS, procedures.GIVEN)
    for one in of_answers:
        assert one.keys() <= {*OF_ANSWERS}
        assert not any(one.keys() & other.keys() for other in everything if other is not one)


CONFIGS = {
    "digits": flags.Config(dataset="capitals", n=7, extraction="number"),
    "default": flags.Config(dataset="capitals", n=7),
    "every flag": flags.Config(
        dataset="capitals", n=7, seed=2, max_new_tokens=5, prompt_style="base", template="{question}", shots=1
    ),
    "a reader": flags.Config(dataset="capitals", n=7, extraction="prompted", grading="judged", tries=3, batch_size=4),
    "one try": flags.Config(dataset="capitals", n=7, extraction="prompted", grading="match", tries=1, batch_size=4),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_folder_of_answers_follows_from_what_decides_a_result(
    config: flags.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = {"backend": "hooked", "weights": "processed", "dtype": "float32"}
    monkeypatch.setattr(loading, "form_of", lambda *_: form)
    source = ModelSource("tiny", Path("tiny"), "abc")
    setting = asking.Setting(config, source, asking.questions_of(config), lambda: pytest.fail("no model is needed"))
    identity = asking.identity_of(setting)
    of_a_sampled_map = identity | {"batch_size": config.batch_size, "folds": 5, "layers": "all", "samples": 3}
    path = asking.answers_path(setting)
    assert answers_folder(of_a_sampled_map) == path.parent.name


@pytest.mark.parametrize("screen", [False, True])
@pytest.mark.parametrize("site", ["resid_pre", "ln1.hook_normalized"])
def test_only_what_is_screened_at_a_hook_by_its_name_is_made_anew(
    site: str, screen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "form_of", lambda *_: {"backend": "hooked", "weights": "raw", "dtype": "float32"})
    config = patching.Config(dataset="capitals", n=7, site=site, screen=screen)
    source = ModelSource("tiny", Path("tiny"), "abc")
    setting = asking.Setting(config, source, asking.questions_of(config), lambda: pytest.fail("no model is needed"))
    is_anew = procedures.HOOKS_CALLED_AGAIN.items() <= patching.identity_of(setting).items()
    assert is_anew == (screen and site == "ln1.hook_normalized")


def test_what_is_of_no_questions_has_no_answers() -> None:
    assert answers_folder({"model": "tiny", "text": "Paris"}) is None


def test_a_result_of_a_text_is_not_asked_for_questions(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "lens.nc"
    heatmap_of(np.full((2, 2), 0.7)).with_attributes({"identity": '{"model": "tiny", "text": "Paris"}'}).save(path)
    (result,) = chain_of(path, capsys)["results"]
    assert result["config"] == {"text": "Paris"}
    assert not {"answers", "activations", "dataset", "seed"} & result.keys()


def test_what_a_library_made_names_no_command() -> None:
    assert "command" not in runs.provenance({"seed": 0})
