"""The figures that are kept in the repository, and the list of those of the paper."""

from __future__ import annotations

from os.path import normpath
from pathlib import Path

import pytest

from analyses.parts.runs import load_result
from interp.figures.figure_list import paper_figures
from interp.figures.figure_metadata import figure_record
from interp.figures.figure_text import too_small, written_on
from interp.figures.paper_figure import paper_figure
from interp.figures.paper_style import OWN_STYLE, paper_settings
from interp.work.files import sha256

FIGURES = Path(__file__).parents[2] / "figures"
FILES = sorted(path for kind in ("pdf", "png", "svg") for path in FIGURES.rglob(f"[!.]*.{kind}"))
PAPER = {figure.name: figure for figure in paper_figures(FIGURES / "figures.toml")}


@pytest.mark.parametrize("path", FILES, ids=[path.relative_to(FIGURES).as_posix() for path in FILES])
def test_every_figure_leads_to_results_that_are_there_and_have_not_changed(path: Path) -> None:
    sources = figure_record(path).sources
    assert sources
    for name, digest in sources.items():
        result = Path(normpath(path.parent / name))
        assert result.is_relative_to(FIGURES)
        assert sha256(result) == digest


def test_every_figure_is_shown_on_a_page() -> None:
    root = FIGURES.parent
    pages = "".join(page.read_text(encoding="utf-8") for page in (root / "README.md", *(root / "docs").glob("*.md")))
    missing = [path for path in FILES if path.suffix == ".png" and path.relative_to(root).as_posix() not in pages]
    assert missing == []


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".pdf"], ids=lambda path: path.stem)
def test_no_pdf_has_a_type_3_font_an_image_or_a_date(path: Path) -> None:
    contents = path.read_bytes()
    assert b"/Type3" not in contents
    assert b"/TrueType" in contents or b"/CIDFontType2" in contents
    assert b"/Subtype /Image" not in contents
    assert b"CreationDate" not in contents


@pytest.mark.parametrize("name", PAPER)
def test_a_figure_of_the_paper_has_text_that_is_seen_whole_and_large_enough(name: str) -> None:
    planned = PAPER[name]
    results = {path: load_result(path) for path in planned.results}
    drawn = paper_figure(planned, results, paper_settings(planned.style or OWN_STYLE))
    assert drawn.warnings == ()
    assert not too_small(written_on(drawn.figure))
    assert drawn.figure.get_figwidth() == planned.width
