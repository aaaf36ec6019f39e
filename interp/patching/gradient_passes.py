"""Gradient passes: a metric of a run's output, differentiated with respect to a site at some of its tokens.

1. The site's hook adds a vector of zeros to each wanted cell, in place as `interp.patching.patches.put` patches it, so
   that whatever else reads the same tensor is changed with it; the cell's own activation is kept.
2. The pass ends after the last block, and only the places that are read go through the output path.
3. The gradient with respect to the zeros is that at the cells. Parameters get none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float

from interp.models.hooked_model import HookedModel, padded, run_until
from interp.models.norms import norms_run_once
from interp.models.output_path import output_logits
from interp.models.sites import hook_names, own_copy
from interp.patching.patches import target_table
from interp.patching.recordings import Recording
from interp.work.batches import batched, in_halves_if_need_be

TOKEN_BUDGETS = {"cpu": 1_024, "mps": 1_024, "cuda": 8_192}
"""Tokens of one pass, padding included. All that its blocks compute is kept for the way back; where it does not fit,
the pass is halved."""


class Cell(NamedTuple):
    """A site at one layer and token; both on the CPU, in float64."""

    own: Float[torch.Tensor, ...]
    gradient: Float[torch.Tensor, ...]


@dataclass(frozen=True)
class Row:
    """One row of a pass."""

    receiver: Recording
    places: tuple[int, ...]
    """The tokens of the cells, each once."""
    start: Float[torch.Tensor, "pos d_model"]
    """The stream before the first block."""
    moved: Float[torch.Tensor, ...] | None = None
    """What is added to the site at these tokens."""


@dataclass(frozen=True)
class GradientPasses:
    """Forward and backward passes over runs."""

    model: HookedModel
    site: str
    weights: Float[torch.Tensor, " target"]

    def cells(self, rows: Sequence[Row], layers: Sequence[int]) -> list[list[dict[int, Cell]]]:
        """For each row and each of its places the cells of some layers, in as few passes as memory allows."""
        device = torch.device(self.model.cfg.device).type
        longest = max(len(row.start) for row in rows)
        size = max(TOKEN_BUDGETS.get(device, TOKEN_BUDGETS["cpu"]) // longest, 1)
        run = partial(self._pass, layers)
        return [cells for batch in batched(rows, size) for cells in in_halves_if_need_be(run, batch)]

    def _pass(self, layers: Sequence[int], rows: tuple[Row, ...]) -> list[list[dict[int, Cell]]]:
        n_layers = self.model.cfg.n_layers
        names = hook_names(self.model, self.site)
        first, last = "blocks.0.hook_resid_pre", f"blocks.{n_layers - 1}.hook_resid_post"
        row_of = torch.tensor([index for index, row in enumerate(rows) for _ in row.places])
        place_of = torch.tensor([place for row in rows for place in row.places])
        own: dict[int, torch.Tensor] = {}
        zeros: dict[int, torch.Tensor] = {}
        final: dict[str, torch.Tensor] = {}

        def begun(stream: Float[torch.Tensor, "row pos d_model"]) -> torch.Tensor:
            for index, row in enumerate(rows):
                stream[index, : len(row.start)] = row.start.to(stream.device)
            return stream

        def shifted(layer: int, activation: Float[torch.Tensor, "row pos ..."]) -> torch.Tensor:
            if names[layer] == first:
                activation = begun(activation)
            activation = own_copy(activation, self.site)
            for index, row in enumerate(rows):
                if row.moved is not None:
                    activation[index, list(row.places)] += row.moved.to(activation.device, activation.dtype)
            here = activation[row_of, place_of]
            own[layer] = here.detach().cpu().double()
            # A hook that is called for each of queries, keys and values is one cell, of which all of them are changed.
            added = zeros.setdefault(layer, torch.zeros_like(here, requires_grad=True))
            activation[row_of, place_of] = here + added
            return activation

        writing = {first: begun} | {names[layer]: partial(shifted, layer) for layer in layers}
        tokens = padded([row.receiver.run.tokens for row in rows]).to(self.model.cfg.device)
        with norms_run_once(self.model, [*writing, last]), torch.enable_grad():
            run_until(self.model, tokens, {last: partial(final.__setitem__, last)}, writing, gradients=True)
            metric = self._metric(final[last], [row.receiver for row in rows])
            gradients = torch.autograd.grad(metric, [zeros[layer] for layer in layers])
        of_layers = {
            layer: Cell(own[layer], gradient.cpu().double()) for layer, gradient in zip(layers, gradients, strict=True)
        }
        cells = iter(
            {layer: Cell(cell.own[index], cell.gradient[index]) for layer, cell in of_layers.items()}
            for index in range(len(row_of))
        )
        return [[next(cells) for _ in row.places] for row in rows]

    def _metric(
        self, final: Float[torch.Tensor, "row pos d_model"], receivers: Sequence[Recording]
    ) -> Float[torch.Tensor, ""]:
        """The sum over rows, of which no one depends on another."""
        runs = [receiver.run for receiver in receivers]
        rows = torch.arange(len(runs))[:, None]
        read = final[rows, torch.tensor([run.places for run in runs])]
        logits = output_logits(self.model, rearrange(read, "row place d_model -> (row place) d_model")).float()
        place, token = target_table(runs).unbind(-1)
        targets = rearrange(logits, "(row place) vocab -> row place vocab", row=len(runs))[rows, place, token]
        return (targets * self.weights.to(targets)).sum()


@contextmanager
def frozen_parameters(model: HookedModel) -> Iterator[None]:
    """Spare the gradients of parameters, and what is kept for them; afterwards the flags are as they were."""
    parameters = [each for each in getattr(model, "parameters", list)() if each.requires_grad]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
