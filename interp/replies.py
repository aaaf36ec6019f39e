"""Short replies that a model is asked for until one is of use."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from interp.errors import InputError
from interp.generation import Respondent
from interp.models import Sampling, stop_tokens
from interp.prompts import newline_tokens, reply_prompt
from interp.tokens import decoded_text

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_REPLY_TOKENS = 32


def useful_replies(
    reader: Respondent,
    name: str,
    requests: Mapping[str, str],
    useful: Callable[[str, str], T | None],
    *,
    shots: Sequence[tuple[str, str]],
    tries: int,
    seed: int,
) -> dict[str, T]:
    """What a model's replies to requests say: the first reply greedy, the others sampled, until one is of use.

    Parameters
    ----------
    reader
        The model, with the folder of its journals. It is asked in its chat template, or if it has none to continue
        the text; its reply ends with the line.
    name
        What the journals are called, with the number of the try.
    requests
        What to ask, by identifier.
    useful
        What a reply (its identifier, its text) says; None if it is of no use.
    shots
        Requests with the replies that they are to have, which go before each request.
    tries
        How often to ask at most.
    seed
        Of the sampled replies, at temperature 1.

    Returns
    -------
    dict
        What the replies say, by identifier; requests without a useful reply are not in it.

    Raises
    ------
    InputError
        If `tries` is below 1.
    """
    if tries < 1:
        raise InputError(f"--tries is {tries}; give a number from 1")
    tokenizer = reader.model.tokenizer
    ends = {*stop_tokens(reader.model), *newline_tokens(tokenizer)}
    prompts = {identifier: reply_prompt(tokenizer, shots, request) for identifier, request in requests.items()}
    said: dict[str, T] = {}
    for attempt in range(tries):
        open_prompts = {identifier: prompt for identifier, prompt in prompts.items() if identifier not in said}
        if not open_prompts:
            break
        replies = reader.continuations(
            f"{name}-{attempt + 1}",
            open_prompts,
            ends=ends,
            max_new_tokens=MAX_REPLY_TOKENS,
            sampling=Sampling(1.0, seed + attempt) if attempt else None,
        )
        # A reply that is cut is not the short one that was asked for.
        whole = {identifier: tokens for identifier, tokens in replies.items() if tokens and tokens[-1] in ends}
        for identifier, tokens in whole.items():
            meaning = useful(identifier, decoded_text(tokenizer, tokens).text)
            if meaning is not None:
                said[identifier] = meaning
    log.info("%s: %d of %d replies are of use", name, len(said), len(requests))
    return said
