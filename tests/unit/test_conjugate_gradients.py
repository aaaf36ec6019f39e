from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.probes.conjugate_gradients import Directions, Preconditioner, directions, preconditioner


def equation(n: int, d: int, n_fits: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, weights and right sides of Newton's equation, and its solution by d_model + 1 unknowns."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(n, d)))
    weight = torch.from_numpy(rng.uniform(0.01, 0.25, size=(n_fits, n)) * (rng.uniform(size=(n_fits, n)) > 0.2))
    weight[:, 0] = 0.1  # An intercept needs an example.
    side = torch.from_numpy(rng.normal(size=(n_fits, n + 1)))
    with_one = torch.cat([x, torch.ones(n, 1, dtype=torch.float64)], dim=1)
    hessian = torch.einsum("ni,fn,nj->fij", with_one, weight, with_one)
    hessian[:, range(d), range(d)] += 1.0
    right = torch.cat([side[:, :-1] @ x, side[:, -1:]], dim=1)
    return x, weight, side, torch.linalg.solve(hessian, right)


def solved(shared: Preconditioner, weight: torch.Tensor, side: torch.Tensor, tolerance: float) -> Directions:
    """With what the intercept's equation has on its right in the last column."""
    return directions(shared, weight, side[..., :-1], side[..., -1], tolerance)


def weights_of(found: Directions, x: torch.Tensor) -> torch.Tensor:
    """Of the features, and in the last column the intercept."""
    return torch.cat([found.delta @ x, found.intercept[..., None]], dim=-1)


@given(n=st.integers(5, 40), d=st.integers(1, 50), n_fits=st.integers(1, 5), seed=st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_directions_solve_the_equation(n: int, d: int, n_fits: int, seed: int) -> None:
    x, weight, side, solution = equation(n, d, n_fits, seed)
    found = solved(preconditioner(x @ x.T, weight.mean(0)), weight, side, 1e-10)
    torch.testing.assert_close(weights_of(found, x), solution, rtol=1e-5, atol=1e-6)


def test_the_hessian_itself_takes_two_iterations() -> None:
    """With the same weights in all fits and centred features the preconditioner is the inverse."""
    x, _, side, _ = equation(40, 10, 4, seed=0)
    x, weight = x - x.mean(0), torch.full((4, 40), 0.2, dtype=torch.float64)
    assert solved(preconditioner(x @ x.T, weight[0]), weight, side, 1e-9).iterations <= 2


def test_where_there_is_nothing_to_solve() -> None:
    x, weight, _, _ = equation(20, 5, 3, seed=1)
    nothing = torch.zeros(3, 21, dtype=torch.float64)
    found = solved(preconditioner(x @ x.T, weight.mean(0)), weight, nothing, 0.1)
    assert found.iterations == 1
    assert not found.delta.any()
    assert not found.intercept.any()


def test_a_regression_that_is_done_stays_where_it_is_while_others_go_on() -> None:
    """In single precision, where all examples are nearly orthogonal and one iteration is as good as exact."""
    rng = np.random.default_rng(4)
    x = torch.from_numpy(rng.normal(size=(60, 4000))).float()
    weight = torch.full((2, 60), 0.02)
    weight[1, ::2] = 1e-4
    side = torch.from_numpy(rng.normal(size=(2, 61))).float()
    shared = preconditioner(x @ x.T, weight[0])
    found = solved(shared, weight, side, 1e-4)
    assert found.iterations > 2
    exact = preconditioner(x.double() @ x.double().T, weight[0].double())
    expected = solved(exact, weight.double(), side.double(), 1e-8)
    for ours, theirs in ((found.delta, expected.delta), (found.intercept, expected.intercept)):
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=1e-2 * float(theirs.abs().max()))


def test_features_too_small_for_single_precision_have_no_preconditioner() -> None:
    x = torch.from_numpy(np.random.default_rng(5).normal(size=(20, 400))).float() * 1e-5
    assert preconditioner(x @ x.T, torch.full((20,), 0.1)).inverse.isnan().all()


def test_a_looser_tolerance_takes_fewer_iterations() -> None:
    x, weight, side, _ = equation(60, 40, 3, seed=2)
    shared = preconditioner(x @ x.T, weight.mean(0))
    taken = [solved(shared, weight, side, tolerance).iterations for tolerance in (0.5, 1e-2, 1e-6)]
    assert taken == sorted(taken)
    assert taken[0] < taken[-1]


def test_a_matrix_that_rounding_spoils_has_no_preconditioner() -> None:
    """Single precision has no digits left for the 1 that is added to such inner products."""
    x = torch.from_numpy(np.random.default_rng(3).normal(size=(30, 40))).float() * 1e6
    gram = x @ x.T
    gram[0, 0] = -1.0
    side = torch.ones(2, 31)
    found = solved(preconditioner(gram, torch.ones(30)), torch.ones(2, 30), side, 0.1)
    assert found.delta.isnan().all()


def test_cells_in_a_batch_are_solved_as_each_alone() -> None:
    each = [equation(25, d, 3, seed) for seed, d in ((0, 4), (1, 40), (2, 12))]
    weight, side = (torch.stack([cell[number] for cell in each]) for number in (1, 2))
    gram = torch.stack([cell[0] @ cell[0].T for cell in each])
    gram[1] = -1.0  # Of no use, and nothing to the others.
    found = solved(preconditioner(gram, weight.mean(1)), weight, side, 1e-10)
    assert found.delta[1].isnan().all()
    for number in (0, 2):
        x, _, _, solution = each[number]
        alone = Directions(found.delta[number], found.intercept[number], found.iterations)
        torch.testing.assert_close(weights_of(alone, x), solution, rtol=1e-5, atol=1e-6)
