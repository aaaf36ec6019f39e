"""L2-regularised logistic regressions on one set of examples, run to convergence in the space of the examples.

Each minimises, over weights w and an intercept b that is not penalised,

    Σᵢ cᵢ · log(1 + exp(-yᵢ (w·xᵢ + b))) + ½ ‖w‖²        (yᵢ in {-1, +1})

With cᵢ = C for the examples that are trained on and 0 for the others this is the objective of
`sklearn.linear_model.LogisticRegression`. By the representer theorem w = Xᵀα, so that with the Gram matrix K = X Xᵀ,
which all folds, labels and strengths of the regularisation share, a problem has one unknown per example, whatever
d_model is. Newton's method:

1. With probabilities p, weights W = diag(c p (1-p)) and r = c (t - p) - α, the step δ solves (I + W K) δ = r - W 1 db,
   by a Cholesky factorisation of B = I + W^½ K W^½, whose eigenvalues are at least 1 (Rasmussen & Williams 2006,
   algorithm 3.1); db is what keeps 1ᵀα = 0.
2. The step is halved until it lowers the objective as it should.
3. Steps are found in single precision, which is several times faster, as long as they lower the objective. What they
   are steps of, the gradient and the objective, is always in double precision, and so is the optimum.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float

TOLERANCE = 1e-12
"""Newton stops when a step promises to lower the objective by less than this share of it."""
MAX_STEPS = 100
MAX_SINGLE_STEPS = 25
"""After so many steps that were found in single precision the rest are found in double precision."""
SMALLEST_STEP = 2.0**-20
ARMIJO = 1e-4
"""The share of what a step promises that it must hold."""


class Fits(NamedTuple):
    """The solutions in the space of the examples."""

    alpha: Float[torch.Tensor, "fit n"]
    """w = Xᵀ alpha; 0 for examples that were not trained on."""
    intercept: Float[torch.Tensor, " fit"]
    objective: Float[torch.Tensor, " fit"]
    steps: int
    converged: bool

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


def fit_logistic(
    gram: Float[torch.Tensor, "n n"],
    positive: Bool[torch.Tensor, "fit n"],
    cost: Float[torch.Tensor, "fit n"],
) -> Fits:
    """Fit to convergence.

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
    problem = _Problem(gram, positive.to(gram.dtype), cost)
    rate = (cost * problem.target).sum(1) / cost.sum(1)
    if not bool(((rate > 0) & (rate < 1)).all()):
        raise ValueError("both classes must occur in the training examples")
    state = _State(torch.zeros_like(cost), torch.logit(rate), torch.zeros_like(cost))
    objective = _objective(problem, state)
    single: torch.Tensor | None = gram.float()
    for number in range(1, MAX_STEPS + 1):
        step, slope = _newton_step(problem, state, gram if single is None else single)
        promised = -slope
        if bool((promised.abs() <= TOLERANCE * objective).all()):
            return Fits(state.alpha, state.intercept, objective, number - 1, converged=True)
        size, found = _step_size(problem, state, step, objective, slope)
        if not found:
            if single is None:
                # No shorter step lowers the objective either: rounding is all that is left.
                converged = bool((promised <= 1e-6 * objective).all())
                return Fits(state.alpha, state.intercept, objective, number, converged)
            single = None
            continue
        state = state.moved(step, size)
        objective = _objective(problem, state)
        if number >= MAX_SINGLE_STEPS:
            single = None
    return Fits(state.alpha, state.intercept, objective, MAX_STEPS, converged=False)


def _newton_step(
    problem: _Problem, state: _State, gram: Float[torch.Tensor, "n n"]
) -> tuple[_State, Float[torch.Tensor, " fit"]]:
    """Where to go, found in the precision of `gram`, and the objective's derivative along it (negative)."""
    probability = torch.sigmoid(state.logits)
    gradient = problem.cost * (problem.target - probability)
    residual = gradient - state.alpha
    root = (problem.cost * probability * (1 - probability)).sqrt().to(gram.dtype)
    matrix = root[:, :, None] * gram * root[:, None, :]
    matrix.diagonal(dim1=1, dim2=2).add_(1.0)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if bool(failed.any()):
        return state, torch.zeros_like(state.intercept) + torch.nan
    sides = torch.stack([root * (residual.to(gram.dtype) @ gram), root], dim=2)
    solved = (root[:, :, None] * torch.cholesky_solve(sides, factor)).to(residual.dtype)
    along, for_one = residual - solved[:, :, 0], solved[:, :, 1]
    intercept = (along.sum(1) + state.alpha.sum(1)) / for_one.sum(1)
    alpha = along - intercept[:, None] * for_one
    step = _State(alpha, intercept, alpha @ problem.gram)
    slope = -(residual * step.gram_alpha).sum(1) - gradient.sum(1) * intercept
    return step, slope


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
    """What `fit_logistic` gives, in the way that suits the device.

    A GPU fits all at once. On a CPU a batch of matrices falls out of the cache: each fit is made on its own, in the
    space of the examples that it is trained on.
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
        all(fit.converged for fit in fits),
    )
