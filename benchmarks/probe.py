"""The probe's solver against scikit-learn: the same optimum, and how much faster.

Random cells of the activations behind the README's figure (captured if they are not there), the published split: one
fifth is scored by a probe trained on the rest. In turn, on the same features, from the activations to the scores,

1. the suite, as for a map: on a CPU some cells at once, with one thread each; a GPU fits cells in batches, and is given
   all of the map's, of which a cell's time is the share;
2. a loop of `LogisticRegression()` as the published code runs it: the default solver, stopped at 100 steps;
3. a loop of `LogisticRegression(solver="newton-cholesky")`, scikit-learn's fastest here that converges.

Once with the features as they are, as the published code takes them, and once divided by their deviation. By what
share each objective is above the best of the three says how far a solver came.

    python -m benchmarks.probe --cells 20
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import tyro
from jaxtyping import Bool, Float
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from analyses.parts import asking, capturing
from benchmarks.city_answers import alternating_seconds, device_name, median_ratio
from interp.models.devices import fitting_device
from interp.probes.cell_batches import scores_of_batch
from interp.probes.cell_probe import Probing, cell_scores, gram_matrix, scaled_features
from interp.probes.labels import Labels, Split
from interp.probes.logistic import fit_each
from interp.work.threads import in_single_threads

OURS, PUBLISHED, NEWTON = "ours", "scikit-learn, as published", "scikit-learn, newton-cholesky"


@dataclass(frozen=True)
class Config:
    """Compare the probe's solver with scikit-learn's."""

    cells: int = 20
    """Random cells to fit."""
    repeats: int = 5
    """Turns."""
    c: float = 1.0
    """Inverse strength of the regularisation."""
    seed: int = 0
    """Decides which cells."""
    device: str = "auto"
    """Where the suite fits; scikit-learn is on the CPU."""
    runs: Path = Path("runs")
    """Where the activations are, or are to be."""


def main(config: Config) -> int:
    """Compare, print tables, and one JSON object as the last line."""
    defaults = capturing.Config(dtype="float32", runs=config.runs)
    captured = capturing.captured(asking.setting_of(defaults), ["resid_post"])
    judged = [captured.answers[row] for row in captured.judged]
    store = captured.of("resid_post", captured.judged)
    wrong = [answer.correct is False for answer in judged]
    labels = Split(as_published=True).labels(wrong, [answer.question.group for answer in judged])
    rng = np.random.default_rng(config.seed)
    names = [(int(rng.choice(store.layers)), str(rng.choice(store.positions))) for _ in range(config.cells)]
    activations = [store.cell(*name) for name in names]
    device = fitting_device(config.device)
    on_cpu = torch.device(device).type == "cpu"
    whole_map = [(layer, position) for layer in store.layers for position in store.positions]
    own = activations if on_cpu else [store.cell(*name) for name in whole_map]

    summary: dict[str, Any] = {"benchmark": "probe", "device": device_name(device)}
    for standardise in (False, True):
        probing = Probing((config.c,), standardise=standardise, nested=False)
        of = f"{len(names)} cells, {len(wrong)} answers, {'standardised' if standardise else 'raw'} features"
        print(f"{of}; ours on {device_name(device)}")
        times = alternating_seconds(
            {
                OURS: partial(ours, own, labels, probing, device),
                PUBLISHED: partial(peers, PUBLISHED, activations, labels, probing),
                NEWTON: partial(peers, NEWTON, activations, labels, probing),
            },
            config.repeats,
        )
        excess = [excesses(cell, labels, probing, device) for cell in activations]
        # To milliseconds a cell.
        times = {name: [1e3 * each / len(own if name == OURS else names) for each in times[name]] for name in times}
        for name, each in times.items():
            above = [found[name] for found in excess]
            quoted = f"{statistics.median(each):8.2f} ms a cell ({min(each):.2f} to {max(each):.2f})"
            told = f"objective above the best by {statistics.median(above):.1g} (at most {max(above):.1g})"
            print(f"  {name:30} {quoted}; {told}")
        mine = ours(activations, labels, probing, device)
        theirs = [peer.scores for peer in peers(NEWTON, activations, labels, probing)]
        off = max(float(np.nanmax(np.abs(these - those))) for these, those in zip(mine, theirs, strict=True))
        summary["standardised" if standardise else "raw"] = {
            "ratio_to_published": round(median_ratio(times[PUBLISHED], times[OURS]), 2),
            "ratio_to_newton_cholesky": round(median_ratio(times[NEWTON], times[OURS]), 2),
            "max_excess": {name: max(found[name] for found in excess) for name in times},
            "max_abs_diff": off,
        }
    summary["ratio"] = summary["raw"]["ratio_to_newton_cholesky"]
    summary["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    summary["cells"] = config.cells
    print(json.dumps(summary))
    return 0


Activations = Float[torch.Tensor, "example d_model"]


class Fitted(NamedTuple):
    """A peer's fit."""

    probe: LogisticRegression
    scores: Float[np.ndarray, " example"]
    """Of the fifth; NaN for the others."""


def ours(
    activations: Sequence[Activations], labels: Labels, probing: Probing, device: str
) -> list[Float[np.ndarray, " example"]]:
    """The scores of every cell."""
    if torch.device(device).type != "cpu":
        present = np.stack([_present(cell) for cell in activations])
        on_device = torch.stack([cell.to(device) for cell in activations])
        scored = scores_of_batch(on_device, present, labels, probing)
        return [each.held_out[0] for each in scored]

    def of_cell(cell: Activations) -> Float[np.ndarray, " example"]:
        scores: np.ndarray = cell_scores(cell, _present(cell), labels, probing).held_out[0]
        return scores

    return in_single_threads(of_cell, activations)


def peers(name: str, activations: Sequence[Activations], labels: Labels, probing: Probing) -> list[Fitted]:
    """A peer's fit to every cell, one after the other."""
    return [_fitted(name, cell, labels, probing) for cell in activations]


def excesses(activations: Activations, labels: Labels, probing: Probing, device: str) -> dict[str, float]:
    """By what share the objective of each is above the best of them, on one cell."""
    present, (c,) = _present(activations), probing.c
    trained, wrong = (labels.fold[0] != 0)[present], labels.wrong[present]
    features = _features(activations, present, probing)
    tensor, cost = torch.from_numpy(features), c * torch.from_numpy(trained).double()[None]
    fit = fit_each(gram_matrix(tensor).to(device), torch.from_numpy(wrong)[None].to(device), cost.to(device))
    weights = {OURS: ((tensor.T @ fit.alpha[0].cpu()).numpy(), float(fit.intercept[0]))}
    for name in (PUBLISHED, NEWTON):
        probe = _fitted(name, activations, labels, probing).probe
        weights[name] = (probe.coef_[0], float(probe.intercept_[0]))
    objectives = {name: _objective(*each, features[trained], wrong[trained], c) for name, each in weights.items()}
    best = min(objectives.values())
    return {name: objective / best - 1 for name, objective in objectives.items()}


def _fitted(name: str, activations: Activations, labels: Labels, probing: Probing) -> Fitted:
    present, (c,) = _present(activations), probing.c
    trained, wrong = (labels.fold[0] != 0)[present], labels.wrong[present]
    features = _features(activations, present, probing)
    converging = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-8, max_iter=1000)
    probe = LogisticRegression(C=c) if name == PUBLISHED else converging
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(features[trained], wrong[trained])
    scores: np.ndarray = np.full(len(present), np.nan)
    scores[np.flatnonzero(present)[~trained]] = probe.decision_function(features[~trained])
    return Fitted(probe, scores)


def _present(activations: Activations) -> Bool[np.ndarray, " example"]:
    there: np.ndarray = (~activations.isnan().any(1)).numpy()
    return there


def _features(
    activations: Float[torch.Tensor, "example d_model"], present: Bool[np.ndarray, " example"], probing: Probing
) -> Float[np.ndarray, "n d_model"]:
    features = activations[torch.from_numpy(present)].double()
    array: np.ndarray = (scaled_features(features, by_deviation=True) if probing.standardise else features).numpy()
    return array


def _objective(
    weights: Float[np.ndarray, " d_model"],
    intercept: float,
    features: Float[np.ndarray, "n d_model"],
    wrong: Bool[np.ndarray, " n"],
    c: float,
) -> float:
    margins = np.where(wrong, 1, -1) * (features @ weights + intercept)
    return float(c * np.logaddexp(0, -margins).sum() + 0.5 * weights @ weights)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
