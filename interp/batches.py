"""Runs of a sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def batched(items: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    """Consecutive runs of `size` items, the last one possibly shorter (`itertools.batched` of Python 3.12)."""
    for start in range(0, len(items), size):
        yield tuple(items[start : start + size])
