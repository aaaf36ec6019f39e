"""L2-regularised logistic regressions on one set of examples, run to convergence in the space of the examples.

Each minimises, over weights w and an intercept b that is not penalised,

    Σᵢ cᵢ · log(1 + exp(-yᵢ (w·xᵢ + b))) + ½ ‖w‖²        (yᵢ in {-1, +1})

With cᵢ = C for the examples that are trained on and 0 for the others this is the objective of
`sklearn.linear_model.LogisticRegression`. By the representer theorem w = Xᵀα, so that with the Gram matrix K = X Xᵀ,
which all folds, labels and strengths of the regularisation share, a problem has one unknown per example, whatever
d_model is. Newton's method:

1. With probabilities p, weights W = diag(c p (1-p)) and r = c (t - p) - α, the step (δ, db) solves
   (I + W K) δ + W 1 db = r with db such that 1ᵀα = 0. A few regressions factorise B = I + W^½ K W^½, whose eigenvalues
   are at least 1 (Rasmussen & Williams 2006, algorithm 3.1); many take conjugate gradients together
   (`interp.conjugate_gradients`), and those that do not converge so are begun again with factorisations.
2. The step is halved until it lowers the objective as it should.
3. Steps are found in single precision, which is several times faster, as long as they lower the objective. What they
   are steps of, the gradient and the objective, is always in double precision, and so is the optimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float

from interp.conjugate_gradients import Preconditioner, directions, preconditioner

TOLERANCE = 1e-12
"""Newton stops when a step promises to lower the objective by less than this share of it."""
MAX_STEPS = 100
MAX_SINGLE_STEPS = 25
"""After so many steps that were found in single precision the rest are found in double precision."""
SMALLEST_STEP = 2.0**-20
ARMIJO = 1e-4
"""The share of what a step promises that it must hold."""
TOGETHER = 3
"""So many regressions are faster by conjugate gradients together than by factorisations of their own."""
MAX_STEPS_TOGETHER = 20
LEFT_OF_EQUATION = 0.1
"""What conjugate gradients may leave of Newton's equation."""
SETTLING = 1 / 8
"""How much smaller the weights W soon are than at the start, where all probabilities are the same."""


class Fits(NamedTuple):
    """The solutions in the space of the examples."""

    alpha: Float[torch.Tensor, "fit n"]
    """w = Xᵀ alpha. Of examples that were not trained on it is 0, or by conjugate gradients as near to it as the fit is
    to the optimum; their labels have no part in it."""
    intercept: Float[torch.Tensor, " fit"]
    objective: Float[torch.Tensor, " fit"]
    steps: int
    converged: Bool[torch.Tensor, " fit"]

    def scores(self, gram: Float[torch.Tensor, "m n"]) -> Float[torch.Tensor, "fit m"]:
        """The log-odds of other examples, from their inner products with those of the fits."""
        return self.alpha @ gram.T + self.intercept[:, None]


class _Problem(NamedTuple):
    """What the fits are of."""

    gram: Float[torch.Tensor, "n n"]
    target: Float[torch.Tensor, "fit n"]
    cost: Float[torch.Tensor, "fit n"]


class _State(NamedTuple):
    """Where the fits are."""

    alpha: Float[torch.Tensor, "fit n"]
    intercept: Float[torch.Tensor, " fit"]
    gram_alpha: Float[torch.Tensor, "fit n"]

    @property
    def logits(self) -> Float[torch.Tensor, "fit n"]:
        return self.gram_alpha + self.intercept[:, None]

    def moved(self, step: _State, size: Float[torch.Tensor, " fit"]) -> _State:
        """A step further."""
        return _State(
            self.alpha + size[:, None] * step.alpha,
            self.intercept + size * step.intercept,
            self.gram_alpha + size[:, None] * step.gram_alpha,
        )


class _Equation(NamedTuple):
    """Newton's, of each fit; see the module's head."""

    weight: Float[torch.Tensor, "fit n"]
    side: Float[torch.Tensor, "fit m"]
    """r, and in the last column 1ᵀr + 1ᵀα: what 1ᵀ W (K δ + 1 db) is to be, so that 1ᵀα = 0."""


@runtime_checkable
class _Solver(Protocol):
    """A way to solve Newton's equation."""

    max_steps: int
    """After so many steps the next way is taken."""
    rounding: float
    """The share of the objective up to which a step is rounding if no length of it lowers the objective."""

    def direction(self, equation: _Equation) -> Float[torch.Tensor, "fit m"]:
        """Newton's δ, and in the last column db; they may be too inexact to lower the objective."""


def _no_direction(equation: _Equation) -> Float[torch.Tensor, "fit m"]:
    return torch.full_like(equation.side, torch.nan)


class _Factorisations:
    """A Cholesky factorisation for each fit and step, in the precision of `gram`."""

    def __init__(self, gram: Float[torch.Tensor, "n n"], max_steps: int, rounding: float) -> None:
        self.gram, self.max_steps, self.rounding = gram, max_steps, rounding

    def direction(self, equation: _Equation) -> Float[torch.Tensor, "fit m"]:
        residual, of_intercept = equation.side[:, :-1], equation.side[:, -1]
        root = equation.weight.sqrt().to(self.gram.dtype)
        matrix = root[:, :, None] * self.gram * root[:, None, :]
        matrix.diagonal(dim1=1, dim2=2).add_(1.0)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if bool(failed.any()):
            return _no_direction(equation)
        sides = torch.stack([root * (residual.to(self.gram.dtype) @ self.gram), root], dim=2)
        solved = (root[:, :, None] * torch.cholesky_solve(sides, factor)).to(residual.dtype)
        along, for_one = residual - solved[:, :, 0], solved[:, :, 1]
        intercept = (along.sum(1) + of_intercept - residual.sum(1)) / for_one.sum(1)
        return torch.cat([along - intercept[:, None] * for_one, intercept[:, None]], dim=1)


class _Together:
    """Conjugate gradients in single precision, with a preconditioner that all fits share."""

    max_steps, rounding = MAX_STEPS_TOGETHER, 0.0

    def __init__(self, gram: Float[torch.Tensor, "n n"]) -> None:
        self.gram = gram.float()
        self.shared: Preconditioner | None = None
        self.iterations = 0

    def direction(self, equation: _Equation) -> Float[torch.Tensor, "fit m"]:
        weight = equation.weight.float()
        n_fits, n = weight.shape
        # So many iterations take about as long as making a preconditioner.
        if self.shared is None or self.iterations >= n / n_fits:
            # At the start all weights are large, and will not be so after the first step.
            shared_weight = weight.mean(0) * (SETTLING if self.shared is None else 1.0)
            try:
                self.shared, self.iterations = preconditioner(self.gram, shared_weight), 0
            except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
                return _no_direction(equation)
        found, iterations = directions(self.shared, weight, equation.side.float(), LEFT_OF_EQUATION)
        self.iterations += iterations
        return found.to(equation.side.dtype)


def fit_logistic(
    gram: Float[torch.Tensor, "n n"],
    positive: Bool[torch.Tensor, "fit n"],
    cost: Float[torch.Tensor, "fit n"],
) -> Fits:
    """Fit to convergence, with factorisations.

    Parameters
    ----------
    gram
        Inner products of the examples, in double precision.
    positive
        For each fit which of them are of the positive class.
    cost
        For each fit what an example's loss counts: scikit-learn's C, or 0 where it is not trained on. Examples of both
        classes must be trained on.

    Raises
    ------
    ValueError
        If a fit would be to one class only.
    """
    single = _Factorisations(gram.float(), MAX_SINGLE_STEPS, rounding=0.0)
    double = _Factorisations(gram, MAX_STEPS - MAX_SINGLE_STEPS, rounding=1e-6)
    return _fitted(_Problem(gram, positive.to(gram.dtype), cost), [single, double])


def _fitted(problem: _Problem, solvers: Sequence[_Solver]) -> Fits:
    rate = (problem.cost * problem.target).sum(1) / problem.cost.sum(1)
    if not bool(((rate > 0) & (rate < 1)).all()):
        raise ValueError("both classes must occur in the training examples")
    state = _State(torch.zeros_like(problem.cost), torch.logit(rate), torch.zeros_like(problem.cost))
    objective = _objective(problem, state)
    at_end, steps = torch.zeros_like(rate, dtype=torch.bool), 0
    for solver in solvers:
        for _ in range(solver.max_steps):
            step, slope = _step(problem, state, solver)
            at_end = slope.abs() <= TOLERANCE * objective
            if bool(at_end.all()):
                return Fits(state.alpha, state.intercept, objective, steps, at_end)
            steps += 1
            size, found = _step_size(problem, state, step, objective, slope)
            if not found:
                at_end = slope.abs() <= max(TOLERANCE, solver.rounding) * objective
                break
            state = state.moved(step, size)
            objective = _objective(problem, state)
    return Fits(state.alpha, state.intercept, objective, steps, at_end)


def _step(problem: _Problem, state: _State, solver: _Solver) -> tuple[_State, Float[torch.Tensor, " fit"]]:
    """Where to go, and the objective's derivative along it (negative, if it is of any use)."""
    probability = torch.sigmoid(state.logits)
    gradient = problem.cost * (problem.target - probability)
    side = torch.cat([gradient - state.alpha, gradient.sum(1, keepdim=True)], dim=1)
    found = solver.direction(_Equation(problem.cost * probability * (1 - probability), side))
    step = _State(found[:, :-1], found[:, -1], found[:, :-1] @ problem.gram)
    return step, -(side[:, :-1] * step.gram_alpha).sum(1) - side[:, -1] * step.intercept


def _step_size(
    problem: _Problem,
    state: _State,
    step: _State,
    objective: Float[torch.Tensor, " fit"],
    slope: Float[torch.Tensor, " fit"],
) -> tuple[Float[torch.Tensor, " fit"], bool]:
    """How far each fit goes, and whether there is such a length for all that are not at their end."""
    size = torch.ones_like(slope)
    done = slope.abs() <= TOLERANCE * objective
    while True:
        lower = _objective(problem, state.moved(step, size)) <= objective + ARMIJO * size * slope
        if bool((lower | done).all()):
            return torch.where(lower, size, 0.0), True
        size = torch.where(lower | done, size, size / 2)
        if float(size.min()) < SMALLEST_STEP:
            return size, False


def _objective(problem: _Problem, state: _State) -> Float[torch.Tensor, " fit"]:
    logits = state.logits
    # Not softplus, which above 20 gives its argument back: that is wrong in the ninth digit.
    losses = torch.logaddexp(logits, torch.zeros_like(logits)) - problem.target * logits
    return (problem.cost * losses).sum(1) + 0.5 * (state.alpha * state.gram_alpha).sum(1)


def fit_each(
    gram: Float[torch.Tensor, "n n"], positive: Bool[torch.Tensor, "fit n"], cost: Float[torch.Tensor, "fit n"]
) -> Fits:
    """What `fit_logistic` gives, in the way that suits the number of fits and the device."""
    if len(cost) < TOGETHER:
        return _factorised(gram, positive, cost)
    fits = _together(gram, positive, cost)
    if bool(fits.converged.all()):
        return fits
    again = ~fits.converged
    exact = _factorised(gram, positive[again], cost[again])
    return Fits(
        fits.alpha.index_put((again,), exact.alpha),
        fits.intercept.index_put((again,), exact.intercept),
        fits.objective.index_put((again,), exact.objective),
        fits.steps + exact.steps,
        fits.converged.index_put((again,), exact.converged),
    )


def _together(
    gram: Float[torch.Tensor, "n n"], positive: Bool[torch.Tensor, "fit n"], cost: Float[torch.Tensor, "fit n"]
) -> Fits:
    """By conjugate gradients, as far as these come."""
    return _fitted(_Problem(gram, positive.to(gram.dtype), cost), [_Together(gram)])


def _factorised(
    gram: Float[torch.Tensor, "n n"], positive: Bool[torch.Tensor, "fit n"], cost: Float[torch.Tensor, "fit n"]
) -> Fits:
    """By factorisations: a GPU makes those of all fits at once.

    On a CPU a batch of matrices falls out of the cache. There each fit is made on its own, in the space of the examples
    that it is trained on.
    """
    if gram.device.type != "cpu":
        return fit_logistic(gram, positive, cost)
    alpha, fits = torch.zeros_like(cost), []
    for number in range(len(cost)):
        rows = torch.nonzero(cost[number]).squeeze(1)
        fits.append(fit_logistic(gram[rows][:, rows], positive[[number]][:, rows], cost[[number]][:, rows]))
        alpha[number, rows] = fits[-1].alpha[0]
    return Fits(
        alpha,
        torch.cat([fit.intercept for fit in fits]),
        torch.cat([fit.objective for fit in fits]),
        max(fit.steps for fit in fits),
        torch.cat([fit.converged for fit in fits]),
    )
