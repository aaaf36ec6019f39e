"""Maps of direct logit attribution: means over examples of what attention and MLPs write towards the answer."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from interp.lenses.direct_attribution import Contributions
from interp.results.heatmap import Heatmap
from interp.results.result import meanings_of
from interp.results.scales import centred_scale
from interp.statistics.means import drawn_means, group_draws, mean_of_examples, percentile_interval

WRITERS = {"attn": "attention", "mlp": "the MLP"}
"""What writes to the stream, by what its map is called."""
FOIL_WORDS = {"mean": "the mean of the other answers'", "gold": "that of the correct answer's"}
"""What the logit of the answer's first token is less, by foil."""
DIFFERENCE = "logit difference"
MIN_EXAMPLES = 8
"""Over fewer examples a cell has no value."""


class NoValue(IntEnum):
    """Why a cell has no value."""

    HAS_VALUE = 0
    NO_EXAMPLE = 1
    TOO_FEW_EXAMPLES = 2
    ACTIVATIONS_NOT_FINITE = 3


class Means(NamedTuple):
    """Means over examples, with the ends of their intervals."""

    value: Float[np.ndarray, "row position"]
    low: Float[np.ndarray, "row position"]
    high: Float[np.ndarray, "row position"]

    def rows(self, start: int, stop: int) -> Means:
        """Those of some of the rows."""
        return Means(*(each[start:stop] for each in self))


def attribution_maps(
    found: Contributions,
    mask: Bool[np.ndarray, "example position"],
    group: Int[np.ndarray, " example"],
    *,
    positions: Sequence[str],
    foil: str,
    draws: int,
    seed: int,
) -> dict[str, Heatmap]:
    """The maps of attention and of the MLPs, by the names of `WRITERS`, on one scale.

    Parameters
    ----------
    found
        What every part contributes.
    mask
        Which examples have which position.
    group
        A number for each example; those of one group are drawn together.
    positions
        Names of the columns.
    foil
        One of `interp.lenses.logit_contrasts.FOILS`.
    draws
        Bootstrap samples of the groups.
    seed
        Decides them.

    Returns
    -------
    dict
        In each map ``value`` is the mean, ``low`` and ``high`` its 95 % interval (percentiles over the same bootstrap
        samples for all cells). Both have also ``parts``, on (part, position): the mean logit difference and what the
        embedding, all attention, all MLPs and the constants contribute to it, with ``parts_low`` and ``parts_high``.
    """
    why = why_missing(np.isfinite(found.difference), mask)
    n_layers = found.mlp.shape[1]
    parts = {DIFFERENCE: found.difference} | found.parts
    values = np.concatenate([found.attention, found.mlp, np.stack(list(parts.values()), axis=1)], axis=1)
    means = means_of(np.where(why == NoValue.HAS_VALUE, values, np.nan), group, draws=draws, seed=seed)
    of_writers = {"attn": means.rows(0, n_layers), "mlp": means.rows(n_layers, 2 * n_layers)}
    of_parts = _of_parts(list(parts), means.rows(2 * n_layers, len(means.value)))
    drawn = means.value[: 2 * n_layers]
    n = np.broadcast_to(mask.sum(0), (n_layers, len(positions))).astype(np.int64)
    return {
        name: Heatmap.of(
            (each.value, each.low, each.high, n),
            names=(range(len(each.value)), positions),
            kind="attribution",
            metric=f"Mean contribution of {WRITERS[name]} to the answer's logit less {FOIL_WORDS[foil]}, logits",
            scale=centred_scale(drawn, 0.0),
            extra={"why_missing": np.broadcast_to(why, n.shape)} | of_parts,
            attributes=meanings_of(NoValue),
        )
        for name, each in of_writers.items()
    }


def means_of(
    values: Float[np.ndarray, "example row position"], group: Int[np.ndarray, " example"], *, draws: int, seed: int
) -> Means:
    """The means of values over examples, and their intervals over bootstrap samples of the groups."""
    times = group_draws(group, draws, np.random.default_rng(seed))
    low, high = percentile_interval(drawn_means(values, times))
    return Means(mean_of_examples(values), low, high)


def why_missing(
    finite: Bool[np.ndarray, "example position"], mask: Bool[np.ndarray, "example position"]
) -> Int[np.ndarray, " position"]:
    """For each position a code of `NoValue`."""
    n = mask.sum(0)
    few = np.where(n > 0, NoValue.TOO_FEW_EXAMPLES, NoValue.NO_EXAMPLE)
    codes = np.where(n >= MIN_EXAMPLES, NoValue.HAS_VALUE, few)
    return np.where((mask & ~finite).any(0), NoValue.ACTIVATIONS_NOT_FINITE, codes).astype(np.int8)


def _of_parts(names: Sequence[str], means: Means) -> dict[str, xr.DataArray]:
    """The means of the parts as variables of a map."""
    return {
        variable: xr.DataArray(each, dims=("part", "position"), coords={"part": list(names)})
        for variable, each in zip(("parts", "parts_low", "parts_high"), means, strict=True)
    }
