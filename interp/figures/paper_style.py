"""The style of paper figures: a style file of matplotlib, which users can replace, and what no style may change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

from interp.errors import InputError, first_line, unknown_name
from interp.figures.plot import STYLE

OWN_STYLE = Path(__file__).with_name("paper.mplstyle")
FIXED = {name: STYLE[name] for name in ("pdf.fonttype", "svg.fonttype", "svg.hashsalt")} | {
    # A figure that is cut to what is on it is not as wide as it says.
    "savefig.bbox": "standard",
    "ps.fonttype": 42,
    "text.usetex": False,
}


def paper_settings(style: Path = OWN_STYLE) -> dict[str, Any]:
    """The settings of matplotlib that a style file makes, with those that are fixed.

    Raises
    ------
    InputError
        If the file cannot be read, or has a setting that matplotlib does not know or a value that it does not take.
    """
    try:
        lines = style.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{style} cannot be read as a style of matplotlib: {error}") from error
    settings: dict[str, Any] = {}
    for number, line in enumerate(lines, start=1):
        key, colon, value = (part.strip() for part in _without_comment(line).partition(":"))
        if not key:
            continue
        if not colon:
            raise InputError(f"{style}, line {number}: {line.strip()!r} is no setting; write NAME: VALUE")
        if key not in matplotlib.rcParamsDefault:
            raise InputError(f"{style}, line {number}: {unknown_name('setting', key, matplotlib.rcParamsDefault)}")
        try:
            checked: Any = matplotlib.RcParams({key: value.strip('"')})
            settings[key] = checked[key]
        except ValueError as error:
            raise InputError(f"{style}, line {number}: {first_line(error)}") from error
    return settings | FIXED


def _without_comment(line: str) -> str:
    """A line up to its comment; colours begin with the same sign, within quotation marks."""
    text, quoted = "", False
    for character in line:
        quoted ^= character == '"'
        if character == "#" and not quoted:
            break
        text += character
    return text
