from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from interp.probes import conjugate_gradients, logistic
from interp.probes.logistic import fit_each, fit_logistic


def data(n: int, d: int, seed: int, *, signal: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    logits = signal * x @ rng.normal(size=d) / np.sqrt(d) + rng.normal(size=n)
    return x, logits > np.quantile(logits, rng.uniform(0.2, 0.8))


def objective(weights: np.ndarray, intercept: float, x: np.ndarray, y: np.ndarray, c: float) -> float:
    margins = np.where(y, 1, -1) * (x @ weights + intercept)
    return float(c * np.logaddexp(0, -margins).sum() + 0.5 * weights @ weights)


def sklearn_optimum(x: np.ndarray, y: np.ndarray, c: float) -> LogisticRegression:
    """The better one of two of its solvers, run as far as they go: neither is the better one everywhere."""
    solvers = ("lbfgs", "newton-cholesky") if x.shape[1] < 1000 else ("lbfgs",)
    fits = [LogisticRegression(C=c, solver=solver, tol=1e-12, max_iter=100_000).fit(x, y) for solver in solvers]
    return min(fits, key=lambda fit: objective(fit.coef_[0], float(fit.intercept_[0]), x, y, c))


def check(x: np.ndarray, y: np.ndarray, c: float) -> None:
    """All examples, and two thirds of them, against scikit-learn's optimum on the same; by each way to fit."""
    features = torch.from_numpy(x)
    trained = np.stack([np.ones(len(y), dtype=bool), np.arange(len(y)) % 3 > 0])
    if not 0 < y[trained[1]].sum() < trained[1].sum():
        trained[1] = True
    references = [sklearn_optimum(x[train], y[train], c) for train in trained]
    new = np.random.default_rng(0).normal(size=(20, x.shape[1]))
    for fit, times in ((fit_logistic, 1), (fit_each, 1), (fit_each, logistic.FEWEST_TOGETHER)):
        cost = c * torch.from_numpy(np.tile(trained, (times, 1))).double()
        fits = fit(features @ features.T, torch.from_numpy(y).expand(len(cost), -1), cost)
        assert bool(fits.converged.all())
        assert len(cost) >= logistic.FEWEST_TOGETHER or not fits.alpha[cost == 0].any()
        scores = fits.scores(torch.from_numpy(new) @ features.T).numpy()
        for number, (train, reference) in enumerate(zip(trained, references, strict=True)):
            weights, intercept = (features.T @ fits.alpha[number]).numpy(), float(fits.intercept[number])
            ours = objective(weights, intercept, x[train], y[train], c)
            theirs = objective(reference.coef_[0], float(reference.intercept_[0]), x[train], y[train], c)
            assert ours <= theirs * (1 + 1e-6)
            assert float(fits.objective[number]) == pytest.approx(ours, rel=1e-9)
            expected = reference.decision_function(new)
            np.testing.assert_allclose(scores[number], expected, atol=1e-4 * max(1.0, np.abs(expected).max()))


@given(n=st.integers(8, 60), d=st.integers(1, 80), seed=st.integers(0, 10**6), log_c=st.floats(-3, 2))
@settings(max_examples=40, deadline=None)
def test_reaches_the_optimum_of_scikit_learn(n: int, d: int, seed: int, log_c: float) -> None:
    x, y = data(n, d, seed)
    check(x, y, 10.0**log_c)


def test_far_fewer_examples_than_features() -> None:
    check(*data(200, 4096, 0), c=1.0)


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


def test_features_of_very_different_sizes() -> None:
    """As in a stream with massive activations: single precision is not enough for the steps."""
    x, y = data(90, 150, 4)
    x[:, 0] = 1e4 + 1e3 * x[:, 0]
    check(x, y, c=1.0)


def test_where_single_precision_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data(60, 30, 5)
    factorised = logistic.torch.linalg.cholesky_ex

    def only_double(matrix: torch.Tensor) -> object:
        factor, failed = factorised(matrix)
        return factor, failed + int(matrix.dtype is torch.float32)

    monkeypatch.setattr(logistic.torch.linalg, "cholesky_ex", only_double)
    check(x, y, c=1.0)


def many_fits(n: int = 150, d: int = 60) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, labels and costs of ten fits, of which each leaves out its own tenth and has labels of its own."""
    x, y = data(n, d, 6)
    rng = np.random.default_rng(7)
    positive = np.stack([y, *(rng.permutation(y) for _ in range(9))])
    cost = np.where(np.arange(n) % 10 == np.arange(10)[:, None], 0.0, 0.5)
    return torch.from_numpy(x - x.mean(0)), torch.from_numpy(positive), torch.from_numpy(cost)


def test_many_are_fitted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    features, positive, cost = many_fits()
    exact = fit_logistic(features @ features.T, positive, cost)

    monkeypatch.setattr(logistic, "_factorised", no_factorisations)
    together = fit_each(features @ features.T, positive, cost)
    torch.testing.assert_close(together.objective, exact.objective, rtol=1e-10, atol=0)
    torch.testing.assert_close(together.alpha @ features, exact.alpha @ features, rtol=0, atol=1e-5)
    torch.testing.assert_close(together.intercept, exact.intercept, rtol=0, atol=1e-5)


COSTS = (0.5, 1e-3, 1e-1)
"""Not in order: each begins where the next smaller one ended."""


@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0, 1e4])
def test_rough_log_odds_lose_as_little_as_exact_ones(size: float) -> None:
    """To the digits by which strengths of the regularisation are told from each other, for features of every size."""
    features, positive, cost = many_fits()
    gram, trained = (features @ features.T) * size**2, cost > 0
    rough = logistic.rough_log_odds(gram, positive, trained, COSTS)
    for c, scores in zip(COSTS, rough, strict=True):
        exact = fit_each(gram, positive, c * trained.double()).scores(gram)
        torch.testing.assert_close(mean_losses(scores, positive), mean_losses(exact, positive), rtol=1e-2, atol=1e-3)


def test_rough_log_odds_that_double_precision_does_not_bear_out_are_fitted_exactly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, positive, cost = many_fits()
    gram, trained = features @ features.T, cost > 0
    exact = torch.stack([fit_logistic(gram, positive, c * trained.double()).scores(gram) for c in COSTS])
    assert not torch.allclose(logistic.rough_log_odds(gram, positive, trained, COSTS), exact, rtol=0, atol=1e-6)
    monkeypatch.setattr(logistic, "ROUNDED", 0.0)
    assert torch.allclose(logistic.rough_log_odds(gram, positive, trained, COSTS), exact, rtol=0, atol=1e-6)


def mean_losses(scores: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.softplus(torch.where(positive, -scores, scores)).mean(1)


@pytest.mark.parametrize("size", [1e-6, 1e-4, 1e-2, 1.0, 30.0])
def test_many_fits_converge_for_features_of_every_size(size: float) -> None:
    """Many more features than examples, too: nothing is taken for an optimum that single precision cannot tell."""
    for d in (60, 2000):
        features, positive, cost = many_fits(d=d)
        features = features * size
        exact, fits = (fit(features @ features.T, positive, cost) for fit in (fit_logistic, fit_each))
        assert bool(fits.converged.all())
        torch.testing.assert_close(fits.objective, exact.objective, rtol=1e-9, atol=0)
        weights = exact.alpha @ features
        torch.testing.assert_close(fits.alpha @ features, weights, rtol=0, atol=1e-4 * float(weights.abs().max()))


@pytest.mark.parametrize(("n", "d"), [(120, 1500), (400, 1500)])
def test_many_fits_to_far_fewer_examples_than_features_converge_together(n: int, d: int) -> None:
    """Their weights fall from step to step, and their preconditioner with them."""
    for seed in range(4):
        x, _ = data(n, d, seed)
        y = np.random.default_rng(seed).permuted(np.arange(n) % 2 == 0)
        features = torch.from_numpy((x - x.mean(0)) / x.std(0))
        cost = torch.from_numpy(np.where(np.arange(n) % 5 == np.arange(5)[:, None], 0.0, 1.0))
        gram = features @ features.T
        fits = logistic._together(gram, torch.from_numpy(y).expand(5, -1), cost, logistic.ConjugateGradients(gram))
        assert bool(fits.converged.all())


def test_labels_that_are_not_trained_on_have_no_part() -> None:
    features, positive, cost = many_fits()
    gram = features @ features.T
    fits, with_others = fit_each(gram, positive, cost), fit_each(gram, positive ^ (cost == 0), cost)
    assert torch.equal(fits.scores(gram), with_others.scores(gram))


def test_fits_that_do_not_converge_together_are_fitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    features, positive, cost = many_fits()
    exact = fit_logistic(features @ features.T, positive, cost)
    settled = int(fit_each(features @ features.T, positive, cost).steps) - 1
    monkeypatch.setattr(logistic.ConjugateGradients, "max_steps", settled)
    fits = fit_each(features @ features.T, positive, cost)
    assert bool(fits.converged.all())
    assert fits.steps > settled
    torch.testing.assert_close(fits.objective, exact.objective, rtol=1e-10, atol=0)
    torch.testing.assert_close(fits.alpha @ features, exact.alpha @ features, rtol=0, atol=1e-5)


def no_factorisations(*_: object) -> None:
    raise AssertionError("conjugate gradients did not converge")


@pytest.mark.parametrize(("least", "times_made"), [(1e-2, 1), (1e-5, 2)])
def test_fits_take_the_preconditioner_of_those_before_them(
    least: float, times_made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless these had none, for costs so small that single precision does not see what they add to the identity."""
    features, positive, cost = many_fits()
    gram, trained, cost = features @ features.T, cost > 0, 0.1 * cost
    exact, made = fit_logistic(gram, positive, cost), []

    def counted(*given: torch.Tensor) -> conjugate_gradients.Preconditioner:
        made.append(given)
        return conjugate_gradients.preconditioner(*given)

    monkeypatch.setattr(logistic, "preconditioner", counted)
    solver = logistic.ConjugateGradients(gram)
    logistic.rough_log_odds(gram, positive, trained, [least], solver)
    monkeypatch.setattr(logistic, "_factorised", no_factorisations)
    fits = fit_each(gram, positive, cost, solver)
    assert len(made) == times_made
    torch.testing.assert_close(fits.objective, exact.objective, rtol=1e-10, atol=0)
    torch.testing.assert_close(fits.alpha @ features, exact.alpha @ features, rtol=0, atol=1e-5)


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="both classes"):
        fit_logistic(torch.eye(4, dtype=torch.float64), torch.ones(1, 4, dtype=torch.bool), torch.ones(1, 4).double())


def test_a_fit_that_factorisations_do_not_bring_to_its_optimum_either_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic.ConjugateGradients, "max_steps", 1)
    monkeypatch.setattr(logistic, "MAX_SINGLE_STEPS", 1)
    monkeypatch.setattr(logistic, "MAX_STEPS", 1)
    features = torch.randn(40, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    positive = (torch.arange(40) % 2 == 0).expand(4, 40)
    fits = fit_each(features @ features.T, positive, torch.full((4, 40), 10.0, dtype=torch.float64))
    assert not fits.converged.any()
