from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm, t
from sklearn.metrics import roc_auc_score

from interp.statistics.auc import (
    auc_above_chance,
    auc_and_influence,
    auc_difference,
    auc_interval,
    bootstrap_interval,
    drawn_aucs,
    macro_auc_interval,
    macro_bootstrap_interval,
    refitting_factor,
)
from interp.statistics.means import group_draws


@given(
    positive=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    negative=st.lists(st.integers(0, 5), min_size=1, max_size=12),
)
def test_the_value_is_the_share_of_ordered_pairs(positive: list[int], negative: list[int]) -> None:
    scores = np.array([*positive, *negative], dtype=float)
    labels = np.array([True] * len(positive) + [False] * len(negative))
    value, low, high = auc_interval(scores, labels)
    assert value == pytest.approx(roc_auc_score(labels, scores))
    if np.isfinite(low):
        assert 0 <= low <= value <= high <= 1
    else:  # As where all scores are the same.
        assert 0 < value < 1
        assert np.isnan(high)


def test_what_cannot_be_known_has_no_interval() -> None:
    labels = np.arange(40) % 2 == 0
    for scores, group in ((np.ones(40), np.arange(40)), (np.arange(40.0), np.zeros(40, dtype=int))):
        value, low, high = auc_interval(scores, labels, group=group)
        assert 0.4 < value < 0.6
        assert np.isnan([low, high]).all()
    assert np.isnan(auc_difference(np.ones(40), np.ones(40), labels, group=np.arange(40))[1:]).all()


@pytest.mark.parametrize("n_groups", [5, 10, 20])
def test_intervals_of_few_groups_cover_too(n_groups: int) -> None:
    """Nothing to tell, in groups that are scored alike and have one label."""
    rng, covered = np.random.default_rng(n_groups), 0
    for _ in range(400):
        group = np.repeat(np.arange(n_groups), 20)
        labels = rng.random(len(group)) < 0.5
        scores = rng.normal(size=n_groups)[group] * np.where(labels, 1.0, 0.3) + rng.normal(size=len(group))
        _, low, high = auc_interval(scores, labels, group=group)
        covered += low <= 0.5 <= high
    assert covered / 400 >= 0.92


def test_a_perfect_order_of_several_scorings_is_of_all_that_any_of_them_scored() -> None:
    labels = np.arange(100) % 2 == 0
    of_folds = np.full((5, 100), np.nan)
    for fold in range(5):
        of_folds[fold, fold::5] = labels[fold::5]
    assert auc_interval(of_folds, labels) == auc_interval(labels.astype(float), labels)


def test_the_variance_is_delongs() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(60) < 0.4
    scores = rng.normal(size=60) + labels
    pairs = (scores[labels][:, None] > scores[~labels]) + 0.5 * (scores[labels][:, None] == scores[~labels])
    variance = pairs.mean(1).var(ddof=1) / labels.sum() + pairs.mean(0).var(ddof=1) / (~labels).sum()
    value, low, high = auc_interval(scores, labels)
    half = (np.log(high / (1 - high)) - np.log(low / (1 - low))) / 2
    assert half == pytest.approx(1.959964 * np.sqrt(variance) / (value * (1 - value)), rel=1e-5)


@pytest.mark.parametrize("n", [60, 400])
@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_the_interval_covers_at_its_level(n: int, shift: float) -> None:
    rng = np.random.default_rng(1)
    truth = norm.cdf(shift / np.sqrt(2))
    labels = np.arange(n) < n // 3
    runs = 2000
    covered = 0
    for _ in range(runs):
        _, low, high = auc_interval(rng.normal(size=n) + shift * labels, labels)
        covered += low <= truth <= high
    assert 0.93 <= covered / runs <= 0.97


def test_perfect_order_still_has_an_interval() -> None:
    scores = np.arange(30.0)
    value, low, high = auc_interval(scores, scores >= 10)
    assert (value, high) == (1.0, 1.0)
    assert low == pytest.approx(0.025 ** (1 / 10))
    assert auc_interval(-scores, scores >= 10).high == pytest.approx(1 - 0.025 ** (1 / 10))


def test_perfect_order_of_a_few_groups_is_worth_less() -> None:
    scores, group = np.arange(30.0), np.arange(30) // 5
    assert auc_interval(scores, scores >= 10, group=group).low == pytest.approx(0.025 ** (1 / 2))


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="both classes"):
        auc_interval(np.arange(3.0), np.ones(3, dtype=bool))


def test_several_scorings_are_averaged() -> None:
    """Each of its own examples: the mean of the AUCs, and of what every example adds."""
    rng = np.random.default_rng(2)
    labels = rng.random(80) < 0.5
    scores = rng.normal(size=(3, 80)) + labels
    scores[1, :20] = np.nan
    values = [roc_auc_score(labels[np.isfinite(row)], row[np.isfinite(row)]) for row in scores]
    assert auc_interval(scores, labels).value == pytest.approx(np.mean(values))
    same = auc_interval(np.stack([scores[0]] * 3), labels)
    np.testing.assert_allclose(same, auc_interval(scores[0], labels))


def clustered(rng: np.random.Generator, n_groups: int, shift: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, labels and groups of three examples each, that share a label and most of their score."""
    labels = np.repeat(np.arange(n_groups) % 2 == 0, 3)
    scores = np.repeat(rng.normal(size=n_groups), 3) + 0.3 * rng.normal(size=3 * n_groups) + shift * labels
    return scores, labels, np.repeat(np.arange(n_groups), 3)


def test_intervals_of_groups_cover_where_those_of_examples_do_not() -> None:
    rng = np.random.default_rng(3)
    truth = norm.cdf(1.0 / np.sqrt(2 * 1.09))
    of_groups = of_examples = bootstrapped = 0
    for _ in range(400):
        scores, labels, group = clustered(rng, 80, 1.0)
        _, low, high = auc_interval(scores, labels, group=group)
        of_groups += low <= truth <= high
        _, low, high = auc_interval(scores, labels)
        of_examples += low <= truth <= high
        low, high = bootstrap_interval(scores[None], labels, group_draws(group, 300, rng))
        bootstrapped += low <= truth <= high
    assert 0.93 <= of_groups / 400 <= 0.98
    assert 0.92 <= bootstrapped / 400 <= 0.97
    assert of_examples / 400 < 0.85


def test_of_few_groups_the_variance_and_the_quantile_are_those_of_so_many() -> None:
    scores, labels, group = clustered(np.random.default_rng(8), 12, 1.0)
    value, influence = auc_and_influence(scores[None], labels, group)
    _, low, high = auc_interval(scores, labels, group=group)
    half = (logit(high) - logit(low)) / 2 * value * (1 - value)
    assert half == pytest.approx(t.ppf(0.975, 11) * np.sqrt(12 / 11 * (influence**2).sum()))


def test_a_draw_has_whole_groups() -> None:
    group = np.array([4, 4, 9, 7, 7, 7])
    weights = group_draws(group, 50, np.random.default_rng(0))
    assert (weights[:, [0, 3, 3]] == weights[:, [1, 4, 5]]).all()
    assert (weights[:, [0, 2, 3]].sum(1) == 3).all()


def test_a_bootstrap_is_the_auc_of_repeated_examples() -> None:
    rng = np.random.default_rng(5)
    labels, scores = rng.random(40) < 0.5, rng.integers(0, 9, size=40).astype(float)
    weights = group_draws(np.arange(40), 1, rng)
    times = weights[0].astype(int)
    expected = roc_auc_score(np.repeat(labels, times), np.repeat(scores, times))
    np.testing.assert_allclose(bootstrap_interval(scores[None], labels, weights), expected, rtol=1e-6)


def test_draws_of_several_scorings_have_the_mean_of_their_aucs() -> None:
    """Of scorings of the same examples, and of one that leaves some out."""
    rng = np.random.default_rng(6)
    labels, scores = rng.random(60) < 0.5, rng.integers(0, 9, size=(4, 60)).astype(float)
    scores[:, :5], scores[2, 20:40] = np.nan, np.nan
    weights = group_draws(np.arange(60), 7, rng)
    expected = []
    for times in weights.astype(int):
        drawn = [np.flatnonzero(np.isfinite(row)).repeat(times[np.isfinite(row)]) for row in scores]
        expected.append(np.mean([roc_auc_score(labels[i], row[i]) for i, row in zip(drawn, scores, strict=True)]))
    np.testing.assert_allclose(drawn_aucs(scores, labels, weights), expected, rtol=1e-6)


def test_a_widened_bootstrap_is_as_much_wider_on_the_logit_scale() -> None:
    rng = np.random.default_rng(2)
    labels = rng.random(80) < 0.5
    scores, weights = (rng.normal(size=80) + labels)[None], group_draws(np.arange(80), 200, rng)
    plain, widened = (np.array(bootstrap_interval(scores, labels, weights, variance_factor=f)) for f in (1.0, 4.0))
    value = logit(roc_auc_score(labels, scores[0]))
    np.testing.assert_allclose(logit(widened) - value, 2 * (logit(plain) - value), rtol=1e-6)

    apart = np.where(labels, 1.0, 0.0)[None]
    assert np.isnan(bootstrap_interval(apart, labels, weights, variance_factor=4.0)).all()


def test_differences_of_two_scores_of_the_same_examples_cover() -> None:
    """Scores that share most of their noise: a paired interval is much narrower than the difference of two."""
    rng, runs, covered, widths = np.random.default_rng(6), 600, 0, []
    labels, everyone = np.arange(150) % 2 == 0, np.arange(150)
    truth = norm.cdf(1.2 / np.sqrt(2)) - norm.cdf(1.0 / np.sqrt(2 * 1.16))
    for _ in range(runs):
        shared = rng.normal(size=150)
        better, worse = shared + 1.2 * labels, shared + 0.4 * rng.normal(size=150) + labels
        value, low, high = auc_difference(better, worse, labels, group=everyone)
        assert value == pytest.approx(roc_auc_score(labels, better) - roc_auc_score(labels, worse))
        covered += low <= truth <= high
        widths.append((high - low) / (auc_interval(better, labels).high - auc_interval(better, labels).low))
    assert 0.93 <= covered / runs <= 0.97
    assert np.mean(widths) < 0.8


def of_three_classes(rng: np.random.Generator, n: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three classes, as scikit-learn wants them, and which example is of which class."""
    label = rng.choice(3, size=n, p=[0.2, 0.3, 0.5])
    scores = rng.normal(size=(n, 3)) + shift * np.eye(3)[label]
    probability = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return probability.T[:, None], np.eye(3, dtype=bool)[label].T


def test_the_macro_average_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(7)
    scores, positive = of_three_classes(rng, 120, 1.0)
    expected = roc_auc_score(positive.argmax(0), scores[:, 0].T, multi_class="ovr", average="macro")
    value, low, high = macro_auc_interval(scores, positive, group=np.arange(120))
    assert value == pytest.approx(expected)
    assert low < value < high
    weights = group_draws(np.arange(120), 1, rng)
    times = weights[0].astype(int)
    drawn = roc_auc_score(
        np.repeat(positive.argmax(0), times),
        np.repeat(scores[:, 0].T, times, axis=0),
        multi_class="ovr",
        average="macro",
    )
    np.testing.assert_allclose(macro_bootstrap_interval(scores, positive, weights), drawn, rtol=1e-6)


def test_the_interval_of_a_macro_average_covers_at_its_level() -> None:
    """The AUCs of the classes are of the same examples; intervals that took them for independent would not cover."""
    rng, runs = np.random.default_rng(8), 600
    intervals = [
        macro_auc_interval(*of_three_classes(rng, 150, 0.7), group=np.arange(150), variance_factor=1.0)
        for _ in range(runs)
    ]
    scores, positive = of_three_classes(rng, 40_000, 0.7)
    truth = macro_auc_interval(scores, positive, group=np.arange(40_000)).value
    assert 0.93 <= np.mean([interval.low <= truth <= interval.high for interval in intervals]) <= 0.97


def test_two_classes_have_the_interval_of_the_one() -> None:
    rng = np.random.default_rng(9)
    positive = rng.random(80) < 0.4
    scores = rng.normal(size=80) + positive
    both = macro_auc_interval(
        np.stack([scores, -scores])[:, None], np.stack([positive, ~positive]), group=np.arange(80)
    )
    np.testing.assert_allclose(both, auc_interval(scores, positive))
    perfect = np.stack([positive, ~positive]).astype(float)[:, None]
    assert macro_auc_interval(perfect, np.stack([positive, ~positive]), group=np.arange(80)).value == 1.0


def test_a_perfect_order_is_worth_the_groups_that_were_scored() -> None:
    scores = np.where(np.arange(30) < 4, np.nan, np.arange(30.0))
    assert auc_interval(scores, np.arange(30) >= 10).low == pytest.approx(0.025 ** (1 / 6))


def test_groups_are_counted_over_all_scorings() -> None:
    """Each of which scores a fifth of the examples: all 25 groups are in the interval."""
    rng = np.random.default_rng(0)
    labels, group = rng.random(100) < 0.5, np.arange(100) // 4
    of_folds = np.full((5, 100), np.nan)
    for fold in range(5):
        of_folds[fold, fold::5] = rng.normal(size=20) + labels[fold::5]
    value, low, _ = auc_interval(of_folds, labels, group=group)
    _, influence = auc_and_influence(of_folds, labels, group)
    half = t.ppf(0.975, 24) * np.sqrt((influence**2).sum() * 25 / 24)
    assert low == pytest.approx(expit(logit(value) - half / (value * (1 - value))))


def test_of_one_class_the_mean_over_classes_has_the_interval_of_its_auc() -> None:
    rng = np.random.default_rng(1)
    labels, group = rng.random(60) < 0.5, np.arange(60) // 3
    scores = (rng.normal(size=60) + labels)[None]
    one = auc_interval(scores, labels, group=group, variance_factor=2.0)
    assert macro_auc_interval(scores[None], labels[None], group=group, variance_factor=2.0) == pytest.approx(one)


def test_classes_that_are_all_told_apart_have_the_interval_of_the_rarest() -> None:
    number = np.repeat([0, 1, 2], [12, 14, 4])
    positive = np.arange(3)[:, None] == number
    found = macro_auc_interval(positive[:, None].astype(float), positive, group=np.arange(30))
    assert found == pytest.approx((1.0, 0.025 ** (1 / 4), 1.0))


def test_what_groups_add_above_chance_is_the_auc_of_what_is_scored() -> None:
    rng = np.random.default_rng(2)
    labels, group = rng.random(40) < 0.5, np.arange(40) // 3
    scores = rng.normal(size=(2, 40)) + labels
    scores[0, :7], scores[1, 30:] = np.nan, np.nan
    value, parts = auc_above_chance(scores, labels, group)
    assert value == auc_interval(scores, labels).value
    assert parts.sum() == pytest.approx(value - 0.5)


def test_an_order_that_is_perfect_or_all_wrong_says_nothing_in_draws() -> None:
    labels, weights = np.arange(30) >= 10, group_draws(np.arange(30), 20, np.random.default_rng(0))
    for scores in (np.arange(30.0), -np.arange(30.0)):
        assert np.isnan(bootstrap_interval(scores[None], labels, weights)).all()


@pytest.mark.parametrize(("folds", "factor"), [(1, 1.25), (2, 3.0), (5, 2.25)])
def test_fits_of_fewer_folds_widen_more(folds: int, factor: float) -> None:
    assert refitting_factor(folds) == pytest.approx(factor)


def test_draws_that_have_one_class_alone_are_left_out_of_the_interval() -> None:
    rng = np.random.default_rng(3)
    labels, scores = np.arange(8) < 2, rng.normal(size=(1, 8))
    weights = group_draws(np.arange(8), 200, rng)
    assert np.isnan(drawn_aucs(scores, labels, weights)).any()
    assert np.isfinite(bootstrap_interval(scores, labels, weights)).all()
    assert np.isfinite(macro_bootstrap_interval(scores[None], labels[None], weights)).all()
