"""Models as `HookedTransformer`, TransformerLens's own implementation, which its version 4 no longer has.

TransformerLens's `from_pretrained` takes only names that it knows. The steps below it take a folder as well: its
configuration from the folder's, its weights from Hugging Face's. Unless it is asked for, nothing is folded or centred,
so that the residual stream is in the basis that the model was trained in, the same as through a `TransformerBridge`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.models.whole_weights import WholeModels

if TYPE_CHECKING:
    import torch

REMOVED_IN = 4
"""The version of TransformerLens that no longer has `HookedTransformer`."""
ARCHITECTURES = (
    "GPT2LMHeadModel",
    "GPTNeoXForCausalLM",
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "MixtralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
)
"""Those whose folders load, with the hidden states of Hugging Face's own model in the tests."""


KINDS_OF_ROPE = ("default", "llama3")
"""Rotary positions that TransformerLens's own implementation has; others it takes for the default."""
WITH_BIASES = ("LlamaForCausalLM", "Qwen3ForCausalLM")
"""Families of which some models have biases, and none has any there."""
WITH_WINDOWS = ("Qwen2ForCausalLM", "Qwen3ForCausalLM")
"""Families of which some models have layers with a sliding window, and none has any there."""


def is_installed() -> bool:
    """Whether the TransformerLens that is installed has `HookedTransformer`."""
    return int(version("transformer-lens").split(".")[0]) < REMOVED_IN


def left_out(config: Mapping[str, Any]) -> list[str]:
    """What TransformerLens's own implementation leaves out of a model of its families, by the folder's config.json."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    family = next(name for name in config["architectures"] if name in ARCHITECTURES)
    found = [] if kind in KINDS_OF_ROPE else [f"{kind} rotary positions"]
    if family in WITH_BIASES and (config.get("attention_bias") or config.get("mlp_bias")):
        found.append("biases")
    if family in WITH_WINDOWS and config.get("use_sliding_window"):
        found.append("sliding windows")
    width = config.get("head_dim")
    if family == "LlamaForCausalLM" and width and width * config["num_attention_heads"] != config["hidden_size"]:
        found.append("the width of its heads")
    if family == "GPT2LMHeadModel" and "n_ctx" not in config:  # Newer versions of transformers no longer write it.
        found.append("the length of its context")
    return found


def hooked_transformer(
    folder: Path, *, dtype: torch.dtype, device: str | None = None, n_devices: int = 1, processed: bool = False
) -> Any:
    """The model in a folder, on a device or split over CUDA devices, with its weights as they are or processed."""
    from transformer_lens import HookedTransformer, loading_from_pretrained
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    whole = WholeModels(AutoModelForCausalLM)
    original = whole.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    with tempfile.TemporaryDirectory() as parent:
        # TransformerLens looks for names of families in the path: "llama" above a folder would make any model one.
        link = Path(parent) / "model"
        link.symlink_to(folder.resolve())
        config = loading_from_pretrained.get_pretrained_model_config(
            str(link),
            hf_cfg=original.config.to_dict(),
            fold_ln=processed,
            device=device,
            n_devices=n_devices,
            dtype=dtype,
        )
        weights = loading_from_pretrained.get_pretrained_state_dict(str(link), config, original, dtype=dtype)
    model = HookedTransformer(config, tokenizer, default_padding_side="right")
    model.load_and_process_state_dict(
        weights,
        fold_ln=processed,
        center_writing_weights=processed,
        center_unembed=processed,
        fold_value_biases=processed,
    )
    whole.require_same_output(model)
    model.generation_config = original.generation_config
    return model
