"""The model of a run: where its files are, how it is loaded, and what decides what it computes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from analyses.parts.flags import Config
from analyses.parts.runs import computing_versions

if TYPE_CHECKING:
    from interp.models.hooked_model import HookedModel
    from interp.models.model_sources import ModelSource


def source_of(config: Config, spec: str | None = None) -> ModelSource:
    """Where the model's files are, or those of another model, which `revision` does not concern."""
    from interp.models.model_sources import resolve_model

    return resolve_model(
        spec or config.model,
        revision=config.revision if spec is None else None,
        pickled_weights=config.pickled_weights,
        remote_code=config.trust_remote_code,
    )


def n_layers_of(source: ModelSource, model: Callable[[], HookedModel]) -> int:
    """How many layers the model has; it is loaded only if its configuration does not say."""
    from interp.models import model_sources

    return model_sources.n_layers_of(source) or int(model().cfg.n_layers)


def loaded(config: Config, source: ModelSource) -> HookedModel:
    """The model, as the flags say."""
    from interp.models.devices import parse_device_map
    from interp.models.loading import load_model

    return load_model(
        source,
        backend=config.backend,
        device=config.device,
        dtype=config.dtype,
        weights=config.weights,
        device_map=parse_device_map(config.device_map),
        n_devices=config.n_devices,
        trust_remote_code=config.trust_remote_code,
    )


def once_loaded(config: Config, source: ModelSource) -> Callable[[], HookedModel]:
    """The model, which is loaded when it is first asked for."""
    return cache(lambda: loaded(config, source))


def model_identity(config: Config, source: ModelSource) -> dict[str, Any]:
    """All that decides what the model computes from given tokens."""
    form = form_of(config, source)
    default = {"backend": "bridge", "weights": "raw"}
    return {name: value for name, value in form.items() if value != default.get(name)} | {
        "model": source.name,
        "revision": source.revision,
        "libraries": computing_versions(),
    }


def record_of(config: Config, source: ModelSource) -> dict[str, str]:
    """Which model is run, and how, for the record of a result."""
    return {"model": source.name, "revision": source.revision} | form_of(config, source)


def form_of(config: Config, source: ModelSource) -> dict[str, str]:
    """How the model is run, for the record of a result."""
    from interp.models.devices import resolve_dtype
    from interp.models.loading import resolve_backend

    return {
        "backend": resolve_backend(source, config.backend),
        "weights": config.weights,
        "dtype": resolve_dtype(config.dtype, config.device),
    } | code_of(config, source)


def code_of(config: Config, source: ModelSource) -> dict[str, str]:
    """That a model runs with the code that came with it, if it does."""
    from interp.models.model_sources import needs_remote_code

    return {"code": "the model's own"} if config.trust_remote_code and needs_remote_code(source) else {}
