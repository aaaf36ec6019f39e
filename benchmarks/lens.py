"""The logit lens over a question set against a loop of TransformerLens 4's `logit_lens` over its prompts.

What is read: the log-probability and rank of two tokens, and the entropy, in every layer at 15 positions of
SmolLM2-135M's answers to city questions. The loop gives `logit_lens` one prompt at a time with the places of its
positions and the two tokens as targets, for a sample of the answers; its time is that of the sample times what the
sample is of. The suite reads all answers, and of each cell a third token, the divergence from the model's output and
the top token besides. Its time is told with and without the capture of the streams, which a probe of the same answers
has already done. In turn, on one machine, in one process; what both read of the sample is compared.

The machine's matrix peak is measured with one large product in the same dtype.

    python -m benchmarks.lens --dtype float32       about 20 minutes on 2 cores
    python -m benchmarks.lens --dtype bfloat16
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
import xarray as xr
from jaxtyping import Int

from benchmarks.capture import matrix_peak
from benchmarks.city_answers import all_done, city_answers, device_name, median_ratio, spread
from interp.activations.capture import capture, default_token_budget, examples_to_capture, planned_stores
from interp.activations.store import ActivationStore
from interp.examples import Answer
from interp.lenses.lens import LogitLens
from interp.lenses.lens_targets import TARGETS, target_tokens
from interp.lenses.lens_values import first_columns, lens_values
from interp.models.devices import resolve_device
from interp.models.hooked_model import HookedModel
from interp.models.loading import load_model
from interp.positions import MISSING, position_table

OURS, CAPTURE, PEER = "interp, all answers", "capture of the streams", "loop of logit_lens"


@dataclass(frozen=True)
class Config:
    """Compare the lens over a question set with a loop over its prompts."""

    n: int = 1000
    """Answers."""
    sample: int = 16
    """How many of them the loop takes in each turn."""
    repeats: int = 3
    """Turns."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """The model's dtype in both."""
    device: str = "auto"
    """As in interp lens."""
    runs: Path = Path("runs")
    """Where the answers are, or are to be."""


def main(config: Config) -> int:
    """Compare, print a table, and one JSON object as the last line."""
    source, answers = city_answers(config.runs, config.n)
    device = resolve_device(config.device)
    model = load_model(source, dtype=config.dtype, device=config.device, backend="bridge")
    table = position_table(answers)
    tokens = table["token"].values
    targets = target_tokens(model.tokenizer, answers, tokens)
    times: dict[str, list[float]] = {CAPTURE: [], OURS: [], PEER: []}
    with tempfile.TemporaryDirectory(dir=config.runs) as folder:
        started = time.perf_counter()
        store = captured(model, answers, table, Path(folder), device)
        times[CAPTURE].append(time.perf_counter() - started)
        for turn in range(config.repeats):
            started = time.perf_counter()
            values = lens_values(model, LogitLens(), store, tokens, targets)
            times[OURS].append(time.perf_counter() - started)
            rows = range(turn, len(answers), max(1, len(answers) // config.sample))[: config.sample]
            started = time.perf_counter()
            theirs = [looped(model, answers[row], tokens[row], targets[:2, row]) for row in rows]
            all_done()
            times[PEER].append((time.perf_counter() - started) * len(answers) / len(rows))
            difference = largest_difference(values, theirs, rows, tokens)
    n_rows = int((first_columns(tokens) == np.arange(tokens.shape[1]))[tokens != MISSING].sum())
    work = 2 * n_rows * len(store.layers) * model.cfg.d_model * model.cfg.d_vocab
    share = work / statistics.median(times[OURS]) / matrix_peak(torch.device(device), getattr(torch, config.dtype))
    print(f"{source.name} in {config.dtype} on {device_name(device)}, {len(answers)} answers")
    print(
        f"{int((tokens != MISSING).sum()):,} positions, {n_rows:,} tokens of them distinct, {len(store.layers)} layers"
    )
    for name, seconds in times.items():
        print(f"{name:30} {spread(seconds)}")
    with_capture = [times[CAPTURE][0] + seconds for seconds in times[OURS]]
    peak_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
    print(f"share of the matrix peak {share:.2f}; peak memory of the process {peak_mb:,} MB; largest difference")
    print(f"of a log-probability {difference:.2g}")
    summary = {
        "benchmark": "lens",
        "ratio": round(median_ratio(times[PEER], times[OURS]), 2),
        "ratio_with_capture": round(median_ratio(times[PEER], with_capture), 2),
        "max_abs_diff": difference,
        "peak_mb": peak_mb,
        "share_of_matrix_peak": round(share, 3),
        "n": len(answers),
        "cells": len(store.layers) * tokens.shape[1],
        "dtype": config.dtype,
        "device": device_name(device),
    }
    print(json.dumps(summary))
    return 0


def captured(
    model: HookedModel, answers: Sequence[Answer], table: xr.Dataset, folder: Path, device: str
) -> ActivationStore:
    """The streams, as `interp lens` captures them."""
    layers = range(model.cfg.n_layers)
    budget = default_token_budget(device)
    stores = planned_stores(
        {"resid_post": folder}, {"resid_post": {}}, answers, table, layers=layers, token_budget=budget
    )
    capture(lambda: model, stores, examples_to_capture(answers, table))
    return stores["resid_post"]


def looped(
    model: HookedModel, answer: Answer, tokens: Int[np.ndarray, " position"], targets: Int[np.ndarray, "two position"]
) -> Any:
    """What `logit_lens` reads of one answer: layers, without the embedding, by the tokens of its positions, by targets.

    A token that several positions have is read once, as `lens_values` reads it.
    """
    from transformer_lens.tools.analysis import logit_lens

    known = tokens != MISSING
    asked = [int(token) for token in targets[:, known].max(1)]  # The same in each position.
    ids = torch.tensor([list(answer.token_ids)], device=model.cfg.device)
    return logit_lens(
        model,
        ids,
        positions=np.unique(tokens[known]).tolist(),
        layers=range(1, model.cfg.n_layers + 1),
        targets=[max(token, 0) for token in asked],
        return_type="log_probs",
    )


def largest_difference(
    values: xr.Dataset, theirs: Sequence[Any], rows: Sequence[int], tokens: Int[np.ndarray, "example position"]
) -> float:
    """Of what both read: by how much a log-probability differs at most."""
    worst = 0.0
    for row, found in zip(rows, theirs, strict=True):
        known = tokens[row] != MISSING
        _, place = np.unique(tokens[row][known], return_inverse=True)
        ours = values["log_probability"].values[: len(TARGETS) - 1][:, :, known, row]
        difference = np.abs(np.moveaxis(ours, 0, -1) - found.values[:, 0].float().cpu().numpy()[:, place])
        worst = max(worst, float(np.nanmax(difference, initial=0.0)))
    return worst


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
