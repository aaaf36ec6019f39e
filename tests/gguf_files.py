"""Tiny Llamas in GGUF files."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import gguf
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from tests.tiny_models import LLAMA_LIKE

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
"""What GGUF calls the parts of the names of weights."""


def saved_gguf(path: Path, tokenizer: PreTrainedTokenizerFast, without: Collection[str] = ()) -> None:
    """Write a random Llama and its tokenizer, but for some weights."""
    torch.manual_seed(0)
    config = LlamaConfig(**LLAMA_LIKE | {"vocab_size": len(tokenizer)})
    weights = AutoModelForCausalLM.from_config(config).state_dict()
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    vocabulary = tokenizer.get_vocab()
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(vocabulary, key=vocabulary.__getitem__))
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    for name, weight in weights.items():
        if name not in without:
            named = name
            for theirs, ours in NAMES.items():
                named = named.replace(theirs, ours)
            writer.add_tensor(named, weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
