"""How good lenses are: the divergence of what they read from the model's own output, on text that is held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from interp.results.heatmap import DRAWN_AS, LINES, Heatmap
from interp.results.scales import log_scale
from interp.statistics.groups import numbered
from interp.statistics.means import group_draws, percentile_interval

DRAWS = 2_000
METRIC = "KL divergence of the lens from the model's output, nats (mean over held-out tokens)"


def held_out_map(
    sums: Mapping[str, Float[np.ndarray, "shallower sequence"]],
    n_tokens: Int[np.ndarray, " sequence"],
    groups: Sequence[str],
) -> Heatmap:
    """The mean over tokens for each lens and layer, with its interval over groups of sequences.

    Parameters
    ----------
    sums
        For each lens, by name, the divergence of every layer but the last, summed over the tokens of each sequence.
    n_tokens
        How many these are.
    groups
        What each sequence belongs to; groups are drawn whole by the bootstrap, the same for all lenses and layers.
    """
    times = group_draws(numbered(groups), DRAWS, np.random.default_rng(0)).astype(np.float64)
    drawn_tokens = (times @ n_tokens)[:, None]
    value = np.stack([of_lens.sum(1) for of_lens in sums.values()], axis=1) / n_tokens.sum()
    ends = [percentile_interval(times @ of_lens.T / drawn_tokens) for of_lens in sums.values()]
    low, high = (np.stack(each, axis=1) for each in zip(*ends, strict=True))
    return Heatmap.of(
        (value, low, high, np.full(value.shape, len(n_tokens), dtype=np.int64)),
        names=(range(len(value)), sums),
        kind="lens quality",
        metric=METRIC,
        scale=log_scale(value[np.isfinite(value)]),
        attributes={DRAWN_AS: LINES, "n_tokens": int(n_tokens.sum())},
    )
