"""Answers whose text is spelt by a tokenizer, with their exact part marked."""

from __future__ import annotations

from transformers import PreTrainedTokenizerFast

from interp.examples import Answer, Question, Span
from interp.models.tokens import encoded_text

PROMPT = (5, 6)


def said(
    tokenizer: PreTrainedTokenizerFast,
    text: str,
    exact: str | None,
    *,
    gold: str = "France",
    correct: bool | None = None,
    identifier: str = "q",
) -> Answer:
    """What was said to a question, in the tokenizer's own tokens."""
    ids, tokens = encoded_text(tokenizer, text, add_special_tokens=False)
    assert tokens is not None
    start = text.index(exact) if exact else 0
    return Answer(
        question=Question(identifier, "?", gold, (), None, "test", identifier),
        token_ids=(*PROMPT, *ids),
        n_prompt=len(PROMPT),
        generated=tokens,
        ended=False,
        exact=Span(start, start + len(exact)) if exact else None,
        correct=correct,
    )
