"""What estimates and matrices show, in numbers: the extremes, and how the intervals lie to what means nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from interp.results.estimates import Estimates
from interp.results.matrix import Matrix
from interp.wording.result_facts import Against, Subject, against, subject_of


class Entry(NamedTuple):
    """A value by name: of a matrix by that of its training set and that of its test set."""

    name: tuple[str, ...]
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Group:
    """Values that are told together, those without a value left out; the highest first."""

    entries: tuple[Entry, ...]
    against: Against | None
    """None where no value means nothing, or there are no intervals."""


@dataclass(frozen=True)
class ListDescription:
    """What estimates or a matrix show, in numbers."""

    subject: Subject
    groups: Mapping[str, Group]
    """Of estimates ``all``; of a matrix ``own``, tested out of fold on the set that was trained on, and ``other``."""
    n_entries: int
    missing: tuple[tuple[str, ...], ...]
    """The names of what has no value."""


def list_description_of(result: Estimates | Matrix) -> ListDescription:
    """Describe estimates or a matrix."""
    shape = result.data["value"].shape
    if isinstance(result, Matrix):
        own = result.data["train"].values[:, None] == result.data["test"].values[None]
        chosen = {"own": own, "other": ~own}
    else:
        chosen = {"all": np.ones(shape, dtype=bool)}
    return ListDescription(
        subject=subject_of(result),
        groups={name: _group(result, each) for name, each in chosen.items()},
        n_entries=int(np.prod(shape)),
        missing=tuple(_name(result, at) for at in np.argwhere(np.isnan(result.data["value"].values))),
    )


def _group(result: Estimates | Matrix, chosen: Bool[np.ndarray, "*cell"]) -> Group:
    known = chosen & np.isfinite(result.data["value"].values)
    entries = [_entry(result, at) for at in np.argwhere(known)]
    return Group(tuple(sorted(entries, key=lambda entry: (-entry.value, entry.name))), against(result, chosen))


def _entry(result: Estimates | Matrix, at: np.ndarray) -> Entry:
    value, low, high = (float(result.data[name].values[tuple(at)]) for name in ("value", "low", "high"))
    return Entry(_name(result, at), value, low, high, int(result.data["n"].values[tuple(at)]))


def _name(result: Estimates | Matrix, at: np.ndarray) -> tuple[str, ...]:
    return tuple(str(result.data[axis].values[place]) for axis, place in zip(result.axes, at, strict=True))
