"""Metrics of scores, against scikit-learn's and against trying everything."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from interp.probes.cell_probe import Probing, Scores, cell_scores
from interp.probes.labels import Split
from interp.probes.metrics import METRICS, best_threshold, calibration_error, cell_metrics, with_metrics
from interp.results.heatmap import Heatmap


@given(scores=st.lists(st.integers(0, 6), min_size=1, max_size=12), seed=st.integers(0, 999))
def test_no_threshold_is_right_more_often(scores: list[int], seed: int) -> None:
    values, positive = np.array(scores, dtype=float), np.random.default_rng(seed).random(len(scores)) < 0.5
    chosen = best_threshold(values, positive)
    rates = [((values >= edge) == positive).mean() for edge in np.arange(-0.5, 7.5)]
    assert ((values >= chosen) == positive).mean() == pytest.approx(max(rates))


def test_a_calibrated_probability_has_no_error_and_an_exaggerated_one_has() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    positive = rng.random(20_000) < probability
    assert calibration_error(probability, positive) < 0.02
    assert calibration_error((probability > 0.5).astype(float), positive) == pytest.approx(0.25, abs=0.02)
    assert calibration_error(np.full(10, 0.3), np.ones(10, dtype=bool)) == pytest.approx(0.7)


def test_a_cell_has_the_metrics_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    wrong = rng.random(200) < 0.4
    features = rng.normal(size=(200, 8))
    features[:, 0] += 1.5 * wrong
    labels = Split(n_seeds=2).labels(wrong.tolist(), [str(index) for index in range(200)])
    scores = cell_scores(torch.from_numpy(features), np.ones(200, dtype=bool), labels, Probing())
    found = cell_metrics(scores, labels)
    expected = [average_precision_score(wrong, of_seed) for of_seed in scores.held_out]
    assert found["average_precision"] == pytest.approx(np.mean(expected))
    called = np.zeros(200, dtype=bool)
    for fold in range(5):
        others, own = labels.fold[0] != fold, labels.fold[0] == fold
        called[own] = scores.held_out[0, own] >= best_threshold(scores.inner[fold, others], wrong[others])
    assert found["accuracy"] == pytest.approx(accuracy_score(wrong, called))
    assert found["f1"] == pytest.approx(f1_score(wrong, called))
    assert 0 < found["calibration_error"] < 0.3


@pytest.mark.parametrize(
    ("kind", "has_log_odds"),
    [("logistic", True), ("lda", True), ("sparse", True), ("mass-mean", False), ("mass-mean-whitened", False)],
)
def test_scores_that_know_no_share_of_errors_have_no_calibration_error(kind: str, *, has_log_odds: bool) -> None:
    wrong = np.arange(100) % 4 == 0
    labels = Split().labels(wrong.tolist(), [str(index) for index in range(100)])
    features = torch.from_numpy(np.random.default_rng(3).normal(size=(100, 4)))
    of_cell = cell_scores(features, np.ones(100, dtype=bool), labels, Probing(kind=kind, k=2))
    cell = np.full((1, 1), 0.5)
    values, names = (cell, cell, cell, np.full((1, 1), 100)), ([0], ["-1"])
    heatmap = Heatmap.of(values, names=names, kind="probe", metric="AUC", scale=(0.5, 1.0))
    found = with_metrics(heatmap, Scores(*(each[None, None] for each in of_cell)), labels, kind=kind)
    missing = set(METRICS) - set(found.data)
    assert missing == (set() if has_log_odds else {"calibration_error"})


def test_without_folds_within_folds_no_threshold_is_chosen() -> None:
    rng = np.random.default_rng(2)
    wrong = np.arange(300) % 2 == 0
    labels = Split(as_published=True).labels(wrong.tolist(), [str(index) for index in range(300)])
    scores = cell_scores(torch.from_numpy(rng.normal(size=(300, 4))), np.ones(300, dtype=bool), labels, Probing())
    found = cell_metrics(scores, labels)
    assert np.isnan(found["accuracy"])
    assert np.isnan(found["f1"])
    assert np.isfinite(found["average_precision"])


def test_a_threshold_is_half_way_between_two_scores() -> None:
    assert best_threshold(np.array([0.0, 1.0, 4.0]), np.array([False, False, True])) == 2.5


def test_of_several_splits_calibration_is_the_mean_and_folds_that_cannot_choose_have_no_accuracy() -> None:
    rng = np.random.default_rng(0)
    labels = Split(4, 0, 2).labels((np.arange(80) % 2 == 0).tolist(), [str(n) for n in range(80)])
    held_out = rng.normal(size=(2, 80)) + np.array([[0.2], [3.0]]) * labels.wrong
    inner = np.where(labels.fold[0] == np.arange(4)[:, None], np.nan, held_out[0])
    found = cell_metrics(Scores(held_out, inner), labels)
    each = [calibration_error(expit(row), labels.wrong) for row in held_out]
    assert found["calibration_error"] == pytest.approx(np.mean(each))
    assert abs(each[0] - each[1]) > 0.02
    inner[2] = np.nan
    without = cell_metrics(Scores(held_out, inner), labels)
    assert np.isnan([without["accuracy"], without["f1"]]).all()
    assert without["average_precision"] == found["average_precision"]
