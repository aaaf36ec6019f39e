"""What else than the AUC says how good a cell's scores are.

=======================  ===========================================================================================
``average_precision``    of errors, over all thresholds
``accuracy``, ``f1``     at a threshold that is chosen for each fold where it makes the most of the other folds'
                         answers right
``calibration_error``    expected calibration error: how far, on average over ten bins of equal size, the probability
                         that the scores stand for is from the share of errors (Naeini, Cooper & Hauskrecht 2015)
=======================  ===========================================================================================
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit

from interp.probes.cell_probe import Scores
from interp.probes.classifiers import WITHOUT_LOG_ODDS
from interp.probes.labels import Labels
from interp.results.heatmap import Heatmap

METRICS = ("average_precision", "accuracy", "f1", "calibration_error")
BINS = 10


def cell_metrics(scores: Scores, labels: Labels) -> dict[str, float]:
    """The metrics of one cell that has scores; NaN for those that need folds within folds where there are none."""
    from sklearn.metrics import average_precision_score

    precisions, errors = [], []
    for row in scores.held_out:
        scored = np.isfinite(row)
        precisions.append(average_precision_score(labels.wrong[scored], row[scored]))
        errors.append(calibration_error(expit(row[scored]), labels.wrong[scored]))
    accuracy, f1 = _at_thresholds(scores, labels) if len(scores.inner) else (np.nan, np.nan)
    return dict(zip(METRICS, map(float, (np.mean(precisions), accuracy, f1, np.mean(errors))), strict=True))


def with_metrics(heatmap: Heatmap, scores: Scores, labels: Labels, *, kind: str) -> Heatmap:
    """A probe map with the metrics of every cell that has a value; `kind` is the probe's.

    What only orders examples (`interp.probes.classifiers.WITHOUT_LOG_ODDS`) has no calibration error.
    """
    value = heatmap.data["value"].values
    found = {name: np.full(value.shape, np.nan) for name in METRICS}
    for layer, column in np.argwhere(np.isfinite(value)).tolist():
        cell = Scores(scores.held_out[layer, column], scores.inner[layer, column])
        for name, metric in cell_metrics(cell, labels).items():
            found[name][layer, column] = metric
    if kind in WITHOUT_LOG_ODDS:
        del found["calibration_error"]
    return Heatmap(heatmap.data.assign({name: (("layer", "position"), array) for name, array in found.items()}))


def calibration_error(probability: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """The expected calibration error, over bins of as equal numbers of examples as there can be."""
    bins = np.array_split(np.argsort(probability, kind="stable"), BINS)
    gaps = [len(rows) * abs(probability[rows].mean() - positive[rows].mean()) for rows in bins if len(rows)]
    return float(sum(gaps) / len(probability))


def best_threshold(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """The threshold from which on to call examples positive that is right of most of them; between two scores."""
    order = np.argsort(scores)
    ordered, wrong = scores[order], positive[order]
    # With the first k called negative: the negatives among them, and the positives among the others, are right.
    right = np.concatenate([[0], np.cumsum(~wrong)]) + wrong.sum() - np.concatenate([[0], np.cumsum(wrong)])
    edges = np.concatenate([[-np.inf], (ordered[1:] + ordered[:-1]) / 2, [np.inf]])
    between = np.concatenate([[True], ordered[1:] > ordered[:-1], [True]])
    return float(edges[np.where(between, right, -1).argmax()])


def _at_thresholds(scores: Scores, labels: Labels) -> tuple[float, float]:
    called: np.ndarray = np.zeros(len(labels.wrong), dtype=bool)
    for fold, inner in enumerate(scores.inner):
        others, own = np.isfinite(inner), labels.fold[0] == fold
        if not others.any():
            return np.nan, np.nan
        called[own] = scores.held_out[0, own] >= best_threshold(inner[others], labels.wrong[others])
    scored = np.isfinite(scores.held_out[0])
    called, wrong = called[scored], labels.wrong[scored]
    f1 = 2 * (called & wrong).sum() / max((called.sum() + wrong.sum()), 1)
    return float((called == wrong).mean()), float(f1)
