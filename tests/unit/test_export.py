"""Stores for other tools: the same numbers, read by those tools."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interp.activations.export import export
from interp.errors import InputError
from tests.stored import store_of

ACTIVATIONS = torch.randn(2, 2, 7, 5, generator=torch.Generator().manual_seed(0))
ACTIVATIONS[:, 1, 3] = float("nan")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_numpy_reads_what_was_stored(tmp_path: Path, dtype: torch.dtype) -> None:
    store = store_of(tmp_path / "store", ACTIVATIONS.to(dtype), layers=(2, 9))
    with np.load(export(store, "npz", tmp_path / "out.npz")) as archive:
        np.testing.assert_array_equal(archive["activations"], ACTIVATIONS.to(dtype).float().numpy())
        assert archive["activations"].dtype == (np.float16 if dtype is torch.float16 else np.float32)
        assert archive["layer"].tolist() == [2, 9]
        assert archive["position"].tolist() == ["last_q", "-1"]
        assert archive["example"].tolist() == [f"q{index}" for index in range(7)]
        assert json.loads(str(archive["identity"])) == {"seed": 0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_zarr_reads_what_was_stored_a_chunk_for_each_cell(tmp_path: Path, dtype: torch.dtype) -> None:
    zarr = pytest.importorskip("zarr")
    store = store_of(tmp_path / "store", ACTIVATIONS.to(dtype), layers=(2, 9))
    array = zarr.open_array(export(store, "zarr", tmp_path / "out.zarr"), mode="r")
    np.testing.assert_array_equal(array[:], ACTIVATIONS.to(dtype).float().numpy())
    assert array.chunks == (1, 1, 7, 5)
    assert array.attrs["position"] == ["last_q", "-1"]
    assert array.attrs["identity"] == {"seed": 0}
    assert array.metadata.dimension_names == ("layer", "position", "example", "width")


def test_what_cannot_be_exported_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(tmp_path / "store", ACTIVATIONS)
    (tmp_path / "out.npz").touch()
    with pytest.raises(InputError, match=r"out\.npz is there already; remove it, or give another --out"):
        export(store, "npz", tmp_path / "out.npz")
    monkeypatch.setattr("interp.activations.export.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"zarr is not installed; pip install -e '\.\[zarr\]'"):
        export(store, "zarr", tmp_path / "out.zarr")
    (store.folder / "shard-0001.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="shard 1 damaged or not captured; run the capture again"):
        export(store, "npz", tmp_path / "other.npz")
    assert not (tmp_path / "other.npz").exists()


def test_a_full_disk_under_an_export_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zarr = pytest.importorskip("zarr")
    store = store_of(tmp_path / "store", ACTIVATIONS)

    def full(folder: Path, **how: object) -> None:
        folder.mkdir()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(zarr, "create_array", full)
    with pytest.raises(InputError, match=r"cannot write to .*: no space left on device; make room"):
        export(store, "zarr", tmp_path / "out.zarr")
    assert list(tmp_path.glob("*.zarr*")) == []


def test_of_two_exports_to_one_folder_the_second_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zarr = pytest.importorskip("zarr")
    store, create, path = store_of(tmp_path / "store", ACTIVATIONS), zarr.create_array, tmp_path / "out.zarr"

    def created(*arguments: Any, **how: Any) -> Any:
        array = create(*arguments, **how)
        with pytest.raises(InputError, match=r"another process exports to .*out\.zarr; wait for it, or give another"):
            export(store, "zarr", path)
        return array

    monkeypatch.setattr(zarr, "create_array", created)
    array = zarr.open_array(export(store, "zarr", path), mode="r")
    np.testing.assert_array_equal(array[:], ACTIVATIONS.numpy())
    assert list(tmp_path.glob(".out*")) == []


def test_an_export_that_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zarr = pytest.importorskip("zarr")
    store = store_of(tmp_path / "store", ACTIVATIONS)

    def interrupted(folder: Path, **how: object) -> None:
        folder.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(zarr, "create_array", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(store, "zarr", tmp_path / "out.zarr")
    assert list(tmp_path.glob("*.zarr*")) == []
