"""What a model says after prompts: its most likely token each time, or tokens that are drawn.

TransformerLens's `generate` runs every prompt of a batch from its first token, and goes on with all of them until the
last has ended. The greedy continuations of a model that goes on from cached keys and values are made with fewer tokens:

1. What all prompts of the batch begin with, such as an instruction and its examples, is run once, and its keys and
   values are repeated for the batch.
2. Prompts whose continuation has ended are left out, with their keys and values, as soon as they are a tenth.

On 1,000 questions of the cities, whose prompts share 31 of 41 tokens, these are less than half as many tokens. What is
drawn is drawn by `generate`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from inspect import signature
from typing import Any

import torch
from jaxtyping import Int

from interp.errors import InputError
from interp.models import HookedModel, Sampling, takes_prefixes

WORTH_LEAVING_OUT = 0.1
"""The share of a batch that has ended from which on leaving it out saves more than the copy of the others costs."""


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

    Raises
    ------
    InputError
        If the model's logits are NaN.
    """
    tokens = torch.tensor([list(prompt) for prompt in prompts], device=model.cfg.device)
    if sampling is None and takes_prefixes(model):
        words = _greedy(model, tokens, max_new_tokens, ends)
    else:
        words = _generated(model, tokens, max_new_tokens, ends, sampling)
    return [_until_end(row, ends) for row in words]


def _greedy(
    model: HookedModel, tokens: Int[torch.Tensor, "batch pos"], max_new_tokens: int, ends: Collection[int]
) -> list[list[int]]:
    words: list[list[int]] = [[] for _ in tokens]
    rows = list(range(len(tokens)))
    with torch.inference_mode():
        cache, n_shared = _cache_of_shared(model, tokens)
        fed = tokens[:, n_shared:]
        for step in range(max_new_tokens):
            places = _places(model, fed, tokens.shape[1] + step)
            logits = model(fed, return_type="logits", past_key_values=cache, **places)[:, -1]
            if bool(logits.isnan().any()):
                where = f"{str(logits.dtype).removeprefix('torch.')} on {logits.device}"
                raise InputError(f"the model's logits are not numbers in {where}; take another --dtype or --device")
            chosen = logits.argmax(-1)
            for row, token in zip(rows, chosen.tolist(), strict=True):
                words[row].append(token)
            going = [place for place, row in enumerate(rows) if not set(ends).intersection(words[row])]
            if not going:
                break
            if len(going) <= (1 - WORTH_LEAVING_OUT) * len(rows):
                kept = torch.tensor(going)
                cache.batch_select_indices(kept)
                rows, chosen = [rows[place] for place in going], chosen[kept.to(chosen.device)]
            fed = chosen[:, None]
    return words


def _places(model: HookedModel, fed: Int[torch.Tensor, "row pos"], length: int) -> dict[str, torch.Tensor]:
    """Where tokens stand, the last of so many: some platforms need to be told beside the cache, as `generate` does.

    A model that has another way to know places than their numbers is given the mask alone.
    """
    mask = torch.ones(len(fed), length, dtype=torch.long, device=fed.device)
    if "position_ids" not in signature(model.original_model.forward).parameters:  # type: ignore[attr-defined]
        return {"attention_mask": mask}
    return {"attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1)[:, length - fed.shape[1] :]}


def _cache_of_shared(model: HookedModel, tokens: Int[torch.Tensor, "batch pos"]) -> tuple[Any, int]:
    """Hugging Face's cache of the tokens that all rows begin with, for each row, and how many these are.

    The last token of a prompt is not among them: what follows it is to be computed.
    """
    from transformers import DynamicCache

    cache = DynamicCache(config=model.original_model.config)  # type: ignore[attr-defined]
    n_shared = int((tokens == tokens[0]).all(0)[:-1].cumprod(0).sum())
    if n_shared and len(tokens) > 1:
        model(tokens[:1, :n_shared], return_type="logits", past_key_values=cache)
        cache.batch_repeat_interleave(len(tokens))
        return cache, n_shared
    return cache, 0


def _generated(
    model: HookedModel,
    tokens: Int[torch.Tensor, "batch pos"],
    max_new_tokens: int,
    ends: Collection[int],
    sampling: Sampling | None,
) -> list[list[int]]:
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
    words: list[list[int]] = output[:, tokens.shape[1] :].tolist()
    return words


def _until_end(generated: Sequence[int], ends: Collection[int]) -> tuple[int, ...]:
    for index, token in enumerate(generated):
        if token in ends:
            return tuple(generated[: index + 1])
    return tuple(generated)
