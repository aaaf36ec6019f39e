"""L2-regularised linear regressions on one set of examples, in closed form in the space of the examples.

Each minimises, over weights w and an intercept b that is not penalised,

    Σᵢ (yᵢ - w·xᵢ - b)² + penalty ‖w‖²

over the examples that it is trained on: the objective of `sklearn.linear_model.Ridge`. By the representer theorem
w = Xᵀα, and with the Gram matrix K of these examples (K + penalty I) α = y - b 1, where b is what makes 1ᵀα = 0. So one
Cholesky factorisation with two right-hand sides, y and 1, solves it. That the features need not be centred on the
examples that are trained on is what b is for.
"""

from __future__ import annotations

import torch
from jaxtyping import Float


def ridge_predictions(
    gram: Float[torch.Tensor, "n n"], value: Float[torch.Tensor, " n"], cost: Float[torch.Tensor, "fit n"]
) -> Float[torch.Tensor, "fit n"]:
    """What each fit predicts for every example, those included that it was not trained on.

    Parameters
    ----------
    gram
        Inner products of the examples, in double precision.
    value
        The numbers that are fitted.
    cost
        For each fit 1 / penalty for the examples that it is trained on, and 0 for the others.
    """
    predictions = []
    for of_fit in cost:
        rows = torch.nonzero(of_fit).squeeze(1)
        among = gram[rows][:, rows]
        among.diagonal().add_(1 / of_fit[rows])
        sides = torch.stack([value[rows], torch.ones_like(value[rows])], dim=1)
        for_value, for_one = torch.cholesky_solve(sides, torch.linalg.cholesky(among)).unbind(1)
        intercept = for_value.sum() / for_one.sum()
        predictions.append(gram[:, rows] @ (for_value - intercept * for_one) + intercept)
    return torch.stack(predictions)
