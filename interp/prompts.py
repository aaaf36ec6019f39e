"""Prompts: a question as it is fed to a model, and where its parts stand in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interp.examples import Question, Span, TokenizedText
from interp.tokens import encoded_text

PLAIN_TEMPLATE = "Q: {question}\nA:"
"""The prompt for a model whose tokenizer has no chat template."""
STAND_IN = "\N{WHITE SQUARE}\N{BLACK SQUARE}\N{WHITE SQUARE}"
"""Goes through the chat template in place of the question, to tell what of the prompt is the template's."""


@dataclass(frozen=True)
class Prompt:
    """A question in a model's own form."""

    token_ids: tuple[int, ...]
    tokens: TokenizedText | None
    """The prompt's text with its tokens; None where the tokenizer does not tell which token stands where."""
    spans: Mapping[str, Span]
    """Where ``question``, and ``subject`` if it is marked, stand in the text."""


def prompt_of(tokenizer: Any, question: Question) -> Prompt:
    """The prompt as it is fed: the user turn in the chat template, with the template's generation prompt.

    A model whose tokenizer has no chat template gets `PLAIN_TEMPLATE`, with the special tokens that its tokenizer
    adds.
    """
    turn = question.prompt_parts.text
    if tokenizer.chat_template is None:
        before, after = PLAIN_TEMPLATE.split("{question}")
        token_ids, tokens = encoded_text(tokenizer, before + turn + after, add_special_tokens=True)
        return Prompt(token_ids, tokens, _spans(question, Span(len(before), len(before) + len(turn)), len(before)))
    text = _rendered(tokenizer, turn)
    token_ids, tokens = encoded_text(tokenizer, text, add_special_tokens=False)
    return Prompt(token_ids, tokens, _spans_in_chat(tokenizer, question, text))


def _rendered(tokenizer: Any, turn: str) -> str:
    text: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": turn}], add_generation_prompt=True, tokenize=False
    )
    return text


def _spans_in_chat(tokenizer: Any, question: Question, text: str) -> dict[str, Span]:
    """Where the question's parts stand in the rendered chat; nothing if the template has changed its text."""
    turn = question.prompt_parts.text
    before, _, after = _rendered(tokenizer, STAND_IN).partition(STAND_IN)
    # Many templates strip what the user says.
    for given in (turn, turn.strip()):
        if text == before + given + after:
            inside = Span(len(before), len(before) + len(given))
            return _spans(question, inside, len(before) - turn.index(given))
    return {}


def _spans(question: Question, inside: Span, turn_start: int) -> dict[str, Span]:
    """The spans of the question's parts, if the user turn starts at `turn_start` and only `inside` is there of it."""
    start = turn_start + len(question.prompt_parts.before)
    spans = {"question": Span(start, start + len(question.prompt_parts.question))}
    if question.subject is not None:
        spans["subject"] = Span(start + question.subject.start, start + question.subject.stop)
    clipped = {name: Span(max(span.start, inside.start), min(span.stop, inside.stop)) for name, span in spans.items()}
    return {name: span for name, span in clipped.items() if span.start < span.stop}
