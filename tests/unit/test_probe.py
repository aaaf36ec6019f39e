from __future__ import annotations

from dataclasses import replace
from inspect import unwrap
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_predict, train_test_split
from sklearn.preprocessing import StandardScaler

from interp.activations.store import ActivationStore
from interp.errors import InputError
from interp.probes import cell_probe as cell_probe_module
from interp.probes import probe_map as probe_module
from interp.probes.cell_batches import scores_of_batch
from interp.probes.cell_probe import (
    SOLVERS,
    CellFits,
    NoValue,
    Probing,
    Scores,
    best_cost,
    cell_scores,
    present_features,
    scores_of_labellings,
    why_no_value,
)
from interp.probes.halves import widening_of
from interp.probes.labels import NEVER, Labels, Split
from interp.probes.logistic import Fits, fit_each, rough_log_odds
from interp.probes.probe_map import best_cell, out_of_fold_scores, probe_map, refitted_aucs
from interp.results.heatmap import Heatmap
from interp.statistics.auc import auc_interval, bootstrap_interval, refitting_factor
from interp.statistics.means import group_draws
from tests.stored import store_of

POSITIONS = ("last_q", "-1")
ROUGHLY = 0.02
"""By how much log-odds within the folds may differ from the optimum's; those that leave out other folds do by .2."""


def labels_of(n: int, *, seed: int = 0, wrong_rate: float = 0.5, folds: int = 5, n_seeds: int = 1) -> Labels:
    wrong = (np.random.default_rng(seed).random(n) < wrong_rate).tolist()
    return Split(folds, seed, n_seeds).labels(wrong, [str(i) for i in range(n)])


def assert_alike(scores: Scores, expected: Scores) -> None:
    np.testing.assert_allclose(scores.held_out, expected.held_out, rtol=0, atol=1e-4)
    np.testing.assert_allclose(scores.inner, expected.inner, rtol=0, atol=ROUGHLY)


def planted(labels: Labels, strength: float, d: int = 16) -> torch.Tensor:
    features = np.random.default_rng(1).normal(size=(len(labels.wrong), d))
    features[:, 3] += strength * labels.wrong
    return torch.from_numpy(features).float()


def stored(cells: torch.Tensor, folder: Path) -> ActivationStore:
    """A real store of two shards of ``cells[layer, position, example, d_model]``."""
    return store_of(folder / "store", cells, positions=POSITIONS)


def map_of(cells: torch.Tensor, mask: np.ndarray, labels: Labels, folder: Path) -> Heatmap:
    store = stored(cells, folder)
    scores = out_of_fold_scores(store, mask, labels, Probing(), parts=folder / "scores")
    return probe_map(scores, mask, labels, store)


def scores_of(features: torch.Tensor, labels: Labels, probing: Probing | None = None) -> Scores:
    return cell_scores(features, np.ones(len(features), dtype=bool), labels, probing or Probing())


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


def test_intervals_that_no_halves_were_made_for_cover_as_well() -> None:
    """Pure noise, whose AUC is .5 on average over draws of examples; `test_halves.py` has those of maps."""
    n, d, runs = 150, 30, 100
    intervals = []
    for seed in range(runs):
        labels = labels_of(n, seed=seed)
        features = np.random.default_rng(seed + 10_000).normal(size=(n, d))
        scores = scores_of(torch.from_numpy(features), labels, Probing(nested=False)).held_out
        intervals.append(auc_interval(scores, labels.wrong, variance_factor=refitting_factor(5)))
    assert 0.93 <= np.mean([interval.low <= 0.5 <= interval.high for interval in intervals]) <= 1.0


def of_scikit_learn(features: np.ndarray, labels: Labels, c: float, seed: int = 0) -> np.ndarray:
    """Out-of-fold log-odds, from scikit-learn's own cross-validation."""
    fold = labels.fold[seed]
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(labels.n_folds)]
    reference = LogisticRegression(C=c, tol=1e-12, max_iter=10_000)
    scores: np.ndarray = cross_val_predict(reference, features, labels.wrong, cv=splits, method="decision_function")
    return scores


@pytest.mark.parametrize("standardise", [True, False])
def test_scores_are_those_of_scikit_learn(standardise: bool) -> None:
    labels = labels_of(120, n_seeds=2)
    features = planted(labels, 1.0)
    scaled = StandardScaler().fit_transform(features.double().numpy()) if standardise else features.double().numpy()
    for solver in SOLVERS:
        scores = scores_of(features, labels, Probing((0.3,), solver=solver, standardise=standardise))
        for seed in range(2):
            np.testing.assert_allclose(scores.held_out[seed], of_scikit_learn(scaled, labels, 0.3, seed), atol=1e-4)


def test_inner_scores_are_by_probes_that_saw_neither_fold() -> None:
    labels = labels_of(120)
    features = planted(labels, 1.0)
    scaled = StandardScaler().fit_transform(features.double().numpy())
    inner, fold = scores_of(features, labels).inner, labels.fold[0]
    for outer in range(5):
        assert np.isnan(inner[outer, fold == outer]).all()
        for other in set(range(5)) - {outer}:
            trained = ~np.isin(fold, [outer, other])
            reference = LogisticRegression(tol=1e-12, max_iter=10_000).fit(scaled[trained], labels.wrong[trained])
            expected = reference.decision_function(scaled[fold == other])
            np.testing.assert_allclose(inner[outer, fold == other], expected, atol=ROUGHLY)


def test_the_regularisation_is_chosen_within_the_other_folds() -> None:
    labels = labels_of(150)
    features, candidates = planted(labels, 1.5), (1e-4, 1e-2, 1.0, 100.0)
    scaled, fold = StandardScaler().fit_transform(features.double().numpy()), labels.fold[0]
    chosen = scores_of(features, labels, Probing(candidates)).held_out[0]
    taken = set()
    for outer in range(5):
        trained = fold != outer
        losses = []
        for c in candidates:
            inner = np.empty(150)
            for other in set(range(5)) - {outer}:
                probe = LogisticRegression(C=c, tol=1e-10, max_iter=10_000)
                probe.fit(scaled[trained & (fold != other)], labels.wrong[trained & (fold != other)])
                inner[fold == other] = probe.decision_function(scaled[fold == other])
            losses.append(log_loss(labels.wrong[trained], 1 / (1 + np.exp(-inner[trained]))))
        best = candidates[int(np.argmin(losses))]
        taken.add(best)
        probe = LogisticRegression(C=best, tol=1e-12, max_iter=10_000).fit(scaled[trained], labels.wrong[trained])
        np.testing.assert_allclose(
            chosen[fold == outer], probe.decision_function(scaled[fold == outer]), rtol=1e-4, atol=1e-4
        )
    assert taken <= {1e-2, 1.0}


@pytest.mark.parametrize("label", ["no", None, 2])
def test_labels_that_are_not_true_or_false_are_refused(label: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(InputError, match=rf"^a label is {label!r}; give true or false for each example"):
        Split().labels([True, False, label] * 20, [str(number) for number in range(60)])


def test_labels_and_groups_are_as_many() -> None:
    with pytest.raises(InputError, match=r"^there are 60 labels and 59 groups; give each example both"):
        Split().labels([True, False] * 30, [str(number) for number in range(59)])


def test_scores_are_the_same_without_a_folder_and_from_one(tmp_path: Path) -> None:
    labels, mask = labels_of(60), np.ones((60, 2), dtype=bool)
    store = stored(torch.randn(3, 2, 60, 4, generator=torch.Generator().manual_seed(0)), tmp_path)
    alone = out_of_fold_scores(store, mask, labels, Probing())
    for _ in range(2):
        kept = out_of_fold_scores(store, mask, labels, Probing(), parts=tmp_path / "scores")
        np.testing.assert_array_equal(alone.held_out, kept.held_out)
        np.testing.assert_array_equal(alone.inner, kept.inner)
    assert len(list((tmp_path / "scores").iterdir())) == 3


def test_the_best_cell_is_chosen_without_the_answers_it_is_scored_on(tmp_path: Path) -> None:
    """Of many cells of noise the best looks good, and is not."""
    labels = labels_of(150)
    noise = torch.randn(20, 2, 150, 4, generator=torch.Generator().manual_seed(0))
    mask = np.ones((150, 2), dtype=bool)
    store = stored(noise, tmp_path)
    scores = out_of_fold_scores(store, mask, labels, Probing(), parts=tmp_path / "scores")
    best = best_cell(scores, labels, store)
    assert best is not None
    assert probe_map(scores, mask, labels, store).data["low"].max() > 0.5
    assert best.auc.low < 0.5 < best.auc.high

    noise[7, 1, :, 0] += 3 * torch.from_numpy(labels.wrong)
    store = stored(noise, tmp_path / "planted")
    scores = out_of_fold_scores(store, mask, labels, Probing(), parts=tmp_path / "planted" / "scores")
    best = best_cell(scores, labels, store)
    assert best is not None
    assert best.cells == [(7, "-1")] * 5
    assert best.auc.value > 0.95
    # Where every fold chooses one cell, its scores are those of the map.
    cell = probe_map(scores, mask, labels, store).data.sel(layer=7, position="-1")
    assert best.auc == pytest.approx(tuple(float(cell[name]) for name in ("value", "low", "high")))


@pytest.mark.parametrize(("n_groups", "reason"), [(5, NoValue.TOO_FEW_GROUPS_OF_A_CLASS), (6, NoValue.HAS_VALUE)])
def test_a_class_in_few_groups_is_not_probed(n_groups: int, reason: NoValue, tmp_path: Path) -> None:
    groups = [f"wrong {number % n_groups}" for number in range(30)] + [str(number) for number in range(60)]
    labels = Split().labels([True] * 30 + [False] * 60, groups)
    data = map_of(torch.randn(1, 2, 90, 4), np.ones((90, 2), dtype=bool), labels, tmp_path).data
    assert (data["why_missing"] == reason).all()
    assert (data["value"].isnull() == (reason != NoValue.HAS_VALUE)).all()


def test_what_is_tied_is_on_one_side() -> None:
    """Questions of a group, answers of a name, and what these tie together."""
    rng = np.random.default_rng(0)
    groups, names = ([str(number) for number in rng.integers(0, 150, size=200)] for _ in range(2))
    names = [name if int(name) < 40 else f"alone {index}" for index, name in enumerate(names)]
    labels = Split().labels((rng.random(200) < 0.5).tolist(), groups, names)
    for tied in (groups, names, labels.side.tolist()):
        assert len({(name, int(fold)) for name, fold in zip(tied, labels.fold[0], strict=True)}) == len(set(tied))
    assert len(set(labels.group.tolist())) == len(set(groups)) > len(set(labels.side.tolist()))


def test_the_published_split_scores_one_fifth_once() -> None:
    groups = [str(i // 2) for i in range(300)]
    wrong = np.random.default_rng(0).random(300) < 0.5
    labels = Split(as_published=True, seed=3, n_seeds=2).labels(wrong.tolist(), groups)
    assert (labels.scored.sum(1) == 60).all()
    _, test = train_test_split(np.arange(300), test_size=0.2, random_state=3)
    assert set(np.flatnonzero(labels.fold[0] != NEVER)) == set(test)
    features = planted(labels, 2.0)
    scores = scores_of(features, labels)
    assert (np.isfinite(scores.held_out) == labels.scored).all()
    assert scores.inner.shape == (0, 300)
    trained = ~labels.scored[1]
    scaled = StandardScaler().fit_transform(features.double().numpy())
    reference = LogisticRegression(tol=1e-12, max_iter=10_000).fit(scaled[trained], wrong[trained])
    np.testing.assert_allclose(scores.held_out[1, ~trained], reference.decision_function(scaled[~trained]), atol=1e-4)


def test_a_constant_feature_does_no_harm() -> None:
    labels = labels_of(60)
    features = planted(labels, 2.0)
    features[:, 0] = 7.0
    assert np.isfinite(scores_of(features, labels).held_out).all()


def test_activations_that_are_all_the_same_say_so(tmp_path: Path) -> None:
    labels = labels_of(60)
    cells = torch.randn(1, 2, 60, 4)
    cells[0, 0] = cells[0, 0, 0]
    data = map_of(cells, np.ones((60, 2), dtype=bool), labels, tmp_path).data
    assert data["why_missing"].values.tolist() == [[NoValue.ACTIVATIONS_ALL_THE_SAME, NoValue.HAS_VALUE]]


def test_folds_are_stratified_seeded_and_keep_groups_together() -> None:
    rng = np.random.default_rng(0)
    correct = (rng.random(400) < 0.3).tolist()
    groups = [str(i // 4) for i in range(400)]
    labels = Split(5, seed=3, n_seeds=2).labels(correct, groups)
    for fold in labels.fold:
        sides = {(group, number) for group, number in zip(groups, fold.tolist(), strict=True)}
        assert len(sides) == 100
        rates = [labels.wrong[fold == k].mean() for k in range(5)]
        assert max(rates) - min(rates) < 0.1
    assert (labels.fold[0] != labels.fold[1]).any()
    assert (Split(5, seed=4).labels(correct, groups).fold[0] == labels.fold[1]).all()


@pytest.mark.parametrize(
    ("wrong", "present", "reason"),
    [
        ([True] * 40, 40, NoValue.ONE_CLASS_ONLY),
        ([True] * 30 + [False] * 19, 49, NoValue.TOO_FEW_OF_A_CLASS),
        ([True, False] * 20, 0, NoValue.NO_EXAMPLE),
    ],
)
def test_a_cell_that_cannot_have_a_value_says_why(
    wrong: list[bool], present: int, reason: NoValue, tmp_path: Path
) -> None:
    labels = Split().labels(wrong, [str(i) for i in range(len(wrong))])
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
    scores = np.load(tmp_path / "scores" / "layer-000.npz")["held_out"]
    assert (np.isnan(scores[:, 0]) == ~mask.T).all()


@pytest.mark.parametrize("sides", [None, []])
def test_without_answers_there_is_no_split(sides: list[str] | None) -> None:
    for as_published in (False, True):
        with pytest.raises(InputError, match="cannot split 0 answers"):
            Split(as_published=as_published).labels([], [], sides)


def test_the_published_split_needs_no_groups() -> None:
    labels = Split(5, as_published=True).labels([True, False] * 50, ["g0", "g1"] * 50)
    assert labels.scored.sum() == 20


@pytest.mark.parametrize(
    ("groups", "folds", "remedy"),
    [
        ("aabb", 5, "4 answers in 2 groups into 5 folds; a group stays .* of more groups, or give --folds 2$"),
        ("aaabbc", 5, "a group stays together: ask questions of more groups, or give --folds 3 or fewer$"),
        ("aaaa", 5, "a group stays together: ask questions of more groups$"),
        ("abcd", 5, r"into 5 folds; ask more questions \(--n\), or give --folds 4 or fewer$"),
        ("abcd", 1, "into 1 folds; give --folds 2 or more$"),
    ],
)
def test_too_few_groups_for_the_folds_is_an_error_that_says_what_there_must_be_more_of(
    groups: str, folds: int, remedy: str
) -> None:
    with pytest.raises(InputError, match=remedy):
        Split(folds).labels([index % 2 == 0 for index in range(len(groups))], list(groups))


@pytest.mark.parametrize("in_batches", [False, True])
@pytest.mark.parametrize("n_labels", [100, 140])
def test_labels_that_are_not_those_of_the_store_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_labels: int, *, in_batches: bool
) -> None:
    monkeypatch.setattr(probe_module, "_takes_batches", lambda _: in_batches)
    store, mask = stored(torch.zeros(2, 2, 120, 4), tmp_path), np.ones((120, 2), dtype=bool)
    with pytest.raises(InputError, match=f"there are {n_labels} labels for 120 examples; give one label, and one row"):
        out_of_fold_scores(store, mask, labels_of(n_labels), Probing(), parts=tmp_path / "scores")


def test_a_mask_that_is_not_that_of_the_store_is_an_error() -> None:
    """Called without the checks of shapes that only tests make."""
    cells, present = torch.zeros(1, 120, 4), np.ones((1, 100), dtype=bool)
    message = "the mask is of 100 examples, and the store has 120; give one label, and one row of the mask"
    with pytest.raises(InputError, match=message):
        unwrap(present_features)(cells[0], present[0])
    with pytest.raises(InputError, match=message):
        unwrap(scores_of_batch)(cells, present, labels_of(100), Probing())


def test_finished_layers_are_not_computed_again(tmp_path: Path) -> None:
    labels = labels_of(60)
    cells = torch.randn(3, 2, 60, 4)
    mask = np.ones((60, 2), dtype=bool)
    whole = map_of(cells, mask, labels, tmp_path).data
    (tmp_path / "scores" / "layer-001.npz").unlink()
    first = (tmp_path / "scores" / "layer-000.npz").stat().st_mtime_ns
    assert map_of(cells, mask, labels, tmp_path).data.identical(whole)
    assert (tmp_path / "scores" / "layer-000.npz").stat().st_mtime_ns == first


FAR_APART = (1e-4, 10.0)
"""Strengths of the regularisation of which noise has the one, and what tells much the other."""


def cells_of_all_kinds(labels: Labels) -> tuple[torch.Tensor, np.ndarray]:
    """Whole, with gaps, without a value, and (the last) without wrong answers for one of its inner fits."""
    rng, n = np.random.default_rng(3), len(labels.wrong)
    cells, present = torch.from_numpy(rng.normal(size=(8, n, 30))).float(), rng.random((8, n)) < 0.9
    cells[:, :, 3] += torch.from_numpy(labels.wrong)
    cells[:, :, 4] = 0.1
    present[0] = True
    present[2] = False
    cells[3] = 1.0
    present[4] &= ~labels.wrong | (rng.random(n) < 0.4)
    present[5, 7] = True
    cells[5, 7] = torch.inf
    cells[6] = cells[6].abs() * torch.from_numpy(np.logspace(-4, 3, 30)).float()
    present[7, labels.wrong & (labels.fold[0] > 1)] = False
    cells[~torch.from_numpy(present)] = torch.nan
    return cells, present


@pytest.mark.parametrize(
    "probing",
    [
        Probing(),
        Probing(standardise=False),
        Probing(nested=False),
        Probing(c=FAR_APART),
        Probing(nested=False, solver="sklearn"),
    ],
)
@pytest.mark.parametrize("as_published", [False, True])
def test_a_batch_of_cells_has_the_scores_of_each_alone(probing: Probing, as_published: bool) -> None:
    n = 900 if as_published else 200
    wrong = (np.random.default_rng(0).random(n) < 0.4).tolist()
    split = Split(as_published=True) if as_published else Split(5, n_seeds=2)
    labels = split.labels(wrong, [str(row // 2) for row in range(n)])
    cells, present = cells_of_all_kinds(labels)
    for number, ours in enumerate(scores_of_batch(cells, present, labels, probing)):
        alone = cell_scores(cells[number], present[number], labels, probing)
        assert np.isfinite(alone.held_out).any() == (number not in (2, 3, 5))
        assert_alike(ours, alone)


def test_what_a_cell_of_a_batch_lacks_has_no_part_in_the_choice_of_the_regularisation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels, made_on = labels_of(200), []

    def seen(gram: torch.Tensor, positive: torch.Tensor, trained: torch.Tensor, *rest: object) -> torch.Tensor:
        made_on.append(trained)
        return rough_log_odds(gram, positive, trained, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("interp.probes.cell_batches.rough_log_odds", seen)
    present = np.random.default_rng(5).random((2, 200)) < 0.8
    scores_of_batch(torch.stack([planted(labels, 1.0)] * 2), present, labels, Probing(c=FAR_APART))
    (trained,) = made_on
    assert not bool((trained & ~torch.from_numpy(present)[:, None]).any())
    assert bool((trained.any(1) == torch.from_numpy(present)).all())


def test_in_batches_as_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A map made of some layers at a time, gone on with where it was, and refits to permuted labels."""
    labels = labels_of(200)
    cells = torch.stack([torch.stack([planted(labels, layer), planted(labels, 0.0)]) for layer in range(5)])
    mask = np.random.default_rng(5).random((200, 2)) < 0.9
    store, permuted = stored(cells, tmp_path), [labels_of(200, seed=seed) for seed in (8, 9)]

    def made(folder: str) -> tuple[Scores, list[float]]:
        scores = out_of_fold_scores(store, mask, labels, Probing(), parts=tmp_path / folder)
        return scores, refitted_aucs(store, mask, {(0, 0): permuted, (3, 1): permuted[1:]}, Probing())

    one_by_one, expected = made("one by one")
    batches: list[int] = []

    def counted(activations: torch.Tensor, *rest: object) -> list[Scores]:
        batches.append(len(activations))
        return scores_of_batch(activations, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(probe_module, "_takes_batches", lambda device: True)
    monkeypatch.setattr(probe_module, "scores_of_batch", counted)
    monkeypatch.setattr("interp.probes.cell_batches.BATCH_BYTES", 4 * 8 * 200 * (200 + 2 * 16))
    in_batches, refits = made("in batches")
    assert batches == [4, 4, 2]
    (tmp_path / "in batches" / "layer-001.npz").unlink()
    again, _ = made("in batches")
    assert batches[3:] == [2]
    for scores in (in_batches, again):
        assert_alike(scores, one_by_one)
    np.testing.assert_allclose(refits, expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    "probing", [Probing(), Probing(standardise=False), Probing(c=FAR_APART), Probing(solver="sklearn")]
)
def test_several_labels_of_a_cell_have_the_scores_of_each_alone(probing: Probing) -> None:
    labellings = [labels_of(150, seed=seed, n_seeds=2) for seed in range(3)]
    labellings.insert(1, labels_of(150, seed=7, wrong_rate=0.05, n_seeds=2))
    present = np.random.default_rng(1).random(150) < 0.9
    activations = planted(labellings[0], 3.0)
    for labels, ours in zip(labellings, scores_of_labellings(activations, present, labellings, probing), strict=True):
        alone = cell_scores(activations, present, labels, replace(probing, nested=False))
        assert np.isfinite(alone.held_out).any() == (labels.wrong.sum() > 20)
        assert_alike(ours, alone)


def test_a_map_has_its_intervals_over_sides_and_for_the_refits(tmp_path: Path) -> None:
    """By DeLong and by draws, with the factor that it is given; three questions are one side."""
    rng, n = np.random.default_rng(0), 120
    wrong = (rng.random(n) < 0.5).tolist()
    labels = Split(4, 0, 3).labels(wrong, [str(i) for i in range(n)], [str(i // 3) for i in range(n)])
    cells = torch.from_numpy(rng.normal(size=(1, 2, n, 6)) + 0.4 * labels.wrong[:, None]).float()
    store, mask = stored(cells, tmp_path), rng.random((n, 2)) < 0.9
    scores = out_of_fold_scores(store, mask, labels, Probing(nested=False), parts=tmp_path / "scores")
    data = probe_map(scores, mask, labels, store, draws=200, widening=widening_of(4.0)).data.isel(layer=0)
    weights = group_draws(labels.side, 200, np.random.default_rng(0))
    np.testing.assert_allclose(data["variance_factor"], 4.0)
    for column, cell in enumerate(scores.held_out[0]):
        found = data.isel(position=column)
        expected = auc_interval(cell, labels.wrong, group=labels.side, variance_factor=4.0)
        assert [float(found[name]) for name in ("value", "low", "high")] == pytest.approx(expected)
        ends = bootstrap_interval(cell, labels.wrong, weights, variance_factor=4.0)
        assert [float(found[f"{end}_bootstrap"]) for end in ("low", "high")] == pytest.approx(ends)
        of_seeds = [auc_interval(of_seed, labels.wrong).value for of_seed in cell]
        assert float(found["sd_of_seeds"]) == pytest.approx(np.std(of_seeds, ddof=1))


def test_of_the_published_split_the_errors_that_are_scored_are_counted(tmp_path: Path) -> None:
    n = 200
    labels = Split(as_published=True).labels((np.arange(n) % 3 == 0).tolist(), [str(i) for i in range(n)])
    mask = np.random.default_rng(0).random((n, 2)) < 0.9
    data = map_of(torch.randn(1, 2, n, 4), mask, labels, tmp_path).data
    scored = mask & (labels.fold[0] != NEVER)[:, None]
    assert data["n"].values[0].tolist() == scored.sum(0).tolist()
    assert data["n_wrong"].values[0].tolist() == (scored & labels.wrong[:, None]).sum(0).tolist()


def test_what_cannot_be_refitted_has_no_auc_and_a_fold_that_cannot_choose_no_best_cell(tmp_path: Path) -> None:
    labels = labels_of(100)
    store, mask = stored(planted(labels, 1.0)[None, None].repeat(1, 2, 1, 1), tmp_path), np.ones((100, 2), dtype=bool)
    none = replace(labels, wrong=np.zeros(100, dtype=bool))
    assert len(refitted_aucs(store, mask, {(0, 0): [labels, none]}, Probing())) == 1
    scores = out_of_fold_scores(store, mask, labels, Probing(), parts=tmp_path / "scores")
    assert best_cell(scores, labels, store) is not None
    scores.inner[:, :, 2] = np.nan
    assert best_cell(scores, labels, store) is None


def test_activations_are_all_the_same_where_those_of_the_examples_that_have_the_position_are(tmp_path: Path) -> None:
    labels, mask = labels_of(100), np.ones((100, 2), dtype=bool)
    mask[:10, 1] = False
    cells = torch.randn(1, 2, 100, 4)
    cells[0, 1, 10:] = 2.5
    data = map_of(cells, mask, labels, tmp_path).data
    assert data["why_missing"].values.tolist() == [[NoValue.HAS_VALUE, NoValue.ACTIVATIONS_ALL_THE_SAME]]


def test_why_a_cell_has_no_value_goes_by_what_is_scored_and_present() -> None:
    labels = labels_of(120, wrong_rate=0.3)
    everyone, wrong = np.ones(120, dtype=bool), labels.wrong
    in_one_fold = replace(labels, fold=np.where(wrong, 0, np.arange(120) % 5)[None])
    assert why_no_value(in_one_fold, everyone) == NoValue.A_FOLD_TRAINS_ON_ONE_CLASS
    few_scored = replace(labels, fold=np.where(wrong & (np.cumsum(wrong) > 2), NEVER, np.arange(120) % 5)[None])
    assert why_no_value(few_scored, everyone) == NoValue.TOO_FEW_OF_A_CLASS
    side = np.where(wrong, np.cumsum(wrong) // 6, 1000 + np.arange(120))
    grouped = replace(labels, group=side, side=side)
    assert why_no_value(grouped, everyone) == NoValue.HAS_VALUE
    assert why_no_value(grouped, ~wrong | (side <= 4)) == NoValue.TOO_FEW_GROUPS_OF_A_CLASS


def test_the_strength_of_a_probe_of_all_examples_is_chosen_by_what_is_scored() -> None:
    """Of noise, where a weak regularisation does well on what it was fitted to."""
    labels = Split(as_published=True).labels((np.arange(60) % 2 == 0).tolist(), [str(i) for i in range(60)])
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 80)))
    assert best_cost(CellFits(features, labels.wrong, Probing()), labels.fold[0], 1, (1e-3, 10.0)) == 1e-3


def test_fits_that_do_not_converge_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unfinished(*given: object) -> Fits:
        return (fits := fit_each(*given))._replace(converged=torch.zeros_like(fits.converged))

    monkeypatch.setattr(cell_probe_module, "fit_each", unfinished)
    with pytest.raises(RuntimeError, match="did not converge"):
        scores_of(planted(labels_of(60), 1.0), labels_of(60))


def test_scikit_learns_solver_tries_every_strength() -> None:
    labels = labels_of(60)
    cell = CellFits(planted(labels, 1.0).double(), labels.wrong, Probing(solver="sklearn"))
    trained = (labels.fold[0] != 0)[None]
    weak, strong = cell.rough_scores(trained, (1.0, 1e-3))
    assert np.ptp(strong) < 0.2 * np.ptp(weak)
