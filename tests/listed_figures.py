"""A small folder of results with a list of paper figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from interp.results.scales import Scale
from tests.unit.test_forest import estimates_of
from tests.unit.test_heatmap import heatmap_of

LIST = """
[[figure]]
name = "paper/first"
width = "neurips"
panels = [["tiny/probe.nc", { result = "tiny/patch.nc", title = "Patched" }]]
formats = ["pdf", "png", "svg"]
"""


def save_results(folder: Path, listed: str = LIST) -> None:
    """A map, one with a centre, and estimates that are drawn beside the first."""
    value = np.linspace(0.4, 0.9, 12).reshape(4, 3)
    heatmap_of(value).save(folder / "tiny" / "probe.nc")
    heatmap_of(value - 0.65, scale=Scale(-0.3, 0.3, centre=0.0)).save(folder / "tiny" / "patch.nc")
    estimates_of([0.6, 0.7], beside="probe.nc").save(folder / "tiny" / "baselines.nc")
    (folder / "figures.toml").write_text(listed)
