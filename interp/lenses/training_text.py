"""Texts that a lens is trained on: sequences of tokens, of which every context counts once.

What a model says at a token depends on the tokens up to it. Where sequences begin with the same tokens, such as the
answers of a chat model that all begin with one system prompt, these are one context, and are counted in the first of
the sequences only. Some sequences are set aside whole, half of them to say when training stops, half of them to say how
good the lens is; what is counted there is in no sequence that is trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from interp.errors import InputError
from interp.examples import Answer
from interp.models.tokens import encoded_text
from interp.work.batches import batched
from interp.work.plan import n_shared

FEWEST = 4
"""Sequences that are to be set aside at least, in each half, since intervals are over sequences."""


class TextSequence(NamedTuple):
    """Tokens that a model reads together."""

    tokens: tuple[int, ...]
    group: str
    """Sequences of one group are set aside together: answers to twins of a question."""
    start: int = 0
    """From this token on they are counted."""

    @property
    def n_counted(self) -> int:
        """How many tokens are counted."""
        return len(self.tokens) - self.start


Text = tuple[TextSequence, ...]


@dataclass(frozen=True)
class TrainingText:
    """A text and what is set aside of it."""

    training: Text
    stopping: Text
    """Decides when training stops."""
    held_out: Text
    """Decides nothing."""

    @property
    def everything(self) -> Text:
        """All sequences."""
        return self.training + self.stopping + self.held_out

    @property
    def sha256(self) -> str:
        """A hash of all tokens, of what they are for, and of what is counted."""
        parts = [self.training, self.stopping, self.held_out]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def answer_sequences(answers: Sequence[Answer]) -> Text:
    """The prompts with the answers to them."""
    return tuple(TextSequence(answer.token_ids, answer.question.group) for answer in answers)


def file_sequences(path: Path, tokenizer: Any, length: int) -> Text:
    """A text file in sequences of `length` tokens, the last one possibly shorter.

    Each begins with what the tokenizer puts before a text, if anything, which is counted once.

    Raises
    ------
    InputError
        If there is no such file, or it is no text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no text file ({error}); give one in UTF-8") from error
    lead = tuple(tokenizer("")["input_ids"])
    tokens, _ = encoded_text(tokenizer, text, add_special_tokens=False)
    pieces = batched(tokens, max(length - len(lead), 1))
    return tuple(TextSequence(lead + piece, str(number)) for number, piece in enumerate(pieces))


def training_text(sequences: Sequence[TextSequence], *, share: float, seed: int) -> TrainingText:
    """Set a share of the groups aside, and say what counts of every sequence.

    Parameters
    ----------
    sequences
        The text.
    share
        Of the groups that are set aside, in two halves.
    seed
        Decides which.

    Raises
    ------
    InputError
        If there are too few.
    """
    groups = sorted({each.group for each in sequences})
    half = round(share * len(groups) / 2)
    if half < FEWEST or len(groups) <= 2 * half:
        raise InputError(
            f"of {len(groups)} sequences of text {2 * half} would be set aside, and at least {2 * FEWEST} must be, and "
            "some left to train on; give more text, or another share to hold out"
        )
    order = np.random.default_rng(seed).permutation(len(groups)).tolist()
    rank = {groups[index]: place for place, index in enumerate(order)}

    def part_of(each: TextSequence) -> int:
        return 2 - min(rank[each.group] // half, 2)

    # What is trained on comes first: a context that it shares with what is set aside is counted there.
    counted = [each for each in counted_once(sorted(sequences, key=part_of)) if each.n_counted]
    return TrainingText(*(tuple(each for each in counted if part_of(each) == part) for part in range(3)))


def counted_once(sequences: Sequence[TextSequence]) -> Text:
    """The same, each counted from its first token with which no earlier sequence goes on in the same way."""
    # The tree of all beginnings: a context and its next token lead to a context.
    contexts: dict[tuple[int, int], int] = {}
    counted = []
    for each in sequences:
        context, start = 0, len(each.tokens)
        for place, token in enumerate(each.tokens):
            if (context, token) not in contexts:
                start = min(start, place)
                contexts[context, token] = len(contexts) + 1
            context = contexts[context, token]
        counted.append(each._replace(start=start))
    return tuple(counted)


def n_counted(text: Text) -> int:
    """How many tokens of a text are counted."""
    return sum(each.n_counted for each in text)


def shared_tokens(text: Sequence[TextSequence]) -> tuple[int, ...]:
    """What all sequences begin with; each has at least one token more."""
    tokens = sorted(each.tokens for each in text)
    return tokens[0][: n_shared(tokens, range(len(tokens)))]
