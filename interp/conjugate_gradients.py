"""Newton directions of many logistic regressions on nearly the same examples, found together.

Of each regression the direction (δ, db) solves, with K = X Xᵀ, its own weights W of the examples, and right sides r, s,

    (I + W K) δ + W 1 db = r,        1ᵀ W (K δ + 1 db) = s

which is Newton's equation for the weights Xᵀδ and the intercept db, whose Hessian is symmetric and positive definite.
So conjugate gradients apply (Hestenes & Stiefel 1952; for Newton's directions Dembo, Eisenstat & Steihaug 1982). They
go on in the space of the examples: a vector Xᵀp is kept as p with K p beside it, and Xᵀp times Xᵀq is pᵀ K q.

What makes them few is that all share a preconditioner, the Hessian with weights V that are the same for all, and
without what couples features and intercept (nothing, where the features are centred). With (I + V K) z = r it takes
Xᵀr to Xᵀz, and K z = V⁻¹ (r - z) needs no product of its own: an iteration is one product of the inverse of
I + V^½ K V^½ with all that is left of r, of every regression at once, in place of a factorisation for each.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float

MAX_ITERATIONS = 50
"""What has not come close by then does not come closer in single precision."""
SMALLEST_SHARE = 0.1
"""The least weight in a preconditioner, as a share of the mean: K z is divided by it."""
TINY = 1e-30
"""What is divided by where a regression is done, and both sides are 0."""


class Preconditioner(NamedTuple):
    """The Hessian's inverse for weights that all regressions share."""

    inverse: Float[torch.Tensor, "n n"]
    """Of I + V^½ K V^½."""
    weight: Float[torch.Tensor, " n"]
    """V."""

    def solved(self, side: Side) -> tuple[Vector, Float[torch.Tensor, "fit n"]]:
        """What this inverse makes of right sides, and K times its first part."""
        root = self.weight.sqrt()
        z = ((side.of_examples / root) @ self.inverse) * root
        return Vector(z, side.of_intercept / self.weight.sum()), (side.of_examples - z) / self.weight


class Vector(NamedTuple):
    """Xᵀ `alpha`, and an intercept, of each regression."""

    alpha: Float[torch.Tensor, "fit n"]
    intercept: Float[torch.Tensor, " fit"]


class Side(NamedTuple):
    """Right sides of Newton's equation: Xᵀ `of_examples`, and that of the intercept."""

    of_examples: Float[torch.Tensor, "fit n"]
    of_intercept: Float[torch.Tensor, " fit"]


def preconditioner(gram: Float[torch.Tensor, "n n"], weight: Float[torch.Tensor, " n"]) -> Preconditioner:
    """That of these weights, which are raised where they are small beside their mean.

    Raises
    ------
    torch.linalg.LinAlgError
        If the precision of `gram` is too low for its factorisation.
    """
    weight = weight.clamp_min(SMALLEST_SHARE * float(weight.mean()))
    root = weight.sqrt()
    matrix = root[:, None] * gram * root
    matrix.diagonal().add_(1.0)
    return Preconditioner(torch.cholesky_inverse(torch.linalg.cholesky(matrix)), weight)


def directions(
    shared: Preconditioner,
    weight: Float[torch.Tensor, "fit n"],
    side: Side,
    tolerance: float,
) -> tuple[Vector, int]:
    """The direction of each regression, and after how many iterations.

    Parameters
    ----------
    shared
        The preconditioner.
    weight
        W, by regression.
    side
        r and s. Where both are 0 so is the direction.
    tolerance
        The share of a right side that may be left, in the preconditioner's norm.
    """
    left = Side(side.of_examples.clone(), side.of_intercept.clone())
    found = Vector(torch.zeros_like(left.of_examples), torch.zeros_like(left.of_intercept))
    along, gram_along = shared.solved(left)
    size = _inner(left, along, gram_along)
    enough = tolerance**2 * size
    for iteration in range(1, MAX_ITERATIONS + 1):
        curved = weight * (gram_along + along.intercept[:, None])
        image = Side(along.alpha + curved, curved.sum(1))
        length = size / _inner(image, along, gram_along).clamp_min(TINY)
        found.alpha.addcmul_(length[:, None], along.alpha)
        found.intercept.addcmul_(length, along.intercept)
        left.of_examples.addcmul_(length[:, None], image.of_examples, value=-1)
        left.of_intercept.addcmul_(length, image.of_intercept, value=-1)
        steepest, gram_steepest = shared.solved(left)
        before, size = size, _inner(left, steepest, gram_steepest).clamp_min(0)
        if bool((size <= enough).all()):
            return found, iteration
        kept = size / before.clamp_min(TINY)
        gram_along = gram_steepest.addcmul_(kept[:, None], gram_along)
        along = Vector(steepest.alpha.addcmul_(kept[:, None], along.alpha), steepest.intercept + kept * along.intercept)
    return found, MAX_ITERATIONS


def _inner(side: Side, vector: Vector, gram_alpha: Float[torch.Tensor, "fit n"]) -> Float[torch.Tensor, " fit"]:
    """The inner product of (Xᵀ of_examples, of_intercept) and (Xᵀ alpha, intercept)."""
    return (side.of_examples * gram_alpha).sum(1) + side.of_intercept * vector.intercept
