"""The runs of pairs before anything is patched: what is fed, what noise is added, and what is read of them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from interp.errors import InputError
from interp.models.hooked_model import HookedModel
from interp.models.output_path import output_logits
from interp.patching.pairs import Pair
from interp.patching.patches import Readings, Run, readings_of
from interp.patching.readouts import Reader, ReadPair
from interp.patching.recordings import Recording, recorded
from interp.work.batches import batched

RUNS_AT_ONCE = 16
"""So many runs are recorded together."""
READINGS = ("score", "logprob", "kl")
"""What is read of a run: the log-probability of the clean answer less that of the corrupt one (at one token, the
difference of their logits), or of the clean one alone where there is no other; the log-probability of the clean answer;
and the divergence, in nats, of the clean run's distribution from the run's, where the answer begins."""

RunReadings = Float[np.ndarray, " reading"]


class Noise(NamedTuple):
    """Gaussian noise on the stream before the first block, at some tokens of a run."""

    first: int
    last: int
    seed: int


class Side(NamedTuple):
    """A run of a pair, as it is or with noise."""

    run: Run
    noise: Noise | None = None


class Candidate(NamedTuple):
    """A pair that may be patched."""

    id: str
    variants: tuple[ReadPair, ...]
    """What is run of it, and what is read."""
    subject: tuple[int, int] | None = None
    """The first and the last token of the clean question's subject, which noise is put on."""


class Trial(NamedTuple):
    """Two runs of a pair: there is one for each variant of the read-out and each draw of the noise."""

    pair: int
    clean: Side
    corrupt: Side
    signs: tuple[int, ...]
    weight: float
    """Of what is read in the mean over draws."""
    is_first: bool
    """Whether it is of the first variant, whose divergence counts."""

    def readings(self, readings: Readings) -> Float[torch.Tensor, "reading row"]:
        """What rows of patched runs add to the pair's `READINGS`."""
        signs = torch.tensor(self.signs, dtype=readings.logprob.dtype)
        score, clean = readings.logprob @ signs, readings.logprob @ signs.clamp(min=0)
        kl = readings.kl if self.is_first else torch.zeros_like(readings.kl)
        return self.weight * torch.stack([score, clean, kl])


def candidate_of(pair: Pair, reader: Reader) -> Candidate:
    """A pair of questions as it is run; `reader` is one of `interp.patching.readouts`."""
    span, prompt = pair.clean.spans.get("subject"), pair.clean.prompt
    if span is None or prompt is None:
        return Candidate(pair.id, tuple(reader(pair)))
    return Candidate(pair.id, tuple(reader(pair)), (prompt.first_token(span), prompt.last_token(span)))


def trials_of(number: int, candidate: Candidate, *, draws: int | None = None, seed: int = 0) -> list[Trial]:
    """The trials of a pair: its two questions, or, with `draws` of noise, the clean one with noise and without.

    Raises
    ------
    InputError
        If noise is to be put on a subject that the question does not mark.
    """
    variants = candidate.variants
    if draws is None:
        return [
            Trial(number, Side(each.clean), Side(each.corrupt), each.signs, 1.0, index == 0)
            for index, each in enumerate(variants)
        ]
    if candidate.subject is None:
        raise InputError(
            f"pair {candidate.id}: the question marks no subject to put noise on; take --corruption question"
        )
    return [
        Trial(
            number,
            Side(each.clean),
            Side(each.clean, Noise(*candidate.subject, _seed(candidate.id, draw, seed))),
            each.of_clean_answer.signs,
            1 / draws,
            index == 0,
        )
        for draw in range(draws)
        for index, each in enumerate(variants)
    ]


def recorded_sides(
    model: HookedModel, sides: Sequence[Side], *, with_cache: bool, deviation: float = 0.0
) -> dict[Side, Recording]:
    """The recordings of runs, each once; noise has so large a `deviation`."""
    found: dict[Side, Recording] = {}
    for batch in batched(list(dict.fromkeys(sides)), RUNS_AT_ONCE):

        def noisy(
            stream: Float[torch.Tensor, "run pos d_model"], batch: Sequence[Side] = batch
        ) -> Float[torch.Tensor, "run pos d_model"]:
            return stream + torch.stack([_noise(side.noise, stream.shape[1:], deviation) for side in batch]).to(stream)

        runs = [side.run for side in batch]
        corruption = noisy if any(side.noise for side in batch) else None
        found |= zip(batch, recorded(model, runs, with_cache=with_cache, corruption=corruption), strict=True)
    return found


def _noise(noise: Noise | None, shape: tuple[int, ...], deviation: float) -> Float[torch.Tensor, "pos d_model"]:
    drawn = torch.zeros(*shape)
    if noise is not None:
        # Drawn on the CPU: the same on every device.
        generator = torch.Generator().manual_seed(noise.seed)
        length = noise.last - noise.first + 1
        drawn[noise.first : noise.last + 1] = deviation * torch.randn(length, shape[1], generator=generator)
    return drawn


def _seed(identifier: str, draw: int, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{identifier}:{draw}".encode()).digest()[:7], "big")


@dataclass(frozen=True)
class Unpatched:
    """What is read of both runs of pairs when nothing is patched."""

    clean: Mapping[int, RunReadings]
    """By the number of the pair."""
    corrupt: Mapping[int, RunReadings]
    """NaN where there is no corrupted run."""
    says_both: Mapping[int, bool]
    """Whether either run's most probable token is the one that its own answer begins with."""
    references: Mapping[Run, Float[torch.Tensor, " vocab"]]
    """Of each clean run the log-probabilities where the answer begins."""


def unpatched(
    model: HookedModel, trials: Sequence[Trial], clean: Mapping[Side, Recording], corrupt: Mapping[Side, Recording]
) -> Unpatched:
    """What is read of both runs of pairs; `corrupt` is empty where there is no corrupted run."""
    references = {side.run: logprobs for side, logprobs in _first_logprobs(model, clean).items()}
    said = {side: int(logprobs.argmax()) for side, logprobs in _first_logprobs(model, corrupt).items()}
    says = dict.fromkeys((trial.pair for trial in trials), True)
    for trial in trials:
        begins = dict(zip(reversed(trial.signs), reversed(trial.clean.run.targets), strict=True))
        says[trial.pair] &= 1 not in begins or begins[1].token == int(references[trial.clean.run].argmax())
        says[trial.pair] &= -1 not in begins or begins[-1].token == said.get(trial.corrupt)
    return Unpatched(
        _readings_by_pair(model, trials, [clean[trial.clean] for trial in trials], references),
        _readings_by_pair(model, trials, [corrupt[trial.corrupt] for trial in trials], references)
        if corrupt
        else {trial.pair: np.full(len(READINGS), np.nan) for trial in trials},
        says,
        references,
    )


def _first_logprobs(
    model: HookedModel, recordings: Mapping[Side, Recording]
) -> dict[Side, Float[torch.Tensor, " vocab"]]:
    """The log-probabilities at the first place where each run is read."""
    found: dict[Side, torch.Tensor] = {}
    with torch.inference_mode():
        for batch in batched(list(recordings), RUNS_AT_ONCE):
            logits = output_logits(model, torch.stack([recordings[side].final[0] for side in batch]))
            found |= zip(batch, logits.float().log_softmax(1), strict=True)
    return found


def _readings_by_pair(
    model: HookedModel,
    trials: Sequence[Trial],
    recordings: Sequence[Recording],
    references: Mapping[Run, Float[torch.Tensor, " vocab"]],
) -> dict[int, RunReadings]:
    """What is read of one side of every pair; recordings are those of the trials."""
    found: dict[int, np.ndarray] = {trial.pair: np.zeros(len(READINGS)) for trial in trials}
    of_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, recording in enumerate(recordings):
        of_shape[recording.run.shape].append(index)
    for chosen in of_shape.values():
        readings = readings_of(
            model,
            torch.stack([recordings[index].final for index in chosen]),
            [recordings[index].run for index in chosen],
            [references[trials[index].clean.run] for index in chosen],
        )
        for row, index in enumerate(chosen):
            of_row = Readings(*(each[row : row + 1] for each in readings))
            found[trials[index].pair] += trials[index].readings(of_row)[:, 0].double().numpy()
    return found
