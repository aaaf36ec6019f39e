"""The heatmap: one value with its interval for every (layer, position), and all that says where it came from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
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
SCALE_KINDS = ("linear", "log")


@dataclass(frozen=True)
class Scale:
    """What the colours of a map mean."""

    low: float
    high: float
    kind: str = "linear"
    """One of `SCALE_KINDS`: by what equal steps of colour are equal, differences or ratios."""
    centre: float | None = None
    """The value in the middle that the others diverge from, if there is one."""

    @property
    def problem(self) -> str | None:
        """What is wrong with it; None if nothing is."""
        if self.kind not in SCALE_KINDS:
            return f"scale_kind is {self.kind!r}, not one of {', '.join(SCALE_KINDS)}"
        if not self.low < self.high:
            return f"a scale cannot go from {self.low:g} to {self.high:g}"
        if self.kind == "log" and self.low <= 0:
            return f"a log scale cannot begin at {self.low:g}"
        middle = math.sqrt(self.low * self.high) if self.kind == "log" else (self.low + self.high) / 2
        if self.centre is not None and not math.isclose(self.centre, middle, abs_tol=1e-12):
            return f"the middle of the scale is {middle:g}, not {self.centre:g}"
        return None

    @property
    def attributes(self) -> dict[str, str | float]:
        """As a heatmap keeps it: what is as usual is not said."""
        attributes: dict[str, str | float] = {"scale_low": self.low, "scale_high": self.high}
        attributes |= {"scale_kind": self.kind} if self.kind != "linear" else {}
        return attributes | ({} if self.centre is None else {"centre": self.centre})


@dataclass(frozen=True)
class Heatmap:
    """A validated `xarray.Dataset` on ``(layer, position)``.

    Variables: ``value``, the ends ``low`` and ``high`` of its 95 % interval, ``n``, the number of examples behind it,
    and whatever else a method has. A cell without a value is NaN, with the cause in ``why_missing`` where known: a
    code, the number of a word in the attribute ``why_missing_meanings``.
    Attributes: ``kind`` and ``metric`` in words, the ends of the colour scale (with ``scale_kind`` where it is not
    linear and ``centre`` where there is one), and the run that made it.
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
        if not problems:
            problems = [] if self.scale.problem is None else [self.scale.problem]
            problems += [f"layers that do not ascend: {self.layers}"] if sorted(set(self.layers)) != self.layers else []
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
        scale: Scale | tuple[float, float],
        layers: Sequence[int] | None = None,
        extra: Mapping[str, Any] | None = None,
        attributes: Mapping[str, str | float | int] | None = None,
    ) -> Heatmap:
        """Put arrays together.

        Parameters
        ----------
        value, low, high, n
            The variables.
        positions
            Names of the columns.
        kind, metric
            What the map is of, and what its values are, in words.
        scale
            What the colours mean; two numbers are the ends of a linear scale.
        layers
            The model's numbers of the rows, ascending; None means that they are all there, from 0.
        extra
            More variables on the same cells.
        attributes
            Whatever the run adds.
        """
        cells = ("layer", "position")
        numbers = np.arange(value.shape[0]) if layers is None else np.array(layers, dtype=np.int64)
        colours = scale if isinstance(scale, Scale) else Scale(*scale)
        return cls(
            xr.Dataset(
                {name: (cells, array) for name, array in zip(VARIABLES, (value, low, high, n), strict=True)}
                | {name: (cells, array) for name, array in (extra or {}).items()},
                coords={"layer": numbers, "position": positions},
                attrs={"kind": kind, "metric": metric} | colours.attributes | dict(attributes or {}),
            )
        )

    @property
    def scale(self) -> Scale:
        """What the colours mean."""
        attributes = self.data.attrs
        centre = attributes.get("centre")
        return Scale(
            float(attributes["scale_low"]),
            float(attributes["scale_high"]),
            str(attributes.get("scale_kind", "linear")),
            None if centre is None else float(centre),
        )

    @property
    def layers(self) -> list[int]:
        """The model's numbers of the rows."""
        return [int(layer) for layer in self.data["layer"].values]

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


def log_scale(values: Float[np.ndarray, " cell"]) -> Scale:
    """A log scale from a round number to a round number, with all positive values between."""
    positive = values[values > 0]
    if not len(positive):
        return Scale(1.0, 10.0, "log")
    low, high = _round_below(float(positive.min())), _round_above(float(positive.max()))
    return Scale(low, high if high > low else 2 * low, "log")


def ratio_scale(values: Float[np.ndarray, " cell"]) -> Scale:
    """A log scale around 1 to equal factors on both sides, with all positive values between."""
    positive = values[values > 0]
    factor = max(1.0, float(positive.max()), 1 / float(positive.min())) if len(positive) else 1.0
    factor = next((rounded for rounded in (1.2, 1.5, 2.0, 3.0, 5.0) if factor <= rounded), _round_above(factor))
    return Scale(1 / factor, factor, "log", centre=1.0)


def cosine_scale(values: Float[np.ndarray, " cell"]) -> Scale:
    """A linear scale from a round number, below all values, to 1."""
    lowest = float(values.min()) if len(values) else 0.0
    return Scale(1 - _round_above(max(1 - lowest, 0.01)) if lowest >= 0 else -_round_above(max(-lowest, 0.1)), 1.0)


def share_scale(_: Float[np.ndarray, " cell"]) -> Scale:
    """A linear scale from 0 to 1, whatever the values."""
    return Scale(0.0, 1.0)


def _round_above(value: float) -> float:
    """The smallest number that is not below and is 1, 2 or 5 times a power of ten."""
    return min(number for number in _round_numbers(value) if number >= value)


def _round_below(value: float) -> float:
    """The largest number that is not above and is 1, 2 or 5 times a power of ten."""
    return max(number for number in _round_numbers(value) if number <= value)


def _round_numbers(value: float) -> list[float]:
    """Round numbers around a number above 0."""
    decade = math.floor(math.log10(value))
    # Read, not multiplied: .5 is not 5 * .1 everywhere. A decade more on either side, since log10 is rounded.
    return [float(f"{digit}e{power}") for power in (decade - 1, decade, decade + 1) for digit in (1, 2, 5)]
