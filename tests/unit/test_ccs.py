"""Contrast-Consistent Search against its definition, and against trying everything."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.probes import ccs
from interp.probes.ccs import ccs_losses, fit_ccs

Halves = tuple[np.ndarray, np.ndarray]


def halves(n: int, d: int, seed: int) -> Halves:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(n, d))


def planted(n: int, d: int, seed: int, strength: float = 3.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which statements are true, and pairs whose halves say so along one direction, and else agree."""
    rng = np.random.default_rng(seed)
    true = rng.random(n) < 0.5
    both, sign = 3 * rng.normal(size=(n, d)), np.where(true, 1.0, -1.0)[:, None]
    direction = np.eye(d)[0] * strength
    yes, no = (both + side * sign * direction + 0.3 * rng.normal(size=(n, d)) for side in (1, -1))
    return true, *((half - half.mean(0)) / half.std(0) for half in (yes, no))


def loss_by_hand(weight: list[float], intercept: float, yes: np.ndarray, no: np.ndarray, penalty: float) -> float:
    total = 0.0
    for first, second in zip(yes.tolist(), no.tolist(), strict=True):
        p, q = (
            1 / (1 + math.exp(-sum(w * x for w, x in zip(weight, half, strict=True)) - intercept))
            for half in (first, second)
        )
        total += (p - (1 - q)) ** 2 + min(p, q) ** 2
    return total / len(yes) + penalty / 2 * (sum(w * w for w in weight) + intercept**2)


@given(n=st.integers(1, 9), d=st.integers(1, 5), seed=st.integers(0, 999), penalty=st.sampled_from([0.0, 0.01, 1.0]))
@settings(deadline=None, max_examples=40)
def test_losses_are_those_of_the_definition_and_gradients_their_slopes(
    n: int, d: int, seed: int, penalty: float
) -> None:
    yes, no = halves(n, d, seed)
    parameters = np.random.default_rng(seed + 1).normal(size=(3, d + 1))
    losses = ccs_losses(parameters, yes, no, penalty)
    by_hand = [loss_by_hand(row[:-1].tolist(), float(row[-1]), yes, no, penalty) for row in parameters]
    np.testing.assert_allclose(losses.value, by_hand, rtol=1e-12)
    step = 1e-6
    for column, unit in enumerate(np.eye(d + 1)):
        ahead, behind = (ccs_losses(parameters + side * step * unit, yes, no, penalty).value for side in (1, -1))
        np.testing.assert_allclose(losses.gradient[:, column], (ahead - behind) / (2 * step), atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_no_probe_of_a_grid_loses_less(seed: int) -> None:
    yes, no = halves(12, 1, seed)
    grid = np.stack(np.meshgrid(np.linspace(-12, 12, 481), np.linspace(-12, 12, 481)), axis=-1).reshape(-1, 2)
    least = float(ccs_losses(grid, yes, no).value.min())
    assert least - 1e-3 <= fit_ccs(yes, no, np.random.default_rng(0)).loss <= least


def test_a_planted_direction_is_found_whatever_the_halves_have_in_common() -> None:
    true, yes, no = planted(120, 10, 0)
    probe = fit_ccs(yes, no, np.random.default_rng(0))
    confidence = probe.confidence(yes, no)
    assert ((confidence > 0.5) == true).mean() in (0.0, 1.0), "up to the sign, which it cannot know"
    assert abs(probe.weight[0]) > 5 * np.abs(probe.weight[1:]).max()
    by_hand = [
        (1 / (1 + math.exp(-first @ probe.weight - probe.intercept)))
        + 1
        - (1 / (1 + math.exp(-second @ probe.weight - probe.intercept)))
        for first, second in zip(yes, no, strict=True)
    ]
    np.testing.assert_allclose(confidence, np.array(by_hand) / 2)
    assert probe.loss == pytest.approx(loss_by_hand(probe.weight.tolist(), probe.intercept, yes, no, ccs.PENALTY))
    assert probe.loss_on(yes, no) == pytest.approx(loss_by_hand(probe.weight.tolist(), probe.intercept, yes, no, 0.0))


@given(seed=st.integers(0, 999))
@settings(deadline=None, max_examples=20)
def test_on_consistent_pairs_a_probe_loses_as_much_turned_around(seed: int) -> None:
    yes, _ = halves(7, 3, seed)
    parameters = np.random.default_rng(seed).normal(size=(1, 4))
    parameters[:, -1] = 0
    there, back = (ccs_losses(sign * parameters, yes, -yes).value for sign in (1, -1))
    np.testing.assert_allclose(there, back)


@given(seed=st.integers(0, 999), starts=st.integers(2, 6))
@settings(deadline=None, max_examples=15)
def test_more_starts_never_lose_more_and_the_same_seed_gives_the_same(seed: int, starts: int) -> None:
    yes, no = halves(25, 6, seed)
    one, several, again = (fit_ccs(yes, no, np.random.default_rng(seed), starts=k) for k in (1, starts, starts))
    assert several.loss <= one.loss + 1e-8
    assert several.loss == again.loss
    assert (several.weight == again.weight).all()


def test_more_features_than_pairs_have_a_minimum_too() -> None:
    yes, no = halves(10, 40, 0)
    probe = fit_ccs(yes, no, np.random.default_rng(0))
    parameters = np.append(probe.weight, probe.intercept)[None]
    assert np.abs(ccs_losses(parameters, yes, no).gradient).max() < 1e-5


def test_a_search_that_does_not_converge_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ccs, "MAX_STEPS", 1)
    with pytest.raises(RuntimeError, match="CCS did not converge in 1 steps"):
        fit_ccs(*halves(30, 5, 0), np.random.default_rng(0))
