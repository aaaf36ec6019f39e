"""Recordings: all that one run leaves behind that a patched copy of it goes on from.

The residual stream before every block, the keys and values of every attention layer, and the stream after the last
block where the run is read. Keys and values are those that attention uses (rotated, and once for the heads that share
them), so that whatever a family does to make them has been done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float

from interp.models import HookedModel, padded, run_until
from interp.patching import Run

Corruption = Callable[[Float[torch.Tensor, "run pos d_model"]], Float[torch.Tensor, "run pos d_model"]]
"""What is done to the stream before the first block."""


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
    """Run the model once over a batch of runs.

    Parameters
    ----------
    model
        The model.
    runs
        Of any lengths.
    with_cache
        Whether to keep keys and values; only a model that `interp.activations.takes_prefixes` has them.
    corruption
        What is done to the stream before the first block.
    """
    device, n_layers = model.cfg.device, model.cfg.n_layers
    names = [f"blocks.{block}.hook_resid_pre" for block in range(n_layers)]
    last = f"blocks.{n_layers - 1}.hook_resid_post"
    kept: dict[str, torch.Tensor] = {}

    def keep(name: str, activation: torch.Tensor) -> None:
        kept[name] = activation.to(device)

    cache = _empty_cache() if with_cache else None
    run_until(
        model,
        padded([run.tokens for run in runs]).to(device),
        {name: partial(keep, name) for name in [*names, last]},
        {} if corruption is None else {names[0]: corruption},
        **({} if cache is None else {"past_key_values": cache}),
    )
    return [
        Recording(
            run=run,
            stream=torch.stack([kept[name][row, : len(run.tokens)] for name in names]),
            last=kept[last][row, : len(run.tokens)],
            keys=_of_row(cache, "keys", row, len(run.tokens)),
            values=_of_row(cache, "values", row, len(run.tokens)),
        )
        for row, run in enumerate(runs)
    ]


def _empty_cache() -> Any:
    """One that keeps every key, of layers with a sliding window too: their masks say what is out of the window."""
    from transformers import DynamicCache

    return DynamicCache()


def _of_row(cache: Any, what: str, row: int, length: int) -> tuple[torch.Tensor, ...]:
    """The keys or values of one run in every layer, without those of its padding."""
    return () if cache is None else tuple(getattr(layer, what)[row, :, :length] for layer in cache.layers)
