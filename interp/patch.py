"""Activation patching over pairs of questions: what every patch of every pair gives.

1. The runs of both sides of a pair are recorded. Pairs enter whose two answers the model gives, and whose scores differ
   by a margin; the others are counted, by reason.
2. Positions are resolved in either run by their names: the donor's vector at its ``subject_last`` goes to the
   receiver's ``subject_last``, whatever the indices.
3. Every layer of every position is patched (`interp.sweep`), several pairs at a time.
4. What is read is kept for every pair, cell by cell; `interp.patch_map` makes maps of it.

By causality nothing can be caused after the token that is read: cells that are after it are missing. So are those that
are after it in the donor, whose run is cut there, or goes on with an answer that is not its own. Before the first token
in which two runs differ, the donor's vectors are the receiver's own: such cells have what is read without a patch.

============  ============================  ===============  ==========================================================
corruption    receiver                      donor            source
============  ============================  ===============  ==========================================================
``question``  another question's run        the clean run    Vig et al. 2020 (arXiv 2004.12265); ``noise`` turns it
                                                             round
``noise``     the clean prompt with noise   the clean run    Meng et al. 2022 (arXiv 2202.05262), causal tracing
              on the subject's embeddings
``zero``      the clean run                 zeros
``mean``      the clean run                 the pairs' mean  Wang et al. 2023 (arXiv 2211.00593)
``resample``  the clean run                 another          Chan et al. 2022, causal scrubbing
                                            question's run
============  ============================  ===============  ==========================================================
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int

from interp.activations import site_activations
from interp.batches import batched
from interp.errors import InputError
from interp.models import HookedModel
from interp.pair_runs import (
    READINGS,
    RUNS_AT_ONCE,
    Candidate,
    Side,
    Trial,
    Unpatched,
    recorded_sides,
    trials_of,
    unpatched,
)
from interp.patching import Job, Readings, Run, Unit
from interp.positions import MISSING
from interp.progress import progress
from interp.recordings import Recording
from interp.sweep import patched_readings
from interp.wavefront import takes_wavefronts

DIRECTIONS = ("denoise", "noise")
CORRUPTIONS = ("question", "noise", "zero", "mean", "resample")
ABLATIONS = ("zero", "mean", "resample")
PAIRS_AT_ONCE = 32
"""So many pairs' keys, values and streams are held at a time."""

Cells = Int[np.ndarray, "pair position"]


@dataclass(frozen=True)
class Intervention:
    """What is patched into what."""

    site: str = "resid_post"
    direction: str = "denoise"
    """One of `DIRECTIONS`: clean vectors into a corrupted run, or corrupted ones into a clean run."""
    corruption: str = "question"
    """One of `CORRUPTIONS`."""
    sigmas: float = 3.0
    """Of the noise, in deviations of the components of the stream before the first block at subjects' tokens."""
    draws: int = 3
    """Of the noise; what is read is the mean over them."""
    seed: int = 0
    """Of the noise."""
    margin: float = 1.0
    """By how much the score of the clean run must be above that of the corrupted one, in nats."""
    only_said: bool = True
    """Whether both answers must be what the model says first in its own run."""
    plain: bool = False
    """Run every patch as a whole forward pass."""

    @property
    def receives_clean(self) -> bool:
        """Whether it is the clean run that is patched."""
        return self.is_ablation or self.direction == "noise"

    @property
    def is_ablation(self) -> bool:
        """Whether there is no corrupted run."""
        return self.corruption in ABLATIONS

    @property
    def gives_other(self) -> bool:
        """Whether vectors are taken from the other question's run."""
        return self.corruption == "resample" or (self.corruption == "question" and self.direction == "noise")


@dataclass(frozen=True)
class PatchedPairs:
    """What every patch gives, pair by pair."""

    ids: tuple[str, ...]
    """Of the pairs."""
    values: Float[np.ndarray, "reading pair unit position"]
    """In the order of `interp.pair_runs.READINGS`; NaN where a cell is missing."""
    clean: Float[np.ndarray, "reading pair"]
    corrupt: Float[np.ndarray, "reading pair"]
    """Of the corrupted run; NaN for ablations, which have none."""
    is_after: Bool[np.ndarray, "pair position"]
    """Where a position is after the token that is read, in either run."""
    dropped: Counter[str] = field(default_factory=Counter)
    """How many pairs did not enter, by reason."""


def patched_pairs(
    model: HookedModel,
    candidates: Sequence[Candidate],
    cells: tuple[Cells, Cells],
    units: Sequence[Unit],
    intervention: Intervention,
    *,
    n: int,
) -> PatchedPairs:
    """Patch the first `n` pairs that can be.

    Parameters
    ----------
    model
        The model that gave the answers.
    candidates
        Pairs, in the order in which they are tried.
    cells
        For each pair and position the token in the clean and in the corrupt answer, or `MISSING`.
    units
        What each row patches.
    intervention
        What is patched into what.
    n
        How many pairs to patch.

    Raises
    ------
    InputError
        If no pair can be patched.
    """
    _require_fitting(model, candidates)
    patcher = _Patcher(model, candidates, cells, units, intervention)
    parts: list[PatchedPairs] = []
    with progress("patched", total=min(n, len(candidates)), unit="pairs") as shown:
        for numbers in batched(range(len(candidates)), PAIRS_AT_ONCE):
            parts.append(patcher.patched(numbers, n - sum(len(part.ids) for part in parts)))
            shown.update(len(parts[-1].ids))
            if sum(len(part.ids) for part in parts) >= n:
                break
    dropped = sum((part.dropped for part in parts), Counter[str]())
    if not any(part.ids for part in parts):
        told = ", ".join(f"{reason} ({count})" for reason, count in dropped.most_common()) or "there are none"
        raise InputError(f"no pair of questions can be patched: {told}; lower --margin, or take other questions")
    return PatchedPairs(
        ids=tuple(each for part in parts for each in part.ids),
        values=np.concatenate([part.values for part in parts], axis=1),
        clean=np.concatenate([part.clean for part in parts], axis=1),
        corrupt=np.concatenate([part.corrupt for part in parts], axis=1),
        is_after=np.concatenate([part.is_after for part in parts]),
        dropped=dropped,
    )


def _require_fitting(model: HookedModel, candidates: Sequence[Candidate]) -> None:
    """Raise an `InputError` for the first pair that is longer than what the model reads."""
    most = getattr(model.cfg, "n_ctx", None)
    for candidate in candidates:
        longest = max(len(run.tokens) for each in candidate.variants for run in (each.clean, each.corrupt))
        if most and longest > most:
            raise InputError(
                f"pair {candidate.id} has a run of {longest} tokens, and the model reads at most {most}; shorten the "
                "questions, or leave it out"
            )


@dataclass(frozen=True)
class _Patcher:
    """Patches pairs, some at a time."""

    model: HookedModel
    candidates: Sequence[Candidate]
    cells: tuple[Cells, Cells]
    units: Sequence[Unit]
    intervention: Intervention

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
        values, is_after = self._swept(entering, chosen, receivers, read)
        return PatchedPairs(
            ids=tuple(self.candidates[number].id for number in entering),
            values=values,
            clean=_stacked(read.clean, entering),
            corrupt=_stacked(read.corrupt, entering),
            is_after=is_after,
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

    def _swept(
        self, entering: Sequence[int], trials: Sequence[Trial], receivers: Sequence[Recording], read: Unpatched
    ) -> tuple[Float[np.ndarray, "reading pair unit position"], Bool[np.ndarray, "pair position"]]:
        """What is read of every cell of some pairs, and which positions are after what is read."""
        n_positions = self.cells[0].shape[1]
        values: np.ndarray = np.full((len(READINGS), len(entering), len(self.units), n_positions), np.nan)
        is_after: np.ndarray = np.zeros((len(entering), n_positions), dtype=bool)
        donors = self._donors(trials) if trials else torch.empty(0)
        jobs: dict[tuple[int, int], list[tuple[Job, int]]] = defaultdict(list)
        for index, (trial, receiver) in enumerate(zip(trials, receivers, strict=True)):
            row = entering.index(trial.pair)
            own = read.clean if self.intervention.receives_clean else read.corrupt
            for position in range(n_positions):
                place, donor_place = self._places(trial, position)
                if place == MISSING or donor_place == MISSING:
                    continue
                if place > receiver.run.places[0] or donor_place > self._donor_run(trial).places[0]:
                    is_after[row, position] = True
                elif self._is_no_op(trial, receiver.run, place, donor_place):
                    values[:, row, :, position] = own[trial.pair][:, None]
                else:
                    if np.isnan(values[0, row, 0, position]):
                        values[:, row, :, position] = 0.0
                    job = Job(index, place, donors[:, position, index])
                    jobs[receiver.run.shape].append((job, position))
        references = [read.references[trial.clean.run] for trial in trials]
        for of_shape in jobs.values():
            alone = [job for job, _ in of_shape]
            found = patched_readings(
                self.model,
                self.intervention.site,
                self.units,
                receivers,
                alone,
                references,
                plain=self.intervention.plain,
            )
            for (job, position), readings in zip(of_shape, found, strict=True):
                trial = trials[job.receiver]
                values[:, entering.index(trial.pair), :, position] += self._numbers(trial, readings)
        return values, is_after

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

    def _places(self, trial: Trial, position: int) -> tuple[int, int]:
        """The receiver's token and the donor's at a position."""
        of_question = self.intervention.receives_clean or self.intervention.corruption == "noise"
        receiver, donor = self.cells[0 if of_question else 1], self.cells[1 if self.intervention.gives_other else 0]
        return int(receiver[trial.pair, position]), int(donor[trial.pair, position])

    def _donor_run(self, trial: Trial) -> Run:
        return trial.corrupt.run if self.intervention.gives_other else trial.clean.run

    def _is_no_op(self, trial: Trial, receiver: Run, place: int, donor_place: int) -> bool:
        """Whether a donor's vectors are the receiver's own, since all tokens up to them are the same."""
        if self.intervention.corruption in ("zero", "mean"):
            return False
        if trial.corrupt.noise is not None:
            return place < trial.corrupt.noise.first
        donor = self._donor_run(trial)
        return place == donor_place and receiver.tokens[: place + 1] == donor.tokens[: donor_place + 1]

    def _donors(self, trials: Sequence[Trial]) -> Float[torch.Tensor, "layer position trial width"]:
        """The vectors that are patched in, of every layer."""
        if self.intervention.corruption == "mean":
            return self._mean[:, :, None].expand(-1, -1, len(trials), -1)
        vectors = self._vectors([(self._donor_run(trial), trial.pair) for trial in trials])
        return torch.zeros_like(vectors) if self.intervention.corruption == "zero" else vectors

    def _vectors(self, runs: Sequence[tuple[Run, int]]) -> Float[torch.Tensor, "layer position run width"]:
        """The site at every position of donors' runs, each with the number of its pair; NaN where it is not read."""
        cells = np.stack([self.cells[1 if self.intervention.gives_other else 0][number] for _, number in runs])
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


def heads_as_columns(patched: PatchedPairs, n_heads: int) -> PatchedPairs:
    """The same with a row for each layer, and for each position a column for each head."""
    values = rearrange(
        patched.values, "reading pair (layer head) position -> reading pair layer (position head)", head=n_heads
    )
    return replace(patched, values=values, is_after=np.repeat(patched.is_after, n_heads, axis=1))
