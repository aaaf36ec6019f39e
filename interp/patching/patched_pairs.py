"""What patches give: every reading of every pair, cell by cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
from einops import rearrange
from jaxtyping import Float, Int

Values = Float[np.ndarray, "reading pair unit position"]
Reasons = Int[np.ndarray, "pair unit position"]


class NoValue(IntEnum):
    """Why there is no value: in a cell of a map, or of a single pair."""

    HAS_VALUE = 0
    AFTER_THE_READ_OUT = 1
    NO_PAIR_HAS_THE_POSITION = 2
    TOO_FEW_PAIRS = 3
    CLEAN_AND_CORRUPT_ARE_THE_SAME = 4
    """What would be put in is what is there already."""
    CANNOT_REACH_THE_READ_OUT = 5
    """Nothing goes from there to the token that is read: it is another token's, after the last attention."""
    NOTHING_TO_RECOVER = 6
    """The two runs read the same."""


@dataclass(frozen=True)
class PatchedPairs:
    """What every patch gives, pair by pair."""

    ids: tuple[str, ...]
    """Of the pairs."""
    values: Float[np.ndarray, "reading pair unit position"]
    """In the order of `interp.patching.pair_runs.READINGS`; NaN where a cell is missing."""
    clean: Float[np.ndarray, "reading pair"]
    corrupt: Float[np.ndarray, "reading pair"]
    """Of the corrupted run; NaN for ablations, which have none."""
    why_missing: Int[np.ndarray, "pair unit position"]
    """For each cell a code of `NoValue`."""
    dropped: Counter[str] = field(default_factory=Counter)
    """How many pairs did not enter, by reason."""


def joined(parts: Sequence[PatchedPairs]) -> PatchedPairs:
    """Several of the same units and positions, one after the other."""
    return PatchedPairs(
        ids=tuple(each for part in parts for each in part.ids),
        values=np.concatenate([part.values for part in parts], axis=1),
        clean=np.concatenate([part.clean for part in parts], axis=1),
        corrupt=np.concatenate([part.corrupt for part in parts], axis=1),
        why_missing=np.concatenate([part.why_missing for part in parts]),
        dropped=sum((part.dropped for part in parts), Counter[str]()),
    )


def heads_as_columns(patched: PatchedPairs, n_heads: int) -> PatchedPairs:
    """The same with a row for each layer, and for each position a column for each head."""
    values, why_missing = (
        rearrange(each, "... (layer head) position -> ... layer (position head)", head=n_heads)
        for each in (patched.values, patched.why_missing)
    )
    return replace(patched, values=values, why_missing=why_missing)
