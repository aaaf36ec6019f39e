"""Texts with their tokens: which characters each token has a part in, for any tokenizer.

Two numbers for each token say all that positions need. *Begun* is how many characters of the text have at least one
byte in this token or an earlier one, *complete* how many have all of theirs. They differ where a tokenizer spreads one
character over several tokens (byte-level BPE, byte fallback).
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import Any

from interp.examples import TokenizedText


def decoded_text(tokenizer: Any, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> TokenizedText:
    """The text that tokens stand for, and which characters each of them has a part in.

    Found by decoding every prefix: this holds for every tokenizer, also where a token's text depends on its
    neighbours. A prefix that ends within a character decodes to replacement characters (some tokenizers leave them
    out), which tells that the next character is begun and not complete. A replacement character that the model itself
    wrote out in bytes cannot be told from these, and is taken for complete with its first token.
    """

    def decoded(n_tokens: int) -> str:
        text: str = tokenizer.decode(
            list(token_ids[:n_tokens]),
            skip_special_tokens=skip_special_tokens,
            clean_up_tokenization_spaces=False,
        )
        return text

    text = decoded(len(token_ids))
    special = special_ids(tokenizer)
    complete, begun = [0], [0]
    before = ""
    for n_tokens, token_id in enumerate(token_ids, start=1):
        prefix = decoded(n_tokens)
        common = _common_length(prefix, text)
        silent = prefix == before and token_id not in special and not _is_space(tokenizer, token_id)
        # What was complete stays so, though byte fallback turns a whole run of bytes into replacement characters
        # while the last of them is unfinished.
        complete.append(max(common, complete[-1]))
        begun.append(min(max(complete[-1] + (len(prefix) > common or silent), begun[-1]), len(text)))
        before = prefix
    return TokenizedText(text, tuple(begun[1:]), tuple(complete[1:]))


def special_ids(tokenizer: Any) -> set[int]:
    """The tokens that are no text: those that have a name, such as bos, and all others that were added as such."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {*tokenizer.all_special_ids, *(number for number, token in added.items() if token.special)}


def _is_space(tokenizer: Any, token_id: int) -> bool:
    """Whether a token is white space alone, which a decoder may strip, or only fills up the model's vocabulary."""
    token: str | bytes | None = tokenizer.convert_ids_to_tokens(token_id)
    if isinstance(token, bytes):
        return not token.strip()
    return not (token or "").strip("\N{LOWER ONE EIGHTH BLOCK} ")


def encoded_text(
    tokenizer: Any, text: str, *, add_special_tokens: bool
) -> tuple[tuple[int, ...], TokenizedText | None]:
    """The tokens of a text, and which characters each of them has a part in.

    Special tokens that are written in the text (chat templates do that) have their characters; those that the
    tokenizer adds have none.

    Fast tokenizers tell by their offsets. Slow ones tell nothing: what their tokens decode to is laid beside the
    text, without regard to white space, case and accents, and where it does not fit (an unknown character) there is
    None.
    """
    if getattr(tokenizer, "is_fast", False):
        encoding = tokenizer(text, add_special_tokens=add_special_tokens, return_offsets_mapping=True)
        token_ids = tuple(encoding["input_ids"])
        ranges = _with_spaces(tokenizer, text, token_ids, encoding["offset_mapping"])
        return token_ids, _from_offsets(text, _without_gaps(text, ranges))
    token_ids = tuple(tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"])
    decoded = decoded_text(tokenizer, token_ids, skip_special_tokens=add_special_tokens)
    return token_ids, decoded if decoded.text == text else _laid_beside(decoded, text)


def encoded_after(tokenizer: Any, before: str, text: str) -> tuple[tuple[int, ...], TokenizedText | None]:
    """The tokens of a text that goes on from another, as `encoded_text` gives them.

    By itself it may be spelt otherwise: some tokenizers put a space before whatever they are given. Where what comes
    before is spelt otherwise together with it, it is spelt by itself.
    """
    lead, _ = encoded_text(tokenizer, before, add_special_tokens=False)
    token_ids, tokens = encoded_text(tokenizer, before + text, add_special_tokens=False)
    if tokens is None or token_ids[: len(lead)] != lead or tokens.complete[len(lead) - 1 :][:1] != (len(before),):
        return encoded_text(tokenizer, text, add_special_tokens=False)
    begun, complete = (
        tuple(max(n - len(before), 0) for n in each[len(lead) :]) for each in (tokens.begun, tokens.complete)
    )
    return token_ids[len(lead) :], TokenizedText(tokens.text[len(before) :], begun, complete)


def _with_spaces(
    tokenizer: Any, text: str, token_ids: Sequence[int], offsets: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The offsets, with the ranges of tokens of white space put right.

    Byte-level tokenizers that trim their offsets leave them empty; SentencePiece gives the space that it puts before
    a text the range of the text's first character.
    """
    special = special_ids(tokenizer)
    filled: list[tuple[int, int]] = []
    reached = 0
    for token_id, (start, stop) in zip(token_ids, offsets, strict=True):
        if start == stop and token_id not in special:
            start, n_bytes = reached, len(tokenizer.convert_ids_to_tokens(token_id))
            stop = start
            while stop < len(text) and text[stop].isspace() and n_bytes >= len(text[start : stop + 1].encode()):
                stop += 1
        elif _is_space(tokenizer, token_id) and text[start:stop].strip(" "):
            stop = start
        filled.append((start, stop))
        reached = max(reached, stop)
    return filled


def _without_gaps(text: str, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The ranges, each with the characters after it that no token has, but for white space.

    Where a normaliser joins a letter and its mark, the token has the range of the letter alone.
    """
    starts = sorted({start for start, stop in ranges if start < stop} | {len(text)})
    filled = []
    for start, stop in ranges:
        following = starts[bisect_left(starts, stop)]
        while start < stop < following and not text[stop].isspace():
            stop += 1
        filled.append((start, stop))
    return filled


def _from_offsets(text: str, offsets: Sequence[tuple[int, int]]) -> TokenizedText:
    """From half-open character ranges. Tokens that share one character all have a part in it."""
    begun = [stop for _, stop in offsets]
    complete = list(begun)
    later_start = len(text)
    for index in range(len(offsets) - 1, -1, -1):
        # A character that a later token has a part in is not complete here.
        complete[index] = min(complete[index], later_start)
        start, stop = offsets[index]
        if start < stop:
            later_start = min(later_start, start)
    _split_bytes(text, offsets, begun, complete)
    return TokenizedText(text, tuple(accumulate(begun, max)), tuple(accumulate(complete, max)))


def _split_bytes(text: str, offsets: Sequence[tuple[int, int]], begun: list[int], complete: list[int]) -> None:
    """Give each token its own byte where a run of tokens spells the same characters byte by byte.

    SentencePiece's byte fallback gives all tokens of such a run the range of the whole run.
    """
    index = 0
    for (start, stop), run in groupby(offsets):
        n_tokens = len(list(run))
        byte_ends = list(accumulate(len(character.encode()) for character in text[start:stop]))
        if n_tokens > 1 and byte_ends and byte_ends[-1] == n_tokens:
            for n_bytes in range(1, n_tokens + 1):
                begun[index + n_bytes - 1] = start + bisect_left(byte_ends, n_bytes) + 1
                complete[index + n_bytes - 1] = start + bisect_right(byte_ends, n_bytes)
        index += n_tokens


def _laid_beside(decoded: TokenizedText, text: str) -> TokenizedText | None:
    """The tokens of a decoded text for a text that differs from it in white space, case and accents only."""
    plain, ends = _plain(text)
    decoded_plain, decoded_ends = _plain(decoded.text)
    if plain != decoded_plain:
        return None
    reached = [0, *ends]

    def moved(counts: Sequence[int]) -> tuple[int, ...]:
        return tuple(reached[bisect_right(decoded_ends, count)] for count in counts)

    return TokenizedText(text, moved(decoded.begun), moved(decoded.complete))


def _plain(text: str) -> tuple[str, list[int]]:
    """The text without white space, case and accents, and for each character left where it ends in the original."""
    plain: list[str] = []
    ends: list[int] = []
    for index, character in enumerate(text):
        for part in unicodedata.normalize("NFKD", character).casefold():
            if not part.isspace() and not unicodedata.combining(part):
                plain.append(part)
                ends.append(index + 1)
    return "".join(plain), ends


def _common_length(first: str, second: str) -> int:
    """How many characters two texts begin with in common."""
    shorter = min(len(first), len(second))
    if first[:shorter] == second[:shorter]:
        return shorter
    return next(index for index in range(shorter) if first[index] != second[index])
