"""What kills and other hands do to a capture: nothing. And what Ray costs beside this process.

1. *Kills.* A tiny model's capture is killed (SIGKILL) at each step by which files change, and at random instants; what
   ends is compared, byte by byte, with an undisturbed capture (`tests/kills.py`).
2. *Ray.* The same answers of SmolLM2-135M are captured by this process, by one Ray worker, by two, and by two of which
   one is killed after the first shard, each with one thread a worker, in turn. The stores are compared byte by byte.
   Time is the whole call: Ray's start and loading the model are in it.

    python -m benchmarks.capture_faults             about 20 minutes on 2 cores
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from benchmarks.city_answers import alternating_seconds, city_answers, spread

KILLED = "ray, 2 workers, one killed"


@dataclass(frozen=True)
class Config:
    """Kill captures, and compare Ray with this process."""

    kills: int = 200
    """At random instants."""
    n: int = 200
    """Answers that Ray's workers capture."""
    repeats: int = 3
    """Turns that are counted."""
    runs: Path = Path("runs")
    """Where the answers are, or are to be."""


def main(config: Config) -> int:
    """Kill, compare, and print one JSON object as the last line."""
    with tempfile.TemporaryDirectory() as folder:
        killed = kills(Path(folder), config.kills)
    print(f"killed at each of {killed['steps']} steps: {killed['same_after_step']} ended with the same bytes")
    print(f"killed {killed['killed']} times at random: {killed['same']} of {killed['ended']} stores are the same bytes")
    with tempfile.TemporaryDirectory(dir=config.runs) as folder:
        times, same = ray_beside_local(config, Path(folder))
    for name, seconds in times.items():
        print(f"{name:32} {spread(seconds)}, {'the same bytes' if same[name] else 'OTHER BYTES'}")
    local = statistics.median(times["local"])
    summary = {
        "benchmark": "capture_faults",
        "ratio": round(local / statistics.median(times["ray, 2 workers"]), 2),
        "ray_1_worker_overhead_s": round(statistics.median(times["ray, 1 worker"]) - local, 1),
        "max_abs_diff": 0.0 if all(same.values()) else None,
        **killed,
        "n": config.n,
    }
    print(json.dumps(summary))
    return 0


def kills(folder: Path, n: int) -> dict[str, int]:
    """What `tests.kills` counts."""
    command = [sys.executable, "-m", "tests.kills", str(folder), "--random", str(n)]
    output = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ).stdout
    found: dict[str, int] = json.loads(output.splitlines()[-1])
    return found


def ray_beside_local(config: Config, folder: Path) -> tuple[dict[str, list[float]], dict[str, bool]]:
    """Seconds of each way, and whether its store is the local one's bytes."""
    import torch

    from interp.models.loading import load_model
    from interp.work.executors import Executor, Local
    from interp.work.ray_executor import Ray

    source, answers = city_answers(config.runs, config.n)
    load = partial(load_model, source, device="cpu", dtype="float32")
    torch.set_num_threads(1)

    def captured(name: str, executor: Executor, meanwhile: Callable[[], object] | None = None) -> None:
        from interp.activations.capture import capture, default_token_budget, examples_to_capture, planned_stores
        from interp.positions import position_table

        shutil.rmtree(folder / name, ignore_errors=True)
        table = position_table(answers)
        budget = default_token_budget("cpu")
        stores = planned_stores(
            {"resid_post": folder / name}, {"resid_post": {}}, answers, table, layers=range(30), token_budget=budget
        )
        if meanwhile:
            threading.Thread(target=meanwhile, daemon=True).start()
        capture(load, stores, examples_to_capture(answers, table), executor=executor)

    ways: dict[str, Callable[[], None]] = {
        "local": lambda: captured("local", Local()),
        "ray, 1 worker": lambda: captured("ray, 1 worker", Ray(workers=1)),
        "ray, 2 workers": lambda: captured("ray, 2 workers", Ray(workers=2)),
        KILLED: lambda: captured(KILLED, Ray(workers=2), lambda: kill_a_worker_of(folder / KILLED)),
    }
    times = alternating_seconds(ways, config.repeats)
    expected = files_of(folder / "local")
    if not (folder / f"{KILLED}.killed").exists():
        raise RuntimeError("no Ray worker was killed")
    return times, {name: files_of(folder / name) == expected for name in ways}


def kill_a_worker_of(store: Path) -> None:
    """Kill one of the Ray workers as soon as a shard of a store is written."""
    import psutil

    while not list(store.glob("shard-*")):
        time.sleep(0.05)
    processes = psutil.Process().children(recursive=True)
    next(process for process in processes if " ".join(process.cmdline()).startswith("ray::RayWorker")).kill()
    (store.parent / f"{store.name}.killed").touch()


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a store."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
