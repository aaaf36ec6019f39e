"""Maps of the activations themselves: what there is at a layer and a token, before any question is put to it.

=================  ===================================================================  =========================
quantity           of an example, or of all of them                                     value of the cell
=================  ===================================================================  =========================
``norm``           Euclidean norm of the activation                                     median over the examples
``growth``         its norm / its norm at the layer before                              median over the examples
``cosine``         its cosine with that of the layer before                             median over the examples
``top-direction``  share of their variance along the direction in which it is largest   the share
=================  ===================================================================  =========================

All of it in float64, over the examples that have the position. The layer before is the model's, not the row above:
where it is not kept, there is no growth and no cosine. Intervals are at 95 % and take the examples as independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse.linalg import svds
from scipy.special import expit
from scipy.stats import binom, norm

from interp.activations.store import Cells
from interp.results.heatmap import Heatmap
from interp.results.result import meanings_of
from interp.results.scales import Scale, cosine_scale, log_scale, ratio_scale, share_scale
from interp.statistics.auc import Interval
from interp.statistics.means import LEVEL
from interp.work.progress import progress

Quantity = Literal["norm", "growth", "cosine", "top-direction"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
OF_TWO_LAYERS = ("growth", "cosine")
"""What compares a layer with the layer before."""

MIN_EXAMPLES = 20
"""A direction of fewer examples than this is not told: its interval would cover too rarely."""
SITE_WORDS = {"resid_post": "the residual stream"}
"""What a site is called on a map; any other goes by its name."""
QUANTILES = {"q05": 0.05, "q25": 0.25, "q75": 0.75, "q95": 0.95}
"""Over the examples, beside the median."""
FORMS: dict[Quantity, tuple[str, Callable[[np.ndarray], Scale], tuple[str, ...]]] = {
    "norm": ("median norm of {site}", log_scale, tuple(QUANTILES)),
    "growth": ("median growth of {site}'s norm", ratio_scale, tuple(QUANTILES)),
    "cosine": ("median cosine of {site} with layer before", cosine_scale, tuple(QUANTILES)),
    "top-direction": ("share of {site}'s variance in top direction", share_scale, ("second_share", "total_variance")),
}
"""For each quantity its metric, its scale from the values, and its variables beside those of every map."""
Summary = Mapping[str, float | int]
"""What a map says of one cell, by variable; of a cell without a value, only why."""


class NoValue(IntEnum):
    """Why a cell of an activation map has no value."""

    HAS_VALUE = 0
    NO_EXAMPLE = 1
    NO_LAYER_BEFORE = 2
    LAYER_BEFORE_NOT_KEPT = 3
    ACTIVATIONS_NOT_FINITE = 4
    AN_ACTIVATION_IS_ZERO = 5
    TOO_FEW_EXAMPLES = 6
    NO_VARIANCE = 7


class TopDirection(NamedTuple):
    """How much of the variance lies in the direction that has most of it."""

    share: Interval
    second_share: float
    """Of the next direction: where it is close to the first's, there is no one top direction."""
    total_variance: float


@dataclass(frozen=True)
class Activations:
    """The activations of one cell, of the examples that have the position."""

    layer: int
    vectors: Float[torch.Tensor, "example width"]
    """In float64, where squares of what any model's dtype holds do not overflow."""

    @cached_property
    def norms(self) -> Float[np.ndarray, " example"]:
        """The Euclidean norm of each."""
        return self.vectors.norm(dim=1).numpy()

    @property
    def are_finite(self) -> bool:
        """Whether none has overflowed."""
        return bool(np.isfinite(self.norms).all())

    def cosines(self, other: Activations) -> Float[np.ndarray, " example"]:
        """The cosine of each with the same example's in another cell."""
        products = torch.linalg.vecdot(self.vectors, other.vectors).numpy()
        return np.clip(products / (self.norms * other.norms), -1, 1)


def activation_maps(
    store: Cells,
    mask: Bool[np.ndarray, "example position"],
    *,
    quantities: Sequence[Quantity] = QUANTITIES,
    site: str = "resid_post",
) -> dict[str, Heatmap]:
    """A map of each quantity, with its interval, n and, where there is no value, the reason.

    Every cell is read once, position by position; two of them are in memory at a time.

    Parameters
    ----------
    store
        The activations.
    mask
        Which examples have which position.
    quantities
        Which maps to make.
    site
        What of a block the activations are of, for the metric's name.
    """
    columns = []
    with progress("activation", total=len(store.positions), unit="positions") as shown:
        for position, present in zip(store.positions, mask.T, strict=True):
            columns.append(column_summaries(store, position, present, quantities))
            shown.update()
    n = np.broadcast_to(mask.sum(0), (len(store.layers), len(store.positions))).astype(np.int64)
    return {
        quantity: _heatmap(quantity, [[cell[quantity] for cell in column] for column in columns], n, store, site)
        for quantity in quantities
    }


def column_summaries(
    store: Cells, position: str, present: Bool[np.ndarray, " example"], quantities: Sequence[Quantity]
) -> list[dict[Quantity, Summary]]:
    """What the maps say of each layer's cell at one position."""
    summaries: list[dict[Quantity, Summary]] = []
    above: Activations | None = None
    for layer in store.layers:
        cell = Activations(layer, store.cell(layer, position)[torch.from_numpy(present)].double())
        before = above if above is not None and above.layer == layer - 1 else None
        summaries.append({quantity: summary(quantity, cell, before) for quantity in quantities})
        above = cell
    return summaries


def summary(quantity: Quantity, cell: Activations, before: Activations | None) -> Summary:
    """What a map of a quantity says of one cell.

    Parameters
    ----------
    quantity
        What to tell.
    cell
        The activations of the cell.
    before
        Those of the same examples and position at the layer before, if it is kept.
    """
    why = why_missing(quantity, cell, before)
    if why:
        return {"why_missing": why}
    if quantity == "top-direction":
        share, second, variance = top_direction(cell.vectors.numpy())
        return {**share._asdict(), "second_share": second, "total_variance": variance, "why_missing": why}
    values = cell.norms
    if before is not None and quantity in OF_TWO_LAYERS:
        values = cell.norms / before.norms if quantity == "growth" else cell.cosines(before)
    quantiles = np.quantile(values, list(QUANTILES.values())).tolist()
    return median_interval(values)._asdict() | dict(zip(QUANTILES, quantiles, strict=True)) | {"why_missing": why}


def why_missing(quantity: Quantity, cell: Activations, before: Activations | None) -> NoValue:
    """Why a cell has no value; ``HAS_VALUE`` if it has one."""
    if not len(cell.vectors):
        return NoValue.NO_EXAMPLE
    if quantity in OF_TWO_LAYERS:
        if before is None:
            return NoValue.LAYER_BEFORE_NOT_KEPT if cell.layer else NoValue.NO_LAYER_BEFORE
        if not (cell.are_finite and before.are_finite):
            return NoValue.ACTIVATIONS_NOT_FINITE
        # Nothing grows from zero, and zero has no direction.
        divisors = [before.norms] if quantity == "growth" else [before.norms, cell.norms]
        return NoValue.HAS_VALUE if np.all(divisors) else NoValue.AN_ACTIVATION_IS_ZERO
    if not cell.are_finite:
        return NoValue.ACTIVATIONS_NOT_FINITE
    if quantity == "top-direction" and len(cell.vectors) < MIN_EXAMPLES:
        return NoValue.TOO_FEW_EXAMPLES
    if quantity == "top-direction" and bool((cell.vectors == cell.vectors[0]).all()):
        return NoValue.NO_VARIANCE
    return NoValue.HAS_VALUE


def median_interval(values: Float[np.ndarray, " example"]) -> Interval:
    """The median and its distribution-free interval, from one order statistic to another.

    The number of examples below the median is binomial (n, 1/2), whatever the distribution: the interval from the r-th
    smallest to the r-th largest value covers it with a probability of 1 - 2 P(B ≤ r - 1), or more where values are
    tied. r is the largest for which that is at least `LEVEL`; fewer than 6 values have no such interval.

    References
    ----------
    David & Nagaraja 2003, Order Statistics, section 7.1; Conover 1999, Practical Nonparametric Statistics, section 3.2.
    """
    ordered = np.sort(values)
    r = int(binom.ppf((1 - LEVEL) / 2, len(values), 0.5))
    low, high = (ordered[r - 1], ordered[-r]) if r > 0 else (math.nan, math.nan)
    return Interval(float(np.median(values)), float(low), float(high))


def top_direction(vectors: Float[np.ndarray, "example width"]) -> TopDirection:
    """The largest eigenvalue λ of the examples' covariance as a share of its trace t, with its interval.

    By Lanczos from a seeded start, on the vectors themselves. The interval is the delta method's on the logit scale,
    log λ - log(t - λ). With a the part of an example's deviation along the top direction and r what is left of it, the
    influence of an example on λ is a² - λ (Critchley 1985), that on t is a² + |r|² - t, and that on the logit is
    a² / λ - |r|² / (t - λ).

    λ is biased upwards, since the direction is fitted to the examples: to second order by the sum of E[a² b²] / (n (λ -
    μ)) over the other directions, with b the part along each and μ its variance (Lawley 1956 for Gaussian examples).
    That is at most E[a² |r|²] / (n (λ - μ of the next direction)), and by so much the lower end is moved down. It is
    little where one direction stands out. Where none does, the share is far too high if n is not many times the width
    (.020 for .005 with 200 examples of 200 independent features), and the interval reaches almost to 0.

    Where one direction has the largest variance, simulated intervals cover 91 to 100 % from 50 examples on, with
    Gaussian features and with Student's t at 5 degrees of freedom, and 90 to 99 % with 20. Where a few directions share
    it (2 to 10 equal ones), they cover 82 to 92 % however many examples there are, and 75 to 86 % with 20: the lower
    end is then too high, since the largest of them was taken.

    Parameters
    ----------
    vectors
        At least two that differ.

    References
    ----------
    Critchley 1985, Biometrika 72, 627-636; Lawley 1956, Biometrika 43, 128-136.
    """
    n, deviations = len(vectors), vectors - vectors.mean(0)
    first, second, direction = _two_largest(deviations)
    along = (deviations @ direction) ** 2
    rest = (deviations**2).sum(1) - along
    largest, others = along.mean(), rest.mean()
    second_share, total_variance = second**2 / n / (largest + others), (largest + others) * n / (n - 1)
    if others <= 1e-12 * largest:
        # All on one line: the share is 1, and no example moves it.
        return TopDirection(Interval(1.0, math.nan, math.nan), second_share, total_variance)
    influence = along / largest - rest / others
    half = float(norm.ppf((1 + LEVEL) / 2)) * math.sqrt(influence.var(ddof=1) / n)
    gap = (first**2 - second**2) / n
    excess = (along * rest).mean() / (n * gap) * (1 / largest + 1 / others) if gap > 0 else math.inf
    logit = math.log(largest / others)
    share = Interval(*expit([logit, logit - half - excess, logit + half]).tolist())
    return TopDirection(share, second_share, total_variance)


def _two_largest(deviations: Float[np.ndarray, "example d"]) -> tuple[float, float, Float[np.ndarray, " d"]]:
    """The two largest singular values, and the right singular vector of the first."""
    fewer = min(deviations.shape)
    if fewer <= 2:
        # Lanczos needs one more than it gives.
        _, values, directions = np.linalg.svd(deviations, full_matrices=False)
    else:
        _, values, directions = svds(deviations, k=2, v0=np.random.default_rng(0).normal(size=fewer))
    *_, second, first = sorted([0.0, *values.tolist()])
    return first, second, directions[values.argmax()]


def _heatmap(
    quantity: Quantity, columns: list[list[Summary]], n: Int[np.ndarray, "layer position"], store: Cells, site: str
) -> Heatmap:
    """The map of one quantity from the summaries of its cells, position by position."""
    metric, scale_of, extra = FORMS[quantity]
    arrays = {
        name: np.array([[cell.get(name, math.nan) for cell in column] for column in columns], dtype=np.float64).T
        for name in ("value", "low", "high", *extra, "why_missing")
    }
    value = arrays["value"]
    return Heatmap.of(
        (value, arrays["low"], arrays["high"], n),
        names=(store.layers, store.positions),
        kind="activation",
        metric=metric.format(site=SITE_WORDS.get(site, site)),
        scale=scale_of(value[np.isfinite(value)]),
        extra={name: arrays[name] for name in extra} | {"why_missing": arrays["why_missing"].astype(np.int8)},
        attributes={"quantity": quantity, "site": site} | meanings_of(NoValue),
    )
