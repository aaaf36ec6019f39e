"""Captures and sweeps that are killed (SIGKILL) again and again, and what is left of them in the end.

    python -m tests.kills FOLDER [--random 60]

Children of this process capture a tiny model's activations, or patch pairs of its runs. First one runs undisturbed.
Then, from an empty folder each, one is killed at every step by which files change, and run once more. Then captures are
killed at random instants, each going on where the last one was killed; whenever one ends, the next begins anew. Every
folder that ends is compared with the undisturbed one, byte by byte. Prints one JSON object. Forked, since starting
Python takes longer than a capture; torch has one thread, since others would not be there in a fork.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interp.activations.capture import capture, examples_to_capture, planned_stores
from interp.models.hooked_model import HookedModel
from interp.models.loading import load_model
from interp.patching import pair_patching
from interp.patching.interventions import Intervention
from interp.patching.pair_runs import Candidate
from interp.patching.patch_files import save_patched
from interp.patching.patched_parts import PatchedParts
from interp.patching.patches import units_of
from interp.patching.readouts import ReadPair
from interp.positions import position_table
from interp.work import plan as plan_module
from tests.patched_runs import read_at, tokens_of
from tests.random_answers import POSITIONS, random_answers
from tests.stored import WRITE_STEPS, contents
from tests.tiny_models import saved_model, trained_tokenizer

SITES = ("resid_post", "attn_out")
PLACES = (3, 6)
"""Of the columns of a sweep, whose runs are read at the second."""
UNFINISHED = ".pairs.nc."
"""Begins the name of what is left of a file of pairs whose writing was killed; nobody else writes into its folder."""


def capture_into(folder: Path, model: HookedModel, n: int) -> None:
    answers = random_answers(n)
    table = position_table(answers, POSITIONS)
    stores = planned_stores(
        {site: folder / site for site in SITES},
        {site: {"site": site} for site in SITES},
        answers,
        table,
        layers=range(model.cfg.n_layers),
        token_budget=60,
    )
    capture(lambda: model, stores, examples_to_capture(answers, table))


def patch_into(folder: Path, model: HookedModel, n: int) -> None:
    """As interp patch does, two pairs at a time."""
    sides = [[read_at(tokens_of(PLACES[1] + 1, seed), PLACES[1]) for seed in (index, n + index)] for index in range(n)]
    candidates = [
        Candidate(f"pair {index}", (ReadPair(clean, corrupt, (1, -1)),)) for index, (clean, corrupt) in enumerate(sides)
    ]
    cells, units = np.array([PLACES] * n), units_of(range(model.cfg.n_layers), n_layers=model.cfg.n_layers)
    intervention, parts = Intervention(margin=-np.inf, only_said=False), folder / "parts"
    patched = pair_patching.patched_pairs(
        model, candidates, (cells, cells), units, intervention, n=n, kept=PatchedParts(parts, "tiny")
    )
    names = [str(unit.first) for unit in units]
    save_patched(patched, folder / "pairs.nc", rows=names, positions=["3", "6"], attributes={})
    shutil.rmtree(parts)


def child_of(work: Callable[[], object]) -> int:
    """The process that does some work."""
    process = os.fork()
    if process == 0:
        try:
            work()
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    return process


def status_of(process: int) -> int:
    """0 if it ended, ``-signal.SIGKILL`` if it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def killed_at(step: int, work: Callable[[], object]) -> None:
    """Do some work until so many steps have been made by which files change, then die."""
    left = step

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return counting

    for module, name in WRITE_STEPS:
        setattr(module, name, counted(getattr(module, name)))
    work()


def kills_at_every_step(folder: Path, work_in: Callable[[Path], object]) -> dict[str, int]:
    """How many steps some work has, and how often it ended the same after it was killed at one of them."""
    expected = undisturbed(folder / "small", work_in)
    steps = same = 0
    while True:
        shutil.rmtree(folder / "step", ignore_errors=True)
        work = partial(work_in, folder / "step")
        if status_of(child_of(partial(killed_at, steps + 1, work))) == 0:
            return {"steps": steps, "same_after_step": same}
        steps += 1
        status = status_of(child_of(work))
        found = {name: data for name, data in visible(folder / "step").items() if not name.startswith(UNFINISHED)}
        same += status == 0 and found == expected


def kills_at_random(folder: Path, model: HookedModel, n: int, seed: int) -> dict[str, int]:
    """How many children were killed while they ran, how many stores ended, and how many of these were the same."""
    rng = random.Random(seed)
    work = partial(capture_into, folder / "random", model, 40)
    started = time.monotonic()
    expected = undisturbed(folder / "large", partial(capture_into, model=model, n=40))
    duration = time.monotonic() - started
    killed = ended = same = 0
    while killed < n or not ended:
        process = child_of(work)
        time.sleep(rng.uniform(0, 0.6 * duration))
        os.kill(process, signal.SIGKILL)
        status = status_of(process)
        if status == -signal.SIGKILL:
            killed += 1
            if killed < n:
                continue
            status = status_of(child_of(work))
        ended += 1
        same += status == 0 and visible(folder / "random") == expected
        shutil.rmtree(folder / "random")
    return {"killed": killed, "ended": ended, "same": same}


def undisturbed(folder: Path, work: Callable[[Path], object]) -> dict[str, bytes]:
    if status_of(child_of(partial(work, folder))) != 0:
        raise SystemExit(f"what was undisturbed failed: {work}")
    return visible(folder)


def visible(folder: Path) -> dict[str, bytes]:
    """Every file: the locks of stores, which are beside them, are no part of them."""
    return {name: data for name, data in contents(folder).items() if not name.endswith(".lock")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--random", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plan_module.SHARD_EXAMPLES = 2
    model = load_model(saved_model("llama", trained_tokenizer(), arguments.folder), device="cpu", dtype="float32")
    pair_patching.PAIRS_AT_ONCE = 2
    found = kills_at_every_step(arguments.folder / "capture", partial(capture_into, model=model, n=5))
    found |= kills_at_random(arguments.folder / "capture", model, arguments.random, arguments.seed)
    patching = kills_at_every_step(arguments.folder / "patch", partial(patch_into, model=model, n=5))
    found |= {f"{name}_of_patching": count for name, count in patching.items()}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
