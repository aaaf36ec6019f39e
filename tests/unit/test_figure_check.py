"""Figures are drawn to the same bytes everywhere, and every one that is not as it would be drawn is found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from analyses import cli
from analyses.parts import drawings, runs
from analyses.parts.figure_check import figures_below, findings
from interp.results.heatmap import Heatmap
from interp.work.files import sha256
from tests.listed_figures import save_results
from tests.unit.test_heatmap import heatmap_of

CITIES = Path(__file__).parents[2] / "figures" / "smollm2-135m" / "cities"
SUFFIXES = (".pdf", ".png", ".svg")
FILES = (
    *(f"tiny/{name}.{kind}" for name in ("baselines", "patch", "probe") for kind in ("pdf", "png")),
    *(f"paper/first.{kind}" for kind in ("pdf", "png", "svg")),
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all its figures, drawn by a process of its own, of a user with other settings of matplotlib."""
    folder = tmp_path_factory.mktemp("drawn")
    save_results(folder / "figures")
    (folder / "matplotlibrc").write_text("font.size: 20\nfigure.facecolor: red\nsavefig.pad_inches: 3\n")
    environment = os.environ | {"PYTHONHASHSEED": "1", "MATPLOTLIBRC": str(folder / "matplotlibrc")}
    command = [sys.executable, "-m", "analyses.figures", "--figures", str(folder / "figures")]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return folder / "figures"


@pytest.fixture
def folder(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn, tmp_path / "figures")
    return tmp_path / "figures"


REMEMBERED: dict[Any, Any] = {}


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has been drawn from the same files is not drawn once more, for speed."""

    def once(draw: Callable[..., Any], folder_of: Callable[..., Path]) -> Callable[..., Any]:
        def drawn_once(*given: Any, **options: Any) -> Any:
            folder = folder_of(given)
            files = sorted(path for path in folder.rglob("*.*") if path.suffix in (".nc", ".toml"))
            key = (draw.__name__, *(getattr(each, "name", "") for each in given), *map(Path.read_bytes, files))
            if key not in REMEMBERED:
                REMEMBERED[key] = draw(*given, **options)
            return REMEMBERED[key]

        return drawn_once

    monkeypatch.setattr(drawings, "drawn", once(drawings.drawn, lambda given: given[0].parent))
    monkeypatch.setattr(drawings, "drawn_for_paper", once(drawings.drawn_for_paper, lambda given: given[1].parent))


def found_in(folder: Path, capsys: pytest.CaptureFixture) -> list[tuple[str, str]]:
    """The findings, each as its kind and its file; nothing is written for them."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    status = cli.main(["figures", "--check", "--figures", str(folder)])
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    *lines, summary = capsys.readouterr().out.splitlines()
    found = [(line.split()[0], Path(line.split()[1]).relative_to(folder).as_posix()) for line in lines]
    assert status == bool(found)
    told = ", ".join(
        f"{sum(kind == each for each, _ in found)} {kind}" for kind in ("stale", "differing", "missing", "orphaned")
    )
    assert summary.endswith(f" figure files expected: {told}")
    return found


def test_two_processes_draw_the_same_bytes_in_every_format(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.suffix in SUFFIXES} == set(
        FILES
    )
    assert found_in(folder, capsys) == []


def test_what_would_not_change_is_not_written_again(folder: Path, capsys: pytest.CaptureFixture) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    (folder / "tiny" / "patch.png").unlink()
    assert cli.main(["figures", "--figures", str(folder)]) == 0
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    assert {path.name for path in after if after[path] != before[path]} == {"patch.png"}
    assert capsys.readouterr().out.split() == [str(folder / "tiny" / "patch.png"), "unchanged:", "8", "files"]


def test_of_a_list_only_its_figures_are_drawn(folder: Path, capsys: pytest.CaptureFixture) -> None:
    for path in (folder / "tiny" / "patch.png", folder / "paper" / "first.pdf"):
        path.unlink()
    assert cli.main(["figures", str(folder / "figures.toml")]) == 0
    assert (folder / "paper" / "first.pdf").is_file()
    assert not (folder / "tiny" / "patch.png").exists()
    assert cli.main(["figures", str(folder / "no.toml")]) == 2
    assert f"no list of figures at {folder / 'no.toml'}" in capsys.readouterr().err


def test_what_every_pair_or_example_gave_is_not_drawn_and_a_damaged_file_is_not_passed_over(tmp_path: Path) -> None:
    for name in ("patch.nc", "patch-pairs.nc", "probe-examples.nc"):
        shutil.copyfile(CITIES / name, tmp_path / name)
    (tmp_path / "damaged.nc").write_bytes(b"nothing")
    assert [path.name for path in drawings.results_below(tmp_path)] == ["damaged.nc", "patch.nc"]


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def of_another_run(folder: Path) -> None:
    """The same values: what is drawn has not changed, but what it was drawn from has."""
    path = folder / "tiny" / "patch.nc"
    Heatmap.load(path).with_attributes({"seconds": 3}).save(path)


def redrawn_by_hand(folder: Path) -> None:
    path = folder / "tiny" / "probe.png"
    with Image.open(path) as image:
        image.convert("L").save(path)


def drawn_by_another_version(folder: Path) -> None:
    path = folder / "paper" / "first.pdf"
    path.write_bytes(path.read_bytes().replace(b"Matplotlib v3", b"Matplotlib v2"))


def cut_off(name: str) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:-100])

    return cut


def listed_no_more(folder: Path) -> None:
    (folder / "figures.toml").write_text("")


def listed_with_another_title(folder: Path) -> None:
    path = folder / "figures.toml"
    path.write_text(path.read_text().replace("Patched", "Moved"))


def also_left(folder: Path) -> None:
    shutil.copy(folder / "tiny" / "probe.pdf", folder / "tiny" / "probe-old.pdf")


PAPER = [f"paper/first.{kind}" for kind in ("pdf", "png", "svg")]


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize(
    ("change", "kind", "files"),
    [
        (of_another_run, "stale", ["tiny/patch.pdf", "tiny/patch.png", *PAPER]),
        (redrawn_by_hand, "differing", ["tiny/probe.png"]),
        (drawn_by_another_version, "differing", ["paper/first.pdf"]),
        *((cut_off(name), "differing", [name]) for name in ("paper/first.svg", "tiny/patch.pdf", "tiny/patch.png")),
        (listed_with_another_title, "differing", PAPER),
        (without("paper/first.svg"), "missing", ["paper/first.svg"]),
        (without("tiny/patch.png"), "missing", ["tiny/patch.png"]),
        (without("tiny/baselines.nc"), "orphaned", ["tiny/baselines.pdf", "tiny/baselines.png"]),
        (listed_no_more, "orphaned", PAPER),
        (also_left, "orphaned", ["tiny/probe-old.pdf"]),
    ],
)
def test_one_change_is_found_and_nothing_else(
    folder: Path, capsys: pytest.CaptureFixture, change: Callable[[Path], None], kind: str, files: list[str]
) -> None:
    change(folder)
    assert found_in(folder, capsys) == [(kind, file) for file in files]


@pytest.mark.parametrize("name", [".unfinished.nc", ".kept/probe.nc", "tiny/.kept/again/probe.nc"])
def test_what_is_hidden_or_in_a_hidden_folder_is_neither_drawn_nor_looked_for(tmp_path: Path, name: str) -> None:
    folder = tmp_path / ".figures"  # What it is below itself does not hide it.
    for path in (folder / name, folder / "tiny" / "seen.nc"):
        heatmap_of(np.full((2, 2), 0.7)).save(path)
    (folder / name).with_suffix(".pdf").write_bytes(b"")
    assert drawings.results_below(folder) == [folder / "tiny" / "seen.nc"]
    assert figures_below(folder) == []


@pytest.mark.usefixtures("remembered")
def test_a_figure_beside_a_map_is_stale_when_the_map_has_changed(folder: Path, capsys: pytest.CaptureFixture) -> None:
    path = folder / "tiny" / "probe.nc"
    Heatmap.load(path).with_attributes({"seconds": 3}).save(path)
    assert cli.main(["figures", "--check", "--figures", str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines[:-1]} == {"stale"}
    assert any("baselines.pdf  (changed since it was drawn: probe.nc)" in line for line in lines)
    assert any("first.pdf  (changed since it was drawn: ../tiny/probe.nc)" in line for line in lines)


@pytest.mark.usefixtures("remembered")
def test_a_comparison_is_stale_when_one_of_its_maps_has_changed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Wherever the map lies; one that is gone has not changed, and the comparison is as it was."""
    rng, folder = np.random.default_rng(0), tmp_path / "figures"
    here, there, published = folder / "a" / "map.nc", folder / "b" / "map.nc", tmp_path / "paper" / "map.csv"
    for path in (here, there):
        heatmap_of(rng.random((4, 3))).save(path)
    published.parent.mkdir()
    Heatmap.load(here).data["value"].to_pandas().iloc[::-1].reset_index(drop=True).rename_axis("layer").to_csv(
        published
    )
    assert cli.main(["compare", str(here), str(there), str(published), "--draws", "8"]) == 0
    for path in (here, there):
        runs.draw(path, path)
    capsys.readouterr()
    files = [f"a/compare-a-b-paper.{kind}" for kind in ("pdf", "png")]
    assert found_in(folder, capsys) == []
    changed = published.read_text().replace(",0", ",-0", 1)
    for path, change, name in (
        (published, lambda path: path.write_text(changed), "paper"),
        (there, lambda path: heatmap_of(rng.random((4, 3))).save(path), "b"),
    ):
        before = path.read_bytes()
        change(path)
        found = findings(folder, drawings.drawings_below(folder))
        assert [(each.kind, each.path) for each in found if "compare" in each.path.name] == [
            ("stale", folder / file) for file in files
        ]
        assert found[0].reason == f"of maps that have changed since: {name}; 'interp compare' makes it anew"
        path.write_bytes(before)
    published.unlink()
    assert found_in(folder, capsys) == []


def test_a_map_of_many_comparisons_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, hashed = np.random.default_rng(0), Counter[str]()
    for name in ("a", "b", "c"):
        heatmap_of(rng.random((4, 3))).save(tmp_path / f"{name}.nc")
    for other in ("b", "c"):
        assert cli.main(["compare", str(tmp_path / "a.nc"), str(tmp_path / f"{other}.nc"), "--draws", "8"]) == 0

    def counted(path: Path) -> str:
        hashed[path.name] += 1
        return sha256(path)

    monkeypatch.setattr("analyses.parts.figure_check.sha256", counted)
    findings(tmp_path, drawings.drawings_below(tmp_path))
    assert hashed == {"a.nc": 1, "b.nc": 1, "c.nc": 1}


@pytest.mark.usefixtures("remembered")
def test_a_figure_that_has_been_cut_off_is_said_to_be_unreadable(folder: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("tiny/patch.pdf", "tiny/patch.png"):
        cut_off(name)(folder)
    cli.main(["figures", "--check", "--figures", str(folder)])
    assert capsys.readouterr().out.count("(it cannot be read)") == 2


@pytest.mark.usefixtures("remembered")
def test_the_version_that_drew_a_differing_figure_is_told(folder: Path, capsys: pytest.CaptureFixture) -> None:
    drawn_by_another_version(folder)
    cli.main(["figures", "--check", "--figures", str(folder)])
    assert "the same result, drawn by Matplotlib v2" in capsys.readouterr().out


def test_only_all_figures_can_be_checked(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["figures", str(folder / "tiny" / "probe.nc"), "--check"]) == 2
    assert "--check is of all figures below --figures" in capsys.readouterr().err


@pytest.mark.usefixtures("remembered")
def test_a_folder_that_cannot_be_written_to_is_one_error(folder: Path, capsys: pytest.CaptureFixture) -> None:
    shutil.rmtree(folder / "paper")
    (folder / "paper").write_text("")
    assert cli.main(["figures", "--figures", str(folder)]) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert f"{folder / 'figures.toml'}: figure 'paper/first': cannot write to {folder / 'paper'}" in error
