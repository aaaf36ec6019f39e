"""Capture against the bare forward pass, and against `run_with_cache`: the same vectors, and how fast.

What is captured: `resid_post` of every layer at 15 positions of SmolLM2-135M's answers to city questions. Batch by
batch, in turn, so that a machine whose speed drifts is slow for all of them,

1. the bare forward pass of Hugging Face's own model: no hooks, logits or cache;
2. the same of TransformerLens's bridge to it, which has a module at every hook, its norms run once as in capture;
3. capture of the same batch;

and then, shard by shard,

4. capture as it is by default, with the tokens that prompts begin with run once a shard;
5. the usual script, TransformerLens's `run_with_cache(names_filter=resid_post)` on one prompt at a time, with every
   token kept, on a sample of the shard.

In a real run a shard is written, flushed and hashed while the next one is computed. Here a capture's time is that of
computing and the processor's time of writing, in full, without the waiting for the disk that the next shard would hide.
What a way holds in memory is what it keeps: the usual script everything, capture the shard that is computed and the one
that is written. The machine's matrix peak is measured with one large product in the same dtype. Vectors are compared
with the usual script's on the samples.

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
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
import xarray as xr
from jaxtyping import Float, Int
from transformers import AutoModelForCausalLM

from benchmarks.city_answers import city_answers, median_ratio
from interp.activations.batch_activations import HooksOfSites
from interp.activations.capture import (
    CaptureJob,
    CaptureWorker,
    SiteActivations,
    default_token_budget,
    examples_to_capture,
    planned_stores,
)
from interp.activations.store import ActivationStore
from interp.examples import Answer
from interp.models.devices import resolve_device
from interp.models.hooked_model import HookedModel
from interp.models.loading import load_model
from interp.positions import MISSING, position_table
from interp.work.plan import Shard, examples_of

HUGGING_FACE, BRIDGE = "bare pass, Hugging Face", "bare pass, bridge"
BarePass = Callable[[Sequence[int]], None]
"""Runs a batch of some of the examples."""
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
    source, answers = city_answers(config.runs, config.n)
    table = position_table(answers)
    examples = examples_to_capture(answers, table)
    device = resolve_device(config.device)
    model: Any = load_model(source, dtype=config.dtype, device=config.device, backend="bridge")
    dtype = getattr(torch, config.dtype)
    hugging_face = AutoModelForCausalLM.from_pretrained(source.folder, dtype=dtype, attn_implementation="eager")
    hugging_face.to(device).eval()
    budget = default_token_budget(device)
    sequences = examples.sequences

    def bare(model: Any) -> BarePass:
        return lambda rows: _run_bare(model, _padded([sequences[row] for row in rows]).to(device))

    bare_passes = {HUGGING_FACE: bare(hugging_face.model), BRIDGE: bare(model.original_model.model)}
    with tempfile.TemporaryDirectory() as folder:
        alone = BesideBarePasses(_job(Path(folder) / "alone", answers, table, model, budget, False), model, bare_passes)
        reusing = _job(Path(folder) / "reusing", answers, table, model, budget, True)()
        plan = alone.job.plan
        sampled = [examples_of(shard)[:: max(len(examples_of(shard)) // config.sample, 1)] for shard in plan]
        picked = [row for rows in sampled for row in rows]

        def turn(shard: int) -> dict[str, float]:
            seconds = alone.seconds_of(shard)
            if shard < len(reusing.job.plan):  # It has no more shards than the other, and may have fewer.
                seconds[REUSING] = _captured_seconds(reusing, shard)
            seconds[USUAL] = _seconds(lambda: [whole_stream(model, answers[row]) for row in sampled[shard]])
            return seconds

        turn(0)
        turns = [[turn(shard) for shard in range(len(plan))] for _ in range(config.repeats)]
        times = [_sums(of_shards) for of_shards in turns]
        store = reusing.job.stores["resid_post"]
        differences = _differences(model, answers, picked, table["token"].values, store)
        held = {
            OURS: 2 * max(store.shard(number).nbytes for number in range(len(store.plan))),
            USUAL: round(statistics.mean(whole_stream(model, answers[row]).nbytes for row in picked) * len(answers)),
        }
    counts = dict.fromkeys(times[0], len(answers)) | {USUAL: len(picked)}
    each = {name: [1e3 * seconds[name] / n for seconds in times] for name, n in counts.items()}
    # Neighbours in time that ran the same batches: a busy moment of the machine counts for one shard.
    shards = [seconds for of_shards in turns for seconds in of_shards]
    of_bare_pass = {
        name: median_ratio([shard[name] for shard in shards], [shard[OURS] for shard in shards]) for name in bare_passes
    }
    peak = matrix_peak(torch.device(device), dtype)
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
        "of_bare_pass_of_bridge": round(of_bare_pass[BRIDGE], 3),
        "of_bare_pass_of_hugging_face": round(of_bare_pass[HUGGING_FACE], 3),
        "prefix_reuse": round(median_ratio(each[OURS], each[REUSING]), 2),
        "share_of_matrix_peak": round(share[OURS], 3),
        "share_of_matrix_peak_bare": round(share[HUGGING_FACE], 3),
        "matrix_peak_gflops": round(peak / 1e9),
        "mb_held": {name: round(n_bytes / 1e6) for name, n_bytes in held.items()},
        "max_abs_diff": differences[0],
        "max_rel_diff": differences[1],
        "n": len(answers),
        "dtype": config.dtype,
        "device": device,
    }
    for name in ("of_bare_pass_of_bridge", "of_bare_pass_of_hugging_face"):
        print(f"capture has {summary[name]} {name.replace('_', ' ')}'s tokens a second")
    print(f"capture runs at {share[OURS]:.2f} of the matrix peak ({peak / 1e9:,.0f} GFLOP/s)")
    print(f"held in memory: {held[OURS] / 1e6:,.0f} MB, run_with_cache {held[USUAL] / 1e6:,.0f} MB")
    print(f"largest difference from run_with_cache: {differences[0]:.3g}, {differences[1]:.2g} of the vector's norm")
    print(json.dumps(summary))
    return 0


class BesideBarePasses(CaptureWorker):
    """Captures, and runs the bare passes of every batch just before it, whose time is kept apart."""

    def __init__(self, job: CaptureJob, model: HookedModel, bare_passes: Mapping[str, BarePass]) -> None:
        super().__init__(job, model)
        self.bare_passes = bare_passes
        self._seconds = dict.fromkeys(bare_passes, 0.0)

    def batch(self, shard: Shard, shared: int, hooks: HooksOfSites, rows: tuple[int, ...]) -> list[SiteActivations]:
        """As any worker does, after the bare passes."""
        for name, bare_pass in self.bare_passes.items():
            self._seconds[name] += _seconds(partial(bare_pass, rows))
        return super().batch(shard, shared, hooks, rows)

    def seconds_of(self, shard: int) -> dict[str, float]:
        """The seconds of the bare passes and of capture over a shard."""
        self._seconds = dict.fromkeys(self.bare_passes, 0.0)
        both = _captured_seconds(self, shard)
        return self._seconds | {OURS: both - sum(self._seconds.values())}


def _job(
    folder: Path, answers: Sequence[Answer], table: xr.Dataset, model: HookedModel, budget: int, reuse_prefixes: bool
) -> CaptureJob:
    """The capture of all shards into a store in a folder."""
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
    return CaptureJob(lambda: model, stores, examples_to_capture(answers, table), todo)


def _captured_seconds(worker: CaptureWorker, shard: int) -> float:
    """The seconds in which a shard is computed, and the processor's in which it is written."""
    started = time.perf_counter()
    computed = worker.computed(shard)
    seconds, before = time.perf_counter() - started, time.thread_time()
    worker.written(shard, computed)
    return seconds + time.thread_time() - before


def _sums(of_shards: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(seconds.get(name, 0.0) for seconds in of_shards) for name in of_shards[0]}


def _seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _padded(sequences: Sequence[Sequence[int]]) -> Int[torch.Tensor, "batch pos"]:
    tokens = torch.zeros(len(sequences), max(map(len, sequences)), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence)] = torch.tensor(sequence)
    return tokens


def _run_bare(model: Any, tokens: Int[torch.Tensor, "batch pos"]) -> None:
    """A model's layers over a batch, without its unembedding."""
    with torch.inference_mode():
        # One number is asked for, which waits for a device that works on its own.
        model(tokens, use_cache=False).last_hidden_state[-1, -1, -1].item()


def whole_stream(model: HookedModel, answer: Answer) -> Float[torch.Tensor, "layer pos d_model"]:
    """What the usual script keeps of an answer: every token, from a pass of its own."""
    tokens = torch.tensor([answer.token_ids], device=model.cfg.device)
    with torch.inference_mode():
        _, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith("hook_resid_post"))
    return torch.stack([cache[f"blocks.{layer}.hook_resid_post"][0] for layer in range(model.cfg.n_layers)]).cpu()


def _differences(
    model: HookedModel, answers: Sequence[Answer], picked: Sequence[int], cells: Any, store: ActivationStore
) -> tuple[float, float]:
    """The largest difference of an entry, and of a vector relative to its norm, from the usual script's."""
    found = []
    streams = {row: whole_stream(model, answers[row]).float() for row in picked}
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


def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of one large product, the best of several."""
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
