"""The plain sweep: every patch a whole forward pass of its own, several of them in a batch.

For models whose blocks cannot be entered in the middle (recurrent ones, `HookedTransformer`), and what the wavefront is
held to in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from einops import rearrange
from jaxtyping import Float

from interp.models.hooked_model import HookedModel, padded, run_until
from interp.models.sites import hook_names, own_copy
from interp.patching.patches import Job, Unit, put
from interp.patching.recordings import Recording


def plain_patches(
    model: HookedModel,
    site: str,
    units: Sequence[Unit],
    receivers: Sequence[Recording],
    jobs: Sequence[Job],
    *,
    token_budget: int,
) -> Float[torch.Tensor, "unit job place d_model"]:
    """Patch columns; the arguments and what is returned are as for `interp.patching.wavefront.wavefront`.

    `token_budget` is how many tokens one forward pass takes, padding included.
    """
    rows = [(unit, job) for unit in units for job in jobs]
    longest = max(len(receivers[job.receiver].run.tokens) for job in jobs)
    size = max(token_budget // longest, 1)
    parts = [_pass(model, site, rows[start : start + size], receivers) for start in range(0, len(rows), size)]
    return rearrange(torch.cat(parts), "(unit job) place d_model -> unit job place d_model", job=len(jobs))


def _pass(
    model: HookedModel, site: str, rows: Sequence[tuple[Unit, Job]], receivers: Sequence[Recording]
) -> Float[torch.Tensor, "row place d_model"]:
    """The stream after the last block where some patched runs are read, from one forward pass."""
    own = [receivers[job.receiver] for _, job in rows]
    first, last = "blocks.0.hook_resid_pre", f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
    names = hook_names(model, site)
    found: dict[str, torch.Tensor] = {}

    def begun(stream: Float[torch.Tensor, "row pos d_model"]) -> torch.Tensor:
        # What the receivers' run had there, which may be corrupted.
        for row, receiver in enumerate(own):
            stream[row, : receiver.stream.shape[1]] = receiver.stream[0].to(stream.device)
        return stream

    def patched(layer: int, activation: torch.Tensor) -> torch.Tensor:
        if names[layer] == first:
            activation = begun(activation)
        activation = own_copy(activation, site)
        for row, (unit, job) in enumerate(rows):
            if unit.first <= layer <= unit.last:
                put(activation[row : row + 1], [job.place], job.donor[layer][None], unit.head)
        return activation

    writing = {first: begun} | {name: partial(patched, layer) for layer, name in enumerate(names)}
    tokens = padded([receiver.run.tokens for receiver in own]).to(model.cfg.device)
    run_until(model, tokens, {last: partial(found.__setitem__, last)}, writing)
    places = torch.tensor([receiver.run.places for receiver in own], device=found[last].device)
    return found[last][torch.arange(len(rows), device=places.device)[:, None], places]
