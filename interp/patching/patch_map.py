"""Maps of patched pairs: the mean over pairs of what every patch gives, with its interval, and which cells do anything.

======================  ==============================================================================================
metric                  of each pair
======================  ==============================================================================================
``recovery``            how far the patch takes the score from that of the corrupted run, 0, to that of the clean one,
                        1 (Wang et al. 2023); values outside are as they are
``score``               the change of the score by the patch: such as the difference of the two answers' logits
``logprob``             the change of the clean answer's log-probability
``probability``         the change of its probability; of several draws of noise it is their geometric mean's
``kl``                  the change of the divergence of the clean run's distribution from the run's: below 0, the patch
                        brings it closer
======================  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.patching.pair_runs import READINGS
from interp.patching.patched_pairs import NoValue, PatchedPairs
from interp.results.example_values import MEAN, ExampleValues
from interp.results.heatmap import Heatmap
from interp.results.result import meanings_of
from interp.results.scales import Scale, centred_scale
from interp.statistics.means import (
    drawn_means,
    group_draws,
    groups_of_cells,
    mean_of_examples,
    median_of_examples,
    percentile_interval,
)
from interp.statistics.permutations import FAMILY_WISE_ERROR

METRICS = ("recovery", "score", "logprob", "probability", "kl")
MIN_PAIRS = 8
"""Over fewer pairs a cell of a data set has no value."""


class Effects(NamedTuple):
    """A metric of every pair, and what it is of a run that is not patched."""

    values: Float[np.ndarray, "pair layer position"]
    unpatched: float
    words: str

    @property
    def is_recovery(self) -> bool:
        """Whether 0 is the corrupted run and 1 the clean one."""
        return self.words.startswith("Recovery")


def effects_of(patched: PatchedPairs, metric: str, *, receives_clean: bool, of_score: str) -> Effects:
    """A metric of every pair.

    Parameters
    ----------
    patched
        What every patch gives.
    metric
        One of `METRICS`.
    receives_clean
        Whether it is the clean run that is patched.
    of_score
        What the score is, in words, such as ``"logit difference"``.
    """
    score, logprob, _ = patched.values
    clean, corrupt = patched.clean[:, :, None, None], patched.corrupt[:, :, None, None]
    own = clean if receives_clean else corrupt
    if metric == "recovery":
        # Between runs that do not differ there is nothing to recover: missing, not infinite.
        gap = np.where(clean[0] == corrupt[0], np.nan, clean[0] - corrupt[0])
        return Effects((score - corrupt[0]) / gap, float(receives_clean), f"Recovery of {of_score}")
    if metric == "probability":
        return Effects(np.exp(logprob) - np.exp(own[1]), 0.0, "Change in probability of the clean answer")
    words = {
        "score": of_score,
        "logprob": "log-probability of the clean answer",
        "kl": "divergence from the clean run, nats",
    }
    row = READINGS.index(metric)
    return Effects(patched.values[row] - own[row], 0.0, f"Change in {words[metric]}")


def patch_map(
    patched: PatchedPairs,
    effects: Effects,
    *,
    layers: list[int],
    positions: list[str],
    draws: int,
    seed: int,
    groups: Sequence[str] | None = None,
) -> Heatmap:
    """The mean over pairs of every cell.

    Parameters
    ----------
    patched
        What every patch gives.
    effects
        What is drawn of it.
    layers, positions
        Of the rows and the columns.
    draws
        Bootstrap samples of the pairs, and sign flips of what they add.
    seed
        Decides them.
    groups
        What each pair is drawn together with; by default it stands alone.

    Returns
    -------
    Heatmap
        ``value`` is the mean, ``low`` and ``high`` its 95 % interval over bootstrap samples of the pairs (the same for
        all cells; percentiles, of few pairs farther out). Also ``median``; of recovery ``over_half``, the share of
        pairs whose value is past half-way from the unpatched run to the other; ``peak``, the share of pairs whose
        largest effect in a column is at that layer; ``p`` and ``p_corrected``, how likely a mean so far from the
        unpatched value is by chance, of the cell alone and of any cell of the map; ``marked``, where the latter is at
        most .05; ``why_missing``, a code of `interp.patching.patched_pairs.NoValue`.
    """
    values, rng = effects.values, np.random.default_rng(seed)
    n = np.isfinite(values).sum(0)
    enough = n >= MIN_PAIRS
    kept = np.where(enough, values, np.nan)
    group = _numbers_in_order(range(len(kept)) if groups is None else groups)
    drawn = drawn_means(kept, group_draws(group, draws, rng))
    low, high = percentile_interval(drawn, groups_of_cells(kept, group))
    p, corrected = sign_flip_p_values(kept - effects.unpatched, draws=draws, rng=rng, group=group)
    return Heatmap.of(
        (mean_of_examples(kept), low, high, n),
        names=(layers, positions),
        kind="patch",
        metric=f"{effects.words}, mean",
        scale=symmetric_scale(mean_of_examples(kept), effects),
        extra={
            "median": median_of_examples(kept),
            **past_half_way(effects, kept),
            "peak": peak_shares(kept - effects.unpatched),
            "p": p,
            "p_corrected": corrected,
            "marked": (corrected <= FAMILY_WISE_ERROR).astype(np.int8),
            "why_missing": why_missing(patched, n),
        },
        attributes={
            "unpatched": effects.unpatched,
            "mark": f"other than unpatched ({draws} sign flips, family-wise error {100 * FAMILY_WISE_ERROR:g} %)",
            **meanings_of(NoValue),
        },
    )


def pair_examples(
    effects: Effects, ids: Sequence[str], groups: Sequence[str], *, layers: list[int], positions: list[str]
) -> ExampleValues:
    """What every pair gives in every cell, of pairs whose questions are of these groups."""
    values = effects.values[None]
    return ExampleValues(values, MEAN, tuple(ids), tuple(groups), tuple(layers), tuple(positions))


def pair_map(patched: PatchedPairs, effects: Effects, *, layers: list[int], positions: list[str]) -> Heatmap:
    """The map of a single pair: what every patch gives, without intervals."""
    value = effects.values[0]
    unknown = np.full_like(value, np.nan)
    n = np.isfinite(value).astype(np.int64)
    return Heatmap.of(
        (value, unknown, unknown, n),
        names=(layers, positions),
        kind="patch",
        metric=effects.words,
        scale=symmetric_scale(value, effects),
        extra={"why_missing": np.where(n > 0, NoValue.HAS_VALUE, why_missing(patched, n)).astype(np.int8)},
        attributes={"unpatched": effects.unpatched, **meanings_of(NoValue)},
    )


def sign_flip_p_values(
    effects: Float[np.ndarray, "pair layer position"],
    *,
    draws: int,
    rng: np.random.Generator,
    group: Int[np.ndarray, " pair"] | None = None,
) -> tuple[Float[np.ndarray, "layer position"], Float[np.ndarray, "layer position"]]:
    """How likely a mean so far from 0 is by chance: of each cell alone, and of any cell of the map.

    Each pair's effects have their signs drawn anew, the same sign for all of its cells and for all pairs of its group,
    which keeps how these go together; for each draw the largest mean of the map is taken (max-statistic; Nichols &
    Holmes 2002), step by step: a cell is held against the cells whose mean is not larger than its own (Westfall & Young
    1993, algorithm 4.1), since those that restore everything have the largest flipped means too, and would hide all
    that restores a fifth. Means are not divided by their errors: all cells are in one unit, and one that does next to
    nothing, but in every pair alike, should not stand out.
    """
    flat = effects.reshape(len(effects), -1)
    known = np.isfinite(flat)
    part = np.where(known, flat, 0.0) / np.maximum(known.sum(0), 1)
    found = np.abs(part.sum(0))
    group = np.arange(len(effects)) if group is None else group
    drawn = np.abs(rng.choice([-1.0, 1.0], size=(draws, group.max() + 1))[:, group] @ part)
    rounding = 1e-9 * found.max(initial=0.0)  # By which the same sum in another order may differ.
    p = (1 + (drawn >= found - rounding).sum(0)) / (1 + draws)
    order = np.argsort(-found)
    largest_from_here_on = np.maximum.accumulate(drawn[:, order[::-1]], axis=1)[:, ::-1]
    stepwise = (1 + (largest_from_here_on >= found[order] - rounding).sum(0)) / (1 + draws)
    corrected: np.ndarray = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(stepwise)
    p, corrected = (np.where(known.any(0), each, np.nan).reshape(effects.shape[1:]) for each in (p, corrected))
    return p, corrected


def _numbers_in_order(names: Iterable[object]) -> Int[np.ndarray, " pair"]:
    """A number for each name, in the order in which they come."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def peak_shares(effects: Float[np.ndarray, "pair layer position"]) -> Float[np.ndarray, "layer position"]:
    """In which share of the pairs that have an effect in a column it is largest at each layer."""
    filled = np.where(np.isfinite(effects), np.abs(effects), -np.inf)
    has_effect = filled.max(1) > 0
    peaks = (filled.argmax(1)[:, None] == np.arange(effects.shape[1])[:, None]) & has_effect[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return peaks.sum(0) / has_effect.sum(0)


def past_half_way(
    effects: Effects, kept: Float[np.ndarray, "pair layer position"]
) -> dict[str, Float[np.ndarray, "layer position"]]:
    """Of recovery the share of the pairs that are nearer to the run the patch is from; no other metric has a half."""
    if not effects.is_recovery:
        return {}
    other = 1 - effects.unpatched
    return {"over_half": _share(kept > 0.5 if other else kept < 0.5, kept)}


def symmetric_scale(value: Float[np.ndarray, "layer position"], effects: Effects) -> Scale:
    """A scale around the unpatched value: of 1 to both sides for recovery, else as far as the values go."""
    if effects.is_recovery:
        return Scale(effects.unpatched - 1, effects.unpatched + 1, centre=effects.unpatched)
    return centred_scale(value, effects.unpatched)


def why_missing(patched: PatchedPairs, n: Int[np.ndarray, "layer position"]) -> Int[np.ndarray, "layer position"]:
    """For each cell a code of `NoValue`: where no pair has a value, that of most of those that have the position."""
    counts = np.stack([(patched.why_missing == code).sum(0) for code in NoValue])
    counts[NoValue.NO_PAIR_HAS_THE_POSITION] = 0
    none = np.where(counts.any(0), counts.argmax(0), NoValue.NO_PAIR_HAS_THE_POSITION)
    none = np.where(none == NoValue.HAS_VALUE, NoValue.NOTHING_TO_RECOVER, none)
    codes = np.where(n >= MIN_PAIRS, NoValue.HAS_VALUE, np.where(n > 0, NoValue.TOO_FEW_PAIRS, none))
    return codes.astype(np.int8)


def _share(
    holds: Bool[np.ndarray, "pair layer position"], values: Float[np.ndarray, "pair layer position"]
) -> Float[np.ndarray, "layer position"]:
    return mean_of_examples(np.where(np.isfinite(values), holds.astype(np.float64), np.nan))
