r"""Any text as LaTeX source that prints it, in ASCII, for plain LaTeX: whatever input encoding and fonts it has.

==========================================  ==========================================================================
character                                   becomes
==========================================  ==========================================================================
letters, digits, most ASCII signs           themselves
``# $ % & _ { } \ ~ ^ < > | " ` * [ ]``     what prints them; ``*`` and ``[`` in braces, since a row that began with one
                                            would change the line break before it
a second hyphen or apostrophe in a row      itself after ``{}``: two would be one sign
a space at an end, or after another         ``\ ``
a letter with an accent that LaTeX sets     the accent's command: ``\'{e}``
signs in `SIGNS`                            theirs
any other                                   its number: ``\texttt{U+4E2D}``
==========================================  ==========================================================================

No two texts become the same.
"""

from __future__ import annotations

import unicodedata

ASCII = {
    **{sign: f"\\{sign}" for sign in "#$%&_{}"},
    **{sign: f"{{{sign}}}" for sign in "*[]"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\ttfamily\char34}",
    "`": r"{\ttfamily\char96}",
}
SIGNS = {
    "–": "--",
    "—": "---",
    "‘": "`",
    "’": r"\textquoteright{}",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "␣": r"\textvisiblespace{}",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "²": r"\ensuremath{^2}",
    "×": r"\ensuremath{\times}",
    "±": r"\ensuremath{\pm}",
    "≤": r"\ensuremath{\leq}",
    "≥": r"\ensuremath{\geq}",
    "→": r"\ensuremath{\rightarrow}",
    "‖": r"\ensuremath{\|}",
    "‹": r"\ensuremath{\langle}",
    "›": r"\ensuremath{\rangle}",
    "↵": r"\ensuremath{\hookleftarrow}",
}
ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": "`",
    "\N{COMBINING ACUTE ACCENT}": "'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": "^",
    "\N{COMBINING TILDE}": "~",
    "\N{COMBINING DIAERESIS}": '"',
    "\N{COMBINING MACRON}": "=",
    "\N{COMBINING DOT ABOVE}": ".",
    "\N{COMBINING BREVE}": "u",
    "\N{COMBINING CARON}": "v",
    "\N{COMBINING RING ABOVE}": "r",
    "\N{COMBINING DOUBLE ACUTE ACCENT}": "H",
    "\N{COMBINING CEDILLA}": "c",
}


def latex_text(text: str) -> str:
    """LaTeX source that prints a text."""
    before = ["", *text[:-1]]
    return "".join(
        _printed(character, previous, is_at_end=place in (0, len(text) - 1))
        for place, (previous, character) in enumerate(zip(before, text, strict=False))
    )


def _printed(character: str, previous: str, *, is_at_end: bool) -> str:
    if character == " ":
        return r"\ " if is_at_end or previous == " " else " "
    if character == previous and character in "-'":
        return f"{{}}{character}"
    if character in ASCII or character in SIGNS:
        return ASCII.get(character) or SIGNS[character]
    return character if " " < character < "\x7f" else _accented(character) or rf"\texttt{{U+{ord(character):04X}}}"


def _accented(character: str) -> str:
    """The command that sets a letter with an accent; an empty text if there is none."""
    letter, accent = (*unicodedata.normalize("NFD", character), "", "")[:2]
    is_whole = unicodedata.normalize("NFC", letter + accent) == character
    is_letter = letter.isascii() and letter.isalpha()
    return f"\\{ACCENTS[accent]}{{{letter}}}" if accent in ACCENTS and is_letter and is_whole else ""
