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
   (`interp.probes.conjugate_gradients`), and those that do not converge so are begun again with factorisations.
2. The step is halved until it lowers the objective as it should.
3. Steps are found in single precision, which is several times faster, as long as they lower the objective. What they
   are steps of, the gradient and the objective, is in double precision, and so is the optimum. Rough fits, of which a
   strength of the regularisation is chosen, are in single precision throughout (`rough_log_odds`).

Cells, each with a K of its own, can be fitted in one batch, which is what a GPU wants: they are leading dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch.linalg import vecdot

from interp.probes.conjugate_gradients import Preconditioner, directions, preconditioner
from interp.work.batches import batched

TOLERANCE = 1e-12
"""The step that promises to lower the objective by less than this share of it is the last."""
ROUGH = 1e-4
"""The same of fits that only choices are made by: few steps, and losses that are nearly the optimum's."""
ROUNDED = 0.01
"""So much single precision may change the log-odds of such a fit, before it is made again in double precision."""
MAX_STEPS = 100
MAX_SINGLE_STEPS = 25
"""After so many steps that were found in single precision the rest are found in double precision."""
SMALLEST_STEP = 2.0**-20
ARMIJO = 1e-4
"""The share of what a step promises that it must hold."""
FEWEST_TOGETHER = 3
"""So many regressions are faster by conjugate gradients together than by factorisations of their own."""
FACTORISED = 2**28
"""Entries of the matrices that are factorised in one batch."""
STALE = 1.5
"""How many times smaller than a preconditioner's the weights may be; see `ConjugateGradients`."""
MAX_STEPS_TOGETHER = 20
LEFT_OF_EQUATION = 0.1
"""What conjugate gradients may leave of Newton's equation."""
SETTLING = 1 / 8
"""How much smaller the weights W soon are than at the start, where all probabilities are the same."""


class Fits(NamedTuple):
    """The solutions in the space of the examples."""

    alpha: Float[torch.Tensor, "*cell fit n"]
    """w = Xᵀ alpha. Of examples that were not trained on it is 0, or by conjugate gradients as near to it as the fit is
    to the optimum; their labels have no part in it."""
    intercept: Float[torch.Tensor, "*cell fit"]
    objective: Float[torch.Tensor, "*cell fit"]
    steps: int
    converged: Bool[torch.Tensor, "*cell fit"]

    def scores(self, gram: Float[torch.Tensor, "*cell m n"]) -> Float[torch.Tensor, "*cell fit m"]:
        """The log-odds of other examples, from their inner products with those of the fits."""
        return self.alpha @ gram.mT + self.intercept[..., None]


class _Problem(NamedTuple):
    """What the fits are of."""

    gram: Float[torch.Tensor, "*cell n n"]
    target: Float[torch.Tensor, "*cell fit n"]
    cost: Float[torch.Tensor, "*cell fit n"]


class _State(NamedTuple):
    """Where the fits are."""

    alpha: Float[torch.Tensor, "*cell fit n"]
    intercept: Float[torch.Tensor, "*cell fit"]
    gram_alpha: Float[torch.Tensor, "*cell fit n"]

    @property
    def logits(self) -> Float[torch.Tensor, "*cell fit n"]:
        return self.gram_alpha + self.intercept[..., None]

    def moved(self, step: _State, size: Float[torch.Tensor, "*cell fit"]) -> _State:
        """A step further; no further where the size is 0, whatever the step is."""
        far, each = size > 0, size[..., None]
        return _State(
            torch.where(far[..., None], self.alpha + each * step.alpha, self.alpha),
            torch.where(far, self.intercept + size * step.intercept, self.intercept),
            torch.where(far[..., None], self.gram_alpha + each * step.gram_alpha, self.gram_alpha),
        )


class _Equation(NamedTuple):
    """Newton's, of each fit; see the module's head."""

    weight: Float[torch.Tensor, "*cell fit n"]
    side: Float[torch.Tensor, "*cell fit n"]
    """r"""
    of_intercept: Float[torch.Tensor, "*cell fit"]
    """1ᵀr + 1ᵀα: what 1ᵀ W (K δ + 1 db) is to be, so that 1ᵀα = 0."""
    is_open: Bool[torch.Tensor, "*cell fit"]
    """Which fits go on."""


@runtime_checkable
class _Solver(Protocol):
    """A way to solve Newton's equation."""

    max_steps: int
    """After so many steps the next way is taken."""
    rounding: float
    """The share of the objective up to which a step is rounding if no length of it lowers the objective."""

    def direction(
        self, equation: _Equation
    ) -> tuple[Float[torch.Tensor, "*cell fit n"], Float[torch.Tensor, "*cell fit"]]:
        """Newton's δ and db: NaN, or inexact, where there is no better; maybe 0 for closed fits."""


class _Factorisations:
    """A Cholesky factorisation for each fit and step, in the precision of `gram`."""

    def __init__(self, gram: Float[torch.Tensor, "*cell n n"], max_steps: int, rounding: float) -> None:
        self.gram, self.max_steps, self.rounding = gram, max_steps, rounding

    def direction(
        self, equation: _Equation
    ) -> tuple[Float[torch.Tensor, "*cell fit n"], Float[torch.Tensor, "*cell fit"]]:
        these = equation.is_open.nonzero(as_tuple=True)
        residual, of_intercept = equation.side[these], equation.of_intercept[these]
        root = equation.weight[these].sqrt().to(self.gram.dtype)
        gram = self.gram if self.gram.ndim == 2 else self.gram[these[0]]
        matrix = root[:, :, None] * gram * root[:, None, :]
        matrix.diagonal(dim1=1, dim2=2).add_(1.0)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        projected = (residual.to(gram.dtype)[:, None] @ gram)[:, 0]
        # Not cholesky_solve, which a GPU does for one matrix after the other if there are two right sides.
        half = torch.linalg.solve_triangular(factor, torch.stack([root * projected, root], dim=2), upper=False)
        solved = root[:, :, None] * torch.linalg.solve_triangular(factor.mT, half, upper=True)
        into_features, for_one = solved.to(residual.dtype).unbind(2)
        along = residual - into_features
        intercept = (along.sum(1) + of_intercept - residual.sum(1)) / for_one.sum(1)
        found = (along - intercept[:, None] * for_one).masked_fill_((failed > 0)[:, None], torch.nan)
        return (
            torch.zeros_like(equation.side).index_put_(these, found),
            torch.zeros_like(equation.of_intercept).index_put_(these, intercept),
        )


@dataclass
class _Shared:
    """A preconditioner that all fits share, and what it was made for."""

    preconditioner: Preconditioner
    weight: Float[torch.Tensor, "*cell"]
    """The mean of those that it was made for."""
    iterations: int = 0
    """How many the first direction took."""


class ConjugateGradients:
    """Conjugate gradients in single precision, with a preconditioner that all fits share, and later fits too."""

    max_steps, rounding = MAX_STEPS_TOGETHER, 0.0

    def __init__(self, gram: Float[torch.Tensor, "*cell n n"]) -> None:
        self.gram, self.settling = gram.float(), 1.0
        self.first: _Shared | None = None
        self.shared: _Shared | None = None
        self.more = 0

    def for_other_fits(self, settling: float) -> ConjugateGradients:
        """Begun again, with the first preconditioner that was made for these examples.

        If there is none, `settling` is the share of the first weights that it is made for.
        """
        self.settling, self.shared, self.more = settling, self.first, 0
        return self

    def direction(
        self, equation: _Equation
    ) -> tuple[Float[torch.Tensor, "*cell fit n"], Float[torch.Tensor, "*cell fit"]]:
        """See `_Solver`."""
        weight = equation.weight.float()
        shared = self._shared_for(weight)
        side = torch.where(equation.is_open[..., None], equation.side, 0.0).float()
        of_intercept = torch.where(equation.is_open, equation.of_intercept, 0.0).float()
        found = directions(shared.preconditioner, weight, side, of_intercept, LEFT_OF_EQUATION)
        shared.iterations = shared.iterations or found.iterations
        self.more += found.iterations - shared.iterations
        return found.delta.to(equation.side.dtype), found.intercept.to(equation.side.dtype)

    def _shared_for(self, weight: Float[torch.Tensor, "*cell fit n"]) -> _Shared:
        if self.shared is None or self._is_stale(self.shared, weight):
            # At the start all weights are large, and will not be so after the first step.
            made_for = weight.mean(-2) * (self.settling if self.shared is None else 1.0)
            self.shared, self.more = _Shared(preconditioner(self.gram, made_for), made_for.mean(-1)), 0
            if self.first is None and bool(self.shared.preconditioner.inverse[..., 0, 0].isfinite().all()):
                self.first = self.shared
        return self.shared

    def _is_stale(self, shared: _Shared, weight: Float[torch.Tensor, "*cell fit n"]) -> bool:
        """Whether a new preconditioner is due: for the iterations that a new one would have saved, or for the weights.

        It takes n³ operations to make one, and 2 n² for each fit in an iteration: once the steps have taken as much
        longer than the first that was made with it, it is made anew.

        Of what no feature tells (K v = 0) an iteration of length a leaves 1 - a, unseen by the norm in which its length
        is chosen, and that is about how much smaller the weights are than the preconditioner's. Beyond 2 it grows, and
        takes the digits of the rest; the weights of some examples are below the mean.
        """
        n_fits, n = weight.shape[-2:]
        return self.more >= n / (2 * n_fits) or bool((weight.mean((-2, -1)) < shared.weight / STALE).any())


def fit_logistic(
    gram: Float[torch.Tensor, "*cell n n"],
    positive: Bool[torch.Tensor, "*cell fit n"],
    cost: Float[torch.Tensor, "*cell fit n"],
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
    problem = _Problem(gram, positive.to(gram.dtype), cost)
    return _fitted(problem, _at_start(problem), [single, double], TOLERANCE)[1]


def _at_start(problem: _Problem) -> _State:
    """Of no feature, and of the rate at which the positive class occurs."""
    rate = (problem.cost * problem.target).sum(-1) / problem.cost.sum(-1)
    if not bool(((rate > 0) & (rate < 1)).all()):
        raise ValueError("both classes must occur in the training examples")
    return _State(torch.zeros_like(problem.cost), torch.logit(rate), torch.zeros_like(problem.cost))


def _fitted(problem: _Problem, state: _State, solvers: Sequence[_Solver], tolerance: float) -> tuple[_State, Fits]:
    objective = _objective(problem, state)
    at_end, steps = torch.zeros_like(objective, dtype=torch.bool), 0
    for solver in solvers:
        stuck = torch.zeros_like(at_end)
        for _ in range(solver.max_steps):
            if bool((at_end | stuck).all()):
                break
            steps += 1
            step, slope = _step(problem, state, solver, ~(at_end | stuck))
            last = slope.abs() <= tolerance * objective
            size = _step_size(problem, state, step, objective, slope, at_end | stuck | last)
            last |= (size == 0) & (slope.abs() <= solver.rounding * objective)
            at_end |= last & ~stuck
            stuck |= ~at_end & (size == 0)
            state = state.moved(step, size)
            objective = _objective(problem, state)
    return state, Fits(state.alpha, state.intercept, objective, steps, at_end)


def _step(
    problem: _Problem, state: _State, solver: _Solver, is_open: Bool[torch.Tensor, "*cell fit"]
) -> tuple[_State, Float[torch.Tensor, "*cell fit"]]:
    """Where to go, and the objective's derivative along it (negative, if it is of any use)."""
    probability = torch.sigmoid(state.logits)
    gradient = problem.cost * (problem.target - probability)
    side, of_intercept = gradient - state.alpha, gradient.sum(-1)
    equation = _Equation(problem.cost * probability * (1 - probability), side, of_intercept, is_open)
    delta, intercept = solver.direction(equation)
    step = _State(delta, intercept, delta @ problem.gram)
    return step, -vecdot(side, step.gram_alpha) - of_intercept * intercept


def _step_size(
    problem: _Problem,
    state: _State,
    step: _State,
    objective: Float[torch.Tensor, "*cell fit"],
    slope: Float[torch.Tensor, "*cell fit"],
    done: Bool[torch.Tensor, "*cell fit"],
) -> Float[torch.Tensor, "*cell fit"]:
    """How far each fit goes, 1 or 0 if it is done; 0 if there is no such length."""
    size = torch.where(slope.isnan(), 0.0, torch.ones_like(slope))
    while True:
        lower = _objective(problem, state.moved(step, size)) <= objective + ARMIJO * size * slope
        settled = lower | done | (size < SMALLEST_STEP)
        if bool(settled.all()):
            return torch.where(lower & (size >= SMALLEST_STEP), size, 0.0)
        size = torch.where(settled, size, size / 2)


def _objective(problem: _Problem, state: _State) -> Float[torch.Tensor, "*cell fit"]:
    logits = state.logits
    # Not softplus, which above 20 gives its argument back: that is wrong in the ninth digit.
    losses = torch.logaddexp(logits, torch.zeros_like(logits)) - problem.target * logits
    return vecdot(problem.cost, losses) + 0.5 * vecdot(state.alpha, state.gram_alpha)


@torch.inference_mode()
def fit_each(
    gram: Float[torch.Tensor, "*cell n n"],
    positive: Bool[torch.Tensor, "*cell fit n"],
    cost: Float[torch.Tensor, "*cell fit n"],
    solver: ConjugateGradients | None = None,
) -> Fits:
    """What `fit_logistic` gives, in the way that suits the number of fits and the device; at most one cell axis.

    `solver` is of the same inner products, and has served other fits to them.
    """
    if cost.shape[-2] < FEWEST_TOGETHER:
        return _factorised(gram, positive, cost)
    return _completed(_together(gram, positive, cost, solver or ConjugateGradients(gram)), gram, positive, cost)


@torch.inference_mode()
def rough_log_odds(
    gram: Float[torch.Tensor, "*cell n n"],
    positive: Bool[torch.Tensor, "*cell fit n"],
    trained: Bool[torch.Tensor, "*cell fit n"],
    costs: Sequence[float],
    solver: ConjugateGradients | None = None,
) -> Float[torch.Tensor, "cost *cell fit n"]:
    """The log-odds of all examples by fits to some of them, at each of several costs; at most one cell axis.

    From the least cost on each begins where the one before it ended. Steps, gradient and objective are in single
    precision. What does not converge so, or has other log-odds in double precision, is fitted by factorisations.

    Parameters
    ----------
    gram, positive
        As in `fit_logistic`.
    trained
        Which examples each fit is made on.
    costs
        What such an example's loss counts.
    solver
        As in `fit_each`.
    """
    single = _Problem(gram.float(), positive.float(), trained.float())
    # Of small costs the weights hardly fall, and one preconditioner is for several costs.
    solver = (solver or ConjugateGradients(single.gram)).for_other_fits(settling=1.0)
    state, scores = _at_start(single), {}
    for cost in sorted(costs):
        state, fits = _fitted(single._replace(cost=cost * single.cost), state, [solver], ROUGH)
        fits = fits._replace(alpha=fits.alpha.double(), intercept=fits.intercept.double())
        scores[cost] = fits.scores(gram)
        is_exact = (scores[cost] - state.logits).abs().amax(-1) <= ROUNDED
        if not bool((fits.converged & is_exact).all()):
            fits = fits._replace(converged=fits.converged & is_exact, objective=fits.objective.double())
            scores[cost] = _completed(fits, gram, positive, cost * trained.double()).scores(gram)
    return torch.stack([scores[cost] for cost in costs])


def _completed(
    fits: Fits,
    gram: Float[torch.Tensor, "*cell n n"],
    positive: Bool[torch.Tensor, "*cell fit n"],
    cost: Float[torch.Tensor, "*cell fit n"],
) -> Fits:
    """The fits, of which those that have not converged are made by factorisations."""
    steps = [0]
    for some in batched((~fits.converged).nonzero().tolist(), max(1, FACTORISED // gram.shape[-1] ** 2)):
        these = torch.tensor(some, device=gram.device).unbind(1)
        if gram.ndim == 2:
            again = _factorised(gram, positive[these], cost[these])
        else:  # Each is a cell with one fit.
            again = _factorised(gram[these[0]], positive[these][:, None], cost[these][:, None])
        fits.alpha[these] = again.alpha.flatten(0, -2)
        fits.intercept[these] = again.intercept.flatten()
        fits.objective[these] = again.objective.flatten()
        fits.converged[these] = again.converged.flatten()
        steps.append(again.steps)
    return fits._replace(steps=fits.steps + max(steps))


def _together(
    gram: Float[torch.Tensor, "*cell n n"],
    positive: Bool[torch.Tensor, "*cell fit n"],
    cost: Float[torch.Tensor, "*cell fit n"],
    solver: ConjugateGradients,
) -> Fits:
    """By conjugate gradients, as far as these come."""
    problem = _Problem(gram, positive.to(gram.dtype), cost)
    return _fitted(problem, _at_start(problem), [solver.for_other_fits(SETTLING)], TOLERANCE)[1]


def _factorised(
    gram: Float[torch.Tensor, "*cell n n"],
    positive: Bool[torch.Tensor, "*cell fit n"],
    cost: Float[torch.Tensor, "*cell fit n"],
) -> Fits:
    """By factorisations: a GPU makes those of all fits at once.

    On a CPU a batch of matrices falls out of the cache. There each fit is made on its own, in the space of the examples
    that it is trained on.
    """
    if gram.ndim > 2 or gram.device.type != "cpu":
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
