from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from interp.auc import auc_interval, refitting_factor
from interp.errors import InputError
from interp.heatmap import Heatmap
from interp.probe import Labels, NoValue, cell_scores, out_of_fold_scores, probe_map
from tests.stored import store_of

POSITIONS = ("last_q", "-1")


def labels_of(n: int, *, seed: int = 0, wrong_rate: float = 0.5, folds: int = 5) -> Labels:
    correct = (np.random.default_rng(seed).random(n) >= wrong_rate).tolist()
    return Labels.of(correct, [str(i) for i in range(n)], folds=folds, seed=seed)


def planted(labels: Labels, strength: float, d: int = 16) -> torch.Tensor:
    features = np.random.default_rng(1).normal(size=(len(labels.wrong), d))
    features[:, 3] += strength * labels.wrong
    return torch.from_numpy(features).float()


def map_of(cells: torch.Tensor, mask: np.ndarray, labels: Labels, folder: Path) -> Heatmap:
    """The probe map of ``cells[layer, position, example, d_model]``, through a real store of two shards."""
    store = store_of(folder / "store", cells, positions=POSITIONS)
    scores = out_of_fold_scores(store, mask, labels, c=1.0, parts=folder / "scores")
    return probe_map(scores, mask, labels, store)


def test_a_planted_direction_is_found_and_noise_is_not(tmp_path: Path) -> None:
    labels = labels_of(300)
    noise, signal = planted(labels, 0.0), planted(labels, 6.0)
    cells = torch.stack([torch.stack([noise, signal]), torch.stack([signal, noise])])
    data = map_of(cells, np.ones((300, 2), dtype=bool), labels, tmp_path).data
    assert data["value"].values[0, 1] > 0.99
    assert data["value"].values[1, 0] > 0.99
    for layer, column in ((0, 0), (1, 1)):
        assert data["low"].values[layer, column] < 0.5 < data["high"].values[layer, column]
    assert (data["n"] == 300).all()
    assert (data["n_wrong"] == labels.wrong.sum()).all()
    assert (data["why_missing"] == NoValue.HAS_VALUE).all()


@pytest.mark.parametrize(("strength", "d"), [(0.0, 30), (0.0, 8), (1.5, 30)])
def test_intervals_cover_what_a_rerun_on_new_examples_gives(strength: float, d: int) -> None:
    """The AUC that this procedure has on average, over draws of examples; for pure noise it is .5."""
    n, runs = 150, 150
    present = np.ones(n, dtype=bool)
    intervals = []
    for seed in range(runs):
        labels = labels_of(n, seed=seed)
        features = np.random.default_rng(seed + 10_000).normal(size=(n, d))
        features[:, 0] += strength * labels.wrong
        scores = cell_scores(torch.from_numpy(features), present, labels, c=1.0)
        intervals.append(auc_interval(scores, labels.wrong, variance_factor=refitting_factor(5)))
    truth = np.mean([interval.value for interval in intervals]) if strength else 0.5
    covered = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    assert 0.93 <= covered <= 1.0


def test_scores_are_those_of_scikit_learn() -> None:
    labels = labels_of(120)
    features = planted(labels, 1.0)
    splits = [(np.flatnonzero(labels.fold != k), np.flatnonzero(labels.fold == k)) for k in range(5)]
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, tol=1e-12, max_iter=10_000))
    expected = cross_val_predict(
        reference, features.double().numpy(), labels.wrong, cv=splits, method="decision_function"
    )
    np.testing.assert_allclose(cell_scores(features, np.ones(120, dtype=bool), labels, c=0.3), expected, atol=1e-4)


def test_a_constant_feature_does_no_harm() -> None:
    labels = labels_of(60)
    features = planted(labels, 2.0)
    features[:, 0] = 7.0
    assert np.isfinite(cell_scores(features, np.ones(60, dtype=bool), labels, c=1.0)).all()


def test_folds_are_stratified_seeded_and_keep_groups_together() -> None:
    rng = np.random.default_rng(0)
    correct = (rng.random(400) < 0.3).tolist()
    groups = [str(i // 4) for i in range(400)]
    labels = Labels.of(correct, groups, folds=5, seed=3)
    assert all(len({fold for fold, g in zip(labels.fold, groups, strict=True) if g == group}) == 1 for group in groups)
    rates = [labels.wrong[labels.fold == k].mean() for k in range(5)]
    assert max(rates) - min(rates) < 0.1
    assert (Labels.of(correct, groups, folds=5, seed=3).fold == labels.fold).all()
    assert (Labels.of(correct, groups, folds=5, seed=4).fold != labels.fold).any()


@pytest.mark.parametrize(
    ("wrong", "present", "reason"),
    [
        ([True] * 40, 40, NoValue.ONE_CLASS_ONLY),
        ([True] * 30 + [False] * 9, 39, NoValue.TOO_FEW_OF_A_CLASS),
        ([True, False] * 20, 0, NoValue.NO_EXAMPLE),
    ],
)
def test_a_cell_that_cannot_have_a_value_says_why(
    wrong: list[bool], present: int, reason: NoValue, tmp_path: Path
) -> None:
    labels = Labels.of([not w for w in wrong], [str(i) for i in range(len(wrong))], folds=5, seed=0)
    mask = np.zeros((len(wrong), 2), dtype=bool)
    mask[:present] = True
    data = map_of(torch.randn(1, 2, len(wrong), 4), mask, labels, tmp_path).data
    assert data["value"].isnull().all()
    assert data["low"].isnull().all()
    assert (data["why_missing"] == reason).all()
    assert (data["n"] == present).all()


def test_activations_that_are_not_finite_are_not_probed(tmp_path: Path) -> None:
    labels = labels_of(60)
    cells = torch.randn(1, 2, 60, 4)
    cells[0, 0, 5, 1] = torch.inf
    data = map_of(cells, np.ones((60, 2), dtype=bool), labels, tmp_path).data
    assert data["why_missing"].values.tolist() == [[NoValue.ACTIVATIONS_NOT_FINITE, NoValue.HAS_VALUE]]
    assert np.isnan(data["value"].values[0, 0])


def test_examples_without_the_position_are_not_scored(tmp_path: Path) -> None:
    labels = labels_of(100)
    mask = np.ones((100, 2), dtype=bool)
    mask[::4, 1] = False
    cells = torch.stack([planted(labels, 3.0), planted(labels, 3.0)])[None]
    cells[:, 1, ::4] = torch.nan
    data = map_of(cells, mask, labels, tmp_path).data
    assert data["n"].values.tolist() == [[100, 75]]
    scores = np.load(tmp_path / "scores" / "layer-000.npy")
    assert (np.isnan(scores) == ~mask.T).all()


def test_too_few_groups_for_the_folds_is_an_error() -> None:
    with pytest.raises(InputError, match="4 judged answers in 2 groups into 5 folds"):
        Labels.of([True, False, True, False], ["a", "a", "b", "b"], folds=5, seed=0)


def test_finished_layers_are_not_computed_again(tmp_path: Path) -> None:
    labels = labels_of(60)
    cells = torch.randn(3, 2, 60, 4)
    mask = np.ones((60, 2), dtype=bool)
    whole = map_of(cells, mask, labels, tmp_path).data
    (tmp_path / "scores" / "layer-001.npy").unlink()
    first = (tmp_path / "scores" / "layer-000.npy").stat().st_mtime_ns
    assert map_of(cells, mask, labels, tmp_path).data.identical(whole)
    assert (tmp_path / "scores" / "layer-000.npy").stat().st_mtime_ns == first
