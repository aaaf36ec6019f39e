"""What a model says after prompts: its most likely token each time, or tokens that are drawn.

TransformerLens's `generate` runs every prompt of a batch from its first token, and goes on with all of them until the
last has ended. The continuations of a model that goes on from cached keys and values are made with fewer tokens, and in
fewer passes:

1. Prompts of several lengths are one batch, padded on the left under a mask: a pass over few prompts takes about as
   long as one over many.
2. What all prompts of the batch begin with, such as an instruction and its examples, is run once, and its keys and
   values are repeated for the batch, each prompt's where the prompt begins.
3. Prompts whose continuation has ended are left out, with their keys and values, as soon as they are a tenth.

On 1,000 questions of the cities, whose prompts share 31 of 41 tokens, these are less than half as many tokens. Each
prompt draws numbers of its own, so that what is drawn does not depend on what else is in the batch. With other models
`generate` draws, from one stream for the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from inspect import signature
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from interp.errors import InputError
from interp.models.hooked_model import HookedModel, Sampling, ignores_caches, takes_prefixes
from interp.work.plan import n_shared

Choice = Callable[[Sequence[int], Float[torch.Tensor, "row vocab"]], Int[torch.Tensor, " row"]]
"""The next token of each row of a batch that is still going on, by its number, from its logits."""

FEW = 16
"""Rows that are drawn at once: their probabilities in double precision stay in a processor's cache."""

WORTH_LEAVING_OUT = 0.1
"""The share of a batch that has ended from which on leaving it out saves more than the copy of the others costs."""


def takes_padding(model: HookedModel) -> bool:
    """Whether continuations of prompts of several lengths can be made in one batch: it can be told places."""
    return takes_prefixes(model) and _is_told_places(model)


def continued(
    model: HookedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    ends: Collection[int],
    sampling: Sequence[Sampling] | None = None,
) -> list[tuple[int, ...]]:
    """The continuations of prompts, each cut after the first of the tokens `ends`.

    They are greedy, or drawn with `sampling`, which is that of each prompt; the temperature is the same. No row depends
    on what it is batched with, but for rounding, and for what is drawn by a model that does not go on from a prefix.
    Prompts are of one length, unless the model `takes_padding`.

    Raises
    ------
    InputError
        If the model's logits are NaN.
    """
    if takes_prefixes(model):
        words = _continued(model, prompts, max_new_tokens, ends, _likeliest if sampling is None else _drawn(sampling))
    else:
        tokens = torch.tensor([list(prompt) for prompt in prompts], device=model.cfg.device)
        words = _generated(model, tokens, max_new_tokens, ends, sampling)
    return [_until_end(row, ends) for row in words]


def _likeliest(_: Sequence[int], logits: Float[torch.Tensor, "row vocab"]) -> Int[torch.Tensor, " row"]:
    return logits.argmax(-1)


def _drawn(sampling: Sequence[Sampling]) -> Choice:
    """A token where a number between 0 and 1, the next of each row's own, falls among the cumulated probabilities."""
    streams = [np.random.default_rng(each.seed) for each in sampling]

    def choice(rows: Sequence[int], logits: Float[torch.Tensor, "row vocab"]) -> Int[torch.Tensor, " row"]:
        device = "cpu" if logits.device.type == "mps" else logits.device  # MPS has no double precision.
        numbers = torch.tensor([[streams[row].random()] for row in rows], dtype=torch.float64, device=device)
        drawn = [
            _tokens_at(part.double() / sampling[rows[0]].temperature, some)
            for part, some in zip(torch.split(logits.to(device), FEW), torch.split(numbers, FEW), strict=True)
        ]
        return torch.cat(drawn).to(logits.device)

    return choice


def _tokens_at(
    logits: Float[torch.Tensor, "row vocab"], numbers: Float[torch.Tensor, "row one"]
) -> Int[torch.Tensor, " row"]:
    cumulated = logits.softmax(-1).cumsum(-1)
    # The last is 1 but for rounding; a token without probability has the sum of the one before, and is passed over.
    place = torch.searchsorted(cumulated, numbers * cumulated[:, -1:], right=True)
    return place[:, 0].clamp(max=logits.shape[-1] - 1)


def _continued(
    model: HookedModel,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    ends: Collection[int],
    choice: Choice,
) -> list[list[int]]:
    words: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))
    tokens, mask = _padded_on_the_left(prompts, model.cfg.device)
    with torch.inference_mode():
        cache = _cache_of_shared(model, prompts, mask)
        fed = tokens[:, cache.get_seq_length() :]
        for _ in range(max_new_tokens):
            logits = model(fed, return_type="logits", past_key_values=cache, **_places(model, fed, mask))[:, -1]
            if bool(logits.isnan().any()):
                where = f"{str(logits.dtype).removeprefix('torch.')} on {logits.device}"
                raise InputError(f"the model's logits are not numbers in {where}; take another --dtype or --device")
            chosen = choice(rows, logits)
            for row, token in zip(rows, chosen.tolist(), strict=True):
                words[row].append(token)
            going = [place for place, row in enumerate(rows) if not set(ends).intersection(words[row])]
            if not going:
                break
            if len(going) <= (1 - WORTH_LEAVING_OUT) * len(rows):
                kept = torch.tensor(going)
                cache.batch_select_indices(kept)
                kept = kept.to(chosen.device)
                rows, chosen, mask = [rows[place] for place in going], chosen[kept], mask[kept]
            fed, mask = chosen[:, None], torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
    return words


def _padded_on_the_left(
    prompts: Sequence[Sequence[int]], device: str | torch.device | None
) -> tuple[Int[torch.Tensor, "batch pos"], Int[torch.Tensor, "batch pos"]]:
    """The tokens of prompts, which all end at the last place, and 1 where there are any."""
    longest = max(map(len, prompts))
    tokens, mask = torch.zeros(2, len(prompts), longest, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return tokens.to(device), mask.to(device)


def _is_told_places(model: HookedModel) -> bool:
    return "position_ids" in signature(model.original_model.forward).parameters  # type: ignore[attr-defined]


def _places(
    model: HookedModel, fed: Int[torch.Tensor, "row pos"], mask: Int[torch.Tensor, "row longer"]
) -> dict[str, torch.Tensor]:
    """Where tokens stand, the last of those of a mask: some platforms need to be told, as `generate` does.

    A model that has another way to know places than their numbers is given the mask alone.
    """
    if not _is_told_places(model):
        return {"attention_mask": mask}
    return {"attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)[:, -fed.shape[1] :]}


def _cache_of_shared(model: HookedModel, prompts: Sequence[Sequence[int]], mask: Int[torch.Tensor, "batch pos"]) -> Any:
    """Hugging Face's cache of the tokens that all prompts begin with, for each prompt, where there are any.

    It is of the same places for all: of a prompt that is padded it has fewer tokens, and the others are run again. The
    last token of a prompt is not among them: what follows it is to be computed.
    """
    from transformers import DynamicCache

    empty, cache = (DynamicCache(config=model.original_model.config) for _ in range(2))  # type: ignore[attr-defined]
    shared = n_shared(sorted(map(tuple, prompts)), range(len(prompts)))
    if not shared or len(prompts) == 1:
        return empty
    model(torch.tensor([prompts[0][:shared]], device=mask.device), return_type="logits", past_key_values=cache)
    pads = mask.shape[1] - mask.sum(1, keepdim=True)
    if not pads.any():
        cache.batch_repeat_interleave(len(prompts))
        return cache
    if any(layer.keys is None or layer.keys.shape[-2] < shared for layer in cache.layers):
        return empty  # A sliding window has dropped tokens that a padded prompt has within its own.
    # Indices that are on the CPU are taken by every device that a layer may be on.
    tokens = (torch.arange(shared) - pads.cpu()).clamp(min=0)
    for layer in cache.layers:
        layer.keys, layer.values = (each[0][:, tokens].transpose(0, 1) for each in (layer.keys, layer.values))
    return cache


def _generated(
    model: HookedModel,
    tokens: Int[torch.Tensor, "batch pos"],
    max_new_tokens: int,
    ends: Collection[int],
    sampling: Sequence[Sampling] | None,
) -> list[list[int]]:
    drawn = {"do_sample": False} if sampling is None else {"do_sample": True, "temperature": sampling[0].temperature}
    device = torch.device(model.cfg.device)
    # Torch's global generator is what TransformerLens draws from; afterwards it is as it was.
    with torch.inference_mode(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence([each.seed for each in sampling or ()]).generate_state(1)[0]))
        output: Int[torch.Tensor, "batch longer"] = model.generate(
            tokens,
            max_new_tokens=max_new_tokens,
            stop_at_eos=bool(ends),
            eos_token_id=sorted(ends) or None,
            return_type="tokens",
            verbose=False,
            use_past_kv_cache=not ignores_caches(model),
            **drawn,
        )
    return output[:, tokens.shape[1] :].tolist()


def _until_end(generated: Sequence[int], ends: Collection[int]) -> tuple[int, ...]:
    for index, token in enumerate(generated):
        if token in ends:
            return tuple(generated[: index + 1])
    return tuple(generated)
