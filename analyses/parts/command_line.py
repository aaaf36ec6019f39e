"""The command that this process runs, as its user typed it: results say what made them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_TYPED: ContextVar[str] = ContextVar("command line", default="")


@contextmanager
def typed(prog: str, args: Sequence[str]) -> Iterator[None]:
    """For a while, the command is this one; `prog` may be of several words."""
    token = _TYPED.set(f"{prog} {shlex.join(args)}".strip())
    try:
        yield
    finally:
        _TYPED.reset(token)


def command_line() -> str:
    """The command that is being run; empty outside of one, such as in a script that uses the library."""
    return _TYPED.get()
