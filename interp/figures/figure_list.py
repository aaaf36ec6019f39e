"""The list of a paper's figures: ``figures.toml`` beside the results, read and checked before anything is drawn.

::

    [[figure]]
    name = "paper/cities"                      # the files, without suffix, from the folder of the list
    panels = [["smollm2-135m/cities/probe.nc", "smollm2-135m/cities/patch-led.nc"]]   # rows of results
    width = "neurips"                          # one of interp.figures.figure_widths, or inches

Every other key has a default: see `PaperFigure` and `Panel`. A panel is the path of a result, or a table of the keys of
`Panel`.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from interp.errors import InputError, unknown_name
from interp.figures.figure_metadata import FORMATS
from interp.figures.figure_widths import WIDTHS

LIST = "figures.toml"
PALETTES = ("Blues", "Oranges", "Purples", "Greys", "viridis", "cividis")
"""Colour maps of scales without a centre: ever darker or ever lighter, and so told apart in grey and by everybody."""
CENTRED_PALETTES = ("RdBu", "PuOr", "BrBG")
"""Of scales with a centre: no red beside green. In grey both ends are dark, so that the low side is marked."""
MOST_INCHES = 40.0


@dataclass(frozen=True)
class Panel:
    """One result of a figure, and how it is drawn."""

    result: Path
    """Where it is; in the list, its path from the folder of the list."""
    title: str = ""
    """Above the panel, after its letter."""
    palette: str | None = None
    """One of `PALETTES`, or for a scale with a centre of `CENTRED_PALETTES`; None: that of the result itself."""
    x: str | None = None
    """Label of the columns; None: that of the result."""
    y: str | None = None
    """Label of the rows."""
    bar: str | None = None
    """Label of the colours."""
    pair: str | None = None
    """Of a comparison: whose ranks are compared, such as ``probe - patch-led``; None: the only pair that it has."""


@dataclass(frozen=True)
class PaperFigure:
    """A figure of one or more panels, in rows."""

    name: str
    """The path of its files from the folder of the list, without a suffix."""
    panels: tuple[tuple[Panel, ...], ...]
    width: float
    """Inches at which it is printed; in the list also a name of `WIDTHS`."""
    height: float | None = None
    """Inches; None: as high as its panels need."""
    palette: str | None = None
    """Of all panels whose scale has no centre, and who have none of their own."""
    centred_palette: str | None = None
    """Of all panels whose scale has a centre."""
    letters: bool | None = None
    """Whether panels carry the letters a, b, c, …; None: if there are several."""
    notes: bool = True
    """Whether what is marked in the panels is explained below them; if not, it is printed, for the caption."""
    column_names: Mapping[str, str] = field(default_factory=dict)
    """What columns, lines, estimates and rows of a matrix are called on the figure, by their names in the results."""
    formats: tuple[str, ...] = ("pdf", "png")
    """Which of `FORMATS` are drawn; pgf needs LaTeX."""
    style: Path | None = None
    """A style file of matplotlib; None: the suite's own. In the list, its path from the folder of the list."""

    @property
    def results(self) -> tuple[Path, ...]:
        """The files of its panels, each once."""
        return tuple(dict.fromkeys(panel.result for row in self.panels for panel in row))


def paper_figures(path: Path) -> tuple[PaperFigure, ...]:
    """Read a list of figures.

    Raises
    ------
    InputError
        For the first mistake: it names the file, the figure and the key.
    """
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read as TOML: {error}") from error
    _require_known(f"{path}", listed, ["figure"])
    entries = listed.get("figure", [])
    if not isinstance(entries, list):
        raise InputError(f"{path}: 'figure' is a single table; write [[figure]], with two brackets")
    figures = tuple(_figure(path, place, entry) for place, entry in enumerate(entries, start=1))
    twice = [name for name, n in Counter(figure.name for figure in figures).items() if n > 1]
    if twice:
        raise InputError(f"{path}: figure {twice[0]!r}: the 'name' is there more than once; give each figure its own")
    return figures


def _figure(path: Path, place: int, entry: Any) -> PaperFigure:
    """One entry; `place` is its number, by which it is called as long as it has no name."""
    if not isinstance(entry, dict):
        raise InputError(f"{path}: figure {place} is {entry!r}, not a table; write [[figure]] and its keys below")
    of = _Entry(path, f"figure {place}", entry)
    _require_known(of.place, entry, [each.name for each in fields(PaperFigure)])
    name = of.name()
    of = _Entry(path, f"figure {name!r}", entry)
    return PaperFigure(
        name=name,
        panels=of.panels(),
        width=of.width(),
        height=of.inches("height"),
        palette=of.choice("palette", PALETTES),
        centred_palette=of.choice("centred_palette", CENTRED_PALETTES),
        letters=of.value("letters", bool),
        notes=of.value("notes", bool) is not False,
        column_names=of.column_names(),
        formats=of.formats(),
        style=of.file("style"),
    )


def _require_known(place: str, table: Mapping[str, Any], known: Collection[str]) -> None:
    for key in table:
        if key not in known:
            raise InputError(f"{place}: {unknown_name('key', key, known)}")


TYPES = {str: "a text", bool: "true or false", list: "a list", dict: "a table"}


@dataclass(frozen=True)
class _Entry:
    """A table of the list whose values are taken out one by one, each checked; an error says where it was."""

    path: Path
    where: str
    table: Mapping[str, Any]

    @property
    def place(self) -> str:
        return f"{self.path}: {self.where}"

    def value(self, key: str, kind: type) -> Any:
        """A value of a kind; None if it is not there."""
        value = self.table.get(key)
        if value is not None and not isinstance(value, kind):
            raise InputError(f"{self.place}: {key!r} is {value!r}; give {TYPES[kind]}")
        return value

    def needed(self, key: str, kind: type) -> Any:
        """A value of a kind that must be there and not be empty."""
        value = self.value(key, kind)
        if not value:
            raise InputError(f"{self.place}: no {key!r}; give {TYPES[kind]}")
        return value

    def name(self) -> str:
        given: str = self.needed("name", str)
        path = PurePosixPath(given)
        if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in given or given.endswith("/"):
            raise InputError(f"{self.place}: 'name' is {given!r}; give a path within {self.path.parent}")
        if not given.isprintable():
            raise InputError(f"{self.place}: 'name' is {given!r}; leave out what is no letter or sign")
        name = str(path)  # ./x is x: two figures of one file are one name.
        if path.suffix[1:] in FORMATS:
            raise InputError(f"{self.place}: 'name' is {name!r}; leave the suffix out, and give 'formats'")
        if (self.path.parent / f"{name}.nc").exists():
            raise InputError(f"{self.place}: 'name' is {name!r}, as which {name}.nc is drawn; give another")
        return name

    def panels(self) -> tuple[tuple[Panel, ...], ...]:
        listed = self.needed("panels", list)
        rows = listed if all(isinstance(row, list) for row in listed) else [listed]
        if not all(rows):
            raise InputError(f"{self.place}: 'panels' has a row without a panel; drop it")
        return tuple(tuple(self.panel(each) for each in row) for row in rows)

    def panel(self, given: Any) -> Panel:
        if not isinstance(given, str | dict):
            raise InputError(f"{self.place}: 'panels' has {given!r}; give the paths of results, or rows of them")
        of = _Entry(self.path, self.where, {"result": given} if isinstance(given, str) else given)
        _require_known(f"{self.place}: a panel", of.table, [each.name for each in fields(Panel)])
        texts = {key: of.value(key, str) for key in ("x", "y", "bar", "pair")}
        palette = of.choice("palette", (*PALETTES, *CENTRED_PALETTES))
        return Panel(of.result(), of.value("title", str) or "", palette, **texts)

    def result(self) -> Path:
        name: str = self.needed("result", str)
        folder = self.path.parent
        if not (folder / name).is_file():
            there = [path.relative_to(folder).as_posix() for path in folder.rglob("[!.]*.nc")]
            raise InputError(f"{self.place}: {unknown_name('result', name, there)}")
        return folder / name

    def width(self) -> float:
        given = self.table.get("width")
        if isinstance(given, str):
            if given not in WIDTHS:
                raise InputError(f"{self.place}: {unknown_name('width', given, WIDTHS, 'Or give inches')}")
            return WIDTHS[given].inches
        inches = self.inches("width")
        if inches is None:
            raise InputError(f"{self.place}: no 'width'; give inches, or one of {', '.join(WIDTHS)}")
        return inches

    def inches(self, key: str) -> float | None:
        given = self.table.get(key)
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= MOST_INCHES:
            raise InputError(f"{self.place}: {key!r} is {given!r}; give inches, above 0 and at most {MOST_INCHES:g}")
        return float(given)

    def choice(self, key: str, known: Collection[str]) -> str | None:
        given: str | None = self.value(key, str)
        if given is not None and given not in known:
            raise InputError(f"{self.place}: {unknown_name(key.replace('_', ' '), given, known)}")
        return given

    def formats(self) -> tuple[str, ...]:
        if "formats" not in self.table:
            return PaperFigure.formats
        given = self.needed("formats", list)
        for each in given:
            if each not in FORMATS:
                raise InputError(f"{self.place}: {unknown_name('format', str(each), FORMATS)}")
        return tuple(dict.fromkeys(given))

    def column_names(self) -> dict[str, str]:
        given: dict[str, Any] = self.value("column_names", dict) or {}
        for name, shown in given.items():
            if not isinstance(shown, str):
                raise InputError(f"{self.place}: 'column_names' calls {name!r} {shown!r}; give a text")
        return given

    def file(self, key: str) -> Path | None:
        given: str | None = self.value(key, str)
        if given is None:
            return None
        path = self.path.parent / given
        if not path.is_file():
            there = [each.relative_to(self.path.parent).as_posix() for each in self.path.parent.rglob("*.mplstyle")]
            raise InputError(f"{self.place}: {unknown_name(key, given, there)}")
        return path
