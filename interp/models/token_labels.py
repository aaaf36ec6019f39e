r"""How tokens are written where people read them: every token can be seen, and no two look alike.

==========================  ==========================================================================================
of a token                  is written
==========================  ==========================================================================================
space, line break, tab      ␣ ↵ ⇥
one character, 5 times      once, with how often: ``␣‹×8›``
bytes that are no text      ‹0xE4B8›: a part of a character, in byte-level BPE and byte fallback
what cannot be drawn        by its number: ``\u4E2D``, ``\u{1F1EB}`` (control characters, what the font lacks)
a mark without a letter     on a dotted circle: ◌́
nothing                     ‹50280›, the token's own number: of ids that only fill up the model's vocabulary
==========================  ==========================================================================================

What a label is made of means nothing else in it: a token that has a ‹ or an … in its text has it written by its number.
Different texts therefore have different labels. Where labels are to be short they end in an ellipsis, and where two of
one picture would then be the same, or look the same though they are not (Latin A, Greek Α), they are told apart by the
middle that is left out or by the token's number: ``␣inter…ally``, ``A‹65›``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥"}
ELLIPSIS, CIRCLE = "…", "◌"
RESERVED = frozenset("".join(SIGNS.values()) + ELLIPSIS + CIRCLE + "‹›")
"""What labels are made of, besides a token's own characters."""
UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffd\U000e0100-\U000e01ef]"
)
"""Characters that Python calls printable and nobody sees; and the one that stands for what was lost."""
_PARTS = re.compile(
    r"(?P<bytes>[\udc80-\udcff]+)|(?P<often>(?P<one>.)(?P=one){4,})|(?P<escape>\\)(?=u[0-9A-F]{4}|u\{[0-9A-F]+\})|.",
    re.DOTALL,
)
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_METASPACE = "\N{LOWER ONE EIGHTH BLOCK}"


@runtime_checkable
class Face(Protocol):
    """What labels are drawn with: a font, or a terminal."""

    def draws(self, character: str) -> bool:
        """Whether it draws a character, so that it is seen."""

    def width(self, text: str) -> float:
        """How wide a text is, in the face's own unit."""

    def look(self, text: str) -> Hashable:
        """What is seen of a text: the same for texts that cannot be told from each other."""


def token_text(tokenizer: Any, token: int) -> str:
    """The text that a token stands for, with its leading space; bytes that are no text are lone surrogates (PEP 383).

    Decoding a single token loses both: tokenizers strip a leading space, and give one replacement character for any
    part of a character. It is therefore read off the vocabulary's own spelling, as far as that decodes to the same.
    A token without any text, which only fills up the vocabulary, is the empty text.
    """
    piece = tokenizer.convert_ids_to_tokens(token) if token < len(tokenizer) else None
    if piece is None:
        return ""
    if isinstance(piece, bytes):
        return piece.decode("utf-8", "surrogateescape")
    decoded = str(tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False))
    byte = _BYTE_PIECE.fullmatch(piece)
    if byte and decoded != piece:
        return bytes.fromhex(byte[1]).decode("utf-8", "surrogateescape")
    for spelt in (_of_byte_level(piece), piece.replace(_METASPACE, " ")):
        if spelt is not None and _as_decoded(spelt) == _as_decoded(decoded):
            return spelt
    return decoded or str(piece)


def token_label(tokenizer: Any, token: int) -> str:
    """A token as it is written by name, at any length, wherever printable characters can be drawn."""
    return whole_label(token, token_text(tokenizer, token))


def whole_label(token: int, text: str, draws: Callable[[str], bool] | None = None) -> str:
    """The label of a token with this text; `draws` tells what can be drawn, by default all that is printable."""
    return "".join(units_of(text, draws or is_seen)) or _numbered(token)


def labels_of(texts: Mapping[int, str], face: Face, room: float) -> dict[int, str]:
    """The labels of all tokens of one picture, no two of which look alike.

    Parameters
    ----------
    texts
        For each token its text, as `token_text` gives it.
    face
        What they are drawn with.
    room
        How wide they may be. Where even the token's number with an ellipsis is wider, that is what is given.
    """
    forms = {token: _forms(token, units_of(text, face.draws), face, room) for token, text in texts.items()}
    chosen = dict.fromkeys(texts, 0)
    while True:
        looks = {token: face.look(forms[token][form]) for token, form in chosen.items()}
        shared = Counter(looks.values())
        # The last form has the token's number in it, which no other label has.
        alike = [token for token, look in looks.items() if shared[look] > 1 and chosen[token] + 1 < len(forms[token])]
        if not alike:
            return {token: forms[token][form] for token, form in chosen.items()}
        for token in alike:
            chosen[token] += 1


def legend(labels: Iterable[str]) -> list[str]:
    """What the signs mean that there are in some labels."""
    written = list(labels)
    meanings = {
        "␣": ("␣ space", r"␣"),
        "↵": ("↵ line break", r"↵"),
        "⇥": ("⇥ tab", r"⇥"),
        "times": ("‹×8› 8 times", r"‹×\d+›"),
        "bytes": ("‹0x…› bytes, a part of a character", r"‹0x[0-9A-F]+›"),
        "escape": (r"\u… a character that cannot be seen, or is in no font here", r"\\u([0-9A-F]{4}|\{[0-9A-F]+\})"),
        "cut": ("… cut", r"…"),
        "number": ("‹65› the token's number", r"‹\d+›"),
    }
    return [meaning for meaning, sign in meanings.values() if any(re.search(sign, label) for label in written)]


def units_of(text: str, draws: Callable[[str], bool]) -> list[str]:
    """What the label of a text is made of, in parts that are not cut: the label is their concatenation."""
    units: list[str] = []
    takes_marks = False
    for match in _PARTS.finditer(text):
        part, first = match[0], match[0][0]
        if match["bytes"]:
            units.append(f"‹0x{part.encode('utf-8', 'surrogateescape').hex().upper()}›")
        elif match["escape"]:
            units.append(_number_of(first))
        elif match["often"]:
            units.append(f"{_unit(first, draws)}‹×{len(part)}›")
        elif takes_marks and _is_mark(part) and draws(part):
            units[-1] += part
            continue
        else:
            units.append(_unit(part, draws))
        takes_marks = units[-1] == part
    return units


def is_seen(character: str) -> bool:
    """Whether a character can be seen wherever there is a font for it."""
    return character.isprintable() and not UNSEEN.match(character)


def escaped(text: str, draws: Callable[[str], bool]) -> str:
    """A text with the characters that cannot be drawn written by their numbers."""
    return "".join(character if draws(character) else _number_of(character) for character in text)


def _unit(character: str, draws: Callable[[str], bool]) -> str:
    if character in SIGNS:
        return SIGNS[character]
    if character in RESERVED or not draws(character):
        return _number_of(character)
    return CIRCLE + character if _is_mark(character) else character


def _number_of(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04X}" if number < 0x10000 else f"\\u{{{number:X}}}"


def _numbered(token: int) -> str:
    return f"‹{token}›"


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Me", "Mc")


def _forms(token: int, units: Sequence[str], face: Face, room: float) -> list[str]:
    """What a token may be written as, from what is read most easily to what is sure to be its own."""
    number = _numbered(token)
    if not units:
        return [number]
    whole = "".join(units)
    numbered = whole + number if face.width(whole + number) <= room else _ended(units, face, room, number)
    if face.width(whole) <= room:
        return [whole, numbered]
    return [form for form in (_ended(units, face, room), _centred(units, face, room)) if form != ELLIPSIS] + [numbered]


def _ended(units: Sequence[str], face: Face, room: float, end: str = "") -> str:
    """As many of the first units as fit, then an ellipsis and the end."""
    for n in range(len(units) - 1, -1, -1):
        label = "".join(units[:n]) + ELLIPSIS + end
        if face.width(label) <= room:
            break
    return label


def _centred(units: Sequence[str], face: Face, room: float) -> str:
    """As many units from both sides as fit, with an ellipsis in the middle."""
    for n in range(len(units) - 1, 0, -1):
        first, last = (n + 1) // 2, n // 2
        label = "".join(units[:first]) + ELLIPSIS + "".join(units[len(units) - last :])
        if face.width(label) <= room:
            return label
    return ELLIPSIS


def _of_byte_level(piece: str) -> str | None:
    """What a piece of byte-level BPE stands for, in which a character stands for each byte (Radford et al. 2019)."""
    if not all(character in _BYTES for character in piece):
        return None
    return bytes(_BYTES[character] for character in piece).decode("utf-8", "surrogateescape")


def _byte_alphabet() -> dict[str, int]:
    """The character of each byte: its own in Latin-1 if that is seen, else the next one from U+0100 on."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unseen = [byte for byte in range(0x100) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(0x100 + index): byte for index, byte in enumerate(unseen)}


_BYTES = _byte_alphabet()


def _as_decoded(text: str) -> str:
    """A text as far as decoding a token alone keeps it: without spaces around it, and bytes that are no text as one."""
    return re.sub("[\udc80-\udcff\ufffd]+", "\ufffd", text).strip()
