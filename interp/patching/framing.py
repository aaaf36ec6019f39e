"""Framing: what stands around the words of a prompt, which two runs must share for their tokens to be comparable.

Runs that are put in other words, or begin with another token, differ in every activation from there on, whatever they
are about: what is patched between them would be the framing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from interp.errors import InputError
from interp.examples import Answer, Span, TokenizedText

PARTS = ("context", "question")
"""Spans of a prompt that are not of its framing."""


class Framing(NamedTuple):
    """What two prompts have in common that are put in the same way."""

    special: tuple[int, ...]
    """The special tokens, in order: that of the beginning, those of chat turns."""
    words: tuple[str, ...]
    """The names of the parts, and the text before, between and after them; nothing where that is not known."""


def framing_of(
    tokenizer: Any, token_ids: Sequence[int], text: TokenizedText | None = None, spans: Mapping[str, Span] | None = None
) -> Framing:
    """The framing of a prompt.

    Parameters
    ----------
    tokenizer
        Of the model.
    token_ids
        The prompt.
    text, spans
        Its text, and where the question and its context stand in it, as far as that is known.
    """
    special = set(tokenizer.all_special_ids)
    words: list[str] = []
    parts = sorted((span, name) for name, span in (spans or {}).items() if name in PARTS)
    if text is not None and parts:
        start = 0
        for span, name in parts:
            words += [text.text[start : span.start], name]
            start = span.stop
        words.append(text.text[start:])
    return Framing(tuple(token for token in token_ids if token in special), tuple(words))


def misfit_of_framing(tokenizer: Any, answers: Sequence[Answer]) -> Callable[[Answer, Answer], str | None]:
    """What tells why the prompts of two of these answers are not put in the same way; None if they are."""
    framings = {
        answer.question.id: framing_of(tokenizer, answer.token_ids[: answer.n_prompt], answer.prompt, answer.spans)
        for answer in answers
    }

    def misfit(clean: Answer, corrupt: Answer) -> str | None:
        first, second = framings[clean.question.id], framings[corrupt.question.id]
        if first.special != second.special:
            return "the two prompts have other special tokens"
        return None if first.words == second.words else "the two prompts are not put in the same words"

    return misfit


def require_same_framing(tokenizer: Any, clean: Sequence[int], corrupt: Sequence[int]) -> None:
    """Raise an `InputError` if two texts have other special tokens, or begin with the same one twice."""
    special = [framing_of(tokenizer, tokens).special for tokens in (clean, corrupt)]
    first, second = (" ".join(tokenizer.convert_ids_to_tokens(list(each))) or "none" for each in special)
    if special[0] != special[1]:
        raise InputError(
            f"--clean and --corrupt are framed in different ways: the special tokens of one are {first}, of the other "
            f"{second}; write out none that the tokenizer or the chat template puts there itself"
        )
    for flag, tokens in (("--clean", clean), ("--corrupt", corrupt)):
        if special[0] and list(tokens[:2]) == [special[0][0]] * 2:
            twice = tokenizer.convert_ids_to_tokens([special[0][0]])[0]
            raise InputError(f"{flag} begins with {twice} twice; leave it out: the tokenizer puts it there itself")
