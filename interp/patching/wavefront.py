"""The wavefront: a column of exact patches from one pass over the model that never computes a token twice.

A patch at layer l and token p can change nothing below block l and nothing before token p. So, for one p::

    block 3  │ frozen keys and values │ p … end │  rows patched at layers 0, 1, 2, 3   → read at the end
    block 2  │ of the receiver's own  │ p … end │  rows patched at layers 0, 1, 2
    block 1  │ run, up to p, in every │ p … end │  rows patched at layers 0, 1
    block 0  │ layer                  │ p … end │  a row patched at layer 0
             └─ looked up, not run ───┴─────────┘

1. The receiver is run once; its keys, values and residual streams are kept (`interp.patching.recordings`).
2. Only the tokens from p on run. Attention sees the receiver's own keys and values for those before p.
3. Before block l, rows are appended to the batch: the receiver's own stream there, for what is patched from l on.
4. Within block l the site's hook puts the donor's vector into the rows that are patched there, at p.
5. After the last block the streams at the places that are read go through the output path; nothing else does.

The rows that are patched at layer l run through blocks l … L-1 for tokens p … T-1: L (L + 1) / 2 × (T - p) block-tokens
for a column, where a sweep of whole forward passes runs L² × T. Below the first layer that is patched one row runs all
the same. Columns of several receivers and of neighbouring tokens share a pass that begins at the first of them. Every
patched run is exact: no step is an approximation.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float

from interp.models.hooked_model import HookedModel, padded, run_until
from interp.models.norms import norms_run_once
from interp.models.sites import hook_names, own_copy
from interp.patching.patches import Job, Unit, put
from interp.patching.recordings import Recording

SAME_FOR_ALL_ROWS = ("attention_mask", "causal_mask", "position_ids", "position_embeddings")
"""Arguments of blocks that have a row for each of the batch, all alike. Nothing else is cut by its size alone: the
first axis of MPT's `position_bias` is that of heads, of which there may be as many as rows."""


def wavefront(
    model: HookedModel, site: str, units: Sequence[Unit], receivers: Sequence[Recording], jobs: Sequence[Job]
) -> Float[torch.Tensor, "unit job place d_model"]:
    """Patch columns, all in one pass.

    Parameters
    ----------
    model
        One that `interp.patching.sweep_choice.takes_wavefronts`.
    site
        What is patched: any of `interp.models.sites.SITES`.
    units
        What each row of a column patches, in the order of their first layers.
    receivers
        The runs that are patched, recorded with their keys and values.
    jobs
        The columns: which of the receivers, at which token, with which vectors.

    Returns
    -------
    Tensor
        The residual stream after the last block, where each receiver is read.
    """
    wave = _Wave(model, site, units, [receivers[job.receiver] for job in jobs], jobs)
    stream = rearrange(wave.final_stream(), "(unit job) pos d_model -> unit job pos d_model", job=len(jobs))
    places = torch.tensor([receiver.run.places for receiver in wave.receivers], device=stream.device) - wave.start
    ran = stream[:, torch.arange(len(jobs), device=stream.device)[:, None], places.clamp(min=0)]
    # What is read before the first token that is run is before every patch: the receiver's own.
    own = torch.stack([receiver.final for receiver in wave.receivers]).to(stream.device)
    return torch.where((places < 0)[:, :, None], own, ran)


@dataclass(frozen=True)
class _Wave:
    """One pass. Its rows are, unit after unit, one for each job."""

    model: HookedModel
    site: str
    units: Sequence[Unit]
    receivers: Sequence[Recording]
    """One for each job."""
    jobs: Sequence[Job]

    @property
    def start(self) -> int:
        """The first token that is run."""
        return min(job.place for job in self.jobs)

    @property
    def width(self) -> int:
        """How many tokens are run."""
        return max(len(receiver.run.tokens) for receiver in self.receivers) - self.start

    def final_stream(self) -> Float[torch.Tensor, "row pos d_model"]:
        """The residual stream after the last block."""
        n_layers = self.model.cfg.n_layers
        tokens = padded([receiver.run.tokens[self.start :] for receiver in self.receivers]).to(self.model.cfg.device)
        last = f"blocks.{n_layers - 1}.hook_resid_post"
        found: dict[str, torch.Tensor] = {}
        with ExitStack() as stack:
            names = hook_names(self.model, self.site)
            stack.enter_context(norms_run_once(self.model, [*names, last]))
            for layer, block in enumerate(self.model.blocks):  # type: ignore[attr-defined]
                enter = partial(self._entered, layer)
                stack.callback(block.register_forward_pre_hook(enter, with_kwargs=True).remove)
            hooks = {name: partial(self._patched, layer) for layer, name in enumerate(names) if self._rows_at(layer)}
            reading = {last: partial(found.__setitem__, last)}
            run_until(self.model, tokens, reading, hooks, past_key_values=self._frozen())
        return found[last]

    def _entered(self, layer: int, block: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:  # noqa: ARG002
        """A block's arguments, with the rows that are patched from this layer on, and for any number of rows."""
        stream = args[0] if args else kwargs["hidden_states"]
        beginning = sum(unit.first == layer for unit in self.units)
        begun = sum(unit.first < layer for unit in self.units)
        if beginning:
            own = self._own_stream(layer).to(stream.device).repeat(beginning, 1, 1)
            stream = torch.cat([stream, own]) if begun else own
        n_jobs = len(self.jobs)
        rest = [_for_any_rows(value, n_jobs) if _is_mask(value) else value for value in args[1:]]
        named = {
            name: _for_any_rows(value, n_jobs) if name in SAME_FOR_ALL_ROWS else value for name, value in kwargs.items()
        }
        if args:
            return (stream, *rest), named
        return (), named | {"hidden_states": stream}

    def _own_stream(self, layer: int) -> Float[torch.Tensor, "job pos d_model"]:
        """The receivers' own streams before a block, from the first token that is run."""
        d_model = self.receivers[0].stream.shape[-1]
        own = self.receivers[0].stream.new_zeros(len(self.jobs), self.width, d_model)
        for row, receiver in enumerate(self.receivers):
            stream = receiver.stream[layer, self.start :]
            own[row, : len(stream)] = stream
        return own

    def _rows_at(self, layer: int) -> list[int]:
        """The units that are patched at a layer."""
        return [row for row, unit in enumerate(self.units) if unit.first <= layer <= unit.last]

    def _patched(self, layer: int, activation: torch.Tensor) -> torch.Tensor:
        """The site's activation with the donors' vectors in the rows that are patched at this layer."""
        n_jobs = len(self.jobs)
        within = [job.place - self.start for job in self.jobs]
        donors = torch.stack([job.donor[layer] for job in self.jobs])
        activation = own_copy(activation, self.site)
        for unit in self._rows_at(layer):
            rows = slice(unit * n_jobs, (unit + 1) * n_jobs)
            put(activation[rows], within, donors, self.units[unit].head)
        return activation

    def _frozen(self) -> Any:
        """The receivers' own keys and values for the tokens before the first that is run."""
        from transformers import Cache

        n_layers = len(self.receivers[0].keys)
        return Cache(
            layers=[
                _frozen_layer(
                    torch.stack([receiver.keys[layer][:, : self.start] for receiver in self.receivers]),
                    torch.stack([receiver.values[layer][:, : self.start] for receiver in self.receivers]),
                )
                for layer in range(n_layers)
            ]
        )


def _is_mask(value: Any) -> bool:
    """Whether an argument without a name is a mask: of rows, one for all heads, tokens and those they look at."""
    return isinstance(value, torch.Tensor) and value.ndim == 4 and value.shape[1] == 1


def _for_any_rows(value: Any, n_jobs: int) -> Any:
    """An argument of a block that is the same for all rows, for a batch of any number of rows."""
    if isinstance(value, tuple):
        return tuple(_for_any_rows(each, n_jobs) for each in value)
    if isinstance(value, torch.Tensor) and value.ndim >= 2 and value.shape[0] == n_jobs:
        return value[:1]
    return value


def _frozen_layer(keys: torch.Tensor, values: torch.Tensor) -> Any:
    """A layer of a cache that always begins with these keys and values, and keeps no others."""
    from transformers.cache_utils import DynamicLayer

    def after(prefix: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        # Unit by unit, so that the prefix is copied once, into its place.
        units = rearrange(states, "(unit job) head pos d_head -> unit job head pos d_head", job=len(prefix))
        whole = torch.cat([prefix.expand(len(units), *prefix.shape), units], dim=-2)
        return rearrange(whole, "unit job head pos d_head -> (unit job) head pos d_head")

    class Frozen(DynamicLayer):  # type: ignore[misc]
        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return after(keys, key_states), after(values, value_states)

    layer = Frozen()
    layer.keys, layer.values, layer.is_initialized = keys, values, True
    return layer
