"""Every site from Hugging Face's own model, by torch's hooks on its modules: TransformerLens has no part in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from transformers import AutoModelForCausalLM

from interp.models.model_sources import ModelSource

LOG_P = "log p"
"""The log-probabilities of the next token, beside the sites."""


@dataclass(frozen=True)
class Place:
    """What a module of a block reads or gives; the block itself has no name."""

    module: str
    is_read: bool


def read_by(module: str) -> Place:
    return Place(module, is_read=True)


def given_by(module: str) -> Place:
    return Place(module, is_read=False)


@dataclass(frozen=True)
class Layout:
    """Where a family has its blocks, and its sites within a block."""

    blocks: str
    sites: Mapping[str, Place]


STREAM = {"resid_pre": read_by(""), "resid_post": given_by("")}
LLAMA_LIKE = STREAM | {
    "resid_mid": read_by("post_attention_layernorm"),
    "attn_out": given_by("self_attn"),
    "mlp_out": given_by("mlp"),
    "mlp_hidden": read_by("mlp.down_proj"),
    "head_z": read_by("self_attn.o_proj"),
}
# A norm follows attention and MLP: what it gives is what is added.
NORMS_AFTER = LLAMA_LIKE | {
    "attn_out": given_by("post_attention_layernorm"),
    "mlp_out": given_by("post_feedforward_layernorm"),
}
GEMMA = Layout("model.layers", NORMS_AFTER | {"resid_mid": read_by("pre_feedforward_layernorm")})
LLAMA = Layout("model.layers", LLAMA_LIKE)
LAYOUTS = {
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
    "olmo2": Layout("model.layers", NORMS_AFTER | {"resid_mid": read_by("mlp")}),
    # The sum over experts is what its MLP gives; no one module has its hidden layer.
    "mixtral": Layout("model.layers", {site: place for site, place in LLAMA_LIKE.items() if site != "mlp_hidden"}),
    "mamba": Layout("backbone.layers", STREAM),
    "phi": Layout(
        "model.layers",
        STREAM
        | {
            "attn_out": given_by("self_attn"),
            "mlp_out": given_by("mlp"),
            "mlp_hidden": read_by("mlp.fc2"),
            "head_z": read_by("self_attn.dense"),
        },
    ),
    # What its MLP gives has the stream added already.
    "mpt": Layout(
        "transformer.blocks",
        STREAM
        | {
            "resid_mid": read_by("norm_2"),
            "attn_out": given_by("attn"),
            "mlp_out": given_by("ffn.down_proj"),
            "mlp_hidden": read_by("ffn.down_proj"),
            "head_z": read_by("attn.out_proj"),
        },
    ),
    # What its attention and its MLP give has the stream added already.
    "bloom": Layout(
        "transformer.h",
        STREAM
        | {
            "resid_mid": read_by("post_attention_layernorm"),
            "attn_out": given_by("self_attention.dense"),
            "mlp_out": given_by("mlp.dense_4h_to_h"),
            "mlp_hidden": read_by("mlp.dense_4h_to_h"),
            "head_z": read_by("self_attention.dense"),
        },
    ),
    "gpt2": Layout(
        "transformer.h",
        STREAM
        | {
            "resid_mid": read_by("ln_2"),
            "attn_out": given_by("attn"),
            "mlp_out": given_by("mlp"),
            "mlp_hidden": read_by("mlp.c_proj"),
            "head_z": read_by("attn.c_proj"),
        },
    ),
    "gpt_neox": Layout(
        "gpt_neox.layers",
        STREAM
        | {
            "attn_out": given_by("attention"),
            "mlp_out": given_by("mlp"),
            "mlp_hidden": read_by("mlp.dense_4h_to_h"),
            "head_z": read_by("attention.dense"),
        },
    ),
}
"""By the model type of the configuration. A site that a family lacks is not there."""


def hugging_face_sites(
    source: ModelSource, tokens: Int[torch.Tensor, "batch pos"]
) -> dict[str, Float[torch.Tensor, "*layer batch pos width"]]:
    """Each site of a model in float32, of every layer at every token, and `LOG_P`, which has no layers."""
    model = AutoModelForCausalLM.from_pretrained(source.folder, dtype=torch.float32, attn_implementation="eager").eval()
    layout = LAYOUTS[model.config.model_type]
    layers: dict[str, list[torch.Tensor]] = defaultdict(list)
    for block in model.get_submodule(layout.blocks):
        for site, place in layout.sites.items():
            _keep(layers[site], block.get_submodule(place.module), place)
    with torch.inference_mode():
        log_p = model(tokens).logits.log_softmax(-1)
    return {site: torch.stack(activations) for site, activations in layers.items()} | {LOG_P: log_p}


def _keep(activations: list[torch.Tensor], module: torch.nn.Module, place: Place) -> None:
    """Append what the module reads, or gives, whenever it runs."""

    def reads(_: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        activations.append(given[0] if given else named["hidden_states"])

    def gives(_: torch.nn.Module, __: tuple[Any, ...], output: Any) -> None:
        # Attention gives its pattern as well.
        activations.append(output[0] if isinstance(output, tuple) else output)

    if place.is_read:
        module.register_forward_pre_hook(reads, with_kwargs=True)
    else:
        module.register_forward_hook(gives)
