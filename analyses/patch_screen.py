"""Screening: every cell estimated from gradients, the best of them patched exactly, and how well the two agree."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from analyses import patching

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from interp.heatmap import Heatmap
    from interp.models import HookedModel
    from interp.pair_runs import Candidate
    from interp.patched import PatchedPairs


def with_exact_cells(
    config: patching.Config,
    screened: Heatmap,
    model: HookedModel,
    candidates: Sequence[Candidate],
    cells: tuple[np.ndarray, np.ndarray],
) -> Heatmap:
    """The screened map with the exact values (``exact``) of the `--verify` cells that have the largest estimates."""
    import numpy as np

    from interp.heatmap import Heatmap
    from interp.patch import patched_pairs
    from interp.patching import units_of

    away = np.nan_to_num(np.abs(screened.data["value"].values - float(screened.data.attrs["unpatched"])))
    best = np.unravel_index(np.argsort(-away, axis=None, kind="stable")[: config.verify], away.shape)
    rows, columns = np.unique(best[0]), np.unique(best[1])
    exactly = replace(config, screen=False)
    patched = patched_pairs(
        model,
        candidates,
        (cells[0][:, columns], cells[1][:, columns]),
        units_of([screened.layers[row] for row in rows.tolist()], n_layers=model.cfg.n_layers),
        patching.intervention_of(exactly),
        n=config.pairs,
    )
    means = mean_effects(exactly, patched)
    exact = np.full(away.shape, np.nan)
    exact[best] = means[np.searchsorted(rows, best[0]), np.searchsorted(columns, best[1])]
    return Heatmap(screened.data.assign(exact=(("layer", "position"), exact)))


def mean_effects(config: patching.Config, patched: PatchedPairs) -> np.ndarray:
    """The mean over pairs of every cell."""
    from interp.patch_map import mean_over_pairs

    return mean_over_pairs(patching.effects(config, patched).values)


def agreement_in_words(screened: Heatmap) -> str:
    """How well the estimates of the cells that were patched exactly agree with what that gave."""
    import numpy as np

    from interp.rank_agreement import rank_agreement

    if "exact" not in screened.data:
        return "estimates by attribution patching; --verify K patches the K best cells exactly, and says how they agree"
    exact, value = screened.data["exact"].values, screened.data["value"].values
    known = np.isfinite(exact)
    centre = float(screened.data.attrs["unpatched"])
    spearman, _ = rank_agreement(value[known], exact[known])
    ratio = float(np.median(np.abs(exact[known] - centre) / np.abs(value[known] - centre)))
    return (
        f"{known.sum()} cells patched exactly: Spearman correlation of estimates and exact values {spearman:.2f}, "
        f"the median exact effect is {ratio:.2f} of its estimate"
    )
