"""Which pairs enter: both runs of each are recorded and read as they are, and pairs that cannot be patched fall out.

A pair enters if the model says both answers, and its two runs differ by a margin; of the others the reason is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from interp.errors import InputError
from interp.models.hooked_model import HookedModel
from interp.patching.interventions import Intervention
from interp.patching.pair_runs import Candidate, Side, Trial, Unpatched, recorded_sides, trials_of, unpatched
from interp.patching.recordings import Recording
from interp.patching.sweep_choice import takes_wavefronts

Recordings = dict[Side, Recording]


@dataclass(frozen=True)
class Entries:
    """Pairs that enter, with all that patching goes on from."""

    numbers: tuple[int, ...]
    """Of the pairs, among the candidates."""
    trials: tuple[Trial, ...]
    receivers: tuple[Recording, ...]
    """The run that is patched in each trial."""
    givers: Recordings
    """Of the runs that vectors are taken from; for resampling they are not recorded."""
    read: Unpatched
    """What is read of both runs of all pairs that were looked at."""
    dropped: Counter[str]
    """How many of the pairs that were tried did not enter, by reason."""


def entries_of(
    model: HookedModel,
    candidates: Sequence[Candidate],
    numbers: Sequence[int],
    intervention: Intervention,
    *,
    most: int,
    deviation: float = 0.0,
) -> Entries:
    """Those of some pairs that enter.

    Parameters
    ----------
    model
        The model.
    candidates
        All pairs.
    numbers
        Of the pairs that are looked at, in the order in which they are tried.
    intervention
        What is patched into what.
    most
        No more are tried once so many have entered.
    deviation
        Of the noise.

    Raises
    ------
    InputError
        If what is read of a run is not a number.
    """
    trials = [trial for number in numbers for trial in _trials(number, candidates[number], intervention)]
    clean, corrupt = _recordings(model, trials, intervention, deviation)
    read = unpatched(model, trials, clean, corrupt)
    for number in numbers:
        for name, readings in (("clean", read.clean[number]), ("corrupted", read.corrupt[number])):
            if name == "clean" or not intervention.is_ablation:
                require_numbers(f"pair {candidates[number].id}: its {name} run", readings)
    why = {number: _why_dropped(number, read, intervention) for number in numbers}
    entering = [number for number in numbers if why[number] is None][:most]
    tried = numbers[: numbers.index(entering[-1]) + 1] if entering and len(entering) == most else numbers
    chosen = tuple(trial for trial in trials if trial.pair in entering)
    return Entries(
        numbers=tuple(entering),
        trials=chosen,
        receivers=tuple(
            clean[trial.clean] if intervention.receives_clean else corrupt[trial.corrupt] for trial in chosen
        ),
        givers=corrupt if intervention.gives_other else clean,
        read=read,
        dropped=Counter(reason for number in tried if (reason := why[number]) is not None),
    )


def require_numbers(what: str, readings: Float[np.ndarray, ...]) -> None:
    """Raise an `InputError` if what is read of a run is not a number."""
    if not np.isfinite(readings).all():
        raise InputError(
            f"{what} gives {readings[~np.isfinite(readings)][0]}; take --dtype float32, or leave the pair out"
        )


def subject_deviation(model: HookedModel, candidates: Sequence[Candidate]) -> float:
    """The deviation of the components of the stream before the first block, at the subjects of some pairs, if any."""
    subjects = {Side(each.variants[0].clean): each.subject for each in candidates if each.subject}
    recordings = recorded_sides(model, list(subjects), with_cache=False)
    spans = [recordings[side].stream[0, first : last + 1] for side, (first, last) in subjects.items()]
    return float(torch.cat(spans).float().std()) if spans else 0.0


def _trials(number: int, candidate: Candidate, it: Intervention) -> list[Trial]:
    if it.corruption == "noise":
        return trials_of(number, candidate, draws=it.draws, seed=it.seed)
    if it.is_ablation:
        candidate = candidate._replace(variants=tuple(each.of_clean_answer for each in candidate.variants))
    return trials_of(number, candidate)


def _recordings(
    model: HookedModel, trials: Sequence[Trial], it: Intervention, deviation: float
) -> tuple[Recordings, Recordings]:
    """Of the clean and of the corrupted runs; keys and values of those that receive."""
    fast = not it.plain and takes_wavefronts(model, it.site)
    clean = recorded_sides(model, [trial.clean for trial in trials], with_cache=fast and it.receives_clean)
    if it.is_ablation:
        return clean, {}
    sides, with_cache = [trial.corrupt for trial in trials], fast and not it.receives_clean
    return clean, recorded_sides(model, sides, with_cache=with_cache, deviation=deviation)


def _why_dropped(number: int, read: Unpatched, it: Intervention) -> str | None:
    if it.only_said and not read.says_both[number]:
        return "the model says another answer"
    gap = read.clean[number][0] - read.corrupt[number][0]
    if not it.is_ablation and not gap >= it.margin:
        return f"the two runs differ by less than the margin of {it.margin:g}"
    return None
