"""By how much intervals are widened for the refits, and that they cover then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from interp.probes import halves
from interp.probes.cell_probe import CellFits, Probing, Scores
from interp.probes.cross_fitting import chosen_costs, held_out_scores
from interp.probes.halves import Spread, Widening, halved, measured_widening, spread_of_halves
from interp.probes.labels import Labels, Split
from interp.probes.probe_map import out_of_fold_scores, probe_map
from interp.results.heatmap import Heatmap
from interp.statistics.auc import auc_interval
from tests.stored import store_of

PLAIN = Probing(nested=False)


def labels_of(n: int, seed: int = 0, n_seeds: int = 1) -> Labels:
    wrong = np.random.default_rng(seed).permutation(n) < n // 2
    return Split(5, seed, n_seeds).labels(wrong.tolist(), [str(index) for index in range(n)])


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=20), seed=st.integers(0, 1000))
def test_no_group_is_in_both_halves_and_every_group_may_be_in_either(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    side = rng.permutation(np.repeat(rng.permutation(len(sizes)), sizes))
    wrong, fold = rng.random(len(side)) < 0.5, side % 3
    halvings = np.stack([halved(side, wrong, fold, rng) for _ in range(40)])
    for number in range(len(sizes)):
        of_group = halvings[:, side == number]
        assert (of_group == of_group[:, :1]).all()
        assert {False, True} == set(of_group[:, 0].tolist())


def test_halves_have_as_many_of_every_class_and_fold() -> None:
    labels = labels_of(103)
    first = halved(labels.side, labels.wrong, labels.fold[0], np.random.default_rng(0))
    for fold in range(5):
        for wrong in (False, True):
            of_both = (labels.fold[0] == fold) & (labels.wrong == wrong)
            assert abs(int(first[of_both].sum()) - int((~first)[of_both].sum())) <= 2


def of_scikit_learn(features: np.ndarray, labels: Labels, half: np.ndarray) -> tuple[float, float]:
    """The AUC of a half that is cross-fitted by itself, and DeLong's variance of it."""
    scaled, wrong = StandardScaler().fit(features).transform(features[half]), labels.wrong[half]
    scores = np.empty((len(labels.fold), half.sum()))
    for row, fold in zip(scores, labels.fold[:, half], strict=True):
        for number in range(5):
            probe = LogisticRegression(tol=1e-12, max_iter=10_000).fit(scaled[fold != number], wrong[fold != number])
            row[fold == number] = probe.decision_function(scaled[fold == number])
    auc = float(np.mean([roc_auc_score(wrong, row) for row in scores]))
    _, low, high = auc_interval(scores, wrong)
    half_width = np.log(high / (1 - high)) - np.log(low / (1 - low))
    return auc, float((half_width / 2 / 1.959964 * auc * (1 - auc)) ** 2)


def test_the_spread_is_that_of_halves_that_scikit_learn_cross_fits() -> None:
    labels = labels_of(120, n_seeds=2)
    features = np.random.default_rng(1).normal(size=(140, 8)) + 0.4 * np.pad(labels.wrong, (0, 20))[:, None]
    present = np.arange(140) < 120
    arrays = (labels.wrong, labels.fold, labels.group, labels.side)
    padded = Labels(*(np.pad(each, [(0, 0)] * (each.ndim - 1) + [(0, 20)]) for each in arrays))
    found, expected = spread_of_halves(torch.from_numpy(features), present, padded, PLAIN, 3, np.random.default_rng(5))
    rng, spread = np.random.default_rng(5), np.zeros(2)
    for _ in range(3):
        first = halved(labels.side, labels.wrong, labels.fold[0], rng)
        (one, variance), (other, of_other) = (of_scikit_learn(features[:120], labels, half) for half in (first, ~first))
        spread += (one - other) ** 2, variance + of_other
    assert found == pytest.approx(spread[0], rel=1e-3)
    assert expected == pytest.approx(spread[1], rel=1e-3)


@pytest.mark.parametrize("candidates", [(1.0,), (1e-4, 10.0)])
def test_halves_in_a_batch_have_the_scores_of_each_alone(candidates: tuple[float, ...]) -> None:
    """Halves of two sizes, of one with a signal strong regularisation is not chosen for, and of one without."""
    labels, rng = labels_of(160, n_seeds=2), np.random.default_rng(3)
    features = torch.from_numpy(rng.normal(size=(160, 12)))
    of_halves = [np.arange(90), np.arange(90, 160)]
    features[:90, 0] += 2 * torch.from_numpy(labels.wrong[:90])
    probing = Probing(candidates, nested=False)
    scores = halves._cross_fitted(features, labels.wrong, labels.fold, of_halves, probing)
    chosen = set()
    for half, ours in zip(of_halves, scores, strict=True):
        problem, fold = CellFits(features[half], labels.wrong[half], probing), labels.fold[:, half]
        costs = chosen_costs(problem, fold, 5, candidates)
        chosen |= set(costs.flat)
        np.testing.assert_allclose(ours, held_out_scores(problem, fold, costs), rtol=0, atol=1e-4)
    assert chosen == set(candidates)


def drawn_map(n: int, d: int, signal: float, folder: Path, *, seed: int, halvings: int) -> Heatmap:
    """A map of 20 cells with features of their own, with its intervals as the halves have it."""
    labels = labels_of(n, seed)
    features = np.random.default_rng(seed).normal(size=(10, 2, n, d))
    features[..., 0] += signal * labels.wrong
    store, mask = store_of(folder / "store", torch.from_numpy(features)), np.ones((n, 2), dtype=bool)
    scores = out_of_fold_scores(store, mask, labels, PLAIN, parts=folder / "scores")
    widening = measured_widening(scores, mask, labels, store, PLAIN, halvings=halvings, seed=seed)
    assert widening is not None
    return probe_map(scores, mask, labels, store, widening=widening)


def test_where_fits_hardly_vary_intervals_are_hardly_wider_and_where_they_do_they_are(tmp_path: Path) -> None:
    """One feature that tells the classes apart leaves a probe nothing to choose but its sign."""
    few, many = (
        drawn_map(200, d, signal, tmp_path / str(d), seed=0, halvings=4).data["variance_factor"].values
        for d, signal in ((1, 1.5), (40, 0.0))
    )
    assert few.min() >= 1
    assert few.mean() < 1.4
    assert many.mean() > 1.5


@pytest.mark.parametrize(("d", "signal"), [(30, 0.0), (30, 1.5)])
def test_intervals_of_a_map_cover_what_maps_of_new_examples_have(d: int, signal: float, tmp_path: Path) -> None:
    """The AUC that this procedure has on average, over draws of examples; for pure noise it is .5."""
    maps = [drawn_map(120, d, signal, tmp_path / str(seed), seed=seed, halvings=4).data for seed in range(15)]
    truth = np.mean([data["value"].mean() for data in maps]) if signal else 0.5
    covered = np.mean([(data["low"] <= truth) & (truth <= data["high"]) for data in maps])
    assert 0.93 <= covered <= 0.97


def test_a_factor_is_1_at_least_and_as_far_from_chance_on_either_side() -> None:
    widening = Widening(np.log(2.0), -1.0)
    assert widening.factor(0.5) == pytest.approx(2.0)
    assert widening.factor(0.6) == pytest.approx(widening.factor(0.4)) == pytest.approx(2 * np.exp(-0.2))
    assert widening.factor(1.0) == 1.0


def test_which_cells_are_halved_does_not_depend_on_their_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which may be rounded in another way elsewhere."""
    labels, mask, measured = labels_of(40), np.ones((40, 3), dtype=bool), []

    def noted(device: str, of_cell: object, cells: list[tuple[int, int]]) -> list[Spread]:
        measured.append(cells)
        return [Spread(1.0, 1.0) for _ in cells]

    monkeypatch.setattr(halves, "each_on", noted)
    store = store_of(tmp_path, torch.randn(14, 3, 40, 2))
    for seed in (0, 1):
        scores = np.random.default_rng(seed).normal(size=(14, 3, 1, 40))
        scores[0, 0] = np.nan
        measured_widening(Scores(scores, scores[:, :, :0]), mask, labels, store, PLAIN, halvings=3, seed=0)
    assert measured[0] == measured[1]
    assert len(set(measured[0])) == halves.CELLS
    assert measured[0][0] == (0, 1)
    assert measured[0][-1] == (13, 2)
    assert {column for _, column in measured[0]} == {0, 1, 2}


@pytest.mark.parametrize(("n_cells", "of_each"), [(1, 60), (3, 20), (8, 8), (20, 3), (30, 3)])
def test_small_maps_are_halved_as_often_as_large_ones(
    n_cells: int, of_each: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def noted(
        activations: object, present: object, labels: object, probing: object, halvings: int, rng: object
    ) -> Spread:
        seen.append(halvings)
        return Spread(1.5, 1.0)

    monkeypatch.setattr(halves, "spread_of_halves", noted)
    labels, mask = labels_of(40), np.ones((40, 1), dtype=bool)
    store = store_of(tmp_path, torch.zeros(n_cells, 1, 40, 2), positions=["-1"])
    scores = Scores(np.zeros((n_cells, 1, 1, 40)), np.zeros((n_cells, 1, 0, 40)))
    widening = measured_widening(scores, mask, labels, store, PLAIN, halvings=3, seed=0)
    assert seen == [of_each] * min(n_cells, halves.CELLS)
    assert widening is not None
    assert widening.factor(0.5) == pytest.approx(1.5)


def test_what_cannot_be_halved_has_no_factor(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = Split(2).labels([True, False] * 2, list("abcd"))
    store = store_of(tmp_path, torch.randn(1, 2, 4, 3))
    without, mask = Scores(np.full((1, 2, 1, 4), np.nan), np.empty((1, 2, 0, 4))), np.ones((4, 2), dtype=bool)
    assert measured_widening(without, mask, labels, store, PLAIN, halvings=3, seed=0) is None
    scored = Scores(np.zeros((1, 2, 1, 4)), without.inner)
    assert measured_widening(scored, mask, labels, store, PLAIN, halvings=3, seed=0) is None
    assert caplog.messages == ["no cell can be halved: intervals are widened by what folds have in common"] * 2
    assert measured_widening(scored, mask, labels, store, PLAIN, halvings=0, seed=0) is None
    assert len(caplog.messages) == 2


def test_the_spread_is_held_against_the_variance_over_sides() -> None:
    """Examples that are there twice, on one side, say no more than once."""
    rng = np.random.default_rng(0)
    wrong = np.arange(120) % 2 == 0
    features = torch.from_numpy(rng.normal(size=(120, 3)) + 0.5 * wrong[:, None])
    expected = []
    for times in (1, 2):
        sides = [str(number) for number in np.repeat(np.arange(120), times)]
        labels = Split(4).labels(np.repeat(wrong, times).tolist(), sides)
        cell = features.repeat_interleave(times, dim=0)
        everyone = np.ones(120 * times, dtype=bool)
        expected.append(spread_of_halves(cell, everyone, labels, Probing(), 10, rng).expected)
    assert expected[1] == pytest.approx(expected[0], rel=0.2)
