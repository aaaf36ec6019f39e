"""The matrix: one value with its interval for every pair of a training set and a test set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from interp.results.result import Result


@dataclass(frozen=True)
class Matrix(Result):
    """A `Result` on ``(train, test)``."""

    axes: ClassVar[tuple[str, ...]] = ("train", "test")
    noun: ClassVar[str] = "matrix"
