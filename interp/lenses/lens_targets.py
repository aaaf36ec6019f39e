"""The tokens that a lens is asked about, cell by cell.

============  ========================================================================================================
target        token
============  ========================================================================================================
``answer``    the first of the exact answer, right or wrong
``gold``      the first of the correct answer: the same token where the answer is right, else the one that the gold
              answer would begin with in the exact answer's place, spelt with the same space before it
``next``      the one that follows the position in what was said
============  ========================================================================================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from jaxtyping import Int

from interp.answers.grading import agrees
from interp.examples import Answer, Span
from interp.models.tokens import encoded_text
from interp.positions import MISSING

TARGETS = ("answer", "gold", "next")


class NoTarget(IntEnum):
    """Why there is no token to ask about; in place of the token, below 0."""

    NO_EXACT_ANSWER = -1
    GOLD_CANNOT_BE_SPELT = -2
    NOTHING_FOLLOWS = -3
    NO_POSITION = -4


def target_tokens(
    tokenizer: Any, answers: Sequence[Answer], tokens: Int[np.ndarray, "example position"]
) -> Int[np.ndarray, "target example position"]:
    """The tokens of `TARGETS`, or a code of `NoTarget`.

    Parameters
    ----------
    tokenizer
        Of the model.
    answers
        What was said.
    tokens
        The place of each position in each answer's tokens, `MISSING` where it has none.
    """
    targets = np.empty((len(TARGETS), *tokens.shape), dtype=np.int64)
    for row, answer in enumerate(answers):
        targets[0, row] = answer_token(answer)
        targets[1, row] = gold_token(tokenizer, answer)
        following = [*answer.token_ids[1:], NoTarget.NOTHING_FOLLOWS]
        targets[2, row] = [following[place] for place in tokens[row]]
    targets[:, tokens == MISSING] = NoTarget.NO_POSITION
    return targets


def without_token(targets: Int[np.ndarray, "target example position"]) -> dict[str, list[dict[str, int]]]:
    """Of each target and position how many answers have the position and no such token, by reason."""
    counts = {
        name: [Counter(column[(column < 0) & (column != NoTarget.NO_POSITION)].tolist()) for column in of_target.T]
        for name, of_target in zip(TARGETS, targets, strict=True)
    }
    return {
        name: [{NoTarget(code).name.lower(): n for code, n in sorted(found.items())} for found in of_positions]
        for name, of_positions in counts.items()
    }


def answer_token(answer: Answer) -> int:
    """The exact answer's first token."""
    if answer.exact is None:
        return NoTarget.NO_EXACT_ANSWER
    return answer.token_ids[answer.n_prompt + answer.generated.first_token(answer.exact)]


def gold_token(tokenizer: Any, answer: Answer) -> int:
    """The first token of the gold answer in the exact answer's place; where that is right, of its own name for it.

    An answer may be right, by a rule that looks at the whole text, though its exact answer is another.
    """
    if answer.exact is None or (answer.correct and agrees(answer)):
        return answer_token(answer)
    token = token_in_place(tokenizer, answer, answer.exact, answer.question.gold)
    return NoTarget.GOLD_CANNOT_BE_SPELT if token is None else token


def token_in_place(tokenizer: Any, answer: Answer, exact: Span, text: str) -> int | None:
    """The first token of another text in the exact answer's place; None where the tokenizer cannot spell it there.

    Spelt after what was said up to there: what a token is depends on what stands before it.
    """
    ids, tokens = encoded_text(tokenizer, answer.text[: exact.start] + text, add_special_tokens=False)
    place = len(ids) if tokens is None else tokens.first_token(Span(exact.start, exact.start + len(text)))
    if place >= len(ids) or ids[place] == getattr(tokenizer, "unk_token_id", None):
        return None
    return ids[place]
