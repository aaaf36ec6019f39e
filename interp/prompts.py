"""Prompts: a question as it is fed to a model, and where its parts stand in it.

A model whose tokenizer has a chat template is asked in a user turn, with the template's generation prompt, and ends its
answer with its end token. A base model continues ``Q: …`` newline ``A:``, and its answer ends with the line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interp.errors import InputError, unknown_name
from interp.examples import Question, Span, TokenizedText
from interp.tokens import encoded_text

STYLES = ("auto", "chat", "base")
TEMPLATES = {"chat": "{question}", "base": "Q: {question}\nA:"}
"""What stands around a question by default: in the user turn, or in the text that a base model continues."""
STAND_IN = "\N{WHITE SQUARE}\N{BLACK SQUARE}\N{WHITE SQUARE}"
"""Goes through the chat template in place of the question, to tell what of the prompt is the template's."""


@dataclass(frozen=True)
class Prompting:
    """How questions are put to a model."""

    style: str = "auto"
    """``"chat"``, ``"base"``, or ``"auto"``: chat if the tokenizer has a chat template."""
    template: str | None = None
    """What stands around the question, with ``{question}`` once; None takes `TEMPLATES`."""

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise unknown_name("prompt style", self.style, STYLES)
        if self.template is not None and self.template.count("{question}") != 1:
            raise InputError(f"the template {self.template!r} must have {{question}} in it, once")

    def style_for(self, tokenizer: Any) -> str:
        """The style in which a tokenizer's model is asked.

        Raises
        ------
        InputError
            If it is to be chat, and the tokenizer has no chat template.
        """
        if self.style == "chat" and tokenizer.chat_template is None:
            raise InputError("the model's tokenizer has no chat template; ask it with --prompt base")
        return self.style if self.style != "auto" else "base" if tokenizer.chat_template is None else "chat"


def newline_tokens(tokenizer: Any) -> frozenset[int]:
    """All tokens with a line break in them: those that end a base model's answer."""
    ids = list(range(len(tokenizer)))
    texts = tokenizer.batch_decode([[token] for token in ids], clean_up_tokenization_spaces=False)
    return frozenset(token for token, text in zip(ids, texts, strict=True) if "\n" in text)


@dataclass(frozen=True)
class Prompt:
    """A question in a model's own form."""

    token_ids: tuple[int, ...]
    tokens: TokenizedText | None
    """The prompt's text with its tokens; None where the tokenizer does not tell which token stands where."""
    spans: Mapping[str, Span]
    """Where ``question``, and ``subject`` if it is marked, stand in the text."""


def prompt_of(tokenizer: Any, question: Question, prompting: Prompting | None = None) -> Prompt:
    """The prompt as it is fed: a user turn in the chat template, or a text with the tokenizer's own special tokens.

    Raises
    ------
    InputError
        If it is to be chat, and the tokenizer has no chat template.
    """
    prompting = prompting or Prompting()
    style = prompting.style_for(tokenizer)
    before, after = (prompting.template or TEMPLATES[style]).split("{question}")
    turn = before + question.prompt_parts.text + after
    if style == "base":
        token_ids, tokens = encoded_text(tokenizer, turn, add_special_tokens=True)
        return Prompt(token_ids, tokens, _spans(question, Span(0, len(turn)), len(before)))
    text = _rendered(tokenizer, turn)
    token_ids, tokens = encoded_text(tokenizer, text, add_special_tokens=False)
    inside = _place_of_turn(tokenizer, turn, text)
    if inside is None:
        return Prompt(token_ids, tokens, {})
    stripped = turn.index(inside.of(text))
    return Prompt(token_ids, tokens, _spans(question, inside, inside.start - stripped + len(before)))


def _rendered(tokenizer: Any, turn: str) -> str:
    text: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": turn}], add_generation_prompt=True, tokenize=False
    )
    return text


def _place_of_turn(tokenizer: Any, turn: str, text: str) -> Span | None:
    """Where the user turn stands in the rendered chat; None if the template has changed its text."""
    before, _, after = _rendered(tokenizer, STAND_IN).partition(STAND_IN)
    # Many templates strip what the user says.
    for given in (turn, turn.strip()):
        if text == before + given + after:
            return Span(len(before), len(before) + len(given))
    return None


def _spans(question: Question, inside: Span, parts_start: int) -> dict[str, Span]:
    """The spans of the question's parts, if these start at `parts_start` and no more than `inside` is there of them."""
    start = parts_start + len(question.prompt_parts.before)
    spans = {"question": Span(start, start + len(question.prompt_parts.question))}
    if question.subject is not None:
        spans["subject"] = Span(start + question.subject.start, start + question.subject.stop)
    clipped = {name: Span(max(span.start, inside.start), min(span.stop, inside.stop)) for name, span in spans.items()}
    return {name: span for name, span in clipped.items() if span.start < span.stop}
