"""Language models, as TransformerLens models with hooks: loaded, continued, and run as far as a hook."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from interp.errors import InputError, first_line, unknown_name
from interp.hooked_transformers import ARCHITECTURES, hooked_transformer, is_installed
from interp.model_sources import ModelSource, architectures_of, needs_remote_code, require_causal, resolve_dtype

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int

log = logging.getLogger(__name__)

BACKENDS = ("auto", "bridge", "hooked")
HookFunction = Callable[["torch.Tensor"], None]


@runtime_checkable
class HookedModel(Protocol):
    """What the suite uses of a TransformerLens model."""

    cfg: Any
    tokenizer: Any
    hook_dict: Any
    """Every hook of the model by its name."""

    def run_with_cache(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model and return its output and the activations of the hooks that were asked for."""

    def run_with_hooks(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model with functions at its hooks, and remove them afterwards."""

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Continue a batch of prompts."""


def load_model(
    source: ModelSource,
    *,
    device: str = "auto",
    dtype: str = "auto",
    backend: str = "auto",
    trust_remote_code: bool = False,
) -> HookedModel:
    """Load a model with hooks, with the weights as they are (nothing folded or centred).

    Parameters
    ----------
    source
        Where it is.
    device
        ``"auto"`` (CUDA, then Apple's MPS, then the CPU) or a torch device.
    dtype
        ``"auto"`` (the checkpoint's own) or one of `interp.model_sources.DTYPES`.
    backend
        One of `BACKENDS`, as `resolve_backend` takes it.
    trust_remote_code
        Whether Python code that comes with the model may be run.

    Raises
    ------
    InputError
        If the device or the backend is not there, the model does not continue texts, or the files cannot be loaded.
    """
    import torch
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    require_causal(source)
    chosen = resolve_backend(source, backend)
    torch_device = resolve_device(device)
    torch_dtype: torch.dtype = getattr(torch, resolve_dtype(source, dtype))
    log.info("loading %s in %s on %s", source.name, str(torch_dtype).removeprefix("torch."), torch_device)
    try:
        if chosen == "hooked":
            loaded = hooked_transformer(source.folder, device=torch_device, dtype=torch_dtype)
        else:
            from transformer_lens.model_bridge import TransformerBridge

            loaded = TransformerBridge.boot_transformers(
                str(source.folder), device=torch_device, dtype=torch_dtype, trust_remote_code=trust_remote_code
            )
    except Exception as error:
        # Whatever transformers or TransformerLens raises here, the reason is in the files that the user named.
        untrusted = needs_remote_code(source) and not trust_remote_code
        remedy = "; give --trust-remote-code if you trust the code that comes with it" if untrusted else ""
        raise InputError(f"cannot load the model in {source.folder}: {first_line(error)}{remedy}") from error
    loaded.eval()
    model: HookedModel = loaded
    return model


def resolve_backend(source: ModelSource, backend: str) -> str:
    """Which of TransformerLens's two implementations a model is loaded as.

    ``"bridge"`` is `TransformerBridge`, which wraps Hugging Face's own model; ``"hooked"`` is `HookedTransformer`,
    which TransformerLens 3.9 has and 4 has not; ``"auto"`` is the latter where it is there and can load the model.

    Raises
    ------
    InputError
        If the backend is not known, not installed, or cannot load a model of this architecture.
    """
    if backend not in BACKENDS:
        raise unknown_name("backend", backend, BACKENDS)
    loads = any(name in ARCHITECTURES for name in architectures_of(source))
    if backend == "auto":
        return "hooked" if is_installed() and loads else "bridge"
    if backend == "hooked" and not is_installed():
        raise InputError(
            "TransformerLens 4 has no HookedTransformer; take --backend bridge, or bring it back with: "
            "pip install 'transformer-lens>=3.9,<4'"
        )
    if backend == "hooked" and not loads:
        known = ", ".join(ARCHITECTURES)
        raise InputError(f"{source.name} cannot be loaded as HookedTransformer ({known} can); take --backend bridge")
    return backend


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
