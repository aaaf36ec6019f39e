"""Transfer of planted directions: what two sets share goes over, what they do not share does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from analyses.parts import probing
from analyses.parts.asking import at_most
from analyses.transfer import Config, in_words, require_unlike_names
from interp.errors import InputError
from interp.examples import Question
from interp.figures.matrix_figure import matrix_figure
from interp.figures.plot import save_figure
from interp.probes.cell_probe import NoValue, Probing
from interp.probes.labels import NEVER, Split
from interp.probes.linear_probes import LinearProbes, fitted_probes, trained_on
from interp.probes.probe_map import best_cell, out_of_fold_scores, probe_map
from interp.probes.transfer import NoTransfer, Probed, transfer_matrices, transferred_map, transferred_scores
from interp.results.heatmap import Heatmap
from interp.results.matrix import Matrix
from interp.statistics.auc import auc_difference, auc_interval, refitting_factor
from tests.row_files import written
from tests.stored import store_of

POSITIONS = ("last_q", "-1")
N, D = 160, 12


def probed(name: str, folder: Path, directions: dict[tuple[int, int], tuple[int, float]], seed: int) -> Probed:
    """A set with, for (layer, position), a dimension along which wrong answers lie so far away."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(N) < 0.45
    cells = rng.normal(size=(2, 2, N, D))
    for (layer, column), (dimension, strength) in directions.items():
        cells[layer, column, :, dimension] += strength * wrong
    store = store_of(folder / name, torch.from_numpy(cells).float(), positions=POSITIONS)
    mask = rng.random((N, 2)) < 0.95
    labels = Split(4, 0).labels(wrong.tolist(), [str(index // 2) for index in range(N)])
    scores = out_of_fold_scores(store, mask, labels, Probing(), parts=folder / f"{name}-scores")
    questions = asked(name, store.examples)
    record = {"identity": {"dataset": name}} | trained_on(list(questions.values()), labels)
    probes = fitted_probes(store, mask, labels, Probing(), record)
    # A stranger's examples have other ids than these.
    probes = replace(probes, fold={f"{name}/{k}": v for k, v in probes.fold.items()})
    baselines = {"weak": rng.normal(size=N) - 0.5 * wrong, "weaker": rng.normal(size=N), "absent": np.full(N, np.nan)}
    return Probed(name, store, mask, labels, scores, lambda *_: probes, baselines, questions)


def probes_of(probed: Probed) -> LinearProbes:
    """Those of every cell."""
    return probed.probes(0, "-1")


def asked(name: str, examples: Sequence[str]) -> dict[str, Question]:
    """Questions that no set of another name asks, two to a group."""
    return {
        example: Question(example, f"{name} {example}?", "a", (), None, name, str(index // 2))
        for index, example in enumerate(examples)
    }


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[Probed]:
    folder = tmp_path_factory.mktemp("sets")
    shared, own, turned = {(1, 1): (3, 3.0)}, {(0, 0): (5, 3.0)}, {(1, 1): (3, -3.0)}
    return [
        probed("a", folder, shared, 0),
        probed("b", folder, shared, 1),
        probed("c", folder, own, 2),
        probed("d", folder, turned, 3),
    ]


def test_what_is_shared_goes_over_and_what_is_not_does_not(sets: list[Probed]) -> None:
    aucs, _ = transfer_matrices(sets)
    value = aucs.data["value"]
    assert float(value.sel(train="a", test="b")) > 0.95
    assert float(value.sel(train="b", test="a")) > 0.95
    assert abs(float(value.sel(train="c", test="a")) - 0.5) < 0.15
    assert float(value.sel(train="a", test="d")) < 0.05, "worse than chance is not turned around"
    places = list(
        zip(aucs.data["train_layer"].values.tolist(), aucs.data["train_position"].values.tolist(), strict=True)
    )
    assert places == [(1, "-1"), (1, "-1"), (0, "last_q"), (1, "-1")]
    assert (aucs.data["low"] <= value).all()
    assert (value <= aucs.data["high"]).all()


def test_on_its_own_set_a_probe_is_scored_out_of_fold(sets: list[Probed]) -> None:
    aucs, _ = transfer_matrices(sets, (1, "-1"))
    for probed in sets:
        heatmap = probe_map(probed.scores, probed.mask, probed.labels, probed.store)
        expected = heatmap.data.sel(layer=1, position="-1")
        own = aucs.data.sel(train=probed.name, test=probed.name)
        for name in ("value", "low", "high", "n"):
            assert float(own[name]) == pytest.approx(float(expected[name]))
    chosen, _ = transfer_matrices(sets)
    for probed in sets:
        best = best_cell(probed.scores, probed.labels, probed.store)
        assert best is not None
        assert float(chosen.data["value"].sel(train=probed.name, test=probed.name)) == pytest.approx(best.auc.value)


def test_questions_that_both_sets_have_are_scored_by_the_probe_that_has_not_seen_them(
    tmp_path: Path, sets: list[Probed]
) -> None:
    """In a copy under another name, of which all or half are asked in the same words; there is nothing to learn."""
    noise = probed("noise", tmp_path, {}, 4)
    copy = replace(noise, name="copy")
    aucs, differences = transfer_matrices([noise, copy, sets[0]], (1, "-1"))
    known = aucs.data.sel(train="noise", test="copy")
    assert float(known["value"]) == pytest.approx(float(aucs.data["value"].sel(train="noise", test="noise")), abs=1e-3)
    scored = int(noise.mask[:, 1].sum())
    for matrix in (aucs, differences):
        of_fold = matrix.data["n_of_fold"].values
        assert of_fold[:2, :2].tolist() == [[scored, scored], [scored, scored]]
        assert of_fold[2, :2].tolist() == of_fold[:2, 2].tolist() == [0, 0]
    assert f"n {scored}, {scored} by the probe that has not seen them" in in_words(aucs)
    assert in_words(aucs).count("that has not seen them") == 2

    own, others = noise.questions, asked("other", noise.store.examples)
    half = {name: own[name] if index < N / 2 else others[name] for index, name in enumerate(own)}
    partly, _ = transfer_matrices([noise, replace(copy, questions=half)], (1, "-1"))
    cell = partly.data.sel(train="noise", test="copy")
    assert int(cell["n_of_fold"]) == int(noise.mask[: N // 2, 1].sum())
    assert float(cell["value"]) > float(known["value"]) + 0.05, "the other half are strangers' by their words"


def test_the_difference_is_to_the_best_baseline_of_the_test_set(sets: list[Probed]) -> None:
    aucs, differences = transfer_matrices(sets, (1, "-1"))
    for probed in sets:
        of_baselines = {
            name: roc_auc_score(probed.labels.wrong, -probed.baselines[name]) for name in ("weak", "weaker")
        }
        best = max(of_baselines, key=lambda name: of_baselines[name])
        test = differences.data.sel(test=probed.name)
        assert str(test["baseline"].values) == best
        assert float(test["baseline_auc"]) == pytest.approx(of_baselines[best])
        scored = probed.mask[:, 1]
        on_same = roc_auc_score(probed.labels.wrong[scored], -probed.baselines[best][scored])
        for train in sets:
            expected = float(aucs.data["value"].sel(train=train.name, test=probed.name)) - on_same
            assert float(test["value"].sel(train=train.name)) == pytest.approx(expected)


@pytest.mark.parametrize("place", [None, (0, "last_q")])
def test_probes_are_fitted_of_the_cells_that_are_looked_at(sets: list[Probed], place: tuple[int, str] | None) -> None:
    asked_for: list[tuple[int, str]] = []

    def probes_at(layer: int, position: str) -> LinearProbes:
        asked_for.append((layer, position))
        return probes_of(sets[0])

    some = [replace(sets[0], probes=probes_at), sets[1]]
    aucs, _ = transfer_matrices(some, place)
    assert asked_for == [place or (1, "-1")]
    np.testing.assert_array_equal(aucs.data["value"].values, transfer_matrices(sets[:2], place)[0].data["value"].values)


def test_a_map_of_transfer_is_scored_by_the_probe_of_all(sets: list[Probed]) -> None:
    a, b = sets[:2]
    heatmap, scores = transferred_map(probes_of(a), b.store, b.mask, b.labels.wrong, b.labels.side)
    cell = probes_of(a).cell(1, "-1")
    expected = cell.scores(b.store.cell(1, "-1"), np.full(N, probes_of(a).n_folds))
    np.testing.assert_allclose(scores[1, 1, b.mask[:, 1]], expected[b.mask[:, 1]])
    assert np.isnan(scores[1, 1, ~b.mask[:, 1]]).all()
    value = heatmap.data["value"].sel(layer=1, position="-1")
    assert float(value) == pytest.approx(roc_auc_score(b.labels.wrong[b.mask[:, 1]], expected[b.mask[:, 1]]))


def test_examples_that_were_trained_on_are_scored_out_of_fold(sets: list[Probed]) -> None:
    a = sets[0]
    own = replace(probes_of(a), fold={k.removeprefix("a/"): v for k, v in probes_of(a).fold.items()})
    scores = transferred_scores(own, a.store, a.mask, 1, "-1")
    np.testing.assert_allclose(scores, a.scores.held_out[1, 1, 0], rtol=1e-4, atol=1e-4)


def test_only_what_is_scored_is_counted(sets: list[Probed]) -> None:
    a = sets[0]
    folds = enumerate(probes_of(a).fold.items())
    half = {name.removeprefix("a/"): fold if place % 2 else NEVER for place, (name, fold) in folds}
    probes = replace(probes_of(a), fold=half)
    heatmap, scores = transferred_map(probes, a.store, a.mask, a.labels.wrong, a.labels.side)
    scored = np.isfinite(scores)
    # Probes of folds score them, each refitted, as they do in a probe map.
    value, low, high = (float(heatmap.data[name].sel(layer=1, position="-1")) for name in ("value", "low", "high"))
    of_cell = {"group": a.labels.side, "variance_factor": refitting_factor(probes.n_folds)}
    assert (value, low, high) == pytest.approx(auc_interval(scores[1, 1], a.labels.wrong, **of_cell))
    np.testing.assert_array_equal(heatmap.data["n"], scored.sum(-1))
    np.testing.assert_array_equal(heatmap.data["n_wrong"], (scored & a.labels.wrong).sum(-1))
    assert (scored.sum(-1) < a.mask.sum(0)).all()


def test_where_nothing_was_probed_there_is_no_value(sets: list[Probed]) -> None:
    a, b = sets[:2]
    arrays = {name: array.copy() for name, array in probes_of(a).arrays.items()}
    for array in arrays.values():
        array[0, 0] = np.nan
    probes = type(probes_of(a))(probes_of(a).layers, probes_of(a).positions, probes_of(a).fold, arrays, {})
    heatmap, _ = transferred_map(probes, b.store, b.mask, b.labels.wrong, b.labels.side)
    assert np.isnan(heatmap.data["value"].values[0, 0])
    assert heatmap.data["why_missing"].values[0, 0] == NoTransfer.NO_PROBE
    assert heatmap.data.attrs["why_missing_meanings"].split()[NoTransfer.NO_PROBE] == "no_probe"
    heatmap, _ = transferred_map(probes_of(a), b.store, b.mask, np.zeros(N, dtype=bool), b.labels.side)
    assert np.isnan(heatmap.data["value"].values).all()


def test_matrices_survive_their_files_and_are_drawn_the_same(sets: list[Probed], tmp_path: Path) -> None:
    for matrix in transfer_matrices(sets):
        matrix.save(tmp_path / "m.nc")
        again = Matrix.load(tmp_path / "m.nc")
        assert again.data.identical(matrix.data)
        for name in ("a.pdf", "b.pdf"):
            save_figure(matrix_figure(again), tmp_path / name)
        assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
        with pytest.raises(Exception, match="not a heatmap"):
            Heatmap(matrix.data)


def test_of_a_set_or_a_file_with_fewer_questions_all_are_asked(tmp_path: Path) -> None:
    rows = [{"question": f"{index}?", "answer": "France"} for index in range(30)]
    small, large = (str(written(tmp_path / f"{n}.csv", rows[:n])) for n in (12, 30))
    for dataset, n in ((small, 12), (large, 20), ("capitals", 20)):
        own, questions = at_most(Config(n=20, dataset=dataset), probing.questions_of)
        assert (own.dataset, own.n, len(questions.questions)) == (dataset, n, n)
    own, questions = at_most(Config(n=1000, dataset="us-cities"), probing.questions_of)
    assert own.n == len(questions.questions) < 1000


def test_files_of_one_name_are_refused() -> None:
    require_unlike_names(["good", "bad"])
    with pytest.raises(InputError, match="two of --datasets go by the name good; rename one of the files"):
        require_unlike_names(["good", "bad", "good"])


def test_a_map_of_transfer_is_of_the_answers_that_are_judged(sets: list[Probed]) -> None:
    a, b = sets[:2]
    judged = np.arange(N) % 3 != 0
    heatmap, scores = transferred_map(probes_of(a), b.store, b.mask, b.labels.wrong, b.labels.side, judged=judged)
    assert np.isfinite(scores[1, 1, b.mask[:, 1] & ~judged]).all()
    found = heatmap.data.sel(layer=1, position="-1")
    expected = auc_interval(np.where(judged, scores[1, 1], np.nan), b.labels.wrong, group=b.labels.side)
    assert [float(found[name]) for name in ("value", "low", "high")] == pytest.approx(expected)
    assert int(found["n"]) == (b.mask[:, 1] & judged).sum()
    assert int(found["n_wrong"]) == (b.mask[:, 1] & judged & b.labels.wrong).sum()


def test_of_few_judged_answers_of_a_class_there_is_no_value(sets: list[Probed]) -> None:
    a, b = sets[:2]
    judged = ~b.labels.wrong | (np.cumsum(b.labels.wrong) <= 2)
    data = transferred_map(probes_of(a), b.store, b.mask, b.labels.wrong, b.labels.side, judged=judged)[0].data
    assert (data["why_missing"] == NoValue.TOO_FEW_OF_A_CLASS).all()
    assert np.isnan(data["value"]).all()


def test_every_test_set_has_its_own_baselines(sets: list[Probed]) -> None:
    a, b = sets[0], replace(sets[1], baselines={"other": sets[1].baselines["weak"]})
    differences = transfer_matrices([a, b], (1, "-1"))[1].data
    assert differences["baseline"].values.tolist() == ["weak", "other"]
    np.testing.assert_array_equal(
        differences["value"].sel(test="b"), transfer_matrices(sets[:2], (1, "-1"))[1].data["value"].sel(test="b")
    )


def test_differences_are_widened_for_refits_on_the_own_set_alone(sets: list[Probed]) -> None:
    """Over sides, of which there may be fewer than groups."""
    a, b = (replace(each, labels=replace(each.labels, side=each.labels.side // 3)) for each in sets[:2])
    aucs, differences = (matrix.data for matrix in transfer_matrices([a, b], (1, "-1")))
    elsewhere = transferred_scores(probes_of(a), b.store, b.mask, 1, "-1")[None]
    for test, scores, factor in ((a, a.scores.held_out[1, 1], refitting_factor(4)), (b, elsewhere, 1.0)):
        how = {"group": test.labels.side, "variance_factor": factor}
        baseline = np.where(np.isfinite(scores), -test.baselines["weak"], np.nan)
        for data, expected in (
            (aucs, auc_interval(scores, test.labels.wrong, **how)),
            (differences, auc_difference(scores, baseline, test.labels.wrong, **how)),
        ):
            cell = data.sel(train="a", test=test.name)
            assert [float(cell[name]) for name in ("value", "low", "high")] == pytest.approx(expected)


def test_a_set_without_a_probe_there_has_no_value_on_others(sets: list[Probed]) -> None:
    probes = probes_of(sets[0])
    intercept = probes.arrays["intercept"].copy()
    intercept[1, 1] = np.nan
    without = replace(probes, arrays={**probes.arrays, "intercept": intercept})
    aucs, differences = transfer_matrices([replace(sets[0], probes=lambda *_: without), sets[1]], (1, "-1"))
    for matrix in (aucs, differences):
        assert np.isnan(matrix.data["value"].sel(train="a", test="b"))
        assert np.isfinite(matrix.data["value"].sel(train="b", test="a"))


def test_a_baseline_of_few_of_the_scored_answers_is_not_compared(sets: list[Probed]) -> None:
    a = sets[0]
    scores = np.where(np.arange(N) < N // 2, a.scores.held_out[1, 1], np.nan)
    of_the_rest = np.where(np.arange(N) < N // 2 - 3, np.nan, a.baselines["weak"])
    assert replace(a, baselines={"rest": of_the_rest}).beyond(scores, "rest", refits=True) is None
