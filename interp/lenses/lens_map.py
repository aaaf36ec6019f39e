"""Maps of what a lens says, over the examples.

===================  ===================================================================  ==========================
quantity             of an example                                                        value of the cell
===================  ===================================================================  ==========================
``answer-logprob``   log-probability of the exact answer's first token, in nats           mean
``answer-rank``      its rank, 1 for the most probable token                              median
``answer-settled``   whether it is the most probable token in this layer and all above    share
``gold-logprob``     log-probability of the correct answer's first token                  mean
``gold-rank``        its rank                                                             median
``next-logprob``     log-probability of the token that the model goes on with             mean
``next-rank``        its rank                                                             median
``entropy``          of the lens's distribution, in nats                                  mean
``kl``               KL(the model's output ‖ the lens), in nats                           mean
``agreement``        whether the lens's most probable token is the model's                share
===================  ===================================================================  ==========================

Each over all examples, over the right answers, over the wrong ones, or the right ones against the wrong: the
difference of means and of shares, the quotient of median ranks. Intervals are at 95 %, by the percentiles of bootstrap
draws of groups of examples; of a share that is 0 or 1, which no draw differs from, by Wilson's score interval of as
many as there are groups, and of a difference of shares from those of the two (Newcombe 1998, Statistics in Medicine 17,
873-890, method 10).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int
from scipy.stats import norm

from interp.models.logit_readings import NOT_FINITE, UNASKED
from interp.results.example_values import MEAN, MEDIAN, ExampleValues
from interp.results.heatmap import LOW, MORE_IS, Heatmap
from interp.results.result import meanings_of
from interp.results.scales import Scale, centred_scale, log_scale, ratio_scale, share_scale
from interp.statistics.means import (
    LEVEL,
    drawn_means,
    drawn_medians,
    group_draws,
    groups_of_cells,
    mean_of_examples,
    median_of_examples,
    percentile_interval,
)

MIN_EXAMPLES = 20
"""Over fewer examples a cell has no value."""
BOOTSTRAPS = 1_000
SUBSETS = {
    "all": "",
    "correct": "right answers",
    "wrong": "wrong answers",
    "difference": "right answers against wrong",
}
"""Of which examples a map is, and what it says of that."""

LESS_IS_MORE = ("answer-rank", "gold-rank", "next-rank", "entropy", "kl")
"""Quantities that are small where the lens says it."""
RANK_COLOURS = ("Blues_r", "RdBu_r")
"""Of a map of ranks, and of a quotient of them: blue where the token is high up, whose rank is a small number."""


class NoValue(IntEnum):
    """Why a cell has no value."""

    HAS_VALUE = 0
    NO_EXAMPLE_HAS_BOTH_POSITION_AND_TOKEN = 1
    TOO_FEW_EXAMPLES = 2
    LENS_NOT_FINITE = 3


class Quantity(NamedTuple):
    """What is mapped."""

    words: str
    statistic: str
    """mean, median or share"""
    values: Callable[[xr.Dataset], xr.DataArray]
    """Of each (layer, position, example); NaN where there is none, infinite where there is one that is no number."""


def _log_probability(target: str) -> Callable[[xr.Dataset], xr.DataArray]:
    return lambda values: _of_asked(values["log_probability"].sel(target=target), values["rank"].sel(target=target))


def _rank(target: str) -> Callable[[xr.Dataset], xr.DataArray]:
    def ranks(values: xr.Dataset) -> xr.DataArray:
        of_target = values["rank"].sel(target=target)
        return _of_asked(of_target.where(of_target >= 0) + 1, of_target)

    return ranks


def settled(values: xr.Dataset) -> xr.DataArray:
    """Whether the answer's first token is the most probable one in a layer and in all above it."""
    ranks = values["rank"].sel(target="answer")
    return _of_asked(_upwards(ranks == 0).where(_upwards(ranks != NOT_FINITE) == 1), ranks)


def _upwards(holds: xr.DataArray) -> xr.DataArray:
    """Whether something holds in a layer and in all above it."""
    upside_down = holds.isel(layer=slice(None, None, -1))
    return upside_down.cumprod("layer").isel(layer=slice(None, None, -1))


def agreement(values: xr.Dataset) -> xr.DataArray:
    """Whether the lens's most probable token is the model's own."""
    top, of_output = values["top"], values["top"].isel(layer=-1)
    return _of_asked((top == of_output).astype(float).where((top >= 0) & (of_output >= 0)), top)


def _of_top(name: str) -> Callable[[xr.Dataset], xr.DataArray]:
    return lambda values: _of_asked(values[name], values["top"])


def _of_asked(readings: xr.DataArray, codes: xr.DataArray) -> xr.DataArray:
    """Readings by codes of the same cells: NaN where nothing is asked, infinite where what is read is no number."""
    return readings.where(np.isfinite(readings), np.inf).where(codes != UNASKED)


QUANTITIES: dict[str, Quantity] = {
    "answer-logprob": Quantity("log-probability of the answer, nats", "mean", _log_probability("answer")),
    "answer-rank": Quantity("rank of the answer", "median", _rank("answer")),
    "answer-settled": Quantity("answer is the top token from here on", "share", settled),
    "gold-logprob": Quantity("log-probability of the correct answer, nats", "mean", _log_probability("gold")),
    "gold-rank": Quantity("rank of the correct answer", "median", _rank("gold")),
    "next-logprob": Quantity("log-probability of the next token, nats", "mean", _log_probability("next")),
    "next-rank": Quantity("rank of the next token", "median", _rank("next")),
    "entropy": Quantity("entropy, nats", "mean", _of_top("entropy")),
    "kl": Quantity("KL from the model's output, nats", "mean", _of_top("divergence")),
    "agreement": Quantity("top token is the model's", "share", agreement),
}


@dataclass(frozen=True)
class Examples:
    """What the examples of a map are, beside their values."""

    group: Int[np.ndarray, " example"]
    """Examples of one group are drawn together."""
    correct: Bool[np.ndarray, " example"]
    wrong: Bool[np.ndarray, " example"]
    """What is neither is not judged."""

    def of(self, subset: str) -> Bool[np.ndarray, " example"]:
        """Those of all, correct or wrong ones."""
        if subset == "all":
            return np.ones_like(self.correct)
        return self.correct if subset == "correct" else self.wrong


Map = Float[np.ndarray, "layer position"]
Ends = tuple[Map, Map, Map]
"""The value of every cell, and the ends of its interval."""


class Summary(NamedTuple):
    """A statistic of every cell, and of every draw of the examples."""

    value: Float[np.ndarray, "layer position"]
    drawn: Float[np.ndarray, "draw layer position"]
    n: Int[np.ndarray, "layer position"]
    n_groups: Int[np.ndarray, "layer position"]
    """How many groups these examples are of."""


def lens_map(
    values: xr.Dataset, quantity: str, subset: str, examples: Examples, *, draws: int = BOOTSTRAPS, seed: int = 0
) -> Heatmap:
    """The map of a quantity over a subset of the examples.

    Parameters
    ----------
    values
        As `interp.lenses.lens_values.lens_values` gives them.
    quantity, subset
        Of `QUANTITIES` and `SUBSETS`.
    examples
        In the order of `values`.
    draws, seed
        Of the bootstrap; the same draws for all cells.
    """
    words, statistic, values_of = QUANTITIES[quantity]
    of_examples = values_of(values).transpose("example", "layer", "position").values.astype(np.float64)
    weights = group_draws(examples.group, draws, np.random.default_rng(seed))
    sides = ("correct", "wrong") if subset == "difference" else (subset,)
    subsets = [examples.of(side) for side in sides]
    found = [summary(of_examples[of], weights[:, of], examples.group[of], statistic) for of in subsets]
    value, low, high = _contrast(*found, statistic=statistic) if len(found) > 1 else _interval(found[0], statistic)
    n = sum((of_side.n for of_side in found), np.zeros_like(found[0].n))
    missing = np.isnan(value)
    why = np.where(n == 0, NoValue.NO_EXAMPLE_HAS_BOTH_POSITION_AND_TOKEN, NoValue.TOO_FEW_EXAMPLES)
    shown = np.logical_or.reduce([examples.of(side) for side in sides])
    why = np.where(np.isinf(of_examples[shown]).any(0), NoValue.LENS_NOT_FINITE, why)
    return Heatmap.of(
        (value, low, high, n),
        names=(values["layer"].values, values["position"].values),
        kind="lens",
        metric=_metric(words, statistic, subset),
        scale=scale_of(value[~missing], statistic, subset),
        extra={**_sides(found), "why_missing": np.where(missing, why, NoValue.HAS_VALUE).astype(np.int8)},
        attributes={
            "quantity": quantity,
            "subset": subset,
            **({MORE_IS: LOW} if quantity in LESS_IS_MORE else {}),
            **meanings_of(NoValue),
            **({"colours": RANK_COLOURS[subset == "difference"]} if statistic == "median" else {}),
        },
    )


def lens_examples(values: xr.Dataset, quantity: str, groups: Sequence[str]) -> ExampleValues:
    """What every example gives in every cell of the map of a quantity; `groups` are the names of its groups."""
    of_quantity = QUANTITIES[quantity].values(values).transpose("example", "layer", "position")
    return ExampleValues(
        np.where(np.isfinite(of_quantity.values), of_quantity.values, np.nan)[None].astype(np.float64),
        MEDIAN if QUANTITIES[quantity].statistic == "median" else MEAN,
        tuple(map(str, values["example"].values)),
        tuple(groups),
        tuple(map(int, values["layer"].values)),
        tuple(map(str, values["position"].values)),
    )


def summary(
    values: Float[np.ndarray, "example layer position"],
    weights: Float[np.ndarray, "draw example"],
    group: Int[np.ndarray, " example"],
    statistic: str,
) -> Summary:
    """The statistic of each cell; NaN over fewer examples than `MIN_EXAMPLES`, or where any has no finite value."""
    n = (~np.isnan(values)).sum(0)
    kept = np.where((n >= MIN_EXAMPLES) & ~np.isinf(values).any(0), values, np.nan)
    of_examples, of_draws = (
        (median_of_examples, drawn_medians) if statistic == "median" else (mean_of_examples, drawn_means)
    )
    return Summary(of_examples(kept), of_draws(kept, weights), n, groups_of_cells(kept, group))


def _interval(found: Summary, statistic: str) -> Ends:
    """A statistic with its ends; a share that is the same in every draw has those of Wilson 1927, over the groups."""
    low, high = percentile_interval(found.drawn)
    if statistic == "share":
        squared = norm.ppf((1 + LEVEL) / 2) ** 2
        reach = squared / (found.n_groups + squared)
        alike = [found.value == 0, found.value == 1]
        # Both ends: of a single group no draw gives the other one.
        low, high = np.select(alike, [0.0, 1 - reach], low), np.select(alike, [reach, 1.0], high)
    return found.value, low, high


def _contrast(right: Summary, wrong: Summary, *, statistic: str) -> Ends:
    """Right answers against wrong ones."""
    if statistic == "median":
        return right.value / wrong.value, *percentile_interval(right.drawn / wrong.drawn)
    difference = right.value - wrong.value
    if statistic == "mean":
        return difference, *percentile_interval(right.drawn - wrong.drawn)
    (p, p_low, p_high), (q, q_low, q_high) = _interval(right, statistic), _interval(wrong, statistic)
    return difference, difference - np.hypot(p - p_low, q_high - q), difference + np.hypot(p_high - p, q - q_low)


def _sides(found: list[Summary]) -> dict[str, Int[np.ndarray, "layer position"]]:
    """How many examples there are on either side of a contrast."""
    return dict(zip(("n_correct", "n_wrong"), (each.n for each in found), strict=True)) if len(found) > 1 else {}


def scale_of(values: Float[np.ndarray, " cell"], statistic: str, subset: str) -> Scale:
    """The scale of a map's colours."""
    if subset == "difference":
        return ratio_scale(values) if statistic == "median" else centred_scale(values, 0.0)
    if statistic == "share":
        return share_scale(values)
    if statistic == "median":
        return log_scale(values)
    low, high = np.floor(values.min(initial=0.0)), np.ceil(values.max(initial=0.0))
    return Scale(float(low), float(high if high > low else low + 1))


def _metric(words: str, statistic: str, subset: str) -> str:
    if subset != "difference":
        return f"{'share where ' if statistic == 'share' else statistic + ' '}{words}"
    compared = "median, right ÷ wrong answers" if statistic == "median" else f"difference of {statistic}s"
    return f"{words}: {compared}"
