"""Capture against the bare forward pass, and against `run_with_cache`: the same vectors, and how fast.

What is captured: `resid_post` of every layer at 15 positions of SmolLM2-135M's answers to city questions. Shard by
shard, in turn, so that a machine whose speed drifts is slow for all of them,

1. the bare forward pass of Hugging Face's own model over the shard's batches: no hooks, logits or cache;
2. the same of TransformerLens's bridge to it, which has a module at every hook;
3. capture of the same batches;
4. capture as it is by default, with the tokens that prompts begin with run once a shard;
5. the usual script, TransformerLens's `run_with_cache(names_filter=resid_post)` on one prompt at a time, with every
   token kept, on a sample of the shard.

In a real run a shard is written, flushed and hashed while the next one is computed. Here a capture's time is that of
computing and the processor's time of writing, in full, without the waiting for the disk that the next shard would hide.
The machine's matrix peak is measured with one large product in the same dtype. Vectors are compared with the usual
script's on the samples.

    python -m benchmarks.capture --dtype bfloat16 --n 1000      about 20 minutes on 2 cores
    python -m benchmarks.capture --dtype float32 --n 250
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from benchmarks.city_answers import city_answers, median_ratio

if TYPE_CHECKING:
    import torch
    import xarray as xr
    from jaxtyping import Float, Int

    from interp.capture import CaptureWorker
    from interp.examples import Answer
    from interp.models import HookedModel
    from interp.store import ActivationStore

HUGGING_FACE, BRIDGE = "bare pass, Hugging Face", "bare pass, bridge"
OURS, REUSING, USUAL = "capture", "capture, prefixes once", "run_with_cache, each alone"


@dataclass(frozen=True)
class Config:
    """Compare capture with the bare forward pass and with run_with_cache."""

    n: int = 1000
    """Answers to capture."""
    sample: int = 6
    """How many of each shard the usual script takes, and are compared."""
    repeats: int = 5
    """Turns over all shards; the first shard is done once more before them."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """The model's dtype in all of them."""
    device: str = "auto"
    """As in interp probe."""
    runs: Path = Path("runs")
    """Where the answers are, or are to be."""


def main(config: Config) -> int:
    """Compare, print a table, and one JSON object as the last line."""
    import torch
    from transformers import AutoModelForCausalLM

    from interp.capture import default_token_budget, examples_to_capture
    from interp.devices import resolve_device
    from interp.models import load_model
    from interp.plan import capture_plan, examples_of
    from interp.positions import position_table

    source, answers = city_answers(config.runs, config.n)
    table = position_table(answers)
    examples = examples_to_capture(answers, table)
    device = resolve_device(config.device)
    model: Any = load_model(source, dtype=config.dtype, device=config.device, backend="bridge")
    dtype = getattr(torch, config.dtype)
    hugging_face = AutoModelForCausalLM.from_pretrained(source.folder, dtype=dtype, attn_implementation="eager")
    hugging_face.to(device).eval()
    budget = default_token_budget(device)
    plan = capture_plan(examples.sequences, token_budget=budget, reuse_prefixes=False)
    padded = [
        [_padded([examples.sequences[row] for row in batch.examples]).to(device) for batch in shard] for shard in plan
    ]
    sampled = [examples_of(shard)[:: max(len(examples_of(shard)) // config.sample, 1)] for shard in plan]

    with tempfile.TemporaryDirectory() as folder:
        workers = {
            reuse: _worker(Path(folder) / f"{reuse}", answers, table, model, budget, reuse) for reuse in (False, True)
        }

        def captured(reuse: bool, shard: int) -> float:
            if shard >= len(workers[reuse].job.plan):
                return 0.0
            started = time.perf_counter()
            computed = workers[reuse].computed(shard)
            seconds, before = time.perf_counter() - started, time.thread_time()
            workers[reuse].written(shard, computed)
            return seconds + time.thread_time() - before

        ways: dict[str, Callable[[int], float]] = {
            HUGGING_FACE: lambda shard: _seconds(lambda: _run_bare(hugging_face.model, padded[shard])),
            BRIDGE: lambda shard: _seconds(lambda: _run_bare(model.original_model.model, padded[shard])),
            OURS: lambda shard: captured(False, shard),
            REUSING: lambda shard: captured(True, shard),
            USUAL: lambda shard: _seconds(lambda: [_whole_stream(model, answers[row]) for row in sampled[shard]]),
        }
        times = _seconds_in_turn(ways, len(plan), config.repeats)
        picked = [row for rows in sampled for row in rows]
        differences = _differences(
            model, answers, picked, table["token"].values, workers[True].job.stores["resid_post"]
        )
    counts = dict.fromkeys(ways, len(answers)) | {USUAL: len(picked)}
    each = {name: [1e3 * second / counts[name] for second in seconds] for name, seconds in times.items()}
    peak = _matrix_peak(torch.device(device), dtype)
    # Those of the sequences alone: what padding adds is no work that anyone asked for.
    work = 2 * _block_parameters(hugging_face) * sum(len(sequence) for sequence in examples.sequences)
    share = {name: work / len(answers) / (statistics.median(each[name]) / 1e3) / peak for name in (HUGGING_FACE, OURS)}

    print(f"{source.name} in {config.dtype} on {device}, {len(answers)} answers in {len(plan)} shards")
    for name, milliseconds in each.items():
        quoted = f"{statistics.median(milliseconds):7.1f} ms an answer"
        print(f"{name:28} {quoted} ({min(milliseconds):.1f} to {max(milliseconds):.1f})")
    summary = {
        "benchmark": "capture",
        "ratio": round(median_ratio(each[USUAL], each[REUSING]), 2),
        "of_bare_pass_of_bridge": round(median_ratio(each[BRIDGE], each[OURS]), 3),
        "of_bare_pass_of_hugging_face": round(median_ratio(each[HUGGING_FACE], each[OURS]), 3),
        "prefix_reuse": round(median_ratio(each[OURS], each[REUSING]), 2),
        "share_of_matrix_peak": round(share[OURS], 3),
        "share_of_matrix_peak_bare": round(share[HUGGING_FACE], 3),
        "matrix_peak_gflops": round(peak / 1e9),
        "max_abs_diff": differences[0],
        "max_rel_diff": differences[1],
        "n": len(answers),
        "dtype": config.dtype,
        "device": device,
    }
    for name in ("of_bare_pass_of_bridge", "of_bare_pass_of_hugging_face"):
        print(f"capture has {summary[name]} {name.replace('_', ' ')}'s tokens a second")
    print(f"capture runs at {share[OURS]:.2f} of the matrix peak ({peak / 1e9:,.0f} GFLOP/s)")
    print(f"largest difference from run_with_cache: {differences[0]:.3g}, {differences[1]:.2g} of the vector's norm")
    print(json.dumps(summary))
    return 0


def _worker(
    folder: Path, answers: Sequence[Answer], table: xr.Dataset, model: HookedModel, budget: int, reuse_prefixes: bool
) -> CaptureWorker:
    """What captures shards into a store in a folder."""
    from interp.capture import CaptureJob, examples_to_capture, planned_stores

    stores = planned_stores(
        {"resid_post": folder},
        {"resid_post": {}},
        answers,
        table,
        layers=range(model.cfg.n_layers),
        token_budget=budget,
        reuse_prefixes=reuse_prefixes,
    )
    folder.mkdir()
    todo = dict.fromkeys(range(len(stores["resid_post"].plan)), ("resid_post",))
    return CaptureJob(lambda: model, stores, examples_to_capture(answers, table), todo)()


def _seconds_in_turn(ways: Mapping[str, Callable[[int], float]], n_shards: int, repeats: int) -> dict[str, list[float]]:
    """The seconds of each way over all shards, for every turn; the ways take turns shard by shard."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(0)
    for _ in range(repeats):
        spent = dict.fromkeys(ways, 0.0)
        for shard in range(n_shards):
            for name, way in ways.items():
                spent[name] += way(shard)
        for name, seconds in spent.items():
            times[name].append(seconds)
    return times


def _seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _padded(sequences: Sequence[Sequence[int]]) -> Int[torch.Tensor, "batch pos"]:
    import torch

    tokens = torch.zeros(len(sequences), max(map(len, sequences)), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence)] = torch.tensor(sequence)
    return tokens


def _run_bare(model: Any, batches: Sequence[Int[torch.Tensor, "batch pos"]]) -> None:
    """A model's layers over the batches, without its unembedding."""
    import torch

    with torch.inference_mode():
        for tokens in batches:
            last = model(tokens, use_cache=False).last_hidden_state
        last.sum().item()  # Waits for a device that works on its own.


def _whole_stream(model: HookedModel, answer: Answer) -> Float[torch.Tensor, "layer pos d_model"]:
    import torch

    tokens = torch.tensor([answer.token_ids], device=model.cfg.device)
    with torch.inference_mode():
        _, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith("hook_resid_post"))
    return torch.stack([cache[f"blocks.{layer}.hook_resid_post"][0] for layer in range(model.cfg.n_layers)]).cpu()


def _differences(
    model: HookedModel, answers: Sequence[Answer], picked: Sequence[int], cells: Any, store: ActivationStore
) -> tuple[float, float]:
    """The largest difference of an entry, and of a vector relative to its norm, from the usual script's."""
    import numpy as np

    from interp.positions import MISSING

    found = []
    streams = {row: _whole_stream(model, answers[row]).float() for row in picked}
    for layer in store.layers:
        for column, position in enumerate(store.positions):
            cell = store.cell(layer, position).float()
            for row in picked:
                if cells[row, column] != MISSING:
                    expected = streams[row][layer, cells[row, column]]
                    off = cell[row] - expected
                    found.append((float(off.abs().max()), float(off.norm() / expected.norm())))
    # numpy's maximum is not a number where one of them is none; Python's might be any.
    absolute, relative = np.max(found, axis=0).tolist()
    return absolute, relative


def _block_parameters(model: Any) -> int:
    """The weights of the blocks that every token is multiplied with."""
    layers = model.model.layers
    return sum(parameter.numel() for parameter in layers.parameters() if parameter.ndim == 2)


def _matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of one large product, the best of several."""
    import torch

    size = 8192 if device.type == "cuda" else 3072
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        started = time.perf_counter()
        (left @ right)[0, 0].item()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
