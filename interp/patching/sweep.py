"""A sweep: every layer of every column patched, in as few passes over the model as its memory allows.

Columns that begin at neighbouring tokens share a pass if running the tokens between them again costs less than a pass
of its own: the passes are the cheapest partition of the columns, in the order of their tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float

from interp.models.hooked_model import HookedModel
from interp.patching.patches import Job, Readings, Unit, pass_tokens, readings_of
from interp.patching.plain_patching import plain_patches
from interp.patching.recordings import Recording
from interp.patching.sweep_choice import takes_wavefronts
from interp.patching.wavefront import wavefront
from interp.work.batches import batched, in_halves_if_need_be

TOKEN_BUDGETS = {"cpu": 8_192, "mps": 8_192, "cuda": 65_536}
"""Tokens, through all rows, that a block may see at once."""


Patch = Callable[..., torch.Tensor]


class Column(NamedTuple):
    """What a pass has to know of a job."""

    place: int
    length: int
    """Of the receiver's run."""


def patched_readings(
    model: HookedModel,
    site: str,
    units: Sequence[Unit],
    receivers: Sequence[Recording],
    jobs: Sequence[Job],
    references: Sequence[Float[torch.Tensor, " vocab"]] | None = None,
    *,
    plain: bool = False,
) -> list[Readings]:
    """What is read of every patch of some columns.

    Parameters
    ----------
    model, site, units, receivers, jobs
        As for `interp.patching.wavefront.wavefront`; receivers with their keys and values, if the model
        `takes_wavefronts`.
    references
        For each receiver the log-probabilities from which the divergence is measured.
    plain
        Run every patch as a whole forward pass, also where that is not the only way.

    Returns
    -------
    list of Readings
        For each job, with a row for each unit.
    """
    device = torch.device(model.cfg.device).type
    budget = TOKEN_BUDGETS.get(device, TOKEN_BUDGETS["cpu"])
    columns = [Column(job.place, len(receivers[job.receiver].run.tokens)) for job in jobs]
    if plain or not takes_wavefronts(model, site):
        passes = list(batched(range(len(jobs)), 1))
        patch: Patch = partial(plain_patches, token_budget=budget)
    else:
        passes = shared_passes(
            columns,
            depth=_depth(units, model.cfg.n_layers),
            pass_tokens=pass_tokens(model),
            most=lambda width: max(budget // (len(units) * width), 1),
        )
        patch = wavefront

    def streams_of(batch: tuple[int, ...]) -> list[torch.Tensor]:
        return list(patch(model, site, units, receivers, [jobs[index] for index in batch]).unbind(1))

    streams: dict[int, torch.Tensor] = {}
    for batch in passes:
        streams |= zip(batch, in_halves_if_need_be(streams_of, batch), strict=True)
    own = [job.receiver for job in jobs for _ in units]
    readings = readings_of(
        model,
        torch.cat([streams[index] for index in range(len(jobs))]),
        [receivers[receiver].run for receiver in own],
        None if references is None else [references[receiver] for receiver in own],
    )
    return [
        Readings(*(each[start : start + len(units)] for each in readings)) for start in range(0, len(own), len(units))
    ]


def _depth(units: Sequence[Unit], n_layers: int) -> float:
    """How many times through all blocks a column's tokens go: each row from its first layer on, one up to there too."""
    firsts = [unit.first for unit in units]
    return (sum(n_layers - first for first in firsts) + min(firsts)) / n_layers


def shared_passes(
    columns: Sequence[Column], *, depth: float, pass_tokens: float, most: Callable[[int], int]
) -> list[tuple[int, ...]]:
    """Which columns run together: the partition of least cost, of columns in the order of their tokens.

    Parameters
    ----------
    columns
        What is to be run.
    depth
        How many times through all blocks each token of a column goes, with all its rows.
    pass_tokens
        What a pass costs besides, in tokens through all blocks.
    most
        How many columns of a width may run together.
    """
    order = sorted(range(len(columns)), key=lambda index: columns[index])
    ordered = [columns[index] for index in order]
    # The least cost of running all columns up to one, and where its last pass begins.
    least: list[tuple[float, int]] = [(0.0, 0)]
    for stop in range(1, len(ordered) + 1):
        longest, best = 0, (float("inf"), 0)
        for start in range(stop - 1, -1, -1):
            longest = max(longest, ordered[start].length)
            width, n = longest - ordered[start].place, stop - start
            if n > max(most(width), 1):
                break
            best = min(best, (least[start][0] + pass_tokens + depth * width * n, start))
        least.append(best)
    passes: list[tuple[int, ...]] = []
    stop = len(ordered)
    while stop:
        start = least[stop][1]
        passes.append(tuple(order[start:stop]))
        stop = start
    return passes[::-1]
