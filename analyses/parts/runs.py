"""Where runs and their figures are kept, and what tells one run from another.

A run's identity is all that decides its numbers: the model's weights, the questions, the settings, the major versions
of the libraries that compute. What does not decide them (device, batch size, folders) is not in it. Work in progress
lives in ``runs/<model>/<dataset>/<what>-<hash of the identity>/``; results go to ``figures/<model>/<dataset>/``.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import re
import shutil
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import analyses
import interp
from analyses.parts.command_line import command_line
from interp import __version__
from interp.errors import InputError, first_line
from interp.work.files import make_folder, sha256, whole_file, write_if_other

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from matplotlib.figure import Figure

    from interp.results.comparison import Comparison
    from interp.results.estimates import Estimates
    from interp.results.heatmap import Heatmap
    from interp.results.matrix import Matrix
    from interp.results.result import Result

R = TypeVar("R", bound="Result")
Identity = Mapping[str, Any]

COMPUTING = ("torch", "transformers", "transformer-lens")
WIDEST_NAME = 40
"""So many letters of a text are in the names of files about it."""
DRAWN_AS = ("pdf", "png")
"""The formats of the drawing that every result has beside it."""
RECORDED = (*COMPUTING, "numpy", "scikit-learn", "xarray", "matplotlib")


def computing_versions() -> dict[str, str]:
    """The versions that may compute something else: the libraries' majors, and this suite's minor."""
    return {name: version(name).split(".")[0] for name in COMPUTING} | {"interp": __version__.rpartition(".")[0]}


def digest(identity: Identity) -> str:
    """A short hash of an identity, for names of folders."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def run_folder(parent: Path, name: str, identity: Identity) -> Path:
    """Where work of this identity is kept below `parent`."""
    return parent / f"{name}-{digest(identity)}"


def prompt_name(*texts: str) -> str:
    """What tells the files about some texts from those about others: the first words, and a hash of all."""
    words = re.findall(r"[a-z0-9]+", texts[0].lower())
    beginning = "-".join(words)[: WIDEST_NAME + 1]
    if len(beginning) > WIDEST_NAME:  # In the middle of a word, unless there is but one.
        beginning = beginning.rpartition("-")[0] or beginning[:WIDEST_NAME]
    hashed = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:6]
    return "-".join(filter(None, [beginning, hashed]))


def provenance(identity: Identity) -> dict[str, str]:
    """Attributes that let a reader regenerate a result: the command, identity and exact library versions."""
    versions = {"python": platform.python_version(), "interp": __version__}
    versions |= {name: version(name) for name in RECORDED}
    record = {"identity": json.dumps(identity, sort_keys=True), "versions": json.dumps(versions, sort_keys=True)}
    return record | ({"command": typed} if (typed := command_line()) else {})


def require_publishable(path: Path, identity: Identity, *, overwrite: bool, flag: str = "--figures") -> None:
    """Raise an `InputError` if `path` holds the result of another run, so that no figure is replaced unawares.

    The flag is the one by which the command takes another folder.
    """
    make_folder(path.parent)
    if overwrite or not path.exists():
        return
    found = load_result(path).identity
    differing = list(dict.fromkeys(_differences("", found, dict(identity))))
    if differing:
        told = "; ".join(differing)
        raise InputError(f"{path} is the result of another run ({told}); give --overwrite, or another {flag} folder")


def _differences(name: str, there: Any, here: Any) -> Iterator[str]:
    """What differs between two identities, in words; of lists of identities, in any of them."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in sorted({*there, *here}):
            yield from _differences(key, there.get(key), here.get(key))
    elif _are_identities(there) and _are_identities(here) and len(there) == len(here):
        for one, other in zip(there, here, strict=True):
            yield from _differences(name, one, other)
    elif there != here:
        yield f"{name}: {there} there, {here} here"


def _are_identities(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def reusable(path: Path, identity: Identity) -> Heatmap | None:
    """The heatmap at `path` if it is there and of this identity."""
    from interp.results.heatmap import Heatmap

    return reusable_result(Heatmap, path, identity)


def kept_maps(
    paths: Mapping[str, Path], identity: Identity, made: Callable[[], Mapping[str, Heatmap]]
) -> Mapping[str, Heatmap]:
    """The maps of this identity: from their files if all are there, else as they are `made`, and kept there."""
    found = {name: reusable(path, identity) for name, path in paths.items()}
    maps: Mapping[str, Heatmap] = {name: heatmap for name, heatmap in found.items() if heatmap is not None}
    if len(maps) < len(paths):
        maps = {name: heatmap.with_attributes(provenance(identity)) for name, heatmap in made().items()}
        for name, heatmap in maps.items():
            heatmap.save(paths[name])
    return maps


def reusable_result(kind: type[R], path: Path, identity: Identity) -> R | None:
    """The result of this kind at `path` if it is there, with its examples' values, and of this identity."""
    from interp.results.example_values import FILE

    if not path.exists():
        return None
    result = kind.load(path)
    examples = result.data.attrs.get(FILE)
    is_whole = examples is None or path.with_name(examples).is_file()
    return result if is_whole and result.identity == dict(identity) else None


def kept_arrays(path: Path, computed: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays from a file if an earlier run has left it; else they are computed, and left there."""
    import numpy as np

    if not path.is_file():
        with whole_file(path) as temporary:
            arrays: dict[str, Any] = computed()
            np.savez(temporary, **arrays)
    with np.load(path) as saved:
        return {name: saved[name] for name in saved.files}


def publish(result: Path, published: Path, *, overwrite: bool) -> list[Path]:
    """Copy a run's result to the figures, with its examples' values if it has any, draw it there, and return the paths.

    The examples lie beside the result, under the name that it says.

    Raises
    ------
    InputError
        If another result is there and the run was finished before the code that is installed: which of the two is to
        be kept cannot be known. With `overwrite` it is the run's.
    """
    from interp.results.example_values import FILE

    if not overwrite and is_older_than_code(result) and published.is_file() and sha256(published) != sha256(result):
        raise InputError(
            f"{published} is not what {result} has, a finished run of the same settings by older code; delete "
            f"{result.parent} to make it anew, or give --overwrite to publish it as it is"
        )
    examples = load_result(result).data.attrs.get(FILE)
    beside = [] if examples is None else [(result.with_name(examples), published.with_name(examples))]
    for source, target in [*beside, (result, published)]:
        with whole_file(target) as temporary:
            shutil.copyfile(source, temporary)
    return [published, *(target for _, target in beside), *draw(published, published)]


def is_older_than_code(result: Path) -> bool:
    """Whether a file was written before some module of this suite was changed or installed."""
    modules = [path for folder in (*analyses.__path__, *interp.__path__) for path in Path(folder).rglob("*.py")]
    return result.stat().st_mtime < max(path.stat().st_mtime for path in modules)


def draw(result: Path, beside: Path, *, with_n: bool = False) -> list[Path]:
    """Draw the result of a file as PDF and PNG under the name of `beside`, with a strip of n if that is wanted.

    A file that is there with the same bytes is left as it is.
    """
    contents_of = drawn(result, folder=beside.parent, with_n=with_n)
    files = {beside.with_suffix(f".{kind}"): contents for kind, contents in contents_of.items()}
    for path, contents in files.items():
        write_if_other(path, contents)
    return list(files)


def drawn(result: Path, *, folder: Path | None = None, with_n: bool = False) -> dict[str, bytes]:
    """The figure of a file's result as PDF and PNG; each says which results it was drawn from, and their hashes.

    The paths of the results are from the folder that the figure will be in, by default that of the result.
    """
    from interp.figures.figure_files import figure_bytes, own_settings
    from interp.figures.plot import STYLE

    with own_settings():
        figure, results = drawing(result, with_n=with_n)
        sources = sources_in(result.parent if folder is None else folder, results)
        return {kind: figure_bytes(figure, kind, STYLE, sources) for kind in DRAWN_AS}


def sources_in(folder: Path, results: Sequence[Path]) -> dict[str, str]:
    """The SHA-256 of results by their paths from a folder, in which their figure is."""
    return {Path(os.path.relpath(path, folder)).as_posix(): sha256(path) for path in results}


def drawing(path: Path, *, with_n: bool = False) -> tuple[Figure, list[Path]]:
    """The figure of a file's result, and the files of all results that are on it.

    Estimates are beside the map that they name, if it is of the same answers.
    """
    from interp.figures.beyond_figure import beyond_figure
    from interp.figures.comparison_figure import comparison_figure
    from interp.figures.depth_figure import depth_figure
    from interp.figures.forest import forest_figure
    from interp.figures.matrix_figure import matrix_figure
    from interp.figures.plot import heatmap_figure
    from interp.figures.prompt_lens_figure import prompt_lens_figure
    from interp.results.comparison import Comparison
    from interp.results.estimates import Estimates
    from interp.results.heatmap import DRAWN_AS, LINES, Heatmap
    from interp.results.matrix import Matrix
    from interp.results.prompt_map import PromptMap

    result = load_result(path)
    if isinstance(result, PromptMap):
        return prompt_lens_figure(result), [path]
    if isinstance(result, Comparison):
        return comparison_figure(result), [path]
    if isinstance(result, Matrix):
        return matrix_figure(result), [path]
    if isinstance(result, Estimates):
        named = path.parent / str(result.data.attrs.get("beside", ""))
        beside = Heatmap.load(named) if named.is_file() else None
        if beside is not None and _are_of_one(result, beside):
            return forest_figure(result, beside=beside), [path, named]
        return forest_figure(result), [path]
    if result.data.attrs.get(DRAWN_AS) == LINES:
        return depth_figure(result), [path]
    if "strongest" in result.data:
        return beyond_figure(result, with_n=with_n), [path]
    return heatmap_figure(result, with_n=with_n), [path]


def _are_of_one(result: Result, other: Result) -> bool:
    """Whether two results are of the same answers: what decides both of them is the same."""
    shared = result.identity.keys() & other.identity.keys()
    return all(result.identity[key] == other.identity[key] for key in shared)


def load_result(path: Path) -> Heatmap | Estimates | Matrix | Comparison:
    """What a file holds: a heatmap (.nc, or .csv for a published one), estimates, a matrix or a comparison.

    Raises
    ------
    InputError
        If it is none of them.
    """
    import xarray as xr

    from interp.results.comparison import Comparison
    from interp.results.estimates import Estimates
    from interp.results.heatmap import Heatmap
    from interp.results.matrix import Matrix
    from interp.results.prompt_map import KIND, PromptMap

    if path.suffix == ".nc" and path.is_file():
        try:
            with xr.open_dataset(path, engine="h5netcdf") as data:
                dimensions, kind = set(data.dims), data.attrs.get("kind")
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise InputError(f"{path} is not a result: {first_line(error)}; make it again") from error
        if given := given_by_each(dimensions):
            raise InputError(f"{path} has what every {given} gave, and is no map; give the map beside it")
        if set(Estimates.axes) <= dimensions:
            return Estimates.load(path)
        if set(Matrix.axes) <= dimensions:
            return Matrix.load(path)
        if kind == KIND:
            return PromptMap.load(path)
        if set(Comparison.axes) <= dimensions:
            return Comparison.load(path)
    return Heatmap.load(path)


def given_by_each(dimensions: Collection[Hashable]) -> str:
    """Of a file's dimensions: "pair" or "example" if it is of what each of them gave, and no map; else empty."""
    kinds = {"pair": {"reading", "pair"}, "example": {"scoring", "example"}}
    return next((given for given, names in kinds.items() if names <= set(dimensions)), "")


def table_of_values(heatmap: Heatmap) -> str:
    """The values with their intervals, for every position at four depths; and why some of these have none."""
    data, reasons = heatmap.data, heatmap.reasons
    n_layers = len(heatmap.layers)
    rows = sorted({0, n_layers // 3, 2 * n_layers // 3, n_layers - 1})
    has_intervals = bool(data["low"].notnull().any())
    lines = [
        f"{data.attrs['metric']}{' [95 % interval]' if has_intervals else ''}",
        f"{'':26}{'n':>5}" + "".join(f"{f'layer {heatmap.layers[row]}':>25}" for row in rows),
    ]
    for number, name in enumerate(heatmap.positions):
        column = data.isel(position=number)
        told = "".join(f"{cell_in_words(column.isel(layer=row)):>25}" for row in rows)
        why = ", ".join(dict.fromkeys(filter(None, reasons[rows, number])))
        lines.append(f"{name:26}{int(column.n.max()):5d}{told}" + (f"  ({why})" if why else ""))
    return "\n".join(lines)


def cell_in_words(cell: xr.Dataset) -> str:
    """The value of one cell of a result, with its interval, if it has one."""
    return value_in_words(*(float(cell[name]) for name in ("value", "low", "high")))


def value_in_words(value: float, low: float, high: float) -> str:
    """A value with its interval, if it has one."""
    if math.isnan(value):
        return "–"
    digits = 3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    if math.isnan(low):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
