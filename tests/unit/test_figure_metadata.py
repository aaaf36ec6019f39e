"""What a figure file says of itself: written by matplotlib, read back without it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from interp.errors import InputError
from interp.figures.figure_files import figure_bytes
from interp.figures.figure_metadata import comments_of, figure_record, sources_in_words
from interp.figures.plot import STYLE

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
SOURCES = st.dictionaries(NAMES, DIGESTS, min_size=1, max_size=3)


@settings(max_examples=20)
@given(SOURCES, st.sampled_from(["pdf", "png", "svg"]))
def test_the_results_of_a_figure_are_read_back_whatever_their_names_are(sources: dict[str, str], kind: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"figure.{kind}"
        path.write_bytes(figure_bytes(Figure(figsize=(1, 1)), kind, STYLE, sources))
        record = figure_record(path)
    assert record.sources == sources
    assert matplotlib.__version__ in record.drawn_by


@given(SOURCES)
def test_the_first_lines_of_a_pgf_file_say_the_same(sources: dict[str, str]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "figure.pgf"
        path.write_text(comments_of(sources, "3.0") + "%% Creator: Matplotlib, PGF backend\n", encoding="utf-8")
        record = figure_record(path)
    assert (record.sources, record.drawn_by) == (sources, "Matplotlib v3.0")


def test_results_are_named_in_plain_characters() -> None:
    words = sources_in_words({"a (b), \\c\n%é.nc": "0" * 64})
    assert words.isascii()
    assert not set(words.split(" sha256:")[0]) & set(" ()\\,\n")


@pytest.mark.parametrize("kind", ["pdf", "png", "svg"])
def test_a_figure_that_says_nothing_has_no_results_and_no_date(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"figure.{kind}"
    path.write_bytes(figure_bytes(Figure(figsize=(1, 1)), kind, STYLE))
    assert figure_record(path).sources == {}
    for word in (b"CreationDate", b"dc:date", b"tIME"):
        assert word not in path.read_bytes()


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("absent.pdf", None, "no figure at"),
        ("notes.txt", b"a", "is no figure; give the path of a .pdf, .png, .svg, .pgf file"),
        ("cut.png", b"\x89PNG\r\n\x1a\n", "cannot be read as a figure"),
        ("cut.svg", b"<svg", "cannot be read as a figure"),
        ("latin.pgf", b"%% \xff", "cannot be read as a figure"),
    ],
)
def test_what_is_no_figure_is_refused(tmp_path: Path, name: str, contents: bytes | None, message: str) -> None:
    if contents is not None:
        (tmp_path / name).write_bytes(contents)
    with pytest.raises(InputError, match=message):
        figure_record(tmp_path / name)


@pytest.mark.parametrize("kind", ["pdf", "png", "svg"])
def test_a_figure_that_has_been_cut_off_is_refused(tmp_path: Path, kind: str) -> None:
    whole = figure_bytes(Figure(figsize=(1, 1)), kind, STYLE, {"a.nc": "0" * 64})
    path = tmp_path / f"figure.{kind}"
    for kept in (len(whole) - 12, len(whole) // 2, 40, 0):
        path.write_bytes(whole[:kept])
        with pytest.raises(InputError, match=r"cannot be read as a figure: .*; draw it again with 'interp figures'"):
            figure_record(path)
    path.write_bytes(whole + b"\n" * 100)
    assert list(figure_record(path).sources) == ["a.nc"]


def test_a_pdf_without_an_info_dictionary_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "other.pdf").write_bytes(b"%PDF-1.4\ntrailer << /Size 1 >>\n%%EOF\n")
    assert figure_record(tmp_path / "other.pdf").sources == {}
