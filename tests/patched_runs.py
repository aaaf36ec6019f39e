"""Runs of tiny models to patch, what is read of them, and what it takes for two patches to be the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from interp.activations.batch_activations import site_activations
from interp.models.hooked_model import HookedModel
from interp.patching.patches import Readings, Run, Target, Unit, readings_of, units_of
from interp.patching.recordings import Corruption, Recording, recorded
from interp.patching.sweep_choice import takes_wavefronts

TOLERANCE = 1e-5
CLEAR = 1e-3
"""An effect on a logit that no rounding makes: a hundred times the tolerance."""


def tokens_of(length: int, seed: int) -> tuple[int, ...]:
    return tuple(torch.randint(2, 380, (length,), generator=torch.Generator().manual_seed(seed)).tolist())


def read_at(tokens: tuple[int, ...], *places: int) -> Run:
    return Run(tokens, tuple(Target(place, token) for place in places for token in (5, 111)))


def of_run(model: HookedModel, tokens: tuple[int, ...], site: str) -> Float[torch.Tensor, "layer pos width"]:
    return site_activations(model, [tokens], np.arange(len(tokens))[None], site)[:, :, 0]


def rows_of(model: HookedModel, site: str, window: int = 1) -> list[Unit]:
    n_layers = model.cfg.n_layers
    heads = model.cfg.n_heads if site == "head_z" else None
    return units_of(range(n_layers), n_layers=n_layers, window=window, n_heads=heads)


def records(model: HookedModel, runs: Sequence[Run], corruption: Corruption | None = None) -> list[Recording]:
    return recorded(model, runs, with_cache=takes_wavefronts(model), corruption=corruption)


def own_readings(model: HookedModel, recording: Recording) -> Readings:
    return readings_of(model, recording.final[None], [recording.run])


def logits_of(model: HookedModel, *sequences: tuple[int, ...]) -> Float[torch.Tensor, "row pos vocab"]:
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.tensor(sequences))
        return logits


def at_targets(logits: Float[torch.Tensor, "*row pos vocab"], run: Run) -> Float[torch.Tensor, "*row target"]:
    return torch.stack([logits[..., target.place, target.token] for target in run.targets], -1)


def assert_near(ours: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(ours, expected, rtol=0, atol=TOLERANCE)


def assert_same_effect(ours: torch.Tensor, expected: torch.Tensor, baseline: torch.Tensor) -> None:
    """Equal, and the effect is there, and the error is small beside it."""
    assert_near(ours, expected)
    error, effect = float((ours - expected).abs().max()), float((expected - baseline).abs().max())
    assert effect > CLEAR
    assert error < effect / 1000


def noise(tokens: Sequence[int]) -> Corruption:
    """Noise on some tokens of every run, the same whatever runs beside it."""

    def corrupted(stream: Float[torch.Tensor, "run pos d_model"]) -> Float[torch.Tensor, "run pos d_model"]:
        drawn = torch.randn(20, stream.shape[-1], generator=torch.Generator().manual_seed(0))
        stream = stream.clone()
        stream[:, list(tokens)] += drawn[list(tokens)]
        return stream

    return corrupted
