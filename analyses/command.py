"""How a script becomes a command: flags from its config, errors in one line, results that know what was typed."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import tyro

from analyses.command_line import typed
from interp.errors import InputError

C = TypeVar("C")

EXIT_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_UNREAD = 141


def execute(config: type[C], run: Callable[[C], object], *, prog: str, args: Sequence[str] | None = None) -> int:
    """Read the flags of `config`, run, and return the exit status.

    A run may return a status of its own. An `InputError` is one line on stderr and status 2; Ctrl-C says how to go
    on and is status 130.
    """
    try:
        chosen = tyro.cli(config, prog=prog, args=args, config=(tyro.conf.OmitArgPrefixes,))
        _log_to_stderr()
        logging.getLogger("analyses").info("%s", chosen)
        with typed(prog, sys.argv[1:] if args is None else args):
            status = run(chosen)
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_INPUT
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read what was printed has seen enough (`| head`); without this Python complains once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_UNREAD
    return status if isinstance(status, int) else 0


def _log_to_stderr() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    for name in ("interp", "analyses"):
        logging.getLogger(name).setLevel(logging.INFO)
    # Third parties' progress bars would run through ours, and through the log of a job.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
