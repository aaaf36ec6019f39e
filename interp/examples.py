"""What is asked and what was answered: the plain values that everything downstream is computed from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Span(NamedTuple):
    """A half-open range of characters in a text: ``text[start:stop]``."""

    start: int
    stop: int

    def of(self, text: str) -> str:
        """The characters that the span covers."""
        return text[self.start : self.stop]


class TokenizedText(NamedTuple):
    """A text, and how far into it each of its tokens reaches."""

    text: str
    begun: tuple[int, ...]
    """For each token, how many characters have at least a part in it or before it."""
    complete: tuple[int, ...]
    """For each token, how many characters are complete after it."""

    def first_token(self, span: Span) -> int:
        """The first token that has a part in the span."""
        return bisect_right(self.begun, span.start)

    def last_token(self, span: Span) -> int:
        """The token that completes the span."""
        return bisect_right(self.complete, span.stop - 1)


@dataclass(frozen=True, slots=True)
class Question:
    """One question with the answer that counts as correct."""

    id: str
    """Unique in its dataset."""
    text: str
    """The question's own text."""
    gold: str
    """The correct answer, under its canonical name."""
    aliases: tuple[str, ...]
    """Other names that the correct answer goes by."""
    subject: Span | None
    """Where the question's subject stands in `text`, if the set marks it."""
    dataset: str
    group: str
    """Questions of one group must not straddle a split: twins, paraphrases, the same film."""
    difficulty: float | None = None
    """A number that the set knows about how hard the question is (for `cities`: the population)."""
    context: str | None = None
    """A text that the question is about, to be read with it."""
    completion: str | None = None
    """A text that the answer completes: what a base model is given in place of the question, if the set has it."""
    choices: tuple[str, ...] = ()
    """The answers that this question offers, in an order that does not tell the gold one; none: those of the set."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every name of the correct answer, the canonical one first."""
        return (self.gold, *self.aliases)

    @property
    def subject_text(self) -> str | None:
        """The subject's own characters, or None."""
        return None if self.subject is None else self.subject.of(self.text)


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """What a model said, where the user already has it."""

    text: str
    """As it was generated, with or without its end token."""
    exact: Span | None = None
    """Where the exact answer stands in `text`, if the user says so."""
    no_exact: bool = False
    """Whether the user says that there is no exact answer in it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to one question, with the map from its characters to its tokens."""

    question: Question
    token_ids: tuple[int, ...]
    """The prompt as fed, then what was generated, its end token included."""
    n_prompt: int
    """How many of `token_ids` are the prompt."""
    generated: TokenizedText
    """The generated text without special tokens, with the generated tokens."""
    ended: bool
    """Whether the model produced its end token; if not, the answer is cut at the token limit."""
    exact: Span | None = None
    """Where the exact answer stands in `text`."""
    named: tuple[str, ...] = ()
    """What the exact answer names, right or wrong: a canonical name, several if it is ambiguous ("Congo")."""
    found_by: str | None = None
    """What found the exact answer, or found none: a rule of `interp.answers.extraction`, or ``"column"``."""
    correct: bool | None = None
    """Whether the answer is correct; None where there is no exact answer to judge."""
    why_missing: str | None = None
    """Why there is no exact answer, or no judgement of it."""
    prompt: TokenizedText | None = None
    """The prompt as fed, with its tokens; None where a tokenizer does not tell which token stands where."""
    spans: Mapping[str, Span] = field(default_factory=dict)
    """Where the named parts of the question (``question``, ``subject``, ``context``) stand in the prompt's text."""

    @property
    def text(self) -> str:
        """The generated text without special tokens."""
        return self.generated.text

    @property
    def exact_text(self) -> str | None:
        """The exact answer's own characters, or None."""
        return None if self.exact is None else self.exact.of(self.text)

    @property
    def n_generated(self) -> int:
        """How many tokens were generated, the end token included."""
        return len(self.token_ids) - self.n_prompt
