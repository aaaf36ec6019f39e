"""Parts of a sweep: what a handful of its pairs gave, kept until all of them are done, so that it goes on from there.

A part is one file, whole or not there. It holds all digits, so that a sweep that was interrupted ends as one that was
not, and a hash of all that decides it, so that no part of another sweep is taken for one of this.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interp.patching.patched_pairs import PatchedPairs
from interp.work.files import whole_file

log = logging.getLogger(__name__)

ARRAYS = ("values", "clean", "corrupt", "why_missing")
UNREADABLE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile)
"""What reading a damaged file raises."""


@dataclass(frozen=True)
class PatchedParts:
    """Where the parts of a sweep are kept."""

    folder: Path
    identity: str
    """All that decides what every patch gives."""

    def narrowed(self, *inputs: object) -> PatchedParts:
        """The parts of the same folder that `inputs` decide too: plain values, told apart by how they are written."""
        return PatchedParts(self.folder, hashlib.sha256(repr((self.identity, *inputs)).encode()).hexdigest())

    def found(self, numbers: Iterable[int]) -> dict[int, PatchedPairs]:
        """The parts of these numbers that are there; of those that are of no use it is logged why."""
        parts = {number: self._loaded(number) for number in numbers if self._path(number).is_file()}
        return {number: part for number, part in parts.items() if part is not None}

    def keep(self, number: int, part: PatchedPairs) -> None:
        """Write a part.

        Raises
        ------
        InputError
            If the folder cannot be written to, or the disk has no room.
        """
        about = {"sweep": self._sha256(number), "ids": part.ids, "dropped": part.dropped}
        arrays = {name: getattr(part, name) for name in ARRAYS}
        with whole_file(self._path(number)) as temporary:
            np.savez(temporary, about=np.array(json.dumps(about)), **arrays)

    def remove(self) -> None:
        """Remove all parts, of which nothing is to be made."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _loaded(self, number: int) -> PatchedPairs | None:
        path = self._path(number)
        try:
            with np.load(path) as saved:
                about = json.loads(str(saved["about"]))
                arrays = {name: saved[name] for name in ARRAYS}
                part = PatchedPairs(tuple(about["ids"]), dropped=Counter(about["dropped"]), **arrays)
        except UNREADABLE as error:
            log.info("%s is damaged (%s): its pairs are patched again", path, error)
            return None
        if about["sweep"] != self._sha256(number):
            log.info("%s is of another sweep: its pairs are patched again", path)
            return None
        return part

    def _path(self, number: int) -> Path:
        return self.folder / f"pairs-{number:03d}.npz"

    def _sha256(self, number: int) -> str:
        return hashlib.sha256(f"{number}\n{self.identity}".encode()).hexdigest()
