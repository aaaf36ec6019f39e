"""Errors that a user can mend: said in one line, with what, where and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_NAMES = 30
"""So many names are listed where none is near."""


class InputError(ValueError):
    """What a user gave cannot be used; the message says what, where and what to do.

    The command line prints the message on one line and exits with status 2. Anything else that is raised is a
    defect of the suite and keeps its traceback.
    """


class TooFewQuestions(InputError):
    """A set has fewer questions than were asked for: `available`, at least one."""

    def __init__(self, message: str, available: int) -> None:
        super().__init__(message)
        self.available = available


def unknown_name(kind: str, name: str, known: Iterable[str], remedy: str = "") -> InputError:
    """The error for a name that is not known, with the nearest ones that are.

    Parameters
    ----------
    kind
        What the name should have named, such as ``"model"``.
    name
        What was given.
    known
        All names that would have done.
    remedy
        A closing sentence for names that are not the only way, such as a path.
    """
    candidates = sorted(set(known))
    folded = {candidate.casefold(): candidate for candidate in candidates}
    nearest = [folded[match] for match in difflib.get_close_matches(name.casefold(), folded, n=4, cutoff=0.5)]
    more = ", …" if len(candidates) > MOST_NAMES else ""
    hint = f"nearest: {', '.join(nearest)}" if nearest else f"known: {', '.join(candidates[:MOST_NAMES])}{more}"
    return InputError(f"unknown {kind} {name!r}; {hint}" + (f". {remedy}" if remedy else ""))


def first_line(error: Exception) -> str:
    """The first line of another library's error that says something, since an error here is one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
