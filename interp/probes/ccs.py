"""Contrast-Consistent Search: a probe of truth that is fitted without labels.

A statement and its negation cannot both be true. With the activations x⁺ and x⁻ of the two, each kind normalised by
itself, and p± = σ(w·x± + b), Burns et al. 2023 (arXiv 2212.03827, section 2.2) minimise the mean over the pairs of

    (p⁺ - (1 - p⁻))² + min(p⁺, p⁻)²

that is, they look for a direction along which either half of a pair is as true as the other is false, and one of them
is surely false. (p⁺ + 1 - p⁻) / 2 is how true the probe takes the statement to be, or how false: on pairs that are
consistent w and b lose as much when they are turned around, and which of the two it is the fit cannot know.

This loss need not have a minimum: where pairs can be told apart, and with as many features as pairs any can, it falls
for ever as w grows. The paper stops AdamW after 1,000 steps. Here an L2 penalty makes the fit one that converges, as in
EleutherAI's elk (``CcsReporter``), of the same weight.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import expit

STARTS = 10
"""As in the paper: the loss is not convex."""
PENALTY = 0.01
"""Half of it is what |w|² + b² counts in the loss."""
TOLERANCE = 1e-6
"""A fit has converged when no part of the gradient is larger than this."""
MAX_STEPS = 5000
TOLERATED = 1e-3
"""A larger gradient is an error where rounding has ended the search."""


class Losses(NamedTuple):
    """What probes lose on pairs, penalty included, and how that changes with their parameters."""

    value: Float[np.ndarray, " probe"]
    gradient: Float[np.ndarray, "probe parameter"]


class CCSProbe(NamedTuple):
    """A probe, one of two that differ only in their sign."""

    weight: Float[np.ndarray, " d_model"]
    intercept: float
    loss: float
    """Penalty included."""

    def confidence(
        self, yes: Float[np.ndarray, "n d_model"], no: Float[np.ndarray, "n d_model"]
    ) -> Float[np.ndarray, " n"]:
        """(p⁺ + 1 - p⁻) / 2 of pairs that are normalised as those that the probe was fitted to."""
        first, second = (expit(half @ self.weight + self.intercept) for half in (yes, no))
        return (first + 1 - second) / 2

    def loss_on(self, yes: Float[np.ndarray, "n d_model"], no: Float[np.ndarray, "n d_model"]) -> float:
        """The paper's loss on such pairs, without the penalty; a probe that knows nothing, p = 1/2, has .25."""
        parameters = np.append(self.weight, self.intercept)[None]
        return float(ccs_losses(parameters, yes, no, 0.0).value[0])


def ccs_losses(
    parameters: Float[np.ndarray, "probe parameter"],
    yes: Float[np.ndarray, "n d_model"],
    no: Float[np.ndarray, "n d_model"],
    penalty: float = PENALTY,
) -> Losses:
    """What probes lose on pairs.

    Parameters
    ----------
    parameters
        Of each probe its weights, and last its intercept.
    yes, no
        The two halves of each pair, normalised.
    penalty
        Half of it is what the sum of the squares of the parameters counts.
    """
    weight, intercept = parameters[:, :-1], parameters[:, -1:]
    first, second = (expit(weight @ half.T + intercept) for half in (yes, no))
    inconsistent, smaller = first + second - 1, np.minimum(first, second)
    value = (inconsistent**2 + smaller**2).mean(1) + penalty / 2 * (parameters**2).sum(1)
    of_first = 2 * (inconsistent + smaller * (first <= second)) * first * (1 - first) / len(yes)
    of_second = 2 * (inconsistent + smaller * (second < first)) * second * (1 - second) / len(yes)
    by_weight = of_first @ yes + of_second @ no
    by_intercept = (of_first + of_second).sum(1, keepdims=True)
    return Losses(value, np.hstack([by_weight, by_intercept]) + penalty * parameters)


def fit_ccs(
    yes: Float[np.ndarray, "n d_model"],
    no: Float[np.ndarray, "n d_model"],
    rng: np.random.Generator,
    *,
    starts: int = STARTS,
    penalty: float = PENALTY,
) -> CCSProbe:
    """The probe that loses least of those that are found from several random starts, each by L-BFGS.

    Where p⁺ = p⁻ the loss has an edge, but one that bends downwards: no minimum lies on it.

    Parameters
    ----------
    yes, no
        The two halves of each pair, normalised.
    rng
        Draws the starts, uniformly from the sphere of radius 1, as the paper does.
    starts, penalty
        How many starts, and the penalty as for `ccs_losses`.

    Raises
    ------
    RuntimeError
        If the search does not converge.
    """
    drawn = rng.normal(size=(starts, yes.shape[1] + 1))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return min((_descended(start, yes, no, penalty) for start in drawn), key=lambda probe: probe.loss)


def _descended(
    start: Float[np.ndarray, " parameter"],
    yes: Float[np.ndarray, "n d_model"],
    no: Float[np.ndarray, "n d_model"],
    penalty: float,
) -> CCSProbe:
    """The minimum below a start."""

    def loss_of(parameters: Float[np.ndarray, " parameter"]) -> tuple[float, Float[np.ndarray, " parameter"]]:
        losses = ccs_losses(parameters[None], yes, no, penalty)
        return float(losses.value[0]), losses.gradient[0]

    found = minimize(
        loss_of,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"gtol": TOLERANCE, "ftol": 0.0, "maxiter": MAX_STEPS, "maxfun": 2 * MAX_STEPS},
    )
    loss, gradient = loss_of(found.x)
    if not np.abs(gradient).max() <= TOLERATED:
        raise RuntimeError(f"CCS did not converge in {found.nit} steps (n {len(yes)}): {found.message}")
    return CCSProbe(found.x[:-1], float(found.x[-1]), loss)
