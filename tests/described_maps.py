"""Maps of the kinds that are described, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from interp.results.heatmap import Heatmap
from interp.results.scales import Scale

MEANINGS = "has_value no_example too_few_examples"


def map_of(
    value: np.ndarray,
    half: float | np.ndarray = 0.02,
    *,
    names: Sequence[str] = (),
    metric: str = "AUC of error detection",
    scale: Scale | tuple[float, float] = (0.5, 1.0),
    marked: np.ndarray | None = None,
    mark: str = "above chance (8 permutations)",
    layers: Sequence[int] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Heatmap:
    """A map whose intervals reach as far as `half` to both sides; NaN for none."""
    missing = np.isnan(value)
    extra: dict[str, Any] = {"why_missing": np.where(missing, 2, 0).astype(np.int8)}
    extra |= {} if marked is None else {"marked": marked.astype(np.int8)}
    return Heatmap.of(
        (value, value - half, value + half, np.where(missing, 3, 100)),
        names=(layers or range(len(value)), list(names) or [f"column {place}" for place in range(value.shape[1])]),
        kind="probe",
        metric=metric,
        scale=scale,
        extra=extra,
        attributes={"model": "tiny", "dataset": "cities", "site": "resid_post", "why_missing_meanings": MEANINGS}
        | ({} if marked is None else {"mark": mark})
        | dict(attributes or {}),
    )


def random_map(seed: int, shape: tuple[int, int] = (6, 4), missing: float = 0.2, **options: Any) -> Heatmap:
    """A map of values in no order, some of them missing; of 1,024ths, which add up without rounding."""
    rng = np.random.default_rng(seed)
    value, half = rng.integers(400, 900, shape) / 1024, rng.integers(1, 100, shape) / 1024
    value[rng.random(shape) < missing] = np.nan
    return map_of(value, half, marked=rng.random(shape) < 0.3, **options)
