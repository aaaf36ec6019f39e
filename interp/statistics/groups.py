"""Groups of examples: numbers for their names, and which groups are tied to each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int


def numbered(names: Sequence[str]) -> Int[np.ndarray, " example"]:
    """A number for the name of each example's group, the same for the same name."""
    return np.unique(np.array(list(names), dtype=str), return_inverse=True)[1].reshape(-1).astype(np.int64)


def connected(these: Int[np.ndarray, " example"], those: Int[np.ndarray, " example"]) -> Int[np.ndarray, " example"]:
    """One number for all examples that are tied, directly or through others, by either number."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_these, size = these.max() + 1, these.max() + those.max() + 2
    ties = coo_array((np.ones(len(these)), (these, n_these + those)), shape=(size, size))
    _, component = connected_components(ties, directed=False)
    return np.asarray(component[these], dtype=np.int64)
