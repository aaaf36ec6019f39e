"""Where a figure comes from: its results, the command that made them, the answers, the model.

Takes a figure (.pdf, .png, .svg, .pgf) or a result (.nc), and prints the chain from the figure to the versions of the
libraries: the results by the hashes that the figure carries, whether they are still there and the same, and of each the
command, the configuration, the activations and answers that it was made from, the questions, the model, the seed. Of a
comparison the chain goes on to each of the maps that were compared. What was not recorded is said to be so, and never
made up.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path
from typing import Annotated, Any

import tyro

from analyses.parts.command import execute
from analyses.parts.compared_maps import ComparedMap, compared_maps
from analyses.parts.runs import Identity, run_folder
from interp.work.files import sha256

NOT_RECORDED = "not recorded"
COMPARED = "compared"
"""The key of the maps that a comparison is of."""
SAME, CHANGED, GONE = "the same as was drawn", "changed since it was drawn", "not there any more"
OF_ANSWERS = (
    *("model", "revision", "libraries", "backend", "weights", "dtype"),
    *("dataset", "questions", "n", "seed", "max_new_tokens"),
    *("prompt", "template", "templates", "shots", "extraction", "grading", "tries", "reader"),
    *("code", "signs", "words", "accents", "given"),
)
"""The keys of an identity that decide answers (`analyses.parts.asking.identity_of`), beside the size of a batch."""
OF_MODEL = {"model": "name", "revision": "revision", "backend": "backend", "weights": "weights", "dtype": "dtype"}
OF_DATASET = {"dataset": "name", "n": "n", "questions": "sha256"}
SHOWN = (*OF_MODEL, *OF_DATASET, "seed", "libraries", "sets")
"""Keys that are no part of what is printed as the configuration: they are told on lines of their own."""


@dataclass(frozen=True)
class Config:
    """Where a figure comes from: its results, the command that made them, the answers, the model."""

    path: Annotated[Path, tyro.conf.Positional]
    """A figure, or a result (.nc)."""
    figures: Path = Path("figures")
    """Folder of results: a result that has been moved is looked for there, by its hash."""
    runs: Path = Path("runs")
    """Folder of answers and activations."""
    json: bool = False
    """Print JSON, with null for what was not recorded."""


def run(config: Config) -> None:
    """Read the chain, and print it."""
    chain = chain_of_result(config) if config.path.suffix == ".nc" else chain_of_figure(config)
    print(json.dumps(chain, indent=2, ensure_ascii=False) if config.json else "\n".join(in_words(chain)))


def chain_of_result(config: Config) -> dict[str, Any]:
    """The chain from a result on."""
    return {"figure": None, "drawn by": None, "results": [record_of_result(config, config.path)]}


def chain_of_figure(config: Config) -> dict[str, Any]:
    """The chain from a figure on."""
    from interp.figures.figure_metadata import figure_record

    record = figure_record(config.path)
    folder = config.path.parent
    results = [source_of(config, Path(normpath(folder / name)), digest) for name, digest in record.sources.items()]
    return {"figure": str(config.path), "drawn by": record.drawn_by or None, "results": results}


def source_of(config: Config, named: Path, digest: str) -> dict[str, Any]:
    """What is there of a result of this hash: at its place, or else elsewhere."""
    if named.is_file() and sha256(named) == digest:
        return record_of_result(config, named, SAME)
    for path in sorted(config.figures.rglob("[!.]*.nc")):
        if sha256(path) == digest:
            return record_of_result(config, path, SAME)
    if named.is_file():
        return record_of_result(config, named, f"{CHANGED}: then {digest}")
    return {"result": str(named), "sha256": digest, "state": GONE}


def compared_map(config: Config, compared: ComparedMap) -> dict[str, Any]:
    """What is there of one of the maps of a comparison, which may be a published one."""
    path, digest = compared.path, compared.sha256
    if path.suffix != ".csv" or not path.is_file():
        return source_of(config, path, digest)
    found = sha256(path)
    state = SAME if found == digest else f"{CHANGED}: then {digest}"
    return {"result": str(path), "sha256": found, "state": state, "kind": "published map"}


def record_of_result(config: Config, path: Path, state: str | None = None) -> dict[str, Any]:
    """What a result says of how it was made; None for what it does not say."""
    from analyses.parts.runs import load_result

    result = load_result(path)
    attributes, identity = result.data.attrs, result.identity
    made_by = {
        "kind": f"{attributes['kind']}: {attributes['metric']}",
        "command": attributes.get("command"),
        "config": {key: value for key, value in identity.items() if key not in SHOWN} or None,
    }
    made_by |= {} if _is_of_a_text(identity) else of_questions(config, identity, attributes)
    libraries = json.loads(attributes["versions"]) if "versions" in attributes else None
    model = _kept((identity.get("sets") or [identity])[0], OF_MODEL)
    there = {"result": str(path), "sha256": sha256(path)} | ({} if state is None else {"state": state})
    maps = [compared_map(config, each) for each in compared_maps(path, attributes)]
    return there | made_by | {"model": model or None, "versions": libraries} | ({COMPARED: maps} if maps else {})


def of_questions(config: Config, identity: Identity, attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """The questions that a result is of, the answers to them, and the activations of these."""
    sets = identity.get("sets") or [identity]
    folders = [folder_of(config, each, answers_folder(each)) for each in sets]
    return {
        "activations": folder_of(config, identity, attributes.get("store")),
        "answers": [folder for folder in folders if folder] or None,
        "dataset": [each for each in (_kept(each, OF_DATASET) for each in sets) if each] or None,
        "credit": attributes.get("credit"),
        "seed": identity.get("seed", sets[0].get("seed")),
    }


def _is_of_a_text(identity: Identity) -> bool:
    """Whether a result is of a text that its configuration holds: there are no questions, answers or seed."""
    return bool(identity) and not {"dataset", "sets"} & identity.keys()


def _kept(identity: Identity, keys: Mapping[str, str]) -> dict[str, Any]:
    """Some entries of an identity, under the names that they are printed with."""
    return {name: identity[key] for key, name in keys.items() if key in identity}


def answers_folder(identity: Identity) -> str | None:
    """The name of the folder of the answers behind a result of this identity; None if it is of no answers.

    What decides a result holds what decides its answers, under the same keys.
    """
    if not {"dataset", "questions", "max_new_tokens"} <= identity.keys():
        return None
    # Samples are drawn in batches too; for answers these count only where a reader tries more than once.
    tried = {"batch_size"} if identity.get("tries", 1) > 1 else set()
    return run_folder(Path(), "answers", {key: identity[key] for key in identity if key in {*OF_ANSWERS, *tried}}).name


def folder_of(config: Config, identity: Identity, name: str | None) -> dict[str, Any] | None:
    """A folder of a run by its name, and whether it is there."""
    if name is None or "dataset" not in identity:
        return None
    path = config.runs / str(identity["model"]) / str(identity["dataset"]) / name
    return {"path": str(path), "there": path.is_dir()}


def in_words(chain: Mapping[str, Any]) -> Iterator[str]:
    """The chain as lines, aligned; what belongs to a result is below it."""
    if chain["figure"]:
        yield _line("figure", chain["figure"])
        yield _line("drawn by", chain["drawn by"])
        if not chain["results"]:
            yield _line("result", None)
    for place, result in enumerate(_with_compared(chain["results"])):
        if chain["figure"] or place:
            yield ""
        for name, value in result.items():
            yield from _lines(name, value)


def _with_compared(results: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every result, and after a comparison the maps that it is of, under that name."""
    for result in results:
        yield {name: value for name, value in result.items() if name != COMPARED}
        for each in result.get(COMPARED, []):
            yield {COMPARED if name == "result" else name: value for name, value in each.items()}


def _lines(name: str, value: Any) -> Iterator[str]:
    """A field of a result, on as many lines as it has parts."""
    parts = value if isinstance(value, list) else [value]
    for place, part in enumerate(parts):
        yield _line("" if place else name, _said(part))


def _said(part: Any) -> str | None:
    if not isinstance(part, dict):
        return None if part in (None, "") else str(part)
    if "there" in part:
        return f"{part['path']}  ({'there' if part['there'] else 'not there'})"
    shown = {key: value if isinstance(value, str) else json.dumps(value) for key, value in part.items()}
    return ", ".join(value if key == "name" else f"{key} {value}" for key, value in shown.items())


def _line(name: str, value: str | None) -> str:
    return f"{name:<13}{NOT_RECORDED if value is None else value}"


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.provenance"))
