"""Stores of activations as files that other tools read."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from filelock import Timeout
from jaxtyping import Float

from interp.activations.store import ActivationStore, shards_in_words
from interp.errors import InputError
from interp.work.files import cannot_write, lock_of, make_folder, whole_file

AXES = ("layer", "position", "example", "width")


def export(store: ActivationStore, to: str, path: Path) -> Path:
    """Write a store as NumPy's ``"npz"`` or as ``"zarr"``, with one cell in memory, however large the store.

    Both hold ``activations[layer, position, example, width]`` with the names of layers, positions and examples, and
    the store's identity as JSON. bfloat16, which neither has, becomes float32, which holds the same numbers.

    Raises
    ------
    InputError
        If the store is not whole, `path` is there already, or zarr is not installed.
    """
    absent = set(range(len(store.plan))) - store.verified_shards()
    if absent:
        raise InputError(
            f"{store.folder}: {shards_in_words(absent)} damaged or not captured; run the capture again, then export"
        )
    _require_new(path)
    formats: dict[str, Callable[[ActivationStore, Path], None]] = {"npz": _write_npz, "zarr": _write_zarr}
    formats[to](store, path)
    return path


def _cells(store: ActivationStore) -> Iterator[tuple[int, int, Float[np.ndarray, "example width"]]]:
    for row, layer in enumerate(store.layers):
        for column, position in enumerate(store.positions):
            cell = store.cell(layer, position)
            yield row, column, (cell.float() if cell.dtype is torch.bfloat16 else cell).numpy()


def _shape_and_dtype(store: ActivationStore) -> tuple[tuple[int, int, int, int], np.dtype]:
    _, _, cell = next(_cells(store))
    return (len(store.layers), len(store.positions), *cell.shape), cell.dtype


def _write_npz(store: ActivationStore, path: Path) -> None:
    shape, dtype = _shape_and_dtype(store)
    names = {"layer": store.layers, "position": store.positions, "example": store.examples}
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w", allowZip64=True) as archive:
        for name, array in (names | {"identity": json.dumps(store.identity)}).items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, np.array(array), allow_pickle=False)
        with archive.open("activations.npy", "w", force_zip64=True) as file:
            header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(file, header)
            for _, _, cell in _cells(store):
                file.write(np.ascontiguousarray(cell).data)


def _write_zarr(store: ActivationStore, path: Path) -> None:
    if find_spec("zarr") is None:
        raise InputError("zarr is not installed; pip install -e '.[zarr]' in the clone, or give --to npz")
    with _exported_alone(path):
        _require_new(path)
        _write_zarr_into(path.with_name(f".{path.name}.unfinished"), store, path)


def _write_zarr_into(unfinished: Path, store: ActivationStore, path: Path) -> None:
    import zarr

    shape, dtype = _shape_and_dtype(store)
    shutil.rmtree(unfinished, ignore_errors=True)
    names = {"layer": list(store.layers), "position": list(store.positions), "example": list(store.examples)}
    try:
        array = zarr.create_array(
            unfinished,
            shape=shape,
            chunks=(1, 1, *shape[2:]),
            dtype=dtype,
            dimension_names=AXES,
            attributes=names | {"identity": dict(store.identity)},
        )
        for row, column, cell in _cells(store):
            array[row, column] = cell
        unfinished.rename(path)
    except OSError as error:
        raise cannot_write(path.parent, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _require_new(path: Path) -> None:
    if path.exists():
        raise InputError(f"{path} is there already; remove it, or give another --out")


@contextmanager
def _exported_alone(path: Path) -> Iterator[None]:
    """Let nobody else export to the folder meanwhile: of two, each would clear away what the other has written."""
    make_folder(path.parent)
    lock = lock_of(path)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise InputError(f"another process exports to {path}; wait for it, or give another --out") from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
