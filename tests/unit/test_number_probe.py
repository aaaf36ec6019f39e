"""Probes of numbers: ridge regression against scikit-learn's, and R² against planted truths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from interp.activations.store import ActivationStore
from interp.errors import InputError
from interp.probes.cell_probe import Scores
from interp.probes.labels import NEVER, Numbers, Split
from interp.probes.number_probe import (
    NoNumber,
    example_numbers,
    number_map,
    number_scores,
    number_scores_of_cell,
    training_means,
)
from interp.probes.ridge import ridge_predictions
from interp.results.heatmap import Heatmap
from interp.statistics.auc import refitting_factor
from interp.statistics.means import group_draws
from interp.statistics.r_squared import r_squared_bootstrap, r_squared_interval
from tests.stored import store_of


def numbers_of(values: np.ndarray, *, split: Split | None = None) -> Numbers:
    return (split or Split()).numbers(values.tolist(), [str(index) for index in range(len(values))])


def planted(n: int, r_squared: float, d: int = 12, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """Features, and numbers of which one direction explains so much of the variance."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, d))
    direction = rng.normal(size=d)
    known = features @ direction / np.linalg.norm(direction)
    values = np.sqrt(r_squared) * known + np.sqrt(1 - r_squared) * rng.normal(size=n)
    return torch.from_numpy(features).float(), 1900 + 50 * values


def test_numbers_that_are_not_those_of_the_store_are_an_error() -> None:
    numbers = numbers_of(np.arange(100.0))
    with pytest.raises(InputError, match="there are 100 labels for 120 examples; give one label, and one row"):
        number_scores_of_cell(torch.ones(120, 4), np.ones(120, dtype=bool), numbers)


@pytest.mark.parametrize("d", [5, 200])
def test_predictions_are_those_of_scikit_learn(d: int) -> None:
    """With more and with fewer features than examples, and features that are not centred on what is trained on."""
    rng = np.random.default_rng(0)
    features, value = rng.normal(size=(60, d)) + rng.normal(size=d), rng.normal(size=60) + 7
    cost = np.where(rng.random((3, 60)) < 0.7, 1 / np.array([[0.1], [10.0], [1e4]]), 0.0)
    predicted = ridge_predictions(*(torch.from_numpy(each) for each in (features @ features.T, value, cost))).numpy()
    for row, of_fit in zip(predicted, cost, strict=True):
        trained = of_fit > 0
        reference = Ridge(alpha=1 / of_fit.max(), solver="svd").fit(features[trained], value[trained])
        np.testing.assert_allclose(row, reference.predict(features), atol=1e-8)


def test_the_penalty_is_chosen_within_the_other_folds() -> None:
    features, values = planted(150, 0.4, d=60)
    penalties, split = (1.0, 100.0, 1e6), Split(n_seeds=2)
    numbers = numbers_of(values, split=split)
    scores = number_scores_of_cell(features, np.ones(150, dtype=bool), numbers, penalties).held_out
    scaled, taken = StandardScaler().fit_transform(features.double().numpy()), set()
    for seed, fold in enumerate(numbers.fold):
        for outer in range(5):
            errors = np.zeros(len(penalties))
            for row, alpha in enumerate(penalties):
                for other in set(range(5)) - {outer}:
                    trained = ~np.isin(fold, [outer, other])
                    ridge = Ridge(alpha=alpha).fit(scaled[trained], values[trained])
                    errors[row] += ((ridge.predict(scaled[fold == other]) - values[fold == other]) ** 2).sum()
            best = penalties[int(errors.argmin())]
            taken.add(best)
            ridge = Ridge(alpha=best).fit(scaled[fold != outer], values[fold != outer])
            np.testing.assert_allclose(scores[seed, fold == outer], ridge.predict(scaled[fold == outer]), rtol=1e-8)
    assert 100.0 in taken
    assert 1.0 not in taken


def map_of(
    folder: Path, cells: torch.Tensor, mask: np.ndarray, numbers: Numbers, draws: int = 0
) -> tuple[Heatmap, Scores, ActivationStore]:
    store = store_of(folder / "store", cells)
    scores = number_scores(store, mask, numbers, parts=folder / "scores")
    return number_map(scores, mask, numbers, store, metric="R² of year", draws=draws), scores, store


def test_a_planted_direction_gives_its_share_and_shuffled_numbers_give_none(tmp_path: Path) -> None:
    n = 600
    features, values = planted(n, 0.6)
    shuffled = torch.from_numpy(np.random.default_rng(1).permutation(features.numpy()))
    mask = np.ones((n, 2), dtype=bool)
    mask[::3, 1] = False
    split = Split(n_seeds=2)
    cells = torch.stack([torch.stack([features, features]), torch.stack([shuffled, features * 0 + 1])])
    heatmap, scores, store = map_of(tmp_path, cells, mask, numbers_of(values, split=split), draws=200)
    data = heatmap.data
    assert data["n"].values.tolist() == [[600, 400], [600, 400]]
    assert data["value"].values[0] == pytest.approx(0.6, abs=0.06)
    assert data["value"].values[1, 0] <= 0.005
    assert data["low"].values[1, 0] < 0
    assert data["low"].values[0, 0] < 0.6 < data["high"].values[0, 0]
    assert data["low_bootstrap"].values[0, 0] < data["value"].values[0, 0] < data["high_bootstrap"].values[0, 0]
    widths = data["high"] - data["low"], data["high_bootstrap"] - data["low_bootstrap"]
    assert (widths[0] / widths[1]).values[0, 0] == pytest.approx(np.sqrt(refitting_factor(5)), rel=0.15)
    expected = np.mean([spearmanr(row, values).statistic for row in scores.held_out[0, 0]])
    assert data["spearman"].values[0, 0] == pytest.approx(expected)
    assert data["why_missing"].values[1].tolist() == [NoNumber.HAS_VALUE, NoNumber.ACTIVATIONS_ALL_THE_SAME]
    assert np.isnan(data["value"].values[1, 1])
    assert (heatmap.scale.low, heatmap.scale.high) == (0.0, 1.0)
    examples = example_numbers(scores, numbers_of(values, split=split), store)
    assert examples["score"].dims == ("layer", "position", "seed", "example")


def test_the_mean_of_what_was_trained_on_explains_nothing() -> None:
    """A probe that knows nothing predicts it: its R² is 0, not what the mean of the scored would make of it."""
    features, values = planted(100, 0.0)
    numbers = numbers_of(values)
    everyone = np.ones(100, dtype=bool)
    means = training_means(numbers, everyone)
    for fold in range(5):
        assert means[0, numbers.fold[0] == fold] == pytest.approx(values[numbers.fold[0] != fold].mean())
    nothing = number_scores_of_cell(features, everyone, numbers, (1e15,)).held_out
    np.testing.assert_allclose(nothing, means)
    errors, of_mean = (values - nothing) ** 2, (values - means) ** 2
    assert r_squared_interval(errors, of_mean, group=np.arange(100)).value == pytest.approx(0.0, abs=1e-9)
    assert ((values - values.mean()) ** 2).sum() < of_mean.sum()


@pytest.mark.parametrize("truth", [0.0, 0.5])
def test_intervals_cover_what_a_rerun_on_new_examples_gives(truth: float) -> None:
    """The R² that this procedure has on average, over draws of examples."""
    intervals = []
    for seed in range(200):
        features, values = planted(120, truth, d=8, seed=seed)
        numbers = numbers_of(values, split=Split(seed=seed))
        everyone = np.ones(120, dtype=bool)
        predicted = number_scores_of_cell(features, everyone, numbers, (10.0,)).held_out
        errors, of_mean = (values - predicted) ** 2, (values - training_means(numbers, everyone)) ** 2
        intervals.append(r_squared_interval(errors, of_mean, group=numbers.side, variance_factor=refitting_factor(5)))
    mean = np.mean([interval.value for interval in intervals])
    assert 0.93 <= np.mean([interval.low <= mean <= interval.high for interval in intervals]) <= 1.0


def test_where_there_is_nothing_an_interval_that_is_above_0_is_rare_though_the_penalty_was_chosen() -> None:
    above = 0
    for seed in range(150):
        features, values = planted(100, 0.0, d=30, seed=seed)
        numbers = numbers_of(values, split=Split(seed=seed))
        everyone = np.ones(100, dtype=bool)
        predicted = number_scores_of_cell(features, everyone, numbers).held_out
        errors, of_mean = (values - predicted) ** 2, (values - training_means(numbers, everyone)) ** 2
        interval = r_squared_interval(errors, of_mean, group=numbers.side, variance_factor=refitting_factor(5))
        above += interval.low > 0
    assert above / 150 <= 0.05


def test_intervals_are_of_groups() -> None:
    """Of twins there is half as much to know as of strangers; a bootstrap of whole groups says the same."""
    rng = np.random.default_rng(0)
    value, noise = rng.normal(size=150), rng.normal(size=150)
    errors, of_mean = (np.repeat(each, 2)[None] for each in ((0.7 * noise) ** 2, value**2))
    twins, strangers = np.repeat(np.arange(150), 2), np.arange(300)
    of_twins, of_strangers = (r_squared_interval(errors, of_mean, group=group) for group in (twins, strangers))
    ratio = (of_twins.high - of_twins.low) / (of_strangers.high - of_strangers.low)
    assert ratio == pytest.approx(np.sqrt(2), rel=0.03)
    low, high = r_squared_bootstrap(errors, of_mean, group_draws(twins, 4000, rng))
    assert (low, high) == pytest.approx(of_twins[1:], abs=0.05)
    single = r_squared_bootstrap(errors, of_mean, np.ones((1, 300), dtype=np.float32))
    assert single == pytest.approx((of_twins.value, of_twins.value), rel=1e-5)


@pytest.mark.parametrize(
    ("values", "present", "reason"),
    [
        (np.arange(60.0), 0, NoNumber.NO_EXAMPLE),
        (np.arange(60.0), 39, NoNumber.TOO_FEW_EXAMPLES),
        (np.repeat([1.0, 2.0], [50, 10]), 50, NoNumber.NUMBERS_ALL_THE_SAME),
        (np.arange(60.0), 60, NoNumber.ACTIVATIONS_NOT_FINITE),
    ],
)
def test_a_cell_that_cannot_have_a_value_says_why(
    values: np.ndarray, present: int, reason: NoNumber, tmp_path: Path
) -> None:
    mask = np.zeros((60, 2), dtype=bool)
    mask[:present] = True
    cells = torch.randn(1, 2, 60, 4, generator=torch.Generator().manual_seed(0))
    if reason == NoNumber.ACTIVATIONS_NOT_FINITE:
        cells[:, :, 3, 1] = torch.nan
    data = map_of(tmp_path, cells, mask, numbers_of(values))[0].data
    assert (data["why_missing"] == reason).all()
    assert data["value"].isnull().all()
    assert (data["n"] == present).all()


@pytest.mark.parametrize(("n_groups", "reason"), [(5, NoNumber.TOO_FEW_GROUPS), (6, NoNumber.HAS_VALUE)])
def test_numbers_of_few_groups_have_no_value(n_groups: int, reason: NoNumber, tmp_path: Path) -> None:
    features, values = planted(60, 0.6)
    numbers = Split().numbers(values.tolist(), [f"{index % n_groups}" for index in range(60)])
    data = map_of(tmp_path, torch.stack([features, features])[None], np.ones((60, 2), dtype=bool), numbers)[0].data
    assert (data["why_missing"] == reason).all()
    assert (data["value"].isnull() == (reason != NoNumber.HAS_VALUE)).all()


def test_intervals_of_few_groups_hold_what_many_have() -> None:
    """Groups are alike within: of 6, where the normal quantile would hold 86 %."""
    rng, held, group = np.random.default_rng(0), 0, np.repeat(np.arange(6), 20)
    for _ in range(1000):
        of_group = np.repeat(rng.chisquare(4, size=(2, 6)), 20, axis=1)
        errors, of_mean = 0.6 * of_group[:1] * rng.chisquare(1, 120), of_group[1:] * rng.chisquare(1, 120)
        interval = r_squared_interval(errors, of_mean, group=group)
        held += interval.low <= 0.4 <= interval.high
    assert held >= 910
    assert np.isnan(r_squared_interval(errors, of_mean, group=np.zeros(120, dtype=np.int64))[1:]).all()


def test_folds_have_all_fifths_of_the_numbers_also_where_many_are_the_same() -> None:
    values = np.array([0.0] * 70 + list(range(30)))
    numbers = numbers_of(values)
    assert np.bincount(numbers.fold[0]).tolist() == [20] * 5
    large = [values[numbers.fold[0] == fold].mean() for fold in range(5)]
    assert max(large) - min(large) < 2


def test_the_published_split_scores_one_fifth() -> None:
    features, values = planted(200, 0.6)
    numbers = numbers_of(values, split=Split(as_published=True))
    scores = number_scores_of_cell(features, np.ones(200, dtype=bool), numbers, (10.0,))
    assert (np.isfinite(scores.held_out) == (numbers.fold != NEVER)).all()
    assert numbers.scored.sum() == 40
