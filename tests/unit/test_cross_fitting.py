"""What is chosen within the folds, against the definition, from scores that no probe has made."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from interp.probes.cross_fitting import InnerFits

CANDIDATES = (0.1, 1.0, 10.0)
N, N_FOLDS, N_SEEDS = 24, 4, 2
PAIRS = list(combinations(range(N_FOLDS), 2))


def always(_: np.ndarray) -> bool:
    return True


def folds(rng: np.random.Generator) -> np.ndarray:
    return np.stack([rng.permutation(np.arange(N) % N_FOLDS) for _ in range(N_SEEDS)])


def expected_inner(of_pairs: np.ndarray, fold: np.ndarray, outer: int) -> np.ndarray:
    """Of one candidate's scores of a seed those that a fold's choice is made by."""
    inner = np.full(N, np.nan)
    for other in set(range(N_FOLDS)) - {outer}:
        inner[fold == other] = of_pairs[PAIRS.index((min(outer, other), max(outer, other)))][fold == other]
    return inner


@given(seed=st.integers(0, 10**6), nested=st.booleans())
def test_every_fold_has_the_candidate_that_loses_least_within_the_others(seed: int, nested: bool) -> None:
    rng = np.random.default_rng(seed)
    fold = folds(rng)
    fits = InnerFits(always, fold, N_FOLDS, CANDIDATES, nested=nested)
    scores = rng.normal(size=(len(CANDIDATES), N_SEEDS * len(PAIRS), N))
    choice = fits.choice(scores, np.abs)
    assert len(choice.inner) == (N_FOLDS if nested else 0)
    for number, of_seed in enumerate(fold):
        of_pairs = scores[:, number * len(PAIRS) :][:, : len(PAIRS)]
        for outer in range(N_FOLDS):
            inner = np.stack([expected_inner(each, of_seed, outer) for each in of_pairs])
            best = int(np.nanmean(np.abs(inner), axis=1).argmin())
            assert choice.costs[number, outer] == CANDIDATES[best]
            if nested and number == 0:
                np.testing.assert_array_equal(choice.inner[outer], inner[best])


def test_fits_are_made_for_what_is_chosen_only() -> None:
    """The regularisation in every seed, the best cell in the first, and nothing where nothing is chosen."""
    fold = folds(np.random.default_rng(0))
    for candidates, nested, n_fits in (
        (CANDIDATES, True, N_SEEDS * len(PAIRS)),
        (CANDIDATES, False, N_SEEDS * len(PAIRS)),
        (CANDIDATES[:1], True, len(PAIRS)),
        (CANDIDATES[:1], False, 0),
    ):
        fits = InnerFits(always, fold, N_FOLDS, candidates, nested=nested)
        assert fits.trained.shape == (n_fits, N)
        choice = fits.choice(np.zeros((len(candidates), n_fits, N)), np.abs)
        assert (choice.costs == candidates[0]).all()


def test_what_cannot_be_trained_has_no_part() -> None:
    """Of a fold that has no inner scores the first candidate is taken, and there is nothing to choose a cell by."""
    fold = folds(np.random.default_rng(1))[:1]
    fits = InnerFits(lambda trained: not trained[fold[0] == 0].any(), fold, N_FOLDS, CANDIDATES, nested=True)
    assert len(fits.trained) == N_FOLDS - 1
    scores = np.random.default_rng(2).normal(size=(len(CANDIDATES), N_FOLDS - 1, N)) + 5
    scores[2] -= 5
    choice = fits.choice(scores, np.abs)
    assert choice.costs[0].tolist() == [10.0] * N_FOLDS
    for outer in range(1, N_FOLDS):
        of_first = fold[0] == 0
        assert np.isfinite(choice.inner[outer, of_first]).all()
        assert np.isnan(choice.inner[outer, ~of_first]).all()
    none = InnerFits(lambda _: False, fold, N_FOLDS, CANDIDATES, nested=True)
    choice = none.choice(np.empty((len(CANDIDATES), 0, N)), np.abs)
    assert (choice.costs == CANDIDATES[0]).all()
    assert np.isnan(choice.inner).all()
