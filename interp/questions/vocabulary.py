"""A closed set of answers under all their names, and the first of them that a text names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
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
        ("US") must match as they stand. Scripts that are written without spaces have no word boundaries: 日本 is
        named in 日本です. Numbers are whole, too: 5 is not named in 3.5, -5 or 1,005. Names inside an occurrence of
        `subject` do not count: a text that repeats "Guatemala City" has not yet named a country.

        Parameters
        ----------
        text
            The generated text.
        subject
            The question's subject, if it has one.
        """
        return next(self.namings(text, subject), None)

    def namings(self, text: str, subject: str | None = None) -> Iterator[Naming]:
        """All that `text` names, as `first_named` finds it, in the order of the text."""
        folded = _Folding(text)
        inside = [folded.span_of(match) for match in _word_pattern([subject]).finditer(folded.text)] if subject else []
        for match in self._pattern.finditer(folded.text):
            span = folded.span_of(match)
            if _goes_on(text, span.stop):
                continue
            if any(whole.start <= span.start and span.stop <= whole.stop for whole in inside):
                continue
            answers = self.answers_of(span.of(text))
            if answers:
                yield Naming(span, answers)

    def answers_of(self, words: str) -> tuple[str, ...]:
        """The answers that these words are a name of; none for a decoy, or for "us" where the name is "US"."""
        exact = self._by_capitals.get(_spaced(words))
        return exact if exact is not None else self._by_folded.get(_key(words), ())

    @cached_property
    def _by_capitals(self) -> dict[str, tuple[str, ...]]:
        return _answers_by_name((answer, _spaced(name)) for answer, name in self._pairs if name.isupper())

    @cached_property
    def _by_folded(self) -> dict[str, tuple[str, ...]]:
        return _answers_by_name((answer, _key(name)) for answer, name in self._pairs if not name.isupper())

    @cached_property
    def _pairs(self) -> list[tuple[str, str]]:
        return [(answer, name) for answer, names in self.names.items() for name in names]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return _word_pattern([*(name for _, name in self._pairs), *self.decoys])


def whole_words(text: str, words: str) -> Iterator[Span]:
    """Where `words` stand in `text` as whole words, whatever their case and accents."""
    return (naming.span for naming in Vocabulary({words: (words,)}).namings(text))


def fold(text: str) -> str:
    """`text` without case and accents, also where that changes its length (ß becomes ss, combining marks nothing)."""
    return text.translate(_FOLDED)


def _spaced(text: str) -> str:
    """A text with a space for every run of white space."""
    return " ".join(text.split())


def _alike(folded: str) -> str:
    """A folded text whose apostrophes, hyphens and spaces are of one kind each; it stays as long as it is."""
    return re.sub(r"\s", " ", folded.translate(_ALIKE))


def _key(name: str) -> str:
    """What names that are taken for the same have in common."""
    return _spaced(_alike(fold(name)))


def _is_accent(character: str) -> bool:
    """Whether a mark may be left out: an accent, or a point of Hebrew or Arabic.

    What makes another letter of a letter may not: the voicing of kana (ハ, バ, パ), nuktas, vowel signs, tones. Unicode
    has them in classes of their own or in none.
    """
    combining_class = unicodedata.combining(character)
    return combining_class == OVERLAID or combining_class in POINTS or combining_class >= ATTACHED


_ALIKE = str.maketrans("’‘ʼʻ`\N{HYPHEN}\N{NON-BREAKING HYPHEN}", "'''''--")
"""What is typed for an apostrophe, and for a hyphen."""


class _Folded(dict[int, str]):
    """The folded form of every character, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        # Hangul syllables decompose into letters, not marks, and are left whole.
        parts = (
            unicodedata.normalize("NFD", character)
            if not unicodedata.name(character, "").startswith("HANGUL")
            else character
        )
        self[code] = "".join(part for part in parts.casefold() if not _is_accent(part))
        return self[code]


_FOLDED = _Folded()


OVERLAID, POINTS, ATTACHED = 1, range(10, 37), 200
"""Canonical combining classes (Unicode Standard Annex 44): strokes; points of Hebrew, Arabic and Syriac; the first of
those above, below or beside a letter."""


class _Folding:
    """A folded text that knows where its characters come from."""

    def __init__(self, original: str) -> None:
        parts = [_FOLDED[ord(character)] for character in original]
        self.text = _alike("".join(parts))
        self._original = original
        self._origin = [index for index, part in enumerate(parts) for _ in part]

    def span_of(self, match: re.Match[str]) -> Span:
        """The original characters of a match, with the marks that combine with the last of them."""
        stop = self._origin[match.end() - 1] + 1
        while stop < len(self._original) and _is_accent(self._original[stop]):
            stop += 1
        return Span(self._origin[match.start()], stop)


UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, kana, Han: written without spaces between words."""
HANGUL = "\uac00-\ud7a3"
"""Korean particles follow a name without a space (일본은), so that a name may end where the word does not."""
_IN_WORD = rf"[^\W{UNSPACED}]"
"""A letter or digit of a script whose words are spaced."""


SPACE = re.escape(" ")


def _word_pattern(phrases: Iterable[str]) -> re.Pattern[str]:
    """Whole-word alternatives, the longest first so that "South Sudan" is not taken for "Sudan"."""
    folded = sorted({_key(phrase) for phrase in phrases} - {""}, key=lambda phrase: (-len(phrase), phrase))
    # Neighbours that need the same boundaries share one test of them: most of a text is then passed over quickly.
    runs = groupby(folded, key=_boundaries)
    words = {phrase: re.escape(phrase).replace(SPACE, " +") for phrase in folded}
    alternatives = [f"{before}(?:{'|'.join(words[each] for each in run)}){after}" for (before, after), run in runs]
    return re.compile("|".join(alternatives) or r"(?!)")


def _boundaries(phrase: str) -> tuple[str, str]:
    """A word boundary for each end of the phrase, unless the script has none there; and no number goes on there."""
    before = "" if re.match(rf"[{UNSPACED}]", phrase) else rf"(?<!{_IN_WORD})"
    after = "" if re.search(rf"[{UNSPACED}{HANGUL}]$", phrase) else rf"(?!{_IN_WORD})"
    if phrase[0].isdigit():
        before += r"(?<!\d[.,])(?<!(?<!\w)[-−.])"
    if phrase[-1].isdigit():
        after += r"(?![.,]\d)"
    return before, after


def _goes_on(text: str, stop: int) -> bool:
    """Whether a word goes on with a vowel sign, which is no letter of its own (Devanagari, Thai, …)."""
    return stop < len(text) and unicodedata.category(text[stop]) in ("Mc", "Mn")


def _answers_by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    answers: dict[str, tuple[str, ...]] = {}
    for answer, name in pairs:
        answers[name] = tuple(dict.fromkeys((*answers.get(name, ()), answer)))
    return answers
