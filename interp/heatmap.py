"""The heatmap: one value with its interval for every (layer, position), and all that says where it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int

from interp.errors import InputError
from interp.files import whole_file

VARIABLES = ("value", "low", "high", "n")
ATTRIBUTES = ("kind", "metric", "scale_low", "scale_high")


@dataclass(frozen=True)
class Heatmap:
    """A validated `xarray.Dataset` on ``(layer, position)``.

    Variables: ``value``, the ends ``low`` and ``high`` of its 95 % interval, ``n``, the number of examples behind it,
    and whatever else a method has. A cell without a value is NaN, with the cause in ``why_missing`` where known.
    Attributes: ``kind`` and ``metric`` in words, the ends of the colour scale, and the run that made it.
    """

    data: xr.Dataset

    def __post_init__(self) -> None:
        problems = [f"no variable {name!r}" for name in VARIABLES if name not in self.data]
        problems += [f"no attribute {name!r}" for name in ATTRIBUTES if name not in self.data.attrs]
        problems += [
            f"{name!r} is on {self.data[name].dims}, not on ('layer', 'position')"
            for name in VARIABLES
            if name in self.data and self.data[name].dims != ("layer", "position")
        ]
        if problems:
            raise ValueError(f"not a heatmap: {'; '.join(problems)}")

    @classmethod
    def build(
        cls,
        value: Float[np.ndarray, "layer position"],
        low: Float[np.ndarray, "layer position"],
        high: Float[np.ndarray, "layer position"],
        n: Int[np.ndarray, "layer position"],
        *,
        positions: list[str],
        kind: str,
        metric: str,
        scale: tuple[float, float],
        extra: Mapping[str, Any] | None = None,
        attributes: Mapping[str, str | float | int] | None = None,
    ) -> Heatmap:
        """Put arrays together; `extra` are more variables on the same cells, `attributes` whatever the run adds."""
        cells = ("layer", "position")
        return cls(
            xr.Dataset(
                {name: (cells, array) for name, array in zip(VARIABLES, (value, low, high, n), strict=True)}
                | {name: (cells, array) for name, array in (extra or {}).items()},
                coords={"layer": np.arange(value.shape[0]), "position": positions},
                attrs={"kind": kind, "metric": metric, "scale_low": scale[0], "scale_high": scale[1]}
                | dict(attributes or {}),
            )
        )

    @property
    def scale(self) -> tuple[float, float]:
        """The ends of the colour scale."""
        return float(self.data.attrs["scale_low"]), float(self.data.attrs["scale_high"])

    def with_attributes(self, attributes: Mapping[str, str | float | int]) -> Heatmap:
        """The same map with more attributes."""
        return Heatmap(self.data.assign_attrs(dict(attributes)))

    def save(self, path: Path) -> None:
        """Write netCDF (HDF5)."""
        with whole_file(path) as temporary:
            self.data.to_netcdf(temporary, engine="h5netcdf")

    @classmethod
    def load(cls, path: Path) -> Heatmap:
        """Read a heatmap: netCDF as `save` writes it, or a CSV with a ``layer`` column and one column per position.

        A CSV is a published map: it has values, which are taken for AUCs, and neither intervals nor n.

        Raises
        ------
        InputError
            If the file is not there or not a heatmap.
        """
        if not path.is_file():
            raise InputError(f"no heatmap at {path}; give the path of a .nc or .csv file")
        return cls._load_csv(path) if path.suffix.lower() == ".csv" else cls._load_netcdf(path)

    @classmethod
    def _load_netcdf(cls, path: Path) -> Heatmap:
        try:
            with xr.open_dataset(path, engine="h5netcdf") as data:
                return cls(data.load())
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} is not a heatmap: {error}; make it again") from error

    @classmethod
    def _load_csv(cls, path: Path) -> Heatmap:
        try:
            frame = pd.read_csv(path, index_col=0).astype(float)
        except (ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not a table of numbers: {error}") from error
        if frame.index.name != "layer" or frame.empty:
            raise InputError(f"{path}: the first column must be 'layer', then one column per position, with rows")
        if list(frame.index) != list(range(len(frame))):
            raise InputError(f"{path}: the layers must be 0, 1, 2, …; found {frame.index.tolist()}")
        value = frame.to_numpy()
        unknown = np.full_like(value, np.nan)
        return cls.build(
            value,
            unknown,
            unknown,
            np.zeros(value.shape, dtype=np.int64),
            positions=[str(name) for name in frame.columns],
            kind="published",
            metric="AUC",
            scale=(0.5, 1.0),
            attributes={"source": path.name},
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What decided the values, as the run recorded it; empty for a published map."""
        identity: dict[str, Any] = json.loads(self.data.attrs.get("identity", "{}"))
        return identity
