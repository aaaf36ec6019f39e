"""The README and docs: their links lead somewhere, and the commands that they name are there with those flags."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
import tyro

from analyses.cli import ANALYSES, module_of
from interp.figures.figure_list import Panel, PaperFigure
from interp.figures.figure_metadata import FORMATS
from interp.figures.figure_widths import WIDTHS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```.*?^```$", flags=re.MULTILINE | re.DOTALL)


def headings(page: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    lines = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def commands(page: Path) -> list[str]:
    """Every command line that begins with `interp`: of blocks, and of what is set as code and has flags."""
    text = page.read_text(encoding="utf-8")
    blocks = [line for block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`([^`]+)`", FENCE.sub("", text))
    inline = [" ".join(code.split()) for code in inline if " -" in code]
    return [line for line in (*blocks, *inline) if re.match(r"interp \w", line)]


COMMANDS = [(page.name, line) for page in PAGES for line in commands(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text(encoding="utf-8")))
    for target in (target for target in targets if not target.startswith("http")):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in headings(linked), target


def test_the_first_page_leads_to_every_other() -> None:
    first = PAGES[0].read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"(docs/{page.name}" not in first] == []


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{page}: {line[:60]}" for page, line in COMMANDS])
def test_every_command_takes_the_flags_that_it_is_shown_with(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    name, *rest = words
    assert name in ANALYSES, page
    # An ellipsis stands for the value of the flag before it, and elsewhere for flags.
    args = [word for before, word in zip(words, rest, strict=False) if word != "…" or before.startswith("--")]
    tyro.cli(module_of(name).Config, args=args, config=(tyro.conf.OmitArgPrefixes,))


def test_there_are_commands_to_test() -> None:
    assert len(COMMANDS) > 50


def test_every_benchmark_is_on_the_page_of_measurements() -> None:
    page = (ROOT / "docs" / "measurements.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^python -m benchmarks\.(\w+)", page, flags=re.MULTILINE))
    commands_there = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text()}
    assert named == commands_there


def test_every_key_and_width_of_a_list_of_figures_is_told() -> None:
    page = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    keys = {each.name for kind in (PaperFigure, Panel) for each in fields(kind)}
    told = set(re.findall(r"`([^`]+)`", page)) | set(re.findall(r"{ (\w+) =", page))
    assert {*keys, *WIDTHS, *FORMATS} - told == set()
