from __future__ import annotations

import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.errors import InputError
from interp.work.executors import Local, Share, Worker, parse_share
from interp.work.ray_executor import Ray, _own_end

LONG = 30.0
"""Seconds that nothing takes unless it waits for ever."""


class Product:
    """Something computed, whose end can be watched."""

    def __init__(self, task: int) -> None:
        self.task = task


class Recording:
    """A worker that keeps what is done, and in which thread; what else happens in a task is given."""

    def __init__(
        self,
        computing: Callable[[int], object] = lambda task: None,
        writing: Callable[[int], object] = lambda task: None,
    ) -> None:
        self.computing, self.writing = computing, writing
        self.done: list[tuple[str, int]] = []
        self.threads: dict[str, set[int]] = {"computed": set(), "written": set()}
        self.products: dict[int, weakref.ref[Product]] = {}

    def computed(self, task: int) -> Product:
        self.threads["computed"].add(threading.get_ident())
        self.computing(task)
        self.done.append(("computed", task))
        product = Product(task)
        self.products[task] = weakref.ref(product)
        return product

    def written(self, task: int, computed: Product) -> int:
        assert computed.task == task
        self.threads["written"].add(threading.get_ident())
        self.writing(task)
        self.done.append(("written", task))
        return task**2


def never() -> NoReturn:
    raise AssertionError("no worker is needed")


def threads_that_write() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("writing")]


def test_tasks_are_done_in_their_order_each_computed_here_and_written_in_one_other_thread() -> None:
    worker, started = Recording(), []

    def start() -> Recording:
        started.append(threading.get_ident())
        return worker

    assert isinstance(worker, Worker)
    assert list(Local().results(start, [3, 1, 4])) == [(3, 9), (1, 1), (4, 16)]
    assert started == [threading.get_ident()]
    assert worker.threads["computed"] == {threading.get_ident()}
    assert len(worker.threads["written"]) == 1
    assert worker.threads["written"] != worker.threads["computed"]
    assert not threads_that_write()


def test_a_task_is_written_while_the_next_one_is_computed() -> None:
    is_writing, is_computing = threading.Event(), threading.Event()

    def computing(task: int) -> None:
        if task == 1:
            is_computing.set()
            assert is_writing.wait(LONG), "task 0 is not written until task 1 is computed"

    def writing(task: int) -> None:
        if task == 0:
            is_writing.set()
            assert is_computing.wait(LONG), "task 1 is not computed until task 0 is written"

    assert list(Local().results(lambda: Recording(computing, writing), [0, 1])) == [(0, 0), (1, 1)]


def test_no_task_is_computed_before_the_last_but_one_is_written() -> None:
    is_ahead, was_ahead = threading.Event(), []

    def computing(task: int) -> None:
        if task == 2:
            is_ahead.set()

    def writing(task: int) -> None:
        if task == 0:
            was_ahead.append(is_ahead.wait(0.2))

    assert len(list(Local().results(lambda: Recording(computing, writing), [0, 1, 2]))) == 3
    assert was_ahead == [False]


def test_what_is_written_takes_no_memory_while_the_next_task_is_computed() -> None:
    def is_freed(product: weakref.ref[Product]) -> bool:
        deadline = time.monotonic() + LONG
        while product() is not None and time.monotonic() < deadline:
            time.sleep(0.001)
        return product() is None

    def computing(task: int) -> None:
        if task:
            assert is_freed(worker.products[task - 1])

    worker = Recording(computing)
    assert len(list(Local().results(lambda: worker, [0, 1, 2]))) == 3


@pytest.mark.parametrize("error", [InputError("the disk is full"), ZeroDivisionError("a defect"), KeyboardInterrupt()])
def test_what_was_computed_before_an_error_is_written_and_comes_first(error: BaseException) -> None:
    def computing(task: int) -> None:
        if task == 2:
            raise error

    results: list[tuple[int, int]] = []
    worker = Recording(computing)
    with pytest.raises(type(error)) as raised:
        results.extend(Local().results(lambda: worker, [0, 1, 2, 3]))
    assert raised.value is error
    assert results == [(0, 0), (1, 1)]
    assert ("computed", 3) not in worker.done
    assert not threads_that_write()


def test_an_error_in_writing_ends_the_run_before_another_task_is_begun() -> None:
    def writing(task: int) -> None:
        if task == 1:
            raise InputError("the disk is full")

    results: list[tuple[int, int]] = []
    worker = Recording(writing=writing)
    with pytest.raises(InputError, match="the disk is full"):
        results.extend(Local().results(lambda: worker, [0, 1, 2, 3]))
    assert results == [(0, 0)]
    assert ("computed", 3) not in worker.done
    assert not threads_that_write()


def test_whoever_stops_early_leaves_no_task_half_written() -> None:
    may_go_on = threading.Event()
    worker = Recording(writing=lambda task: task == 0 or may_go_on.wait(LONG))
    results = Local().results(lambda: worker, [0, 1, 2])
    assert next(results) == (0, 0)
    threading.Timer(0.05, may_go_on.set).start()
    results.close()  # type: ignore[attr-defined]
    assert worker.done[-1] == ("written", 1)
    assert not threads_that_write()


@pytest.mark.parametrize("executor", [Local(), Ray(), Ray("auto")])
def test_without_tasks_there_are_no_workers(executor: Local | Ray) -> None:
    assert list(executor.results(never, [])) == []


def test_an_absent_ray_is_said_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"needs Ray: pip install -e '\.\[ray\]' in the clone$"):
        list(Ray(workers=2).results(never, [0]))
    with pytest.raises(InputError, match="needs Ray"):
        _ = Ray().n_workers
    assert Ray(workers=2).n_workers == 2, "what is given needs no counting"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"workers": 0}, "--workers is 0; at least 1"),
        ({"cpus_per_worker": 0.0}, "--cpus-per-worker is 0; a worker needs one"),
        ({"gpus_per_worker": -1}, "--gpus-per-worker is -1"),
        ({"gpus_per_worker": 1.5}, "--gpus-per-worker is 1.5; give a part of one, or a whole number"),
    ],
)
def test_workers_that_cannot_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Ray(**given)


@given(st.integers(0, 300), st.integers(1, 40))
def test_shares_cover_all_tasks_once_and_are_alike_in_size(n_tasks: int, of: int) -> None:
    shares = [parse_share(f"{number}/{of}").tasks(n_tasks) for number in range(1, of + 1)]
    assert sorted(task for share in shares for task in share) == list(range(n_tasks))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_share_is_read() -> None:
    assert parse_share("3/16") == Share(number=3, of=16)
    assert Share(1, 1).tasks(4) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "text",
    ["0/4", "5/4", "0/0", "1/0", "-1/4", "1/-4", "1", "1/", "/4", "", "1/4/2", " 1/4", "1/4\n", "1.0/4", "a/b", "١/٤"],
)
def test_what_is_no_share_is_said(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_share(text)
    assert str(error.value) == f"--shard is {text!r}; write i/n with i from 1 to n, such as 1/16"


def test_a_signal_ends_a_run_in_its_own_way_also_while_ray_starts() -> None:
    def own(number: int, _: object) -> None:
        raise KeyboardInterrupt(number)

    def of_ray(number: int, _: object) -> None:
        sys.exit(number)

    before = signal.signal(signal.SIGTERM, own)
    try:
        for is_sent in (False, True):
            with pytest.raises(KeyboardInterrupt) if is_sent else nullcontext(), _own_end():
                signal.signal(signal.SIGTERM, of_ray)
                if is_sent:
                    signal.raise_signal(signal.SIGTERM)
            assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)
