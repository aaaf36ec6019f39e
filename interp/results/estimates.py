"""Estimates: values with their intervals, by name; drawn as a forest plot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from interp.results.result import Result
from interp.results.scales import Scale
from interp.statistics.auc import Interval

IN_GROUP = ": "
"""Between the name of a group and that of an estimate, where there are the same estimates of several groups."""


@dataclass(frozen=True)
class Estimates(Result):
    """A `Result` on ``(name)``, with the attribute ``reference`` where a value means nothing, such as chance."""

    axes: ClassVar[tuple[str, ...]] = ("name",)
    noun: ClassVar[str] = "list of estimates"

    @classmethod
    def named(
        cls,
        values: Mapping[str, tuple[Interval, int]],
        *,
        kind: str,
        metric: str,
        scale: Scale | tuple[float, float],
        reference: float | None = None,
        extra: Mapping[str, Any] | None = None,
        attributes: Mapping[str, str | float | int] | None = None,
    ) -> Estimates:
        """Put together what is by name: an interval, NaN where there is none, and the n behind it.

        The rest is as for `Result.of`.
        """
        ends = np.array([interval for interval, _ in values.values()], dtype=np.float64).reshape(-1, 3)
        n = np.array([number for _, number in values.values()], dtype=np.int64)
        return cls.of(
            (*ends.T, n),
            names=[list(values)],
            kind=kind,
            metric=metric,
            scale=scale,
            extra=extra,
            attributes=({} if reference is None else {"reference": reference}) | dict(attributes or {}),
        )

    @property
    def names(self) -> list[str]:
        """What there is an estimate of."""
        return [str(name) for name in self.data["name"].values]

    @property
    def reference(self) -> float | None:
        """The value that means nothing, if there is one."""
        reference = self.data.attrs.get("reference")
        return None if reference is None else float(reference)
