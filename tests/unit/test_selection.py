"""Choices among sampled answers, with planted scores: what a perfect and an ignorant probe must give."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from interp.examples import Answer
from interp.probes.cell_probe import Probing
from interp.probes.labels import Split
from interp.probes.linear_probes import cell_probes
from interp.probes.selection import (
    CHOICES,
    COMPARED,
    FEWEST,
    accuracies,
    expected_of_best,
    gains,
    mean_interval,
    name_features,
    scores_of_samples,
    scoring_fold,
)
from tests.sampled_answers import GOLD, NO_ANSWER, sampled, sampled_all

NAMES = st.lists(st.sampled_from([GOLD, NO_ANSWER, "Chad", "Peru"]), min_size=5, max_size=5)
QUESTIONS = st.lists(NAMES, min_size=1, max_size=6)


def chosen_of(questions: list[list[str]], score: np.ndarray, greedy: str = "Chad") -> dict[str, np.ndarray]:
    samples = [sampled_all(names, index) for index, names in enumerate(questions)]
    answers = [sampled(greedy, index) for index in range(len(questions))]
    return accuracies(answers, samples, {"probe": score})


@given(QUESTIONS, st.floats(0.1, 10))
def test_a_perfect_probe_reaches_the_oracle(questions: list[list[str]], margin: float) -> None:
    score = np.array([[margin * (name == GOLD) for name in names] for names in questions])
    chosen = chosen_of(questions, score)
    np.testing.assert_array_equal(chosen["probe"], chosen["oracle"])


@given(QUESTIONS)
def test_a_probe_that_is_always_mistaken_is_right_only_where_all_answers_are(questions: list[list[str]]) -> None:
    score = np.array([[-1.0 * (name == GOLD) for name in names] for names in questions])
    expected = [float(set(names) - {NO_ANSWER} == {GOLD}) for names in questions]
    assert chosen_of(questions, score)["probe"].tolist() == expected


@given(NAMES)
def test_an_ignorant_probe_is_a_random_choice_in_expectation(names: list[str]) -> None:
    orders = [np.array([order], dtype=np.float64) for order in permutations(range(len(names)))]
    of_probe = [chosen_of([names], score)["probe"][0] for score in orders]
    chosen = chosen_of([names], np.full((1, len(names)), 0.7))
    assert np.mean(of_probe) == pytest.approx(chosen["random answering"][0])
    assert chosen["probe"][0] == chosen["random answering"][0], "ties count with what they are expected to give"


@given(NAMES)
def test_the_majority_is_one_of_the_largest_clusters(names: list[str]) -> None:
    sizes = {name: names.count(name) for name in set(names) - {NO_ANSWER}}
    largest = [name for name, size in sizes.items() if size == max(sizes.values())]
    expected = largest.count(GOLD) / len(largest) if largest else 0.0
    assert chosen_of([names], np.zeros((1, 5)))["majority"][0] == pytest.approx(expected)


@given(QUESTIONS, st.data())
def test_no_choice_is_better_than_the_oracle(questions: list[list[str]], data: st.DataObject) -> None:
    score = data.draw(arrays(np.float64, (len(questions), 5), elements=st.floats(allow_infinity=False)))
    chosen = chosen_of(questions, score)
    for name in set(chosen) - {"greedy"}:
        assert (chosen[name] <= chosen["oracle"]).all()
        assert (chosen[name] >= 0).all()
    assert (chosen["random"] <= chosen["random answering"]).all(), "no answer is never correct"


def test_what_has_no_exact_answer_is_chosen_only_where_nothing_has() -> None:
    score = np.array([[9.0, 1.0, np.nan]])
    assert chosen_of([[NO_ANSWER, GOLD, "Chad"]], score)["probe"].tolist() == [1.0]
    assert chosen_of([[NO_ANSWER, "Chad", GOLD]], score)["probe"].tolist() == [0.0], "nor what has no score"
    assert chosen_of([[NO_ANSWER, "Chad", GOLD]], np.full((1, 3), np.nan))["probe"].tolist() == [0.5]
    assert chosen_of([[NO_ANSWER] * 3], score)["probe"].tolist() == [0.0]


def test_greedy_answers_and_their_order() -> None:
    assert chosen_of([[GOLD] * 3], np.zeros((1, 3)), greedy=GOLD)["greedy"].tolist() == [1.0]
    assert chosen_of([[GOLD] * 3], np.zeros((1, 3)), greedy=NO_ANSWER)["greedy"].tolist() == [0.0]
    chosen = chosen_of([[GOLD, "Chad", NO_ANSWER]], np.array([[1.0, 0.0, 2.0]]))
    assert list(chosen) == [name for name in CHOICES if name != "name"]
    gained = {name: float(values[0]) for name, values in gains(chosen).items()}
    expected = {"greedy": 1.0, "random": 2 / 3, "random answering": 0.5, "majority": 0.5}
    assert gained == pytest.approx({f"probe − {name}": expected[name] for name in COMPARED if name in expected})


def test_the_best_of_ties_count_with_their_share() -> None:
    correct, score = np.array([[1.0, 0.0, 1.0]]), np.array([[2.0, 2.0, 1.0]])
    assert expected_of_best(correct, score).tolist() == [0.5]


def test_no_question_is_scored_by_a_probe_that_has_seen_its_group() -> None:
    rng = np.random.default_rng(0)
    groups = [f"g{number}" for number in rng.integers(0, 40, size=120)]
    labels = Split(4).labels((rng.random(120) < 0.5).tolist(), groups)
    asked = [*sorted(set(groups)), "new"]
    probe = scoring_fold(asked, groups, labels)
    for group, number in zip(asked, probe.tolist(), strict=True):
        trained_on = {name for name, fold in zip(groups, labels.fold[0].tolist(), strict=True) if fold != number}
        assert (group in trained_on) == (number == labels.n_folds and group != "new")
    assert probe.tolist().count(labels.n_folds) == 1


N, SAMPLES, D = 300, 4, 12


def planted(strength: float, *, by_name: bool) -> dict[str, np.ndarray]:
    """Choices where activations hold correctness, and where names hold it or are as good as any other."""
    rng = np.random.default_rng(0)
    correct = rng.random((N, SAMPLES + 1)) < 0.5
    wrong_names = np.array(["Chad", "Peru"])[rng.integers(0, 2, size=correct.shape)]

    def answers(draw: int) -> list[Answer]:
        named = [
            GOLD if right else str(other) for right, other in zip(correct[:, draw], wrong_names[:, draw], strict=True)
        ]
        built = [sampled(name, index) for index, name in enumerate(named)]
        return built if by_name else [_under(answer, f"name {index % 7}") for index, answer in enumerate(built)]

    draws = [answers(draw) for draw in range(SAMPLES + 1)]
    cells = [
        torch.from_numpy(rng.normal(size=(N, D)) + strength * correct[:, [draw]]).float() for draw in range(SAMPLES + 1)
    ]
    greedy, samples = draws[0], draws[1:]
    groups = [answer.question.group for answer in greedy]
    labels = Split().labels([not right for right in correct[:, 0].tolist()], groups)
    probe, present = scoring_fold(groups, groups, labels), np.ones(N, dtype=bool)
    of_cell = cell_probes(cells[0], present, labels, Probing(nested=False))
    of_name = cell_probes(name_features(greedy, greedy), present, labels, Probing(standardise=False, nested=False))
    assert of_cell is not None
    assert of_name is not None
    scores = {
        "probe": scores_of_samples(of_cell, cells[1:], probe),
        "name": scores_of_samples(of_name, [name_features(draw, greedy) for draw in samples], probe),
    }
    return accuracies(greedy, [list(row) for row in zip(*samples, strict=True)], scores)


def _under(answer: Answer, name: str) -> Answer:
    """The same answer, which names something that tells nothing."""
    from dataclasses import replace

    return replace(answer, named=(name,))


def test_a_planted_direction_is_chosen_by_and_noise_is_not() -> None:
    told, noise = planted(3.0, by_name=False), planted(0.0, by_name=False)
    group = np.arange(N)
    assert told["probe"].mean() > told["oracle"].mean() - 0.02
    assert mean_interval(gains(told)["probe − name"], group).low > 0.2
    of_noise = mean_interval(gains(noise)["probe − random answering"], group)
    assert of_noise.low < 0 < of_noise.high


def test_names_that_tell_all_are_a_match_for_a_probe() -> None:
    chosen = planted(3.0, by_name=True)
    np.testing.assert_array_equal(chosen["name"], chosen["oracle"])
    assert mean_interval(gains(chosen)["probe − name"], np.arange(N)).value <= 0


def test_names_that_were_not_seen_are_zeros() -> None:
    features = name_features(sampled_all(["Peru", "Mali", NO_ANSWER]), sampled_all(["Chad", "Peru", "Peru", NO_ANSWER]))
    assert features.tolist() == [[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("n_groups", "least"),
    [(60, 0.89), (5, 0.87)],
    ids=["95 % less 3.9 standard errors", "87 %, and 80 % of percentiles"],
)
def test_intervals_of_means_cover(n_groups: int, least: float) -> None:
    rng, group = np.random.default_rng(0), np.repeat(np.arange(n_groups), 180 // n_groups)
    covered = 0
    for _ in range(200):
        of_group = rng.random(n_groups)
        interval = mean_interval((rng.random(180) < of_group[group]) - 0.3, group)
        covered += interval.low <= 0.2 <= interval.high
    assert covered >= 200 * least


def test_twins_count_once() -> None:
    values = (np.random.default_rng(0).random(100) < 0.4).astype(np.float64)
    alone = mean_interval(values, np.arange(100))
    twins = mean_interval(np.repeat(values, 2), np.repeat(np.arange(100), 2))
    assert twins == pytest.approx(alone)
    apart = mean_interval(np.repeat(values, 2), np.arange(200))
    assert apart.high - apart.low < 0.8 * (alone.high - alone.low)


def test_without_variation_or_questions_there_is_no_interval() -> None:
    same = mean_interval(np.ones(50), np.arange(50))
    assert same.value == 1.0
    assert np.isnan([same.low, same.high]).all()
    of_one_group = mean_interval(np.arange(50, dtype=np.float64), np.zeros(50, dtype=int))
    assert of_one_group.value == 24.5
    assert np.isnan([of_one_group.low, of_one_group.high]).all()
    few = mean_interval(np.arange(FEWEST - 1, dtype=np.float64), np.arange(FEWEST - 1))
    assert np.isnan(few).all()
