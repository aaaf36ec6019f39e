"""Models as `HookedTransformer`, TransformerLens's own implementation, which its version 4 no longer has.

TransformerLens's `from_pretrained` takes only names that it knows. The steps below it take a folder as well: its
configuration from the folder's, its weights from Hugging Face's. Unless it is asked for, nothing is folded or centred,
so that the residual stream is in the basis that the model was trained in, the same as through a `TransformerBridge`.
"""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.whole_weights import WholeModels

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


def is_installed() -> bool:
    """Whether the TransformerLens that is installed has `HookedTransformer`."""
    return int(version("transformer-lens").split(".")[0]) < REMOVED_IN


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
    model.generation_config = original.generation_config
    return model
