r"""Any text as LaTeX source that prints it, in ASCII, for plain LaTeX: whatever input encoding and fonts it has.

==========================================  ==========================================================================
character                                   becomes
==========================================  ==========================================================================
letters, digits, most ASCII signs           themselves
``# $ % & _ { } \ ~ ^ < > | " ` * [ ]``     what prints them; ``*`` and ``[`` in braces, since a row that began with one
                                            would change the line break before it
a hyphen or quote after another             itself after ``{}``: the two would be one sign
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
    "−": r"\ensuremath{-}",
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
JOINING, JOINED = ("-", "'", "`", "!", "?"), ("-", "'", "`")
"""After one of these, one of those would be printed as one sign with it."""
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
    source = ""
    for place, character in enumerate(text):
        is_lost = character == " " and (place in (0, len(text) - 1) or text[place - 1] == " ")
        printed = r"\ " if is_lost else _printed(character)
        source += f"{{}}{printed}" if source[-1:] in JOINING and printed[:1] in JOINED else printed
    return source


def _printed(character: str) -> str:
    if character in ASCII or character in SIGNS:
        return ASCII.get(character) or SIGNS[character]
    return character if " " <= character < "\x7f" else _accented(character) or rf"\texttt{{U+{ord(character):04X}}}"


def _accented(character: str) -> str:
    """The command that sets a letter with an accent; an empty text if there is none."""
    letter, accent = (*unicodedata.normalize("NFD", character), "", "")[:2]
    is_whole = unicodedata.normalize("NFC", letter + accent) == character
    is_letter = letter.isascii() and letter.isalpha()
    return f"\\{ACCENTS[accent]}{{{letter}}}" if accent in ACCENTS and is_letter and is_whole else ""
