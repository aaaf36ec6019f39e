"""Norms that run once, in every family: the same stream, and hooks that are watched still see what they would."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from interp.models.hooked_model import HookedModel
from interp.models.norms import norms_run_once

TOKENS = torch.randint(2, 380, (2, 9), generator=torch.Generator().manual_seed(0))


def cached(model: HookedModel) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        return dict(model.run_with_cache(TOKENS)[1].items())


def of_norms(names: set[str]) -> set[str]:
    return {name for name in names if name.endswith(("hook_scale", "hook_normalized"))}


def test_nothing_changes_but_what_nobody_watches(family_model: HookedModel) -> None:
    logits = family_model(TOKENS)
    streams = cached(family_model)
    with norms_run_once(family_model, []):
        assert torch.equal(family_model(TOKENS), logits)
    again = cached(family_model)
    assert again.keys() == streams.keys(), "every hook is back"
    assert all(torch.equal(again[name], streams[name]) for name in streams)


def test_the_norms_of_a_bridge_run_once(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(model, "original_model"):
        pytest.skip("HookedTransformer's norms are computed from what they hook")
    powers: list[int] = []
    power = torch.Tensor.pow
    monkeypatch.setattr(torch.Tensor, "pow", lambda *args: powers.append(1) or power(*args))
    model(TOKENS)
    both, n_norms = len(powers), 2 * model.cfg.n_layers + 1
    assert both == 2 * n_norms
    with norms_run_once(model, []):
        model(TOKENS)
    assert len(powers) - both == n_norms


def test_a_norm_that_is_watched_is_left_alone(family_model: HookedModel) -> None:
    expected = cached(family_model)
    watched = of_norms(set(expected))
    assert watched
    seen: dict[str, torch.Tensor] = {}

    def see(activation: torch.Tensor, hook: torch.Tensor | object, name: str) -> None:
        seen[name] = activation

    for name in sorted(watched):
        with torch.inference_mode(), norms_run_once(family_model, [name]):
            hooks = [(name, lambda activation, hook, name=name: see(activation, hook, name))]
            family_model.run_with_hooks(TOKENS, fwd_hooks=hooks)
    assert seen.keys() == watched
    assert all(torch.equal(seen[name], expected[name]) for name in watched)


def test_hooks_that_were_there_before_are_kept(model: HookedModel) -> None:
    seen: list[str] = []
    model.add_hook("blocks.1.ln2.hook_normalized", lambda activation, hook: seen.append("seen"))
    try:
        with norms_run_once(model, []):
            model(TOKENS)
    finally:
        model.reset_hooks()
    assert seen == ["seen"]


def test_a_norm_with_a_way_of_its_own_is_left_alone(model: HookedModel) -> None:
    if not hasattr(model, "original_model"):
        pytest.skip("HookedTransformer's norms are computed from what they hook")
    norm: Any = model.blocks[1].ln2  # type: ignore[attr-defined]
    kind = type(norm)

    class Doubling(kind):  # type: ignore[misc, valid-type]
        def forward(self, hidden_states: torch.Tensor, **named: Any) -> torch.Tensor:
            return 2 * super().forward(hidden_states, **named)

    plain = model(TOKENS)
    object.__setattr__(norm, "__class__", Doubling)
    try:
        expected = model(TOKENS)
        with norms_run_once(model, []):
            assert torch.equal(model(TOKENS), expected)
    finally:
        object.__setattr__(norm, "__class__", kind)
    assert not torch.allclose(expected, plain)


def test_an_error_leaves_the_norms_as_they_were(model: HookedModel) -> None:
    streams = cached(model)
    with pytest.raises(ZeroDivisionError), norms_run_once(model, []):
        raise ZeroDivisionError
    assert cached(model).keys() == streams.keys()
