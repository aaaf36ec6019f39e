"""Activations of sites at just the wanted cells, from one forward pass over a batch.

1. Tokens that all sequences of the batch begin with have been run once, alone, and only the rest of each sequence is
   run; one block after the other has a copy of their keys and values for each sequence.
2. A hook gathers the wanted tokens on the model's device as soon as the site has been computed; nothing else is kept.
3. The pass ends at the last wanted hook: no layer above it is run, and no logits.
4. What was gathered is copied to the CPU once.

Sequences are padded on the right, where padding cannot reach a real token of a causal model.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from interp.errors import InputError
from interp.models.hooked_model import HookedModel, padded, run_until
from interp.models.sites import hook_names
from interp.positions import MISSING

TokenIds = Sequence[int]
HooksOfSites = Mapping[str, tuple[str, ...]]
"""For each site its hook in every wanted layer."""


@dataclass(frozen=True)
class Prefix:
    """Tokens that many sequences begin with, run once."""

    tokens: tuple[int, ...]
    cache: Any
    """Hugging Face's cache of their keys and values, for a batch of one."""
    places: tuple[int, ...]
    """Those of the tokens whose activations are wanted."""
    kept: Mapping[str, Float[torch.Tensor, "place width"]]
    """Their activations, by hook."""

    def cache_for(self, n_sequences: int) -> Any:
        """The keys and values for one pass of a batch, whose own are appended to them.

        They are in memory once: a block has a copy for each sequence while it attends to them, and no longer. With a
        copy in every block, a few thousand tokens and some hundred sequences would fill any GPU.
        """
        cache = copy.copy(self.cache)
        cache.layers = [_layer_for(n_sequences, layer) for layer in self.cache.layers]
        return cache

    def activations_at(
        self, hook: str, cells: Int[np.ndarray, "position example"]
    ) -> Float[torch.Tensor, "position example width"]:
        """A hook at those cells that are in the prefix; any other cell is anything."""
        place = np.searchsorted(self.places, np.minimum(np.maximum(cells, 0), len(self.tokens) - 1))
        index = torch.from_numpy(np.minimum(place, len(self.places) - 1))
        return self.kept[hook][index.to(self.kept[hook].device)]


def _layer_for(n_sequences: int, layer: Any) -> Any:
    """A view of a layer of a cache for some sequences, which gives what it is to attend to and keeps nothing of it."""
    view = copy.copy(layer)
    if layer.keys is None:  # It is above the last wanted hook, and has not been run.
        return view
    view.keys, view.values = (each.expand(n_sequences, -1, -1, -1) for each in (layer.keys, layer.values))

    def update(*states: Any, **options: Any) -> Any:
        before = view.keys, view.values
        appended = type(layer).update(view, *states, **options)
        view.keys, view.values = before
        return appended

    view.update = update
    return view


def hooks_of_sites(model: HookedModel, sites: Sequence[str], layers: Sequence[int] | None = None) -> HooksOfSites:
    """The hooks of sites in the wanted layers; None means all.

    Raises
    ------
    InputError
        If the model has no such site or layer.
    """
    n_layers = model.cfg.n_layers
    wanted = range(n_layers) if layers is None else layers
    beyond = [layer for layer in wanted if not 0 <= layer < n_layers]
    if beyond:
        raise InputError(f"this model has no layer {beyond[0]}; its layers are 0 to {n_layers - 1}")
    return {site: tuple(hook_names(model, site)[layer] for layer in wanted) for site in sites}


def prefix_of(model: HookedModel, tokens: TokenIds, cells: Int[np.ndarray, ...], hooks: HooksOfSites) -> Prefix:
    """Run the tokens that sequences begin with, and keep what goes on from there.

    Parameters
    ----------
    model
        One that `takes_prefixes`.
    tokens
        What the sequences begin with.
    cells
        Indices of wanted tokens of any of the sequences; those within `tokens` are kept.
    hooks
        What is wanted, as for `batch_activations`.
    """
    from transformers import DynamicCache

    cache = DynamicCache(config=model.original_model.config)  # type: ignore[attr-defined]
    places = sorted({int(cell) for cell in cells.flat if 0 <= cell < len(tokens)}) or [0]
    index = torch.tensor(places)[:, None]
    gathered = _gathered(model, [tokens], index, hooks, past_key_values=cache)
    return Prefix(tuple(tokens), cache, tuple(places), {name: each[:, 0] for name, each in gathered.items()})


def batch_activations(
    model: HookedModel,
    sequences: Sequence[TokenIds],
    cells: Int[np.ndarray, "example position"],
    hooks: HooksOfSites,
    prefix: Prefix | None = None,
) -> dict[str, Float[torch.Tensor, "layer position example width"]]:
    """Sites at one token of each sequence for each position, from one forward pass.

    Parameters
    ----------
    model
        The model.
    sequences
        Tokens, of any lengths.
    cells
        For each sequence and position an index into its tokens, or `MISSING`.
    hooks
        For each site its hooks, as `hooks_of_sites` gives them. What has more than one axis for a token (``head_z``:
        head and d_head) is laid out in a row.
    prefix
        What all sequences begin with, if it has been run.

    Returns
    -------
    dict
        The activations of each site on the CPU, in the model's dtype; NaN where a cell is `MISSING`.
    """
    start = len(prefix.tokens) if prefix else 0
    passed = {"past_key_values": prefix.cache_for(len(sequences))} if prefix else {}
    # In the order in which they are kept: gathering costs the same in any, and another copy does not.
    cells = np.ascontiguousarray(cells.T)
    index = torch.from_numpy(np.maximum(cells - start, 0))
    gathered = _gathered(model, [sequence[start:] for sequence in sequences], index, hooks, **passed)
    if prefix:
        within = torch.from_numpy(cells < start)[:, :, None]
        for name, activation in gathered.items():
            before = prefix.activations_at(name, cells)
            gathered[name] = torch.where(within.to(activation.device), before, activation)
    absent = torch.from_numpy(cells == MISSING)
    return {site: _of_layers([gathered[name] for name in names], absent) for site, names in hooks.items()}


def site_activations(
    model: HookedModel,
    sequences: Sequence[TokenIds],
    cells: Int[np.ndarray, "example position"],
    site: str = "resid_post",
) -> Float[torch.Tensor, "layer position example width"]:
    """One site of every layer at one token of each sequence for each position; see `batch_activations`.

    Raises
    ------
    InputError
        If the model has no such site.
    """
    return batch_activations(model, sequences, cells, hooks_of_sites(model, [site]))[site]


def _gathered(
    model: HookedModel,
    sequences: Sequence[TokenIds],
    index: Int[torch.Tensor, "position example"],
    hooks: HooksOfSites,
    **passed: Any,
) -> dict[str, Float[torch.Tensor, "position example width"]]:
    """Each hook at some tokens of each sequence, on the device on which it was computed."""
    rows = torch.arange(len(sequences))
    index_on: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}
    gathered: dict[str, torch.Tensor] = {}

    def gather(name: str, activation: Float[torch.Tensor, "example pos ..."]) -> None:
        # The blocks of a model that is split over devices are on several.
        if activation.device not in index_on:
            index_on[activation.device] = (rows.to(activation.device), index.to(activation.device))
        gathered[name] = activation[index_on[activation.device]].flatten(start_dim=2)

    names = dict.fromkeys(name for names in hooks.values() for name in names)
    run_until(model, padded(sequences).to(model.cfg.device), {name: partial(gather, name) for name in names}, **passed)
    return gathered


def _of_layers(
    layers: list[Float[torch.Tensor, "position example width"]], absent: torch.Tensor
) -> Float[torch.Tensor, "layer position example width"]:
    one_device = len({layer.device for layer in layers}) == 1
    stacked = torch.stack(layers if one_device else [layer.cpu() for layer in layers]).cpu()
    if bool(absent.any()):
        stacked[:, absent] = float("nan")
    return stacked
