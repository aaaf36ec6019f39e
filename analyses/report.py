"""Write results into one HTML page, to send or to keep: figures, what they show, all values, where they come from.

Takes results (.nc, or .csv for a published map), and folders, of which all results are taken. The page needs no other
file and no network; pointed at, a cell of its tables says its value with the interval and n, or why it has none. The
same results give the same page.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from analyses import describe, provenance
from analyses.parts.command import execute
from analyses.parts.comparison_summary import in_words
from analyses.parts.drawings import results_below
from analyses.parts.runs import drawn, load_result
from interp.errors import InputError
from interp.work.files import whole_file

if TYPE_CHECKING:
    from interp.report import Section


@dataclass(frozen=True)
class Config:
    """Write results into one HTML page, to send or to keep."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional] = (Path("figures"),)
    """Results, and folders with results below them."""
    out: Path = Path("report.html")
    """The page, which is replaced if it is there."""
    title: str = "Layer × token heatmaps"
    """Its heading."""
    runs: Path = Path("runs")
    """Folder of answers and activations, of which the page says whether they are there."""


def run(config: Config) -> None:
    """Find, load, describe, draw, write."""
    from interp.report import report_page

    results = results_of(config)
    root = Path(os.path.commonpath([path.resolve().parent for path in results]))
    page = report_page(config.title, [section(config, path, root) for path in results])
    with whole_file(config.out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    print(config.out)


def results_of(config: Config) -> list[Path]:
    """The results that are asked for, each once, in the order in which they are given.

    Raises
    ------
    InputError
        If there is none, or a folder has none.
    """
    found: dict[Path, Path] = {}
    for path in config.paths:
        below = [path] if path.suffix and not path.is_dir() else results_below(path)
        if not below:
            raise InputError(f"no .nc file below {path}; run 'interp probe' first, or give another folder")
        for result in below:
            found.setdefault(result.resolve(), result)
    return list(found.values())


def section(config: Config, path: Path, root: Path) -> Section:
    """What the page has of the result in a file; it is called by its path below `root`."""
    from interp.report import Section
    from interp.results.comparison import Comparison

    result = load_result(path)
    comparison = result if isinstance(result, Comparison) else None
    _, sentences = describe.described_result(result, "long" if comparison is None else "short")
    chain = provenance.chain_of_result(provenance.Config(path, runs=config.runs))
    return Section(
        heading=path.resolve().with_suffix("").relative_to(root).as_posix(),
        result=result,
        figure=drawn(path)["png"],
        sentences=sentences,
        origin=list(provenance.in_words(chain)),
        statistics=() if comparison is None else in_words(comparison).split("\n"),
    )


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.report"))
