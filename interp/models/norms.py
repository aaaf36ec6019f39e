"""Norms of a bridge that run once.

TransformerLens's bridge lets Hugging Face's own norm run, and beside it computes the scale and the normalized stream
for its two hooks there, whether anything watches them or not: about 2 % of the processor's time for a forward pass of
SmolLM2 in bfloat16 on a CPU (0.97 to 1.09 times as long in 12 turns). Where nothing does, only the norm itself needs to
run; what it passes on is the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from interp.models.hooked_model import HookedModel


@contextmanager
def norms_run_once(model: HookedModel, watched: Collection[str]) -> Iterator[None]:
    """Spare what the model's norms compute for hooks alone, but for the hooks `watched` and those in use."""
    hooks = model.hook_dict
    points = {id(hooks[name]) for name in watched}
    norms = [norm for norm in _native_norms(model) if not _is_watched(norm, points)]
    for norm in norms:
        # Past the component's own way of setting, which would set it on what it wraps.
        vars(norm)["forward"] = partial(_passed_on, norm)
    try:
        yield
    finally:
        for norm in norms:
            del vars(norm)["forward"]  # That of its class shows again.


def _native_norms(model: HookedModel) -> list[Any]:
    """The norms that give what Hugging Face's own gives; the others are computed from what they hook."""
    from transformer_lens.model_bridge.generalized_components.normalization import NormalizationBridge

    return [
        module
        for module in (model.modules() if isinstance(model, torch.nn.Module) else ())
        if isinstance(module, NormalizationBridge)
        and type(module).forward is NormalizationBridge.forward
        and (module.use_native_layernorm_autograd or getattr(module.config, "layer_norm_folding", False))
    ]


def _is_watched(norm: Any, points: Collection[int]) -> bool:
    return any(
        id(point) in points or point.fwd_hooks or point.bwd_hooks for point in (norm.hook_scale, norm.hook_normalized)
    )


def _passed_on(norm: Any, hidden_states: torch.Tensor, **_: Any) -> torch.Tensor:
    stream = norm.hook_in(hidden_states)
    return norm.hook_out(norm.original_component(stream).to(stream.dtype))
