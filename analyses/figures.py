"""Draw saved results again, without the model.

Without paths, every .nc file below the figures folder is drawn beside itself as PDF and PNG. With paths, those files
are drawn into the output folder: .nc files of this suite, or .csv files of published maps (a 'layer' column, then one
column per position). The same values give the same bytes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from analyses.command import execute
from analyses.runs import draw


@dataclass(frozen=True)
class Config:
    """Draw saved results again, without the model."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Results to draw (.nc, or .csv); none means all below --figures."""
    figures: Path = Path("figures")
    """Folder of results."""
    out: Path = Path()
    """Where drawings of the given paths go."""
    with_n: bool = False
    """Draw the number of examples behind each column as a strip of bars under the map."""


def run(config: Config) -> None:
    """Draw, and print what was written."""
    from interp.errors import InputError
    from interp.example_values import is_of_examples
    from interp.patch_files import is_patched

    targets = {path: config.out / path.name for path in config.paths}
    if not config.paths:
        # A run that was killed while it wrote leaves a hidden, unfinished file.
        found = [path for path in sorted(config.figures.rglob("*.nc")) if not path.name.startswith(".")]
        targets = {path: path for path in found if not (is_patched(path) or is_of_examples(path))}
    if not targets:
        raise InputError(f"no .nc file below {config.figures}; run 'interp probe' first, or give --figures")
    for path, beside in targets.items():
        for written in draw(path, beside, with_n=config.with_n):
            print(written)


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.figures"))
