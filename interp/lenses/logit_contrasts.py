"""Contrasts: which difference of logits is read for each answer.

========  ======================================================  =====================================================
foil      the logit of the exact answer's first token, less       of which answers
========  ======================================================  =====================================================
``mean``  the mean logit of the first tokens of the exact         every one that has an exact answer, right or wrong
          answers to the other questions
``gold``  that of the correct answer's first token                wrong ones
========  ======================================================  =====================================================

Another answer is spelt as the exact answer stands in what was said: with the space, quote or line before it that its
first token has. Tokens are told apart, not answers: "United States" and "United Kingdom" begin with the same one, which
counts once among the others, and not for either of the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from interp.errors import InputError
from interp.examples import Answer
from interp.lenses.lens_targets import NoTarget, answer_token, gold_token, token_in_place
from interp.patching.readouts import before_exact

FOILS = ("mean", "gold")


class Contrast(NamedTuple):
    """A token, and the tokens from the mean of whose logits its own is told apart."""

    token: int
    foils: Set[int]
    """Where the token itself is among them, it is left out."""


@dataclass(frozen=True)
class Contrasts:
    """Differences of logits: of each example a weighted sum of the logits of the same tokens."""

    rows: tuple[int, ...]
    """Which of the answers they are of, as indices."""
    tokens: tuple[int, ...]
    weights: Float[np.ndarray, "example token"]
    """1 for the example's own token, and -1 spread evenly over its foils."""
    dropped: Counter[str]
    """How many answers have none, by reason."""


def contrasts_of(found: Sequence[Contrast | str]) -> Contrasts:
    """The contrasts of answers, from each one's own or the reason why it has none.

    Raises
    ------
    InputError
        If no answer has one.
    """
    told = [_with_foils_left(each) for each in found]
    dropped = Counter(each for each in told if isinstance(each, str))
    rows = tuple(row for row, each in enumerate(told) if isinstance(each, Contrast))
    contrasts = [each for each in told if isinstance(each, Contrast)]
    if not contrasts:
        reasons = ", ".join(f"{why} ({n})" for why, n in dropped.most_common()) or "there are none"
        raise InputError(f"no answer can be told from others by its first token: {reasons}; take another --foil")
    tokens: Int[np.ndarray, " token"] = np.array(
        sorted({each.token for each in contrasts}.union(*{frozenset(each.foils) for each in contrasts}))
    )
    weights = np.zeros((len(contrasts), len(tokens)))
    for row, each in zip(weights, contrasts, strict=True):
        row[np.isin(tokens, list(each.foils))] = -1 / len(each.foils - {each.token})
        row[np.searchsorted(tokens, each.token)] = 1
    return Contrasts(rows, tuple(tokens.tolist()), weights, dropped)


def against_the_mean(tokenizer: Any, answers: Sequence[Answer]) -> list[Contrast | str]:
    """Each answer against the exact answers to the other questions, those that can be spelt in its place."""
    texts = sorted({answer.exact_text for answer in answers if answer.exact_text is not None})
    # One answer of each way of standing in the text carries all others.
    carriers = {before_exact(each): (each, each.exact) for each in reversed(answers) if each.exact is not None}
    spelt = {
        before: {token for text in texts if (token := token_in_place(tokenizer, answer, exact, text)) is not None}
        for before, (answer, exact) in carriers.items()
    }
    return [
        Contrast(answer_token(answer), spelt[before_exact(answer)]) if answer.exact else "there is no exact answer"
        for answer in answers
    ]


def against_the_gold(tokenizer: Any, answers: Sequence[Answer]) -> list[Contrast | str]:
    """Each wrong answer against the correct one."""

    def of(answer: Answer) -> Contrast | str:
        if answer.exact is None:
            return "there is no exact answer"
        if answer.correct is not False:
            return "the answer is right" if answer.correct else "the answer is not judged"
        gold = gold_token(tokenizer, answer)
        if gold == NoTarget.GOLD_CANNOT_BE_SPELT:
            return "the correct answer cannot be spelt in its place"
        return Contrast(answer_token(answer), {gold})

    return [of(answer) for answer in answers]


def _with_foils_left(found: Contrast | str) -> Contrast | str:
    if isinstance(found, Contrast) and not found.foils - {found.token}:
        return "what it is told apart from begins with the same token"
    return found
