"""Newton directions of many logistic regressions on nearly the same examples, found together.

Of each regression the direction (δ, db) solves, with K = X Xᵀ, its own weights W of the examples, and right sides r, s,

    (I + W K) δ + W 1 db = r,        1ᵀ W (K δ + 1 db) = s

which is Newton's equation for the weights Xᵀδ and the intercept db, whose Hessian is symmetric and positive definite.
So conjugate gradients apply (Hestenes & Stiefel 1952; for Newton's directions Dembo, Eisenstat & Steihaug 1982). They
go on in the space of the examples: (δ, db) is one vector, of an entry for each example and one for the intercept, and
its image (K δ, db) is kept beside it, so that the inner product of a right side with it is that of two such vectors.

What makes them few is that all share a preconditioner, the Hessian with weights V that are the same for all, and
without what couples features and intercept (nothing, where the features are centred). It takes r to z with
(I + V K) z = r, whose image is K z = V^-½ (I - (I + V^½ K V^½)⁻¹) V^-½ r; and z = r - V K z. So an iteration is one
product of a matrix with what is left of r, for all regressions at once, in place of a factorisation for each.

Regressions that are done are left out, each time that half of them are.

Cells, each with a K and a preconditioner of its own, can be solved in one batch: they are leading dimensions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int

MAX_ITERATIONS = 50
"""What has not come close by then does not come closer in single precision."""
SMALLEST_SHARE = 0.02
"""The least weight in a preconditioner, as a share of the mean: K z is divided by it."""
LEAST_CURVATURE = 1e-3
"""What V^½ K V^½ must add to a 1 of the diagonal: of less, too few digits are left when the 1s are taken off again."""


class Preconditioner(NamedTuple):
    """The Hessian's inverse for weights that all regressions of a cell share."""

    inverse: Float[torch.Tensor, "*cell n n"]
    """(I + V^½ K V^½)⁻¹"""
    root: Float[torch.Tensor, "*cell 1 n"]
    """V^½"""
    of_intercept: Float[torch.Tensor, "*cell 1 1"]
    """1 / 1ᵀ V 1"""

    def solved(self, side: Float[torch.Tensor, "*cell fit m"]) -> tuple[torch.Tensor, torch.Tensor]:
        """What this inverse makes of right sides, and its image."""
        scaled = side[..., :-1] / self.root
        left = scaled @ self.inverse
        of_intercept = self.of_intercept * side[..., -1:]
        # Of the intercept the solution is its own image.
        solution = torch.cat([left * self.root, of_intercept], dim=-1)
        return solution, torch.cat([scaled.sub_(left).div_(self.root), of_intercept], dim=-1)


def preconditioner(gram: Float[torch.Tensor, "*cell n n"], weight: Float[torch.Tensor, "*cell n"]) -> Preconditioner:
    """That of these weights, which are raised where they are small beside their mean.

    It is NaN for a cell if the precision of its `gram` is too low to be inverted, or for what it adds to the identity.
    """
    weight = torch.maximum(weight, SMALLEST_SHARE * weight.mean(-1, keepdim=True))
    root = weight.sqrt()[..., None, :]
    matrix = gram * root.mT * root
    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    too_small = ~(diagonal.amax(-1) >= LEAST_CURVATURE)
    diagonal.add_(1.0)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    inverse = torch.cholesky_inverse(factor.masked_fill_((too_small | (failed > 0))[..., None, None], torch.nan))
    return Preconditioner(inverse, root, 1 / weight.sum(-1)[..., None, None])


def directions(
    shared: Preconditioner,
    weight: Float[torch.Tensor, "*cell fit n"],
    side: Float[torch.Tensor, "*cell fit m"],
    tolerance: float,
) -> tuple[Float[torch.Tensor, "*cell fit m"], int]:
    """The direction of each regression, and after how many iterations.

    Parameters
    ----------
    shared
        The preconditioner.
    weight
        W, by regression.
    side
        r, and in the last column s. Where all of it is 0 so is the direction; where rounding leaves it no length, the
        direction is NaN.
    tolerance
        The share of a right side that may be left, in the preconditioner's norm.
    """
    search = _started(shared, weight, side, tolerance)
    found = torch.empty_like(side)
    rows = torch.arange(side.shape[-2], device=side.device).expand(side.shape[:-1])
    iterations, n_going = 0, len(rows)
    while n_going and iterations < MAX_ITERATIONS:
        search, iterations = _further(shared, search), iterations + 1
        going = search.size > search.enough
        n_going = int(going.sum(-1).max())
        if 0 < 2 * n_going <= rows.shape[-1]:
            found.scatter_(-2, rows[..., None].expand_as(search.found), search.found)
            first = going.byte().argsort(dim=-1, descending=True, stable=True)[..., :n_going]
            rows, search = rows.gather(-1, first), search.of(first)
    return found.scatter_(-2, rows[..., None].expand_as(search.found), search.found), iterations


class _Search(NamedTuple):
    """Where the regressions are that are not done, or were not when this was last looked at."""

    weight: Float[torch.Tensor, "*cell fit n"]
    found: Float[torch.Tensor, "*cell fit m"]
    left: Float[torch.Tensor, "*cell fit m"]
    along: Float[torch.Tensor, "*cell fit m"]
    image: Float[torch.Tensor, "*cell fit m"]
    """Of `along`."""
    size: Float[torch.Tensor, "*cell fit"]
    """Of what is left, squared, in the preconditioner's norm."""
    enough: Float[torch.Tensor, "*cell fit"]

    def of(self, rows: Int[torch.Tensor, "*cell kept"]) -> _Search:
        """Of some regressions of each cell."""
        numbers = [each.gather(-1, rows) for each in (self.size, self.enough)]
        return _Search(*[torch.take_along_dim(each, rows[..., None], dim=-2) for each in self[:-2]], *numbers)


def _started(
    shared: Preconditioner,
    weight: Float[torch.Tensor, "*cell fit n"],
    side: Float[torch.Tensor, "*cell fit m"],
    tolerance: float,
) -> _Search:
    along, image = shared.solved(side)
    size = (side * image).sum(-1)
    no_length = ~(size > 0) & side.any(-1)
    found = torch.zeros_like(side).masked_fill_(no_length[..., None], torch.nan)
    return _Search(weight, found, side.clone(), along, image, size, tolerance**2 * size)


def _further(shared: Preconditioner, search: _Search) -> _Search:
    """After one iteration."""
    weight, found, left, along, image, size, enough = search
    curved = weight * (image[..., :-1] + image[..., -1:])
    taken = torch.cat([along[..., :-1] + curved, curved.sum(-1, keepdim=True)], dim=-1)
    # A regression that is done stays where it is: what is left of it is rounding, which would be blown up.
    going = size > enough
    length = torch.where(going, size / (taken * image).sum(-1), 0.0)[..., None]
    found.addcmul_(length, along)
    left.addcmul_(length, taken, value=-1)
    steepest, image_of_steepest = shared.solved(left)
    size_after = torch.where(going, (left * image_of_steepest).sum(-1), size)
    kept = torch.where(going, size_after / size, 0.0)[..., None]
    along, image = steepest.addcmul_(kept, along), image_of_steepest.addcmul_(kept, image)
    return _Search(weight, found, left, along, image, size_after, enough)
