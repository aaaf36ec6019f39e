from __future__ import annotations

import hashlib
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from interp.errors import InputError, unknown_name
from interp.lenses.tuned_lens import TunedLens
from interp.work.files import make_folder, sha256, whole_file


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "result.txt"
    with whole_file(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"

    def fail() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half of the sec")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "first"
    assert [child.name for child in path.parent.iterdir()] == ["result.txt"]


def test_a_file_has_the_rights_of_any_other_there(tmp_path: Path) -> None:
    entries = [(1, 7, -1), (4, 7, -1), (8, 7, 1), (16, 7, -1), (32, 5, -1)]
    shared = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        # As a cluster shares a folder: a list of its own says who may write to what is new in it, and no umask.
        os.setxattr(tmp_path, "system.posix_acl_default", shared)
    except (OSError, AttributeError):
        pytest.skip("files have no such lists here")
    with whole_file(tmp_path / "whole.txt") as temporary:
        temporary.write_text("")
    TunedLens.untrained(2, 3).save(tmp_path / "lens.safetensors")
    (tmp_path / "any.txt").touch()
    expected = (tmp_path / "any.txt").stat().st_mode
    assert expected & stat.S_IWGRP
    assert {path.name: path.stat().st_mode for path in tmp_path.iterdir()} == dict.fromkeys(
        ("any.txt", "lens.safetensors", "whole.txt"), expected
    )


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write to .*file/below"):
        make_folder(tmp_path / "file" / "below")
    with pytest.raises(InputError, match="cannot write to"), whole_file(tmp_path / "file" / "x.txt"):
        pass


FULL = """
import resource
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from interp.errors import InputError
from interp.results.heatmap import Heatmap
from interp.lenses.lens_training import _save, _Training
from interp.lenses.tuned_lens import TunedLens

values = [np.random.default_rng(0).random((40, 40)) for _ in range(4)]
names = [range(40), [f"{number}" for number in range(40)]]
heatmap = Heatmap.of(values, names=names, kind="tests", metric="m", scale=(0, 1))
lens = TunedLens.untrained(4, 64)
training = _Training.begun(SimpleNamespace(cfg=SimpleNamespace(n_layers=4, d_model=64, device="cpu")))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    %s
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "saved",
    ["heatmap.save(Path('map.nc'))", "lens.save(Path('lens.safetensors'))", "_save(training, Path('training.pt'), {})"],
)
def test_a_disk_that_becomes_full_under_a_result_is_one_clear_error(tmp_path: Path, saved: str) -> None:
    command = [sys.executable, "-c", FULL % saved]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("cannot write to .: file too large; make room")
    assert list(tmp_path.iterdir()) == []


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 100_000)
    assert sha256(tmp_path / "x") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_unknown_names_offer_the_nearest_or_all() -> None:
    assert "nearest: cities" in str(unknown_name("dataset", "Citys", ["cities", "movies"]))
    assert "known: cities, movies" in str(unknown_name("dataset", "zzz", ["cities", "movies"]))
