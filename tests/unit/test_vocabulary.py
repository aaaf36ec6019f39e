from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.examples import Span
from interp.questions.vocabulary import Vocabulary, fold, whole_words

COUNTRIES = Vocabulary(
    {
        "United States": ("United States", "USA", "US", "United States of America"),
        "Sudan": ("Sudan",),
        "South Sudan": ("South Sudan",),
        "Ivory Coast": ("Ivory Coast", "Côte d'Ivoire"),
        "Mexico": ("Mexico",),
        "Guatemala": ("Guatemala",),
        "DR Congo": ("DR Congo", "Congo"),
        "Congo Republic": ("Congo Republic", "Congo"),
    },
    decoys=("New Mexico",),
)


@pytest.mark.parametrize(
    ("text", "words", "answers"),
    [
        ("It is in South Sudan, not in Sudan.", "South Sudan", ("South Sudan",)),
        ("It is in Sudan, not in South Sudan.", "Sudan", ("Sudan",)),
        ("Tell us: it is in the US.", "US", ("United States",)),
        ("The United States of America!", "United States of America", ("United States",)),
        ("In New Mexico, near Mexico.", "Mexico", ("Mexico",)),
        ("in COTE D'IVOIRE", "COTE D'IVOIRE", ("Ivory Coast",)),
        ("The Congo", "Congo", ("DR Congo", "Congo Republic")),
    ],
)
def test_first_named_takes_the_longest_whole_words(text: str, words: str, answers: tuple[str, ...]) -> None:
    naming = COUNTRIES.first_named(text)
    assert naming is not None
    assert naming.span.of(text) == words
    assert naming.answers == answers


@pytest.mark.parametrize("text", ["", "Tell us more.", "Sudanese food", "New Mexico", "somewhere in Europe"])
def test_nothing_is_named(text: str) -> None:
    assert COUNTRIES.first_named(text) is None


def test_a_name_inside_the_subject_does_not_count() -> None:
    text = "Guatemala City is the capital of Guatemala."
    naming = COUNTRIES.first_named(text, "Guatemala City")
    assert naming is not None
    assert naming.span == Span(33, 42)


def test_a_vocabulary_without_names_names_nothing() -> None:
    assert Vocabulary({}).first_named("anything") is None


@given(st.text(max_size=12), st.text(max_size=12))
def test_folding_goes_character_by_character(first: str, second: str) -> None:
    assert fold(first + second) == fold(first) + fold(second)


@given(st.text(max_size=12), st.text("aéßİ東한ǅ\u0301 ", min_size=1, max_size=5), st.text(max_size=12))
def test_what_is_found_folds_to_the_name(before: str, name: str, after: str) -> None:
    naming = Vocabulary({"x": (name,)}).first_named(f"{before} {name} {after}")
    assert naming is None or (fold(naming.span.of(f"{before} {name} {after}")).split() == fold(name).split())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Côte d’Ivoire", "In Cote d'Ivoire."),
        ("New York", "In New\nYork."),
        ("New York", "In New  York."),
        ("New\N{NO-BREAK SPACE}York", "In New York."),
        ("NEW YORK", "In NEW\nYORK."),
        ("Guinea-Bissau", "In Guinea\N{NON-BREAKING HYPHEN}Bissau."),
    ],
)
def test_spaces_hyphens_and_apostrophes_are_alike(name: str, text: str) -> None:
    naming = Vocabulary({"x": (name,)}).first_named(text)
    assert naming == (Span(3, len(text) - 1), ("x",))


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_fold_keeps_hangul_syllables_apart() -> None:
    assert fold("한국") == "한국"
    assert fold("São Tomé") == "sao tome"


WORDS = st.sampled_from(["a", "b", "ab", "a b", "b a", "US", "us", "é", "Ab-a"])


@given(
    names=st.lists(WORDS, min_size=1, max_size=5, unique=True),
    decoys=st.lists(WORDS, max_size=2, unique=True),
    pieces=st.lists(st.one_of(WORDS, st.sampled_from([" ", ", ", "."])), max_size=12),
    subject=st.one_of(st.none(), WORDS),
)
def test_first_named_agrees_with_a_scan(
    names: list[str], decoys: list[str], pieces: list[str], subject: str | None
) -> None:
    text = "".join(pieces)
    vocabulary = Vocabulary({f"<{name}>": (name,) for name in names}, tuple(decoys))
    naming = vocabulary.first_named(text, subject)
    assert (None if naming is None else (naming.span, naming.answers)) == _scan(names, decoys, text, subject)


def _scan(names: list[str], decoys: list[str], text: str, subject: str | None) -> tuple[Span, tuple[str, ...]] | None:
    """Go from character to character; at each, try the longest phrase first."""
    inside = _whole_words(text, subject) if subject else []
    start = 0
    while start < len(text):
        found = max(
            (s for phrase in (*names, *decoys) for s in _whole_words(text, phrase) if s.start == start),
            key=lambda span: span.stop,
            default=None,
        )
        if found is None:
            start += 1
            continue
        words = found.of(text)
        answers = tuple(
            f"<{name}>" for name in names if (words == name if name.isupper() else fold(words) == fold(name))
        )
        # A name in capitals that matches as it stands wins over one that matches only without regard to case.
        exact = tuple(f"<{name}>" for name in names if name.isupper() and words == name)
        if answers and not any(outer.start <= found.start and found.stop <= outer.stop for outer in inside):
            return found, exact or answers
        start = found.stop
    return None


def _whole_words(text: str, phrase: str) -> list[Span]:
    spans = []
    for match in re.finditer(f"(?={re.escape(fold(phrase))})", fold(text)):
        start, stop = match.start(), match.start() + len(phrase)
        before = start > 0 and re.match(r"\w", text[start - 1])
        after = stop < len(text) and re.match(r"\w", text[stop])
        if not before and not after:
            spans.append(Span(start, stop))
    return spans if phrase else []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("東京は日本です。", "日本"),
        ("JapanとFrance", "Japan"),
        ("수도는 한국은", "한국"),
        ("la Co\u0302te d'Ivoire.", "Co\u0302te d'Ivoire"),
        ("en Espan\u0303a\u0301.", "Espan\u0303a\u0301"),
        ("in der STRASSE", "STRASSE"),
        ("İSTANBUL!", "İSTANBUL"),
        ("भारत।", "भारत"),
    ],
)
def test_spans_are_those_of_the_original_text(text: str, words: str) -> None:
    """Also where folding changes the length of what comes before or inside."""
    names = ["日本", "Japan", "한국", "Côte d'Ivoire", "España", "Straße", "Istanbul", "भारत"]
    naming = Vocabulary({name: (name,) for name in names}).first_named("ﬁn İß e\u0301 " + text)
    assert naming is not None
    assert naming.span.of("ﬁn İß e\u0301 " + text) == words


@pytest.mark.parametrize("text", ["북한국", "भारतीय", "Japaner", "xJapan"])
def test_a_longer_word_is_not_the_name(text: str) -> None:
    assert Vocabulary({name: (name,) for name in ["한국", "भारत", "Japan"]}).first_named(text) is None


@pytest.mark.parametrize(
    ("name", "other"),
    [("パリ", "バリ"), ("ハ", "パ"), ("カラス", "ガラス"), ("दिल", "दाल"), ("फल", "फ़ल"), ("ปี", "ปู"), ("ปา", "ป่า")],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_marks_that_make_another_letter_count(name: str, other: str, form: str, written: str) -> None:
    """Voicing, nuktas, vowel signs and tones; however they are encoded."""
    vocabulary = Vocabulary({name: (unicodedata.normalize(form, name),)})
    naming = vocabulary.first_named(unicodedata.normalize(written, name))
    assert naming is not None
    assert naming.answers == (name,)
    assert vocabulary.first_named(unicodedata.normalize(written, other)) is None


@pytest.mark.parametrize(
    ("name", "text", "is_named"),
    [
        ("5", "It is 5.", True),
        ("5", "5, or 6", True),
        ("5", "$5", True),
        ("1995", "1990-1995", True),
        ("-5", "It is -5", True),
        ("5", "It is -5", False),
        ("5", "3.5", False),
        ("5", "5.3", False),
        ("5", ".5", False),
        ("200", "1,200", False),
        ("1", "1,200", False),
    ],
)
def test_a_number_is_named_where_it_is_whole(name: str, text: str, is_named: bool) -> None:
    assert (Vocabulary({name: (name,)}).first_named(text) is not None) is is_named


def test_whole_words_are_all_that_there_are() -> None:
    text = "Turkey has turkeys: turkey."
    assert [span.of(text) for span in whole_words(text, "turkey")] == ["Turkey", "turkey"]


@pytest.mark.parametrize(("pointed", "bare"), [("שָׁלוֹם", "שלום"), ("مَدِينَة", "مدينة"), ("Å", "a"), ("ø", "ø")])
def test_points_that_may_be_left_out_do_not_count(pointed: str, bare: str) -> None:
    assert fold(pointed) == bare
