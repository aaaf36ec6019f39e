"""Language models, as TransformerLens models with hooks: loaded, and run as far as a hook."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

from interp.errors import InputError, first_line, unknown_name
from interp.models.devices import placement, resolve_dtype
from interp.models.hooked_transformers import ARCHITECTURES, hooked_transformer, is_installed, left_out
from interp.models.model_sources import (
    ModelSource,
    architectures_of,
    config_of,
    needs_remote_code,
    require_causal,
    resolve_model,
)
from interp.models.whole_weights import whole_models_of
from interp.number_words import listed

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int
    from transformer_lens.model_bridge import TransformerBridge

log = logging.getLogger(__name__)

BACKENDS = ("auto", "bridge", "hooked")
WEIGHTS = ("raw", "processed")
UNKNOWN_ARCHITECTURE = "supported architecture"
"""What TransformerLens's error says of a model that it has no adapter for."""
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


def load_model(
    spec: str | ModelSource,
    *,
    backend: str = "auto",
    device: str = "auto",
    dtype: str = "auto",
    weights: str = "raw",
    revision: str | None = None,
    device_map: str | Mapping[str, Any] | None = None,
    n_devices: int | None = None,
    pickled_weights: bool = False,
    trust_remote_code: bool = False,
) -> HookedModel:
    """Load a model with hooks.

    Parameters
    ----------
    spec
        What `interp.models.model_sources.resolve_model` takes (short name, folder, GGUF file, hub id), or what it
        gives.
    backend
        One of `BACKENDS`, as `resolve_backend` takes it.
    device
        ``"auto"`` (CUDA, then Apple's MPS, then the CPU) or a torch device.
    dtype
        ``"auto"`` (bfloat16 where the device multiplies it fast, else float32) or one of
        `interp.models.devices.DTYPES`.
    weights
        ``"raw"``, as they were trained; or ``"processed"``, as TransformerLens can make them: norms folded into the
        layers that follow, what is written to the residual stream and the logits centred. The log-probabilities are the
        same, the residual stream may not be (``docs/models.md``).
    revision
        Branch, tag or commit, where `spec` is a model of the hub.
    device_map
        Spreads the model over devices, in place of `device`: what Hugging Face's accelerate takes. Bridge only.
    n_devices
        Splits the model over that many CUDA devices, in place of `device`.
    pickled_weights
        Whether weights may be pickled, where there are no others and `spec` is not resolved yet.
    trust_remote_code
        Whether Python code that comes with the model may be run.

    Raises
    ------
    InputError
        If the model is not found, the device or the backend is not there, it does not continue texts, its files cannot
        be loaded, or it does not say through TransformerLens what it says in transformers.
    """
    import torch
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    source = (
        resolve_model(spec, revision=revision, pickled_weights=pickled_weights, remote_code=trust_remote_code)
        if isinstance(spec, str)
        else spec
    )
    require_causal(source)
    chosen = resolve_backend(source, backend)
    if weights not in WEIGHTS:
        raise unknown_name("weights", weights, WEIGHTS)
    if chosen == "hooked" and device_map is not None:
        raise InputError("HookedTransformer takes no device map; split it with --n-devices, or take --backend bridge")
    place = placement(device, device_map, n_devices)
    torch_dtype: torch.dtype = getattr(torch, resolve_dtype(dtype, device))
    where = ", ".join(f"{name} {value}" for name, value in place.items())
    log.info("loading %s in %s, %s", source.name, str(torch_dtype).removeprefix("torch."), where)
    try:
        if chosen == "hooked":
            loaded = hooked_transformer(source.folder, dtype=torch_dtype, processed=weights == "processed", **place)
        else:
            loaded = _bridge(source.folder, torch_dtype, weights, trust_remote_code=trust_remote_code, **place)
    except InputError:
        raise
    except Exception as error:
        # Whatever transformers or TransformerLens raises here, the reason is in the files that the user named.
        raise _not_loaded(source, error, trust_remote_code) from error
    loaded.eval()
    return loaded


def _bridge(
    folder: Path, dtype: torch.dtype, weights: str, *, trust_remote_code: bool, **place: Any
) -> TransformerBridge:
    from transformer_lens.model_bridge import TransformerBridge

    whole = whole_models_of(folder, place.get("device"))
    bridge = TransformerBridge.boot_transformers(
        str(folder), dtype=dtype, trust_remote_code=trust_remote_code, model_class=whole, **place
    )
    if weights == "processed":
        bridge.enable_compatibility_mode(disable_warnings=True)
    whole.require_same_output(bridge)
    return bridge


def _not_loaded(source: ModelSource, error: Exception, trusted: bool) -> InputError:
    """The one line for whatever kept a model from being loaded."""
    if needs_remote_code(source) and not trusted:
        why, remedy = first_line(error), "give --trust-remote-code if you trust the code that comes with it"
    elif UNKNOWN_ARCHITECTURE in str(error):
        installed = f"TransformerLens {version('transformer-lens')}"
        why = f"{installed} does not know its architecture ({', '.join(architectures_of(source)) or 'not said'})"
        remedy = "take another model, or a newer TransformerLens"
    else:
        why, remedy = first_line(error), "check that its files are whole, and that transformers knows the model"
    return InputError(f"cannot load the model in {source.folder}: {why}; {remedy}")


def resolve_backend(source: ModelSource, backend: str) -> str:
    """Which of TransformerLens's two implementations a model is loaded as.

    ``"bridge"`` is `TransformerBridge`, which wraps Hugging Face's own model; ``"hooked"`` is `HookedTransformer`,
    which TransformerLens 3.9 has and 4 has not; ``"auto"`` is the latter where it is there and can load the model.

    Raises
    ------
    InputError
        If the backend is not known, not installed, cannot load a model of this architecture, or would leave out some
        of it.
    """
    if backend not in BACKENDS:
        raise unknown_name("backend", backend, BACKENDS)
    loads = any(name in ARCHITECTURES for name in architectures_of(source))
    lost = left_out(config_of(source.folder)) if loads else []
    if backend == "auto":
        return "hooked" if is_installed() and loads and not lost else "bridge"
    if backend == "hooked" and not is_installed():
        raise InputError(
            "TransformerLens 4 has no HookedTransformer; take --backend bridge, or bring it back with: "
            "pip install 'transformer-lens>=3.9,<4'"
        )
    if backend == "hooked" and not loads:
        known = ", ".join(ARCHITECTURES)
        raise InputError(f"{source.name} cannot be loaded as HookedTransformer ({known} can); take --backend bridge")
    if backend == "hooked" and lost:
        raise InputError(f"HookedTransformer would leave out {listed(lost)} of {source.name}; take --backend bridge")
    return backend


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
