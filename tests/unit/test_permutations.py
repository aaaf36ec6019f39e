"""What a map looks like by chance: permuted labels, and that nothing is found where nothing is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from interp.probes import chance
from interp.probes.cell_probe import Probing
from interp.probes.chance import with_marks
from interp.probes.labels import Labels, Split
from interp.probes.probe_map import out_of_fold_scores, probe_map
from interp.results.heatmap import Heatmap
from interp.statistics.auc import auc_above_chance, auc_and_influence
from interp.statistics.permutations import (
    Null,
    exchangeable,
    flipped_sums,
    inflation_of,
    null_aucs,
    permutations,
    ranks_of,
)
from tests.stored import store_of


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=12), seed=st.integers(0, 1000))
def test_groups_keep_their_labels_together(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    positive = rng.random(len(group)) < 0.5
    for order in permutations(group, 20, rng):
        permuted = positive[order]
        for size in set(sizes):
            of_size = [number for number, length in enumerate(sizes) if length == size]
            before = sorted(positive[group == number].tolist() for number in of_size)
            after = sorted(permuted[group == number].tolist() for number in of_size)
            assert before == after


@given(sizes=st.lists(st.integers(1, 4), min_size=8, max_size=12), seed=st.integers(0, 1000))
def test_folds_that_go_with_labels_have_no_group_in_two_and_are_as_stratified(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    positive, fold = rng.random(len(group)) < 0.5, rng.integers(0, 3, size=len(sizes))[group]
    for order in permutations(group, 20, rng):
        assert sorted(order) == list(range(len(group)))
        assert all(len(set(fold[order][group == number])) == 1 for number in set(group.tolist()))
        for number in range(3):
            assert positive[order][fold[order] == number].sum() == positive[fold == number].sum()


def test_every_order_is_as_likely() -> None:
    orders = permutations(np.arange(3), 3000, np.random.default_rng(0))
    np.testing.assert_allclose((orders == 0).mean(0), 1 / 3, atol=0.04)


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
    assert np.isnan(null.thresholds()).tolist() == [True, False]


def test_a_cell_is_marked_if_it_is_above_its_threshold() -> None:
    rng = np.random.default_rng(0)
    for n_draws in (19, 39, 200, 1000):
        null = Null(0.5 + 0.05 * rng.normal(size=(n_draws, 3)), 1.3)
        for away in (-1e-9, 1e-9):
            p_values = null.corrected_p_values(null.thresholds() + away)
            assert ((p_values <= 0.05) == (away > 0)).all()
    assert (Null(0.5 + 0.05 * rng.normal(size=(18, 3)), 1.0).thresholds() == np.inf).all()


def test_a_cell_that_never_varies_is_not_above_chance_unless_it_is_above_what_is_expected() -> None:
    """Scores that are all the same have an AUC of .5 whatever the labels are."""
    null = Null(np.array([[0.5, 0.4], [0.5, 0.6], [0.5, 0.55]]), 1.2)
    marks = null.marks(np.array([[0.5, 0.9]]))
    assert marks["p"][0, 0] == marks["p_corrected"][0, 0] == 1.0
    assert marks["marked"].tolist() == [[0, 0]]
    alone = Null(np.zeros((30, 1)), 1.2, expected=0.0).marks(np.array([[np.nan, 0.0]]))
    assert np.isnan(alone["threshold"]).all()
    assert alone["marked"].tolist() == [[0, 0]]
    assert np.isnan(alone["p_corrected"][0, 0])


def marked_map(folder: Path, seed: int, signal: float, sizes: np.ndarray | None = None) -> Heatmap:
    """A map of 3 × 2 cells, of noise but for one cell; noise is alike within groups, of which there may be any."""
    rng = np.random.default_rng(seed)
    sizes = np.ones(80, dtype=int) if sizes is None else sizes
    group, n = np.repeat(np.arange(len(sizes)), sizes), int(sizes.sum())
    wrong = rng.permutation(n) < n // 2
    cells = rng.normal(size=(3, 2, n, 10)) + (rng.normal(size=(3, 2, len(sizes), 10))[:, :, group] if n > 80 else 0)
    cells[1, 0, :, 0] += signal * wrong
    mask = np.ones((n, 2), dtype=bool)
    mask[::7, 1] = False
    split, probing = Split(4, seed), Probing(nested=False)
    labels = split.labels(wrong.tolist(), [str(number) for number in group])
    store = store_of(folder / f"{seed}-{signal}", torch.from_numpy(cells).float())
    scores = out_of_fold_scores(store, mask, labels, probing, parts=folder / f"scores-{seed}-{signal}")
    heatmap = probe_map(scores, mask, labels, store)
    return with_marks(heatmap, scores, mask, labels, store, split, probing, draws=200, seed=seed)


def test_nothing_is_marked_where_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In at most 5 % of maps of noise, and what a binomial of 60 such maps adds to that."""
    monkeypatch.setattr(chance, "REFIT_DRAWS", 5)
    monkeypatch.setattr(chance, "REFIT_CELLS", 3)
    maps = [marked_map(tmp_path, seed, 0.0) for seed in range(60)]
    assert sum(bool(each.data["marked"].any()) for each in maps) <= 6
    p_values = np.concatenate([each.data["p"].values.ravel() for each in maps])
    assert 0.02 <= (p_values <= 0.05).mean() <= 0.07
    assert np.mean([float(each.data.attrs["refits_spread"]) for each in maps]) > 1.05


def test_groups_are_exchanged_where_nearly_all_have_many_of_their_size() -> None:
    assert exchangeable(np.arange(12))
    assert exchangeable(np.repeat(np.arange(40), [1] * 20 + [2] * 20))
    assert not exchangeable(np.arange(9))
    assert not exchangeable(np.repeat(np.arange(17), np.arange(3, 20)))
    # 20 pairs, and one group of as many examples as a tenth of all.
    assert exchangeable(np.repeat(np.arange(21), [2] * 20 + [2]))
    assert not exchangeable(np.repeat(np.arange(21), [2] * 20 + [5]))


def test_groups_of_many_sizes_have_signs_drawn_and_what_is_there_is_marked(tmp_path: Path) -> None:
    """Labels that are dealt out among groups of one size would stay where they are."""
    data = marked_map(tmp_path, 0, 6.0, np.arange(3, 20)).data
    assert "sign flips of groups" in data.attrs["mark"]
    assert data["value"].values[1, 0] > 0.95
    assert data["marked"].values.tolist() == [[0, 0], [1, 0], [0, 0]]


def test_refits_to_groups_of_many_sizes_are_to_labels_that_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []

    def noted(store: object, mask: object, permuted: dict[tuple[int, int], list[Labels]], *rest: object) -> list[float]:
        seen.extend(each.wrong for of_cell in permuted.values() for each in of_cell)
        return [0.4, 0.6]

    monkeypatch.setattr(chance, "refitted_aucs", noted)
    marked_map(tmp_path, 0, 0.0, np.arange(3, 20))
    assert len({each.tobytes() for each in seen}) == len(seen)
    assert len({int(each.sum()) for each in seen}) == 1


def test_nothing_is_marked_where_there_is_nothing_in_groups_of_many_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chance, "REFIT_DRAWS", 5)
    monkeypatch.setattr(chance, "REFIT_CELLS", 3)
    maps = [marked_map(tmp_path, seed, 0.0, np.arange(1, 17)) for seed in range(40)]
    assert all("sign flips of groups" in each.data.attrs["mark"] for each in maps)
    # At 5 %, more than 6 of 40 are marked with probability .003.
    assert sum(bool(each.data["marked"].any()) for each in maps) <= 6


def test_each_cell_is_refitted_to_permutations_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one permutation gives a cell it gives those that resemble it. Folds go with the labels."""
    seen: list[tuple[bytes, bytes]] = []

    def noted(store: object, mask: object, permuted: dict[tuple[int, int], list[Labels]], *rest: object) -> list[float]:
        seen.extend((each.wrong.tobytes(), each.fold.tobytes()) for of_cell in permuted.values() for each in of_cell)
        assert len(permuted) == 6
        return [0.4, 0.6]

    monkeypatch.setattr(chance, "refitted_aucs", noted)
    marked_map(tmp_path, 0, 0.0)
    assert len(seen) == len(set(seen)) == 6 * chance.REFIT_DRAWS


def test_what_is_there_is_marked(tmp_path: Path) -> None:
    """In every map, and beside it nothing, but for what chance gives: at most one of ten maps."""
    maps = [marked_map(tmp_path, seed, 4.0).data for seed in range(10)]
    assert all(data["marked"].values[1, 0] == 1 for data in maps)
    assert all(data["p_corrected"].values[1, 0] == pytest.approx(1 / 201) for data in maps)
    assert sum(int(data["marked"].sum()) > 1 for data in maps) <= 1
    for data in maps:
        above = data["value"] > data["threshold"]
        assert (above == data["marked"].astype(bool)).all()


@pytest.mark.parametrize(
    "sizes",
    [np.random.default_rng(0).integers(2, 30, size=40), np.maximum(60 // np.arange(1, 41), 1)],
    ids=["different", "very different"],
)
def test_where_answers_share_labels_and_scores_permutations_are_too_narrow_and_flips_are_not(sizes: np.ndarray) -> None:
    """Answers of different frequency, each with labels and scores that are alike and have nothing in common."""
    rng = np.random.default_rng(0)
    side = np.repeat(np.arange(len(sizes)), sizes)
    rejected = {"permuted": 0, "around the AUC": 0, "around chance": 0}
    for _ in range(400):
        wrong = rng.random(len(side)) < rng.beta(0.5, 0.5, size=len(sizes))[side]
        scores = (rng.normal(size=len(sizes))[side] + 0.3 * rng.normal(size=len(side)))[None]
        value, influence = auc_and_influence(scores, wrong, side)
        permuted = wrong[permutations(np.arange(len(side)), 200, rng)]
        nulls = {
            "permuted": null_aucs(ranks_of(scores[:, None]), permuted),
            "around the AUC": 0.5 + flipped_sums(influence[None], 200, rng),
            "around chance": 0.5 + flipped_sums(auc_above_chance(scores, wrong, side)[1][None], 200, rng),
        }
        for name, null in nulls.items():
            rejected[name] += bool(Null(null, 1.0).p_values(np.array([value]))[0] <= 0.05)
    assert rejected["permuted"] / 400 > 0.2
    assert rejected["around the AUC"] > rejected["around chance"]
    assert 0.02 < rejected["around chance"] / 400 < 0.1


@given(seed=st.integers(0, 10_000), n=st.integers(8, 40), n_groups=st.integers(1, 6))
def test_what_groups_add_above_chance_is_the_auc(seed: int, n: int, n_groups: int) -> None:
    rng = np.random.default_rng(seed)
    wrong = np.arange(n) % 3 == 0
    scores = rng.integers(0, 6, size=(2, n)).astype(float)
    scores[0, rng.choice(n, size=2, replace=False)] = np.nan
    scores[0, :4] = 1.0  # Both classes have scores.
    value, parts = auc_above_chance(scores, wrong, rng.integers(0, n_groups, size=n))
    aucs = [roc_auc_score(wrong[np.isfinite(row)], row[np.isfinite(row)]) for row in scores]
    assert value == pytest.approx(np.mean(aucs))
    assert parts.sum() == pytest.approx(value - 0.5)


def test_the_least_p_value_of_the_fewest_draws_is_marked() -> None:
    null = Null(np.linspace(0.4, 0.6, 19)[:, None], 1.0)
    marks = null.marks(np.array([[0.9]]))
    assert marks["p_corrected"] == pytest.approx(0.05)
    assert marks["marked"].tolist() == [[1]]


def test_a_cells_own_p_value_is_of_what_refits_spread_to_and_of_the_draws_that_it_has() -> None:
    values = np.array([[0.6], [0.55], [np.nan], [0.4]])
    np.testing.assert_allclose(Null(values, 1.0).p_values(np.array([0.58])), [2 / 4])
    np.testing.assert_allclose(Null(values, 2.0).p_values(np.array([0.58])), [3 / 4])


def test_inflation_is_how_far_refits_are_from_chance_and_is_1_at_least() -> None:
    null = np.array([[0.6, np.nan], [0.4, 0.6]])
    assert inflation_of([0.7, 0.7], null) == pytest.approx(2)
    assert inflation_of([0.5, 0.51], null) == inflation_of([], null) == 1


def test_refits_to_groups_that_change_places_have_folds_that_are_as_stratified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: set[tuple[int, ...]] = set()

    def noted(store: object, mask: object, permuted: dict[tuple[int, int], list[Labels]], *rest: object) -> list[float]:
        shares.update(tuple(np.bincount(each.fold[0, each.wrong])) for each in next(iter(permuted.values())))
        return [0.4, 0.6]

    monkeypatch.setattr(chance, "refitted_aucs", noted)
    marked_map(tmp_path, 0, 0.0)
    assert shares == {(10, 10, 10, 10)}


def test_answers_that_are_kept_apart_have_their_signs_flipped_and_are_kept_apart_in_refits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every question is a group of its own, four of them have one answer; one of two cells is refitted."""
    rng = np.random.default_rng(0)
    wrong, mask = rng.permutation(80) < 40, np.ones((80, 2), dtype=bool)
    split, probing = Split(4), Probing(nested=False)
    labels = split.labels(wrong.tolist(), [str(n) for n in range(80)], [str(n // 4) for n in range(80)])
    store = store_of(tmp_path / "store", torch.from_numpy(rng.normal(size=(1, 2, 80, 6))).float())
    scores = out_of_fold_scores(store, mask, labels, probing, parts=tmp_path / "scores")
    sides, shapes = set(), {}

    def refitted(
        store: object, mask: object, permuted: dict[tuple[int, int], list[Labels]], *rest: object
    ) -> list[float]:
        sides.update(len(np.unique(each.side)) for of_cell in permuted.values() for each in of_cell)
        return [0.1, 0.9]

    def inflated(refits: list[float], null: np.ndarray) -> float:
        shapes["null"] = null.shape
        return inflation_of(refits, null)

    def flipped(parts: np.ndarray, n_draws: int, rng: np.random.Generator) -> np.ndarray:
        shapes["parts"] = parts.shape
        return flipped_sums(parts, n_draws, rng)

    monkeypatch.setattr(chance, "REFIT_CELLS", 1)
    for name, function in (("refitted_aucs", refitted), ("inflation_of", inflated), ("flipped_sums", flipped)):
        monkeypatch.setattr(chance, name, function)
    heatmap = probe_map(scores, mask, labels, store)
    attributes = with_marks(heatmap, scores, mask, labels, store, split, probing, draws=200, seed=0).data.attrs
    assert "sign flips of answers" in attributes["mark"]
    assert attributes["refits_spread"] > 2
    assert sides == {20}
    assert shapes == {"null": (200, 1), "parts": (2, 20)}


def test_ten_groups_of_a_size_are_the_fewest_that_are_exchanged() -> None:
    assert exchangeable(np.arange(10))
    assert not exchangeable(np.arange(9))
