"""Capture against the bare forward pass, and against `run_with_cache`: the same vectors, and how fast.

What is captured: `resid_post` of every layer at 15 positions of SmolLM2-135M's answers to city questions. In turn,

1. *bare*: the forward pass of Hugging Face's model over the same batches, without hooks, logits or cache;
2. *capture*: the same batches captured, written, hashed and entered;
3. *capture, prefixes once*: what `interp probe` does, the tokens that the prompts begin with run once a shard;
4. the usual script, TransformerLens's `run_with_cache(names_filter=resid_post)` on one prompt at a time, with every
   token kept, on a sample.

The machine's matrix peak is measured with one large product in the same dtype. Vectors are compared with the usual
script's on the sample.

    python -m benchmarks.capture --dtype bfloat16           about 10 minutes on 2 cores
    python -m benchmarks.capture --dtype float32 --n 250
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from benchmarks.city_answers import alternating_seconds, city_answers, median_ratio, spread

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int

    from interp.examples import Answer
    from interp.models import HookedModel

BARE, OURS, OURS_REUSING, USUAL = "bare forward pass", "capture", "capture, prefixes once", "run_with_cache, each alone"


@dataclass(frozen=True)
class Config:
    """Compare capture with the bare forward pass and with run_with_cache."""

    n: int = 1000
    """Answers to capture."""
    sample: int = 50
    """Of these, how many the usual script takes, and are compared."""
    repeats: int = 5
    """Turns that are counted."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """The model's dtype in all of them."""
    device: str = "auto"
    """As in interp probe."""
    runs: Path = Path("runs")
    """Where the answers are, or are to be."""


def main(config: Config) -> int:
    """Compare, print a table, and one JSON object as the last line."""
    import torch

    from interp.capture import capture, default_token_budget, examples_to_capture, planned_stores
    from interp.devices import resolve_device
    from interp.models import load_model
    from interp.plan import capture_plan
    from interp.positions import position_table

    source, answers = city_answers(config.runs, config.n)
    table = position_table(answers)
    examples = examples_to_capture(answers, table)
    model = load_model(source, dtype=config.dtype, device=config.device, backend="bridge")
    budget = default_token_budget(resolve_device(config.device))
    plan = capture_plan(examples.sequences, token_budget=budget, reuse_prefixes=False)
    inputs = [batch for shard in plan for batch in shard]
    padded = [_padded([examples.sequences[row] for row in batch.examples]).to(model.cfg.device) for batch in inputs]
    picked = list(range(0, len(answers), max(len(answers) // config.sample, 1)))[: config.sample]

    with tempfile.TemporaryDirectory() as folder:

        def captured(reuse_prefixes: bool) -> Path:
            kept = Path(folder) / f"{reuse_prefixes}"
            shutil.rmtree(kept, ignore_errors=True)
            stores = planned_stores(
                {"resid_post": kept},
                {"resid_post": {}},
                answers,
                table,
                layers=range(model.cfg.n_layers),
                token_budget=budget,
                reuse_prefixes=reuse_prefixes,
            )
            capture(lambda: model, stores, examples)
            return kept

        times = alternating_seconds(
            {
                BARE: lambda: _run_bare(model, padded),
                OURS: lambda: captured(False),
                OURS_REUSING: lambda: captured(True),
                USUAL: lambda: [_whole_stream(model, answers[row]) for row in picked],
            },
            config.repeats,
        )
        differences = _differences(model, answers, picked, table["token"].values, captured(True))
    tokens = sum(len(sequence) for sequence in examples.sequences)
    padded_tokens = sum(batch.numel() for batch in padded)
    peak = _matrix_peak(torch.device(model.cfg.device), getattr(torch, config.dtype))
    work = 2 * _block_parameters(model) * padded_tokens

    print(f"{source.name} in {config.dtype} on {model.cfg.device}, {len(answers)} answers, {tokens:,} tokens")
    for name, seconds in times.items():
        n = len(picked) if name == USUAL else len(answers)
        print(f"{name:28} {1e3 * statistics.median(seconds) / n:7.1f} ms an answer, {spread(seconds)}")
    of_bare = median_ratio(times[BARE], times[OURS])
    scale = len(answers) / len(picked)
    against_usual = median_ratio([scale * seconds for seconds in times[USUAL]], times[OURS_REUSING])
    share = work / statistics.median(times[OURS]) / peak
    print(f"capture has {of_bare:.3f} of the bare pass's tokens a second, {share:.2f} of the matrix peak")
    print(f"matrix peak {peak / 1e9:,.0f} GFLOP/s; bare pass {work / statistics.median(times[BARE]) / peak:.2f} of it")
    print(f"prefixes once: {median_ratio(times[OURS], times[OURS_REUSING]):.2f} times capture")
    print(f"largest difference from run_with_cache: {differences[0]:.3g}, {differences[1]:.2g} of the vector's norm")
    summary = {
        "benchmark": "capture",
        "ratio": round(against_usual, 2),
        "ratio_to_bare": round(of_bare, 3),
        "share_of_matrix_peak": round(share, 3),
        "prefix_reuse": round(median_ratio(times[OURS], times[OURS_REUSING]), 2),
        "max_abs_diff": differences[0],
        "max_rel_diff": differences[1],
        "n": len(answers),
        "dtype": config.dtype,
        "device": str(model.cfg.device),
    }
    print(json.dumps(summary))
    return 0


def _padded(sequences: Sequence[Sequence[int]]) -> Int[torch.Tensor, "batch pos"]:
    import torch

    tokens = torch.zeros(len(sequences), max(map(len, sequences)), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence)] = torch.tensor(sequence)
    return tokens


def _run_bare(model: Any, batches: Sequence[Int[torch.Tensor, "batch pos"]]) -> None:
    """Hugging Face's layers over the batches, without its unembedding."""
    import torch

    with torch.inference_mode():
        for tokens in batches:
            last = model.original_model.model(tokens, use_cache=False).last_hidden_state
        last.sum().item()  # Waits for a device that works on its own.


def _whole_stream(model: HookedModel, answer: Answer) -> Float[torch.Tensor, "layer pos d_model"]:
    import torch

    tokens = torch.tensor([answer.token_ids], device=model.cfg.device)
    with torch.inference_mode():
        _, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith("hook_resid_post"))
    return torch.stack([cache[f"blocks.{layer}.hook_resid_post"][0] for layer in range(model.cfg.n_layers)]).cpu()


def _differences(
    model: HookedModel, answers: Sequence[Answer], picked: Sequence[int], cells: Any, folder: Path
) -> tuple[float, float]:
    """The largest difference of an entry, and of a vector relative to its norm, from the usual script's."""
    from interp.positions import MISSING
    from interp.store import ActivationStore

    store = ActivationStore.read(folder)
    assert store is not None
    absolute = relative = 0.0
    streams = {row: _whole_stream(model, answers[row]).float() for row in picked}
    for layer in store.layers:
        for column, position in enumerate(store.positions):
            cell = store.cell(layer, position).float()
            for row in picked:
                if cells[row, column] != MISSING:
                    expected = streams[row][layer, cells[row, column]]
                    absolute = max(absolute, float((cell[row] - expected).abs().max()))
                    relative = max(relative, float((cell[row] - expected).norm() / expected.norm()))
    return absolute, relative


def _block_parameters(model: Any) -> int:
    """The weights of the blocks that every token is multiplied with."""
    layers = model.original_model.model.layers
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
