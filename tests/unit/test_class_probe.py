"""Probes of several classes, one against the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from interp.probes.cell_probe import NoValue, Probing, cell_scores
from interp.probes.class_probe import class_map, class_scores, class_scores_of_cell, example_class_scores
from interp.probes.labels import Labels, Split
from interp.results.heatmap import Heatmap
from tests.stored import store_of

N = 180
PLAIN = Probing(nested=False)


def classes_of(sizes: dict[str, int], seed: int = 0) -> dict[str, Labels]:
    names = np.random.default_rng(seed).permutation(np.repeat(list(sizes), list(sizes.values()))).tolist()
    return Split().one_against_the_rest(names, [str(index) for index in range(len(names))])


def planted(classes: dict[str, Labels], strength: float, seed: int = 1) -> torch.Tensor:
    """Each class has a direction of its own."""
    positive = np.stack([labels.wrong for labels in classes.values()])
    features = np.random.default_rng(seed).normal(size=(positive.shape[1], 8))
    features[:, : len(positive)] += strength * positive.T
    return torch.from_numpy(features).float()


def map_of(folder: Path, cells: torch.Tensor, mask: np.ndarray, classes: dict[str, Labels]) -> Heatmap:
    store = store_of(folder / "store", cells)
    scores = class_scores(store, mask, classes, PLAIN, parts=folder / "scores")
    examples = example_class_scores(scores, classes, store)
    names = np.array(list(classes))[np.stack([labels.wrong for labels in classes.values()]).argmax(0)]
    assert (examples["label"].values == names).all()
    return class_map(scores, mask, classes, store, metric="macro AUC", draws=100)


def test_the_folds_are_the_same_for_all_classes_and_stratified_by_each() -> None:
    classes = classes_of({"a": 30, "b": 60, "c": 90})
    assert list(classes) == ["a", "b", "c"]
    assert sum(labels.wrong.astype(int) for labels in classes.values()).tolist() == [1] * N
    for labels, size in zip(classes.values(), (30, 60, 90), strict=True):
        assert (labels.fold == classes["a"].fold).all()
        assert np.bincount(labels.fold[0][labels.wrong]).tolist() == pytest.approx([size / 5] * 5, abs=1)


def test_each_class_has_the_scores_and_the_auc_of_scikit_learn(tmp_path: Path) -> None:
    classes = classes_of({"a": 30, "b": 60, "c": 90})
    features = planted(classes, 1.0)
    scaled, fold = StandardScaler().fit_transform(features.double().numpy()), classes["a"].fold[0]
    everyone = np.ones(N, dtype=bool)
    scores = class_scores_of_cell(features, everyone, classes, PLAIN)
    assert scores.inner.shape == (3, 0, N)
    data = map_of(tmp_path, torch.stack([features, features])[None], np.ones((N, 2), dtype=bool), classes).data
    aucs = []
    for row, (name, labels) in enumerate(classes.items()):
        expected = np.empty(N)
        for number in range(5):
            probe = LogisticRegression(tol=1e-12, max_iter=10_000)
            probe.fit(scaled[fold != number], labels.wrong[fold != number])
            expected[fold == number] = probe.decision_function(scaled[fold == number])
        np.testing.assert_allclose(scores.held_out[row, 0], expected, atol=1e-4)
        np.testing.assert_array_equal(scores.held_out[row], cell_scores(features, everyone, labels, PLAIN).held_out)
        aucs.append(roc_auc_score(labels.wrong, expected))
        of_class = data.sel({"class": name}).isel(layer=0, position=0)
        assert float(of_class["class_value"]) == pytest.approx(aucs[-1], abs=1e-4)
        assert of_class["class_low"] < of_class["class_value"] < of_class["class_high"]
        assert of_class["class_n"] == labels.wrong.sum()
    assert data["value"].values[0, 0] == pytest.approx(np.mean(aucs), abs=1e-4)
    assert (data["n_classes"] == 3).all()


def test_what_is_planted_is_found_and_noise_is_not(tmp_path: Path) -> None:
    classes = classes_of({"a": 60, "b": 60, "c": 60})
    cells = torch.stack([torch.stack([planted(classes, 0.0), planted(classes, 5.0)])])
    data = map_of(tmp_path, cells, np.ones((N, 2), dtype=bool), classes).data.isel(layer=0)
    assert data["low"].values[0] < 0.5 < data["high"].values[0]
    assert data["value"].values[1] > 0.99
    assert (data["low_bootstrap"] <= data["value"]).all()
    assert (data["value"] <= data["high_bootstrap"]).all()


def test_a_class_that_a_position_hardly_has_is_not_told_apart_there(tmp_path: Path) -> None:
    classes = classes_of({"a": 30, "b": 60, "c": 90})
    features = planted(classes, 1.0)
    mask = np.ones((N, 2), dtype=bool)
    mask[np.flatnonzero(classes["a"].wrong)[19:], 1] = False
    data = map_of(tmp_path, torch.stack([features, features])[None], mask, classes).data.isel(layer=0)
    assert data["n_classes"].values.tolist() == [3, 2]
    assert data["class_n"].values.tolist() == [[30, 60, 90], [19, 60, 90]]
    assert np.isnan(data["class_value"].values[1, 0])
    assert data["value"].values[1] == pytest.approx(data["class_value"].values[1, 1:].mean())


@pytest.mark.parametrize(
    ("present", "reason"),
    [
        (slice(0, 0), NoValue.NO_EXAMPLE),
        (slice(0, 40), NoValue.TOO_FEW_OF_A_CLASS),
        (slice(0, N), NoValue.ACTIVATIONS_ALL_THE_SAME),
    ],
)
def test_a_cell_that_cannot_have_a_value_says_why(present: slice, reason: NoValue, tmp_path: Path) -> None:
    classes = classes_of({"a": 60, "b": 60, "c": 60})
    mask = np.zeros((N, 2), dtype=bool)
    mask[present] = True
    cells = planted(classes, 1.0)[None, None].repeat(1, 2, 1, 1)
    if reason == NoValue.ACTIVATIONS_ALL_THE_SAME:
        cells[:] = 1.0
    data = map_of(tmp_path, cells, mask, classes).data
    assert (data["why_missing"] == reason).all()
    assert data["value"].isnull().all()
    assert (data["n_classes"] == 0).all()
