"""L2-regularised logistic regression, run to convergence in the space of the examples.

Minimises, over weights w and an intercept b that is not penalised,

    C · Σᵢ log(1 + exp(-yᵢ (w·xᵢ + b))) + ½ ‖w‖²        (y in {-1, +1})

which is the objective of `sklearn.linear_model.LogisticRegression`. By the representer theorem w = Xᵀα, so that with
the Gram matrix K = X Xᵀ the problem has one unknown per example, whatever d_model is. Newton's method with step
halving (iteratively reweighted least squares) converges in about ten steps, each one Cholesky factorisation of
B = I + W^½ K W^½, whose eigenvalues are at least 1 (Rasmussen & Williams 2006, algorithm 3.1).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float

TOLERANCE = 1e-12
"""Newton stops when a step promises to lower the objective by less than this share of it."""
MAX_STEPS = 100
SMALLEST_STEP = 2.0**-20
SMALLEST_WEIGHT = 1e-12
"""Keeps W^-½ finite for examples that are already classified with certainty."""


class Fit(NamedTuple):
    """The solution in the space of the examples."""

    alpha: Float[torch.Tensor, " train"]
    """w = Xᵀ alpha."""
    intercept: Float[torch.Tensor, ""]
    objective: float
    steps: int
    converged: bool

    def scores(self, gram: Float[torch.Tensor, "test train"]) -> Float[torch.Tensor, " test"]:
        """The log-odds of new examples, from their inner products with the training examples."""
        return gram @ self.alpha + self.intercept


def fit_logistic(gram: Float[torch.Tensor, "train train"], positive: Bool[torch.Tensor, " train"], c: float) -> Fit:
    """Fit to convergence.

    Parameters
    ----------
    gram
        Inner products of the training examples, in double precision.
    positive
        Which of them are of the positive class; both classes must occur.
    c
        Inverse strength of the regularisation, as in scikit-learn.
    """
    target = positive.to(gram.dtype)
    rate = target.mean()
    if not 0 < rate < 1:
        raise ValueError("both classes must occur in the training examples")
    alpha = torch.zeros_like(target)
    intercept = torch.logit(rate)
    logits = gram @ alpha + intercept
    objective = _objective(logits, alpha, gram, target, c)
    for step in range(1, MAX_STEPS + 1):
        new_alpha, new_intercept = _newton_target(gram, target, logits, c)
        direction, direction_b = new_alpha - alpha, new_intercept - intercept
        direction_logits = gram @ direction + direction_b
        slope = _slope(logits, direction_logits, alpha, direction, gram, target, c)
        if -slope <= TOLERANCE * objective:
            return Fit(alpha, intercept, objective, step - 1, converged=True)
        size = 1.0
        while size >= SMALLEST_STEP:
            candidate = _objective(logits + size * direction_logits, alpha + size * direction, gram, target, c)
            if candidate <= objective + 1e-4 * size * slope:
                break
            size /= 2
        else:
            # No shorter step lowers the objective either: rounding is all that is left.
            return Fit(alpha, intercept, objective, step, converged=-slope <= 1e-6 * objective)
        alpha, intercept = alpha + size * direction, intercept + size * direction_b
        # Afresh, not by adding up steps: rounding errors of the first, longest steps would stay.
        logits = gram @ alpha + intercept
        objective = _objective(logits, alpha, gram, target, c)
    return Fit(alpha, intercept, objective, MAX_STEPS, converged=False)


def _newton_target(
    gram: Float[torch.Tensor, "train train"],
    target: Float[torch.Tensor, " train"],
    logits: Float[torch.Tensor, " train"],
    c: float,
) -> tuple[Float[torch.Tensor, " train"], Float[torch.Tensor, ""]]:
    """Where a full Newton step leads: the weighted least-squares problem solved exactly.

    With weights W and working response z, the step solves (K + W⁻¹) α + b·1 = z and 1ᵀα = 0. Writing
    S = (K + W⁻¹)⁻¹ = W^½ B⁻¹ W^½, it is b = 1ᵀSz / 1ᵀS1 and α = S (z - b·1).
    """
    probability = torch.sigmoid(logits)
    weight = (c * probability * (1 - probability)).clamp_min(SMALLEST_WEIGHT)
    root = weight.sqrt()
    response = logits + c * (target - probability) / weight
    factor = torch.linalg.cholesky(
        root[:, None] * gram * root + torch.eye(len(root), dtype=gram.dtype, device=gram.device)
    )
    sides = torch.stack([root * response, root], dim=1)
    solved_response, solved_one = (root[:, None] * torch.cholesky_solve(sides, factor)).unbind(1)
    new_intercept = solved_response.sum() / solved_one.sum()
    return solved_response - new_intercept * solved_one, new_intercept


def _objective(
    logits: Float[torch.Tensor, " train"],
    alpha: Float[torch.Tensor, " train"],
    gram: Float[torch.Tensor, "train train"],
    target: Float[torch.Tensor, " train"],
    c: float,
) -> float:
    # Not softplus, which above 20 gives its argument back: that is wrong in the ninth digit.
    losses = torch.logaddexp(logits, torch.zeros_like(logits)) - target * logits
    return float(c * losses.sum() + 0.5 * alpha @ (gram @ alpha))


def _slope(
    logits: Float[torch.Tensor, " train"],
    direction_logits: Float[torch.Tensor, " train"],
    alpha: Float[torch.Tensor, " train"],
    direction: Float[torch.Tensor, " train"],
    gram: Float[torch.Tensor, "train train"],
    target: Float[torch.Tensor, " train"],
    c: float,
) -> float:
    """The objective's derivative along the Newton direction; negative, and twice what the step promises to gain."""
    residual = torch.sigmoid(logits) - target
    return float(c * residual @ direction_logits + alpha @ (gram @ direction))
