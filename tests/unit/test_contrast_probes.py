"""Probes of contrast pairs against scikit-learn's, and what they may know of labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from interp.probes import contrast_probes
from interp.probes.cell_probe import NoValue, gram_matrix
from interp.probes.contrast_map import contrast_map
from interp.probes.contrast_probes import (
    METHODS,
    RANDOM,
    ContrastCells,
    Contrasting,
    LayerScores,
    Pairs,
    confidences,
    contrast_scores,
    layer_scores,
    normalised,
    top_component,
    turned,
)
from interp.probes.labels import Labels, Split
from interp.results.heatmap import Heatmap
from tests.stored import store_of

FEW = Contrasting(starts=3, directions=20)
LOGISTIC = METHODS.index("logistic")


def labels_of(n: int, *, seed: int = 0, n_seeds: int = 1, wrong_rate: float = 0.5) -> Labels:
    wrong = (np.random.default_rng(seed).random(n) < wrong_rate).tolist()
    return Split(4, seed, n_seeds).labels(wrong, [str(index) for index in range(n)])


def pairs_of(labels: Labels, strength: float, d: int = 12) -> Pairs:
    """Halves that have much in common, and tell right from wrong along the first feature; the word is the last."""
    rng = np.random.default_rng(1)
    n = len(labels.wrong)
    both, sign = 2 * rng.normal(size=(n, d)), np.where(labels.wrong, -1.0, 1.0)
    halves = []
    for side in (1.0, -1.0):
        half = both + 1.5 * rng.normal(size=(n, d))
        half[:, 0] = strength * side * sign + 0.3 * rng.normal(size=n)
        half[:, -1] += 50 * side
        halves.append(torch.from_numpy(half))
    return Pairs(*halves)


def cells_of(layers: list[Pairs], folder: Path) -> ContrastCells:
    yes, no = (
        store_of(folder / name, torch.stack([each[half] for each in layers])[:, None].float(), positions=["-1"])
        for half, name in enumerate(("yes", "no"))
    )
    return ContrastCells(yes, no)


def map_of(layers: list[Pairs], labels: Labels, folder: Path, contrasting: Contrasting = FEW) -> Heatmap:
    cells = cells_of(layers, folder)
    return contrast_map(contrast_scores(cells, labels, contrasting, parts=folder), labels, cells)


def test_halves_are_normalised_by_themselves_and_by_the_examples_that_are_trained_on() -> None:
    labels = labels_of(40)
    pairs, trained = pairs_of(labels, 1.0), labels.fold[0] != 0
    pairs.yes[:, 3] = 7.0
    for half, found in zip(pairs, normalised(pairs, trained), strict=True):
        reference = StandardScaler().fit(half.numpy()[trained])
        np.testing.assert_allclose(found.numpy(), reference.transform(half.numpy()), atol=1e-12)


def test_methods_are_those_of_scikit_learn() -> None:
    labels = labels_of(60)
    trained = labels.fold[0] != 1
    pairs = normalised(pairs_of(labels, 1.0), trained)
    difference = (pairs.yes - pairs.no).numpy()
    found = confidences(pairs, trained, labels.wrong, 2, np.random.default_rng(0)).value
    component = PCA(1).fit(difference[trained]).transform(difference)[:, 0]
    sign = np.sign(component[0] * found[METHODS.index("crc-tpc"), 0])
    np.testing.assert_allclose(found[METHODS.index("crc-tpc")], sign * component, atol=1e-8)
    reference = LogisticRegression(C=0.01, tol=1e-12, max_iter=10_000).fit(difference[trained], labels.wrong[trained])
    np.testing.assert_allclose(found[LOGISTIC], reference.decision_function(difference), atol=1e-4)


def test_pairs_that_do_not_differ_have_no_component_but_a_place() -> None:
    trained = np.arange(6) > 0
    assert (top_component(gram_matrix(torch.zeros(6, 3, dtype=torch.float64)).numpy(), trained) == 0).all()


def test_only_logistic_regression_knows_labels() -> None:
    labels = labels_of(60)
    trained = labels.fold[0] != 0
    pairs = normalised(pairs_of(labels, 1.0), trained)
    found, dealt = (
        confidences(pairs, trained, wrong, 2, np.random.default_rng(0)).value
        for wrong in (labels.wrong, np.roll(labels.wrong, 1))
    )
    same = [(first == second).all() for first, second in zip(found, dealt, strict=True)]
    assert same == [name != "logistic" for name in METHODS]


def test_signs_are_set_on_the_examples_that_are_trained_on_and_on_no_others() -> None:
    rng = np.random.default_rng(0)
    confidence, wrong, trained = rng.normal(size=(30, 50)), rng.random(50) < 0.4, rng.random(50) < 0.7
    scores, aucs = turned(confidence, wrong, trained)
    for row, score, auc in zip(confidence, scores, aucs, strict=True):
        expected = roc_auc_score(wrong[trained], row[trained])
        assert auc == pytest.approx(max(expected, 1 - expected))
        assert (score == (row if expected >= 0.5 else -row)).all()
    others = np.where(trained, wrong, ~wrong)
    assert (turned(confidence, others, trained)[0] == scores).all()


def test_a_planted_truth_is_found_without_labels_and_not_without_contrast(tmp_path: Path) -> None:
    labels = labels_of(160)
    data = map_of([pairs_of(labels, 1.0, 40), pairs_of(labels, 0.0, 40)], labels, tmp_path).data
    assert data["position"].values.tolist() == [*METHODS, RANDOM]
    value = data["value"].to_pandas()
    assert (value.loc[0, ["ccs", "crc-tpc", "logistic"]] > 0.99).all()
    assert value.loc[0, "ccs-shuffled-pairs"] < 0.8
    assert (data["accuracy"].to_pandas().loc[0, ["ccs", "crc-tpc", "logistic"]] > 0.95).all()
    loss = data["loss"].to_pandas()
    assert loss.loc[0, "ccs"] < 0.05
    assert loss.loc[0, "ccs-shuffled-pairs"] > 0.25, "no better than a probe that knows nothing"
    assert loss[["crc-tpc", "logistic", RANDOM]].isna().all(axis=None)
    assert (value.loc[1] < 0.65).all(), "where there is nothing nothing is found, whatever the labels chose"
    assert (data["marked"].to_pandas().loc[0, ["ccs", "crc-tpc", "logistic"]] == 1).all()
    assert (data["marked"].sel(position=RANDOM) == 0).all()
    assert (data["n"] == 160).all()
    assert (data["n_wrong"] == labels.wrong.sum()).all()


def test_labels_that_choose_signs_do_not_lift_chance() -> None:
    """Of nothing, whoever turns AUCs around on the examples that they are of finds .5 + .8 deviations on average."""
    labels = labels_of(100)
    noise = Pairs(*(torch.from_numpy(np.random.default_rng(seed).normal(size=(100, 30))) for seed in (0, 1)))
    rows = layer_scores(noise, labels, Contrasting(starts=1, directions=300)).held_out[len(METHODS) :, 0]
    aucs = np.array([roc_auc_score(labels.wrong, row) for row in rows])
    assert np.maximum(aucs, 1 - aucs).mean() > 0.52
    assert aucs.mean() < 0.51


def test_a_column_is_the_auc_of_out_of_fold_scores_and_random_directions_have_a_range(tmp_path: Path) -> None:
    labels = labels_of(80, n_seeds=2)
    layers = [pairs_of(labels, 0.2)]
    cells = cells_of(layers, tmp_path)
    scores = contrast_scores(cells, labels, FEW, parts=tmp_path)
    data = contrast_map(scores, labels, cells).data.isel(layer=0)
    aucs = [np.mean([roc_auc_score(labels.wrong, row) for row in each]) for each in scores.held_out[0]]
    for name, auc in zip(METHODS, aucs, strict=False):
        cell = data.sel(position=name)
        assert float(cell.value) == pytest.approx(auc)
        assert float(cell.low) < auc < float(cell.high)
    random = data.sel(position=RANDOM)
    assert float(random.value) == pytest.approx(np.mean(aucs[len(METHODS) :]))
    ends = np.quantile(aucs[len(METHODS) :], [0.025, 0.975])
    np.testing.assert_allclose([float(random.low), float(random.high)], ends)
    accuracy = ((scores.held_out[0, 0] > 0) == labels.wrong).mean()
    assert float(data["accuracy"].sel(position="ccs")) == pytest.approx(accuracy)


def test_an_examples_own_label_has_no_part_in_its_score() -> None:
    labels = labels_of(80)
    pairs, own = pairs_of(labels, 0.5), labels.fold[0] == 2
    others = replace(labels, wrong=np.where(own, ~labels.wrong, labels.wrong))
    found, changed = (layer_scores(pairs, each, FEW).held_out[:, 0] for each in (labels, others))
    assert (found[:, own] == changed[:, own]).all()
    assert (found[LOGISTIC, ~own] != changed[LOGISTIC, ~own]).any()


def test_what_has_no_value_says_why(tmp_path: Path) -> None:
    labels = labels_of(80)
    broken, constant = pairs_of(labels, 1.0), Pairs(torch.ones(80, 12), torch.zeros(80, 12))
    broken.no[7, 3] = torch.nan
    data = map_of([pairs_of(labels, 1.0), broken, Pairs(*(half.double() for half in constant))], labels, tmp_path).data
    reasons = [NoValue.HAS_VALUE, NoValue.ACTIVATIONS_NOT_FINITE, NoValue.ACTIVATIONS_ALL_THE_SAME]
    for layer, reason in enumerate(reasons):
        assert (data["why_missing"][layer] == reason).all()
        for name in ("value", "low", "high", "accuracy", "auc_trained"):
            assert bool((data[name][layer].isnull() == bool(reason)).all()), name


def test_a_class_of_few_has_no_value(tmp_path: Path) -> None:
    labels = labels_of(80, wrong_rate=0.15)
    assert labels.wrong.sum() < 20
    data = map_of([pairs_of(labels, 1.0)], labels, tmp_path).data
    assert bool(data["value"].isnull().all())
    assert (data["why_missing"] == NoValue.TOO_FEW_OF_A_CLASS).all()


def test_the_same_seed_gives_the_same_and_a_layer_does_not_depend_on_others(tmp_path: Path) -> None:
    labels = labels_of(60)
    layers = [pairs_of(labels, 1.0), pairs_of(labels, 0.2)]
    both = contrast_scores(cells_of(layers, tmp_path), labels, FEW, parts=tmp_path)
    # Not of the very pairs: stored ones are in single precision.
    alone = layer_scores(cells_of(layers, tmp_path).pairs(1), labels, FEW, 1)
    other = layer_scores(cells_of(layers, tmp_path).pairs(1), labels, replace(FEW, seed=1), 1)
    np.testing.assert_array_equal(both.held_out[1], alone.held_out)
    assert (other.held_out != alone.held_out).any()


def test_layers_that_are_there_are_not_fitted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = labels_of(60)
    cells = cells_of([pairs_of(labels, 1.0)] * 2, tmp_path)
    whole = contrast_scores(cells, labels, FEW, parts=tmp_path)
    (tmp_path / "layer-001.npz").unlink()
    asked = []

    def counted(pairs: Pairs, labels: Labels, contrasting: Contrasting, layer: int) -> LayerScores:
        asked.append(layer)
        return layer_scores(pairs, labels, contrasting, layer)

    monkeypatch.setattr(contrast_probes, "layer_scores", counted)
    again = contrast_scores(cells, labels, FEW, parts=tmp_path)
    assert asked == [1]
    np.testing.assert_array_equal(again.held_out, whole.held_out)
