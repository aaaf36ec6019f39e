"""Probes that are kept score as those of the map did, and on other activations as scikit-learn's own would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from interp.errors import InputError
from interp.examples import Question
from interp.probes.cell_probe import Probing, cell_scores
from interp.probes.labels import NEVER, Labels, Split
from interp.probes.linear_probes import LinearProbes, cell_probes, fitted_probes, key_of, trained_on
from tests.stored import store_of

POSITIONS = ("last_q", "-1")
N, D = 120, 10


def labels_of(n: int = N, n_seeds: int = 1) -> Labels:
    wrong = (np.random.default_rng(0).random(n) < 0.5).tolist()
    return Split(4, 0, n_seeds).labels(wrong, [str(i // 2) for i in range(n)])


def cells_of(labels: Labels) -> torch.Tensor:
    rng = np.random.default_rng(1)
    cells = rng.normal(3.0, rng.uniform(0.1, 5.0, size=D), size=(2, 2, N, D))
    cells[:, 1, :, 2] += 3 * labels.wrong
    cells[0, 0, :, 4] = 7.0  # Constant: divided by 1.
    return torch.from_numpy(cells).float()


def kept(folder: Path, probing: Probing, mask: np.ndarray | None = None) -> tuple[LinearProbes, torch.Tensor, Labels]:
    labels = labels_of()
    cells = cells_of(labels)
    store = store_of(folder / "store", cells, positions=POSITIONS)
    present = np.ones((N, 2), dtype=bool) if mask is None else mask
    fitted_probes(store, present, labels, probing, {"dataset": "café"}).save(folder / "probes.safetensors")
    return LinearProbes.load(folder / "probes.safetensors"), cells, labels


@pytest.mark.parametrize(
    "probing",
    [
        Probing(),
        Probing(c=(0.01,), standardise=False),
        Probing(c=(0.001, 0.1, 10.0)),
        Probing(solver="sklearn"),
        Probing(kind="mass-mean"),
        Probing(kind="mass-mean-whitened"),
        Probing(kind="lda"),
        Probing(kind="sparse", k=3),
    ],
)
def test_an_examples_own_fold_scores_it_as_in_the_map(tmp_path: Path, probing: Probing) -> None:
    mask = np.ones((N, 2), dtype=bool)
    mask[::7, 1] = False
    probes, cells, labels = kept(tmp_path, probing, mask)
    for row, layer in enumerate(probes.layers):
        for column, position in enumerate(POSITIONS):
            expected = cell_scores(cells[row, column], mask[:, column], labels, probing).held_out[0]
            own = probes.scoring([f"q{index}" for index in range(N)])
            scored = probes.cell(layer, position).scores(cells[row, column], own)
            present = mask[:, column]
            np.testing.assert_allclose(scored[present], expected[present], rtol=1e-4, atol=1e-4)


def test_of_one_cell_there_are_the_probes_that_it_has_in_the_map(tmp_path: Path) -> None:
    labels = labels_of()
    store = store_of(tmp_path / "store", cells_of(labels), positions=POSITIONS)
    mask = np.ones((N, 2), dtype=bool)
    mask[::7, 1] = False
    probing = Probing(c=(0.001, 0.1, 10.0))
    whole = fitted_probes(store, mask, labels, probing, {})
    for layer, position in ((0, POSITIONS[1]), (1, POSITIONS[0])):
        alone = fitted_probes(store, mask, labels, probing, {}, cell=(layer, position))
        for ours, expected in zip(alone.cell(layer, position), whole.cell(layer, position), strict=True):
            np.testing.assert_array_equal(ours, expected)
        assert (alone.layers, alone.positions, alone.fold) == ((layer,), (position,), whole.fold)
        assert not alone.has_cell(1 - layer, position)


def test_other_examples_are_scored_by_the_probe_of_all(tmp_path: Path) -> None:
    probes, cells, labels = kept(tmp_path, Probing())
    new = torch.from_numpy(np.random.default_rng(2).normal(3.0, 2.0, size=(30, D))).float()
    reference = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-12, max_iter=10_000))
    reference.fit(cells[1, 1].double().numpy(), labels.wrong)
    scored = probes.cell(1, "-1").scores(new, probes.scoring([f"new {i}" for i in range(30)]))
    np.testing.assert_allclose(scored, reference.decision_function(new.double().numpy()), rtol=1e-3, atol=1e-3)


def question(name: str, text: str | None = None, group: str | None = None) -> Question:
    return Question(name, text or f"{name}?", "a", (), None, "set", group or name)


def test_questions_that_were_trained_on_are_known_by_their_text_and_their_group(tmp_path: Path) -> None:
    """Whatever their ids and their set are called; groups are those of one set."""
    probes, _, labels = kept(tmp_path, Probing())
    trained = [question(f"q{index}", group=f"g{index // 2}") for index in range(N)]
    record = {"identity": {"dataset": "set"}} | trained_on(trained, labels)
    probes = replace(probes, record=record)
    asked = {"again": question("again", "q3?"), "twin": question("twin", group="g1"), "new": question("new")}
    fold = int(labels.fold[0, 3])
    assert probes.for_questions(asked, "set").scoring(list(asked)).tolist() == [fold, fold, 4]
    assert probes.for_questions(asked, "other").scoring(list(asked)).tolist() == [fold, 4, 4]
    with pytest.raises(InputError, match="do not say which questions they were trained on"):
        replace(probes, record={}).for_questions(asked, "set")


def test_a_question_that_stands_in_two_folds_has_no_probe_that_has_not_seen_it() -> None:
    labels = Split(4).labels([index % 2 == 0 for index in range(N)], [str(index) for index in range(N)])
    twice = [question(f"q{index}", f"question {index // 2}?") for index in range(N)]
    folds = trained_on(twice, labels)["questions"]
    for index in range(0, N - 1, 2):
        pair = set(labels.fold[0, index : index + 2].tolist())
        assert folds[key_of(twice[index])] == (pair.pop() if len(pair) == 1 else NEVER)
    assert set(folds.values()) > {NEVER}


def test_what_every_probe_was_trained_on_has_no_score(tmp_path: Path) -> None:
    """As four fifths are in the published split, and with them whole groups."""
    probes, cells, _ = kept(tmp_path, Probing())
    labels = Split(as_published=True).labels([index % 2 == 0 for index in range(N)], [str(index) for index in range(N)])
    trained = [question(f"q{index}", group=f"g{index // 2}") for index in range(N)]
    known = trained_on(trained, labels)
    scoring = replace(probes, record={"identity": {"dataset": "set"}} | known).for_questions(
        {each.id: each for each in trained}, "set"
    )
    numbers = scoring.scoring([each.id for each in trained])
    assert (numbers == labels.fold[0]).all()
    scores = probes.cell(1, "-1").scores(cells[1, 1], numbers)
    assert (np.isnan(scores) == ~labels.scored[0]).all()
    for index in range(0, N - 1, 2):
        assert known["groups"][f"g{index // 2}"] == min(labels.fold[0, index : index + 2])


def test_of_several_strengths_the_one_that_scores_best_is_kept(tmp_path: Path) -> None:
    """On noise the strongest regularisation; where there is a clear direction, not the strongest."""
    grid = (1e-6, 1.0)
    probes, _, _ = kept(tmp_path, Probing(c=grid))
    weak, _, _ = kept(tmp_path / "weak", Probing(c=(grid[1],)))
    strong, _, _ = kept(tmp_path / "strong", Probing(c=(grid[0],)))
    for cell, like in (((0, "-1"), weak), ((1, "last_q"), strong)):
        np.testing.assert_allclose(probes.cell(*cell).weight[-1], like.cell(*cell).weight[-1], rtol=1e-3, atol=1e-5)
        other = weak if like is strong else strong
        assert not np.allclose(probes.cell(*cell).weight[-1], other.cell(*cell).weight[-1], rtol=0.1)


def test_a_cell_without_a_value_has_no_probe(tmp_path: Path) -> None:
    mask = np.ones((N, 2), dtype=bool)
    mask[20:, 0] = False
    probes, _, _ = kept(tmp_path, Probing(), mask)
    assert [probes.has_cell(0, name) for name in POSITIONS] == [False, True]
    with pytest.raises(InputError, match="layer 0, last_q had no value"):
        probes.cell(0, "last_q")
    with pytest.raises(InputError, match=r"no probe at layer 5, -1; these are of the layers 0, 1 at last_q, -1"):
        probes.cell(5, "-1")


def test_what_is_kept_says_what_it_is_of(tmp_path: Path) -> None:
    probes, _, labels = kept(tmp_path, Probing())
    assert probes.record == {"dataset": "café"}
    assert sorted(probes.fold.values()) == sorted(labels.fold[0].tolist())
    before = (tmp_path / "probes.safetensors").read_bytes()
    probes.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == before


def test_what_is_not_linear_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mlp is not linear"):
        kept(tmp_path, Probing(kind="mlp"))


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "probes.safetensors"
    with pytest.raises(InputError, match="no probes at"):
        LinearProbes.load(path)
    path.write_bytes(b"not one")
    with pytest.raises(InputError, match="is not a file of probes"):
        LinearProbes.load(path)


def test_questions_that_differ_in_their_context_alone_are_others() -> None:
    asked = question("a", "Who?")
    assert key_of(replace(asked, id="b", dataset="other")) == key_of(asked)
    assert key_of(replace(asked, context="In 1990.")) != key_of(asked)


@pytest.mark.parametrize("value", [1.0, torch.nan])
def test_a_cell_whose_activations_tell_nothing_has_no_probe(value: float) -> None:
    present = np.ones(N, dtype=bool)
    assert cell_probes(torch.full((N, D), value), present, labels_of(), Probing()) is None
