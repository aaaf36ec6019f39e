"""The whole figure, capture and probe, against the usual script: the same answers, cells and split.

The usual script runs `run_with_cache` on one prompt at a time with every token kept, in bfloat16, and then fits
scikit-learn's `LogisticRegression()` to every cell, on one split. It is run on a sample of the answers and of the
cells, and its time is that of the sample times what the sample is of. The suite's figure is run in full, in turn:

1. the same single split;
2. all that the suite's figure has: 5 folds, 3 seeds, intervals that are widened by what halves show, 1,000 permutations
   with refits, the best cell chosen within the training folds, and the map of shuffled labels.

    python -m benchmarks.heatmap              about 30 minutes on 2 cores
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
import xarray as xr
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from benchmarks.capture import whole_stream
from benchmarks.city_answers import city_answers, device_name, median_ratio, spread
from interp.activations.capture import capture, default_token_budget, examples_to_capture, planned_stores
from interp.activations.store import ActivationStore
from interp.examples import Answer
from interp.models.devices import fitting_device, resolve_device
from interp.models.hooked_model import HookedModel
from interp.models.loading import load_model
from interp.positions import position_table, resolved_mask
from interp.probes.cell_probe import STRENGTHS, Probing
from interp.probes.chance import with_marks
from interp.probes.halves import measured_widening
from interp.probes.labels import Split
from interp.probes.probe_map import best_cell, out_of_fold_scores, probe_map
from interp.results.heatmap import Heatmap

USUAL, OURS, WHOLE = "the usual script", "the same split", "folds, seeds, intervals, permutations, control"


@dataclass(frozen=True)
class Config:
    """Compare the whole figure with the usual script's."""

    n: int = 1000
    """Answers."""
    sample: int = 40
    """Answers that the usual script captures."""
    cells: int = 12
    """Cells that the usual script fits."""
    repeats: int = 3
    """Turns of the three."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """The model's dtype in both."""
    device: str = "auto"
    """As in interp probe: where the model is, and where probes are fitted. scikit-learn is on the CPU."""
    runs: Path = Path("runs")
    """Where the answers are, or are to be."""


def main(config: Config) -> int:
    """Compare, print a table, and one JSON object as the last line."""
    source, answers = city_answers(config.runs, config.n)
    device = resolve_device(config.device)
    model = load_model(source, dtype=config.dtype, device=device, backend="bridge")
    table = position_table(answers)
    judged = [row for row, answer in enumerate(answers) if answer.correct is not None]
    figure = Figure(model, answers, table, judged, device)
    published, whole = Split(as_published=True), Split(folds=5, n_seeds=3)
    times: dict[str, list[float]] = {USUAL: [], OURS: [], WHOLE: []}
    with tempfile.TemporaryDirectory(dir=config.runs) as folder:
        for turn in range(config.repeats):
            parts = Path(folder) / f"{turn}"
            times[OURS].append(_seconds(partial(figure.drawn, parts, published, Probing(nested=False))))
            times[USUAL].append(usual_seconds(figure, parts / "store", published, config, turn))
            times[WHOLE].append(_seconds(partial(figure.drawn, parts / "whole", whole, Probing(STRENGTHS))))
            told = ", ".join(f"{name} {seconds[-1]:.1f} s" for name, seconds in times.items())
            print(f"turn {turn + 1}: {told}", file=sys.stderr, flush=True)
    told = f"{len(answers)} answers, {len(judged)} of them judged"
    print(f"{source.name} in {config.dtype} on {device_name(device)}, {told}")
    for name, seconds in times.items():
        print(f"{name:50} {spread(seconds)}")
    summary = {
        "benchmark": "heatmap",
        "ratio": round(median_ratio(times[USUAL], times[OURS]), 1),
        "ratio_of_whole": round(median_ratio(times[USUAL], times[WHOLE]), 2),
        "n": len(answers),
        "cells": model.cfg.n_layers * len(table.position),
        "dtype": config.dtype,
        "device": device_name(device),
    }
    print(json.dumps(summary))
    return 0


@dataclass(frozen=True)
class Figure:
    """What is drawn."""

    model: HookedModel
    answers: Sequence[Answer]
    table: xr.Dataset
    judged: Sequence[int]
    device: str

    def drawn(self, folder: Path, split: Split, probing: Probing) -> Heatmap:
        """The map, from capture on; with folds also its marks, its best cell, and the map of shuffled labels."""
        stores = planned_stores(
            {"resid_post": folder / "store"},
            {"resid_post": {}},
            self.answers,
            self.table,
            layers=range(self.model.cfg.n_layers),
            token_budget=default_token_budget(self.device),
        )
        capture(lambda: self.model, stores, examples_to_capture(self.answers, self.table))
        heatmap = self.probed(stores["resid_post"], folder / "scores", split, probing, seed=None)
        if not split.as_published:
            self.probed(stores["resid_post"], folder / "shuffled", split, replace(probing, nested=False), seed=0)
        return heatmap

    def probed(
        self, captured: ActivationStore, parts: Path, split: Split, probing: Probing, *, seed: int | None
    ) -> Heatmap:
        """The map of a store; with a seed, that of labels shuffled by it."""
        kept = [self.answers[row] for row in self.judged]
        wrong = np.array([answer.correct is False for answer in kept])
        if seed is not None:
            wrong = np.random.default_rng(seed).permutation(wrong)
        labels = split.labels(wrong.tolist(), [answer.question.group for answer in kept])
        mask = resolved_mask(self.table.isel(example=list(self.judged)))
        store = captured.of_examples([answer.question.id for answer in kept])
        scores = out_of_fold_scores(store, mask, labels, probing, parts=parts, device=fitting_device(self.device))
        if split.as_published:
            return probe_map(scores, mask, labels, store)
        made_from, device = (scores, mask, labels, store), fitting_device(self.device)
        widening = measured_widening(*made_from, probing, halvings=5, seed=0, device=device)
        heatmap = probe_map(*made_from, draws=1000, widening=widening)
        if probing.nested:
            best_cell(scores, labels, store)
        return with_marks(heatmap, *made_from, split, probing, draws=1000, seed=0, device=device)


def usual_seconds(figure: Figure, captured: Path, split: Split, config: Config, turn: int) -> float:
    """What the usual script would take, from a sample of its answers and of its cells, whose vectors are there."""
    rng = np.random.default_rng(turn)
    picked = rng.choice(len(figure.answers), size=config.sample, replace=False).tolist()
    capturing = _seconds(lambda: [whole_stream(figure.model, figure.answers[row]) for row in picked]) / len(picked)

    kept = [figure.answers[row] for row in figure.judged]
    wrong = np.array([answer.correct is False for answer in kept])
    labels = split.labels(wrong.tolist(), [answer.question.group for answer in kept])
    whole = ActivationStore.read(captured)
    assert whole is not None
    store = whole.of_examples([answer.question.id for answer in kept])
    fitting = []
    for _ in range(config.cells):
        features = store.cell(int(rng.choice(store.layers)), str(rng.choice(store.positions))).float().numpy()
        there = ~np.isnan(features).any(1)
        trained = (labels.fold[0] != 0)[there]
        fitting.append(_seconds(partial(_fit, features[there], wrong[there], trained)))
    n_cells = len(store.layers) * len(store.positions)
    return capturing * len(figure.answers) + statistics.mean(fitting) * n_cells


def _fit(features: np.ndarray, wrong: np.ndarray, trained: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe = LogisticRegression().fit(features[trained], wrong[trained])
    probe.decision_function(features[~trained])


def _seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
