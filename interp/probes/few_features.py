"""L2-regularised logistic regressions on a few features each, very many at once.

Each minimises, over weights w and an intercept b that is not penalised,

    Σᵢ C · log(1 + exp(-yᵢ (w·xᵢ + b))) + ½ ‖w‖²        (yᵢ in {-1, +1})

over the examples that it is trained on: the objective of `sklearn.linear_model.LogisticRegression`, which takes most of
its time for what is around such a fit. Newton's method, with steps that are halved until they lower the objective,
takes all of them together. `interp.probes.logistic` is for fits of more features.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit

TOLERANCE = 1e-12
"""The step that promises to lower the objective by less than this share of it is the last."""
MAX_STEPS = 100
MAX_HALVINGS = 30
ARMIJO = 1e-4
"""The share of what a step promises that it must hold."""


class Fits(NamedTuple):
    """The optimum of each fit; NaN for one to one class, or to none."""

    coefficients: Float[np.ndarray, "fit coefficient"]
    """The weights of the features, and last the intercept."""
    objective: Float[np.ndarray, " fit"]


def fitted(
    features: Float[np.ndarray, "fit example feature"],
    positive: Bool[np.ndarray, " example"],
    trained: Bool[np.ndarray, "fit example"],
    c: float,
) -> Fits:
    """Fit each to its examples.

    Parameters
    ----------
    features
        Finite where an example is trained on.
    positive
        Which examples are of the positive class.
    trained
        Which of them each fit is trained on.
    c
        scikit-learn's C.
    """
    both = (trained & positive).any(1) & (trained & ~positive).any(1)
    used = trained[both][..., None]
    # Around their means, which the intercept takes up again: a feature that is the same everywhere is none.
    rows = np.where(used, features[both], 0.0)
    means = rows.sum(1, keepdims=True) / used.sum(1, keepdims=True)
    rows = np.where(used, rows - means, 0.0)
    rows = np.concatenate([rows, np.ones((*rows.shape[:-1], 1))], axis=-1)
    cost, sign = c * trained[both], np.where(positive, 1.0, -1.0)
    penalty = np.append(np.ones(features.shape[-1]), 0.0)

    def objective(at: Float[np.ndarray, "fit coefficient"]) -> Float[np.ndarray, " fit"]:
        losses = np.logaddexp(0.0, -sign * (rows @ at[..., None])[..., 0])
        return (cost * losses).sum(-1) + 0.5 * (penalty * at**2).sum(-1)

    found = np.zeros((len(rows), rows.shape[-1]))
    value = objective(found)
    for _ in range(MAX_STEPS):
        margin = sign * (rows @ found[..., None])[..., 0]
        # Not 1 less the probability of the class: where that is almost 1, no digit would be left.
        of_other = expit(-margin)
        gradient = penalty * found - ((cost * sign * of_other)[:, None] @ rows)[:, 0]
        weight = cost * expit(margin) * of_other
        hessian = (rows * weight[..., None]).swapaxes(1, 2) @ rows + np.diag(penalty)
        step = -np.linalg.solve(hessian, gradient[..., None])[..., 0]
        slope = (gradient * step).sum(-1)
        size = np.where(-slope <= TOLERANCE * value, 0.0, 1.0)
        if not size.any():
            break
        for _ in range(MAX_HALVINGS):
            too_far = objective(found + size[:, None] * step) > value + ARMIJO * size * slope
            if not too_far.any():
                break
            size = np.where(too_far, size / 2, size)
        found = found + size[:, None] * step
        value = objective(found)
    found[:, -1] -= (found[:, :-1] * means[:, 0]).sum(-1)
    everywhere = Fits(np.full((len(trained), rows.shape[-1]), np.nan), np.full(len(trained), np.nan))
    everywhere.coefficients[both], everywhere.objective[both] = found, value
    return everywhere


def non_negative_coefficients(
    features: Float[np.ndarray, "fit example feature"],
    positive: Bool[np.ndarray, " example"],
    trained: Bool[np.ndarray, "fit example"],
    c: float,
) -> Float[np.ndarray, "fit coefficient"]:
    """The coefficients of `fitted`, under the constraint that no weight is below 0.

    At that optimum the features whose weight is 0 have no part. So it is the best of the fits to some of the features,
    or to none, among those whose weights are not below 0.
    """
    n_features = features.shape[-1]
    bare, least = fitted(features[..., :0], positive, trained, c)
    found = np.concatenate([np.zeros((len(features), n_features)), bare], axis=1)
    for size in range(1, n_features + 1):
        for some in map(list, combinations(range(n_features), size)):
            fit, objective = fitted(features[..., some], positive, trained, c)
            these = np.zeros_like(found)
            these[:, [*some, -1]] = fit
            better = (fit[:, :-1] >= 0).all(1) & (objective < least)
            found, least = np.where(better[:, None], these, found), np.where(better, objective, least)
    return found
