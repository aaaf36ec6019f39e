"""Layers of models that do not have as many: matched by how deep they are, from the first, 0, to the last, 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from interp.errors import InputError


def depths(layers: Sequence[int]) -> Float[np.ndarray, " layer"]:
    """How deep each of a model's layers is; the last of them is taken for the model's last.

    Raises
    ------
    InputError
        If there are fewer than two.
    """
    if len(layers) < 2:
        raise InputError("layers are matched by relative depth, and a map of one layer has none; leave it out")
    numbers = np.array(layers, dtype=np.float64)
    return numbers / numbers[-1]


def at_depths(
    values: Float[np.ndarray, "*draw layer position"],
    layers: Sequence[int],
    wanted: Float[np.ndarray, " depth"],
) -> Float[np.ndarray, "*draw depth position"]:
    """The values at other depths, by linear interpolation between the two layers around each.

    What lies between a value and a missing one is missing, and so is what is above the first layer.
    """
    own = depths(layers)
    upper = np.clip(np.searchsorted(own, wanted - 1e-12), 1, len(own) - 1)
    share = (wanted - own[upper - 1]) / (own[upper] - own[upper - 1])
    # Rounding is no interpolation: a depth that both have takes the value of that layer alone.
    share = np.where(np.abs(share - share.round()) < 1e-9, share.round(), share)[:, None]
    below, above = values[..., upper - 1, :], values[..., upper, :]
    between = np.where(share == 0, below, np.where(share == 1, above, (1 - share) * below + share * above))
    return np.where((share >= 0) & (share <= 1), between, np.nan)
