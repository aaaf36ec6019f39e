"""What a finished run may replace among the figures."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from analyses.parts import runs
from interp.errors import InputError
from interp.results.heatmap import Heatmap
from tests.described_maps import map_of

IDENTITY = {"model": "tiny", "n": 8}


def finished(path: Path, value: float) -> Path:
    """A result of one identity, with this value throughout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    map_of(np.full((2, 2), value)).with_attributes(runs.provenance(IDENTITY)).save(path)
    return path


def made_before_the_code(path: Path) -> None:
    os.utime(path, (1e9, 1e9))


def test_a_table_says_why_there_is_no_value() -> None:
    value = np.array([[0.6, np.nan], [0.7, np.nan], [np.nan, np.nan]])
    of_some, of_none = runs.table_of_values(map_of(value)).splitlines()[2:]
    assert "0.600 [0.580, 0.620]" in of_some
    assert of_some.endswith("–  (too few examples)")
    assert of_none.split() == ["column", "1", "3", "–", "–", "–", "(too", "few", "examples)"]
    assert "(" not in runs.table_of_values(map_of(value[:2, :1]))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("The Eiffel Tower is in", r"the-eiffel-tower-is-in-[0-9a-f]{6}"),
        ("One that goes on for more than forty letters", r"one-that-goes-on-for-more-than-forty-[0-9a-f]{6}"),
        ("x" * 80, "x{40}-[0-9a-f]{6}"),
        ("東京は", r"[0-9a-f]{6}"),
    ],
)
def test_a_prompt_has_a_name_that_a_file_can_have(text: str, name: str) -> None:
    assert re.fullmatch(name, runs.prompt_name(text))
    alike = [text, f"{text} ", text.upper(), f"{text}?"]
    assert len({runs.prompt_name(each) for each in alike}) == len(set(alike))
    assert len({runs.prompt_name(*texts) for texts in ((text, "a"), (text, "b"), (text,))}) == 3


def value_at(path: Path) -> float:
    return float(Heatmap.load(path).data["value"].values[0, 0])


def test_a_run_by_older_code_does_not_replace_what_newer_code_published(tmp_path: Path) -> None:
    run, published = tmp_path / "runs" / "probe-1" / "probe.nc", tmp_path / "figures" / "probe.nc"
    finished(run, 0.6)
    finished(published, 0.7)
    made_before_the_code(run)
    drawn_before = sorted(published.parent.iterdir())
    with pytest.raises(InputError, match=r"older code; delete .*runs/probe-1 to make it anew, or give --overwrite"):
        runs.publish(run, published, overwrite=False)
    assert value_at(published) == 0.7
    assert sorted(published.parent.iterdir()) == drawn_before
    runs.publish(run, published, overwrite=True)
    assert value_at(published) == 0.6


@pytest.mark.parametrize("package", [runs.analyses, runs.interp], ids=["analyses", "interp"])
def test_every_module_of_the_suite_is_its_code(
    tmp_path: Path, package: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = [tmp_path / "__init__.py", tmp_path / "probes" / "__init__.py", tmp_path / "probes" / "halves.py"]
    for path in modules:
        path.parent.mkdir(exist_ok=True)
        path.touch()
        made_before_the_code(path)
    for each in (runs.analyses, runs.interp):
        monkeypatch.setattr(each, "__path__", [str(tmp_path if each is package else modules[1].parent)])
    run = finished(tmp_path / "probe.nc", 0.6)
    assert not runs.is_older_than_code(run)
    for path in modules:
        os.utime(path, (3e9, 3e9))
        assert runs.is_older_than_code(run)
        made_before_the_code(path)


@pytest.mark.parametrize("is_published", [False, True])
def test_a_run_by_older_code_is_published_where_there_is_nothing_else(tmp_path: Path, is_published: bool) -> None:
    run, published = finished(tmp_path / "runs" / "probe.nc", 0.6), tmp_path / "figures" / "probe.nc"
    published.parent.mkdir()
    if is_published:
        published.write_bytes(run.read_bytes())
    made_before_the_code(run)
    assert published in runs.publish(run, published, overwrite=False)
    assert value_at(published) == 0.6


def test_a_run_by_this_code_replaces_a_result_of_its_settings(tmp_path: Path) -> None:
    run, published = tmp_path / "runs" / "probe.nc", tmp_path / "figures" / "probe.nc"
    finished(run, 0.6)
    finished(published, 0.7)
    runs.publish(run, published, overwrite=False)
    assert value_at(published) == 0.6


def test_what_differs_within_one_of_several_sets_is_named_alone(tmp_path: Path) -> None:
    def identity(dtype: str, n: int) -> dict[str, object]:
        return {"seed": 0, "sets": [{"dataset": name, "dtype": dtype, "n": n} for name in ("a", "b")]}

    path = tmp_path / "transfer.nc"
    map_of(np.zeros((2, 2))).with_attributes(runs.provenance(identity("float32", 7))).save(path)
    runs.require_publishable(path, identity("float32", 7), overwrite=False)
    with pytest.raises(InputError, match=r"another run \(dtype: float32 there, bfloat16 here; n: 7 there, 8 here\)"):
        runs.require_publishable(path, identity("bfloat16", 8), overwrite=False)
