"""Selectivity: what a probe has beyond memorising which type goes with which label."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t
from sklearn.metrics import roc_auc_score

from interp.probes.cell_probe import NoValue, Probing, cell_scores
from interp.probes.labels import Labels, Split
from interp.probes.probe_map import out_of_fold_scores, probe_map
from interp.probes.selectivity import (
    CellSelectivity,
    ControlTasks,
    NoSelectivity,
    cell_selectivity,
    control_task_scores,
    control_tasks,
    selectivity_map,
)
from interp.results.heatmap import Heatmap
from interp.statistics.auc import auc_and_influence, auc_difference, auc_interval, refitting_factor
from tests.stored import store_of

N, N_TYPES, WIDTH = 300, 30, 40
PROBING = Probing(nested=False)


def drawn(rng: np.random.Generator, *, wrong_of_type: np.ndarray | None = None) -> tuple[np.ndarray, Labels]:
    """Types of unequal frequency, and labels that a type may make more or less likely."""
    frequency = 1 / np.arange(1, N_TYPES + 1)
    types = rng.choice(N_TYPES, size=N, p=frequency / frequency.sum())
    likely = np.full(N_TYPES, 0.5) if wrong_of_type is None else wrong_of_type
    wrong = rng.random(N) < likely[types]
    return types, Split().labels(wrong.tolist(), [str(index) for index in range(N)])


def named(types: np.ndarray) -> list[str]:
    return [f"type {number}" for number in types]


def embedded(types: np.ndarray, rng: np.random.Generator, *, noise: float = 0.1) -> np.ndarray:
    """Features that tell types apart, and nothing else."""
    embedding = np.random.default_rng(99).normal(size=(N_TYPES, WIDTH))
    return np.asarray(embedding[types] + noise * rng.normal(size=(len(types), WIDTH)))


def of_features(features: np.ndarray, labels: Labels, controls: ControlTasks) -> CellSelectivity:
    everyone = np.ones(len(features), dtype=bool)
    scores = [
        cell_scores(torch.from_numpy(features), everyone, each, PROBING).held_out for each in (labels, *controls.tasks)
    ]
    return cell_selectivity(scores[0], np.stack(scores[1:]), labels, controls)


def mapped(cells: torch.Tensor, mask: np.ndarray, labels: Labels, types: list[str], folder: Path) -> Heatmap:
    store = store_of(folder / "store", cells)
    scores = out_of_fold_scores(store, mask, labels, PROBING, parts=folder / "scores")
    controls = control_tasks(labels, types, 3, seed=0)
    of_tasks = control_task_scores(store, mask, controls, PROBING, parts=folder / "scores")
    return selectivity_map(probe_map(scores, mask, labels, store), scores, of_tasks, mask, labels, controls)


def test_what_only_knows_the_type_is_as_good_at_any_labels_of_types() -> None:
    rng = np.random.default_rng(0)
    types, labels = drawn(rng, wrong_of_type=np.where(np.arange(N_TYPES) % 3 == 0, 0.95, 0.05))
    found = of_features(embedded(types, rng), labels, control_tasks(labels, named(types), 3, seed=0))
    assert found.control.value > 0.9
    assert found.control.value + found.selectivity.value > 0.85, "the probe's own AUC alone looks like knowledge"
    assert found.selectivity.low < 0 < found.selectivity.high
    assert abs(found.selectivity.value) < 0.1


def test_what_knows_the_truth_and_no_types_is_selective() -> None:
    rng = np.random.default_rng(1)
    types, labels = drawn(rng)
    features = rng.normal(size=(N, 8))
    features[:, 0] += 2 * labels.wrong
    found = of_features(features, labels, control_tasks(labels, named(types), 3, seed=0))
    auc = found.control.value + found.selectivity.value
    assert found.control.low < 0.5 < found.control.high
    assert auc > 0.85
    assert found.selectivity.value == pytest.approx(auc - 0.5, abs=0.08)
    assert found.selectivity.low > 0.2


def test_the_values_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    types, labels = drawn(rng)
    controls = control_tasks(labels, named(types), 4, seed=3)
    scores, of_tasks = rng.normal(size=(2, N)) + labels.wrong, rng.normal(size=(4, 2, N))
    found = cell_selectivity(scores, of_tasks, labels, controls)
    aucs = [
        np.mean([roc_auc_score(task.wrong, row) for row in rows])
        for rows, task in zip(of_tasks, controls.tasks, strict=True)
    ]
    real = np.mean([roc_auc_score(labels.wrong, row) for row in scores])
    assert found.control.value == pytest.approx(np.mean(aucs))
    assert found.selectivity.value == pytest.approx(real - np.mean(aucs))
    assert found.sd_of_tasks == pytest.approx(np.std(aucs, ddof=1))


def test_where_the_tasks_agree_the_interval_is_delongs_for_pairs() -> None:
    """With the real labels as every control task the difference is one of two AUCs with the same positives."""
    rng = np.random.default_rng(3)
    types, labels = drawn(rng)
    same = ControlTasks(types.astype(np.int64), (labels, labels))
    scores, others = (rng.normal(size=N) + labels.wrong for _ in range(2))
    found = cell_selectivity(scores[None], np.stack([others[None]] * 2), labels, same)
    expected = auc_difference(
        scores, others, labels.wrong, group=labels.side, variance_factor=refitting_factor(labels.n_folds)
    )
    np.testing.assert_allclose(found.selectivity, expected)
    assert found.sd_of_tasks == 0


def test_control_tasks_that_are_all_perfect_still_have_an_interval() -> None:
    rng = np.random.default_rng(3)
    types, labels = drawn(rng)
    controls = control_tasks(labels, named(types), 2, seed=0)
    perfect = np.stack([np.where(task.wrong, 1.0, 0.0)[None] for task in controls.tasks])
    found = cell_selectivity(rng.normal(size=(1, N)), perfect, labels, controls)
    assert 0.9 < found.control.low < found.control.value == found.control.high == 1.0
    assert found.selectivity.low < found.selectivity.value < found.selectivity.high


def test_two_tasks_that_differ_leave_more_open_than_many_that_differ_as_much() -> None:
    rng = np.random.default_rng(4)
    types, labels = drawn(rng)
    scores = rng.normal(size=(1, N))
    easy, hard = 6.0 * labels.wrong + rng.normal(size=(1, N)), rng.normal(size=(1, N))

    def width(n_pairs: int) -> float:
        controls = ControlTasks(types.astype(np.int64), (labels,) * (2 * n_pairs))
        found = cell_selectivity(scores, np.stack([easy, hard] * n_pairs), labels, controls).selectivity
        return found.high - found.low

    assert width(1) > 3 * width(10)


@given(
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=25), share=st.floats(0.1, 0.9), seed=st.integers(0, 1000)
)
def test_a_type_has_one_label_and_the_share_of_positives_is_near(sizes: list[int], share: float, seed: int) -> None:
    types = np.repeat(np.arange(len(sizes)), sizes)
    wrong = np.arange(len(types)) < share * len(types)
    labels = Labels(wrong, np.zeros((1, len(types)), dtype=np.int64), np.arange(len(types)), np.arange(len(types)))
    controls = control_tasks(labels, named(types), 2, seed=seed)
    assert controls.n_types == len(sizes)
    for task in controls.tasks:
        assert all(len(set(task.wrong[types == number].tolist())) == 1 for number in range(len(sizes)))
        assert abs(int(task.wrong.sum()) - int(wrong.sum())) <= max(sizes), "else another type's label would be nearer"
        assert task.fold is labels.fold
        assert task.side is labels.side


def test_every_type_is_as_likely_to_be_positive() -> None:
    """Choosing among draws by their share does not favour large types or small ones."""
    types = np.repeat(np.arange(12), [40, 30, 20, 20, 10, 10, 10, 5, 5, 5, 5, 5])
    wrong = np.arange(len(types)) % 2 == 0
    labels = Labels(wrong, np.zeros((1, len(types)), dtype=np.int64), np.arange(len(types)), np.arange(len(types)))
    tasks = control_tasks(labels, named(types), 300, seed=0).tasks
    positive = np.mean([[task.wrong[types == number][0] for number in range(12)] for task in tasks], axis=0)
    np.testing.assert_allclose(positive, 0.5, atol=0.13)


def test_a_task_is_the_same_however_many_there_are() -> None:
    types, labels = drawn(np.random.default_rng(5))
    few, many = (control_tasks(labels, named(types), n, seed=7).tasks for n in (2, 5))
    for one, other in zip(few, many, strict=False):
        assert (one.wrong == other.wrong).all()
    assert (many[0].wrong != many[1].wrong).any()
    assert (control_tasks(labels, named(types), 2, seed=8).tasks[0].wrong != few[0].wrong).any()


def test_one_task_is_refused() -> None:
    types, labels = drawn(np.random.default_rng(6))
    with pytest.raises(ValueError, match="1 control tasks do not tell how far they differ"):
        control_tasks(labels, named(types), 1, seed=0)


def test_the_interval_covers_and_is_not_idle() -> None:
    """Questions and control tasks are drawn anew; the truth is the mean over the draws, as in benchmarks.intervals."""
    wrong_of_type = np.random.default_rng(0).uniform(0.1, 0.9, size=N_TYPES)
    found = []
    for seed in range(60):
        rng = np.random.default_rng([1, seed])
        types, labels = drawn(rng, wrong_of_type=wrong_of_type)
        features = embedded(types, rng, noise=2.5)
        features[:, 0] += 2.0 * labels.wrong
        found.append(of_features(features, labels, control_tasks(labels, named(types), 3, seed=seed)).selectivity)
    value, low, high = np.array(found).T
    covered = ((low <= value.mean()) & (value.mean() <= high)).mean()
    assert covered >= 0.92
    assert (high - low).mean() < 1.5 * 2 * 1.96 * value.std(ddof=1)


def test_a_map_says_which_cells_have_no_selectivity_and_why(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    types, labels = drawn(rng)
    mask = np.ones((N, 2), dtype=bool)
    mask[:, 1] = types == 0
    cells = torch.from_numpy(rng.normal(size=(2, 2, N, 6))).float()
    cells[1, 0, 3, 0] = torch.nan
    data = mapped(cells, mask, labels, named(types), tmp_path).data
    assert data["why_missing"].values.tolist() == [
        [NoValue.HAS_VALUE, NoSelectivity.ONE_TYPE_ONLY],
        [NoValue.ACTIVATIONS_NOT_FINITE, NoSelectivity.ONE_TYPE_ONLY],
    ]
    meanings = data.attrs["why_missing_meanings"].split()
    assert meanings[NoSelectivity.ONE_TYPE_ONLY] == "one_type_only"
    has = np.array([[True, False], [False, False]])
    for name in ("value", "low", "high", "control_auc", "control_auc_low", "control_auc_high", "sd_of_tasks"):
        assert (np.isfinite(data[name].values) == has).all()
    assert data["low"].values[0, 0] < data["value"].values[0, 0] < data["high"].values[0, 0]
    assert data["type_trained"].values[0, 0] > 0.9
    assert abs(np.array(json.loads(data.attrs["shares_positive_of_tasks"])) - data.attrs["share_wrong"]).max() < 0.02
    assert data.attrs["n_types"] == len(set(types.tolist()))


@pytest.mark.parametrize(
    ("types", "sides", "reason"),
    [
        pytest.param(
            lambda number: number, None, NoSelectivity.NO_TYPE_IS_TRAINED_AND_SCORED, id="every example has its own"
        ),
        pytest.param(
            lambda number: number % 30,
            lambda number: number % 30,
            NoSelectivity.NO_TYPE_IS_TRAINED_AND_SCORED,
            id="types are kept apart",
        ),
        pytest.param(
            lambda number: int(number < 10),
            None,
            NoSelectivity.A_CONTROL_TASK_CANNOT_BE_PROBED,
            id="ten examples against all others",
        ),
    ],
)
def test_where_nothing_can_be_memorised_there_is_no_selectivity(
    types: Callable[[int], int], sides: Callable[[int], int] | None, reason: NoSelectivity, tmp_path: Path
) -> None:
    wrong = (np.random.default_rng(8).random(N) < 0.5).tolist()
    names = [str(types(number)) for number in range(N)]
    apart = None if sides is None else [str(sides(number)) for number in range(N)]
    labels = Split().labels(wrong, [str(number) for number in range(N)], apart)
    cells = torch.randn(1, 2, N, 6, generator=torch.Generator().manual_seed(0))
    data = mapped(cells, np.ones((N, 2), dtype=bool), labels, names, tmp_path).data
    assert (data["why_missing"] == reason).all()
    assert np.isnan(data["value"]).all()


def test_finished_control_tasks_are_not_probed_again(tmp_path: Path) -> None:
    types, labels = drawn(np.random.default_rng(9))
    cells = torch.randn(1, 2, N, 6)
    whole = mapped(cells, np.ones((N, 2), dtype=bool), labels, named(types), tmp_path).data
    parts = sorted(tmp_path.rglob("control-task-*/layer-000.npz"))
    assert len(parts) == 3
    before = [part.stat().st_mtime_ns for part in parts]
    assert mapped(cells, np.ones((N, 2), dtype=bool), labels, named(types), tmp_path).data.identical(whole)
    assert [part.stat().st_mtime_ns for part in parts] == before


def test_other_labels_than_correctness_have_a_selectivity_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    types, labels = drawn(rng)
    cells = torch.from_numpy(rng.normal(size=(1, 2, N, 5)))
    everyone, other = np.ones((N, 2), dtype=bool), replace(labels, called="positive")
    data = mapped(cells, everyone, other, named(types), tmp_path).data
    assert "n_wrong" not in data
    assert (data["n_positive"] == labels.wrong.sum()).all()


def test_one_published_split_has_a_selectivity_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    types, _ = drawn(rng)
    wrong = (rng.random(N) < 0.5).tolist()
    labels = Split(as_published=True).labels(wrong, [str(number) for number in range(N)])
    cells = torch.from_numpy(np.stack([embedded(types, rng)] * 2)[None]).float()
    data = mapped(cells, np.ones((N, 2), dtype=bool), labels, named(types), tmp_path).data
    assert (data["n"] == N // 5).all()
    assert (data["control_auc"] > 0.8).all()
    test = labels.fold[0] == 0
    expected = np.isin(types[test], types[~test]).mean()
    np.testing.assert_allclose(data["type_trained"], expected)


def with_sides(rng: np.random.Generator) -> tuple[np.ndarray, Labels]:
    """Every example is a group, and three of them are one side."""
    types, labels = drawn(rng)
    names = [str(index) for index in range(N)]
    return types, Split().labels(labels.wrong.tolist(), names, [str(index // 3) for index in range(N)])


def test_the_interval_has_the_variance_of_sides_and_of_few_tasks() -> None:
    rng = np.random.default_rng(11)
    types, labels = with_sides(rng)
    controls = control_tasks(labels, named(types), 3, seed=0)
    scores = rng.normal(size=(1, N)) + labels.wrong
    of_tasks = np.stack([rng.normal(size=(1, N)) + k * task.wrong for k, task in enumerate(controls.tasks)])
    found = cell_selectivity(scores, of_tasks, labels, controls)
    value, influence = auc_and_influence(scores, labels.wrong, labels.side)
    each = [auc_and_influence(*of, labels.side) for of in zip(of_tasks, [x.wrong for x in controls.tasks], strict=True)]
    aucs, of_controls = np.array([auc for auc, _ in each]), np.mean([parts for _, parts in each], axis=0)
    between = aucs.var(ddof=1) / 3
    variance = refitting_factor(5) * ((influence - of_controls) ** 2).sum() + between
    half = t.ppf(0.975, 2 * (variance / between) ** 2) * np.sqrt(variance)
    assert tuple(found.selectivity) == pytest.approx(
        (value - aucs.mean(), value - aucs.mean() - half, value - aucs.mean() + half)
    )


def test_perfect_control_tasks_have_the_bound_of_their_sides() -> None:
    rng = np.random.default_rng(12)
    types, labels = with_sides(rng)
    controls = control_tasks(labels, named(types), 2, seed=0)
    perfect = np.stack([task.wrong[None].astype(float) for task in controls.tasks])
    found = cell_selectivity(rng.normal(size=(1, N)), perfect, labels, controls).control
    assert found == auc_interval(perfect[0], controls.tasks[0].wrong, group=labels.side)
    assert found.low < auc_interval(perfect[0], controls.tasks[0].wrong).low


def test_one_task_that_cannot_be_probed_is_enough_to_know_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(13)
    types, labels = drawn(rng)
    mask, cells = np.ones((N, 2), dtype=bool), torch.from_numpy(rng.normal(size=(1, 2, N, 5)))
    store = store_of(tmp_path / "store", cells)
    scores = out_of_fold_scores(store, mask, labels, PROBING, parts=tmp_path / "scores")
    controls = control_tasks(labels, named(types), 3, seed=0)
    of_tasks = control_task_scores(store, mask, controls, PROBING, parts=tmp_path / "scores")
    of_tasks[1].held_out[0, 1] = np.nan
    data = selectivity_map(probe_map(scores, mask, labels, store), scores, of_tasks, mask, labels, controls).data
    assert data["why_missing"].values.tolist() == [[NoValue.HAS_VALUE, NoSelectivity.A_CONTROL_TASK_CANNOT_BE_PROBED]]


def test_types_are_trained_on_by_the_examples_that_have_the_position(tmp_path: Path) -> None:
    rng = np.random.default_rng(14)
    types, labels = drawn(rng)
    mask = rng.random((N, 2)) < np.array([0.15, 0.5])
    data = mapped(torch.from_numpy(rng.normal(size=(1, 2, N, 5))), mask, labels, named(types), tmp_path).data
    fold = labels.fold[0]
    for column, present in enumerate(mask.T):
        rows = np.flatnonzero(present)
        elsewhere = [bool((present & (types == types[row]) & (fold != fold[row])).any()) for row in rows]
        assert 0 < np.mean(elsewhere) < 1
        assert data["type_trained"].values[0, column] == pytest.approx(np.mean(elsewhere))
