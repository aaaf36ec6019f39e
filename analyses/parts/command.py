"""How a script becomes a command: flags from its config, errors in one line, results that know what was typed."""

from __future__ import annotations

import io
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

import tyro

from analyses.parts.command_line import typed
from interp.errors import InputError, first_line

C = TypeVar("C")

EXIT_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_UNREAD = 141
EXIT_SIGNALLED = 128
"""To which comes the number of the signal."""
ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What a batch system sends to a job whose time is up, and a terminal that is closed to what runs in it."""
SAME_SIGNAL = 2.0
"""Seconds within which a signal that comes again is the same one: some senders send it twice, and tidying up is to be
left in peace."""


class Ended(KeyboardInterrupt):
    """A signal that ends the run, as Ctrl-C does: nothing is left half written."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def execute(config: type[C], run: Callable[[C], object], *, prog: str, args: Sequence[str] | None = None) -> int:
    """Read the flags of `config`, run, and return the exit status.

    A run may return a status of its own. An `InputError`, or a file that somebody else's rights keep from being read,
    is one line on stderr and status 2; Ctrl-C says how to go on and is status 130, SIGTERM too and 143.
    """
    let_print()
    try:
        chosen = tyro.cli(config, prog=prog, args=args, config=(tyro.conf.OmitArgPrefixes,))
        _log_to_stderr()
        logging.getLogger("analyses").info("%s", chosen)
        with _ended_by_signals(), typed(prog, sys.argv[1:] if args is None else args):
            status = run(chosen)
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_INPUT
    except PermissionError as error:
        what = f"{error.filename}: permission denied" if error.filename else first_line(error)
        print(f"error: {what}; change its rights, or choose another folder", file=sys.stderr)
        return EXIT_INPUT
    except Ended as ended:
        print("terminated; the same command goes on from here", file=sys.stderr)
        return EXIT_SIGNALLED + ended.number
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read what was printed has seen enough (`| head`); without this Python complains once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_UNREAD
    return status if isinstance(status, int) else 0


def let_print() -> None:
    """Print a question mark for a letter that the output's encoding lacks: a run that is done is not to fail there.

    In UTF-8, which has every letter, names of files that are in another encoding are printed as they are.
    """
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper) and out.errors in ("strict", "surrogateescape"):
        out.reconfigure(errors="surrogateescape" if out.encoding.lower() == "utf-8" else "replace")


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let signals that would end the process at once end it as Ctrl-C does, so that it tidies up."""
    last = -math.inf

    def end(number: int, _: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > SAME_SIGNAL:
            last = now
            raise Ended(number)

    # Only the main thread may; and what is ignored already, as under nohup, stays so.
    is_main = threading.current_thread() is threading.main_thread()
    ours = [each for each in ENDING if is_main and signal.getsignal(each) is signal.SIG_DFL]
    for each in ours:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def _log_to_stderr() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    for name in ("interp", "analyses"):
        logging.getLogger(name).setLevel(logging.INFO)
    # Third parties' progress bars would run through ours, and through the log of a job.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
