"""Estimates: values with their intervals, by name; drawn as a forest plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from interp.results import Result


@dataclass(frozen=True)
class Estimates(Result):
    """A `Result` on ``(name)``."""

    axes: ClassVar[tuple[str, ...]] = ("name",)
    noun: ClassVar[str] = "list of estimates"

    @property
    def names(self) -> list[str]:
        """What there is an estimate of."""
        return [str(name) for name in self.data["name"].values]
