"""What the benchmarks of capture run on: a model's own answers to the city questions, and time and memory measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interp.examples import Answer
    from interp.models.model_sources import ModelSource

MODEL = "smollm2-135m"


def city_answers(runs: Path, n: int) -> tuple[ModelSource, list[Answer]]:
    """The model and its answers to 1,000 questions, as `interp answers --dtype float32` leaves them; asked if need be.

    More than 1,000 are the same again under other names, fewer are the first of them.
    """
    from analyses.parts import asking, flags

    config = flags.Config(model=MODEL, dtype="float32", runs=runs)
    setting = asking.setting_of(config)
    answers, _ = asking.answers_of(setting)
    again = [
        replace(answer, question=replace(answer.question, id=f"{answer.question.id}-{turn}"))
        for turn in range(1 + n // len(answers))
        for answer in answers
    ]
    return setting.source, again[:n]


def all_done() -> None:
    """Wait for what a GPU still computes, so that the clock sees it."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def device_name(device: str) -> str:
    """What a device is called by its maker; the CPU by its number of threads."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device}, {torch.get_num_threads()} threads"


def alternating_seconds(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """How long calls take, in turn A B C A B C …, after one turn that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            all_done()
            if turn:
                times[name].append(time.perf_counter() - started)
    return times


def median_ratio(these: Sequence[float], those: Sequence[float]) -> float:
    """The median of the ratios of runs that were next to each other, which a machine that drifts leaves alone."""
    return statistics.median(this / that for this, that in zip(these, those, strict=True))


def spread(times: Sequence[float]) -> str:
    """The median with the fastest and the slowest."""
    return f"{statistics.median(times):8.2f} s ({min(times):.2f} to {max(times):.2f})"


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The slope of log time over log size: 1 where time is proportional to size."""
    import numpy as np

    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
