"""interp compare on the tracked maps: what is written, told, described and refused."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from analyses import cli
from analyses.parts import procedures
from interp.results.comparison import Comparison

CITIES = Path(__file__).parents[2] / "figures" / "smollm2-135m" / "cities"
QUICK = ("--draws", "8")


def told(capsys: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str, str]:
    status = cli.main([str(arg) for arg in args])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_three_methods_are_laid_beside_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maps = [CITIES / f"{name}.nc" for name in ("probe", "lens-answer-rank", "patch-led")]
    status, out, _ = told(capsys, "compare", *maps, "--out", tmp_path, *QUICK)
    assert status == 0
    name = "compare-probe-lens-answer-rank-patch-led"
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}{suffix}" for suffix in (".nc", ".pdf", ".png")}
    assert "probe and patch-led: 117 cells" in out
    assert "examples: 772 in probe, 1000 in lens-answer-rank, 100 in patch-led; groups of questions in all: 100" in out
    with xr.open_dataset(tmp_path / f"{name}.nc") as data:
        assert dict(data.sizes) | {"pair": 3, "map": 3, "layer": 30, "position": 4} == dict(data.sizes)
        probe = xr.open_dataset(maps[0])["value"].sel(position=data["position"])
        np.testing.assert_array_equal(data["maps"].sel(map="probe"), probe)

    # The same again changes nothing; another seed is another result, and is not put in its place unasked.
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert told(capsys, "compare", *maps, "--out", tmp_path, *QUICK)[0] == 0
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    status, _, err = told(capsys, "compare", *maps, "--out", tmp_path, *QUICK, "--seed", "1")
    assert status == 2
    assert "(seed: 0 there, 1 here); give --overwrite, or another --out folder" in err

    _, described, _ = told(capsys, "describe", tmp_path / f"{name}.nc", "--length", "short")
    about, agreement = described.splitlines()
    assert about.startswith(
        "Maps of probe, lens-answer-rank and patch-led compared by rank, of smollm2-135m on cities ("
    )
    assert about.endswith("(30 layers, 4 columns; n = 100 to 772).")
    assert agreement.count(" to .") == 3
    assert "0." not in agreement
    assert re.search(r"\.\d{3} \(\.\d+ to \.\d+\), p = \.\d+, of probe and patch-led in 117 cells", agreement)
    _, numbers, _ = told(capsys, "describe", tmp_path / f"{name}.nc", "--format", "json")
    assert 0 < json.loads(numbers)[0]["description"]["probe - patch-led"]["top_shared"]["value"] <= 1
    _, table, _ = told(capsys, "export", tmp_path / f"{name}.nc", "--format", "csv")
    assert len(table.splitlines()) == 1 + 3 * 30 * 4
    _, everything, _ = told(capsys, "export", tmp_path / f"{name}.nc", "--format", "json")
    assert np.shape(json.loads(everything)["data_vars"]["value_of"]["data"]) == (3, 8)


def test_what_older_code_compared_is_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maps = [CITIES / "probe.nc", CITIES / "probe-group_answer.nc"]
    assert told(capsys, "compare", *maps, "--out", tmp_path, *QUICK)[0] == 0
    (path,) = tmp_path.glob("*.nc")
    identity = Comparison.load(path).identity
    older = {key: value for key, value in identity.items() if key not in procedures.COMPARISON}
    Comparison.load(path).with_attributes({"identity": json.dumps(older)}).save(path)
    assert told(capsys, "compare", *maps, "--out", tmp_path, *QUICK)[0] == 2
    assert told(capsys, "compare", *maps, "--out", tmp_path, *QUICK, "--overwrite")[0] == 0
    assert Comparison.load(path).identity == identity


def test_export_says_where_the_statistics_of_a_comparison_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["export", "--help"])
    words = " ".join(re.sub(r"[│|]", " ", capsys.readouterr().out).split())
    assert "LaTeX the statistics, JSON both" in words


def test_ranks_of_tokens_are_compared_by_a_factor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maps = [CITIES / f"lens-answer-rank-{subset}.nc" for subset in ("correct", "wrong")]
    status, out, _ = told(capsys, "compare", *maps, "--by", "dataset", "--out", tmp_path, *QUICK)
    assert status == 0
    first, second = (np.log(xr.open_dataset(path)["value"].values) for path in maps)
    apart = float(np.nanmean(np.abs(first - second)))
    line = next(line for line in out.splitlines() if "mean absolute difference" in line)
    assert f" {apart:.3f} [" in line
    assert line.endswith(f"(of natural logarithms: apart by a factor of {np.exp(apart):.3g})")


def test_a_page_links_figures_from_where_it_lies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "docs" / "page.md"
    paths = [CITIES / "probe.nc", CITIES / "baselines.nc"]
    given = (os.path.relpath(paths[0]), paths[1])
    assert told(capsys, "describe", *given, "--format", "markdown", "--length", "short", "--out", page)[0] == 0
    text = page.read_text(encoding="utf-8")
    linked = [(page.parent / link).resolve() for link in re.findall(r"]\((.*?)\)", text)]
    assert linked == [path.with_suffix(suffix) for path in paths for suffix in (".png", ".pdf", ".nc")]
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == ["probe", "baselines"]
    status, _, err = told(capsys, "describe", *paths, "--out", page)
    assert (status, "--out is of --format markdown" in err) == (2, True)


def test_a_published_map_of_another_depth_is_matched_and_clipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    probe = xr.open_dataset(CITIES / "probe.nc")["value"]
    finer = probe.interp(layer=np.linspace(0, 29, 59)).to_pandas()
    finer.index = np.arange(59)
    finer.index.name = "layer"
    finer.clip(0.7).to_csv(tmp_path / "published.csv")
    # A published map's scale ends at .5: that all below is .5 is seen from its lowest value.
    finer.clip(0.7).sub(0.2).to_csv(tmp_path / "clipped.csv")
    status, out, _ = told(capsys, "compare", CITIES / "probe.nc", tmp_path / "clipped.csv", "--out", tmp_path, *QUICK)
    assert status == 0
    assert "layers are matched by relative depth" in out
    assert "examples not known, values taken as given: clipped" in out
    _, described, _ = told(capsys, "describe", *tmp_path.glob("compare-*.nc"), "--length", "short")
    assert described.startswith("Maps of probe and clipped compared by rank, of smollm2-135m on cities (30 layers, ")
    assert "; n is not known)." in described
    assert "mean absolute difference" in out


def test_maps_of_another_unit_are_not_clipped_where_a_published_one_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of recoveries below .5, which are most of them, none is at the end of a scale of AUCs."""
    probe = xr.open_dataset(CITIES / "probe.nc")["value"].to_pandas()
    statistics = []
    for name, least in (("clipped", 0.5), ("whole", 0.5001)):
        probe.clip(least).to_csv(tmp_path / f"{name}.csv")
        assert (
            told(capsys, "compare", CITIES / "patch-led.nc", tmp_path / f"{name}.csv", "--out", tmp_path, *QUICK)[0]
            == 0
        )
        statistics.append(xr.open_dataset(tmp_path / f"compare-patch-led-{name}.nc")["value"].values[..., :2])
    np.testing.assert_allclose(*statistics, atol=0.02)


def test_maps_of_one_name_go_by_their_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / "a" / "b" / "probe.nc", tmp_path / "probe.nc", tmp_path / "c" / "b" / "probe.nc"]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        for name in ("probe.nc", "probe-examples.nc"):
            shutil.copyfile(CITIES / name, path.with_name(name))
    monkeypatch.chdir(tmp_path)
    status, out, _ = told(capsys, "compare", *(path.relative_to(tmp_path) for path in paths), "--out", tmp_path, *QUICK)
    assert status == 0
    assert "compare-a-b-probe-probe-c-b-probe.nc" in out


def test_what_cannot_be_compared_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for args, expected in (
        ([], "one map has nothing to be compared with"),
        ([CITIES / "probe.nc"], "one map has nothing to be compared with"),
        ([CITIES / "probe.nc", CITIES / "patch.nc", CITIES / "ccs" / ".." / "probe.nc"], "probe.nc is given more than"),
        ([CITIES / "probe.nc", CITIES / "baselines.nc"], "baselines.nc is a list of estimates"),
        ([CITIES / "probe.nc", CITIES / "probe-examples.nc"], "what every example gave, and is no map"),
        ([CITIES / "probe.nc", CITIES / "nowhere.nc"], "no heatmap at"),
        ([CITIES / "probe.nc", CITIES / "ccs.nc"], "no positions in common"),
    ):
        status, _, err = told(capsys, "compare", *args, "--out", tmp_path, *QUICK)
        assert status == 2
        assert expected in err.splitlines()[-1]
    assert not any(tmp_path.iterdir())


def test_examples_of_another_state_of_a_map_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("patch-led.nc", "patch-led-examples.nc"):
        shutil.copyfile(CITIES / name, tmp_path / name)
    shutil.copyfile(CITIES / "patch-examples.nc", tmp_path / "patch-led-examples.nc")
    status, _, err = told(capsys, "compare", tmp_path / "patch-led.nc", CITIES / "patch.nc", *QUICK)
    assert (status, "patch-led-examples.nc is not of the values of" in err) == (2, True)


def test_where_examples_have_come_since_the_comparison_is_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("probe", "patch-led"):
        shutil.copy(CITIES / f"{name}.nc", tmp_path)
    asked = ("compare", tmp_path / "probe.nc", tmp_path / "patch-led.nc", "--draws", "5")
    assert "examples not known" in told(capsys, *asked)[1]
    for name in ("probe", "patch-led"):
        shutil.copy(CITIES / f"{name}-examples.nc", tmp_path)
    assert told(capsys, *asked)[0] == 2, "it is another comparison"
    status, out, _ = told(capsys, *asked, "--overwrite")
    assert status == 0
    assert "examples not known" not in out


def test_many_maps_have_a_comparison_with_a_name_that_a_file_can_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / f"{'probe-with-a-long-name' * 3}-{number}.nc" for number in range(4)]
    for path in paths:
        shutil.copy(CITIES / "probe.nc", path)
    assert told(capsys, "compare", *paths, "--draws", "2")[0] == 0
    (made,) = tmp_path.glob("compare-4-maps-*.nc")
    assert len(made.name) < 40
