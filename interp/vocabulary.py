"""A closed set of answers under all their names, and the first of them that a text names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from interp.examples import Span


class Naming(NamedTuple):
    """One place where a text names an answer."""

    span: Span
    answers: tuple[str, ...]
    """Canonical names that the words may stand for; more than one where a name is ambiguous ("Congo")."""


@dataclass(frozen=True)
class Vocabulary:
    """All answers that count, each with the names it goes by.

    It does not know which answer is the gold one. The exact answer is therefore found in the same way whether the
    model is right or wrong, and its position cannot leak the label.
    """

    names: Mapping[str, tuple[str, ...]]
    """Canonical answer -> every name it goes by, the canonical one included."""
    decoys: tuple[str, ...] = ()
    """Phrases that contain a name and do not mean it ("New Mexico")."""

    def first_named(self, text: str, subject: str | None = None) -> Naming | None:
        """The first answer that `text` names, or None.

        Longest name first, whole words only, without regard to case and accents, except that names all in capitals
        ("US") must match as they stand. Names inside an occurrence of `subject` do not count: a text that repeats
        "Guatemala City" has not yet named a country.

        Parameters
        ----------
        text
            The generated text.
        subject
            The question's subject, if it has one.
        """
        folded = fold(text)
        inside = [Span(*match.span()) for match in _word_pattern([subject]).finditer(folded)] if subject else []
        for match in self._pattern.finditer(folded):
            span = Span(*match.span())
            if any(outer.start <= span.start and span.stop <= outer.stop for outer in inside):
                continue
            answers = self._answers_of(span.of(text))
            if answers:
                return Naming(span, answers)
        return None

    def _answers_of(self, words: str) -> tuple[str, ...]:
        """The answers that these words name; none for a decoy, or for "us" where the name is "US"."""
        exact = self._by_capitals.get(words)
        return exact if exact is not None else self._by_folded.get(fold(words), ())

    @cached_property
    def _by_capitals(self) -> dict[str, tuple[str, ...]]:
        return _answers_by_name((answer, name) for answer, name in self._pairs if name.isupper())

    @cached_property
    def _by_folded(self) -> dict[str, tuple[str, ...]]:
        return _answers_by_name((answer, fold(name)) for answer, name in self._pairs if not name.isupper())

    @cached_property
    def _pairs(self) -> list[tuple[str, str]]:
        return [(answer, name) for answer, names in self.names.items() for name in names]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return _word_pattern([*(name for _, name in self._pairs), *self.decoys])


def fold(text: str) -> str:
    """`text` without case and accents, character by character, so that offsets stay what they were.

    A character whose plain form is longer than one character ("ß", "ﬁ") is kept as it is.
    """
    return text.translate(_FOLDED)


class _Folded(dict[int, str]):
    """The folded form of every character, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        decomposed = unicodedata.normalize("NFD", character)
        # Hangul syllables decompose into letters, not marks: dropping those would make different syllables one.
        plain = decomposed[0].lower() if all(map(unicodedata.combining, decomposed[1:])) else character
        self[code] = plain if len(plain) == 1 else character
        return self[code]


_FOLDED = _Folded()


def _word_pattern(phrases: Iterable[str]) -> re.Pattern[str]:
    """Whole-word alternatives, the longest first so that "South Sudan" is not taken for "Sudan"."""
    folded = sorted({fold(phrase) for phrase in phrases}, key=lambda phrase: (-len(phrase), phrase))
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, folded))})(?!\w)" if folded else r"(?!)")


def _answers_by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    answers: dict[str, tuple[str, ...]] = {}
    for answer, name in pairs:
        answers[name] = tuple(dict.fromkeys((*answers.get(name, ()), answer)))
    return answers
