"""Tasks that are done by the workers of a Ray cluster, on this machine or on many."""

from __future__ import annotations

import logging
import math
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from interp.errors import InputError, first_line
from interp.work.executors import Executor, Result, Worker

log = logging.getLogger(__name__)

INSTALL_RAY = "pip install -e '.[ray]' in the clone"
IN_FLIGHT = 2
"""Tasks that a Ray worker has at once: one that it computes, and one that it writes or will compute next."""
SECONDS_TO_REACH = 10.0
"""How long a cluster's address may take to answer."""
SECONDS_BETWEEN_CHECKS = 10.0
"""How often a run that has no worker yet looks whether there can be one."""
SECONDS_TO_FINISH = 10.0
"""How long a run that failed lets the other workers finish what they are at."""
MEMORY = "As a rule the machine's memory does not suffice: take fewer --workers, or a machine with more memory"


class Ray(Executor):
    """Has tasks done by workers of a Ray cluster, each with its own CPUs and GPUs.

    A worker whose process dies is started again by Ray, and its tasks are done again, by whichever worker is free.

    Parameters
    ----------
    address
        Of a cluster, as Ray takes it (``host:port``, ``auto``); None starts one on this machine for as long as it is
        needed. If this process is connected to a cluster already, that one is used.
    workers
        How many; None means as many as the cluster can have at once.
    cpus_per_worker, gpus_per_worker
        What is set aside for each. None means a GPU for each if the cluster has any; with 0 a worker sees all that its
        machine has.
    max_restarts
        How often each worker is started again.
    max_task_retries
        How often a task is done again because its worker died.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        cpus_per_worker: int | float = 1,
        gpus_per_worker: int | float | None = None,
        max_restarts: int = 3,
        max_task_retries: int = 3,
    ) -> None:
        if workers is not None and workers < 1:
            raise InputError(f"--workers is {workers}; at least 1 has to do the work")
        if not cpus_per_worker > 0:
            raise InputError(f"--cpus-per-worker is {cpus_per_worker:g}; a worker needs one, or a part of one")
        gpus = gpus_per_worker or 0
        if gpus < 0 or (gpus > 1 and gpus % 1):
            raise InputError(f"--gpus-per-worker is {gpus:g}; give a part of one, or a whole number of them")
        self.address, self.workers = address, workers
        self.cpus_per_worker, self.gpus_per_worker = cpus_per_worker, gpus_per_worker
        self.max_restarts, self.max_task_retries = max_restarts, max_task_retries
        self._has_connected = False

    @property
    def n_workers(self) -> int:
        """As many as were asked for, or as fit the cluster, which is then connected to until `results` ends."""
        if self.workers is not None:
            return self.workers
        try:
            return self._room(self._connected())
        except InputError:
            self._disconnect()
            raise

    def results(self, start: Callable[[], Worker[Any, Result]], tasks: Sequence[int]) -> Iterator[tuple[int, Result]]:
        """Each task with its result as it is done, in any order."""
        try:
            if tasks:
                yield from self._results(self._connected(), start, tasks)
        finally:
            self._disconnect()

    def _results(
        self, ray: Any, start: Callable[[], Worker[Any, Result]], tasks: Sequence[int]
    ) -> Iterator[tuple[int, Result]]:
        room = self._room(ray)
        actor = ray.remote(RayWorker).options(
            num_cpus=self.cpus_per_worker,
            num_gpus=self._gpus(ray),
            max_restarts=self.max_restarts,
            max_concurrency=IN_FLIGHT,
        )
        log_level = logging.getLogger("interp").getEffectiveLevel()
        actors = [actor.remote(log_level) for _ in range(min(self.workers or room, len(tasks)))]
        try:
            yield from _Pool(ray, actors, start, self.max_task_retries, lambda: self._room(ray)).results(tasks)
        finally:
            for each in actors:
                ray.kill(each)

    def _connected(self) -> Any:
        """Ray, once it is connected to a cluster."""
        if self.address is not None:
            # Read when Ray is imported: where no cluster is left it would try for ten minutes, and so for one.
            os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")
        ray = _imported_ray()
        if ray.is_initialized():
            return ray
        try:
            with _own_end():
                self._connect(ray)
        except Exception as error:
            reason = first_line(error)
            if self.address is None:
                raise InputError(f"cannot start Ray on this machine: {reason}") from error
            raise InputError(
                f"cannot connect to Ray at {self.address}: {reason}; if it asks for a token, set RAY_AUTH_MODE=token"
            ) from error
        self._has_connected = True
        return ray

    def _connect(self, ray: Any) -> None:
        if self.address is None:
            # A token of its own keeps others on the network out of the cluster. Left alone, Ray would write one to the
            # home folder, and ask it of every cluster that is started from then on.
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            n_cpus = None if self.workers is None else math.ceil(self.workers * self.cpus_per_worker)
            ray.init(address="local", num_cpus=n_cpus, include_dashboard=False, logging_level=logging.ERROR)
        else:
            _require_listener(self.address)
            ray.init(address=self.address, logging_level=logging.ERROR)

    def _disconnect(self) -> None:
        if self._has_connected:
            self._has_connected = False
            _imported_ray().shutdown()

    def _gpus(self, ray: Any) -> int | float:
        if self.gpus_per_worker is not None:
            return self.gpus_per_worker
        return min(1, max((node.get("GPU", 0.0) for node in _machines(ray)), default=0.0))

    def _room(self, ray: Any) -> int:
        """How many workers the cluster can have at once, whoever else uses it."""
        needs = {"CPU": self.cpus_per_worker, "GPU": self._gpus(ray)}
        needed = {kind: amount for kind, amount in needs.items() if amount}
        machines = _machines(ray)
        fits = [int(min(has.get(kind, 0.0) / each + 1e-9 for kind, each in needed.items())) for has in machines]
        if not any(fits):
            wanted = _in_words(needed)
            raise InputError(
                f"a Ray worker is to have {wanted}, and no machine of the cluster has that (they have "
                f"{'; '.join(sorted({_in_words(has) for has in machines})) or 'gone'}); change --cpus-per-worker or "
                "--gpus-per-worker, or add a machine"
            )
        return sum(fits)


class RayWorker:
    """A worker in a process of Ray's, under the name by which its lines are told in the log."""

    def __init__(self, log_level: int) -> None:
        logging.basicConfig(format="%(message)s", level=logging.WARNING)
        logging.getLogger("interp").setLevel(log_level)
        # Ray calls from several threads; computing stays in one, and so does writing.
        self._computing, self._writing = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._worker: Future[Worker[Any, Any]] | None = None

    def begin(self, start: Callable[[], Worker[Any, Any]]) -> None:
        """Make the worker, unless this process has one."""
        if self._worker is None:
            self._worker = self._computing.submit(start)
        self._worker.result()

    def result(self, task: int) -> Any:
        """What comes back of a task, once it is computed and written."""
        if self._worker is None:
            raise _HasNotBegunError
        worker = self._worker.result()
        computed = self._computing.submit(worker.computed, task).result()
        return self._writing.submit(worker.written, task, computed).result()


class _HasNotBegunError(Exception):
    """A process is asked for a task before it has a worker: another one than was there before, unnoticed."""


class _Pool:
    """Ray actors and the tasks that each is at.

    Ray starts actors again, but tasks are handed out and handed out again here: with its own retries, tasks wait for
    the very actor that died, which may be long in coming back while others are free, and one task that kills its
    process uses up the retries of its neighbour.
    """

    def __init__(
        self,
        ray: Any,
        actors: Sequence[Any],
        start: Callable[[], Worker[Any, Any]],
        max_task_retries: int,
        room: Callable[[], int],
    ) -> None:
        self._ray, self._actors = ray, actors
        # Put in the cluster once for all: it may hold whatever the tasks are about.
        self._start = ray.put(start)
        self._max_task_retries, self._room = max_task_retries, room
        self._waiting: deque[int] = deque()
        self._suspects: deque[int] = deque()
        """Tasks whose worker died: done last and each alone in its worker, so that it is known which one kills it."""
        self._deadly: list[int] = []
        """Tasks that are given up."""
        self._deaths: Counter[int] = Counter()
        self._present: set[int] = set()
        self._joining: dict[Any, int] = {}
        self._running: dict[Any, tuple[int, int]] = {}

    def results(self, tasks: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """Each task with its result."""
        self._waiting.extend(tasks)
        for number in range(len(self._actors)):
            self._begin(number)
        try:
            while self._waiting or self._suspects or self._running:
                self._hand_out()
                yield from self._next_results()
            if self._deadly:
                died = _n(self._max_task_retries + 1, "worker")
                raise InputError(f"{died} died of {_tasks(self._deadly)}; all others are done. {MEMORY}")
        except Exception:
            yield from self._last_results()
            raise

    def _begin(self, number: int) -> None:
        """Let an actor make its worker; it gets no task before, since the cluster may have no room for it yet."""
        self._joining[self._actors[number].begin.options(max_task_retries=-1).remote(self._start)] = number

    def _hand_out(self) -> None:
        while self._waiting and (number := self._least_busy(IN_FLIGHT)) is not None:
            self._give(number, self._waiting.popleft())
        while self._suspects and (number := self._least_busy(1)) is not None:
            self._give(number, self._suspects.popleft())

    def _least_busy(self, limit: int) -> int | None:
        """The worker with the fewest tasks, if any has fewer than the limit and no suspect."""
        load = Counter(number for number, _ in self._running.values())
        alone = {number for number, task in self._running.values() if self._deaths[task]}
        free = [number for number in sorted(self._present - alone) if load[number] < limit]
        return min(free, key=lambda number: load[number], default=None)

    def _give(self, number: int, task: int) -> None:
        self._running[self._actors[number].result.remote(task)] = number, task

    def _next_results(self) -> Iterator[tuple[int, Any]]:
        awaited = [*self._running, *self._joining]
        if not awaited:
            tasks = [*self._deadly, *self._suspects]
            at = f"at {_tasks(tasks)}" if tasks else "before the first task"
            raise InputError(f"no Ray worker is left: each died too often, the last {at}. {MEMORY}")
        done, _ = self._ray.wait(awaited, num_returns=1, timeout=SECONDS_BETWEEN_CHECKS)
        if not done and not self._present and self._room():
            log.info("waiting for a Ray worker to be ready")
        for ref in done:
            if ref in self._joining:
                self._join(ref)
            else:
                yield from self._result(ref)

    def _join(self, ref: Any) -> None:
        number = self._joining.pop(ref)
        try:
            self._got(ref)
        except self._ray.exceptions.RaySystemError as error:
            raise _no_start(error) from error
        except _losses(self._ray) as error:
            if getattr(error, "actor_init_failed", False):
                raise _no_start(error) from error
            log.warning("Ray worker %d died too often and is not started again", number)
        else:
            self._present.add(number)

    def _got(self, ref: Any) -> Any:
        """What comes of a call; our own errors as they were raised."""
        try:
            return self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, InputError | _HasNotBegunError):
                raise error.cause from None
            raise

    def _result(self, ref: Any) -> Iterator[tuple[int, Any]]:
        number, task = self._running.pop(ref)
        try:
            result = self._got(ref)
        except _HasNotBegunError:
            self._present.discard(number)
            self._waiting.append(task)
        except _losses(self._ray):
            self._present.discard(number)
            self._deaths[task] += 1
            given_up = self._deaths[task] > self._max_task_retries
            (self._deadly if given_up else self._suspects).append(task)
            log.warning("Ray worker %d died while it was at task %d", number, task)
        else:
            yield task, result
        # All that the worker was at comes back with the same error; only then is it known to be done with.
        if number not in self._present and all(number != other for other, _ in self._running.values()):
            self._begin(number)

    def _last_results(self) -> Iterator[tuple[int, Any]]:
        """What the other workers were at when the run failed."""
        deadline = time.monotonic() + SECONDS_TO_FINISH
        while self._running and (left := deadline - time.monotonic()) > 0:
            done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=left)
            for ref in done:
                _, task = self._running.pop(ref)
                try:
                    result = self._ray.get(ref)
                except Exception:
                    log.debug("task %d failed too", task, exc_info=True)
                else:
                    yield task, result


def _imported_ray() -> Any:
    # Nothing is to be reported to Ray's makers, and the log of a job is to have no colours.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if not sys.stderr.isatty():
        os.environ.setdefault("RAY_COLOR_PREFIX", "0")
    try:
        import ray
    except ImportError as error:
        raise InputError(f"--executor ray needs Ray: {INSTALL_RAY}") from error
    return ray


@contextmanager
def _own_end() -> Iterator[None]:
    """Keep what this process does at SIGTERM, if that is its own: Ray would have it exit without a word."""
    before, is_main = signal.getsignal(signal.SIGTERM), threading.current_thread() is threading.main_thread()
    own = before if callable(before) and is_main else None
    try:
        yield
    except SystemExit as stop:
        if own is not None and stop.code == signal.SIGTERM:
            own(signal.SIGTERM, None)
        raise
    finally:
        if own is not None:
            signal.signal(signal.SIGTERM, own)


def _losses(ray: Any) -> tuple[type[Exception], ...]:
    """What Ray raises for a worker whose process or machine is gone."""
    errors = ray.exceptions
    return errors.RayActorError, errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError


def _machines(ray: Any) -> list[dict[str, float]]:
    """What each machine of the cluster has, by Ray's names."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _require_listener(address: str) -> None:
    """Raise an error if nothing answers at an address: Ray itself would try for minutes."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_REACH).close()
        except OSError as error:
            raise ConnectionError(f"nothing answers there ({(error.strerror or str(error)).lower()})") from error


def _in_words(amounts: dict[str, Any]) -> str:
    return " and ".join(
        f"{amounts.get(kind, 0):g} {kind}" for kind in ("CPU", "GPU") if amounts.get(kind, kind == "CPU")
    )


def _n(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def _tasks(tasks: Sequence[int]) -> str:
    names = ", ".join(map(str, sorted(tasks)))
    return f"task {names}" if len(tasks) == 1 else f"each of the tasks {names}"


def _no_start(error: Exception) -> InputError:
    """For what a Ray worker cannot import; the last line of its traceback is the error itself."""
    reason = [line.strip() for line in str(error).splitlines() if line.strip()][-1]
    return InputError(
        f"a Ray worker cannot start: {reason}; every machine of the cluster needs the Python and packages of this one"
    )
