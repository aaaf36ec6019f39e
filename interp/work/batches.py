"""Runs of a sequence, and what to do where the device's memory does not suffice for one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from interp.errors import InputError

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""What the messages of torch's allocators have in common, on GPUs and on the CPU."""


def batched(items: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    """Consecutive runs of `size` items, the last one possibly shorter (`itertools.batched` of Python 3.12)."""
    for start in range(0, len(items), size):
        yield tuple(items[start : start + size])


def in_halves_if_need_be(run: Callable[[tuple[T, ...]], list[R]], items: tuple[T, ...]) -> list[R]:
    """What `run` gives for a batch; where memory does not suffice, for its halves one after the other, and so on.

    Raises
    ------
    InputError
        If memory does not suffice for a single item.
    """
    try:
        return run(items)
    except RuntimeError as error:
        if not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        if len(items) == 1:
            raise InputError(
                "the device's memory does not suffice for a single example; free some of it, shorten the questions, or "
                "take another --device or --dtype"
            ) from error
    # Not within the except: what the failed pass holds is freed only when its error is.
    _free_memory()
    log.info("out of memory with %d examples at once: going on with half as many", len(items))
    middle = len(items) // 2
    return [part for half in (items[:middle], items[middle:]) for part in in_halves_if_need_be(run, half)]


def _free_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
