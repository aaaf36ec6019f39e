"""Language models, loaded as TransformerLens models with hooks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.errors import InputError, first_line, unknown_name
from interp.models.devices import placement, resolve_dtype
from interp.models.hooked_model import HookedModel
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
    from transformer_lens.model_bridge import TransformerBridge

log = logging.getLogger(__name__)

BACKENDS = ("auto", "bridge", "hooked")
WEIGHTS = ("raw", "processed")
UNKNOWN_ARCHITECTURE = "supported architecture"
"""What TransformerLens's error says of a model that it has no adapter for."""


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
