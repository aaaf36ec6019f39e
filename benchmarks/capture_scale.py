"""How a capture grows: time and memory against the number of answers, time against layers, bytes on the disk.

Every capture is a process of its own, so that its peak memory is its own; time is that of the capture alone, without
loading the model. SmolLM2-135M, 15 positions; answers beyond the first 1,000 are those again. The peer for bytes is the
arithmetic minimum: layers × positions × d_model × bytes of the dtype.

    python -m benchmarks.capture_scale                 about 20 minutes on 2 cores
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tyro

from benchmarks.city_answers import city_answers, exponent


@dataclass(frozen=True)
class Config:
    """Measure how a capture grows."""

    sizes: tuple[int, ...] = (250, 500, 1000, 2000, 4000, 5000)
    """Numbers of answers."""
    layers: tuple[int, ...] = (5, 10, 20, 30)
    """Numbers of layers that are kept, the first ones, with the smallest number of answers."""
    repeats: int = 3
    """Captures of each that take less than a minute; the median is quoted."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """The model's dtype."""
    runs: Path = Path("runs")
    """Where the answers are, or are to be."""
    only: tuple[int, int] | None = None
    """Answers and layers of the one capture that this process is for."""


@dataclass(frozen=True)
class Measured:
    """What a capture took."""

    n: int
    layers: int
    seconds: float
    peak_mb: float
    bytes_on_disk: int
    bytes_minimum: int


def main(config: Config) -> int:
    """Measure, print tables, and one JSON object as the last line."""
    if config.only is not None:
        print(json.dumps(vars(one_capture(config, *config.only))))
        return 0
    by_size = [measured(config, n, 30) for n in config.sizes]
    by_layers = [measured(config, config.sizes[0], layers) for layers in config.layers]
    print(f"{'answers':>8}{'layers':>8}{'s':>9}{'ms each':>9}{'peak MB':>9}{'bytes / minimum':>17}")
    for found in (*by_size, *by_layers):
        each, over = 1e3 * found.seconds / found.n, found.bytes_on_disk / found.bytes_minimum
        print(f"{found.n:>8}{found.layers:>8}{found.seconds:>9.1f}{each:>9.1f}{found.peak_mb:>9.0f}{over:>17.5f}")
    summary = {
        "benchmark": "capture_scale",
        "ratio": round(statistics.mean(found.bytes_minimum / found.bytes_on_disk for found in by_size), 5),
        "exponent_of_n": round(_exponent(by_size, [found.n for found in by_size]), 3),
        "exponent_of_layers": round(_exponent(by_layers, [found.layers for found in by_layers]), 3),
        "peak_mb": {found.n: round(found.peak_mb) for found in by_size},
        "dtype": config.dtype,
    }
    print(json.dumps(summary))
    return 0


def _exponent(found: Sequence[Measured], sizes: Sequence[int]) -> float:
    return exponent(sizes, [each.seconds for each in found])


def measured(config: Config, n: int, layers: int) -> Measured:
    """The median capture of some in processes of their own."""
    command = [sys.executable, "-m", "benchmarks.capture_scale", "--only", str(n), str(layers)]
    command += ["--dtype", config.dtype, "--runs", str(config.runs)]
    found: list[Measured] = []
    while len(found) < config.repeats and sum(each.seconds for each in found) < 60:
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found.append(Measured(**json.loads(output.splitlines()[-1])))
    seconds = statistics.median(each.seconds for each in found)
    return replace(found[0], seconds=seconds, peak_mb=max(each.peak_mb for each in found))


def one_capture(config: Config, n: int, layers: int) -> Measured:
    """Capture in this process."""
    from interp.activations.capture import capture, default_token_budget, examples_to_capture, planned_stores
    from interp.models.loading import load_model
    from interp.positions import position_table

    source, answers = city_answers(config.runs, n)
    table = position_table(answers)
    model = load_model(source, dtype=config.dtype, device="cpu")
    with tempfile.TemporaryDirectory(dir=config.runs) as folder:
        store = Path(folder) / "store"
        stores = planned_stores(
            {"resid_post": store},
            {"resid_post": {}},
            answers,
            table,
            layers=range(layers),
            token_budget=default_token_budget("cpu"),
        )
        started = time.perf_counter()
        capture(lambda: model, stores, examples_to_capture(answers, table))
        seconds = time.perf_counter() - started
        on_disk = sum(path.stat().st_size for path in store.iterdir())
    width = {"float32": 4, "bfloat16": 2}[config.dtype] * model.cfg.d_model
    return Measured(
        n, layers, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, on_disk, n * layers * 15 * width
    )


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
