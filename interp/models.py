"""Language models, as TransformerLens models with hooks: by short name, folder or hub id."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from interp.errors import InputError, unknown_name
from interp.files import sha256
from interp.gguf import WHEEL_MODELS, cache_folder, wheel_model_folder

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int

log = logging.getLogger(__name__)

DTYPES = ("float32", "bfloat16", "float16")
HUB_FILES = ("*.json", "*.jinja", "*.model", "*.txt")
HookFunction = Callable[["torch.Tensor"], None]


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files are, and what tells them from any other model's."""

    name: str
    """What the model goes by in folders and figures."""
    folder: Path
    revision: str
    """The commit of a hub model, or ``sha256:`` and the hash of the files' hashes."""


@runtime_checkable
class HookedModel(Protocol):
    """What the suite uses of a TransformerLens model."""

    cfg: Any
    tokenizer: Any

    def run_with_cache(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model and return its output and the activations of the hooks that were asked for."""

    def run_with_hooks(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model with functions at its hooks, and remove them afterwards."""

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Continue a batch of prompts."""


def resolve_model(spec: str, *, revision: str | None = None) -> ModelSource:
    """Find a model's files, fetching them if they are not here; does not load them.

    Parameters
    ----------
    spec
        A short name (``"smollm2-135m"``), a folder in Hugging Face's layout, or a hub id (``"org/name"``, or one of
        TransformerLens's own names such as ``"gpt2"``).
    revision
        A branch, tag or commit of a hub model.

    Raises
    ------
    InputError
        If the model is not known, cannot be fetched, or its files are corrupt.
    """
    if spec in WHEEL_MODELS:
        folder = wheel_model_folder(spec, cache_folder())
        # The wheel's file, not the conversion: safetensors headers may differ from one library version to the next.
        return ModelSource(spec, folder, f"sha256:{WHEEL_MODELS[spec].gguf_sha256}")
    path = Path(spec).expanduser()
    if path.is_dir():
        return ModelSource(path.resolve().name, path, f"sha256:{_folder_sha256(path)}")
    if path.exists() or spec.startswith((".", "/", "~")):
        raise InputError(f"{spec} is not a model folder; give a folder with config.json, tokenizer and weights")
    return _hub_source(spec, revision)


def load_model(source: ModelSource, *, device: str = "auto", dtype: str = "auto") -> HookedModel:
    """Load a model as a `TransformerBridge`, with the weights as they are (nothing folded or centred).

    Parameters
    ----------
    source
        Where it is.
    device
        ``"auto"`` (CUDA, then Apple's MPS, then the CPU) or a torch device.
    dtype
        ``"auto"`` (the checkpoint's own) or one of `DTYPES`.

    Raises
    ------
    InputError
        If the device is not there, or the files cannot be loaded.
    """
    import torch
    from transformer_lens.model_bridge import TransformerBridge
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    torch_device = resolve_device(device)
    torch_dtype: torch.dtype = getattr(torch, resolve_dtype(source, dtype))
    log.info("loading %s in %s on %s", source.name, str(torch_dtype).removeprefix("torch."), torch_device)
    try:
        bridge = TransformerBridge.boot_transformers(str(source.folder), device=torch_device, dtype=torch_dtype)
    except Exception as error:
        # Whatever transformers or TransformerLens raises here, the reason is in the files that the user named.
        raise InputError(f"cannot load the model in {source.folder}: {_first_line(error)}") from error
    bridge.eval()
    model: HookedModel = bridge
    return model


def resolve_device(device: str) -> str:
    """The torch device that `device` names; raises an `InputError` if this machine does not have it."""
    import torch

    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count())), *present]
    if device == "auto":
        return present[0]
    if device not in present:
        raise InputError(f"no device {device!r} on this machine; it has: {', '.join(present)}. Give --device auto")
    return device


def resolve_dtype(source: ModelSource, dtype: str) -> str:
    """The name of the dtype to load in: `dtype`, or for ``"auto"`` the one that the checkpoint was saved in."""
    if dtype in DTYPES:
        return dtype
    if dtype != "auto":
        raise unknown_name("dtype", dtype, ("auto", *DTYPES))
    path = source.folder / "config.json"
    try:
        # Read as JSON: transformers takes seconds to import, and a run that reuses everything does not need it.
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {_first_line(error)}; give a complete model folder") from error
    saved = [part.get(key) for part in (config, config.get("text_config", {})) for key in ("dtype", "torch_dtype")]
    return str(next(filter(None, saved), "float32"))


def stop_tokens(model: HookedModel) -> list[int]:
    """The tokens that end an answer: those of the generation settings, else the tokenizer's end token."""
    original = getattr(model, "original_model", None)
    settings = getattr(original, "generation_config", None)
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


def continued(
    model: HookedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    ends: Collection[int],
    sampling: Sampling | None = None,
) -> list[tuple[int, ...]]:
    """The continuations of prompts of one length, each cut after the first of the tokens `ends`.

    Prompts of one length need neither padding nor a mask, so that no row depends on what it is batched with (but for
    rounding, and for the numbers that it draws where there is `sampling`; without it the continuation is greedy).
    """
    import torch

    tokens: Int[torch.Tensor, "batch pos"] = torch.tensor([list(prompt) for prompt in prompts], device=model.cfg.device)
    drawn = {"do_sample": False} if sampling is None else {"do_sample": True, "temperature": sampling.temperature}
    device = torch.device(model.cfg.device)
    # Torch's global generator is what TransformerLens draws from; afterwards it is as it was.
    with torch.inference_mode(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0 if sampling is None else sampling.seed)
        output: Int[torch.Tensor, "batch longer"] = model.generate(
            tokens,
            max_new_tokens=max_new_tokens,
            stop_at_eos=bool(ends),
            eos_token_id=sorted(ends) or None,
            return_type="tokens",
            verbose=False,
            **drawn,
        )
    return [_until_end(row, ends) for row in output[:, tokens.shape[1] :].tolist()]


def run_until(model: HookedModel, tokens: Int[torch.Tensor, "batch pos"], hooks: dict[str, HookFunction]) -> None:
    """Run the model with a function at each hook, and stop as soon as every one of them has been called.

    Nothing above the last hook is computed; in particular no logits. The hooks are removed whatever happens.
    """
    import torch

    waiting = set(hooks)

    def once(name: str, function: HookFunction) -> Callable[[Any, Any], None]:
        def run(activation: Float[torch.Tensor, "batch pos d_model"], hook: Any) -> None:  # noqa: ARG001
            function(activation)
            waiting.discard(name)
            if not waiting:
                raise _AllSeen

        return run

    with torch.inference_mode():
        try:
            fwd_hooks = [(name, once(name, function)) for name, function in hooks.items()]
            model.run_with_hooks(tokens, return_type=None, fwd_hooks=fwd_hooks)
        except _AllSeen:
            return
    raise RuntimeError(f"the model ran without calling {', '.join(sorted(waiting))}")


class _AllSeen(Exception):
    """Raised out of a forward pass when nothing more of it is wanted."""


def _until_end(generated: list[int], ends: Collection[int]) -> tuple[int, ...]:
    for index, token in enumerate(generated):
        if token in ends:
            return tuple(generated[: index + 1])
    return tuple(generated)


def _folder_sha256(folder: Path) -> str:
    """One hash for all files of a folder that decide what the model computes and how text becomes tokens."""
    patterns = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.model", "*.txt")
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} has no config.json; give a model folder in Hugging Face's layout")
    lines = [f"{path.name} {sha256(path)}" for path in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _hub_source(spec: str, revision: str | None) -> ModelSource:
    name = _official_name(spec)
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=[*HUB_FILES, "*.safetensors"]))
        if not any(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=[*HUB_FILES, "*.bin"]))
    except Exception as error:
        raise InputError(
            f"cannot fetch the model {name} from the hub: {_first_line(error)}; check the name, the network and, for a "
            "gated model, the token"
        ) from error
    # The hub's cache names a snapshot's folder by its commit.
    return ModelSource(name.split("/")[-1].lower(), folder, folder.name)


def _official_name(spec: str) -> str:
    """The hub id for `spec`; a name without an owner must be one that TransformerLens knows."""
    if "/" in spec:
        return spec
    from transformer_lens.supported_models import MODEL_ALIASES, OFFICIAL_MODEL_NAMES

    by_alias = {alias: name for name, aliases in MODEL_ALIASES.items() for alias in aliases}
    known = {*WHEEL_MODELS, *OFFICIAL_MODEL_NAMES, *by_alias}
    if spec not in known:
        raise unknown_name("model", spec, known, "Or give a hub id (org/name) or a model folder.")
    return str(by_alias.get(spec, spec))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
