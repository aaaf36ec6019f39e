"""Recordings: all that one run leaves behind that a patched copy of it goes on from.

The residual stream before every block, the keys and values of every attention layer, and the stream after the last
block where the run is read. Keys and values are those that attention uses (rotated, and once for the heads that share
them), so that whatever a family does to make them has been done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float

from interp.models.hooked_model import HookedModel, padded, run_until, takes_prefixes
from interp.patching.patches import Run, pass_tokens
from interp.work.plan import n_shared

Corruption = Callable[[Float[torch.Tensor, "run pos d_model"]], Float[torch.Tensor, "run pos d_model"]]
"""What is done to the stream before the first block."""
Streams = dict[str, torch.Tensor]
"""By hook, of the shape row × token × d_model."""


@dataclass(frozen=True)
class Recording:
    """What a run left behind."""

    run: Run
    stream: Float[torch.Tensor, "layer pos d_model"]
    """Before each block."""
    last: Float[torch.Tensor, "pos d_model"]
    """After the last block."""
    keys: tuple[Float[torch.Tensor, "head pos d_head"], ...]
    """Of each attention layer; none where they are not kept."""
    values: tuple[Float[torch.Tensor, "head pos d_head"], ...]

    @property
    def final(self) -> Float[torch.Tensor, "place d_model"]:
        """After the last block, where the run is read."""
        return self.last[list(self.run.places)]

    def residual(self, site: str, places: Sequence[int]) -> Float[torch.Tensor, "layer place d_model"]:
        """``resid_pre`` or ``resid_post`` of every layer at some tokens."""
        if site == "resid_pre":
            return self.stream[:, places]
        return torch.cat([self.stream[1:, places], self.last[None, places]])


def recorded(
    model: HookedModel, runs: Sequence[Run], *, with_cache: bool, corruption: Corruption | None = None
) -> list[Recording]:
    """Run the model over a batch of runs, once; over the tokens that all of them begin with for all of them.

    Parameters
    ----------
    model
        The model.
    runs
        Of any lengths.
    with_cache
        Whether to keep keys and values; only a model that `interp.models.hooked_model.takes_prefixes` has them.
    corruption
        What is done to the stream before the first block.
    """
    n_layers = model.cfg.n_layers
    names = [f"blocks.{block}.hook_resid_pre" for block in range(n_layers)]
    last = f"blocks.{n_layers - 1}.hook_resid_post"
    shared = _shared_tokens(model, runs) if corruption is None else ()
    cache = _empty_cache() if with_cache or shared else None
    pass_over = partial(_streams, model, [*names, last], cache)
    before: Streams = {}
    if cache is not None and shared:
        before = pass_over([shared])
        cache.batch_repeat_interleave(len(runs))
    after = pass_over([run.tokens[len(shared) :] for run in runs], {} if corruption is None else {names[0]: corruption})

    def stream(name: str, row: int) -> Float[torch.Tensor, "pos d_model"]:
        own = after[name][row, : len(runs[row].tokens) - len(shared)]
        return torch.cat([before[name][0], own]) if shared else own

    return [
        Recording(
            run=run,
            stream=torch.stack([stream(name, row) for name in names]),
            last=stream(last, row),
            keys=_of_row(cache, "keys", row, len(run.tokens)) if with_cache else (),
            values=_of_row(cache, "values", row, len(run.tokens)) if with_cache else (),
        )
        for row, run in enumerate(runs)
    ]


def _shared_tokens(model: HookedModel, runs: Sequence[Run]) -> tuple[int, ...]:
    """What all runs begin with, such as a chat's system turn, where a pass of its own costs less than it spares."""
    if not takes_prefixes(model):
        return ()
    tokens = sorted(run.tokens for run in runs)
    shared = n_shared(tokens, range(len(tokens)))
    return tokens[0][:shared] if shared * (len(runs) - 1) > pass_tokens(model) else ()


def _streams(
    model: HookedModel,
    names: Sequence[str],
    cache: Any,
    sequences: Sequence[Sequence[int]],
    writing: Mapping[str, Corruption] | None = None,
) -> Streams:
    """Each hook at every token of sequences that go on from a cache, which their keys and values are added to."""
    kept: Streams = {}

    def keep(name: str, activation: torch.Tensor) -> None:
        kept[name] = activation.to(model.cfg.device)

    hooks = {name: partial(keep, name) for name in names}
    passed = {} if cache is None else {"past_key_values": cache}
    run_until(model, padded(sequences).to(model.cfg.device), hooks, writing, **passed)
    return kept


def _empty_cache() -> Any:
    """One that keeps every key, of layers with a sliding window too: their masks say what is out of the window."""
    from transformers import DynamicCache

    return DynamicCache()


def _of_row(cache: Any, what: str, row: int, length: int) -> tuple[torch.Tensor, ...]:
    """The keys or values of one run in every layer, without those of its padding."""
    return tuple(getattr(layer, what)[row, :, :length] for layer in cache.layers)
