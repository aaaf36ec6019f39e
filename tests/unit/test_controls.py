"""Controls: what a probe adds to what anyone could know without the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from interp.cell_probe import Probing, Scores, cell_scores
from interp.controls import (
    BEYOND_SCALES,
    CONTROLS,
    beyond_map,
    beyond_scale,
    control_features,
    control_scores,
    control_values,
)
from interp.examples import Answer, Question, TokenizedText
from interp.heatmap import Heatmap
from interp.labels import Labels, Split
from interp.positions import MISSING

N = 400
RNG = np.random.default_rng(0)
TOKEN = RNG.integers(10, 14, size=N)
WRONG = RNG.random(N) < np.array([0.1, 0.3, 0.7, 0.9])[TOKEN - 10]


def answer(index: int, *, difficulty: float | None = None) -> Answer:
    """One whose only token says how likely it is that it is wrong."""
    question = Question(f"q{index}", "?", "a", (), None, "set", f"q{index}", difficulty)
    generated = TokenizedText("a", (1,), (1,))
    return Answer(question, (7, 8, int(TOKEN[index])), 2, generated, ended=True, correct=not WRONG[index])


ANSWERS = [answer(index) for index in range(N)]
TOKENS = np.full((N, 1), 2)


def labels() -> Labels:
    return Split().labels(WRONG.tolist(), [str(index) for index in range(N)])


def beyond(features: np.ndarray) -> tuple[float, float, float]:
    """By how much a probe of these features raises the controls."""
    data = beyond_data(features, control_scores(ANSWERS, TOKENS, labels(), Probing()))
    assert float(data["control"].sel(which="token").item()) > 0.8
    return tuple(float(data[name].item()) for name in ("value", "low", "high"))  # type: ignore[return-value]


def beyond_data(features: np.ndarray, of_controls: dict[str, list[Scores]]) -> xr.Dataset:
    """A map of one cell."""
    split, probing = labels(), Probing()
    cell = cell_scores(torch.from_numpy(features), np.ones(N, dtype=bool), split, probing)
    scores = Scores(cell.held_out[None, None], cell.inner[None, None])
    values = control_values(of_controls, split, ["-1"])
    ones = np.ones((1, 1))
    heatmap = Heatmap.build(
        ones,
        ones,
        ones,
        np.full((1, 1), N),
        positions=["-1"],
        kind="probe",
        metric="AUC",
        scale=(0.5, 1.0),
        extra={name: np.zeros((1, 1), dtype=np.int64) for name in ("n_wrong", "why_missing")},
        attributes={"why_missing_meanings": "has_value"},
    )
    return beyond_map(heatmap, scores, of_controls["all"], split, values).data


def test_examples_of_one_token_that_one_probe_scores_are_tied() -> None:
    scores, split = control_scores(ANSWERS, TOKENS, labels(), Probing())["token"][0], labels()
    for fold in range(5):
        for token in set(TOKEN.tolist()):
            alike = (split.fold[0] == fold) & (token == TOKEN)
            assert len(set(scores.held_out[0, alike].tolist())) == 1
            assert len(set(scores.inner[fold - 1, alike].tolist())) == 1


def test_a_probe_that_knows_the_token_alone_adds_nothing() -> None:
    rng = np.random.default_rng(1)
    embedding = rng.normal(size=(4, 8))
    value, low, high = beyond(embedding[TOKEN - 10] + 0.1 * rng.normal(size=(N, 8)))
    assert low < 0 < high
    assert abs(value) < 0.03


def test_a_probe_that_knows_more_adds_it() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(N, 8))
    features[:, 0] += 2 * WRONG
    value, low, _ = beyond(features)
    assert low > 0
    assert value > 0.05


def test_the_features_say_what_they_are_of() -> None:
    answers = [
        replace(each, question=replace(each.question, difficulty=d))
        for each, d in zip(ANSWERS[:4], (1.0, None, 9.0, 3.0), strict=True)
    ]
    features = control_features(answers, np.array([2, 1, MISSING, 0]))
    assert tuple(features) == CONTROLS
    assert (features["token"].sum(1) == 1).all()
    difficulty = features["difficulty"]
    assert difficulty[0, 0] < difficulty[3, 0]
    assert features["all"].shape[1] == sum(features[name].shape[1] for name in CONTROLS[:-1])


@pytest.mark.parametrize("name", ["shape", "difficulty"])
def test_a_control_that_is_the_same_everywhere_has_no_value(name: str) -> None:
    values = control_values(control_scores(ANSWERS, TOKENS, labels(), Probing()), labels(), ["-1"])
    assert np.isnan(values["control"].sel(which=name).item())


def test_where_the_controls_have_nothing_to_go_by_the_cell_says_so() -> None:
    same = [replace(each, token_ids=(7, 8, 9)) for each in ANSWERS]
    of_controls = control_scores(same, TOKENS, labels(), Probing())
    assert beyond_data(np.random.default_rng(3).normal(size=(N, 8)), of_controls)["why_missing"].item() == 8


def test_the_scale_is_the_narrow_one_unless_many_cells_are_off_it() -> None:
    value = np.full((10, 4), np.nan)
    assert beyond_scale(value) == BEYOND_SCALES[0]
    value[:, :2] = 0.1
    value[0, 0] = -0.4
    assert beyond_scale(value) == BEYOND_SCALES[0]
    value[1, 0] = 0.3
    assert beyond_scale(value) == BEYOND_SCALES[1]
