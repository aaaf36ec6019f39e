"""Donors: the vectors that are put in, of every layer, at the positions of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float

from interp.activations.batch_activations import site_activations
from interp.models.hooked_model import HookedModel
from interp.patching.columns import Columns
from interp.patching.pair_runs import RUNS_AT_ONCE, Candidate, Side, Trial
from interp.patching.patches import Run
from interp.patching.recordings import Recording
from interp.positions import MISSING
from interp.work.batches import batched


@dataclass(frozen=True)
class Donors:
    """What an intervention puts in: another run's vectors, zeros, or the mean of all clean runs."""

    model: HookedModel
    candidates: Sequence[Candidate]
    columns: Columns

    def vectors(
        self, trials: Sequence[Trial], recordings: Mapping[Side, Recording]
    ) -> Float[torch.Tensor, "layer position trial width"]:
        """The vectors for some trials; recordings are of the runs that they are taken from, as far as there are any."""
        it = self.columns.intervention
        if not trials:
            return torch.empty(0, self.columns.n_positions, 0, 0)
        if it.corruption == "mean":
            return self._mean[:, :, None].expand(-1, -1, len(trials), -1)
        if recordings and it.site in ("resid_pre", "resid_post"):
            vectors = self._recorded(trials, recordings)
        else:
            vectors = self._of_runs([(self.columns.donor_side(trial).run, trial.pair) for trial in trials])
        return torch.zeros_like(vectors) if it.corruption == "zero" else vectors

    def _recorded(
        self, trials: Sequence[Trial], recordings: Mapping[Side, Recording]
    ) -> Float[torch.Tensor, "layer position trial width"]:
        """The residual stream at every position of the donors' runs; anything where they have none."""
        sides = [self.columns.donor_side(trial) for trial in trials]
        places = [self.columns.donor_cells(trial.pair) for trial in trials]
        within = [np.clip(cells, 0, len(side.run.tokens) - 1) for side, cells in zip(sides, places, strict=True)]
        vectors = [
            recordings[side].residual(self.columns.intervention.site, cells.tolist())
            for side, cells in zip(sides, within, strict=True)
        ]
        return torch.stack(vectors, dim=2)

    def _of_runs(self, runs: Sequence[tuple[Run, int]]) -> Float[torch.Tensor, "layer position run width"]:
        """The site at every position of donors' runs, each with the number of its pair; NaN where it is not read."""
        cells = np.stack([self.columns.donor_cells(number) for _, number in runs])
        beyond = cells > np.array([[run.places[0]] for run, _ in runs])
        tokens = [run.tokens for run, _ in runs]
        return site_activations(self.model, tokens, np.where(beyond, MISSING, cells), self.columns.intervention.site)

    @cached_property
    def _mean(self) -> Float[torch.Tensor, "layer position width"]:
        """The mean of the site over all clean runs that have the position before they are read, or there."""
        runs = [(candidate.variants[0].clean, number) for number, candidate in enumerate(self.candidates)]
        parts = [self._of_runs(batch) for batch in batched(runs, RUNS_AT_ONCE)]
        return torch.cat(parts, dim=2).float().nanmean(2).to(parts[0].dtype)
