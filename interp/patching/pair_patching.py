"""Activation patching over pairs of questions: what every patch of every pair gives.

1. The runs of both sides of a pair are recorded. Pairs enter whose two answers the model gives, and whose scores differ
   by a margin; the others are counted, by reason.
2. Positions are resolved in either run by their names: the donor's vector at its ``subject_last`` goes to the
   receiver's ``subject_last``, whatever the indices.
3. Every layer of every position is patched (`interp.patching.sweep`), several pairs at a time.
4. What is read is kept for every pair, cell by cell, as soon as it is there (`interp.patching.patched_parts`), and
   `interp.patching.patch_map` makes maps of it.

Cells whose patch could do nothing, whatever the model, are missing, with the reason (`interp.patching.columns`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from interp.errors import InputError
from interp.models.hooked_model import HookedModel, context_length, padded
from interp.models.output_path import output_logits, require_own_logits
from interp.models.sites import require_by_token
from interp.patching.columns import Cells
from interp.patching.interventions import Intervention
from interp.patching.pair_runs import RUNS_AT_ONCE, Candidate
from interp.patching.patched_pairs import PatchedPairs, joined
from interp.patching.patched_parts import PatchedParts
from interp.patching.patcher import PAIRS_AT_ONCE, Patcher
from interp.patching.patches import Run, Unit
from interp.patching.recordings import recorded
from interp.patching.sweep_choice import why_plain
from interp.work.batches import batched
from interp.work.progress import progress

log = logging.getLogger(__name__)


def patched_pairs(
    model: HookedModel,
    candidates: Sequence[Candidate],
    cells: tuple[Cells, Cells],
    units: Sequence[Unit],
    intervention: Intervention,
    *,
    n: int,
    left_out: Mapping[str, int] | None = None,
    kept: PatchedParts | None = None,
    of: str = "questions",
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
    left_out
        How many were left out before, by reason: counted with those that do not enter.
    kept
        Where pairs are kept as soon as they are patched, and taken from by a sweep that was interrupted; its identity
        must be that of the model. None keeps nothing.
    of
        What the pairs are of, in words.

    Raises
    ------
    InputError
        If no pair can be patched, a run is longer than what the model reads, the site is none of single tokens, or what
        is read of the first run is not what the model itself gives.
    """
    _require_fitting(model, candidates)
    first = [candidate.variants[0].clean for candidate in candidates[:RUNS_AT_ONCE]]
    if first:
        require_by_token(model, intervention.site, first[0].tokens)
        _require_output_path(model, first)
        _log_plain_sweep(model, intervention)
    if kept is not None:
        kept = kept.narrowed(PAIRS_AT_ONCE, n, candidates, [each.tolist() for each in cells], units, intervention)
    parts = _parts(Patcher(model, candidates, cells, units, intervention), n, kept)
    dropped = sum((part.dropped for part in parts), Counter[str]()) + Counter(left_out or {})
    if not any(part.ids for part in parts):
        if kept is not None:
            kept.remove()
        told = ", ".join(f"{reason} ({count})" for reason, count in dropped.most_common()) or "there are none"
        raise InputError(f"no pair of {of} can be patched: {told}; {_remedy(dropped)}take other {of}")
    return replace(joined(parts), dropped=dropped)


def _remedy(dropped: Mapping[str, int]) -> str:
    """What lets pairs in that were left out, if a flag does."""
    reasons = " ".join(dropped)
    remedies = {
        "the margin": "lower --margin",
        "the model says another answer": "give --no-only-said",
        "the pair's name": "give both rows of a pair one name, and ask both",
    }
    found = [remedy for reason, remedy in remedies.items() if reason in reasons]
    return f"{', '.join(found)}, or " if found else ""


def _parts(patcher: Patcher, n: int, kept: PatchedParts | None) -> list[PatchedPairs]:
    """The pairs that are patched, a handful at a time."""
    batches = list(batched(range(len(patcher.candidates)), PAIRS_AT_ONCE))
    found = {} if kept is None else kept.found(range(len(batches)))
    done = sum(len(part.ids) for part in found.values())
    parts: list[PatchedPairs] = []
    label = "estimated" if patcher.intervention.screen_steps else "patched"
    with progress(label, total=min(n, len(patcher.candidates)), done=done, unit="pairs") as shown:
        for number, numbers in enumerate(batches):
            part = found.get(number)
            if part is None:
                part = patcher.patched(numbers, n - sum(len(part.ids) for part in parts))
                shown.update(len(part.ids))
                if kept is not None:
                    kept.keep(number, part)
            parts.append(part)
            if sum(len(part.ids) for part in parts) >= n:
                break
    return parts


def _log_plain_sweep(model: HookedModel, it: Intervention) -> None:
    """Say that the plain sweep is taken, and why, where nobody asked for it."""
    why = None if it.plain or it.screen_steps else why_plain(model, it.site)
    if why is not None:
        log.info("%s is patched by a forward pass for every cell, which is slow: %s", it.site, why)


def _require_output_path(model: HookedModel, runs: Sequence[Run]) -> None:
    """Raise an `InputError` if what is read of a run, recorded with others, is not what the model itself gives."""
    recording, *_ = recorded(model, runs, with_cache=False)
    with torch.inference_mode():
        logits = model(padded([recording.run.tokens]).to(model.cfg.device), return_type="logits")
        own = logits[0, list(recording.run.places)].to(recording.final.device)
        require_own_logits(output_logits(model, recording.final), own)


def _require_fitting(model: HookedModel, candidates: Sequence[Candidate]) -> None:
    """Raise an `InputError` for the first pair that is longer than what the model reads."""
    most = context_length(model)
    for candidate in candidates:
        longest = max(len(run.tokens) for each in candidate.variants for run in (each.clean, each.corrupt))
        if most and longest > most:
            raise InputError(
                f"pair {candidate.id} has a run of {longest} tokens, and the model reads at most {most}; shorten the "
                "questions, or leave it out"
            )
