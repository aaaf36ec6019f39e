"""Columns of a sweep: the positions at which pairs are patched, layer by layer, and why some of their cells are not.

What a cell gives can be known without a patch, by causality:

- After the token that is read nothing can be caused. So are cells that are after it in the donor, whose run is cut
  there, or goes on with an answer that is not its own.
- Before the first token in which two runs differ, the donor's vectors are the receiver's own; in front of the first
  block they are wherever both have the same token.
- After the last attention no token goes to another: there only the token that is read can cause anything.

Such cells are missing, each with its reason, and not zero: that nothing happens there says nothing about the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from interp.models.sites import HOOKS, is_after_attention
from interp.patching.interventions import Intervention
from interp.patching.pair_runs import Side, Trial
from interp.patching.patched_pairs import NoValue
from interp.patching.patches import Job, Run, Unit
from interp.patching.recordings import Recording
from interp.positions import MISSING

Cells = Int[np.ndarray, "pair position"]


class Column(NamedTuple):
    """A position of a trial that is to be patched, in every layer."""

    job: Job
    row: int
    """Of the pair, among those that enter."""
    position: int
    donor_place: int


@dataclass(frozen=True)
class Columns:
    """Where the positions of pairs are in their runs, and which of their cells can be patched."""

    cells: tuple[Cells, Cells]
    """For each pair and position the token in the clean and in the corrupt run, or `MISSING`."""
    units: Sequence[Unit]
    intervention: Intervention
    n_layers: int
    """Of the model."""

    @property
    def n_positions(self) -> int:
        """How many positions there are."""
        return int(self.cells[0].shape[1])

    def donor_cells(self, pair: int) -> Int[np.ndarray, " position"]:
        """The tokens of a pair's donor."""
        return self.cells[1 if self.intervention.gives_other else 0][pair]

    def places(self, trial: Trial, position: int) -> tuple[int, int]:
        """The receiver's token and the donor's at a position."""
        of_question = self.intervention.receives_clean or self.intervention.corruption == "noise"
        receiver = self.cells[0 if of_question else 1]
        return int(receiver[trial.pair, position]), int(self.donor_cells(trial.pair)[position])

    def donor_side(self, trial: Trial) -> Side:
        """The run that vectors are taken from."""
        return trial.corrupt if self.intervention.gives_other else trial.clean

    def why_missing(
        self, trial: Trial, receiver: Recording, position: int, donor: Float[torch.Tensor, "layer width"]
    ) -> list[NoValue]:
        """For each unit whether it can be patched at a position, else why not; `donor` is what would be put in."""
        place, donor_place = self.places(trial, position)
        if MISSING in (place, donor_place):
            why = NoValue.NO_PAIR_HAS_THE_POSITION
        elif place > receiver.run.places[0] or donor_place > self.donor_side(trial).run.places[0]:
            why = NoValue.AFTER_THE_READ_OUT
        elif self._is_before_difference(trial, receiver.run, place, donor_place):
            why = NoValue.CLEAN_AND_CORRUPT_ARE_THE_SAME
        else:
            own = receiver.stream[0, place].cpu()
            is_same_token = self._is_first_stream and torch.equal(donor[0].cpu(), own)
            return [self._why_unit_missing(unit, receiver.run, place, is_same_token) for unit in self.units]
        return [why] * len(self.units)

    def _is_before_difference(self, trial: Trial, receiver: Run, place: int, donor_place: int) -> bool:
        """Whether all tokens up to a donor's are the receiver's own."""
        if self.intervention.corruption in ("zero", "mean"):
            return False
        if trial.corrupt.noise is not None:
            return place < trial.corrupt.noise.first
        donor = self.donor_side(trial).run
        return place == donor_place and receiver.tokens[: place + 1] == donor.tokens[: donor_place + 1]

    @property
    def _is_first_stream(self) -> bool:
        """Whether in the first layer the stream in front of all blocks is patched, with a donor's."""
        it = self.intervention
        return HOOKS.get(it.site, it.site) == HOOKS["resid_pre"] and it.corruption not in ("zero", "mean")

    def _why_unit_missing(self, unit: Unit, receiver: Run, place: int, is_same_token: bool) -> NoValue:
        if is_same_token and unit.last == 0:
            return NoValue.CLEAN_AND_CORRUPT_ARE_THE_SAME
        in_last_block = unit.first == self.n_layers - 1 and is_after_attention(self.intervention.site)
        if in_last_block and place not in receiver.places:
            return NoValue.CANNOT_REACH_THE_READ_OUT
        return NoValue.HAS_VALUE
