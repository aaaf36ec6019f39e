"""Progress of long stages: a bar with the time left on a terminal, plain log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """Something to tell how much more is done."""

    def update(self, n: int = 1) -> object:
        """Count `n` more units as done."""


@contextmanager
def progress(label: str, *, total: int, done: int = 0, unit: str = "it") -> Iterator[Progress]:
    """Show the progress of a stage while its body runs.

    Parameters
    ----------
    label
        What is being done.
    total
        How many units the whole stage has.
    done
        How many of them an earlier run already did.
    unit
        What is counted.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, initial=done, desc=label, unit=f" {unit}", dynamic_ncols=True) as bar:
            yield bar
    else:
        lines = _LogLines(label, total, done, unit)
        yield lines
        lines.close()


class _LogLines:
    """A progress bar for log files: a line at the start, one every few seconds, one at the end."""

    def __init__(self, label: str, total: int, done: int, unit: str) -> None:
        self.label, self.total, self.done, self.unit = label, total, done, unit
        self._done_before = done
        self._started = self._last_line = time.monotonic()
        log.info("%s: %d of %d %s", label, done, total, unit)

    def update(self, n: int = 1) -> None:
        self.done += n
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES and self.done < self.total:
            self._last_line = now
            left = (now - self._started) / max(self.done - self._done_before, 1) * (self.total - self.done)
            log.info("%s: %d of %d %s, about %.0f s left", self.label, self.done, self.total, self.unit, left)

    def close(self) -> None:
        log.info("%s: %d %s in %.0f s", self.label, self.done, self.unit, time.monotonic() - self._started)
