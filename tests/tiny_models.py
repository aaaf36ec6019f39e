"""Tiny random models of several families, with a tokenizer trained here, saved as model folders."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    Lfm2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    MptConfig,
    Olmo2Config,
    PhiConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    Qwen3NextConfig,
    RecurrentGemmaConfig,
    XGLMConfig,
)

from interp.models.hooked_transformers import is_installed
from interp.models.model_sources import ModelSource, resolve_model

TEXT = [
    "In which country is the city of Lyon? The city of Lyon is located in France.",
    "In which country is the city of São Paulo? Brazil, I think. Or Côte d'Ivoire?",
    "東京は日本の首都です。Ελλάδα. 🇫🇷 naïve façade",
]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZES = {"vocab_size": 400, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
LLAMA_LIKE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    **SIZES,
}
WINDOW = 6
"""Tokens that a layer with a sliding window sees: fewer than the tests' sequences have."""
CONFIGS = {
    "llama": LlamaConfig(**LLAMA_LIKE),
    "mistral": MistralConfig(**LLAMA_LIKE, sliding_window=WINDOW),
    "qwen2": Qwen2Config(**LLAMA_LIKE),
    "qwen3": Qwen3Config(**LLAMA_LIKE, head_dim=8),
    "gemma2": Gemma2Config(**LLAMA_LIKE, head_dim=8, sliding_window=WINDOW),
    "gemma3": Gemma3TextConfig(**LLAMA_LIKE, head_dim=8, sliding_window=WINDOW),
    "olmo2": Olmo2Config(**LLAMA_LIKE),
    "mixtral": MixtralConfig(**LLAMA_LIKE, num_local_experts=4, sliding_window=None),
    "phi": PhiConfig(**LLAMA_LIKE | {"num_key_value_heads": 4}),
    "mpt": MptConfig(d_model=32, n_heads=4, n_layers=3, expansion_ratio=2, max_seq_len=256, **SIZES),
    "bloom": BloomConfig(hidden_size=32, n_layer=3, n_head=4, **SIZES),
    "gpt2": GPT2Config(n_embd=32, n_layer=3, n_head=4, n_positions=256, n_ctx=256, **SIZES),
    "gpt_neox": GPTNeoXConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, rotary_pct=0.5, **SIZES
    ),
}
RECURRENT = {"mamba": MambaConfig(hidden_size=32, num_hidden_layers=3, state_size=8, **SIZES)}
"""Families whose blocks go on from states, not from keys and values: they have a residual stream, and no other site."""
IGNORES_CACHES = ("mpt",) if is_installed() else ()
"""Families whose bridge of TransformerLens 3.9 leaves no keys in a cache."""
NOT_ENTERED = {
    "lfm2": Lfm2Config(**LLAMA_LIKE, layer_types=["conv", "full_attention", "conv"]),
    "qwen3_next": Qwen3NextConfig(
        **LLAMA_LIKE | {"num_hidden_layers": 4},
        head_dim=8,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
    ),
    "recurrent_gemma": RecurrentGemmaConfig(**LLAMA_LIKE, lru_width=32, attention_window_size=16),
    "xglm": XGLMConfig(d_model=32, ffn_dim=48, num_layers=3, attention_heads=4, max_position_embeddings=256, **SIZES),
}
"""Families with some blocks that have no keys and values, and one whose masks fit one number of rows alone."""
TURNED_ALIKE = 16
LONGROPE = {
    "longrope": LlamaConfig(
        **LLAMA_LIKE,
        max_position_embeddings=64,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10_000.0,
            "factor": 4.0,
            "original_max_position_embeddings": TURNED_ALIKE,
            "short_factor": [1.0] * 4,
            "long_factor": [3.0] * 4,
        },
    )
}
"""A family whose positions are turned otherwise in a batch that has a sequence of more than `TURNED_ALIKE` tokens."""
HOOKED = ("llama", "mistral", "qwen2", "qwen3", "mixtral", "gpt2", "gpt_neox")
"""Families that load as HookedTransformer, with a TransformerLens that has it."""
ALIBI = ("bloom",)
"""Families that are told places by biases of attention, of all heads of all rows."""
PARALLEL = ("phi", "gpt_neox")
"""Families whose attention and MLP read the same stream."""


def trained_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE that splits rare characters into several tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=380, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator(TEXT, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=special[0], eos_token=special[1], pad_token=special[1]
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def saved_model(family: str, tokenizer: PreTrainedTokenizerFast, parent: Path) -> ModelSource:
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config((CONFIGS | RECURRENT | NOT_ENTERED | LONGROPE)[family])
    for parameter in network.parameters():
        # Fresh models are close to the identity; these should mix positions and layers strongly.
        torch.nn.init.normal_(parameter, std=0.3)
    folder = parent / f"tiny-{family}"
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return resolve_model(str(folder))
