"""How tokens are written: every token is seen, and no two look alike."""

from __future__ import annotations

from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from interp.models.token_labels import (
    escaped,
    is_seen,
    labels_of,
    legend,
    token_label,
    token_text,
    units_of,
    whole_label,
)
from tests.tiny_models import trained_tokenizer

BYTE_LEVEL = trained_tokenizer()
SIGNS = "␣↵⇥…◌‹›\\u4E2D "
"""What labels are made of, which a token may have in its own text."""
texts = st.one_of(
    st.binary(max_size=9).map(lambda some: some.decode("utf-8", "surrogateescape")),
    st.text(max_size=9),
    st.text(SIGNS + "ab\n\t0x×8\u0301{}", max_size=9),
    st.builds(lambda character, n: character * n, st.sampled_from(" \n-中\u0301"), st.integers(1, 30)),
)


class Typewriter:
    """A face that has ASCII alone, and makes no difference between O and 0."""

    def draws(self, character: str) -> bool:
        return " " <= character <= "~"

    def width(self, text: str) -> float:
        return float(len(text))

    def look(self, text: str) -> Hashable:
        return text.replace("O", "0")


def byte_fallback() -> PreTrainedTokenizerFast:
    """Letters with the spaces before them, as SentencePiece has them, and bytes for all the rest."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdefgh", "▁a", "▁b", "ab"]
    merges = [("▁", "a"), ("▁", "b"), ("a", "b")]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    bpe = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    bpe.normalizer = normalizers.Replace(" ", "▁")
    bpe.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, unk_token="<unk>")


FALLBACK = byte_fallback()


@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, FALLBACK], ids=["byte-level", "byte-fallback"])
@given(text=st.text(max_size=12) | st.text(" ab\n中é", max_size=12))
def test_the_texts_of_a_texts_tokens_are_the_text(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    text = text.replace("▁", "")  # Which SentencePiece takes for a space.
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    together = "".join(token_text(tokenizer, token) for token in tokens)
    assert together.encode("utf-8", "surrogateescape") == text.encode()


def test_a_tokens_own_space_is_kept_where_decoding_it_alone_strips_it() -> None:
    token = FALLBACK.convert_tokens_to_ids("▁a")
    assert FALLBACK.decode([token]) == "a"
    assert token_text(FALLBACK, token) == " a"


def test_what_only_fills_up_the_vocabulary_is_written_by_its_number() -> None:
    beyond = len(BYTE_LEVEL) + 3
    assert token_text(BYTE_LEVEL, beyond) == ""
    assert token_label(BYTE_LEVEL, beyond) == f"‹{beyond}›"


def test_special_tokens_are_written_as_they_are() -> None:
    assert token_label(BYTE_LEVEL, BYTE_LEVEL.bos_token_id) == "<|im_start|>"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (" country", "␣country"),
        ("\n", "↵"),
        ("\t\n  ", "⇥↵␣␣"),
        ("     x", "␣‹×5›x"),
        ("-----", "-‹×5›"),
        ("\udce4", "‹0xE4›"),
        (" \udce4\udcb8", "␣‹0xE4B8›"),
        ("\x07", "\\u0007"),
        ("\xa0", "\\u00A0"),
        ("\u200d", "\\u200D"),
        ("\ufe0f", "\\uFE0F"),
        ("\ufffd", "\\uFFFD"),
        ("\U000e0001", "\\u{E0001}"),
        ("\u0301", "◌\u0301"),
        (" \u0301e\u0301", "␣◌\u0301e\u0301"),
        ("…", "\\u2026"),
        ("␣", "\\u2423"),
        ("\\", "\\"),
        ("\\u4E2D", "\\u005Cu4E2D"),
        ("\\u{1F600}", "\\u005Cu{1F600}"),
        ("\\u4e2d", "\\u4e2d"),
        ("中", "中"),
    ],
)
def test_a_label_shows_what_cannot_be_seen(text: str, label: str) -> None:
    assert whole_label(7, text) == label


def test_what_a_font_lacks_is_written_by_its_number() -> None:
    assert whole_label(7, "中a😀", Typewriter().draws) == "\\u4E2Da\\u{1F600}"
    assert escaped("3 中", Typewriter().draws) == "3 \\u4E2D"


@given(st.lists(texts, min_size=2, max_size=2, unique=True))
def test_different_texts_have_different_labels(pair: list[str]) -> None:
    for draws in (is_seen, Typewriter().draws):
        first, second = (whole_label(number, text, draws) for number, text in enumerate(pair))
        assert first != second


@given(texts)
def test_a_label_is_seen_and_has_no_space(text: str) -> None:
    for draws in (is_seen, Typewriter().draws):
        label = whole_label(7, text, draws)
        assert label
        assert label.isprintable()
        assert not any(character.isspace() for character in label)
        made = set("␣↵⇥…◌‹›×")
        assert all(draws(character) or character in made for character in label)


@given(st.dictionaries(st.integers(0, 49_151), texts, max_size=12), st.integers(9, 16))
def test_no_two_labels_of_a_picture_look_alike(of_tokens: dict[int, str], room: int) -> None:
    face = Typewriter()
    labels = labels_of(of_tokens, face, float(room))
    assert list(labels) == list(of_tokens)
    assert len({face.look(label) for label in labels.values()}) == len(labels)
    for token, label in labels.items():
        assert face.width(label) <= room
        whole = whole_label(token, of_tokens[token], face.draws)
        assert label in (whole, f"{whole}‹{token}›") or "…" in label


@given(st.dictionaries(st.integers(0, 99), st.text("abc", min_size=1, max_size=9), max_size=9))
def test_what_fits_and_is_its_own_is_not_touched(of_tokens: dict[int, str]) -> None:
    labels = labels_of(of_tokens, Typewriter(), 9.0)
    for token, text in of_tokens.items():
        alone = list(of_tokens.values()).count(text) == 1
        assert labels[token] == whole_label(token, text) if alone else labels[token].endswith(f"‹{token}›")


def test_long_tokens_are_cut_and_told_apart() -> None:
    labels = labels_of({1: " international", 2: "counterrevolution", 3: "O", 4: "0"}, Typewriter(), 10.0)
    assert labels == {1: "␣internat…", 2: "counterre…", 3: "O‹3›", 4: "0‹4›"}
    labels = labels_of({1: " international", 2: " internationally"}, Typewriter(), 10.0)
    assert labels == {1: "␣inte…onal", 2: "␣inte…ally"}
    labels = labels_of({1: "abcdefghXijkl_", 2: "abcdefghYijkl_"}, Typewriter(), 9.0)
    assert labels == {1: "abcde…‹1›", 2: "abcde…‹2›"}, "a difference in the middle shows in no other way"


def test_what_is_one_sign_is_not_cut() -> None:
    assert labels_of({1: "中国人"}, Typewriter(), 9.0) == {1: "\\u4E2D…"}
    assert labels_of({12: "中国人"}, Typewriter(), 6.0) == {12: "…‹12›"}, "no part of it fits"
    assert units_of("a\u0301\u0302 \udce4\udcb8", is_seen) == ["a\u0301\u0302", "␣", "‹0xE4B8›"]


def test_only_signs_that_are_there_are_explained() -> None:
    assert legend(["country", "x"]) == []
    assert [meaning.split()[0] for meaning in legend(["␣a", "‹0xE4›"])] == ["␣", "‹0x…›"]
    assert [meaning.split()[0] for meaning in legend(["↵⇥", "-‹×7›", "\\u4E2D…", "A‹65›"])] == [
        "↵",
        "⇥",
        "‹×8›",
        "\\u…",
        "…",
        "‹65›",
    ]
    assert legend(["\\"]) == []
