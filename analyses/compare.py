"""Lay maps beside each other: how far they agree, cell by cell and in their peaks, and where they do not.

Takes two results or more, of this suite (.nc) or published (.csv). Checks that their cells mean the same, prints what
else they differ in, and for every pair the rank correlations, the top cells that they share, how far their peaks are
apart, with intervals over the examples, a test that knows that neighbouring cells are alike, and the cells where they
disagree most. --by model matches layers by relative depth; --by dataset takes other questions. Writes compare-*.nc,
.pdf and .png. No model is needed.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from analyses.parts import flags, procedures
from analyses.parts.command import execute
from analyses.parts.compared_maps import HASHES, sources_of
from analyses.parts.comparison_summary import in_words
from analyses.parts.runs import digest, draw, load_result, provenance, require_publishable, reusable_result
from interp.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interp.comparisons.compare import Operand
    from interp.results.comparison import Comparison
    from interp.results.example_values import ExampleValues
    from interp.results.heatmap import Heatmap


MOST_BYTES = 200
"""Of a file's name; most file systems take 255, endings included."""


@dataclass(frozen=True)
class Config:
    """Lay maps beside each other: how far they agree, and where they do not."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Two maps or more: .nc files of this suite, or .csv files of published maps."""
    by: Literal["method", "model", "dataset"] = "method"
    """What the maps may differ in, beside what they are of: 'method' nothing, so that cells are the same, and examples
    as far as they go; 'model' the model, with layers matched by relative depth; 'dataset' the questions. Published maps
    are taken for maps of what they are compared with."""
    draws: int = 500
    """Bootstrap draws of the examples, for the intervals."""
    seed: int = 0
    """Decides the draws."""
    out: Path | None = None
    """Folder of the result; by default that of the first map."""
    overwrite: bool = False
    """Replace the result of another comparison."""


def run(config: Config) -> None:
    """Compare, draw, tell."""
    from interp.comparisons.comparable import require_comparable
    from interp.results.comparison import Comparison

    flags.require_least(config, {"seed": 0, "draws": 2})
    if len(config.paths) < 2:
        raise InputError("one map has nothing to be compared with; give the paths of two or more")
    files = [path.resolve() for path in config.paths]
    if twice := [path for path, file in zip(config.paths, files, strict=True) if files.count(file) > 1]:
        raise InputError(f"{twice[-1]} is given more than once; give every map once")
    operands = operands_of(config.paths)
    require_comparable(operands, config.by)
    # What maps are of decides whether a comparison is another one, not how a processor rounded them.
    made_here = {each.name: digest(each.heatmap.identity) for each in operands if each.heatmap.identity}
    path = (config.out or config.paths[0].parent) / f"{name_of(operands)}.nc"
    sources = sources_of(path, [each.name for each in operands], config.paths)
    identity = {"maps": json.loads(sources[HASHES]) | made_here, "by": config.by}
    if silent := [each.name for each in operands if each.examples is None]:
        identity |= {"without_examples": silent}
    identity |= {name: getattr(config, name) for name in ("draws", "seed")} | procedures.COMPARISON
    identity |= procedures.OTHER_QUESTIONS if config.by == "dataset" else {}
    require_publishable(path, identity, overwrite=config.overwrite, flag="--out")
    comparison = reusable_result(Comparison, path, identity)
    if comparison is None or not sources.items() <= comparison.data.attrs.items():
        comparison = measured(config, operands).with_attributes(provenance(identity) | sources)
        comparison.save(path)
    print(path, *draw(path, path), sep="\n")
    print("", in_words(comparison), sep="\n")


def measured(config: Config, operands: Sequence[Operand]) -> Comparison:
    """The comparison of the maps."""
    from interp.comparisons.comparable import differences, layers_differ
    from interp.comparisons.compare import compared

    by_depth = config.by == "model" or layers_differ(operands)
    return compared(
        operands,
        by_depth=by_depth,
        draws=config.draws,
        seed=config.seed,
        attributes=subject_of(operands) | {"differences": json.dumps(differences(operands, by_depth=by_depth))},
    )


def subject_of(operands: Sequence[Operand]) -> dict[str, str]:
    """The models and the questions that the maps are of; published maps do not say."""
    named = {
        name: dict.fromkeys(str(each.heatmap.data.attrs.get(name, "")) for each in operands)
        for name in ("model", "dataset")
    }
    return {name: told for name, names in named.items() if (told := " and ".join(filter(None, names)))}


def operands_of(paths: Sequence[Path]) -> list[Operand]:
    """The maps of these files, by names that tell them apart, with their examples' values where these are there."""
    from interp.comparisons.compare import Operand

    maps = [map_of(path) for path in paths]
    # A published map has no colours for what is below its scale, and says of such a cell that it is at its end.
    clipped = [each for each in maps if each.data.attrs["kind"] == "published" and is_clipped(each)]

    def least_of(heatmap: Heatmap) -> float | None:
        # Of maps in another unit, such as logits, no cell is at the end of that scale.
        return max((each.scale.low for each in clipped if each.scale == heatmap.scale), default=None)

    return [
        Operand(name, heatmap, examples_of(heatmap, path), least_of(heatmap))
        for name, heatmap, path in zip(names_of(paths), maps, paths, strict=True)
    ]


def map_of(path: Path) -> Heatmap:
    """The heatmap of a file; an `InputError` says so if it is of another kind."""
    from interp.results.heatmap import Heatmap

    result = load_result(path)
    if not isinstance(result, Heatmap):
        raise InputError(f"{path} is a {result.noun}, and has no layers by tokens to be compared; leave it out")
    return result


def is_clipped(heatmap: Heatmap) -> bool:
    """Whether the lowest values of a map are at the lower end of its scale."""
    import numpy as np

    value = heatmap.data["value"].values
    return bool(np.isfinite(value).any() and np.nanmin(value) == heatmap.scale.low)


def examples_of(heatmap: Heatmap, path: Path) -> ExampleValues | None:
    """What every example gives in a map's cells, if the map names a file of that and it is there."""
    from interp.results.example_values import EVERYONE, FILE, SUBSET, ExampleValues

    attributes = heatmap.data.attrs
    if FILE not in attributes or not (beside := path.with_name(attributes[FILE])).is_file():
        return None
    examples = ExampleValues.load(beside, str(attributes.get(SUBSET, EVERYONE)))
    if not examples.gives(heatmap.data["value"].values):
        raise InputError(f"{beside} is not of the values of {path}; make the map again, or remove that file")
    return examples


def names_of(paths: Sequence[Path]) -> list[str]:
    """What tells files apart: their names, or if these are alike those of their folders."""
    for part in range(max(len(path.parts) for path in paths)):
        names = [path.stem if part == 0 else _folder(path, part) for path in paths]
        if all(names) and len(set(names)) == len(names):
            return names
    return [str(path.with_suffix("")) for path in paths]


def _folder(path: Path, part: int) -> str:
    """The name of the folder so many steps above a file; empty where there is none."""
    above = path.parent.parts[::-1]
    return above[part - 1] if part <= len(above) else ""


def name_of(operands: Sequence[Operand]) -> str:
    """What the comparison is called; of many maps, whose names make none of a file, by a hash of them."""
    name = "-".join(["compare", *(re.sub(r"[^\w.-]+", "-", each.name) for each in operands)])
    if len(name.encode()) <= MOST_BYTES:
        return name
    return f"compare-{len(operands)}-maps-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.compare"))
