"""What every patch of every pair gave, as a file beside the map: for other metrics, and to look at single pairs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from interp.errors import InputError
from interp.patching.pair_runs import READINGS
from interp.patching.patched_pairs import NoValue, PatchedPairs
from interp.results.result import meanings_of
from interp.work.files import write_netcdf


def save_patched(
    patched: PatchedPairs, path: Path, *, rows: Sequence[str], positions: Sequence[str], attributes: Mapping[str, str]
) -> None:
    """Write netCDF: ``values (reading, pair, row, position)``, ``clean`` and ``corrupt (reading, pair)``.

    Rows are what is patched together, such as a layer. Where there is no value, ``why_missing (pair, row, position)``
    has the code of the reason.
    """
    dataset = xr.Dataset(
        {
            "values": (("reading", "pair", "row", "position"), patched.values),
            "clean": (("reading", "pair"), patched.clean),
            "corrupt": (("reading", "pair"), patched.corrupt),
            "why_missing": (("pair", "row", "position"), patched.why_missing.astype(np.int8)),
        },
        coords={"reading": list(READINGS), "pair": list(patched.ids), "row": list(rows), "position": list(positions)},
        attrs=dict(attributes) | {"dropped": json.dumps(patched.dropped)} | meanings_of(NoValue),
    )
    # Models compute in float32 at most. All in one precision: a patch that changes nothing is to read as one.
    encoding: dict[str, dict[str, Any]] = {name: {"dtype": "float32"} for name in ("values", "clean", "corrupt")}
    encoding["values"]["zlib"] = True
    encoding["why_missing"] = {"zlib": True}
    write_netcdf(path, dataset, encoding)


def load_patched(path: Path) -> PatchedPairs:
    """Read what `save_patched` wrote.

    Raises
    ------
    InputError
        If the file is something else.
    """
    try:
        with xr.open_dataset(path, engine="h5netcdf") as data:
            return PatchedPairs(
                ids=tuple(str(each) for each in data["pair"].values),
                values=data["values"].values.astype(np.float64),
                clean=data["clean"].values.astype(np.float64),
                corrupt=data["corrupt"].values.astype(np.float64),
                why_missing=data["why_missing"].values.astype(np.int8),
                dropped=Counter(json.loads(data.attrs["dropped"])),
            )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a file of patched pairs: {error}; delete it, and patch again") from error
