"""Results: values with their intervals and n, and all that says where they came from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import xarray as xr

from interp.errors import InputError, first_line
from interp.results.scales import Scale
from interp.work.files import write_netcdf

R = TypeVar("R", bound="Result")

VARIABLES = ("value", "low", "high", "n")
ATTRIBUTES = ("kind", "metric", "scale_low", "scale_high")
NO_REASON = "no value"
"""Why there is no value, where the result does not say."""


def meanings_of(reasons: Iterable[IntEnum]) -> dict[str, str]:
    """The attribute of a result that says what its codes of ``why_missing`` mean: these, in their order, from 0."""
    return {"why_missing_meanings": " ".join(reason.name.lower() for reason in reasons)}


@dataclass(frozen=True)
class Result:
    """A validated `xarray.Dataset` on the axes of its class.

    Variables: ``value``, the ends ``low`` and ``high`` of its 95 % interval, ``n``, the number of examples behind it,
    and whatever else a method has. What has no value is NaN, with the cause in ``why_missing`` where known: a code, the
    number of a word in the attribute ``why_missing_meanings``.
    Attributes: ``kind`` and ``metric`` in words, the ends of the colour scale (with ``scale_kind`` where it is not
    linear and ``centre`` where there is one), and the run that made it.
    """

    data: xr.Dataset

    axes: ClassVar[tuple[str, ...]] = ()
    noun: ClassVar[str] = "result"
    """What an error calls it."""

    def __post_init__(self) -> None:
        problems = [f"no variable {name!r}" for name in VARIABLES if name not in self.data]
        problems += [f"no attribute {name!r}" for name in ATTRIBUTES if name not in self.data.attrs]
        problems += [
            f"{name!r} is on {self.data[name].dims}, not on {self.axes}"
            for name in VARIABLES
            if name in self.data and self.data[name].dims != self.axes
        ]
        problems = problems or self._other_problems()
        if problems:
            raise ValueError(f"not a {self.noun}: {'; '.join(problems)}")

    def _other_problems(self) -> list[str]:
        """What is wrong with it though it has its variables and attributes."""
        return [] if self.scale.problem is None else [self.scale.problem]

    @classmethod
    def of(
        cls: type[R],
        values: Sequence[np.ndarray],
        *,
        names: Sequence[Iterable[object]],
        kind: str,
        metric: str,
        scale: Scale | tuple[float, float],
        extra: Mapping[str, Any] | None = None,
        attributes: Mapping[str, str | float | int] | None = None,
    ) -> R:
        """Put arrays together.

        Parameters
        ----------
        values
            The variables, in the order of `VARIABLES`.
        names
            For each axis the names along it: of layers the model's numbers, ascending.
        kind, metric
            What the result is of, and what its values are, in words.
        scale
            What the colours mean; two numbers are the ends of a linear scale.
        extra
            More variables on the same axes; one on others is an `xarray.DataArray`.
        attributes
            Whatever the run adds.
        """
        colours = scale if isinstance(scale, Scale) else Scale(*scale)
        others = {
            name: each if isinstance(each, xr.DataArray) else (cls.axes, each) for name, each in (extra or {}).items()
        }
        return cls(
            xr.Dataset(
                {name: (cls.axes, array) for name, array in zip(VARIABLES, values, strict=True)} | others,
                coords=dict(zip(cls.axes, map(list, names), strict=True)),
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
    def reasons(self) -> np.ndarray:
        """For each cell why it has no value, in words, as far as the result says; an empty text where it has one."""
        missing = np.isnan(self.data["value"].values)
        reasons = np.where(missing, NO_REASON, "").astype(object)
        if "why_missing" in self.data:
            for code, words in enumerate(self._causes, start=1):
                reasons[missing & (self.data["why_missing"].values == code)] = words
        return reasons

    @property
    def missing(self) -> dict[str, int]:
        """How many cells have no value for each of the `reasons`, in the order of their codes."""
        counts = Counter(self.reasons.flat)
        return {words: counts[words] for words in (*self._causes, NO_REASON) if counts[words]}

    @property
    def _causes(self) -> list[str]:
        """The words of the codes from 1 on; 0 is for what has a value."""
        return [word.replace("_", " ") for word in str(self.data.attrs.get("why_missing_meanings", "")).split()[1:]]

    def with_attributes(self: R, attributes: Mapping[str, str | float | int]) -> R:
        """The same with more attributes."""
        return type(self)(self.data.assign_attrs(dict(attributes)))

    def save(self, path: Path | str) -> None:
        """Write netCDF (HDF5)."""
        write_netcdf(Path(path), self.data)

    @classmethod
    def load(cls: type[R], path: Path | str) -> R:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is not there or is something else.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"no {cls.noun} at {path}; give the path of a .nc file")
        try:
            with xr.open_dataset(path, engine="h5netcdf") as data:
                loaded = cls(data.load())
            json.loads(loaded.data.attrs.get("identity", "{}"))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise InputError(f"{path} is not a {cls.noun}: {first_line(error)}; make it again") from error
        return loaded

    @property
    def identity(self) -> dict[str, Any]:
        """What decided the values, as the run recorded it; empty for what was published."""
        return json.loads(self.data.attrs.get("identity", "{}"))
