"""Short replies that a model is asked for until one is of use."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from interp.answers.generation import Respondent
from interp.answers.prompts import newline_tokens, reply_prompt
from interp.errors import InputError
from interp.models.hooked_model import Sampling, stop_tokens
from interp.models.tokens import decoded_text

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_REPLY_TOKENS = 32


@dataclass(frozen=True)
class Reader:
    """A model that is asked about answers, such as what the exact answer in each of them is."""

    respondent: Respondent
    """The model, with the folder of its journals. It is asked in its chat template, or if it has none to continue a
    text; its reply ends with the line."""
    answers: str
    """What the answers are called; its journals are called after them."""
    tries: int
    """How often it is asked at most, about each answer."""
    seed: int
    """Of all tries but the first, which is greedy. They are sampled at temperature 1."""

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise InputError(f"--tries is {self.tries}; give a number from 1")

    def useful_replies(
        self,
        about: str,
        requests: Mapping[str, str],
        useful: Callable[[str, str], T | None],
        *,
        shots: Sequence[tuple[str, str]],
    ) -> dict[str, T]:
        """What the model's replies to requests say, by identifier; requests without a useful reply are not in it.

        Parameters
        ----------
        about
            What is asked for, for the name of the journal.
        requests
            What to ask, by identifier.
        useful
            What a reply (its identifier, its text) says; None if it is of no use.
        shots
            Requests with the replies that they are to have, which go before each request.
        """
        model = self.respondent.model
        ends = {*stop_tokens(model), *newline_tokens(model.tokenizer)} if requests else set()
        prompts = {i: reply_prompt(model.tokenizer, shots, request) for i, request in requests.items()}
        said: dict[str, T] = {}
        for attempt in range(self.tries):
            open_prompts = {identifier: prompt for identifier, prompt in prompts.items() if identifier not in said}
            if not open_prompts:
                break
            replies = self.respondent.continuations(
                f"{self.answers}-{about}-{attempt + 1}",
                open_prompts,
                ends=ends,
                max_new_tokens=MAX_REPLY_TOKENS,
                sampling=Sampling(1.0, self.seed + attempt) if attempt else None,
            )
            # A reply that is cut is not the short one that was asked for.
            whole = {identifier: tokens for identifier, tokens in replies.items() if tokens and tokens[-1] in ends}
            for identifier, tokens in whole.items():
                meaning = useful(identifier, decoded_text(model.tokenizer, tokens).text)
                if meaning is not None:
                    said[identifier] = meaning
        if requests:
            log.info("%s of %s: %d of %d replies are of use", about, self.answers, len(said), len(requests))
        return said
