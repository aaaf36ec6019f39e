"""The heatmap: one value with its interval for every (layer, position), and all that says where it came from."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float

from interp.errors import InputError
from interp.number_words import counted
from interp.results.result import Result

H = TypeVar("H", bound="Heatmap")

MORE_IS, LOW = "more_is", "low"
"""The attribute of a map, and its value, where small values are more of what the map shows: ranks, say."""
DRAWN_AS, LINES = "drawn_as", "lines"
"""The attribute of a map, and its value, whose few columns are drawn as lines over the layers."""


@dataclass(frozen=True)
class Heatmap(Result):
    """A `Result` on ``(layer, position)``."""

    axes: ClassVar[tuple[str, ...]] = ("layer", "position")
    noun: ClassVar[str] = "heatmap"

    def _other_problems(self) -> list[str]:
        order = [f"layers that do not ascend: {self.layers}"] if sorted(set(self.layers)) != self.layers else []
        return [*super()._other_problems(), *order]

    @property
    def layers(self) -> list[int]:
        """The model's numbers of the rows."""
        return [int(layer) for layer in self.data["layer"].values]

    @property
    def positions(self) -> list[str]:
        """Names of the columns."""
        return [str(name) for name in self.data["position"].values]

    def turned(self, values: Float[np.ndarray, "*draw layer position"]) -> Float[np.ndarray, "*draw layer position"]:
        """Values of this map's kind so that more of what it shows is higher, with logarithms on a log scale."""
        if self.scale.kind == "log":
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log(values)
        turned: np.ndarray = -values if self.data.attrs.get(MORE_IS) == LOW else values
        return np.where(np.isfinite(turned), turned, np.nan)

    @classmethod
    def load(cls: type[H], path: Path | str) -> H:
        """Read a heatmap: netCDF as `save` writes it, or a CSV with a ``layer`` column and one column per position.

        A CSV is a published map: it has values, which are taken for AUCs, and neither intervals nor n.

        Raises
        ------
        InputError
            If the file is not there or not a heatmap.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"no heatmap at {path}; give the path of a .nc or .csv file")
        return cls._load_csv(path) if path.suffix.lower() == ".csv" else super().load(path)

    @classmethod
    def _load_csv(cls: type[H], path: Path) -> H:
        positions, frame = _published_table(path)
        if frame.index.name != "layer" or frame.empty:
            raise InputError(f"{path}: the first column must be 'layer', then one column per position, with rows")
        if list(frame.index) != list(range(len(frame))):
            raise InputError(f"{path}: the layers must be 0, 1, 2, …; found {frame.index.tolist()}")
        value = frame.to_numpy()
        unknown = np.full_like(value, np.nan)
        return cls.of(
            (value, unknown, unknown, np.zeros(value.shape, dtype=np.int64)),
            names=(np.arange(len(value)), positions),
            kind="published",
            metric="AUC",
            scale=(0.5, 1.0),
            attributes={"source": path.name},
        )


def _published_table(path: Path) -> tuple[list[str], pd.DataFrame]:
    """The names of a published map's columns, and its numbers with the first column as their index."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # Spreadsheets write a mark of the encoding before the first name.
        reader = csv.reader(StringIO(text, newline=""))
        header, *rows = [(reader.line_num, row) for row in reader if "".join(row).strip()] or [(1, [])]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a table of numbers: {error}") from error
    _require_named(path, header[1])
    _require_whole(path, len(header[1]), rows)
    _require_finite(path, header[1], rows)
    try:
        frame = pd.read_csv(StringIO(text), index_col=0).astype(float)
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path} is not a table of numbers: {error}") from error
    return [str(name) for name in frame.columns], frame


def _require_named(path: Path, header: Sequence[str]) -> None:
    """Raise an `InputError` for a column without a name, or of another's, either of which pandas would rename."""
    if len(header) == 1 and ";" in header[0]:
        raise InputError(f"{path} has semicolons between its columns; write commas there, and points in its numbers")
    for column, name in enumerate(header[1:], start=2):
        if not name.strip():
            raise InputError(f"{path}: column {column} has no name; give it that of its position")
        if name in header[: column - 1]:
            both = f"columns {header.index(name) + 1} and {column}"
            raise InputError(f"{path}: {both} are called {name!r}; give each its own name")


def _require_whole(path: Path, n_columns: int, rows: Sequence[tuple[int, Sequence[str]]]) -> None:
    """Raise an `InputError` for a row with another number of cells; what it lacks would be taken for missing."""
    for line, row in rows:
        if len(row) != n_columns:
            raise InputError(
                f"{path}, line {line}: {counted(len(row), 'cell')}, and the header has {n_columns}; give every column "
                "one, which is empty where there is no value"
            )


def _require_finite(path: Path, header: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]]) -> None:
    """Raise an `InputError` for an infinite value, or one too large for a number, which would be told as missing."""
    for line, row in rows:
        for name, cell in zip(header, row, strict=True):
            if _is_infinite(cell):
                raise InputError(
                    f"{path}, line {line}, column {name!r}: {cell.strip()!r} is not finite; write a number, or nothing "
                    "where there is no value"
                )


def _is_infinite(cell: str) -> bool:
    try:
        return math.isinf(float(cell))
    except ValueError:
        return False
