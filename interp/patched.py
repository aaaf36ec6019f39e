"""What patches give: every reading of every pair, cell by cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float

Values = Float[np.ndarray, "reading pair unit position"]


@dataclass(frozen=True)
class PatchedPairs:
    """What every patch gives, pair by pair."""

    ids: tuple[str, ...]
    """Of the pairs."""
    values: Float[np.ndarray, "reading pair unit position"]
    """In the order of `interp.pair_runs.READINGS`; NaN where a cell is missing."""
    clean: Float[np.ndarray, "reading pair"]
    corrupt: Float[np.ndarray, "reading pair"]
    """Of the corrupted run; NaN for ablations, which have none."""
    is_after: Bool[np.ndarray, "pair position"]
    """Where a position is after the token that is read, in either run."""
    dropped: Counter[str] = field(default_factory=Counter)
    """How many pairs did not enter, by reason."""


def joined(parts: Sequence[PatchedPairs]) -> PatchedPairs:
    """Several of the same units and positions, one after the other."""
    return PatchedPairs(
        ids=tuple(each for part in parts for each in part.ids),
        values=np.concatenate([part.values for part in parts], axis=1),
        clean=np.concatenate([part.clean for part in parts], axis=1),
        corrupt=np.concatenate([part.corrupt for part in parts], axis=1),
        is_after=np.concatenate([part.is_after for part in parts]),
        dropped=sum((part.dropped for part in parts), Counter[str]()),
    )


def heads_as_columns(patched: PatchedPairs, n_heads: int) -> PatchedPairs:
    """The same with a row for each layer, and for each position a column for each head."""
    values = rearrange(
        patched.values, "reading pair (layer head) position -> reading pair layer (position head)", head=n_heads
    )
    return replace(patched, values=values, is_after=np.repeat(patched.is_after, n_heads, axis=1))
