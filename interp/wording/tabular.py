"""Results as tables and JSON, for other programs: every number as it is, what is missing as missing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from interp.errors import InputError, unknown_name
from interp.results.result import VARIABLES, Result
from interp.wording.json_text import json_text

NOT_JSON = ("text", "variant", "metric")
"""Attributes that are read by people: they are texts even where they look like JSON."""


def long_table(result: Result) -> pd.DataFrame:
    """A row for each value: the names along the axes, ``value, low, high, n``, and why it is missing, in words."""
    axes = [result.data[axis].values for axis in result.axes]
    names = [each.ravel() for each in np.meshgrid(*axes, indexing="ij")]
    columns = dict(zip(result.axes, names, strict=True))
    columns |= {name: result.data[name].values.ravel() for name in VARIABLES}
    return pd.DataFrame(columns | {"why_missing": result.reasons.ravel()})


def wide_table(result: Result, variable: str = "value") -> pd.DataFrame:
    """One variable with a row for each layer and a column for each position, or for training and test sets.

    ``interp figures`` reads such a table of a heatmap back, if its layers are 0, 1, 2, ….

    Raises
    ------
    InputError
        If the result has one axis only, or no such variable on its two axes.
    """
    if len(result.axes) != 2:
        raise InputError(f"a {result.noun} has one axis and no wide form; leave out --wide")
    on_axes = [str(name) for name, each in result.data.data_vars.items() if each.dims == result.axes]
    if variable not in on_axes:
        raise unknown_name("variable", variable, on_axes)
    row, column = result.axes
    index = pd.Index(result.data[row].values, name=row)
    return pd.DataFrame(result.data[variable].values, index=index, columns=list(result.data[column].values))


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV; numbers in as many digits as it takes to read the same ones back, and nothing where one is NaN.

    Lines end as RFC 4180 has it, by which a name with a line break in it is quoted.
    """
    return table.to_csv(index=table.index.name is not None, lineterminator="\r\n")


def json_of(result: Result) -> str:
    """All variables, coordinates and attributes of a result as JSON, in the form of `xarray.Dataset.to_dict`.

    NaN is null. Attributes that are JSON in the file, such as ``identity`` and ``counts``, are its objects here.
    """
    found: dict[str, Any] = result.data.to_dict()
    found["attrs"] = {str(name): _parsed(str(name), each) for name, each in result.data.attrs.items()}
    return json_text(found, indent=None) + "\n"


def _parsed(name: str, attribute: Any) -> Any:
    if not isinstance(attribute, str) or name in NOT_JSON or attribute[:1] not in ("{", "["):
        return attribute
    try:
        return json.loads(attribute)
    except ValueError:
        return attribute
