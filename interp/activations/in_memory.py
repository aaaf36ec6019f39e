"""Activations in memory: cells as a store has them, for maps that are made without a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float

from interp.activations.batch_activations import site_activations
from interp.activations.capture import default_token_budget
from interp.errors import InputError
from interp.examples import Answer
from interp.models.hooked_model import HookedModel
from interp.work.batches import in_halves_if_need_be
from interp.work.plan import capture_plan


@dataclass(frozen=True)
class InMemory:
    """Activations of examples, read cell by cell: an `interp.activations.store.Cells`.

    Raises
    ------
    InputError
        If there are not as many layers, positions or examples as the activations are of.
    """

    activations: Float[torch.Tensor, "layer position example width"]
    """NaN where an example does not have the position."""
    layers: tuple[int, ...]
    positions: tuple[str, ...]
    examples: tuple[str, ...]

    def __post_init__(self) -> None:
        named = len(self.layers), len(self.positions), len(self.examples)
        if named != self.activations.shape[:3]:
            raise InputError(
                f"activations of (layer, position, example) {tuple(self.activations.shape[:3])} were given with names "
                f"for {named}; name every one of them"
            )

    def cell(self, layer: int, position: str) -> Float[torch.Tensor, "example width"]:
        """One (layer, position) of every example."""
        return self.activations[self.layers.index(layer), self.positions.index(position)]


def captured_in_memory(
    model: HookedModel,
    answers: Sequence[Answer],
    table: xr.Dataset,
    site: str = "resid_post",
    *,
    token_budget: int | None = None,
) -> InMemory:
    """One site of every layer at the positions of answers, captured now; `interp.activations.capture` keeps it on disk.

    Parameters
    ----------
    model
        The model that gave the answers.
    answers
        What was said.
    table
        What `interp.positions.position_table` returns for them.
    site
        One of `interp.models.sites.SITES`, or a hook by TransformerLens's name.
    token_budget
        How many tokens one forward pass takes; by default what suits the device.

    Raises
    ------
    InputError
        If there are no answers, or others than the table is of; if the model has no such site, or the memory does not
        suffice for a single example.
    """
    sequences, cells = [tuple(answer.token_ids) for answer in answers], table["token"].values
    if not sequences or len(sequences) != len(cells):
        raise InputError(
            f"{len(sequences)} answers were given with the positions of {len(cells)}; give one or more, and the table "
            "of exactly these"
        )
    budget = token_budget or default_token_budget(str(model.cfg.device))
    plan = capture_plan(sequences, token_budget=budget, reuse_prefixes=False)

    def captured(rows: tuple[int, ...]) -> list[torch.Tensor]:
        return [site_activations(model, [sequences[row] for row in rows], cells[list(rows)], site)]

    batches = [batch.examples for shard in plan for batch in shard]
    parts = [part for rows in batches for part in in_halves_if_need_be(captured, rows)]
    order = torch.tensor([row for rows in batches for row in rows])
    return InMemory(
        torch.cat(parts, dim=2)[:, :, order.argsort()],
        tuple(range(model.cfg.n_layers)),
        tuple(table["position"].values.tolist()),
        tuple(answer.question.id for answer in answers),
    )
