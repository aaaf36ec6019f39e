"""Patches a handful of pairs at a time: those of them that enter, in every cell in which something can happen.

1. Pairs that cannot be patched fall out (`interp.patching.entries`).
2. Every position of every receiver becomes a column, with its donor's vectors (`interp.patching.donors`), unless
   causality says what it gives (`interp.patching.columns`).
3. All columns are patched together (`interp.patching.sweep`), or their effects estimated
   (`interp.patching.attribution_patching`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float

from interp.models.hooked_model import HookedModel
from interp.patching.attribution_patching import attributed_effects
from interp.patching.columns import Cells, Column, Columns
from interp.patching.donors import Donors
from interp.patching.entries import Entries, entries_of, require_numbers, subject_deviation
from interp.patching.interventions import Intervention
from interp.patching.pair_runs import READINGS, Candidate
from interp.patching.patched_pairs import PatchedPairs, Reasons, Values
from interp.patching.patches import Job, Unit
from interp.patching.sweep import patched_readings

PAIRS_AT_ONCE = 32
"""So many pairs' keys, values and streams are held at a time."""


@dataclass(frozen=True)
class Patcher:
    """Patches pairs, some at a time."""

    model: HookedModel
    candidates: Sequence[Candidate]
    cells: tuple[Cells, Cells]
    units: Sequence[Unit]
    intervention: Intervention

    def patched(self, numbers: Sequence[int], most: int) -> PatchedPairs:
        """Patch at most so many of some pairs."""
        entries = entries_of(
            self.model, self.candidates, numbers, self.intervention, most=most, deviation=self._deviation
        )
        columns, why_missing = self._columns_of(entries)
        values: Values = np.broadcast_to(np.where(why_missing, np.nan, 0.0), (len(READINGS), *why_missing.shape)).copy()
        if self.intervention.screen_steps:
            self._estimate_into(values, columns, entries)
        else:
            self._patch_into(values, columns, entries)
        return PatchedPairs(
            ids=tuple(self.candidates[number].id for number in entries.numbers),
            values=values,
            clean=_stacked(entries.read.clean, entries.numbers),
            corrupt=_stacked(entries.read.corrupt, entries.numbers),
            why_missing=why_missing,
            dropped=entries.dropped,
        )

    @cached_property
    def _columns(self) -> Columns:
        return Columns(self.cells, self.units, self.intervention, self.model.cfg.n_layers)

    @cached_property
    def _donors(self) -> Donors:
        return Donors(self.model, self.candidates, self._columns)

    @cached_property
    def _deviation(self) -> float:
        """Of the noise, if there is any."""
        it = self.intervention
        some = self.candidates[:PAIRS_AT_ONCE]
        return it.sigmas * subject_deviation(self.model, some) if it.corruption == "noise" else 0.0

    def _columns_of(self, entries: Entries) -> tuple[list[Column], Reasons]:
        """What is to be patched; and for each cell why it has no value, if it has none."""
        donors = self._donors.vectors(entries.trials, entries.givers)
        shape = (len(entries.numbers), len(self.units), self._columns.n_positions)
        why_missing: np.ndarray = np.zeros(shape, dtype=np.int8)
        columns: list[Column] = []
        for index, (trial, receiver) in enumerate(zip(entries.trials, entries.receivers, strict=True)):
            row = entries.numbers.index(trial.pair)
            for position in range(self._columns.n_positions):
                vectors = donors[:, position, index]
                why_missing[row, :, position] = self._columns.why_missing(trial, receiver, position, vectors)
                if not why_missing[row, :, position].all():
                    place, donor_place = self._columns.places(trial, position)
                    columns.append(Column(Job(index, place, vectors), row, position, donor_place))
        return columns, why_missing

    def _patch_into(self, values: Values, columns: Sequence[Column], entries: Entries) -> None:
        """Add what every patch gives; to what is missing nothing can be added."""
        references = [entries.read.references[trial.clean.run] for trial in entries.trials]
        of_shape: dict[tuple[int, int], list[Column]] = defaultdict(list)
        for column in columns:
            of_shape[entries.receivers[column.job.receiver].run.shape].append(column)
        it = self.intervention
        for alike in of_shape.values():
            jobs = [column.job for column in alike]
            found = patched_readings(
                self.model, it.site, self.units, entries.receivers, jobs, references, plain=it.plain
            )
            for column, readings in zip(alike, found, strict=True):
                trial = entries.trials[column.job.receiver]
                numbers = trial.readings(readings).numpy()
                require_numbers(f"pair {self.candidates[trial.pair].id}: a patched run", numbers)
                values[:, column.row, :, column.position] += numbers

    def _estimate_into(self, values: Values, columns: Sequence[Column], entries: Entries) -> None:
        """Add estimates of the scores; of nothing else there are any."""
        if not columns:
            return
        trials = [entries.trials[column.job.receiver] for column in columns]
        givers = [entries.givers[self._columns.donor_side(trial)] for trial in trials]
        effects = attributed_effects(
            self.model,
            self.intervention.site,
            self.units,
            entries.receivers,
            [column.job for column in columns],
            torch.tensor(trials[0].signs, dtype=torch.float32),
            steps=self.intervention.screen_steps,
            embeddings=[giver.stream[0, column.donor_place] for giver, column in zip(givers, columns, strict=True)],
        )
        values[1:] = np.nan
        own = entries.read.clean if self.intervention.receives_clean else entries.read.corrupt
        for column, trial, effect in zip(columns, trials, effects.numpy(), strict=True):
            require_numbers(f"pair {self.candidates[trial.pair].id}: an estimate", effect)
            values[0, column.row, :, column.position] += own[trial.pair][0] + effect


def _stacked(readings: Mapping[int, np.ndarray], numbers: Sequence[int]) -> Float[np.ndarray, "reading pair"]:
    return np.array([readings[number] for number in numbers], dtype=np.float64).reshape(-1, len(READINGS)).T
