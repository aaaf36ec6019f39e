"""Draw saved results again, without the model, and the figures of a paper.

Without paths, every .nc file below the figures folder is drawn beside itself as PDF and PNG, then the figures that
figures.toml lists there. With paths, those files are drawn into the output folder: .nc files of this suite, or .csv
files of published maps (a 'layer' column, then one column per position). Of a path to a list (.toml) its figures alone
are drawn, below the folder of the list. The same values give the same bytes; a file that would not change is left as it
is. With --check nothing is written: figures that are stale, differ, are missing or are left over are listed, and the
exit status is 1 if there is any.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from analyses.parts.command import execute
from analyses.parts.drawings import Drawing, drawings_below, drawings_of_list
from analyses.parts.figure_check import findings, in_words
from analyses.parts.runs import draw
from interp.errors import InputError


@dataclass(frozen=True)
class Config:
    """Draw saved results again, without the model, and the figures of a paper."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Results to draw (.nc, or .csv), or lists of figures (.toml); none means all below --figures, and those of its
    figures.toml."""
    figures: Path = Path("figures")
    """Folder of results, and of figures.toml, the list of the paper's figures."""
    out: Path = Path()
    """Where drawings of the given results go; the figures of a list go where it says, beside it."""
    with_n: bool = False
    """Draw the number of examples behind each column as a strip of bars under the map."""
    check: bool = False
    """Draw everything again, write nothing, and list the files that are not as they would be drawn."""


def run(config: Config) -> int:
    """Draw and print what was written, or check; the exit status."""
    require_usable(config)
    if config.paths:
        for path in config.paths:
            if path.suffix == ".toml":
                write(drawings_of_list(path))
            else:
                print(*draw(path, config.out / path.name, with_n=config.with_n), sep="\n")
        return 0
    drawings = drawings_below(config.figures, with_n=config.with_n)
    if not drawings:
        raise InputError(f"no .nc file below {config.figures}; run 'interp probe' first, or give --figures")
    if config.check:
        found = findings(config.figures, drawings)
        print(in_words(found, sum(len(drawing.files) for drawing in drawings)))
        return 1 if found else 0
    write(drawings)
    return 0


def require_usable(config: Config) -> None:
    """Raise an `InputError` for flags that would do nothing, and for two results of one name."""
    results = [path for path in config.paths if path.suffix != ".toml"]
    if config.paths and config.check:
        raise InputError("--check is of all figures below --figures; leave the paths out")
    if config.paths and config.figures != Config.figures:
        raise InputError("--figures is the folder of all results, and some are given; leave it out, or their paths")
    for flag, is_given in (("out", config.out != Config.out), ("with-n", config.with_n and config.paths)):
        if is_given and not results:
            raise InputError(f"--{flag} is of results that are given by their paths; leave it out, or give some")
    if twice := [name for name, times in Counter(path.stem for path in results).items() if times > 1]:
        raise InputError(f"several results are called {twice[0]}; draw each into an --out of its own")


def write(drawings: Sequence[Drawing]) -> None:
    """Write what is not there with the same bytes, and print its paths."""
    unchanged = 0
    for drawing in drawings:
        for kind, contents in drawing.contents().items():
            if drawing.write(kind, contents):
                print(drawing.files[kind])
            else:
                unchanged += 1
    if unchanged:
        print(f"unchanged: {unchanged} files")


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.figures"))
