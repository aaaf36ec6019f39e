"""Many regressions on few features, against scikit-learn's, one at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from interp.probes.few_features import fitted, non_negative_coefficients


def objective(at: np.ndarray, features: np.ndarray, positive: np.ndarray, c: float) -> float:
    margin = np.where(positive, 1.0, -1.0) * (features @ at[:-1] + at[-1])
    return float(c * np.logaddexp(0.0, -margin).sum() + 0.5 * (at[:-1] ** 2).sum())


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_features=st.integers(1, 4),
    signal=st.sampled_from([0.0, 1.0, 30.0]),
    scale=st.sampled_from([1e-2, 1.0, 30.0]),
    c=st.sampled_from([0.01, 1.0, 1e4]),
)
def test_the_optimum_is_scikit_learns(seed: int, n_features: int, signal: float, scale: float, c: float) -> None:
    """Of some fits at once, on examples of their own; also where the classes can be told apart without error."""
    rng = np.random.default_rng(seed)
    positive = rng.random(60) < 0.4
    features = rng.normal(size=(3, 60, n_features))
    features[..., 0] += signal * positive
    features *= scale
    trained = rng.random((3, 60)) < 0.8
    features[~trained] = np.nan
    found = fitted(features, positive, trained, c)
    for own, reached, rows, theirs in zip(*found, trained, features, strict=True):
        of_fit = theirs[rows], positive[rows]
        assert reached == pytest.approx(objective(own, *of_fit, c), rel=1e-9, abs=1e-12)
        peer = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-10, max_iter=1000).fit(*of_fit)
        expected = np.append(peer.coef_[0], peer.intercept_)
        lowest = objective(expected, *of_fit, c)
        assert objective(own, *of_fit, c) <= lowest + 1e-9 * abs(lowest)
        scores = of_fit[0] @ expected[:-1] + expected[-1]
        # Where no example is wrong scikit-learn ends up to 2e-5 of the objective above the optimum.
        np.testing.assert_allclose(of_fit[0] @ own[:-1] + own[-1], scores, rtol=5e-3, atol=1e-3)


@pytest.mark.parametrize("kept", [0, 1])
def test_one_class_has_no_coefficients_and_does_no_harm_to_others(kept: int) -> None:
    rng = np.random.default_rng(0)
    positive, features = np.arange(20) % 2 == 0, rng.normal(size=(2, 20, 2))
    trained = np.ones((2, 20), dtype=bool)
    trained[0] = positive if kept else False
    found, alone = fitted(features, positive, trained, 1.0), fitted(features[1:], positive, trained[1:], 1.0)
    for each, of_alone in zip(found, alone, strict=True):
        assert np.isnan(each[0]).all()
        np.testing.assert_array_equal(each[1:], of_alone)


@pytest.mark.parametrize("level", [0.0, 7.0, 1e6])
def test_a_feature_that_is_the_same_everywhere_has_no_weight(level: float) -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(50) < 0.3
    features = np.stack([rng.normal(size=50) + positive, np.full(50, level)], axis=1)
    trained = np.ones((1, 50), dtype=bool)
    both, alone = (fitted(each[None], positive, trained, 1e4).coefficients[0] for each in (features, features[:, :1]))
    assert both[1] * level + both[2] == pytest.approx(alone[1], abs=1e-6)
    assert both[0] == pytest.approx(alone[0], rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_features=st.integers(1, 3),
    signal=st.sampled_from([-1.0, 0.0, 1.0]),
    c=st.sampled_from([0.01, 1.0, 1e4]),
)
def test_weights_that_may_not_be_below_0_are_scipys(seed: int, n_features: int, signal: float, c: float) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.random(60) < 0.4
    features = rng.normal(size=(3, 60, n_features))
    features[..., 0] += signal * positive
    trained = rng.random((3, 60)) < 0.8
    features[~trained] = np.nan
    found = non_negative_coefficients(features, positive, trained, c)
    assert (found[:, :-1] >= 0).all()
    for own, rows, theirs in zip(found, trained, features, strict=True):
        bounds = [(0, None)] * n_features + [(None, None)]
        of_fit = (theirs[rows], positive[rows], c)
        peer = minimize(objective, np.zeros(n_features + 1), of_fit, "L-BFGS-B", bounds=bounds, options={"ftol": 1e-15})
        assert objective(own, *of_fit) <= peer.fun * (1 + 1e-7)
        np.testing.assert_allclose(own, peer.x, rtol=0, atol=2e-2 * max(1.0, float(np.abs(peer.x).max())))


def test_a_fit_to_one_class_has_no_weights_that_may_not_be_below_0_either() -> None:
    features, positive = np.random.default_rng(0).normal(size=(2, 20, 2)), np.arange(20) < 10
    trained = np.stack([np.arange(20) < 8, np.ones(20, dtype=bool)])
    found = non_negative_coefficients(features, positive, trained, 1.0)
    assert np.isnan(found[0, -1])
    assert np.isfinite(found[1]).all()
