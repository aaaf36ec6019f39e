"""Whether the figures of a folder are still what their results and this version would give; nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from analyses.parts.compared_maps import changed_maps
from analyses.parts.drawings import Drawing, is_hidden
from interp.errors import InputError
from interp.work.files import sha256

STALE, DIFFERING, MISSING, ORPHANED = "stale", "differing", "missing", "orphaned"


@dataclass(frozen=True)
class Finding:
    """What is wrong with one figure file."""

    kind: str
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.kind:<10} {self.path}  ({self.reason})"


def findings(folder: Path, drawings: Sequence[Drawing]) -> list[Finding]:
    """All that is wrong with the figures below a folder, in the order of its drawings, then what is left over."""
    expected = {path for drawing in drawings for path in drawing.files.values()}
    hashed = cache(sha256)  # A map may be in many comparisons.
    found = [finding for drawing in drawings for finding in _of_drawing(drawing, hashed)]
    return found + [Finding(ORPHANED, path, _whence(path)) for path in figures_below(folder) if path not in expected]


def figures_below(folder: Path) -> list[Path]:
    """All figure files below a folder, whoever drew them, but for hidden ones, such as a killed run leaves behind."""
    from interp.figures.figure_metadata import FORMATS

    found = [path for kind in FORMATS for path in folder.rglob(f"*.{kind}")]
    return sorted(path for path in found if not is_hidden(path, folder))


def in_words(found: Sequence[Finding], n_files: int) -> str:
    """The findings, one a line, and how many there are of each kind."""
    counts = Counter(finding.kind for finding in found)
    told = ", ".join(f"{counts[kind]} {kind}" for kind in (STALE, DIFFERING, MISSING, ORPHANED))
    return "\n".join([*map(str, found), f"{n_files} figure files expected: {told}"])


def _of_drawing(drawing: Drawing, hashed: Callable[[Path], str]) -> Iterator[Finding]:
    contents = drawing.contents()
    changed = ", ".join(changed_maps(drawing.result, hashed)) if drawing.result else ""
    for kind, path in drawing.files.items():
        if not path.is_file():
            yield Finding(MISSING, path, "'interp figures' draws it")
        elif path.read_bytes() != contents[kind]:
            yield _changed(path, contents[kind])
        elif changed:
            yield Finding(STALE, path, f"of maps that have changed since: {changed}; 'interp compare' makes it anew")


def _changed(path: Path, expected: bytes) -> Finding:
    """Whether a file is of another state of its results, or only another drawing of this one."""
    from interp.figures.figure_metadata import figure_record, record_in

    here = record_in(expected, path.suffix[1:])
    try:
        there = figure_record(path)
    except InputError:
        return Finding(DIFFERING, path, "it cannot be read")
    if not there.sources:
        return Finding(DIFFERING, path, f"it does not say of which result; drawn by {there.drawn_by or 'no one known'}")
    changed = sorted(
        name for name in {*there.sources, *here.sources} if there.sources.get(name) != here.sources.get(name)
    )
    if changed:
        return Finding(STALE, path, f"changed since it was drawn: {', '.join(changed)}")
    same = "the same" if there.drawn_by == here.drawn_by else f"and here is {here.drawn_by}"
    return Finding(DIFFERING, path, f"the same result, drawn by {there.drawn_by or 'an unknown version'}, {same}")


def _whence(path: Path) -> str:
    """What an orphaned file was drawn from, as far as it says."""
    from interp.figures.figure_metadata import figure_record

    try:
        sources = figure_record(path).sources
    except InputError:
        sources = {}
    return f"drawn from {', '.join(sources)}" if sources else "it does not say of which result"
