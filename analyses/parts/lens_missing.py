"""What interp lens has no values for: tokens that answers do not have, and maps without any value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from interp.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from interp.results.heatmap import Heatmap

UNTOLD = "without_token"
"""The attribute of what was read that says how many answers have no token to ask about, and why."""


def require_targets(quantities: Sequence[str], values: xr.Dataset) -> None:
    """Raise an `InputError` for quantities of a token that no answer has."""
    from interp.models.logit_readings import UNASKED

    for quantity in quantities:
        target = target_of(quantity)
        if target in values["target"] and bool((values["rank"].sel(target=target) == UNASKED).all()):
            reasons = ", ".join(dict.fromkeys(why for each in untold(values, target) for why in each)) or "no position"
            raise InputError(
                f"{quantity} is of a token that no answer has at any position ({reasons.replace('_', ' ')}); leave it "
                "out of --quantities"
            )


def missing_of(record: Mapping[str, str], values: xr.Dataset, quantity: str) -> str:
    """How many answers a column lacks, by reason: for want of the position, or of the token that is asked about."""
    missing: dict[str, dict[str, int]] = json.loads(record["missing"])
    for position, reasons in zip(values["position"].values, untold(values, target_of(quantity)), strict=False):
        for why, n in reasons.items():
            of_position = missing.setdefault(str(position), {})
            of_position[why] = of_position.get(why, 0) + n
    return json.dumps(missing)


def untold(values: xr.Dataset, target: str) -> list[dict[str, int]]:
    """Of each position how many answers have no token of a target there, by reason; empty where that is not known."""
    return json.loads(values.attrs.get(UNTOLD, "{}")).get(target, [])


def target_of(quantity: str) -> str:
    """The token that a quantity is of; of another quantity, what is no target."""
    return quantity.partition("-")[0]


def left_out(maps: Mapping[str, Heatmap]) -> list[str]:
    """What maps do not show, in a line each: answers whose correct answer cannot be spelt, and maps without a value."""
    unspelt = max((n_unspelt(heatmap) for heatmap in maps.values()), default=0)
    lines = [f"left out of gold-*: {unspelt} answers, where the correct answer cannot be spelt"] if unspelt else []
    for name, heatmap in maps.items():
        if bool(heatmap.data["value"].isnull().all()):
            lines.append(
                f"{name}: no cell has a value, {', '.join(f'{why} ({n})' for why, n in heatmap.missing.items())}"
            )
    return lines


def n_unspelt(heatmap: Heatmap) -> int:
    """How many answers a map lacks since the correct answer cannot be spelt in the exact answer's place."""
    reasons = json.loads(heatmap.data.attrs.get("missing", "{}")).values()
    return max((each.get("gold_cannot_be_spelt", 0) for each in reasons), default=0)
