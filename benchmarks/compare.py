"""How often two maps are said to be related, and how often intervals of their correlation hold it.

Simulated maps are smooth along the layers, their columns differ in height, and neighbouring columns may be alike. Of
two that are drawn independently the test of `interp.comparisons.map_agreement` should find 5 % related; the peer is the
p-value that comes with a Spearman correlation, for which cells are independent observations. Where the columns of both
maps go in the same groups, the test finds more: to it that is something that the maps have in common. Of two that share
half of their variance, or of which one is the other three layers later, a test should find as many as it can. The
interval of the correlation, over all cells, across the layers of a column, and of the means over columns and over
layers, should hold that of the maps of all examples in 95 % of the draws of examples; the peer is the percentiles of
the same draws.

    python -m benchmarks.compare --pairs 400
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import tyro

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


@dataclass(frozen=True)
class Config:
    """Errors and power of the test, and coverage of the interval, by simulation."""

    pairs: int = 400
    """Pairs of maps of each case."""
    layers: int = 30
    """Rows of a map."""
    columns: int = 15
    """Columns of a map."""
    examples: int = 200
    """Behind a map, where examples are drawn."""
    draws: int = 200
    """Bootstrap draws of these."""
    seed: int = 0
    """Decides everything."""


class Form(NamedTuple):
    """What simulated maps are like."""

    smoothness: float
    """Deviation of the Gaussian, in layers, that their noise is smoothed by."""
    columns: float
    """Deviation of the heights of their columns; that of the smoothed noise is 1."""
    alike: float = 0.0
    """Correlation of neighbouring columns, or of those of a group."""
    groups: int = 0
    """In so many groups of neighbours go the columns, which are the same in both maps; 0: in none."""


FORMS = {
    "rough": Form(0.5, 0.0),
    "smooth": Form(3.0, 0.0),
    "smooth, columns differ": Form(3.0, 1.0),
    "very smooth, columns differ": Form(6.0, 2.0),
    "smooth, neighbours alike": Form(3.0, 1.0, alike=0.8),
    "smooth, columns in groups": Form(3.0, 1.0, alike=0.9, groups=4),
}
RELATIONS = ("independent", "half shared", "shifted by 3", "the same")
LATER = 3
"""By so many layers the second map is the first one, where it is shifted."""
LEVEL = 0.05
KINDS = ("all cells", "each column", "columns", "layers")
"""Of correlations: over all cells, across the layers of a column, the mean of these, and that across columns."""
NOISE = (2.0, 8.0)
"""Deviations of an example's value in a cell; that of the cells of the map of all examples is 1 or more."""


def main(config: Config) -> int:
    """Simulate, print tables, and one JSON object as the last line."""
    told = {"benchmark": "compare", "pairs": config.pairs, "rejected": rejections(config), "coverage": coverage(config)}
    print(json.dumps(told))
    return 0


def rejections(config: Config) -> dict[str, dict[str, list[float]]]:
    """By form and relation: how often the test, and its peer, find two maps related."""
    print(
        f"share of {config.pairs} pairs of maps that are found related at {LEVEL}: by the test (by Spearman's p-value)"
    )
    print(f"{'':30}" + "".join(f"{relation:>18}" for relation in RELATIONS))
    found: dict[str, dict[str, list[float]]] = {}
    for name, form in FORMS.items():
        found[name] = {relation: rejected(config, form, relation) for relation in RELATIONS}
        cells = [f"{test:.3f} ({peer:.3f})" for test, peer in found[name].values()]
        print(f"{name:30}" + "".join(f"{cell:>18}" for cell in cells), flush=True)
    return found


def rejected(config: Config, form: Form, relation: str) -> list[float]:
    """How often the test, and its peer, find two maps of a form related."""
    import numpy as np
    from scipy.stats import spearmanr

    from interp.comparisons.map_agreement import shift_test

    rng = np.random.default_rng(config.seed)
    p_values = []
    for _ in range(config.pairs):
        first, second = related_maps(form, relation, (config.layers, config.columns), rng)
        peer = spearmanr(first.ravel(), second.ravel()).pvalue
        p_values.append((shift_test(first, second).p, peer))
    return [float(share) for share in (np.array(p_values) <= LEVEL).mean(0)]


def related_maps(
    form: Form, relation: str, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two maps (layer × column) of a form, in one of `RELATIONS`."""
    if relation == "shifted by 3":
        longer = simulated_map(form, (shape[0] + LATER, shape[1]), rng)
        return longer[LATER:], longer[:-LATER]
    first, second, both = (simulated_map(form, shape, rng) for _ in range(3))
    if relation == "half shared":
        return first + both, second + both
    return (first, first) if relation == "the same" else (first, second)


def simulated_map(form: Form, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A map (layer × column): noise that is smoothed along the layers, on columns of different height.

    Both are correlated between columns as the form says.
    """
    import numpy as np
    from scipy.ndimage import gaussian_filter1d

    # Cut out of a longer map: its ends are as free as its middle, and do not go over into each other.
    margin = int(4 * form.smoothness)
    noise = gaussian_filter1d(rng.normal(size=(shape[0] + 2 * margin, shape[1])), form.smoothness, axis=0)
    noise = noise[margin : margin + shape[0]] * np.sqrt(2 * np.sqrt(np.pi) * form.smoothness)
    correlated = np.linalg.cholesky(column_correlation(form, shape[1])).T
    smoothed: np.ndarray = (noise + form.columns * rng.normal(size=shape[1])) @ correlated
    return smoothed


def column_correlation(form: Form, n_columns: int) -> np.ndarray:
    """How alike the columns of a form are: neighbours ever less with their distance, or those of a group."""
    import numpy as np

    place = np.arange(n_columns)
    if form.groups:
        group = place * form.groups // n_columns
        together: np.ndarray = form.alike * (group[:, None] == group)
        return together + (1 - form.alike) * np.eye(n_columns)
    return form.alike ** np.abs(place[:, None] - place) if form.alike else np.eye(n_columns)


def coverage(config: Config) -> dict[str, dict[str, dict[str, list[float]]]]:
    """By form, noise and kind: how often the interval, and its peer, hold the correlation of maps of all examples."""
    print(
        f"\nshare of {config.pairs} draws of {config.examples} examples whose interval holds the correlation "
        "(of which percentiles do)"
    )
    print(f"{'':42}" + "".join(f"{kind:>18}" for kind in KINDS))
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name, form in FORMS.items():
        found[name] = {}
        for noise in NOISE:
            found[name][f"{noise:g}"] = held = covered(config, form, noise)
            cells = [f"{ours:.3f} ({peer:.3f})" for ours, peer in held.values()]
            print(f"{name + f', noise {noise:g}':42}" + "".join(f"{cell:>18}" for cell in cells), flush=True)
    return found


def covered(config: Config, form: Form, noise: float) -> dict[str, list[float]]:
    """By kind: how often the interval, and percentiles of its draws, hold the correlation of two maps of examples."""
    import numpy as np

    from interp.comparisons.map_agreement import of_columns, spearman, within_columns, within_layers
    from interp.comparisons.turned_maps import Turned
    from interp.statistics.means import drawn_means, group_draws

    def one(statistic: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        return lambda first, second: np.array([statistic(first, second)])

    rng = np.random.default_rng(config.seed)
    shape = (config.layers, config.columns)
    kinds = dict(zip(KINDS, (one(spearman), of_columns, one(within_columns), one(within_layers)), strict=True))
    holds: dict[str, list[list[np.ndarray]]] = {kind: [] for kind in kinds}
    for _ in range(config.pairs):
        maps = related_maps(form, "half shared", shape, rng)
        examples = [each + noise * rng.normal(size=(config.examples, *shape)) for each in maps]
        weights = group_draws(np.arange(config.examples), config.draws, rng)
        drawn = [drawn_means(each, weights) for each in examples]
        turned = Turned(np.stack([each.mean(0) for each in examples]), drawn)
        for kind, correlations in kinds.items():
            true, (ends,) = correlations(*maps), turned.intervals(correlations)
            percentiles = np.quantile(turned.of_draws(correlations, 0, 1), [0.025, 0.975], axis=0)
            holds[kind].append([(low <= true) & (true <= high) for low, high in (np.array(ends).T, percentiles)])
    return {kind: np.mean(held, axis=(0, 2)).tolist() for kind, held in holds.items()}


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config)))
