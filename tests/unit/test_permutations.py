"""What a map looks like by chance: permuted labels, and that nothing is found where nothing is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from interp import chance
from interp.auc import auc_and_influence
from interp.cell_probe import Probing
from interp.chance import with_marks
from interp.heatmap import Heatmap
from interp.labels import Split
from interp.permutations import Null, flipped_aucs, inflation_of, null_aucs, permuted_labels, ranks_of
from interp.probe import out_of_fold_scores, probe_map
from tests.stored import store_of


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=12), seed=st.integers(0, 1000))
def test_groups_keep_their_labels_together(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    positive = rng.random(len(group)) < 0.5
    for permuted in permuted_labels(positive, group, 20, rng):
        for size in set(sizes):
            of_size = [number for number, length in enumerate(sizes) if length == size]
            before = sorted(positive[group == number].tolist() for number in of_size)
            after = sorted(permuted[group == number].tolist() for number in of_size)
            assert before == after


def test_every_order_is_as_likely() -> None:
    permuted = permuted_labels(np.array([True, False, False]), np.arange(3), 3000, np.random.default_rng(0))
    np.testing.assert_allclose(permuted.mean(0), 1 / 3, atol=0.04)


def test_an_auc_against_permuted_labels_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 20, size=(2, 3, 40)).astype(float)
    scores[:, 1, ::3] = np.nan
    permuted = rng.random((15, 40)) < 0.5
    null = null_aucs(ranks_of(scores), permuted)
    for draw, labels in enumerate(permuted):
        for cell in range(3):
            there = np.isfinite(scores[0, cell])
            expected = np.mean([roc_auc_score(labels[there], of_seed[cell, there]) for of_seed in scores])
            assert null[draw, cell] == pytest.approx(expected)


def test_a_permutation_that_leaves_one_class_counts_for_nothing() -> None:
    scores = np.array([[[1.0, 2.0, np.nan]]])
    null = null_aucs(ranks_of(scores), np.array([[True, True, False], [True, False, False]]))
    assert np.isnan(null[0, 0])
    assert null[1, 0] == 0.0


def test_p_values_count_what_is_as_large() -> None:
    values = np.array([[0.4, 0.5], [0.6, 0.45], [0.5, 0.55]])
    null = Null(values, inflation=1.0)
    np.testing.assert_allclose(null.p_values(np.array([0.6, 0.7])), [2 / 4, 1 / 4])
    assert (null.corrected_p_values(np.array([0.6, 0.7])) >= null.p_values(np.array([0.6, 0.7]))).all()
    wider = Null(values, inflation=2.0)
    np.testing.assert_allclose(wider.thresholds() - 0.5, 2 * (null.thresholds() - 0.5))
    assert inflation_of([], values) == 1.0
    assert inflation_of([0.3, 0.7], np.array([[0.4], [0.6]])) == pytest.approx(2.0)


def test_a_perfect_order_is_above_chance_whatever_its_deviation() -> None:
    null = Null(np.array([[0.5, 0.4], [0.5, 0.6], [0.5, 0.55]]), 1.2)
    assert null.corrected_p_values(np.array([1.0, 0.5]))[0] == pytest.approx(1 / 4)
    assert np.isfinite(null.thresholds()).all()


def marked_map(folder: Path, seed: int, signal: float, *, n: int = 80) -> Heatmap:
    """A map of 3 × 2 cells, of noise but for one cell."""
    rng = np.random.default_rng(seed)
    wrong = rng.permutation(n) < n // 2
    cells = rng.normal(size=(3, 2, n, 10))
    cells[1, 0, :, 0] += signal * wrong
    mask = np.ones((n, 2), dtype=bool)
    mask[::7, 1] = False
    split, probing = Split(4, seed), Probing(nested=False)
    labels = split.labels(wrong.tolist(), [str(index) for index in range(n)])
    store = store_of(folder / f"{seed}-{signal}", torch.from_numpy(cells).float())
    scores = out_of_fold_scores(store, mask, labels, probing, parts=folder / f"scores-{seed}-{signal}")
    heatmap = probe_map(scores, mask, labels, store)
    return with_marks(heatmap, scores, mask, labels, store, split, probing, draws=200, seed=seed)


def test_nothing_is_marked_where_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In at most 5 % of maps of noise, and what a binomial of 60 such maps adds to that."""
    monkeypatch.setattr(chance, "REFIT_DRAWS", 5)
    maps = [marked_map(tmp_path, seed, 0.0) for seed in range(60)]
    assert sum(bool(each.data["marked"].any()) for each in maps) <= 6
    p_values = np.concatenate([each.data["p"].values.ravel() for each in maps])
    assert 0.02 <= (p_values <= 0.05).mean() <= 0.07
    assert np.mean([float(each.data.attrs["refits_spread"]) for each in maps]) > 1.05


def test_what_is_there_is_marked(tmp_path: Path) -> None:
    data = marked_map(tmp_path, 1, 4.0).data
    assert data["marked"].values.tolist() == [[0, 0], [1, 0], [0, 0]]
    assert data["p_corrected"].values[1, 0] == pytest.approx(1 / 201)
    above = data["value"] > data["threshold"]
    assert (above == data["marked"].astype(bool)).all()


def test_where_answers_share_labels_and_scores_permutations_are_too_narrow_and_flips_are_not() -> None:
    """Answers of very different frequency, each with labels and scores that are alike and have nothing in common."""
    rng = np.random.default_rng(0)
    side = np.repeat(np.arange(40), rng.integers(2, 30, size=40))
    rejected = {"permuted": 0, "flipped": 0}
    for _ in range(200):
        wrong = rng.random(len(side)) < rng.beta(1, 1, size=40)[side]
        scores = (rng.normal(size=40)[side] + 0.3 * rng.normal(size=len(side)))[None]
        value, influence = auc_and_influence(scores, wrong, side)
        permuted = permuted_labels(wrong, np.arange(len(side)), 200, rng)
        nulls = {
            "permuted": null_aucs(ranks_of(scores[:, None]), permuted),
            "flipped": flipped_aucs(influence[None], 200, rng),
        }
        for name, null in nulls.items():
            rejected[name] += bool(Null(null, 1.0).p_values(np.array([value]))[0] <= 0.05)
    assert rejected["permuted"] / 200 > 0.2
    assert rejected["flipped"] / 200 < 0.09
