"""Patches a handful of pairs at a time: what is run of them, which of them enter, and every cell's patch.

1. Both runs of every pair are recorded, and read as they are; pairs that cannot be patched fall out, with a reason.
2. Every position of every receiver becomes a column, with its donor's vectors, unless causality says what it gives
   (`interp.columns`).
3. All columns are patched together (`interp.sweep`), or their effects estimated (`interp.attribution_patching`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float

from interp.activations import site_activations
from interp.attribution_patching import attributed_effects
from interp.batches import batched
from interp.columns import Cells, Column, Columns
from interp.errors import InputError
from interp.interventions import Intervention
from interp.models import HookedModel
from interp.pair_runs import (
    READINGS,
    RUNS_AT_ONCE,
    Candidate,
    RunReadings,
    Side,
    Trial,
    Unpatched,
    recorded_sides,
    trials_of,
    unpatched,
)
from interp.patched import PatchedPairs, Reasons, Values
from interp.patching import Job, Readings, Run, Unit
from interp.positions import MISSING
from interp.recordings import Recording
from interp.sweep import patched_readings
from interp.wavefront import takes_wavefronts

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

    @cached_property
    def columns(self) -> Columns:
        """The positions of all pairs."""
        return Columns(self.cells, self.units, self.intervention, self.model.cfg.n_layers)

    def patched(self, numbers: Sequence[int], most: int) -> PatchedPairs:
        """Patch at most so many of some pairs."""
        trials = [trial for number in numbers for trial in self._trials(number)]
        clean, corrupt = self._recordings(trials)
        read = unpatched(self.model, trials, clean, corrupt)
        why = {number: self._why_dropped(number, read) for number in numbers}
        entering = [number for number in numbers if why[number] is None][:most]
        tried = numbers[: numbers.index(entering[-1]) + 1] if entering and len(entering) == most else numbers
        chosen = [trial for trial in trials if trial.pair in entering]
        receivers = [self._receiver(trial, clean, corrupt) for trial in chosen]
        givers = corrupt if self.intervention.gives_other else clean
        columns, why_missing = self._columns(entering, chosen, receivers, self._donors(chosen, givers))
        values: Values = np.broadcast_to(np.where(why_missing, np.nan, 0.0), (len(READINGS), *why_missing.shape)).copy()
        if self.intervention.screen_steps:
            self._estimate_into(values, columns, chosen, receivers, givers, read)
        else:
            self._patch_into(values, columns, chosen, receivers, read)
        return PatchedPairs(
            ids=tuple(self.candidates[number].id for number in entering),
            values=values,
            clean=_stacked(read.clean, entering),
            corrupt=_stacked(read.corrupt, entering),
            why_missing=why_missing,
            dropped=Counter(reason for number in tried if (reason := why[number]) is not None),
        )

    def _trials(self, number: int) -> list[Trial]:
        candidate, it = self.candidates[number], self.intervention
        if it.corruption == "noise":
            return trials_of(number, candidate, draws=it.draws, seed=it.seed)
        if it.is_ablation:
            candidate = candidate._replace(variants=tuple(each.of_clean_answer for each in candidate.variants))
        return trials_of(number, candidate)

    def _recordings(self, trials: Sequence[Trial]) -> tuple[dict[Side, Recording], dict[Side, Recording]]:
        """Of the clean and of the corrupted runs; keys and values of those that receive."""
        it, fast = self.intervention, not self.intervention.plain and takes_wavefronts(self.model)
        clean = recorded_sides(self.model, [trial.clean for trial in trials], with_cache=fast and it.receives_clean)
        if it.is_ablation:
            return clean, {}
        corrupt = recorded_sides(
            self.model,
            [trial.corrupt for trial in trials],
            with_cache=fast and not it.receives_clean,
            deviation=it.sigmas * self._spread if it.corruption == "noise" else 0.0,
        )
        return clean, corrupt

    def _receiver(self, trial: Trial, clean: dict[Side, Recording], corrupt: dict[Side, Recording]) -> Recording:
        return clean[trial.clean] if self.intervention.receives_clean else corrupt[trial.corrupt]

    def _why_dropped(self, number: int, read: Unpatched) -> str | None:
        if self.intervention.only_said and not read.says_both[number]:
            return "the model says another answer"
        gap = read.clean[number][0] - read.corrupt[number][0]
        if not self.intervention.is_ablation and not gap >= self.intervention.margin:
            return f"the two runs differ by less than the margin of {self.intervention.margin:g}"
        return None

    def _columns(
        self,
        entering: Sequence[int],
        trials: Sequence[Trial],
        receivers: Sequence[Recording],
        donors: Float[torch.Tensor, "layer position trial width"],
    ) -> tuple[list[Column], Reasons]:
        """What is to be patched; and for each cell why it has no value, if it has none."""
        n_positions = self.columns.n_positions
        why_missing: np.ndarray = np.zeros((len(entering), len(self.units), n_positions), dtype=np.int8)
        columns: list[Column] = []
        for index, (trial, receiver) in enumerate(zip(trials, receivers, strict=True)):
            row = entering.index(trial.pair)
            for position in range(n_positions):
                vectors = donors[:, position, index]
                why_missing[row, :, position] = self.columns.why_missing(trial, receiver, position, vectors)
                if not why_missing[row, :, position].all():
                    place, donor_place = self.columns.places(trial, position)
                    columns.append(Column(Job(index, place, vectors), row, position, donor_place))
        return columns, why_missing

    def _own(self, read: Unpatched, trial: Trial) -> RunReadings:
        """What is read of the receiver when nothing is patched."""
        return (read.clean if self.intervention.receives_clean else read.corrupt)[trial.pair]

    def _patch_into(
        self,
        values: Values,
        columns: Sequence[Column],
        trials: Sequence[Trial],
        receivers: Sequence[Recording],
        read: Unpatched,
    ) -> None:
        """Add what every patch gives; to what is missing nothing can be added."""
        references = [read.references[trial.clean.run] for trial in trials]
        of_shape: dict[tuple[int, int], list[Column]] = defaultdict(list)
        for column in columns:
            of_shape[receivers[column.job.receiver].run.shape].append(column)
        it = self.intervention
        for alike in of_shape.values():
            jobs = [column.job for column in alike]
            found = patched_readings(self.model, it.site, self.units, receivers, jobs, references, plain=it.plain)
            for column, readings in zip(alike, found, strict=True):
                numbers = self._numbers(trials[column.job.receiver], readings)
                values[:, column.row, :, column.position] += numbers

    def _estimate_into(
        self,
        values: Values,
        columns: Sequence[Column],
        trials: Sequence[Trial],
        receivers: Sequence[Recording],
        givers: Mapping[Side, Recording],
        read: Unpatched,
    ) -> None:
        """Add estimates of the scores; of nothing else there are any."""
        if not columns:
            return
        own = [trials[column.job.receiver] for column in columns]
        sides = [trial.corrupt if self.intervention.gives_other else trial.clean for trial in own]
        starts = [givers[side].stream[0, column.donor_place] for side, column in zip(sides, columns, strict=True)]
        effects = attributed_effects(
            self.model,
            self.intervention.site,
            self.units,
            receivers,
            [column.job for column in columns],
            torch.tensor(own[0].signs, dtype=torch.float32),
            steps=self.intervention.screen_steps,
            embeddings=starts,
        )
        values[1:] = np.nan
        for column, trial, effect in zip(columns, own, effects.numpy(), strict=True):
            values[0, column.row, :, column.position] += self._own(read, trial)[0] + effect

    def _numbers(self, trial: Trial, readings: Readings) -> Float[np.ndarray, "reading unit"]:
        """What is read of a column of patched runs.

        Raises
        ------
        InputError
            If anything of it is not a number.
        """
        numbers: np.ndarray = trial.readings(readings).numpy()
        if not np.isfinite(numbers).all():
            raise InputError(
                f"pair {self.candidates[trial.pair].id}: a patched run gives {numbers[~np.isfinite(numbers)][0]}; take "
                "--dtype float32, or leave the pair out"
            )
        return numbers

    def _donors(
        self, trials: Sequence[Trial], recordings: Mapping[Side, Recording]
    ) -> Float[torch.Tensor, "layer position trial width"]:
        """The vectors that are patched in, of every layer; recordings are of the runs that they are taken from."""
        if not trials:
            return torch.empty(0, self.columns.n_positions, 0, 0)
        if self.intervention.corruption == "mean":
            return self._mean[:, :, None].expand(-1, -1, len(trials), -1)
        if recordings and self.intervention.site in ("resid_pre", "resid_post"):
            vectors = self._recorded_vectors(trials, recordings)
        else:
            vectors = self._vectors([(self.columns.donor_run(trial), trial.pair) for trial in trials])
        return torch.zeros_like(vectors) if self.intervention.corruption == "zero" else vectors

    def _recorded_vectors(
        self, trials: Sequence[Trial], recordings: Mapping[Side, Recording]
    ) -> Float[torch.Tensor, "layer position trial width"]:
        """The residual stream at every position of the donors' runs; anything where they have none."""
        other = self.intervention.gives_other
        sides = [trial.corrupt if other else trial.clean for trial in trials]
        places = [self.columns.donor_cells(trial.pair) for trial in trials]
        within = [np.clip(cells, 0, len(side.run.tokens) - 1) for side, cells in zip(sides, places, strict=True)]
        vectors = [
            recordings[side].residual(self.intervention.site, cells.tolist())
            for side, cells in zip(sides, within, strict=True)
        ]
        return torch.stack(vectors, dim=2)

    def _vectors(self, runs: Sequence[tuple[Run, int]]) -> Float[torch.Tensor, "layer position run width"]:
        """The site at every position of donors' runs, each with the number of its pair; NaN where it is not read."""
        cells = np.stack([self.columns.donor_cells(number) for _, number in runs])
        beyond = cells > np.array([[run.places[0]] for run, _ in runs])
        tokens = [run.tokens for run, _ in runs]
        return site_activations(self.model, tokens, np.where(beyond, MISSING, cells), self.intervention.site)

    @cached_property
    def _mean(self) -> Float[torch.Tensor, "layer position width"]:
        """The mean of the site over all clean runs that have the position before they are read, or there."""
        runs = [(candidate.variants[0].clean, number) for number, candidate in enumerate(self.candidates)]
        parts = [self._vectors(batch) for batch in batched(runs, RUNS_AT_ONCE)]
        return torch.cat(parts, dim=2).float().nanmean(2).to(parts[0].dtype)

    @cached_property
    def _spread(self) -> float:
        """The deviation of the components of the stream before the first block, at the subjects of some pairs."""
        subjects = {
            Side(each.variants[0].clean): each.subject for each in self.candidates[:PAIRS_AT_ONCE] if each.subject
        }
        recordings = recorded_sides(self.model, list(subjects), with_cache=False)
        spans = [recordings[side].stream[0, first : last + 1] for side, (first, last) in subjects.items()]
        return float(torch.cat(spans).float().std())


def _stacked(readings: Mapping[int, np.ndarray], numbers: Sequence[int]) -> Float[np.ndarray, "reading pair"]:
    return np.array([readings[number] for number in numbers], dtype=np.float64).reshape(-1, len(READINGS)).T
