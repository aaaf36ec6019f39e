"""All figures that a folder of results should have: the drawing of every result, and those of the paper's list."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from analyses.parts.runs import DRAWN_AS, drawn, given_by_each, load_result, sources_in
from interp.errors import InputError
from interp.work.files import write_if_other

if TYPE_CHECKING:
    from interp.figures.figure_list import PaperFigure

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drawing:
    """A figure that should be there, in one or more formats, and how it comes to be."""

    files: Mapping[str, Path]
    """By format."""
    contents: Callable[[], Mapping[str, bytes]]
    """Draws it: the bytes of every file, by format."""
    called: str = ""
    """What an error calls it, if it is not called by its file."""
    result: Path | None = None
    """The result that it is the own drawing of; None for a figure of a list."""

    def write(self, kind: str, contents: bytes) -> bool:
        """Write a file that is not there with these contents; whether it was written."""
        try:
            return write_if_other(self.files[kind], contents)
        except InputError as error:
            raise InputError(f"{self.called}: {error}" if self.called else str(error)) from error


def drawings_below(folder: Path, *, with_n: bool = False) -> list[Drawing]:
    """The drawings of all results below a folder, then the figures of its list.

    Raises
    ------
    InputError
        If the list has a mistake.
    """
    from interp.figures.figure_list import LIST

    singles = [
        Drawing(beside(path), partial(drawn, path, with_n=with_n), result=path) for path in results_below(folder)
    ]
    listed = folder / LIST
    return singles + (drawings_of_list(listed) if listed.is_file() else [])


def drawings_of_list(listed: Path) -> list[Drawing]:
    """The figures of a list, below its folder.

    Raises
    ------
    InputError
        If there is no such list, or it has a mistake.
    """
    from interp.figures.figure_list import paper_figures

    if not listed.is_file():
        raise InputError(f"no list of figures at {listed}; give the path of a .toml file")
    return [
        Drawing(
            {kind: listed.parent / f"{each.name}.{kind}" for kind in each.formats},
            partial(drawn_for_paper, each, listed),
            f"{listed}: figure {each.name!r}",
        )
        for each in paper_figures(listed)
    ]


def beside(result: Path) -> dict[str, Path]:
    """The files of a result's own drawing."""
    return {kind: result.with_suffix(f".{kind}") for kind in DRAWN_AS}


def results_below(folder: Path) -> list[Path]:
    """The results below a folder that are drawn: all but those of pairs or examples, and what a killed run left."""
    found = [path for path in sorted(folder.rglob("*.nc")) if not is_hidden(path, folder)]
    return [path for path in found if _is_drawn(path)]


def _is_drawn(path: Path) -> bool:
    """Whether a file is of no pairs or examples; what cannot be read says so when it is drawn."""
    import xarray as xr

    try:
        with xr.open_dataset(path, engine="h5netcdf") as data:
            return not given_by_each(data.dims)
    except (OSError, ValueError, KeyError, RuntimeError):
        return True


def is_hidden(path: Path, folder: Path) -> bool:
    """Whether a file, or a folder below another that it is in, is hidden, as what a killed run leaves unfinished is."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def drawn_for_paper(planned: PaperFigure, listed: Path) -> dict[str, bytes]:
    """A figure of a list in its formats; what is to be mended on it, and what belongs into its caption, is logged."""
    from interp.figures.figure_files import figure_bytes, own_settings
    from interp.figures.paper_figure import paper_figure
    from interp.figures.paper_style import OWN_STYLE, paper_settings

    sources = sources_in((listed.parent / planned.name).parent, planned.results)
    try:
        with own_settings():
            require_latex(planned)
            settings = paper_settings(planned.style or OWN_STYLE)
            composed = paper_figure(planned, {path: load_result(path) for path in planned.results}, settings)
            for told in composed.warnings:
                log.warning("%s: figure %r: %s", listed, planned.name, told)
            for note in () if planned.notes else composed.notes:
                log.info("for the caption of %s: %s", planned.name, note)
            return {kind: figure_bytes(composed.figure, kind, settings, sources) for kind in planned.formats}
    except InputError as error:
        raise InputError(f"{listed}: figure {planned.name!r}: {error}") from error


def require_latex(planned: PaperFigure) -> None:
    """Raise an `InputError` if a figure is wanted as PGF, whose texts LaTeX measures, and there is no LaTeX."""
    import matplotlib

    program = str(matplotlib.rcParams["pgf.texsystem"])
    if "pgf" in planned.formats and shutil.which(program) is None:
        raise InputError(
            f"'formats' has 'pgf', which needs {program}, and it is not here; install LaTeX, or drop 'pgf'"
        )
