"""Prompts: a question as it is fed to a model, and where its parts stand in it.

A model whose tokenizer has a chat template is asked in a user turn, with the template's generation prompt, and ends its
answer with its end token. A base model continues a text: a few questions with their answers, then ``Q: …`` newline
``A:``; its answer ends with the line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interp.errors import InputError, unknown_name
from interp.examples import Question, Span, TokenizedText
from interp.models.tokens import encoded_text
from interp.questions.question_set import MAX_SHOTS
from interp.questions.tables import SURROGATE

STYLES = ("auto", "chat", "base")
TEMPLATES = {"chat": "{question}", "base": "Q: {question}\nA:"}
"""What stands around a question by default: in the user turn, or in the text that a base model continues."""
CONTEXT_TEMPLATES = {style: "{context}\n" + template for style, template in TEMPLATES.items()}
"""The same for questions that have a context."""
SHOTS = {"chat": 0, "base": 3}
"""How many questions with their answers go before the question by default."""
BETWEEN_SHOTS = "\n\n"
_PLACEHOLDERS = re.compile(r"\{(question|context)\}")
STAND_IN = "\N{WHITE SQUARE}\N{BLACK SQUARE}\N{WHITE SQUARE}"
"""Goes through the chat template in place of the question, to tell what of the prompt is the template's."""


@dataclass(frozen=True)
class Prompting:
    """How questions are put to a model."""

    style: str = "auto"
    """``"chat"``, ``"base"``, or ``"auto"``: chat if the tokenizer has a chat template."""
    templates: Mapping[str, str] = field(default_factory=dict)
    """For each style what stands around the question: ``{question}`` once, and ``{context}`` where questions have one.
    A style that is not there takes `TEMPLATES` or `CONTEXT_TEMPLATES`."""
    n_shots: int | None = None
    """How many questions go before with their correct answers, as earlier turns or as text; None takes `SHOTS`, or as
    many as there are."""

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise unknown_name("prompt style", self.style, STYLES)
        for template in self.templates.values():
            if template.count("{question}") != 1 or template.count("{context}") > 1:
                raise InputError(
                    f"the template {template!r} must have {{question}} in it, once, and {{context}} at most"
                )

    def style_for(self, tokenizer: Any) -> str:
        """The style in which a tokenizer's model is asked.

        Raises
        ------
        InputError
            If it is to be chat, and the tokenizer has no chat template.
        """
        if self.style == "chat" and tokenizer.chat_template is None:
            raise InputError("the model's tokenizer has no chat template; ask it with --prompt-style base")
        return self.style if self.style != "auto" else "base" if tokenizer.chat_template is None else "chat"

    def shots_for(self, style: str, questions: Sequence[Question]) -> tuple[Question, ...]:
        """The shots, from questions that are not asked.

        Raises
        ------
        InputError
            If there are not as many questions as are to be shown.
        """
        n = min(SHOTS[style], len(questions)) if self.n_shots is None else self.n_shots
        if not 0 <= n <= len(questions):
            raise InputError(
                f"--shots is {n}, and there are {len(questions)} questions to show that are not asked (at most "
                f"{MAX_SHOTS}); give --shots a number to that, or a smaller --n"
            )
        return tuple(questions[:n])


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
    """Where ``question``, and ``subject`` and ``context`` if it has them, stand in the text."""


def prompt_of(
    tokenizer: Any, question: Question, prompting: Prompting | None = None, shots: Sequence[Question] = ()
) -> Prompt:
    """The prompt as it is fed: a user turn in the chat template, or a text with the tokenizer's own special tokens.

    Raises
    ------
    InputError
        If it is to be chat, and the tokenizer has no chat template; or if the question has a context and the template
        has no place for it, or the other way about.
    """
    prompting = prompting or Prompting()
    style = prompting.style_for(tokenizer)
    turn, spans = _turn(question, style, prompting)
    if style == "base":
        before = "".join(f"{_turn(shot, style, prompting)[0]} {shot.gold}{BETWEEN_SHOTS}" for shot in shots)
        token_ids, tokens = encoded_text(tokenizer, before + turn, add_special_tokens=True)
        return Prompt(token_ids, tokens, _shifted(spans, len(before), Span(len(before), len(before) + len(turn))))
    earlier = [(_turn(shot, style, prompting)[0], shot.gold) for shot in shots]
    text = rendered(tokenizer, earlier, turn)
    token_ids, tokens = encoded_text(tokenizer, text, add_special_tokens=False)
    inside = _place_of_turn(tokenizer, earlier, turn, text)
    if inside is None:
        return Prompt(token_ids, tokens, {})
    stripped = turn.index(inside.of(text))
    return Prompt(token_ids, tokens, _shifted(spans, inside.start - stripped, inside))


def reply_prompt(tokenizer: Any, shots: Sequence[tuple[str, str]], request: str) -> tuple[int, ...]:
    """The tokens of a request, after others with the replies that they are to have.

    Earlier turns of the chat template, with its generation prompt; a base model is given all of it as one text.
    """
    if tokenizer.chat_template is not None:
        return encoded_text(tokenizer, rendered(tokenizer, shots, request), add_special_tokens=False)[0]
    before = "".join(f"{asked} {replied}{BETWEEN_SHOTS}" for asked, replied in shots)
    return encoded_text(tokenizer, before + request, add_special_tokens=True)[0]


def text_tokens(
    tokenizer: Any, text: str, *, flag: str, style: str = "base", most: int | None = None
) -> tuple[int, ...]:
    """The tokens of a text as it stands, with the tokenizer's special ones, or of a user turn that says it.

    TransformerLens loads tokenizers with ``add_bos_token=True``: a text begins with the token that begins texts, also
    where Hugging Face's tokenizer by itself would not put it there.

    Parameters
    ----------
    tokenizer
        Of the model.
    text
        What the user gave.
    flag
        With which flag, for errors.
    style
        ``"chat"`` is a turn of the chat template; any other is the text as it stands.
    most
        How many tokens the model reads, where that is known.

    Raises
    ------
    InputError
        If there is no text, or it is not text, or too long, or the tokenizer has no chat template.
    """
    require_text(text, flag=flag)
    if style == "chat":
        Prompting(style).style_for(tokenizer)
        tokens, _ = encoded_text(tokenizer, rendered(tokenizer, [], text), add_special_tokens=False)
    else:
        tokens, _ = encoded_text(tokenizer, text, add_special_tokens=True)
    if not tokens:
        raise InputError(f"{flag} is no text to this tokenizer, {text!r}; give another")
    if most is not None and len(tokens) > most:
        raise InputError(f"{flag} has {len(tokens)} tokens, and the model reads at most {most}; shorten it")
    return tokens


def require_text(text: str, *, flag: str) -> None:
    """Raise an `InputError` for what a flag gives in place of a text: nothing, or bytes that are no characters."""
    if not text:
        raise InputError(f"{flag} is empty; give a text")
    if SURROGATE.search(text):
        raise InputError(f"{flag} is not UTF-8: it has bytes that are no character; give a text")


def _turn(question: Question, style: str, prompting: Prompting) -> tuple[str, dict[str, Span]]:
    """The question with its template around it, and where its parts stand in that."""
    completed = style == "base" and question.completion is not None
    asked = question.text if question.completion is None or not completed else question.completion
    default = TEMPLATES if question.context is None else CONTEXT_TEMPLATES
    template = prompting.templates.get(style, default[style])
    _require_context(question, template)
    contents = {"question": asked, "context": question.context or ""}
    text = ""
    spans: dict[str, Span] = {}
    for index, piece in enumerate(_PLACEHOLDERS.split(template)):
        is_placeholder = index % 2 == 1
        content = contents[piece] if is_placeholder else piece
        if is_placeholder:
            spans[piece] = Span(len(text), len(text) + len(content))
        text += content
    if question.subject is not None and not completed:
        spans["subject"] = Span(*(spans["question"].start + offset for offset in question.subject))
    return text, spans


def _require_context(question: Question, template: str) -> None:
    if (question.context is not None) != ("{context}" in template):
        has, lacks = ("question", "template") if question.context is not None else ("template", "question")
        raise InputError(
            f"the {has} has a context and the {lacks} has none (question {question.id}, template {template!r}); put "
            "{context} into the template of questions that have one, and only there"
        )


def rendered(tokenizer: Any, earlier: Sequence[tuple[str, str]], turn: str) -> str:
    """A chat as the tokenizer's template has it: earlier turns, the user's, and what opens the assistant's."""
    messages = [
        {"role": role, "content": content}
        for asked, answered in earlier
        for role, content in (("user", asked), ("assistant", answered))
    ]
    text: str = tokenizer.apply_chat_template(
        [*messages, {"role": "user", "content": turn}], add_generation_prompt=True, tokenize=False
    )
    return text


def _place_of_turn(tokenizer: Any, earlier: Sequence[tuple[str, str]], turn: str, text: str) -> Span | None:
    """Where the user turn stands in the rendered chat; None if the template has changed its text."""
    before, _, after = rendered(tokenizer, earlier, STAND_IN).partition(STAND_IN)
    # Many templates strip what the user says.
    for given in (turn, turn.strip()):
        if text == before + given + after:
            return Span(len(before), len(before) + len(given))
    return None


def _shifted(spans: Mapping[str, Span], by: int, inside: Span) -> dict[str, Span]:
    """The spans moved by so many characters, as far as they are `inside`."""
    moved = {
        name: Span(max(by + start, inside.start), min(by + stop, inside.stop)) for name, (start, stop) in spans.items()
    }
    return {name: span for name, span in moved.items() if span.start < span.stop}
