"""Language models with hooks, whichever of TransformerLens's two they are: what they take, and how far they are run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

from interp.errors import InputError

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int

_KEYS_KEPT: WeakKeyDictionary[Any, list[int] | None] = WeakKeyDictionary()
"""What is found out once for each model."""
HookFunction = Callable[["torch.Tensor"], None]
WritingHook = Callable[["torch.Tensor"], "torch.Tensor"]


@runtime_checkable
class HookedModel(Protocol):
    """What the suite uses of a TransformerLens model."""

    cfg: Any
    tokenizer: Any
    hook_dict: Any
    """Every hook of the model by its name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Logits of tokens."""

    def run_with_cache(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model and return its output and the activations of the hooks that were asked for."""

    def run_with_hooks(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model with functions at its hooks, and remove them afterwards."""

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Continue a batch of prompts."""


def stop_tokens(model: HookedModel) -> list[int]:
    """The tokens that end an answer: those of the generation settings, else the tokenizer's end token."""
    settings = getattr(getattr(model, "original_model", model), "generation_config", None)
    ids = getattr(settings, "eos_token_id", None)
    ids = ids if ids is not None else model.tokenizer.eos_token_id
    return sorted({ids} if isinstance(ids, int) else set(ids or ()))


@dataclass(frozen=True)
class Sampling:
    """How continuations are drawn."""

    temperature: float
    seed: int

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise InputError(f"the temperature is {self.temperature}; give a number above 0")

    def with_seed(self, seed: int) -> Sampling:
        """The same with another seed."""
        return replace(self, seed=seed)


def context_length(model: HookedModel) -> int | None:
    """How many tokens a model reads at most, where its configuration says so.

    Rotary positions of the kind longrope (Phi-3's and Phi-4's) are others from some length on, and then for all that
    is in the batch, so that a short sequence beside a long one would not be what it is alone: it is read up to there.
    """
    lengths = [getattr(model.cfg, "n_ctx", None), *_lengths_turned_alike(model)]
    return min(filter(None, lengths), default=None)


def _lengths_turned_alike(model: HookedModel) -> list[int]:
    """Up to which lengths longrope leaves positions as they are, of a model that has it."""
    config = getattr(getattr(model, "original_model", None), "config", None)
    rope = getattr(config, "rope_parameters", None) or {}
    of_kinds = [each for each in (rope, *rope.values()) if isinstance(each, dict)]  # Of all layers, or of each kind.
    return [each["original_max_position_embeddings"] for each in of_kinds if each.get("rope_type") == "longrope"]


def takes_prefixes(model: HookedModel) -> bool:
    """Whether the model goes on from cached keys and values: a bridge whose blocks all have them."""
    return _is_attentive(model) and _keys_kept(model) == [2] * model.cfg.n_layers


def ignores_caches(model: HookedModel) -> bool:
    """Whether a bridge leaves no keys and values in a cache, and would go on as if nothing had come before."""
    kept = _keys_kept(model) if _is_attentive(model) else None
    return kept is not None and not any(kept)


def _is_attentive(model: HookedModel) -> bool:
    return hasattr(model, "original_model") and not getattr(model.cfg, "is_stateful", False)


def _keys_kept(model: HookedModel) -> list[int] | None:
    """Of how many tokens a run of two leaves keys and values in each block; None if it wants another kind of cache.

    Hybrid models do: some of their blocks have states in place of keys.
    """
    from transformers import DynamicCache

    if model not in _KEYS_KEPT:
        cache, last = DynamicCache(), f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
        try:
            run_until(model, padded([(0, 0)]).to(model.cfg.device), {last: lambda _: None}, past_key_values=cache)
        except (AttributeError, IndexError, TypeError, ValueError):
            _KEYS_KEPT[model] = None
        else:
            keys = [getattr(layer, "keys", None) for layer in cache.layers]
            _KEYS_KEPT[model] = [0 if of_layer is None else int(of_layer.shape[-2]) for of_layer in keys]
    return _KEYS_KEPT[model]


def padded(sequences: Sequence[Sequence[int]]) -> Int[torch.Tensor, "batch pos"]:
    """Sequences of any lengths, padded on the right, where padding cannot reach a real token of a causal model."""
    import torch

    tokens = torch.zeros(len(sequences), max(map(len, sequences)), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence)] = torch.tensor(sequence)
    return tokens


def run_until(
    model: HookedModel,
    tokens: Int[torch.Tensor, "batch pos"],
    hooks: Mapping[str, HookFunction],
    writing: Mapping[str, WritingHook] | None = None,
    *,
    gradients: bool = False,
    **passed: Any,
) -> None:
    """Run the model with a function at each hook, and stop as soon as every one of them has been called.

    Nothing above the last hook is computed; in particular no logits. The hooks are removed whatever happens. Functions
    of `writing` replace a hook's activation by what they return, before `hooks` see it. With `gradients` what the hooks
    see can be differentiated. `passed` goes to the model's forward pass.

    Raises
    ------
    InputError
        If the model ran to its end without calling all of them.
    """
    import torch

    waiting = {*hooks, *(writing or {})}

    def write(name: str, function: WritingHook) -> Callable[[Any, Any], Any]:
        def run(activation: Float[torch.Tensor, "batch pos ..."], hook: Any) -> torch.Tensor:  # noqa: ARG001
            waiting.discard(name)
            return function(activation)

        return run

    def once(name: str, function: HookFunction) -> Callable[[Any, Any], None]:
        def run(activation: Float[torch.Tensor, "batch pos d_model"], hook: Any) -> None:  # noqa: ARG001
            function(activation)
            waiting.discard(name)
            if not waiting:
                raise _AllSeen

        return run

    with torch.enable_grad() if gradients else torch.inference_mode():
        try:
            fwd_hooks = [(name, write(name, function)) for name, function in (writing or {}).items()]
            fwd_hooks += [(name, once(name, function)) for name, function in hooks.items()]
            model.run_with_hooks(tokens, return_type=None, fwd_hooks=fwd_hooks, **passed)
        except _AllSeen:
            return
    raise InputError(f"this model ran without calling its {', '.join(sorted(waiting))}; take another --site")


class _AllSeen(Exception):
    """Raised out of a forward pass when nothing more of it is wanted."""
