"""Maps that are compared: of examples that scatter around them, or without any."""

from __future__ import annotations

import numpy as np

from interp.comparisons.compare import Operand, compared
from interp.results.comparison import Comparison
from interp.results.example_values import MEAN, ExampleValues
from interp.results.heatmap import Heatmap
from interp.results.scales import Scale

LAYERS, POSITIONS, N = 12, [f"p{number}" for number in range(6)], 40
RECORD = {"revision": "r", "policy": "strict", "identity": '{"questions": "q", "n": 40}'}


def operand(
    name: str,
    values: np.ndarray,
    *,
    examples: bool = True,
    scale: Scale | None = None,
    positions: list[str] | None = None,
    prefix: str = "q",
    **attributes: str,
) -> Operand:
    """A map, the mean of examples that scatter around it."""
    rng = np.random.default_rng(len(name))
    columns = positions or POSITIONS[: values.shape[1]]
    of = None
    if examples:
        noise = rng.normal(size=(1, N, *values.shape))
        ids = tuple(f"{prefix}{number}" for number in range(N))
        drawn = values + noise - noise.mean(1, keepdims=True)
        of = ExampleValues(drawn, MEAN, ids, ids, tuple(range(len(values))), tuple(columns))
    unknown = np.full_like(values, np.nan)
    heatmap = Heatmap.of(
        (values, unknown, unknown, np.where(np.isfinite(values), N, 0)),
        names=(range(len(values)), columns),
        kind="probe",
        metric=f"value of {name}",
        scale=scale or Scale(-5.0, 5.0),
        attributes=RECORD | attributes,
    )
    return Operand(name, heatmap, of)


def drawn(seed: int = 0, n_layers: int = LAYERS) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_layers, len(POSITIONS))).cumsum(0) / 2


def compare(*operands: Operand, by_depth: bool = False) -> Comparison:
    return compared(operands, by_depth=by_depth, draws=40)
