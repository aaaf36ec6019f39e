"""Probes of the shape of a 7B model's map: 1,000 answers, d_model 4,096, 33 layers by 15 positions, random features.

What is timed is from features in memory to held-out scores of all cells, the features of each cell being drawn anew and
that time taken off. One split as published (a fifth is scored), then five folds with the scores that a nested choice
takes (15 fits a cell). scikit-learn's `LogisticRegression` fits a sample of the same cells with the one split: by its
default solver, which stops at 100 steps, and by ``newton-cholesky``, which converges.

    python -m benchmarks.probe_shape        about 10 minutes on 2 cores
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
import tyro
from jaxtyping import Float
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from benchmarks.city_answers import device_name
from interp.models.devices import fitting_device
from interp.probes.cell_batches import scores_of_batch
from interp.probes.cell_probe import Probing, cell_scores, scaled_features
from interp.probes.labels import Labels, Split
from interp.work.batches import batched
from interp.work.threads import in_single_threads

LAYER = 15
"""Cells that a GPU fits at once."""
DEFAULT, NEWTON = "LogisticRegression()", "newton-cholesky"


@dataclass(frozen=True)
class Config:
    """Time and memory of a map of random features."""

    n: int = 1000
    """Examples."""
    d_model: int = 4096
    """Features."""
    cells: int = 33 * 15
    """Cells of the map."""
    device: str = "auto"
    """Where the suite fits, a layer of 15 cells at once if it is no CPU; scikit-learn is on the CPU."""
    sample: int = 1
    """How many of them scikit-learn fits with each solver in each turn."""
    repeats: int = 3
    """Turns of the one split, alternating with scikit-learn's; the five folds are run once."""


def main(config: Config) -> int:
    """Measure, print a table, and one JSON object as the last line."""
    rng = np.random.default_rng(0)
    wrong, groups = (rng.random(config.n) < 0.5).tolist(), [str(row) for row in range(config.n)]
    one_split = Split(as_published=True).labels(wrong, groups)
    folds = Split(5).labels(wrong, groups)
    once = Probing(nested=False)
    of_map: list[float] = []
    peers: dict[str, list[float]] = {DEFAULT: [], NEWTON: []}
    differences: list[float] = []
    config = replace(config, device=fitting_device(config.device))
    drawing = _seconds_of_drawing(config)
    for turn in range(config.repeats):
        of_map.append(_seconds_of_map(config, one_split, once) - drawing)
        for number in range(config.sample):
            cell = (turn * config.sample + number) % config.cells
            for name in peers:
                seconds, scores = _fitted(name, _features(config, cell).cpu(), one_split)
                peers[name].append(seconds)
                if name == NEWTON:
                    present = np.ones((1, config.n), dtype=bool)
                    (own,) = scores_of_batch(_features(config, cell)[None], present, one_split, once)
                    differences.append(float(np.nanmax(np.abs(own.held_out[0] - scores))))
    peak_once = _peak_mb()
    nested = _seconds_of_map(config, folds, Probing()) - drawing

    each = [1e3 * seconds / config.cells for seconds in of_map]
    print(f"{config.cells} cells, n {config.n}, d_model {config.d_model}, on {device_name(config.device)}")
    print(f"one split: {_spread(of_map)} s for the map, {_spread(each)} ms a cell, peak {peak_once:.0f} MB")
    for name, times in peers.items():
        print(f"  {name:22} {_spread([1e3 * second for second in times])} ms a cell ({len(times)} fits)")
    print(f"five folds, nested: {nested:.0f} s for the map, peak {_peak_mb():.0f} MB")
    print(f"largest difference of a score from {NEWTON}: {max(differences):.1g}")
    ours = statistics.median(each)
    summary = {
        "benchmark": "probe_shape",
        "ratio": round(1e3 * statistics.median(peers[NEWTON]) / ours, 1),
        "ratio_to_default": round(1e3 * statistics.median(peers[DEFAULT]) / ours, 2),
        "seconds_one_split": round(statistics.median(of_map), 1),
        "seconds_five_folds_nested": round(nested, 1),
        "max_abs_diff": max(differences),
        "peak_mb": round(_peak_mb()),
        "n": config.n,
        "d_model": config.d_model,
        "cells": config.cells,
    }
    print(json.dumps(summary))
    return 0


def _features(config: Config, cell: int) -> Float[torch.Tensor, "example d_model"]:
    generator = torch.Generator(config.device).manual_seed(cell)
    return torch.randn(config.n, config.d_model, generator=generator, device=config.device)


def _seconds_of_drawing(config: Config) -> float:
    started = time.perf_counter()
    if torch.device(config.device).type == "cpu":
        in_single_threads(lambda cell: _features(config, cell).sum().item(), range(config.cells))
    else:
        for cell in range(config.cells):
            _features(config, cell).sum().item()
    return time.perf_counter() - started


def _seconds_of_map(config: Config, labels: Labels, probing: Probing) -> float:
    """The time of every cell's scores, and of drawing its features; no more than a few cells are held at once."""
    present = np.ones((LAYER, config.n), dtype=bool)
    started = time.perf_counter()
    if torch.device(config.device).type == "cpu":
        in_single_threads(
            lambda cell: float(np.nansum(cell_scores(_features(config, cell), present[0], labels, probing).held_out)),
            range(config.cells),
        )
    else:
        for cells in batched(range(config.cells), LAYER):
            streams = torch.stack([_features(config, cell) for cell in cells])
            scores_of_batch(streams, present[: len(cells)], labels, probing)
    return time.perf_counter() - started


def _fitted(
    name: str, activations: Float[torch.Tensor, "example d_model"], labels: Labels
) -> tuple[float, Float[np.ndarray, " example"]]:
    """The seconds of a fit of scikit-learn's, and its scores of the fifth; NaN for the others."""
    converging = LogisticRegression(solver="newton-cholesky", tol=1e-8, max_iter=1000)
    probe = LogisticRegression() if name == DEFAULT else converging
    trained = labels.fold[0] != 0
    started = time.perf_counter()
    features = scaled_features(activations.double(), by_deviation=True).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(features[trained], labels.wrong[trained])
    scores: np.ndarray = np.full(len(trained), np.nan)
    scores[~trained] = probe.decision_function(features[~trained])
    return time.perf_counter() - started, scores


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
