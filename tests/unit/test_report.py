"""Reports: pages that need no other file, with every value of their results."""

from __future__ import annotations

import base64
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from analyses.cli import main
from analyses.describe import described_result
from analyses.parts.runs import load_result
from interp.figures.cell_colours import cell_colours
from interp.number_words import number, with_interval
from interp.report import Section, report_page, values_html
from interp.results.estimates import Estimates
from interp.results.heatmap import Heatmap
from interp.results.result import Result
from tests.described_maps import map_of, random_map
from tests.prompt_maps import prompt_map_of

FIGURES = Path(__file__).parents[2] / "figures"
CITIES = FIGURES / "smollm2-135m" / "cities"
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A page read as a browser would, which must close what it opens: its cells, texts and pictures."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[tuple[dict[str, str | None], str]] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = defaultdict(list)
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        self.texts[tag].append("")
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open:
            self.texts[self.open[-1]][-1] += data
        if self.open and self.open[-1] == "td":
            attributes, text = self.cells[-1]
            self.cells[-1] = attributes, text + data

    def of(self, tag: str, name: str) -> list[str | None]:
        """An attribute of every element of a kind."""
        return [attributes.get(name) for each, attributes in self.attributes if each == tag]


def section_of(result: Result, heading: str = "map", sentence: str = "A map.") -> Section:
    return Section(heading, result, b"picture", [sentence, "More."], ["result  somewhere"])


def grid_of(result: Result) -> list[tuple[dict[str, str | None], str]]:
    return Page(values_html(section_of(result))).cells[1:]


@given(st.integers(0, 10_000))
def test_every_cell_says_its_value_interval_and_n_or_why_it_has_none(seed: int) -> None:
    heatmap = random_map(seed)
    cells = iter(grid_of(heatmap))
    for row, layer in enumerate(heatmap.layers):
        for column, name in enumerate(heatmap.positions):
            attributes, text = next(cells)
            cell = heatmap.data.isel(layer=row, position=column)
            value, low, high = (float(cell[each]) for each in ("value", "low", "high"))
            n = f", n = {int(cell['n']):,}" if int(cell["n"]) else ""
            if np.isnan(value):
                assert (attributes["class"], text) == ("missing", "")
                assert attributes["title"] == f"layer {layer}, {name}: {heatmap.reasons[row, column]}{n}"
            else:
                assert text == number(value)
                assert attributes["title"] == f"layer {layer}, {name}: {with_interval(value, low, high)}{n}"
    assert next(cells, None) is None


def test_cells_of_a_prompt_say_their_top_token() -> None:
    heatmap = prompt_map_of([[" a", " <b>"], [" c", " a"]], ["x", "y"], [" c", " d"], probability=np.full((2, 2), 0.5))
    titles = [str(attributes["title"]) for attributes, _ in grid_of(heatmap)]
    tokens = [" a", " <b>", " c", " a"]
    cells = ["layer 0, 0 …", "layer 0, 1 …", "layer 1, 0 …", "layer 1, 1 …"]
    assert titles == [f"{cell}: .500; top token {token!r}" for cell, token in zip(cells, tokens, strict=True)]


def test_cells_have_the_colours_of_the_figure_and_ink_that_is_read_on_them() -> None:
    heatmap = map_of(np.array([[0.5, 1.0], [0.7, np.nan]]), names=["a", "b"])
    looks = [attributes.get("style") for attributes, _ in grid_of(heatmap)]
    assert looks[3] is None
    for look, colour in zip(looks[:3], cell_colours(heatmap).reshape(-1, 3), strict=False):
        paper, ink = re.fullmatch("background:(#.{6});color:(#.{6})", str(look)).groups()  # type: ignore[union-attr]
        np.testing.assert_allclose(to_rgb(paper), colour, atol=0.5 / 255)
        assert ink == ("#000000" if sum(to_rgb(paper)) > 1.5 else "#ffffff")


def test_marked_cells_are_those_of_the_map() -> None:
    heatmap = Heatmap.load(CITIES / "probe.nc")
    marked = [attributes.get("class") == "marked" for attributes, _ in grid_of(heatmap)]
    assert marked == heatmap.data["marked"].values.astype(bool).ravel().tolist()
    assert {True, False} == set(marked)


def test_names_and_sentences_are_shown_as_they_stand() -> None:
    heatmap = map_of(np.array([[0.6, 0.7]]), names=["<s>", '"&quot;'])
    section = section_of(heatmap, "a & <b>", 'It says "<i>".')
    page = Page(report_page("<script>", [section, section]))
    assert page.texts["h2"] == page.texts["a"] == ["a & <b>"] * 2
    assert page.texts["title"] == page.texts["h1"] == ["<script>"]
    assert page.text.strip().startswith("<script>")
    assert page.of("img", "alt") == ['It says "<i>".'] * 2
    assert page.texts["figcaption"] == ['It says "<i>".\nMore.'] * 2
    assert page.texts["th"] == ["<s>", '"&quot;', "layer 0"] * 2
    titles = [str(title).split(":")[0] for title in page.of("td", "title") if title]
    assert titles == ["layer 0, <s>", 'layer 0, "&quot;'] * 2
    assert "script" not in {tag for tag, _ in page.attributes}
    assert page.of("a", "href") == [f"#{place}" for place in page.of("section", "id")]


def test_a_page_lists_its_results_and_says_of_each_what_it_shows() -> None:
    heatmap = map_of(np.array([[0.6, 0.7], [0.5, 0.9]]), names=["x", "y"])
    html = report_page("Maps", [section_of(heatmap, "first", "It rises."), section_of(heatmap, "second", "It falls.")])
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert page.of("meta", "charset")[0] == "utf-8"
    assert page.of("meta", "name")[1] == "viewport"
    assert "td.missing" in page.texts["style"][0]
    listed = list(zip(page.of("a", "href"), page.texts["a"], strict=True))
    assert listed == [("#result-1", "first"), ("#result-2", "second")]
    assert page.texts["h2"] == ["first", "second"]
    assert page.of("section", "id") == ["result-1", "result-2"]
    assert page.texts["figcaption"] == ["It rises.\nMore.", "It falls.\nMore."]
    assert len(page.texts["br"]) == 2, "every sentence on a line of its own"
    assert page.texts["summary"] == ["All values", "Where it comes from"] * 2
    assert page.of("div", "class") == ["scrolled"] * 4, "a wide table does not widen the page"
    assert page.texts["th"] == ["x", "y", "layer 0", "1"] * 2
    assert page.texts["pre"] == ["result  somewhere"] * 2
    assert [text for _, text in page.cells] == ["", ".600", ".700", ".500", ".900"] * 2


def test_a_result_on_one_axis_has_a_row_for_each_value() -> None:
    data = load_result(CITIES / "baselines.nc").data
    data = data.assign_coords(name=[f"<{name}>" for name in data["name"].values]).assign_attrs(metric="AUC of <i>")
    page = Page(values_html(section_of(Estimates(data))))
    assert page.texts["th"] == data["name"].values.tolist()
    head, cells = page.texts["td"][:3], page.texts["td"][3:]
    assert head == ["", f"{data.attrs['metric']} (95 % interval)", "n"]
    numbers = (data[name].values.tolist() for name in ("value", "low", "high"))
    words = [with_interval(*each) for each in zip(*numbers, strict=True)]
    assert cells[::2] == words
    assert cells[1::2] == [str(n) for n in data["n"].values]


def test_a_result_whose_rows_are_no_layers_names_them_as_they_are() -> None:
    matrix = load_result(CITIES.parent / "transfer" / "transfer.nc")
    of_row, of_column = matrix.axes
    data = matrix.data.assign_coords({of_row: [f"<{name}>" for name in matrix.data[of_row].values]})
    matrix = replace(matrix, data=data.assign(n=data["n"] + 10_000))
    page = Page(values_html(section_of(matrix)))
    columns, [first, *others] = (matrix.data[axis].values.tolist() for axis in (of_column, of_row))
    assert page.texts["th"] == [*columns, f"{of_row} {first}", *others]
    title = str(page.cells[-1][0]["title"])
    assert title.startswith(f"{of_row} {others[-1]}, {columns[-1]}: ")
    assert title.endswith(f", n = {int(matrix.data['n'].values[-1, -1]):,}")


def test_a_comparison_has_its_statistics_in_place_of_cells() -> None:
    comparison = load_result(CITIES / "compare-probe-lens-answer-rank-first300-patch-led.nc")
    section = replace(section_of(comparison), statistics=["a <b>", "c"])
    page = Page(report_page("", [section]))
    assert page.texts["summary"] == ["Statistics", "Where it comes from"]
    assert page.texts["pre"] == ["a <b>\nc", "result  somewhere"]
    assert not page.cells


def test_a_page_of_all_kinds_of_results_fetches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["probe", "baselines", "compare-probe-lens-answer-rank-first300-patch-led"]
    paths = [*(CITIES / f"{name}.nc" for name in names), CITIES.parent / "transfer" / "transfer.nc"]
    out = tmp_path / "made" / "page.html"
    command = ["report", *map(str, paths), "--out", str(out), "--title", "Cities"]
    assert main(command) == 0
    assert capsys.readouterr().out.strip() == str(out)
    html = out.read_text("utf-8")
    page = Page(html)
    assert page.of("html", "lang") == ["en"]
    described = [
        described_result(load_result(path), "short" if path.stem.startswith("compare") else "long") for path in paths
    ]
    assert page.texts["figcaption"] == ["\n".join(sentences) for _, sentences in described]
    assert page.texts["h2"] == [*(f"cities/{name}" for name in names), "transfer/transfer"]
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.attributes}
    assert all(str(source).startswith("data:image/png;base64,") for source in page.of("img", "src"))
    assert "http" not in re.sub(r'src="[^"]*"', "", html)
    pictures = [base64.b64decode(str(source).partition(",")[2]) for source in page.of("img", "src")]
    assert pictures[0] == (CITIES / "probe.png").read_bytes()
    for path in paths:
        assert f"result       {path}" in page.text
    baselines = load_result(CITIES / "baselines.nc")
    shown = [text for _, text in page.cells]
    for value, low, high in zip(*(baselines.data[each].values for each in ("value", "low", "high")), strict=True):
        assert with_interval(value, low, high) in shown
    assert "Spearman, all cells" in page.text


def test_published_maps_have_no_n_and_no_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "published.csv").write_text("layer,a\n0,.5\n1,.75\n")
    assert main(["report", str(tmp_path / "published.csv"), "--out", str(tmp_path / "page.html")]) == 0
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    assert [title for title in page.of("td", "title") if title] == ["layer 0, a: .500", "layer 1, a: .750"]
    assert "command      not recorded" in page.text
    capsys.readouterr()


def test_a_folder_stands_for_its_results_once_and_gives_the_same_page_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("b", "a"):
        map_of(np.array([[0.6, 0.7]]), names=["x", "y"]).save(tmp_path / "of" / f"{name}.nc")
    out = tmp_path / "page.html"
    again = tmp_path / "of" / ".." / "of" / "b.nc"
    command = ["report", str(tmp_path / "of" / "b.nc"), str(again), str(tmp_path / "of"), "--out", str(out)]
    assert main(command) == 0
    html = out.read_text("utf-8")
    assert Page(html).texts["h2"] == ["b", "a"]
    assert main(command) == 0
    assert out.read_text("utf-8") == html
    capsys.readouterr()


def test_by_default_it_is_of_all_results_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    attributes = {"identity": '{"model": "tiny", "dataset": "cities"}', "store": "kept"}
    for name in ("here", "of/there"):
        map_of(np.array([[0.6, 0.7]]), names=["x", "é"], attributes=attributes).save(Path("figures") / f"{name}.nc")
    store = Path("runs", "tiny", "cities", "kept")
    store.mkdir(parents=True)
    assert main(["report"]) == 0
    page = Page(Path("report.html").read_text("utf-8"))
    assert f"{store}  (there)" in page.text
    assert sorted(page.texts["h2"]) == ["here", "of/there"]
    assert page.texts["h1"] == ["Layer × token heatmaps"]
    assert "é" in page.texts["th"]
    monkeypatch.chdir("figures")
    assert main(["report", "here.nc", "of", "--out", "page.html", "--runs", "others"]) == 0
    page = Page(Path("page.html").read_text("utf-8"))
    assert page.texts["h2"] == ["here", "of/there"]
    assert f"{Path('others', *store.parts[1:])}  (not there)" in page.text
    capsys.readouterr()


def test_a_folder_without_results_and_what_is_none_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    for path, said in (
        (tmp_path, "no .nc file below"),
        (tmp_path / "gone", "no .nc file below"),
        (tmp_path / "gone.nc", "no heatmap at"),
        (out, "no heatmap"),
    ):
        assert main(["report", str(path), "--out", str(out)]) == 2
        assert said in capsys.readouterr().err.splitlines()[-1]
        assert not out.exists()
