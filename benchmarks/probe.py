"""The probe's solver against scikit-learn: the same optimum, and how much faster.

The peer is `sklearn.linear_model.LogisticRegression` with the solver ``newton-cholesky``, its fastest here for more
features than a few hundred, on the same standardised features of the same cells. Random cells of the activations
behind the README's figure (captured if they are not there), one fit on all but a fifth of the examples each.

    python -m benchmarks.probe --cells 20
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Config:
    """Compare the probe's solver with scikit-learn's."""

    cells: int = 20
    """Random cells to fit."""
    c: float = 1.0
    """Inverse strength of the regularisation."""
    seed: int = 0
    """Decides which cells."""
    runs: Path = Path("runs")
    """Where the activations are, or are to be."""


def main(config: Config) -> int:
    """Compare, print a table, and one JSON object as the last line."""
    import numpy as np
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    from analyses import asking, capturing
    from interp.logistic import fit_logistic

    defaults = capturing.Config(dtype="float32", runs=config.runs)
    source, questions = asking.source_of(defaults), asking.questions_of(defaults)
    model = cache(lambda: asking.loaded(defaults, source))
    captured = capturing.captured(defaults, source, questions, model, ["resid_post"])
    store = captured.of("resid_post", captured.judged)
    wrong = np.array([captured.answers[row].correct is False for row in captured.judged])
    rng = np.random.default_rng(config.seed)
    train = rng.random(len(wrong)) < 0.8
    mine, peers, objectives, scores = [], [], [], []
    for _ in range(config.cells):
        cell = store.cell(int(rng.choice(store.layers)), str(rng.choice(store.positions)))
        present = ~cell.isnan().any(1).numpy()
        features = cell.double().numpy()
        scaler = StandardScaler().fit(features[train & present])
        x, y = scaler.transform(features[train & present]), wrong[train & present]
        held_out = scaler.transform(features[~train & present])

        started = time.perf_counter()
        tensor = torch.from_numpy(x)
        fit = fit_logistic(tensor @ tensor.T, torch.from_numpy(y), config.c)
        ours = fit.scores(torch.from_numpy(held_out) @ tensor.T).numpy()
        mine.append(time.perf_counter() - started)

        started = time.perf_counter()
        peer = LogisticRegression(C=config.c, solver="newton-cholesky", tol=1e-8, max_iter=1000).fit(x, y)
        theirs = peer.decision_function(held_out)
        peers.append(time.perf_counter() - started)

        weights, intercept = peer.coef_[0], float(peer.intercept_[0])
        reached = config.c * np.logaddexp(0, np.where(y, -1, 1) * (x @ weights + intercept)).sum()
        reached += 0.5 * weights @ weights
        objectives.append(fit.objective / reached - 1)
        scores.append(float(np.abs(ours - theirs).max()))

    print(f"{config.cells} cells of {store.store.folder}, {int(train.sum())} examples, {cell.shape[1]} features")
    for label, times in (("ours", mine), ("scikit-learn newton-cholesky", peers)):
        low, median, high = (1e3 * quartile for quartile in statistics.quantiles(times, n=4))
        print(f"{label:30} {median:7.1f} ms a fit (quartiles {low:.1f}, {high:.1f})")
    print(f"objective, ours / theirs - 1: {min(objectives):.2g} to {max(objectives):.2g}")
    summary = {
        "benchmark": "probe",
        "ratio": round(statistics.median(peers) / statistics.median(mine), 2),
        "max_abs_diff": max(scores),
        "max_rel_objective_diff": max(map(abs, objectives)),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "cells": config.cells,
    }
    print(json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
