"""Newton directions of many logistic regressions on nearly the same examples, found together.

Of each regression the direction (δ, db) solves, with K = X Xᵀ, its own weights W of the examples, and right sides r, s,

    (I + W K) δ + W 1 db = r,        1ᵀ W (K δ + 1 db) = s

which is Newton's equation for the weights Xᵀδ and the intercept db, whose Hessian is symmetric and positive definite.
So conjugate gradients apply (Hestenes & Stiefel 1952; for Newton's directions Dembo, Eisenstat & Steihaug 1982). They
go on in the space of the examples, where the inner product of Xᵀr and Xᵀδ is that of r and the image K δ, which is kept
beside δ. The intercept is eliminated: by the second equation db = (s - 1ᵀ W K δ) / 1ᵀ W 1.

What makes them few is that all share a preconditioner, the Hessian with weights V that are the same for all, and
without the intercept (which has no part in it where the features are centred). In units of V, in which r is V^-½ r, δ
is V^-½ δ, the image is V^½ K δ, and W is V⁻¹ W, it takes r to z = (I + V^½ K V^½)⁻¹ r, whose image is r - z. So an
iteration is one product of a matrix with what is left of r, for all regressions at once, in place of a factorisation
for each.

Regressions that are done are left out, each time that half of them are.

Cells, each with a K and a preconditioner of its own, can be solved in one batch: they are leading dimensions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch.linalg import vecdot

MAX_ITERATIONS = 50
"""What has not come close by then does not come closer in single precision."""
SMALLEST_SHARE = 0.02
"""The least weight in a preconditioner, as a share of the mean: right sides are divided by its root."""
LEAST_CURVATURE = 1e-3
"""What V^½ K V^½ must add to a 1 of the diagonal: of less, too few digits are left when the 1s are taken off again."""


class Preconditioner(NamedTuple):
    """The Hessian's inverse for weights that all regressions of a cell share."""

    inverse: Float[torch.Tensor, "*cell n n"]
    """(I + V^½ K V^½)⁻¹"""
    root: Float[torch.Tensor, "*cell 1 n"]
    """V^½"""


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
    return Preconditioner(inverse, root)


class Directions(NamedTuple):
    """Of each regression; NaN where rounding leaves the right side no length."""

    delta: Float[torch.Tensor, "*cell fit n"]
    intercept: Float[torch.Tensor, "*cell fit"]
    iterations: int
    """After which all were found."""


def directions(
    shared: Preconditioner,
    weight: Float[torch.Tensor, "*cell fit n"],
    side: Float[torch.Tensor, "*cell fit n"],
    of_intercept: Float[torch.Tensor, "*cell fit"],
    tolerance: float,
) -> Directions:
    """The direction of each regression.

    Parameters
    ----------
    shared
        The preconditioner.
    weight
        W, by regression.
    side, of_intercept
        r and s; where both are 0 so is the direction.
    tolerance
        The share of a right side that may be left, in the preconditioner's norm.
    """
    total = weight.sum(-1)
    # Once the intercept is eliminated, g gᵀ is taken off W, and what s stands for off the right side; in units of V.
    per_intercept = weight / (shared.root * total.sqrt()[..., None])
    intercept = of_intercept / total.sqrt()
    search = _started(
        shared, weight, side / shared.root - per_intercept * intercept[..., None], per_intercept, tolerance
    )
    found, shift = torch.empty_like(search.found), torch.empty_like(search.shift)
    rows = torch.arange(side.shape[-2], device=side.device).expand(side.shape[:-1])
    iterations, n_going = 0, len(rows)
    while n_going and iterations < MAX_ITERATIONS:
        search, iterations = _further(shared, search), iterations + 1
        going = search.size > search.enough
        n_going = int(going.sum(-1).max())
        if 0 < 2 * n_going <= rows.shape[-1]:
            search.written_to(found, shift, rows)
            first = going.byte().argsort(dim=-1, descending=True, stable=True)[..., :n_going]
            rows, search = rows.gather(-1, first), search.of(first)
    search.written_to(found, shift, rows)
    return Directions(found * shared.root, (intercept - shift[..., 0]) / total.sqrt(), iterations)


class _Search(NamedTuple):
    """Where the regressions are that are not done, or were not when this was last looked at; in units of V."""

    weight: Float[torch.Tensor, "*cell fit n"]
    per_intercept: Float[torch.Tensor, "*cell fit n"]
    """g."""
    found: Float[torch.Tensor, "*cell fit n"]
    shift: Float[torch.Tensor, "*cell fit 1"]
    """g times the image of `found`, by which the intercept moves."""
    left: Float[torch.Tensor, "*cell fit n"]
    along: Float[torch.Tensor, "*cell fit n"]
    image: Float[torch.Tensor, "*cell fit n"]
    """Of `along`."""
    size: Float[torch.Tensor, "*cell fit"]
    """Of what is left, squared, in the preconditioner's norm."""
    enough: Float[torch.Tensor, "*cell fit"]

    def of(self, rows: Int[torch.Tensor, "*cell kept"]) -> _Search:
        """Of some regressions of each cell."""
        numbers = [each.gather(-1, rows) for each in (self.size, self.enough)]
        return _Search(*[torch.take_along_dim(each, rows[..., None], dim=-2) for each in self[:-2]], *numbers)

    def written_to(
        self,
        found: Float[torch.Tensor, "*cell all n"],
        shift: Float[torch.Tensor, "*cell all 1"],
        rows: Int[torch.Tensor, "*cell fit"],
    ) -> None:
        """What is found of these regressions goes to their rows."""
        for target, source in ((found, self.found), (shift, self.shift)):
            target.scatter_(-2, rows[..., None].expand_as(source), source)


def _started(
    shared: Preconditioner,
    weight: Float[torch.Tensor, "*cell fit n"],
    side: Float[torch.Tensor, "*cell fit n"],
    per_intercept: Float[torch.Tensor, "*cell fit n"],
    tolerance: float,
) -> _Search:
    along = side @ shared.inverse
    image = side - along
    size = vecdot(side, image)
    no_length = ~(size > 0) & side.any(-1)
    found = torch.zeros_like(side).masked_fill_(no_length[..., None], torch.nan)
    shift = torch.zeros_like(size)[..., None]
    return _Search(
        weight / shared.root.square(), per_intercept, found, shift, side, along, image, size, tolerance**2 * size
    )


def _further(shared: Preconditioner, search: _Search) -> _Search:
    """After one iteration."""
    weight, per_intercept, found, shift, left, along, image, size, enough = search
    of_intercept = vecdot(per_intercept, image)[..., None]
    taken = torch.addcmul(along, weight, image).addcmul_(per_intercept, of_intercept, value=-1)
    # A regression that is done stays where it is: what is left of it is rounding, which would be blown up.
    going = size > enough
    length = torch.where(going, size / vecdot(taken, image), 0.0)[..., None]
    found.addcmul_(length, along)
    shift.addcmul_(length, of_intercept)
    left.addcmul_(length, taken, value=-1)
    steepest = left @ shared.inverse
    image_of_steepest = left - steepest
    size_after = torch.where(going, vecdot(left, image_of_steepest), size)
    kept = torch.where(going, size_after / size, 0.0)[..., None]
    along, image = steepest.addcmul_(kept, along), image_of_steepest.addcmul_(kept, image)
    return _Search(weight, per_intercept, found, shift, left, along, image, size_after, enough)
