"""Where the maps of a comparison are, and whether they are still what was compared."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from os.path import normpath
from pathlib import Path
from typing import Any, NamedTuple

from interp.work.files import sha256

HASHES, FILES = "results", "files"
"""The attributes of a comparison that hold, by the names of its maps, their SHA-256 and their paths from its folder."""


class ComparedMap(NamedTuple):
    """A map as it was when it was compared."""

    name: str
    path: Path
    """Where it was."""
    sha256: str


def sources_of(comparison: Path, names: Sequence[str], paths: Sequence[Path]) -> dict[str, str]:
    """The attributes of a comparison that say of which maps it is."""
    hashes = {name: sha256(path) for name, path in zip(names, paths, strict=True)}
    files = {
        name: Path(os.path.relpath(path, comparison.parent)).as_posix() for name, path in zip(names, paths, strict=True)
    }
    return {HASHES: json.dumps(hashes), FILES: json.dumps(files)}


def compared_maps(comparison: Path, attributes: Mapping[Any, Any]) -> list[ComparedMap]:
    """The maps that the attributes of a result name; none of one that is no comparison.

    An older comparison does not say where they are: they are looked for beside it.
    """
    hashes, files = (json.loads(attributes.get(name, "{}")) for name in (HASHES, FILES))
    return [
        ComparedMap(name, Path(normpath(comparison.parent / (files.get(name) or _beside(comparison, name)))), digest)
        for name, digest in hashes.items()
    ]


def _beside(comparison: Path, name: str) -> str:
    there = [file for file in (f"{name}.nc", f"{name}.csv") if (comparison.parent / file).is_file()]
    return next(iter(there), f"{name}.nc")


def changed_maps(result: Path, hashed: Callable[[Path], str]) -> list[str]:
    """The names of the maps of a comparison that are there, and are not what was compared; none of other results.

    One that is not there any more has not changed: published maps may be anywhere, and the comparison is as it was.

    Parameters
    ----------
    result
        The file of any result.
    hashed
        The SHA-256 of a file.
    """
    import xarray as xr

    with xr.open_dataset(result, engine="h5netcdf") as data:
        maps = compared_maps(result, data.attrs)
    return [each.name for each in maps if each.path.is_file() and hashed(each.path) != each.sha256]
