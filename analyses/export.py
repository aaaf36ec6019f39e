"""Write a saved result for other programs: as CSV, JSON or a LaTeX table.

CSV has a row for each value with its interval, its n and, where it is missing, the reason in words; with --wide, a row
for each layer and a column for each position of one variable, which 'interp figures' can read back. JSON has all
variables and attributes, with null for what is missing. LaTeX is a table for the package booktabs, of a heatmap of
chosen layers. Of a comparison, JSON and LaTeX have the statistics, and CSV the differences of the cells' ranks.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from analyses.parts.command import execute
from analyses.parts.runs import load_result
from interp.errors import InputError
from interp.work.files import whole_file


@dataclass(frozen=True)
class Config:
    """Write a saved result for other programs: as CSV, JSON or a LaTeX table."""

    path: Annotated[Path, tyro.conf.Positional]
    """A result (.nc), or a published map (.csv)."""
    format: Literal["csv", "json", "latex"] = "csv"
    """What to write. Of a comparison, CSV has the differences of the cells' ranks, LaTeX the statistics, JSON both."""
    out: Path | None = None
    """File to write, which is replaced if it is there; None prints it."""
    wide: bool = False
    """CSV of one variable: a row for each layer, a column for each position."""
    variable: str | None = None
    """With --wide: which variable; None means value."""
    layers: tuple[int, ...] | None = None
    """LaTeX: layers to show; None means four, as far apart as they can be."""
    intervals: Literal["scripts", "brackets", "none"] = "scripts"
    """LaTeX: where the ends of intervals stand."""


def run(config: Config) -> None:
    """Load, convert, write."""
    text = exported(config)
    if config.out is None:
        sys.stdout.write(text)
        return
    with whole_file(config.out) as temporary:
        temporary.write_bytes(text.encode())
    print(config.out)


def exported(config: Config) -> str:
    """The result of a file in the wanted form.

    Raises
    ------
    InputError
        If the file is no result, or a flag is for another form than is wanted.
    """
    from interp.wording.latex_table import latex_table
    from interp.wording.tabular import csv_text, json_of, long_table, wide_table

    _require_used(config)
    result = load_result(config.path)
    if config.format == "json":
        return json_of(result)
    if config.format == "latex":
        return latex_table(result, layers=config.layers, intervals=config.intervals)
    return csv_text(wide_table(result, config.variable or "value") if config.wide else long_table(result))


def _require_used(config: Config) -> None:
    """Raise an `InputError` for a flag that would do nothing."""
    if config.wide and config.format != "csv":
        raise InputError(f"--wide is for --format csv, not {config.format}; leave it out")
    if config.variable is not None and not config.wide:
        raise InputError("--variable is for --wide; give --wide too, or leave it out")
    if config.format != "latex" and (config.layers is not None or config.intervals != "scripts"):
        raise InputError(f"--layers and --intervals are for --format latex, not {config.format}; leave them out")


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.export"))
