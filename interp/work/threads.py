"""Many small jobs of linear algebra on a CPU: one thread for each, several at once.

A factorisation of some hundred rows has nothing to gain from more threads than one, and libraries that each have
threads of their own (PyTorch's, NumPy's) keep each other waiting. On 2 cores a probe map is made four times faster so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_single_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The results of a function for some items, in their order, as many at once as PyTorch may have threads."""
    n_threads = torch.get_num_threads()
    try:
        with threadpool_limits(1), ThreadPoolExecutor(n_threads, initializer=lambda: torch.set_num_threads(1)) as pool:
            return list(pool.map(function, items))
    finally:
        torch.set_num_threads(n_threads)


def each_on(device: str, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The results of a function for some items, in their order; on a CPU as `in_single_threads`.

    A GPU is given one after the other: it has threads of its own.
    """
    return in_single_threads(function, items) if torch.device(device).type == "cpu" else list(map(function, items))
