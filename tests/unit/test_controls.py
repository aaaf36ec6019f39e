"""Controls: what a probe adds to what anyone could know without the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from interp.examples import Answer, Question, TokenizedText
from interp.positions import MISSING
from interp.probes import controls as controls_module
from interp.probes.cell_probe import NoValue, Probing, Scores, cell_scores
from interp.probes.controls import (
    BEYOND_SCALES,
    CONTROLS,
    beyond_map,
    beyond_scale,
    control_features,
    control_scores,
    control_values,
    controls_of,
)
from interp.probes.labels import Labels, Split
from interp.results.heatmap import Heatmap
from interp.statistics.auc import auc_difference, auc_interval, refitting_factor
from interp.statistics.permutations import Null, flipped_sums

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
    data = beyond_data([features], control_scores(ANSWERS, TOKENS, labels(), Probing()))
    assert float(data["control"].sel(which="token").item()) > 0.8
    return tuple(float(data[name].item()) for name in ("value", "low", "high"))  # type: ignore[return-value]


def beyond_data(
    features: Sequence[np.ndarray], of_controls: dict[str, list[Scores]], split: Labels | None = None, draws: int = 0
) -> xr.Dataset:
    """A map of one column, with a layer for each of these features."""
    split, probing = split or labels(), Probing()
    cells = [cell_scores(torch.from_numpy(each), np.ones(N, dtype=bool), split, probing) for each in features]
    scores = Scores(*(np.stack(each)[:, None] for each in zip(*cells, strict=True)))
    values = control_values(of_controls, split, ["-1"])
    ones = np.ones((len(cells), 1))
    heatmap = Heatmap.of(
        (ones, ones, ones, np.full((len(cells), 1), N)),
        names=(range(len(ones)), ["-1"]),
        kind="probe",
        metric="AUC",
        scale=(0.5, 1.0),
        extra={name: np.zeros((len(cells), 1), dtype=np.int64) for name in ("n_wrong", "why_missing")},
        attributes={"why_missing_meanings": "has_value"},
    )
    return beyond_map(heatmap, scores, of_controls, split, values, draws=draws).data


def replace_scores(scores: Scores, held_out: Callable[[np.ndarray], np.ndarray]) -> Scores:
    return Scores(held_out(scores.held_out)[None], scores.inner)


def of_tokens(wrong: np.ndarray, groups: Sequence[str] | None = None) -> tuple[Labels, dict[str, list[Scores]]]:
    """Labels that go by the token, and the scores of the controls for them."""
    names = [str(index) for index in range(N)]
    split = Split().labels(wrong.tolist(), names, groups)
    answers = [replace(each, correct=not is_wrong) for each, is_wrong in zip(ANSWERS, wrong, strict=True)]
    return split, control_scores(answers, TOKENS, split, Probing())


@pytest.mark.parametrize("n_wrong", [0, 2, 12])
def test_with_too_few_of_a_class_nothing_is_beyond_the_controls(n_wrong: int) -> None:
    """Also where they are fewer than the folds, of which there are none then."""
    split, controls = of_tokens(np.arange(N) < n_wrong)
    data = beyond_data([RNG.normal(size=(N, 3))], controls, split)
    assert np.isnan(data["value"].values).all()
    assert data["strongest"].values.tolist() == [""]


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


def test_no_cell_is_further_beyond_the_controls_than_all_is_beyond_chance() -> None:
    """Controls that tell nothing are often a little worse than nothing, out of fold."""
    rng = np.random.default_rng(6)
    wrong = rng.random(N) < 0.5
    split, of_controls = of_tokens(wrong)
    worse = replace_scores(of_controls["all"][0], lambda held_out: np.where(wrong, -1.0, 1.0) + rng.normal(size=N))
    features = rng.normal(size=(N, 8))
    features[:, 0] += wrong
    data = beyond_data([features], {name: [worse] for name in of_controls}, split)
    probe = cell_scores(torch.from_numpy(features), np.ones(N, dtype=bool), split, Probing()).held_out
    assert auc_interval(worse.held_out, wrong).value < 0.3
    assert float(data["value"].item()) <= auc_interval(probe, wrong).value - 0.5 + 0.1


def test_what_is_subtracted_is_the_control_as_it_is_written() -> None:
    rng = np.random.default_rng(7)
    features = rng.normal(size=(N, 8))
    features[:, 0] += 2 * WRONG
    of_controls = control_scores(ANSWERS, TOKENS, labels(), Probing())
    data = beyond_data([features, np.zeros((N, 8)) + rng.normal(size=(N, 8))], of_controls)
    strongest = float(data["control"].max())
    together = data["value"].values[:, 0] + strongest
    assert together[0] > 0.93
    assert together[1] == pytest.approx(strongest, abs=0.03)


def test_two_scores_that_tell_nothing_do_not_make_one_that_is_wrong() -> None:
    """On average over labels that have nothing to do with either: neither far below chance, nor above it."""
    values = []
    for seed in range(12):
        rng = np.random.default_rng([9, seed])
        wrong = rng.random(N) < 0.5
        split, of_controls = of_tokens(wrong)
        data = beyond_data([rng.normal(size=(N, 8)) for _ in range(3)], of_controls, split)
        values += data["value"].values[:, 0].tolist()
    assert -0.05 < np.mean(values) < 0.01
    assert min(values) > -0.2


@pytest.mark.parametrize("strongest", ["token", "all"])
def test_what_is_subtracted_is_the_strongest_control(strongest: str) -> None:
    """All controls together may tell less than one of them, and the other way round."""
    rng = np.random.default_rng(8)
    wrong = rng.random(N) < 0.5
    split, of_controls = of_tokens(wrong)
    good, bad, nothing = (
        Scores(*(wrong + noise * rng.normal(size=each.shape) for each in of_controls["all"][0]))
        for noise in (0.5, 5.0, np.nan)
    )
    others = {"token": [bad], "all": [bad], "shape": [nothing], "difficulty": [bad]}
    features = rng.normal(size=(N, 8))
    features[:, 0] += 3 * wrong
    data = beyond_data([features], {name: (others | {strongest: [good]})[name] for name in CONTROLS}, split)
    assert data["strongest"].item() == strongest
    alone = auc_interval(good.held_out[0], wrong).value
    assert alone > 0.85
    # Of the weak one it would be beyond by more than twice as much.
    assert 0 < float(data["value"].item()) <= 1 - alone


def test_cells_that_add_something_are_marked_and_others_are_not() -> None:
    rng = np.random.default_rng(4)
    known, unknown = rng.normal(size=(2, N, 8))
    known[:, 0] += 2 * WRONG
    data = beyond_data([unknown, known, unknown], control_scores(ANSWERS, TOKENS, labels(), Probing()), draws=200)
    assert data["marked"].values[:, 0].tolist() == [0, 1, 0]
    assert data["p_corrected"].values[1, 0] == pytest.approx(1 / 201)
    assert ((data["value"] > data["threshold"]) == (data["marked"] == 1)).all()
    assert data.attrs["mark"] == "beyond the controls (200 sign flips, family-wise error 5 %)"


@pytest.mark.parametrize("n_groups", [N, 40])
def test_nothing_is_marked_where_the_token_says_all_there_is(n_groups: int) -> None:
    """In at most 5 % of maps, and what a binomial of 25 such maps adds to that."""
    n_marked = 0
    for seed in range(25):
        rng = np.random.default_rng([5, seed])
        side = rng.integers(0, n_groups, size=N) if n_groups < N else np.arange(N)
        likely = np.array([0.2, 0.4, 0.6, 0.8])[TOKEN - 10]
        # Examples of a group are wrong together, where there are few.
        wrong = rng.random(n_groups)[side] < likely
        features = rng.normal(size=(4, N, 6)) + rng.normal(size=(4, n_groups, 6))[:, side]
        features[..., :4] += 2 * np.eye(4)[TOKEN - 10]
        split, of_controls = of_tokens(wrong, [str(number) for number in side])
        n_marked += bool(beyond_data(list(features), of_controls, split, draws=200)["marked"].any())
    assert n_marked <= 4


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


@pytest.mark.parametrize(
    ("column", "control"), [("ended", "shape"), ("n_generated", "shape"), ("difficulty", "difficulty")]
)
def test_a_control_that_has_the_label_among_its_features_is_none(column: str, control: str) -> None:
    which = controls_of(column)
    assert set(which) == set(CONTROLS) - {control}
    assert controls_of("correctness") == controls_of("year") == CONTROLS
    ended = [replace(each, ended=bool(wrong)) for each, wrong in zip(ANSWERS, WRONG, strict=True)]
    scores = control_scores(ended, TOKENS, labels(), Probing(), which)
    assert tuple(scores) == which
    if column == "ended":
        values = control_values(scores, labels(), ["-1"])
        assert np.nanmax(values["control"].values) < 0.95


@pytest.mark.parametrize("name", ["shape", "difficulty"])
def test_a_control_that_is_the_same_everywhere_has_no_value(name: str) -> None:
    values = control_values(control_scores(ANSWERS, TOKENS, labels(), Probing()), labels(), ["-1"])
    assert np.isnan(values["control"].sel(which=name).item())


def test_where_the_controls_have_nothing_to_go_by_the_cell_says_so() -> None:
    same = [replace(each, token_ids=(7, 8, 9)) for each in ANSWERS]
    of_controls = control_scores(same, TOKENS, labels(), Probing())
    data = beyond_data([np.random.default_rng(3).normal(size=(N, 8))], of_controls, draws=20)
    assert data["why_missing"].item() == 8
    assert "marked" not in data


def test_the_scale_is_the_narrow_one_unless_many_cells_are_off_it() -> None:
    value = np.full((10, 4), np.nan)
    assert beyond_scale(value) == BEYOND_SCALES[0]
    value[:, :2] = 0.1
    value[0, 0] = -0.4
    assert beyond_scale(value) == BEYOND_SCALES[0]
    value[1, 0] = 0.3
    assert beyond_scale(value) == BEYOND_SCALES[1]


def test_the_controls_that_a_map_is_beyond_are_those_that_tell_something() -> None:
    """Questions that no one calls hard have no difficulty; prompts and answers of one length have no shape."""
    features, hard = (
        np.random.default_rng(3).normal(size=(N, 8)),
        [answer(i, difficulty=float(i % 7)) for i in range(N)],
    )
    for answers, told in ((ANSWERS, "token"), (hard, "token, difficulty")):
        data = beyond_data([features], control_scores(answers, TOKENS, labels(), Probing()))
        assert data.attrs["metric"] == f"AUC beyond the strongest control ({told})"


def in_fours() -> Labels:
    """Every answer is a group, and four of them are one side."""
    return Split().labels(WRONG.tolist(), [str(n) for n in range(N)], [str(n // 4) for n in range(N)])


def test_the_features_of_shape_count_from_the_answer_and_difficulties_are_ranked() -> None:
    longer = replace(ANSWERS[0], token_ids=(7, 7, 7, 8, 9, 10), n_prompt=5)
    shape = control_features([ANSWERS[1], longer], np.array([2, 5]))["shape"]
    np.testing.assert_allclose(shape[:, 0], [-1, 1])
    np.testing.assert_array_equal(shape[:, 2], 0)
    of_hard = [answer(index, difficulty=value) for index, value in enumerate((1000.0, 1.0, 10.0))]
    difficulty = control_features(of_hard, np.full(3, 2))["difficulty"]
    np.testing.assert_allclose(difficulty[:, 0], np.sqrt(1.5) * np.array([1, -1, 0]))


@pytest.mark.parametrize(("c", "strengths"), [((0.5,), (0.5,)), ((0.01, 0.1), controls_module.STRENGTHS)])
def test_controls_are_probed_as_they_are(
    c: tuple[float, ...], strengths: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the solver of the probe, of strengths of their own where one is chosen, and not standardised anew."""
    seen: list[Probing] = []

    def noted(features: torch.Tensor, present: np.ndarray, labels: Labels, probing: Probing) -> Scores:
        seen.append(probing)
        return cell_scores(features, present, labels, probing)

    monkeypatch.setattr(controls_module, "cell_scores", noted)
    (scores,) = control_scores(ANSWERS, TOKENS, labels(), Probing(c, solver="sklearn"), ["token", "all"])["token"]
    assert np.isfinite(scores.inner).any()
    assert set(seen) == {Probing(strengths, solver="sklearn", standardise=False)}
    for each in scores:
        np.testing.assert_array_equal(each, each.round(3))


def test_the_intervals_of_controls_are_over_sides_and_for_the_refits() -> None:
    split = in_fours()
    of_controls = control_scores(ANSWERS, TOKENS, split, Probing(), ["token"])
    data = control_values(of_controls, split, ["-1"])
    found = [data[name].item() for name in ("control", "control_low", "control_high")]
    factor = refitting_factor(split.n_folds)
    cell = of_controls["token"][0].held_out
    assert found == pytest.approx(auc_interval(cell, split.wrong, group=split.side, variance_factor=factor))


def test_what_is_beyond_has_its_interval_over_sides_and_its_marks_for_the_refits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split, seen = in_fours(), {}

    def difference(*scores: np.ndarray, **rest: Any) -> Any:
        seen.update(rest)
        return auc_difference(*scores, **rest)

    def flipped(parts: np.ndarray, *rest: Any) -> np.ndarray:
        seen["sides"] = parts.shape[1]
        return flipped_sums(parts, *rest)

    def null(*parts: Any, **rest: Any) -> Null:
        seen["inflation"] = parts[1]
        return Null(*parts, **rest)

    monkeypatch.setattr(controls_module, "auc_difference", difference)
    monkeypatch.setattr(controls_module, "Null", null)
    monkeypatch.setattr(controls_module, "flipped_sums", flipped)
    features = np.random.default_rng(3).normal(size=(N, 4)) + WRONG[:, None]
    beyond_data([features], control_scores(ANSWERS, TOKENS, split, Probing()), split, draws=40)
    np.testing.assert_array_equal(seen["group"], split.side)
    assert seen["sides"] == N // 4
    assert seen["variance_factor"] == seen["inflation"] ** 2 == pytest.approx(refitting_factor(split.n_folds))


def test_a_cell_has_its_own_marks_and_keeps_its_own_reason() -> None:
    """Of few examples chance is farther from nothing, in a map of two columns as in any."""
    rng, split, probing = np.random.default_rng(4), labels(), Probing()
    tokens = np.repeat(TOKENS, 2, axis=1)
    tokens[100:, 1] = MISSING
    cells = [
        [cell_scores(torch.from_numpy(rng.normal(size=(N, 4))), of, split, probing) for of in (tokens != MISSING).T]
        for _ in range(3)
    ]
    scores = Scores(
        *(np.stack([np.stack([getattr(cell, name) for cell in row]) for row in cells]) for name in Scores._fields)
    )
    scores.held_out[0, 0], scores.inner[0, 0] = np.nan, np.nan
    why = np.zeros((3, 2), dtype=np.int8)
    why[0, 0] = NoValue.ACTIVATIONS_NOT_FINITE
    value = np.where(why == 0, 0.5, np.nan)
    heatmap = Heatmap.of(
        (value, value, value, (tokens != MISSING).sum(0)[None].repeat(3, axis=0)),
        names=(range(len(value)), ["last_q", "-1"]),
        kind="probe",
        metric="AUC",
        scale=(0.5, 1.0),
        extra={"n_wrong": np.ones((3, 2), dtype=np.int64), "why_missing": why},
        attributes={"why_missing_meanings": " ".join(member.name.lower() for member in NoValue)},
    )
    of_controls = control_scores(ANSWERS, tokens, split, probing)
    values = control_values(of_controls, split, ["last_q", "-1"])
    data = beyond_map(heatmap, scores, of_controls, split, values, draws=200).data
    assert (data["why_missing"] == why).all()
    assert (data["threshold"].values[1:, 1] > 1.3 * data["threshold"].values[1:, 0]).all()


def test_features_are_standardised_by_the_answers_that_have_the_position() -> None:
    longer = [
        replace(each, n_prompt=2 + index, token_ids=(7,) * (20 + index)) for index, each in enumerate(ANSWERS[:6])
    ]
    absent = replace(ANSWERS[6], n_prompt=900, token_ids=(7,) * 901)
    alone = control_features(longer, np.full(6, 9))["shape"]
    with_absent = control_features([*longer, absent], np.array([9] * 6 + [MISSING]))["shape"]
    np.testing.assert_allclose(with_absent[:6], alone)
    np.testing.assert_allclose(alone[:, 0].std(), 1)
