"""Where a model's files are: by short name, folder, GGUF file or hub id."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from interp.errors import InputError, first_line, unknown_name
from interp.models.gguf import WHEEL_MODELS, cache_folder, gguf_model_folder, wheel_model_folder
from interp.work.files import sha256

log = logging.getLogger(__name__)

HUB_FILES = ("*.json", "*.jinja", "*.model", "*.txt", "README.md")
CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
"""How the architectures of models that continue texts end."""
SAFE_WEIGHTS = "*.safetensors"
PICKLED_WEIGHTS = "*.bin"
LAYERS = ("num_hidden_layers", "n_layer", "n_layers")
WIDTH = ("hidden_size", "n_embd", "d_model")
"""What families call the number of layers and the width in their configurations."""


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files are, and what tells them from any other model's."""

    name: str
    """What the model goes by in folders and figures."""
    folder: Path
    revision: str
    """The commit of a hub model, or ``sha256:`` and the hash of the files' hashes."""


def resolve_model(
    spec: str, *, revision: str | None = None, pickled_weights: bool = False, remote_code: bool = False
) -> ModelSource:
    """Find a model's files, fetching them if they are not here; does not load them.

    Parameters
    ----------
    spec
        A short name (``"smollm2-135m"``), a folder in Hugging Face's layout, a ``.gguf`` file (converted once into the
        user's cache folder), or a hub id (``"org/name"``, or one of TransformerLens's own names such as ``"gpt2"``).
    revision
        A branch, tag or commit of a hub model.
    pickled_weights
        Whether weights may be pickled (``*.bin``), which can run code when they are loaded, if there are no others.
    remote_code
        Whether a hub model's own Python code is fetched with it.

    Raises
    ------
    InputError
        If the model is not known, cannot be fetched, its files are corrupt, or its weights are pickled and may not be;
        or if a revision is given for what is not on the hub.
    """
    path = Path(spec).expanduser()
    if revision is not None and (spec in WHEEL_MODELS or path.exists()):
        raise InputError(f"{spec} has no revisions, as a hub model does; leave --revision out")
    if spec in WHEEL_MODELS:
        folder = wheel_model_folder(spec, cache_folder())
        # The wheel's file, not the conversion: safetensors headers may differ from one library version to the next.
        return ModelSource(spec, folder, f"sha256:{WHEEL_MODELS[spec].gguf_sha256}")
    if path.is_dir():
        return ModelSource(path.resolve().name, path, f"sha256:{_folder_sha256(path, pickled_weights)}")
    if path.suffix.lower() == ".gguf" and path.is_file():
        folder, digest = gguf_model_folder(path, cache_folder())
        return ModelSource(path.stem.lower(), folder, f"sha256:{digest}")
    if path.exists() or path.suffix.lower() == ".gguf" or spec.startswith((".", "/", "~")):
        raise InputError(f"{spec} is no model; give a folder with config.json, tokenizer and weights, or a .gguf file")
    return _hub_source(spec, revision, pickled_weights, remote_code)


def config_of(folder: Path) -> dict[str, Any]:
    """The model's configuration, read as JSON: transformers takes seconds to import, and may not be needed."""
    path = folder / "config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {first_line(error)}; give a complete model folder") from error


def architectures_of(source: ModelSource) -> list[str]:
    """Hugging Face's classes for the model, by its configuration; none if it does not say."""
    return list(config_of(source.folder).get("architectures") or [])


def n_layers_of(source: ModelSource) -> int | None:
    """How many layers the model has, by its configuration; None if it does not say."""
    return _first_of(_text_config(source.folder), *LAYERS)


def needs_remote_code(source: ModelSource) -> bool:
    """Whether the model names Python code of its own to be loaded with."""
    return "auto_map" in config_of(source.folder)


def require_causal(source: ModelSource) -> None:
    """Raise an `InputError` for a model that does not continue texts."""
    config = config_of(source.folder)
    architectures = architectures_of(source)
    if config.get("is_encoder_decoder"):
        what = "an encoder with a decoder"
    elif architectures and not any(name.endswith(CAUSAL) for name in architectures):
        what = f"no language model that continues texts ({', '.join(architectures)})"
    else:
        return
    raise InputError(f"the model in {source.folder} is {what}; give a decoder-only model, such as a Llama or a GPT")


def _folder_sha256(folder: Path, pickled_weights: bool) -> str:
    """One hash for all files of a folder that decide what the model computes and how text becomes tokens."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} has no config.json; give a model folder in Hugging Face's layout")
    code = ["*.py"] if "auto_map" in config_of(folder) else []
    patterns = [SAFE_WEIGHTS, PICKLED_WEIGHTS, "*.json", "*.jinja", "*.model", "*.txt", *code]
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    _require_weights(folder, pickled_weights)
    lines = [f"{path.name} {sha256(path)}" for path in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _require_weights(folder: Path, pickled_weights: bool) -> None:
    if any(folder.glob(SAFE_WEIGHTS)):
        return
    if not any(folder.glob(PICKLED_WEIGHTS)):
        raise InputError(f"{folder} has no weights ({SAFE_WEIGHTS}, {PICKLED_WEIGHTS}); give a complete model folder")
    if not pickled_weights:
        raise InputError(
            f"{folder} has pickled weights only ({PICKLED_WEIGHTS}), which can run code when they are loaded; save "
            "them as safetensors, or give --pickled-weights if you trust their author"
        )


def _hub_source(spec: str, revision: str | None, pickled_weights: bool, remote_code: bool) -> ModelSource:
    name = _hub_id(spec)
    from huggingface_hub import constants, snapshot_download

    if not constants.HF_HUB_OFFLINE:
        # It waits without end for a network that takes a question and does not answer.
        log.info("asking the hub for %s; if that hangs, HF_HUB_OFFLINE=1 takes what is in your cache", name)
    files = [*HUB_FILES, *(["*.py"] if remote_code else [])]
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=[*files, SAFE_WEIGHTS]))
        if pickled_weights and not any(folder.glob(SAFE_WEIGHTS)):
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=[*files, PICKLED_WEIGHTS]))
    except Exception as error:
        raise _not_fetched(name, revision, error) from error
    if not (pickled_weights or any(folder.glob(SAFE_WEIGHTS))):
        raise InputError(
            f"the hub has no {SAFE_WEIGHTS} of {name}; if it has pickled weights, which can run code when they are "
            "loaded, give --pickled-weights if you trust their author"
        )
    # The hub's cache names a snapshot's folder by its commit.
    return ModelSource(name.split("/")[-1].lower(), folder, folder.name)


def _not_fetched(name: str, revision: str | None, error: Exception) -> InputError:
    """The one line for whatever kept a model from being fetched."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        why = "it is gated; accept its terms on its page, then log in with 'hf auth login' or set HF_TOKEN"
    elif isinstance(error, RepositoryNotFoundError):
        why = "there is no such model, or it is private; check the name, or log in with 'hf auth login'"
    elif isinstance(error, RevisionNotFoundError):
        why = f"it has no revision {revision}; give --revision a branch, tag or commit that it has"
    elif isinstance(error, ConnectionError | OSError):
        # LocalEntryNotFoundError among them: nothing in the cache, and nothing to ask.
        why = f"{first_line(error)}; it is not in your cache: check the network, or give a folder that you copied here"
    else:
        why = f"{first_line(error)}; check the name and the network"
    return InputError(f"cannot fetch the model {name} from the hub: {why}")


def _hub_id(spec: str) -> str:
    """The hub id for `spec`; a name without an owner must be one that TransformerLens knows."""
    if "/" in spec:
        return spec
    by_alias = official_names()
    if spec not in by_alias:
        raise unknown_name("model", spec, {*WHEEL_MODELS, *by_alias}, "Or give a hub id (org/name) or a model folder.")
    return by_alias[spec]


def official_names() -> dict[str, str]:
    """The hub ids of the models that TransformerLens knows, by each of their names."""
    from transformer_lens.supported_models import MODEL_ALIASES, OFFICIAL_MODEL_NAMES

    by_alias = {alias: str(name) for name, aliases in MODEL_ALIASES.items() for alias in aliases}
    return by_alias | {name: str(name) for name in OFFICIAL_MODEL_NAMES}


@dataclass(frozen=True)
class KnownModel:
    """A model that is known or cached, as far as its files tell."""

    name: str
    where: str
    family: str | None = None
    layers: int | None = None
    width: int | None = None
    megabytes: float | None = None
    """On the disk; None if it is not there yet."""
    licence: str | None = None
    """By the model's card."""


def known_models() -> list[KnownModel]:
    """The models with short names, then converted GGUF files, then those in the hub's cache; nothing is fetched."""
    converted = cache_folder() / "models"
    named = [
        replace(_known(name, converted / name, f"the package {model.requirement}"), licence=model.licence)
        for name, model in WHEEL_MODELS.items()
    ]
    files = [_known(folder.name, folder, f"{folder}") for folder in sorted(converted.glob("gguf-*"))]
    return [*named, *files, *_of_hub_cache()]


def _known(name: str, folder: Path, where: str) -> KnownModel:
    if not (folder / "config.json").is_file():
        return KnownModel(name, where)
    config = _text_config(folder)
    megabytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    layers, width = _first_of(config, *LAYERS), _first_of(config, *WIDTH)
    return KnownModel(name, where, config.get("model_type"), layers, width, megabytes, _licence(folder))


def _text_config(folder: Path) -> dict[str, Any]:
    """The configuration of a model, or of the part of it that continues texts."""
    config = config_of(folder)
    return {**config, **config.get("text_config", {})}


def _first_of(config: dict[str, Any], *names: str) -> int | None:
    return next((int(config[key]) for key in names if config.get(key)), None)


def _licence(folder: Path) -> str | None:
    """The licence that the model's card names, if there is a card that can be read."""
    from huggingface_hub import ModelCard

    try:
        named = ModelCard.load(folder / "README.md").data.license
    except (OSError, ValueError):
        return None
    return ", ".join(named) if isinstance(named, list) else named


def _of_hub_cache() -> list[KnownModel]:
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return []
    revisions = [
        _known(repository.repo_id, revision.snapshot_path, f"the hub's cache, commit {revision.commit_hash[:12]}")
        for repository in sorted(repositories, key=lambda repository: repository.repo_id)
        if repository.repo_type == "model"
        for revision in sorted(repository.revisions, key=lambda revision: revision.commit_hash)
    ]
    return [model for model in revisions if model.layers is not None]
