"""Attribution patching: the effects of many patches estimated from the gradient of one run, to screen cells.

A patch moves one vector from the receiver's own to the donor's. To first order that changes a metric of the output by
the metric's gradient at that vector times the move (Nanda 2023, "Attribution Patching: Activation Patching At
Industrial Scale", neelnanda.io; Syed et al. 2023, arXiv 2310.10348)::

    m(own + move) - m(own) ≈ ∇m(own) · move

One forward and one backward pass over the receiver give this for every layer, head and token at once. It is exactly the
derivative of the exact patch (`interp.patching.sweep`) of own + strength × move, at strength 0, and misses all that
bends on the way: norms, attention patterns that saturate, nonlinearities.

Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365) average the gradient over a path, here at the middles
of equal parts of it. There are two paths, since the one that ends in the exact patch costs more than the patch, and the
cheap one promises little:

- *Along the inputs* (EAP-IG of Hanna et al. 2024, arXiv 2403.17806): before the first block, all columns of a receiver
  move together from its own embeddings to the donor's, and the gradients of all cells are taken on the way, with one
  pass for each step. Runs may differ in length, as only the tokens of the columns move. It is complete in the stream
  before the first block: with many steps the estimates there add up to the effect of patching all columns at once. In
  deeper cells nothing is promised: on four pairs of SmolLM2, two came nearer to the exact patches and two went away.
- *Along the patch itself*, one cell at a time: with many steps the exact patch in every cell, by the fundamental
  theorem of calculus. It takes a forward and a backward pass for each cell and step, where the exact patch takes part
  of a forward pass: it shows how much of an error is the step's, and screens nothing.

Neither path sees a jump: where a mixture of experts sends a token to another expert on the way, no number of steps
makes up for it.

TransformerLens 4 has attribution patching of its own (``transformer_lens.tools.analysis.attribution_patching``), for
``mlp_out`` and ``head_z``, one pair of runs of one length at a time, with one step. The tests hold this to it there;
it does not cover the other sites, and its scores are means over pairs, so that all of them are computed here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float

from interp.errors import InputError
from interp.models.hooked_model import HookedModel
from interp.patching.gradient_passes import Cell, GradientPasses, Row, frozen_parameters
from interp.patching.patches import Job, Unit
from interp.patching.recordings import Recording


def attributed_effects(
    model: HookedModel,
    site: str,
    units: Sequence[Unit],
    receivers: Sequence[Recording],
    jobs: Sequence[Job],
    weights: Float[torch.Tensor, " target"],
    *,
    steps: int = 1,
    embeddings: Sequence[Float[torch.Tensor, " d_model"]] | None = None,
) -> Float[torch.Tensor, "job unit"]:
    """Estimates of what each patch changes in a weighted sum of the logits of its receiver's targets.

    Parameters
    ----------
    model
        The model; its parameters and their gradients are left as they are.
    site
        What is patched: any of `interp.models.sites.SITES`.
    units
        What is patched in each column: single layers, whole or one head of them.
    receivers
        The runs that are patched, all with as many targets; recorded with or without keys and values.
    jobs
        The columns, as for `interp.patching.sweep.patched_readings`. Those of one receiver share its pass.
    weights
        Of the targets, in the order of each run's: +1 and -1 for the difference between two tokens' logits.
    steps
        1 takes the gradient of the receiver's own run, once. More of them average it over a path to the donor.
    embeddings
        For each job the donor's stream before the first block, at the donor's token: the path goes along the inputs.
        None: along each patch itself, which costs more than the exact patch.

    Returns
    -------
    Tensor
        The weighted sum in the patched run less that in the unpatched one, in logits; float64, on the CPU.

    Raises
    ------
    InputError
        If steps are fewer than 1, a unit spans several layers, or the model has no such site.
    """
    if steps < 1:
        raise InputError(f"attribution patching takes at least 1 step, not {steps}")
    if any(unit.first != unit.last for unit in units):
        # What is put in at one layer hides there what was put in below it: the layers' estimates do not add up.
        raise InputError("attribution patching estimates single layers; take a window of 1, or patch exactly")
    if not jobs or not units:
        return torch.zeros(len(jobs), len(units), dtype=torch.float64)
    passes = GradientPasses(model, site, weights)
    with torch.inference_mode(False), frozen_parameters(model):
        columns = _Columns(passes, units, receivers, jobs)
        at_rest = columns.along_inputs(0.0)
        moves = [
            torch.stack([_move(job.donor[unit.first], cells[unit.first].own, unit.head) for unit in units])
            for job, cells in zip(jobs, at_rest, strict=True)
        ]
        if steps == 1:
            gradients = columns.at_units(at_rest)
        elif embeddings is not None:
            along = [columns.at_units(columns.along_inputs(at, embeddings)) for at in _middles(steps)]
            gradients = torch.stack(along).mean(0)
        else:
            gradients = torch.stack([columns.along_patches(at, moves) for at in _middles(steps)]).mean(0)
        return (gradients * torch.stack(moves)).flatten(start_dim=2).sum(-1)


@dataclass(frozen=True)
class _Columns:
    """The cells of some jobs, on the way from the receivers to the donors."""

    passes: GradientPasses
    units: Sequence[Unit]
    receivers: Sequence[Recording]
    jobs: Sequence[Job]

    def along_inputs(
        self, strength: float, embeddings: Sequence[Float[torch.Tensor, " d_model"]] | None = None
    ) -> list[dict[int, Cell]]:
        """For each job its cells, with all columns moved together before the first block; None moves none."""
        groups = _sharing_a_row(self.jobs)
        rows = []
        for group in groups:
            receiver = self.receivers[self.jobs[group[0]].receiver]
            start = receiver.stream[0].clone()
            if embeddings is not None:
                for job in group:
                    place = self.jobs[job].place
                    start[place] += strength * (embeddings[job].to(start) - start[place])
            rows.append(Row(receiver, tuple(self.jobs[job].place for job in group), start))
        found = self.passes.cells(rows, sorted({unit.first for unit in self.units}))
        cells = {
            job: each
            for group, of_row in zip(groups, found, strict=True)
            for job, each in zip(group, of_row, strict=True)
        }
        return [cells[job] for job in range(len(self.jobs))]

    def along_patches(
        self, strength: float, moves: Sequence[Float[torch.Tensor, "unit ..."]]
    ) -> Float[torch.Tensor, "job unit ..."]:
        """For each job and unit the gradient where that cell alone is moved."""
        gradients: dict[tuple[int, int], torch.Tensor] = {}
        for layer in sorted({unit.first for unit in self.units}):
            at_layer = [index for index, unit in enumerate(self.units) if unit.first == layer]
            wanted = [(job, unit) for job in range(len(self.jobs)) for unit in at_layer]
            rows = []
            for job, unit in wanted:
                receiver = self.receivers[self.jobs[job].receiver]
                moved = strength * moves[job][unit]
                rows.append(Row(receiver, (self.jobs[job].place,), receiver.stream[0].clone(), moved))
            for which, [cells] in zip(wanted, self.passes.cells(rows, [layer]), strict=True):
                gradients[which] = cells[layer].gradient
        return torch.stack(
            [torch.stack([gradients[job, unit] for unit in range(len(self.units))]) for job in range(len(self.jobs))]
        )

    def at_units(self, cells: Sequence[Mapping[int, Cell]]) -> Float[torch.Tensor, "job unit ..."]:
        """For each job and unit the gradient at the unit's layer."""
        return torch.stack([torch.stack([each[unit.first].gradient for unit in self.units]) for each in cells])


def _sharing_a_row(jobs: Sequence[Job]) -> list[list[int]]:
    """Jobs of one receiver at different tokens; of those at one token every one is in a row of its own."""
    seen: Counter[tuple[int, int]] = Counter()
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, job in enumerate(jobs):
        groups[job.receiver, seen[job.receiver, job.place]].append(index)
        seen[job.receiver, job.place] += 1
    return list(groups.values())


def _move(
    donor: Float[torch.Tensor, " width"], own: Float[torch.Tensor, ...], head: int | None
) -> Float[torch.Tensor, ...]:
    """What a patch adds to a cell, shaped as the cell is."""
    move = donor.cpu().double().reshape(own.shape) - own
    if head is None:
        return move
    of_head = torch.zeros_like(move)
    of_head[head] = move[head]
    return of_head


def _middles(steps: int) -> list[float]:
    """The middles of equal parts of the way, where the error of a mean falls with the square of their number."""
    return [(step + 0.5) / steps for step in range(steps)]
