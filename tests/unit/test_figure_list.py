"""The list of a paper's figures: what it may say, and one line for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyses import cli
from interp.errors import InputError
from interp.figures.figure_list import Panel, PaperFigure, paper_figures
from interp.figures.figure_widths import WIDTHS
from tests.listed_figures import LIST, save_results

GOOD = 'name = "a"\nwidth = 3\npanels = ["tiny/probe.nc"]'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("probe.nc", "patch.nc"):
        path = tmp_path / "tiny" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def read(folder: Path, text: str) -> tuple[PaperFigure, ...]:
    (folder / "figures.toml").write_text(text)
    return paper_figures(folder / "figures.toml")


def test_what_is_not_said_has_a_default(folder: Path) -> None:
    probe, patch = (folder / "tiny" / name for name in ("probe.nc", "patch.nc"))
    (figure,) = read(folder, LIST)
    assert figure.panels == ((Panel(probe), Panel(patch, title="Patched")),)
    assert (figure.name, figure.width, figure.height) == ("paper/first", 5.5, None)
    assert (figure.letters, figure.notes, figure.style) == (None, True, None)
    assert figure.results == (probe, patch)
    (figure,) = read(folder, f"[[figure]]\n{GOOD}")
    assert figure.formats == ("pdf", "png")
    assert figure.panels == ((Panel(probe),),)


def test_a_list_may_be_empty(folder: Path) -> None:
    assert read(folder, "# to be written\n") == ()


@pytest.mark.parametrize("name", WIDTHS)
def test_named_widths_are_inches_of_a_page(folder: Path, name: str) -> None:
    (figure,) = read(folder, f"[[figure]]\n{GOOD}".replace("width = 3", f'width = "{name}"'))
    assert figure.width == WIDTHS[name].inches
    assert 3.0 < figure.width < 8.27 - 0.5, "a column of an A4 page"
    assert WIDTHS[name].source


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        (GOOD + '\ncolor = "b"', "figure 1: unknown key 'color'; known: centred_palette"),
        (GOOD + "\nwidht = 3", "figure 1: unknown key 'widht'; nearest: width"),
        (changed('name = "a"', ""), "figure 1: no 'name'; give a text"),
        (changed('name = "a"', "name = 3"), "figure 1: 'name' is 3; give a text"),
        (changed('"a"', '"../a"'), "'name' is '../a'; give a path within"),
        (changed('"a"', '"/a"'), "'name' is '/a'; give a path within"),
        (changed('"a"', '"."'), "'name' is '.'; give a path within"),
        (changed('"a"', '"./"'), "'name' is './'; give a path within"),
        (changed('"a"', r'"a\u0000b"'), r"'name' is 'a\x00b'; leave out what is no letter or sign"),
        (changed('"a"', r'"a\nb"'), r"'name' is 'a\nb'; leave out what is no letter or sign"),
        (changed('"a"', '"a.pdf"'), "'name' is 'a.pdf'; leave the suffix out, and give 'formats'"),
        (changed('"a"', '"tiny/probe"'), "'name' is 'tiny/probe', as which tiny/probe.nc is drawn; give another"),
        (changed("width = 3", ""), "figure 'a': no 'width'; give inches, or one of neurips"),
        (changed("3", "0"), "figure 'a': 'width' is 0; give inches, above 0"),
        (changed("3", "true"), "figure 'a': 'width' is True; give inches"),
        (changed("3", "nan"), "figure 'a': 'width' is nan; give inches"),
        (changed("3", '"nurips"'), "figure 'a': unknown width 'nurips'; nearest: neurips"),
        (GOOD + '\nheight = "tall"', "figure 'a': 'height' is 'tall'; give inches"),
        (changed('["tiny/probe.nc"]', "[]"), "figure 'a': no 'panels'; give a list"),
        (changed('["tiny/probe.nc"]', '"tiny/probe.nc"'), "figure 'a': 'panels' is 'tiny/probe.nc'; give a list"),
        (changed('["tiny/probe.nc"]', '[["tiny/probe.nc"], []]'), "'panels' has a row without a panel"),
        (changed('"tiny/probe.nc"', "3"), "figure 'a': 'panels' has 3; give the paths of results"),
        (changed('"tiny/probe.nc"', '["tiny/probe.nc"], "tiny/patch.nc"'), "'panels' has ['tiny/probe.nc']; give"),
        (changed("probe.nc", "prob.nc"), "figure 'a': unknown result 'tiny/prob.nc'; nearest: tiny/probe.nc"),
        (changed('"tiny/probe.nc"', '{title = "b"}'), "figure 'a': no 'result'; give a text"),
        (changed('"tiny/probe.nc"', '{result = "tiny/probe.nc", titel = "b"}'), "a panel: unknown key 'titel'"),
        (changed('"tiny/probe.nc"', '{result = "tiny/probe.nc", x = 1}'), "figure 'a': 'x' is 1; give a text"),
        (GOOD + '\npalette = "jet"', "figure 'a': unknown palette 'jet'; known: Blues"),
        (GOOD + '\ncentred_palette = "RdGn"', "figure 'a': unknown centred palette 'RdGn'; nearest: RdBu"),
        (GOOD + '\nletters = "A"', "figure 'a': 'letters' is 'A'; give true or false"),
        (GOOD + "\nnotes = 0", "figure 'a': 'notes' is 0; give true or false"),
        (GOOD + '\nformats = ["pfd"]', "figure 'a': unknown format 'pfd'; nearest: pgf, pdf"),
        (GOOD + "\nformats = []", "figure 'a': no 'formats'; give a list"),
        (GOOD + '\nstyle = "own.mplstyle"', "figure 'a': unknown style 'own.mplstyle'"),
        (GOOD + "\ncolumn_names = {a = 1}", "figure 'a': 'column_names' calls 'a' 1; give a text"),
        (GOOD + f"\n[[figure]]\n{GOOD}", "figure 'a': the 'name' is there more than once; give each figure its own"),
        (
            GOOD + "\n[[figure]]\n" + changed('"a"', '".//a"'),
            "figure 'a': the 'name' is there more than once",
        ),
    ],
)
def test_every_mistake_is_one_line_with_the_file_and_the_figure(folder: Path, figure: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        read(folder, f"[[figure]]\n{figure}\n")
    told = str(raised.value)
    assert told.startswith(f"{folder / 'figures.toml'}: figure ")
    assert message in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[figures]]\n", "unknown key 'figures'; nearest: figure"),
        ("[figure]\nname = 'a'\n", "'figure' is a single table; write [[figure]]"),
        ("figure = [1]\n", "figure 1 is 1, not a table"),
        ("[[figure]\n", "cannot be read as TOML"),
    ],
)
def test_a_list_of_another_form_is_refused(folder: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        read(folder, text)
    assert message in str(raised.value)
    assert str(folder / "figures.toml") in str(raised.value)


def test_a_mistake_of_the_list_is_told_before_anything_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    save_results(tmp_path, LIST.replace("panels", "panel"))
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["figures", "--figures", str(tmp_path)]) == 2
    assert "unknown key 'panel'; nearest: panels" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
