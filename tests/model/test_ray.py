"""Ray's workers, in a real cluster on this machine."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from interp.errors import InputError
from interp.work.ray_executor import Ray

ray = pytest.importorskip("ray")

LONG = 60.0
"""Seconds that nothing takes unless it waits for ever."""


class Done(NamedTuple):
    square: int
    process: int
    thread: int


class Squares:
    """Squares numbers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / f"started.{os.getpid()}").touch(exist_ok=False)

    @classmethod
    def dead(cls, folder: Path) -> Squares:
        cls(folder)
        os._exit(1)

    def computed(self, task: int) -> int:
        return threading.get_ident()

    def written(self, task: int, computed: int) -> Done:
        with (self.folder / f"written.{task}").open("a") as file:
            file.write("written\n")
        return Done(task**2, os.getpid(), computed)


class Meeting(Squares):
    """Computes once another process does too, and writes its first task once it computes its second."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.n_begun = 0

    def computed(self, task: int) -> int:
        self.n_begun += 1
        (self.folder / f"computing.{os.getpid()}").touch()
        _wait_for(lambda: len(list(self.folder.glob("computing.*"))) > 1, "the other process")
        return super().computed(task)

    def written(self, task: int, computed: int) -> Done:
        _wait_for(lambda: self.n_begun > 1, "the second task")
        return super().written(task, computed)


class Killed(Squares):
    """Is killed by task 3: the first time only, or always."""

    def __init__(self, folder: Path, always: bool) -> None:
        super().__init__(folder)
        self.always = always

    def computed(self, task: int) -> int:
        marker = self.folder / "killed"
        if task == 3 and (self.always or not marker.exists()):
            with marker.open("a") as file:
                file.write(f"{os.getpid()}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().computed(task)


class Failing(Squares):
    """Fails at task 1, in the one way or in the other."""

    def __init__(self, folder: Path, error: Exception, at: str) -> None:
        super().__init__(folder)
        self.error, self.at = error, at
        if at == "start":
            raise error

    def computed(self, task: int) -> int:
        if task == 1 and self.at == "computed":
            raise self.error
        return super().computed(task)

    def written(self, task: int, computed: int) -> Done:
        if task == 1 and self.at == "written":
            raise self.error
        return super().written(task, computed)


class Threads(Squares):
    """Tells with how many threads torch computes."""

    def computed(self, task: int) -> int:
        import torch

        return torch.get_num_threads()


def _wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} never came")
        time.sleep(0.01)


def _is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def _restarted(process: int) -> bool:
    """Whether Ray has an actor that was started again, and no longer in that process."""
    from ray._private import state

    return any(
        actor["State"] == "ALIVE" and actor["NumRestarts"] and actor["Pid"] != process
        for actor in state.actors().values()
    )


def test_a_cluster_of_its_own_is_there_only_for_as_long_as_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not ray.is_initialized(), "before the cluster that the other tests share"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    executor = Ray(workers=2)
    assert executor.n_workers == 2
    results = dict(executor.results(partial(Squares, tmp_path), range(5)))
    assert {task: done.square for task, done in results.items()} == {task: task**2 for task in range(5)}
    assert not ray.is_initialized()
    assert not (tmp_path / "home").exists(), "nothing is left in the home folder"


def test_an_address_where_nobody_listens_is_said_at_once() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    with pytest.raises(InputError, match=rf"^cannot connect to Ray at 127.0.0.1:{port}: nothing answers there"):
        list(Ray(f"127.0.0.1:{port}").results(never, [0]))
    assert not ray.is_initialized()


def never() -> Squares:
    raise AssertionError("there is no worker to call this")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster that others have started, with 2 CPUs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS", raising=False)
        ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_tasks_are_done_once_each_by_workers_side_by_side(tmp_path: Path) -> None:
    executor = Ray()
    assert executor.n_workers == 2, "as many as fit"
    results = list(executor.results(partial(Meeting, tmp_path), range(8)))
    assert sorted((task, done.square) for task, done in results) == [(task, task**2) for task in range(8)]
    processes = {done.process for _, done in results}
    assert {path.name for path in tmp_path.glob("started.*")} == {f"started.{process}" for process in processes}
    assert len(processes) == 2
    assert len({(done.process, done.thread) for _, done in results}) == 2, "each computes in one thread"
    assert [path.read_text() for path in tmp_path.glob("written.*")] == ["written\n"] * 8
    assert ray.is_initialized(), "whose cluster it is may go on with it"
    _wait_for(lambda: all(map(_is_gone, processes)), "the end of the workers")


@pytest.mark.usefixtures("cluster")
def test_torch_takes_the_cpus_that_a_worker_has(tmp_path: Path) -> None:
    ((_, done),) = Ray(workers=1, cpus_per_worker=2).results(partial(Threads, tmp_path), [0])
    assert done.thread == 2


@pytest.mark.usefixtures("cluster")
def test_what_a_killed_worker_was_at_is_done_again(tmp_path: Path) -> None:
    results = list(Ray().results(partial(Killed, tmp_path, False), range(8)))
    assert sorted((task, done.square) for task, done in results) == [(task, task**2) for task in range(8)]
    (killed,) = (tmp_path / "killed").read_text().split()
    assert int(killed) not in {done.process for task, done in results if task == 3}


@pytest.mark.usefixtures("cluster")
def test_a_task_that_kills_every_worker_is_named_when_the_others_are_done(tmp_path: Path) -> None:
    results: list[tuple[int, Done]] = []
    with pytest.raises(InputError, match=r"^2 workers died of task 3; all others are done\. As a rule the mach"):
        results.extend(Ray(max_task_retries=1).results(partial(Killed, tmp_path, True), range(8)))
    assert sorted(task for task, _ in results) == [0, 1, 2, 4, 5, 6, 7]
    assert len(set((tmp_path / "killed").read_text().split())) == 2


@pytest.mark.usefixtures("cluster")
def test_a_worker_that_is_killed_while_nobody_looks_is_begun_again(tmp_path: Path) -> None:
    results = Ray(workers=1).results(partial(Squares, tmp_path), range(8))
    first, done = next(results)
    _wait_for(lambda: (tmp_path / "written.1").exists(), "the end of all that it was given")
    os.kill(done.process, signal.SIGKILL)
    _wait_for(lambda: _restarted(done.process), "another process in its place")
    assert sorted([first, *(task for task, _ in results)]) == list(range(8))


@pytest.mark.usefixtures("cluster")
def test_workers_that_die_before_they_have_begun_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^no Ray worker is left: .* before the first task\. As a rule"):
        list(Ray(max_restarts=1).results(partial(Squares.dead, tmp_path), range(8)))
    assert len(list(tmp_path.glob("started.*"))) == 4, "2 workers, each started again once"


@pytest.mark.usefixtures("cluster")
def test_when_no_worker_is_left_it_is_said(tmp_path: Path) -> None:
    results: list[tuple[int, Done]] = []
    # A worker is given a few tasks at a time: which of the others have arrived by then depends on how fast it is.
    with pytest.raises(
        InputError, match=r"^no Ray worker is left: .* the last at (task 3|each of the tasks ([0-2], 3|3, 4))\. As"
    ):
        results.extend(Ray(workers=1, max_restarts=0).results(partial(Killed, tmp_path, True), range(8)))
    assert {task for task, _ in results} <= {0, 1, 2, 4}


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("at", ["start", "computed", "written"])
def test_an_input_error_arrives_as_one_line(at: str, tmp_path: Path) -> None:
    results: list[tuple[int, Done]] = []
    with pytest.raises(InputError) as raised:
        results.extend(Ray().results(partial(Failing, tmp_path, InputError("the disk is full"), at), range(4)))
    assert type(raised.value) is InputError
    assert str(raised.value) == "the disk is full"
    written = {int(path.suffix[1:]) for path in tmp_path.glob("written.*")}
    assert {task for task, _ in results} == written, "what others were at is finished"


@pytest.mark.usefixtures("cluster")
def test_a_defect_keeps_its_traceback(tmp_path: Path) -> None:
    start = partial(Failing, tmp_path, ZeroDivisionError("a defect"), "computed")
    with pytest.raises(ZeroDivisionError, match=r'(?s)test_ray\.py", line \d+, in computed.*a defect'):
        list(Ray(workers=1).results(start, range(2)))


@pytest.mark.usefixtures("cluster")
def test_workers_that_no_machine_has_room_for_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"to have 1 CPU and 1 GPU, and no machine .* \(they have 2 CPU\); change"):
        list(Ray(gpus_per_worker=1).results(never, [0]))
    with pytest.raises(InputError, match="to have 3 CPU, and no machine"):
        _ = Ray(cpus_per_worker=3).n_workers


@pytest.mark.usefixtures("cluster")
def test_whoever_stops_early_leaves_no_worker(tmp_path: Path) -> None:
    results = Ray(workers=1).results(partial(Squares, tmp_path), range(100))
    _, done = next(results)
    results.close()  # type: ignore[attr-defined]
    _wait_for(lambda: _is_gone(done.process), "the end of the worker")
