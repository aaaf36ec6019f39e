"""How often the probe map's intervals cover, against DeLong's own.

Draws examples with a known label signal, cross-fits the probe as the map does, and counts how often the 95 % interval
contains the AUC that the procedure has on average over draws (.5 where there is no signal). The peer is DeLong's
interval for the same scores, which takes them as given.

    python -m benchmarks.intervals --draws 80
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import tyro


@dataclass(frozen=True)
class Config:
    """Coverage of the intervals by simulation."""

    draws: int = 80
    """Draws of examples for each case."""
    n: int = 772
    """Examples in a draw."""
    wrong: int = 445
    """How many of them are errors."""


CASES = ((576, 0.0), (576, 2.0), (576, 3.5), (50, 0.0), (50, 1.5))
"""Features, and by how many deviations one of them differs between errors and right answers."""


def main(config: Config) -> int:
    """Simulate, print a table, and one JSON object as the last line."""
    import numpy as np
    import torch

    from interp.auc import auc_interval, refitting_factor
    from interp.labels import Split
    from interp.probe import Probing, cell_scores

    coverage: dict[str, list[float]] = {"ours": [], "delong": []}
    print(f"{'features':>8} {'signal':>6} {'AUC':>5} {'ours':>6} {'DeLong':>6}")
    for d, signal in CASES:
        ours, delong = [], []
        for seed in range(config.draws):
            rng = np.random.default_rng(seed)
            wrong = (rng.permutation(config.n) < config.wrong).tolist()
            labels = Split(5, seed).labels(wrong, [str(index) for index in range(config.n)])
            features = rng.normal(size=(config.n, d))
            features[:, 0] += signal * labels.wrong
            everyone, probing = np.ones(config.n, dtype=bool), Probing(nested=False)
            scores = cell_scores(torch.from_numpy(features), everyone, labels, probing).held_out
            ours.append(auc_interval(scores, labels.wrong, variance_factor=refitting_factor(5)))
            delong.append(auc_interval(scores, labels.wrong))
        truth = float(np.mean([interval.value for interval in ours])) if signal else 0.5
        for name, intervals in (("ours", ours), ("delong", delong)):
            coverage[name].append(float(np.mean([low <= truth <= high for _, low, high in intervals])))
        print(
            f"{d:8d} {signal:6.1f} {truth:5.2f} {coverage['ours'][-1]:6.3f} {coverage['delong'][-1]:6.3f}", flush=True
        )
    print(json.dumps({"benchmark": "intervals", "draws": config.draws, "coverage": coverage}))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
