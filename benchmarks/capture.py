"""Capture against `run_with_cache`: the same vectors, and how much faster.

The peer is TransformerLens's own `run_with_cache` on one prompt at a time with every token and `resid_post` of every
layer kept, as the code of Orgad et al. 2024 captures. Ours gathers the wanted cells inside a batched pass. Both see
the same examples: what the model answered to random questions, as ``interp answers`` left it.

    python -m benchmarks.capture --n 20 --dtype float32
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro


@dataclass(frozen=True)
class Config:
    """Compare capture with run_with_cache."""

    model: str = "smollm2-135m"
    """As in interp answers."""
    dataset: str = "cities"
    """As in interp answers."""
    n: int = 20
    """Random examples to compare, and to time."""
    repeats: int = 5
    """Timed runs of each; the median is quoted."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """The model's dtype in both."""
    device: str = "auto"
    """As in interp answers."""
    batch_size: int = 128
    """Examples in one pass of ours."""
    seed: int = 0
    """Decides which examples."""
    runs: Path = Path("runs")
    """Where the answers are."""


def main(config: Config) -> int:
    """Compare, print a table, and one JSON object as the last line."""
    import numpy as np

    from interp.activations import site_activations
    from interp.answer_files import load_answers
    from interp.batches import batched
    from interp.examples import Answer
    from interp.model_sources import resolve_model
    from interp.models import HookedModel, load_model
    from interp.positions import MISSING, position_table

    source = resolve_model(config.model)
    files = sorted(config.runs.glob(f"{source.name}/{Path(config.dataset).stem}/answers-*/answers.parquet"))
    if not files:
        print(f"error: no answers below {config.runs}; run 'interp answers' first", file=sys.stderr)
        return 2
    answers = [answer for answer in load_answers(files[0])[0] if answer.correct is not None]
    chosen = np.random.default_rng(config.seed).choice(len(answers), min(config.n, len(answers)), replace=False)
    examples = sorted((answers[index] for index in chosen), key=lambda answer: len(answer.token_ids))
    cells = position_table(examples)["token"].values
    model: HookedModel = load_model(source, dtype=config.dtype, device=config.device)

    def ours() -> torch.Tensor:
        batches = batched(range(len(examples)), config.batch_size)
        sequences = [answer.token_ids for answer in examples]
        parts = [site_activations(model, [sequences[row] for row in rows], cells[list(rows)]) for rows in batches]
        return torch.cat(parts, dim=2)

    def alone(answer: Answer, model: HookedModel = model) -> torch.Tensor:
        tokens = torch.tensor([answer.token_ids], device=model.cfg.device)
        with torch.inference_mode():
            _, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith("hook_resid_post"))
        return torch.stack([cache[f"blocks.{layer}.hook_resid_post"][0] for layer in range(model.cfg.n_layers)]).cpu()

    def at_cells(whole: torch.Tensor, row: int) -> torch.Tensor:
        return whole[:, cells[row][cells[row] != MISSING]].float()

    streams = ours().float()
    captured = [streams[:, torch.from_numpy(cells[row] != MISSING), row] for row in range(len(examples))]
    expected = [at_cells(alone(answer), row) for row, answer in enumerate(examples)]
    largest, relative = differences(captured, expected)
    exact = load_model(source, dtype="float32", device=config.device)
    truth = [at_cells(alone(answer, exact), row) for row, answer in enumerate(examples)]
    rounding = differences(expected, truth)[1]
    mine = seconds(ours, config.repeats)
    peers = seconds(lambda: [alone(answer) for answer in examples], config.repeats)
    ratio = statistics.median(peers) / statistics.median(mine)

    print(f"{source.name} in {config.dtype} on {model.cfg.device}, {len(examples)} examples of {config.dataset}")
    print(f"largest difference to run_with_cache  {largest:.3g}  (relative to the vector's norm {relative:.3g})")
    print(f"of which the dtype's own rounding: run_with_cache differs from itself in float32 by {rounding:.3g}")
    for label, times in (("ours", mine), ("run_with_cache, one at a time", peers)):
        print(f"{label:32} {1e3 * statistics.median(times) / len(examples):8.2f} ms an example {spread(times)}")
    summary = {
        "benchmark": "capture",
        "ratio": round(ratio, 2),
        "max_abs_diff": largest,
        "max_rel_diff": relative,
        "max_rel_diff_of_peer_to_float32": rounding,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "n": len(examples),
        "dtype": config.dtype,
        "device": str(model.cfg.device),
    }
    print(json.dumps(summary))
    return 0


def differences(these: Sequence[torch.Tensor], those: Sequence[torch.Tensor]) -> tuple[float, float]:
    """The largest difference of an entry, and of a vector relative to its norm."""
    pairs = list(zip(these, those, strict=True))
    largest = max(float((this - that).abs().max()) for this, that in pairs)
    return largest, max(float(((this - that).norm(dim=-1) / that.norm(dim=-1)).max()) for this, that in pairs)


def seconds(function: Callable[[], object], repeats: int) -> list[float]:
    """How long each of some calls takes, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return times[1:]


def spread(times: Sequence[float]) -> str:
    """The median's companions: fastest and slowest."""
    return f"(whole: median {statistics.median(times):.2f} s, {min(times):.2f} to {max(times):.2f} s)"


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
