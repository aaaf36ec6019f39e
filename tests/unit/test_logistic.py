from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from interp.logistic import fit_logistic


def data(n: int, d: int, seed: int, *, signal: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    logits = signal * x @ rng.normal(size=d) / np.sqrt(d) + rng.normal(size=n)
    return x, logits > np.quantile(logits, rng.uniform(0.2, 0.8))


def sklearn_optimum(x: np.ndarray, y: np.ndarray, c: float) -> LogisticRegression:
    return LogisticRegression(C=c, solver="lbfgs", tol=1e-12, max_iter=100_000).fit(x, y)


def objective(weights: np.ndarray, intercept: float, x: np.ndarray, y: np.ndarray, c: float) -> float:
    margins = np.where(y, 1, -1) * (x @ weights + intercept)
    return float(c * np.logaddexp(0, -margins).sum() + 0.5 * weights @ weights)


def check(x: np.ndarray, y: np.ndarray, c: float) -> None:
    features = torch.from_numpy(x)
    fit = fit_logistic(features @ features.T, torch.from_numpy(y), c)
    reference = sklearn_optimum(x, y, c)
    ours = objective((features.T @ fit.alpha).numpy(), float(fit.intercept), x, y, c)
    theirs = objective(reference.coef_[0], float(reference.intercept_[0]), x, y, c)
    assert fit.converged
    assert ours <= theirs * (1 + 1e-6)
    assert fit.objective == pytest.approx(ours, rel=1e-9)
    new = np.random.default_rng(0).normal(size=(20, x.shape[1]))
    scores = fit.scores(torch.from_numpy(new) @ features.T).numpy()
    expected = reference.decision_function(new)
    np.testing.assert_allclose(scores, expected, atol=1e-4 * max(1.0, np.abs(expected).max()))


@given(n=st.integers(8, 60), d=st.integers(1, 80), seed=st.integers(0, 10**6), log_c=st.floats(-3, 2))
@settings(max_examples=40, deadline=None)
def test_reaches_the_optimum_of_scikit_learn(n: int, d: int, seed: int, log_c: float) -> None:
    x, y = data(n, d, seed)
    check(x, y, 10.0**log_c)


def test_far_fewer_examples_than_features() -> None:
    check(*data(100, 2048, 0), c=1.0)


def test_separable_classes() -> None:
    x, y = data(80, 5, 1, signal=100.0)
    x[:, 0] = np.where(y, 5.0, -5.0)
    check(x, y, c=10.0)


def test_ill_conditioned_features() -> None:
    x, y = data(120, 20, 2)
    x = x * np.logspace(-3, 1, 20)
    x[:, 1] = x[:, 0] * (1 + 1e-9)
    check(x, y, c=1.0)


def test_repeated_examples_of_both_classes() -> None:
    x, y = data(40, 4, 3)
    check(np.vstack([x, x]), np.concatenate([y, ~y]), c=1.0)


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="both classes"):
        fit_logistic(torch.eye(4, dtype=torch.float64), torch.ones(4, dtype=torch.bool), 1.0)
