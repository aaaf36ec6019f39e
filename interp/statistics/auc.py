"""The area under the ROC curve with its confidence interval."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit, logit
from scipy.stats import norm, t

from interp.statistics.means import LEVEL


class Interval(NamedTuple):
    """A value with the ends of its confidence interval."""

    value: float
    low: float
    high: float


NO_INTERVAL = Interval(math.nan, math.nan, math.nan)
"""Of what has no value."""


def auc_interval(
    scores: Float[np.ndarray, "*seed example"],
    positive: Bool[np.ndarray, " example"],
    *,
    group: Int[np.ndarray, " example"] | None = None,
    variance_factor: float = 1.0,
) -> Interval:
    """The AUC, the mean over several scorings if there are, and its interval by DeLong's variance on the logit scale.

    DeLong's variance is for the sampling of the scored examples, with the scores taken as given; what else varies
    comes in as `variance_factor`. Examples of one group come into the sample together (Obuchowski 1997): with G groups
    of several examples the variance is G / (G - 1) times as large, and the quantile Student's with G - 1 degrees of
    freedom. On the logit scale the interval stays inside (0, 1) and covers better near the ends (Qin & Hotilovac 2008).
    A perfect separation has variance 0 and no interval of that kind: there, with m groups in the smaller class, m
    disjoint pairs are all ordered rightly, and the exact binomial bound ((1 - level) / 2) ** (1 / m) is the end that is
    not 1. With a single group, or scores that are all the same, there is no interval.

    Parameters
    ----------
    scores
        Higher for the positive class; NaN for examples that a scoring leaves out.
    positive
        Which examples are of the positive class; both classes must occur in every scoring.
    group
        A number for each example; by default each stands alone.
    variance_factor
        What DeLong's variance is multiplied by; see `refitting_factor`.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson 1988.
    """
    groups = np.arange(scores.shape[-1]) if group is None else group
    each = scores.reshape(-1, scores.shape[-1])
    value, influence = auc_and_influence(each, positive, groups)
    if value in (0.0, 1.0):
        scored = np.isfinite(each).any(0)
        smaller = min(len(set(groups[scored & side].tolist())) for side in (positive, ~positive))
        bound = ((1 - LEVEL) / 2) ** (1 / smaller)
        return Interval(value, bound, 1.0) if value == 1.0 else Interval(value, 0.0, 1 - bound)
    return _logit_interval(value, _half_width(influence, variance_factor, scores=each, group=groups))


def auc_and_influence(
    scores: Float[np.ndarray, "seed example"],
    positive: Bool[np.ndarray, " example"],
    group: Int[np.ndarray, " example"],
) -> tuple[float, Float[np.ndarray, " group"]]:
    """The AUC, the mean over the scorings, and what each group adds to its deviation from what it is expected to be.

    The sum of the squares is DeLong's variance (over groups, Obuchowski's).
    """
    values, influences = zip(*[_auc_and_influence(row, positive) for row in scores], strict=True)
    return float(np.mean(values)), np.bincount(group, weights=np.mean(influences, axis=0))


def macro_auc_interval(
    scores: Float[np.ndarray, "class seed example"],
    positive: Bool[np.ndarray, "class example"],
    *,
    group: Int[np.ndarray, " example"],
    variance_factor: float = 1.0,
) -> Interval:
    """The mean over classes of the AUC that tells each from the rest, and its interval; as for `auc_interval`.

    What an example adds to the deviation of the mean is the mean of what it adds to that of each AUC, so that AUCs of
    the same examples may depend on each other in any way. Where all classes are told apart perfectly, the interval is
    that of the class that is in the fewest groups.
    """
    each = [auc_and_influence(of_class, those, group) for of_class, those in zip(scores, positive, strict=True)]
    value = float(np.mean([auc for auc, _ in each]))
    if value in (0.0, 1.0):
        perfect = [auc_interval(of_class, those, group=group) for of_class, those in zip(scores, positive, strict=True)]
        return max(perfect, key=lambda interval: interval.high - interval.low)
    influence = np.mean([of_groups for _, of_groups in each], axis=0)
    of_classes = scores.reshape(-1, scores.shape[-1])
    return _logit_interval(value, _half_width(influence, variance_factor, scores=of_classes, group=group))


def auc_difference(
    scores: Float[np.ndarray, "*seed example"],
    others: Float[np.ndarray, "*seed example"],
    positive: Bool[np.ndarray, " example"],
    *,
    group: Int[np.ndarray, " example"],
    variance_factor: float = 1.0,
) -> Interval:
    """The AUC of some scores minus that of others of the same examples, with DeLong's interval for such pairs.

    As for `auc_interval`, but on the scale of the difference itself.
    """
    n = scores.shape[-1]
    value, influence = auc_and_influence(scores.reshape(-1, n), positive, group)
    other, other_influence = auc_and_influence(others.reshape(-1, n), positive, group)
    half = _half_width(influence - other_influence, variance_factor, scores=scores.reshape(-1, n), group=group)
    return Interval(value - other, value - other - half, value - other + half)


def _half_width(
    influence: Float[np.ndarray, " group"],
    variance_factor: float,
    *,
    scores: Float[np.ndarray, "seed example"],
    group: Int[np.ndarray, " example"],
) -> float:
    """Half of the width of an interval, by what each group adds to a deviation; NaN if that cannot be known."""
    scored = np.isfinite(scores).any(0)
    n, n_groups = int(scored.sum()), len(set(group[scored].tolist()))
    variance = variance_factor * float((influence**2).sum())
    if n_groups < 2 or variance == 0:
        return math.nan
    if n_groups == n:
        return float(norm.ppf((1 + LEVEL) / 2)) * math.sqrt(variance)
    return float(t.ppf((1 + LEVEL) / 2, n_groups - 1)) * math.sqrt(variance * n_groups / (n_groups - 1))


def _logit_interval(value: float, half_width: float) -> Interval:
    """The interval with this half width where the AUC is, on the logit scale."""
    centre, half = math.log(value / (1 - value)), half_width / (value * (1 - value))
    return Interval(value, float(expit(centre - half)), float(expit(centre + half)))


def _auc_and_influence(
    scores: Float[np.ndarray, " example"], positive: Bool[np.ndarray, " example"]
) -> tuple[float, Float[np.ndarray, " example"]]:
    """The AUC, and what each example adds to its deviation: the sum of their squares is DeLong's variance."""
    scored = np.isfinite(scores)
    positives, negatives = scores[scored & positive], scores[scored & ~positive]
    if len(positives) == 0 or len(negatives) == 0:
        raise ValueError("both classes must occur")
    # Placement values: for each example, the share of the other class that it is ordered rightly against.
    of_positives, of_negatives = _share_below(positives, negatives), 1 - _share_below(negatives, positives)
    value = float(of_positives.mean())
    influence = np.zeros(len(scores))
    influence[scored & positive] = (of_positives - value) / _root_of_pairs(len(positives))
    influence[scored & ~positive] = (of_negatives - value) / _root_of_pairs(len(negatives))
    return value, influence


def _share_below(scores: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"]) -> Float[np.ndarray, " n"]:
    """For each score the share of the others that are below it; those that are equal count half."""
    in_order = np.sort(others)
    below, not_above = (np.searchsorted(in_order, scores, side) for side in ("left", "right"))
    return (below + not_above) / (2 * len(others))


def auc_above_chance(
    scores: Float[np.ndarray, "seed example"],
    positive: Bool[np.ndarray, " example"],
    group: Int[np.ndarray, " example"],
) -> tuple[float, Float[np.ndarray, " group"]]:
    """The AUC, the mean over the scorings, and what each group adds to it above .5: the sum is that.

    What `auc_and_influence` has says by how much a group is better or worse than the AUC that was found, and adds up to
    nothing. To it comes the group's share in the AUC itself, by how many of either class it has.
    """
    value, influence = auc_and_influence(scores, positive, group)
    shares = np.zeros((len(scores), len(positive)))
    for row, of_seed in zip(shares, scores, strict=True):
        for side in (positive, ~positive):
            scored = side & np.isfinite(of_seed)
            row[scored] = 1 / (2 * scored.sum())
    return value, influence + (value - 0.5) * np.bincount(group, weights=shares.mean(0))


def bootstrap_interval(
    scores: Float[np.ndarray, "seed example"],
    positive: Bool[np.ndarray, " example"],
    weights: Float[np.ndarray, "draw example"],
    *,
    variance_factor: float = 1.0,
) -> tuple[float, float]:
    """The ends between which the AUC lies in 95 % of draws of the examples; the scores are taken as given.

    What else varies comes in as `variance_factor`: on the logit scale, the ends are further from the AUC by its root. A
    perfect separation is one in every draw, which says nothing: its ends are NaN.

    Parameters
    ----------
    scores
        Higher for the positive class; NaN for examples that a scoring leaves out.
    positive
        Which examples are of the positive class.
    weights
        How often each draw has each example, as `interp.statistics.means.group_draws` gives them.
    variance_factor
        By how much the variance is larger than that of the draws.
    """
    ends = np.nanquantile(drawn_aucs(scores, positive, weights), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = np.mean([_auc_and_influence(row, positive)[0] for row in scores])
    if value in (0.0, 1.0):
        return math.nan, math.nan
    if variance_factor != 1.0:
        ends = expit(logit(value) + math.sqrt(variance_factor) * (logit(ends) - logit(value)))
    return float(ends[0]), float(ends[1])


def macro_bootstrap_interval(
    scores: Float[np.ndarray, "class seed example"],
    positive: Bool[np.ndarray, "class example"],
    weights: Float[np.ndarray, "draw example"],
) -> tuple[float, float]:
    """The ends between which the mean of the AUCs of classes lies in 95 % of draws; as for `bootstrap_interval`."""
    drawn = [drawn_aucs(of_class, those, weights) for of_class, those in zip(scores, positive, strict=True)]
    low, high = np.nanquantile(np.mean(drawn, axis=0), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def drawn_aucs(
    scores: Float[np.ndarray, "seed example"],
    positive: Bool[np.ndarray, " example"],
    weights: Float[np.ndarray, "draw example"],
) -> Float[np.ndarray, " draw"]:
    """The AUC in each draw, the mean over the scorings; NaN where a draw has one class only."""
    alike: dict[bytes, list[int]] = {}
    for seed, scored in enumerate(np.isfinite(scores)):
        alike.setdefault(scored.tobytes(), []).append(seed)
    means = [len(seeds) * _drawn_aucs_of_alike(scores[seeds], positive, weights) for seeds in alike.values()]
    return np.asarray(sum(means) / len(scores))


def _drawn_aucs_of_alike(
    scores: Float[np.ndarray, "seed example"],
    positive: Bool[np.ndarray, " example"],
    weights: Float[np.ndarray, "draw example"],
) -> Float[np.ndarray, " draw"]:
    """As `drawn_aucs`, of scorings of the same examples: how often each pair is ordered rightly is all that counts."""
    scored = np.isfinite(scores[0])
    above, below = scored & positive, scored & ~positive
    # 1 where a pair is ordered rightly, 0 where wrongly, .5 where tied.
    order = sum(np.sign(of_seed[above][:, None] - of_seed[below][None, :]) for of_seed in scores)
    rightly = ((order / len(scores) + 1) / 2).astype(np.float32)
    of_positive, of_negative = weights[:, above], weights[:, below]
    pairs = of_positive.sum(1) * of_negative.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return ((of_positive @ rightly) * of_negative).sum(1) / pairs


def refitting_factor(folds: int) -> float:
    """By how much fitting inflates the variance of an AUC over the folds that are scored: 1 + J · n₂ / n₁.

    Each fold is scored by another fit, and the fits share most of their examples, so that the folds' AUCs go up and
    down together. This is the correction of Nadeau & Bengio 2003 (Machine Learning 52, the corrected resampled
    t-test): with J folds of J, n₂/n₁ = 1 / (J - 1); with the one fold of a published split, 1/4. It errs on the safe
    side: intervals at 95 % cover 96 to 99 % with it and 80 to 93 % without it (``python -m benchmarks.intervals``).
    `interp.probes.halves` measures the factor of a map.
    """
    return 1 + folds / (folds - 1) if folds > 1 else 1.25


def _root_of_pairs(n: int) -> float:
    """Makes the sum of squares over a class the variance of its mean; a class of one has none."""
    return math.sqrt(n * (n - 1)) if n > 1 else math.inf
