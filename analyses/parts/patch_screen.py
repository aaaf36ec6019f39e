"""Screening: every cell estimated from gradients, some or all patched exactly, and how well the two agree."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from analyses.parts import patch_flags, patching

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from interp.models.hooked_model import HookedModel
    from interp.patching.pair_runs import Candidate
    from interp.patching.patched_pairs import PatchedPairs
    from interp.results.heatmap import Heatmap


TOP = 20
"""So many cells with the largest effects are looked for among as many of the largest estimates, of a small map a fifth
of all."""
FEW = 8
"""The rank correlation of fewer cells, chosen as the best, says nothing."""


def has_estimates(screened: Heatmap) -> bool:
    """Whether a patch is estimated to do anything in any cell, so that there is something to verify."""
    import numpy as np

    return bool(np.nan_to_num(screened.data["value"].values - float(screened.data.attrs["unpatched"])).any())


def with_best_exact(
    config: patching.Config,
    screened: Heatmap,
    model: HookedModel,
    candidates: Sequence[Candidate],
    cells: tuple[np.ndarray, np.ndarray],
) -> Heatmap:
    """The screened map with the exact values of the cells that have the largest estimates, as many as are verified."""
    import numpy as np

    from interp.patching.pair_patching import patched_pairs
    from interp.patching.patches import units_of

    away = np.nan_to_num(np.abs(screened.data["value"].values - float(screened.data.attrs["unpatched"])))
    n = min(int(patch_flags.n_verified(config)), int((away > 0).sum()))
    best = np.unravel_index(np.argsort(-away, axis=None, kind="stable")[:n], away.shape)
    rows, columns = np.unique(best[0]), np.unique(best[1])
    exactly = replace(config, screen=False, verify=None)
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
    return with_exact_values(screened, exact)


def with_exact_values(screened: Heatmap, exact: np.ndarray) -> Heatmap:
    """The screened map with exact values (``exact``), of cells that have estimates; of the others missing."""
    import numpy as np

    from interp.results.heatmap import Heatmap

    values = np.where(np.isnan(screened.data["value"].values), np.nan, exact)
    return Heatmap(screened.data.assign(exact=(("layer", "position"), values)))


def mean_effects(config: patching.Config, patched: PatchedPairs) -> np.ndarray:
    """The mean over pairs of every cell."""
    from interp.statistics.means import mean_of_examples

    return mean_of_examples(patching.effects(config, patched).values)


def agreement_in_words(screened: Heatmap, verify: str | None) -> str:
    """How well the estimates of the cells that were patched exactly, if any were to be, agree with what that gave."""
    import numpy as np

    from interp.statistics.rank_agreement import rank_agreement

    if "exact" not in screened.data:
        if verify is not None:
            return f"nothing was verified: {_why_not_verified(screened)}"
        return "estimates by attribution patching; --verify top:K patches the K best cells exactly, all every cell"
    centre = float(screened.data.attrs["unpatched"])
    estimated, exact = (screened.data[name].values - centre for name in ("value", "exact"))
    known = np.isfinite(exact)
    n, n_estimated = int(known.sum()), int(np.isfinite(estimated).sum())
    top = min(TOP, n // 5)
    agreement = rank_agreement(estimated, exact, max(top, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float(np.median(np.abs(exact[known]) / np.abs(estimated[known])))
    told = [f"the median exact effect is {ratio:.2f} of its estimate"]
    if n == n_estimated or n >= FEW:
        told.insert(0, f"Spearman correlation of estimates and exact values {agreement.spearman:.2f}")
    if n == n_estimated and top:
        told.append(
            f"{agreement.top_share:.0%} of the top {top} by exact effects are in the top {top} by estimates "
            f"({top / n:.0%} by chance)"
        )
    if n < n_estimated:
        told.append("the cells that were not chosen are estimates, and not verified")
    return f"{n} of {n_estimated} cells patched exactly: " + ", ".join(told)


def _why_not_verified(screened: Heatmap) -> str:
    from interp.patching.patch_map import MIN_PAIRS

    n_pairs = int(json.loads(screened.data.attrs["counts"])["pairs"])
    if n_pairs < MIN_PAIRS:
        return f"{n_pairs} pairs entered, and over fewer than {MIN_PAIRS} no cell has a value"
    return "no patch is estimated to do anything"
