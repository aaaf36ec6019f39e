"""Where tasks are done: in this process, by the workers of a Ray cluster, or, by shares, in the jobs of an array.

A task is a number. A worker computes it on its device, and writes what it computed while it computes the next one;
what comes back is small. Nothing here knows what the tasks are.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from interp.errors import InputError

Computed = TypeVar("Computed")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


@runtime_checkable
class Worker(Protocol[Computed, Result_co]):
    """Does tasks, one after the other."""

    def computed(self, task: int) -> Computed:
        """The heavy part of a task: always in the same thread, one task at a time."""

    def written(self, task: int, computed: Computed) -> Result_co:
        """The result of a task, small and picklable; in another thread, while the next task is computed.

        A worker may die after it has written a task and before it could say so; the task is then done again.
        """


class Executor(ABC):
    """Has tasks done."""

    # A class and not a protocol: to check whether something is a protocol's, Python 3.11 evaluates its properties, and
    # to count its workers Ray has to be started.

    @property
    @abstractmethod
    def n_workers(self) -> int:
        """How many tasks are computed at once."""

    @abstractmethod
    def results(self, start: Callable[[], Worker[Any, Result]], tasks: Sequence[int]) -> Iterator[tuple[int, Result]]:
        """Each task with its result as it is done, in any order.

        Parameters
        ----------
        start
            Makes a worker: called once for each, where it works, and not at all if there are no tasks.
        tasks
            Numbers, each of them once.

        Raises
        ------
        InputError
            If a worker raised it, or there are no workers to be had. What else a worker raises keeps its traceback.
        """


class Local(Executor):
    """Does tasks in this process: each is written in a second thread while the next one is computed."""

    @property
    def n_workers(self) -> int:
        """One."""
        return 1

    def results(self, start: Callable[[], Worker[Any, Result]], tasks: Sequence[int]) -> Iterator[tuple[int, Result]]:
        """Each task with its result, in their order."""
        if not tasks:
            return
        worker = start()
        # Computing stays in the thread that called: torch keeps a pool of threads for each that computes.
        with ThreadPoolExecutor(1, thread_name_prefix="writing") as writer:
            writing: tuple[int, Future[Result]] | None = None
            for task in tasks:
                try:
                    computed = worker.computed(task)
                except BaseException:
                    if writing is not None:
                        yield writing[0], writing[1].result()
                    raise
                # One write at a time, so that what is computed does not pile up in memory.
                written = None if writing is None else (writing[0], writing[1].result())
                writing = task, writer.submit(worker.written, task, computed)
                del computed  # Else it would stay until the next task is computed, though it is written.
                if written is not None:
                    yield written
            if writing is not None:
                yield writing[0], writing[1].result()


@dataclass(frozen=True)
class Share:
    """One of the equal shares into which tasks are divided, such as among the jobs of an array."""

    number: int
    """From 1 on."""
    of: int

    def tasks(self, n_tasks: int) -> list[int]:
        """The tasks of this share; every task is in one share, and the number of tasks alone decides in which."""
        # Every `of`-th: neighbouring tasks may be alike in length, and so every share gets some of each.
        return list(range(self.number - 1, n_tasks, self.of))


def parse_share(text: str) -> Share:
    """The share that ``i/n`` stands for, with i from 1 to n.

    Raises
    ------
    InputError
        If the text is another.
    """
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    share = Share(int(match[1]), int(match[2])) if match else None
    if share is None or not 1 <= share.number <= share.of:
        raise InputError(f"--shard is {text!r}; write i/n with i from 1 to n, such as 1/16")
    return share
