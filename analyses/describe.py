"""Say in sentences with numbers what saved results show: a caption, or an alt text.

For a heatmap: what it is of, its strongest and weakest columns, its highest and lowest cells with those that lie within
their intervals, how each column goes with depth, how much of it is bands of columns or of layers, what is marked, what
is missing and why. For estimates and matrices: their values in order, and how their intervals lie to chance. Every word
that judges stands for a number, which follows it.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote

import tyro

from analyses.parts.command import execute
from analyses.parts.comparison_summary import in_words
from analyses.parts.runs import load_result
from interp.errors import InputError
from interp.work.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interp.results.comparison import Comparison, Numbers
    from interp.results.estimates import Estimates
    from interp.results.heatmap import Heatmap
    from interp.results.matrix import Matrix
    from interp.wording.heatmap_description import Description
    from interp.wording.list_description import ListDescription


PAGE = "# Figures\n\nWritten by `interp describe --format markdown`: what each result shows, with its numbers."


@dataclass(frozen=True)
class Config:
    """Say in sentences with numbers what saved results show: a caption, or an alt text."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Results (.nc), or published maps (.csv: a 'layer' column, then one column per position)."""
    length: Literal["short", "long"] = "long"
    """short: at most two sentences, for an alt text."""
    format: Literal["text", "json", "markdown"] = "text"
    """json: also the numbers that the sentences are made of. markdown: a page of figures with their sentences."""
    out: Path | None = None
    """Of markdown: the file to write, from which figures are linked; by default it is printed."""


def run(config: Config) -> None:
    """Load, describe, print or write."""
    from interp.wording.json_text import json_text

    if not config.paths:
        raise InputError("nothing to describe; give the path of a .nc or .csv file")
    if config.out is not None and config.format != "markdown":
        raise InputError("--out is of --format markdown; leave it out, or give that")
    described = [described_result(load_result(path), config.length) for path in config.paths]
    if config.format == "json":
        told = zip(config.paths, described, strict=True)
        print(
            json_text([{"path": str(path), "sentences": words, "description": found} for path, (found, words) in told])
        )
        return
    if config.format == "markdown":
        write_page(config, [words for _, words in described])
        return
    heads = [f"{path}\n" if len(config.paths) > 1 else "" for path in config.paths]
    print("\n\n".join(head + "\n".join(words) for head, (_, words) in zip(heads, described, strict=True)))


def write_page(config: Config, sentences: Sequence[Sequence[str]]) -> None:
    """A page with the figure of every result and its sentences, printed or written."""
    folder = Path() if config.out is None else config.out.parent
    root = os.path.commonpath([path.resolve().parent for path in config.paths])
    sections = [
        section(path, path.resolve().with_suffix("").relative_to(root).as_posix(), folder, words)
        for path, words in zip(config.paths, sentences, strict=True)
    ]
    page = "\n\n".join([PAGE, *sections]) + "\n"
    if config.out is None:
        print(page, end="")
        return
    with whole_file(config.out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    print(config.out)


def section(path: Path, heading: str, folder: Path, words: Sequence[str]) -> str:
    """What a page in `folder` has of one result: its figure, its sentences, and where its files are."""
    figure, pdf, data = (
        quote(Path(os.path.relpath(path.with_suffix(suffix), folder)).as_posix())
        for suffix in (".png", ".pdf", path.suffix)
    )
    lines = [as_written(line) for line in words]
    return "\n\n".join((f"## {heading}", f"![{lines[0]}]({figure})", "\n".join(lines), f"[PDF]({pdf}), [data]({data})"))


def as_written(text: str) -> str:
    """A text for Markdown to show as it stands: columns may be tokens, such as ``<s>``."""
    return re.sub(r"([\\`*\[\]<]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)


def described_result(
    result: Heatmap | Estimates | Matrix | Comparison, length: str
) -> tuple[Description | ListDescription | Numbers, tuple[str, ...]]:
    """The numbers of a description, and its sentences."""
    from interp.results.comparison import Comparison
    from interp.results.heatmap import Heatmap
    from interp.wording.comparison_wording import short_words
    from interp.wording.heatmap_description import description_of
    from interp.wording.heatmap_wording import sentences
    from interp.wording.list_description import list_description_of
    from interp.wording.list_wording import list_sentences

    if isinstance(result, Heatmap):
        description = description_of(result)
        return description, sentences(description, length)
    if isinstance(result, Comparison):
        told = short_words(result) if length == "short" else in_words(result).split("\n")
        return result.statistics, tuple(told)
    listed = list_description_of(result)
    return listed, list_sentences(listed, length)


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.describe"))
