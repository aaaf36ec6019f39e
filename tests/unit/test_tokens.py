"""Which token each character belongs to, against the bytes that every token spells."""

from __future__ import annotations

import itertools
import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from interp.examples import Span, TokenizedText
from interp.models.tokens import decoded_text, encoded_after, encoded_text
from tests.tiny_models import trained_tokenizer

TEXTS = [
    "In which country is the city of Lyon? The city of Lyon is located in France, I think: 9 or 19.",
    "Çà et là, naïve façade. São Paulo. Straße, İstanbul.",
    "東京は日本の首都です。서울은 한국의 수도이다. Ελλάδα.",
    "القاهرة عاصمة مصر. ירושלים. भारत की राजधानी.",
]
SCRIPTS = [
    "Lyon",
    " ",
    "  ",
    "in",
    "19",
    "9",
    ".",
    "\n",
    "é",
    "e\u0301",
    "ß",
    "İ",
    "東京",
    "日本",
    "한국",
    "مصر",
    "ל",
    "भा",
]
EMOJI = ["🇫🇷", "👩‍👩‍👧", "❤️", "👍🏽", "𝒳"]
texts = st.lists(st.sampled_from([*SCRIPTS, *EMOJI]) | st.text("ab é東🇫\u0301", max_size=3), max_size=8).map("".join)
many = settings(max_examples=1_000, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True, repr=False)
class Kind:
    """A kind of tokenizer, with an independent account of what each of its tokens spells."""

    tokenizer: Any
    spelt: Callable[[Any, list[int]], list[bytes]]


def byte_level(add_prefix_space: bool, trim_offsets: bool) -> Kind:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, trim_offsets=trim_offsets)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(TEXTS * 3, trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet))
    if trim_offsets:
        from tokenizers import processors

        bpe.post_processor = processors.ByteLevel(trim_offsets=True)
    return Kind(PreTrainedTokenizerFast(tokenizer_object=bpe), spelt_byte_level)


def unigram_with_byte_fallback() -> Kind:
    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False)
    unigram.train_from_iterator(TEXTS[:2] * 3, trainer)
    pieces = [tuple(piece) for piece in json.loads(unigram.to_str())["model"]["vocab"]]
    pieces += [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    unigram.model = models.Unigram(pieces, unk_id=0, byte_fallback=True)
    unigram.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return Kind(PreTrainedTokenizerFast(tokenizer_object=unigram), _spelt_sentencepiece)


def word_piece() -> Kind:
    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer(lowercase=True)
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.decoder = decoders.WordPiece(cleanup=False)
    pieces.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=260, special_tokens=["[UNK]"]))
    return Kind(PreTrainedTokenizerFast(tokenizer_object=pieces, unk_token="[UNK]"), _spelt_word_pieces)


def slow_bytes() -> Kind:
    return Kind(ByT5Tokenizer(), lambda _, ids: [bytes([token - 3]) for token in ids])


def spelt_byte_level(tokenizer: Any, ids: list[int]) -> list[bytes]:
    """Every character of a token's name stands for one byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    byte_of = {chr(byte): byte for byte in printable}
    byte_of |= {chr(256 + n): byte for n, byte in enumerate(b for b in range(256) if b not in printable)}
    return [bytes(byte_of[character] for character in token) for token in tokenizer.convert_ids_to_tokens(ids)]


def _spelt_sentencepiece(tokenizer: Any, ids: list[int]) -> list[bytes]:
    """Bytes by number, or a piece with ▁ for a space; the first space of all is not in the text."""
    spelt = [
        bytes([int(token[3:5], 16)]) if token.startswith("<0x") else token.replace("▁", " ").encode()
        for token in tokenizer.convert_ids_to_tokens(ids)
    ]
    if spelt and spelt[0].startswith(b" "):
        spelt[0] = spelt[0][1:]
    return spelt


def _spelt_word_pieces(tokenizer: Any, ids: list[int]) -> list[bytes]:
    """A space before each word but the first; nothing for what is unknown."""
    spelt: list[bytes] = []
    for token in tokenizer.convert_ids_to_tokens(ids):
        space = " " if any(spelt) and not token.startswith("##") else ""
        spelt.append(b"" if token == "[UNK]" else f"{space}{token.removeprefix('##')}".encode())
    return spelt


KINDS = {
    "byte-level BPE": lambda: byte_level(add_prefix_space=False, trim_offsets=False),
    "byte-level BPE, trimmed offsets": lambda: byte_level(add_prefix_space=False, trim_offsets=True),
    "Unigram with byte fallback": unigram_with_byte_fallback,
    "WordPiece": word_piece,
    "slow, by bytes": slow_bytes,
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]()


@pytest.fixture(scope="module", params=[name for name in KINDS if name != "WordPiece"])
def lossless_kind(request: pytest.FixtureRequest) -> Kind:
    """A kind that keeps case, accents and spaces."""
    return KINDS[request.param]()


def expected_tokens(text: str, spelt: list[bytes]) -> list[tuple[int, int]]:
    """For each character the tokens of its first and of its last byte, looked up one by one."""
    owner = [index for index, piece in enumerate(spelt) for _ in piece]
    found, start = [], 0
    for character in text:
        stop = start + len(character.encode())
        found.append((owner[start], owner[stop - 1]))
        start = stop
    return found


def _common_length(first: str, second: str) -> int:
    agreeing = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    return sum(1 for _ in agreeing)


def resolved_tokens(tokens: TokenizedText, n_characters: int) -> list[tuple[int, int]]:
    spans = [Span(index, index + 1) for index in range(n_characters)]
    return [(tokens.first_token(span), tokens.last_token(span)) for span in spans]


@many
@example("👩‍👩‍👧", 0)
@example("日本", 1)
@given(text=texts, cut=st.integers(0, 5))
def test_generated_characters_belong_to_the_tokens_of_their_bytes(kind: Kind, text: str, cut: int) -> None:
    """Also where the answer is cut in the middle of a character.

    Byte fallback then spells the whole run of bytes with replacement characters, of which there is nothing to check.
    """
    ids = kind.tokenizer(text, add_special_tokens=False)["input_ids"]
    ids = ids[: len(ids) - cut] if cut else ids
    decoded = decoded_text(kind.tokenizer, ids)
    assert len(decoded.begun) == len(decoded.complete) == len(ids)
    spelt = kind.spelt(kind.tokenizer, ids)
    whole = b"".join(spelt).decode(errors="ignore")
    assert cut or decoded.text == whole, "the oracle spells the text that the tokenizer decodes"
    n_characters = _common_length(whole, decoded.text)
    assert resolved_tokens(decoded, n_characters) == expected_tokens(whole[:n_characters], spelt)


COMPOSED = st.text("éếñ각ắü中ёa? ", min_size=1, max_size=8)


@settings(max_examples=200, deadline=None)
@given(text=COMPOSED)
def test_marks_that_a_normaliser_joins_to_their_letter_are_in_its_token(text: str) -> None:
    """Its tokens are those of the composed text, so that each letter must be in the same ones in both."""
    kind = byte_level(add_prefix_space=False, trim_offsets=False)
    kind.tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    text = unicodedata.normalize("NFC", text)
    letters = [unicodedata.normalize("NFD", letter) for letter in text]
    ids, composed = encoded_text(kind.tokenizer, text, add_special_tokens=False)
    others, apart = encoded_text(kind.tokenizer, "".join(letters), add_special_tokens=False)
    assert ids == others
    assert composed is not None
    assert apart is not None
    ends = list(itertools.accumulate(map(len, letters)))
    spans = [Span(end - len(letter), end) for end, letter in zip(ends, letters, strict=True)]
    assert [(apart.first_token(span), apart.last_token(span)) for span in spans] == resolved_tokens(composed, len(text))


def test_a_token_may_be_bytes() -> None:
    """As those of tokenizers that are made of tiktoken's."""

    class OfBytes:
        all_special_ids: tuple[int, ...] = ()

        def convert_ids_to_tokens(self, token: int) -> bytes:
            return "é ".encode()[token : token + 1]

        def decode(self, ids: list[int], **_: Any) -> str:
            return b"".join(map(self.convert_ids_to_tokens, ids)).decode(errors="ignore")

    decoded = decoded_text(OfBytes(), [0, 1, 2])
    assert (decoded.text, decoded.begun, decoded.complete) == ("é ", (1, 1, 2), (0, 1, 2))


@many
@example("🇫🇷é x")
@example(" Lyon")
@given(text=texts)
def test_prompt_characters_belong_to_the_tokens_of_their_bytes(lossless_kind: Kind, text: str) -> None:
    kind = lossless_kind
    ids, encoded = encoded_text(kind.tokenizer, text, add_special_tokens=False)
    spelt = kind.spelt(kind.tokenizer, list(ids))
    assume(b"".join(spelt) == text.encode())
    assert encoded is not None
    assert encoded.text == text
    assert resolved_tokens(encoded, len(text)) == expected_tokens(text, spelt)


@settings(max_examples=300, deadline=None)
@given(words=st.lists(st.sampled_from(["Lyon", "FRANCE", "naïve", "São", "Çà", "city"]), min_size=1, max_size=6))
def test_word_pieces_are_found_in_the_text_that_they_fold(words: list[str]) -> None:
    """WordPiece decodes to lower case without accents: the prompt's own characters are what positions refer to."""
    tokenizer = _WORD_PIECE.tokenizer
    text = "  ".join(words)
    ids, encoded = encoded_text(tokenizer, text, add_special_tokens=False)
    assert encoded is not None
    start = 0
    for word in words:
        span = Span(text.index(word, start), text.index(word, start) + len(word))
        start = span.stop
        first, last = encoded.first_token(span), encoded.last_token(span)
        pieces = [token.removeprefix("##") for token in tokenizer.convert_ids_to_tokens(ids[first : last + 1])]
        assert "".join(pieces) == tokenizer.backend_tokenizer.normalizer.normalize_str(word)


_WORD_PIECE = word_piece()


def prepending() -> PreTrainedTokenizerFast:
    """Puts a space before whatever it is given, as Mistral's does."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bpe.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    bpe.train_from_iterator([text.replace("\n", " ") for text in TEXTS], trainers.BpeTrainer(vocab_size=300))
    bpe.pre_tokenizer = pre_tokenizers.Sequence([])
    return PreTrainedTokenizerFast(tokenizer_object=bpe)


def test_what_goes_on_from_a_text_has_no_space_of_its_own() -> None:
    tokenizer = prepending()
    text = " The city of Lyon"
    alone, _ = encoded_text(tokenizer, text, add_special_tokens=False)
    ids, tokens = encoded_after(tokenizer, "?", text)
    assert (tokenizer.convert_ids_to_tokens(alone[0]), alone[1:]) == ("▁", ids)
    assert tokens is not None
    assert tokens.text == text
    assert tokens.begun[-1] == tokens.complete[-1] == len(text)
    assert tokens.first_token(Span(1, 4)) == 0
    whole = tokenizer(f"In which country is it?{text}", add_special_tokens=False)["input_ids"]
    assert tuple(whole[-len(ids) :]) == ids


@given(st.sampled_from(["", "?", ".", "e", "\n"]), st.sampled_from(TEXTS))
def test_of_most_tokenizers_it_is_spelt_as_by_itself(before: str, text: str) -> None:
    tokenizer = byte_level(add_prefix_space=False, trim_offsets=False).tokenizer
    ids, tokens = encoded_after(tokenizer, before, f" {text}")
    assert (ids, tokens) == encoded_text(tokenizer, f" {text}", add_special_tokens=False)


def test_special_tokens_have_no_characters() -> None:
    tokenizer = slow_bytes().tokenizer
    ids = [*tokenizer("é.", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert decoded_text(tokenizer, ids) == ("é.", (1, 1, 2, 2), (0, 1, 2, 2))
    _, encoded = encoded_text(tokenizer, "é.", add_special_tokens=True)
    assert encoded == ("é.", (1, 1, 2, 2), (0, 1, 2, 2))


def test_special_tokens_without_a_name_have_no_characters() -> None:
    """Those that a tokenizer has in reserve, such as SmolLM2's <file_sep>, are not among its named ones."""
    tokenizer = trained_tokenizer()
    tokenizer.add_tokens([AddedToken("<|reserved|>", special=True)])
    reserved = tokenizer.convert_tokens_to_ids("<|reserved|>")
    assert reserved not in tokenizer.all_special_ids
    ids = [reserved, *tokenizer("Brazil", add_special_tokens=False)["input_ids"]]
    said = decoded_text(tokenizer, ids)
    assert said.text == "Brazil"
    assert said.first_token(Span(0, 6)) == 1


def test_tokens_beyond_the_tokenizers_vocabulary_have_no_characters() -> None:
    """Models have more tokens than their tokenizers, to fill up a matrix; sampling draws them now and then."""
    tokenizer = _WORD_PIECE.tokenizer
    ids, padding = tokenizer("two words")["input_ids"], len(tokenizer) + 5
    text, begun, complete = decoded_text(tokenizer, ids)
    padded = decoded_text(tokenizer, [ids[0], padding, *ids[1:], padding])
    assert padded.text == text
    assert padded.begun == (begun[0], *begun, begun[-1])
    assert padded.complete == (complete[0], *complete, complete[-1])


def test_nothing_generated_is_an_empty_text() -> None:
    assert decoded_text(slow_bytes().tokenizer, []) == ("", (), ())


class Losing:
    """A slow tokenizer that knows no character."""

    is_fast = False
    all_special_ids = ()

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": list(range(len(text)))}

    def decode(self, ids: list[int], **_: Any) -> str:
        return "?" * len(ids)


def test_a_slow_tokenizer_that_loses_characters_is_not_aligned() -> None:
    assert encoded_text(Losing(), "東京", add_special_tokens=False)[1] is None


class Lowering(Losing):
    """A slow tokenizer of characters that folds case and accents and doubles spaces."""

    def decode(self, ids: list[int], **_: Any) -> str:
        return "".join("a  city of lyon!"[index] for index in ids)


def test_a_slow_tokenizer_that_folds_is_laid_beside_the_text() -> None:
    text = "À city of Lyon !"
    _, encoded = encoded_text(Lowering(), text, add_special_tokens=False)
    assert encoded is not None
    lyon = Span(text.index("Lyon"), text.index("Lyon") + 4)
    assert (encoded.first_token(lyon), encoded.last_token(lyon)) == (11, 14)
    assert encoded.first_token(Span(0, 1)) == 0
