"""What interp lens prints below its tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from interp.heatmap import Heatmap


def left_out(maps: Mapping[str, Heatmap]) -> list[str]:
    """What maps do not show, in a line each: answers whose correct answer cannot be spelt, and maps without a value."""
    unspelt = max((n_unspelt(heatmap) for heatmap in maps.values()), default=0)
    lines = [f"left out of gold-*: {unspelt} answers, where the correct answer cannot be spelt"] if unspelt else []
    for name, heatmap in maps.items():
        if np.isnan(heatmap.data["value"].values).all():
            lines.append(
                f"{name}: no cell has a value, {', '.join(f'{why} ({n})' for why, n in heatmap.missing.items())}"
            )
    return lines


def n_unspelt(heatmap: Heatmap) -> int:
    """How many answers a map lacks since the correct answer cannot be spelt in the exact answer's place."""
    reasons = json.loads(heatmap.data.attrs.get("missing", "{}")).values()
    return max((each.get("gold_cannot_be_spelt", 0) for each in reasons), default=0)
