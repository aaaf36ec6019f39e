"""Whatever flags are given, a command ends with a result, or with one line that says what is wrong with them."""

from __future__ import annotations

import random
import typing
from dataclasses import Field, fields
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union

import pytest

from analyses import cli
from analyses.parts.command import EXIT_INPUT
from interp.models.model_sources import ModelSource
from tests.row_files import written

N, TURNS = 90, 4
WORDS = ("", "x", "a,b", "last_q", "-1", "all", "0", "0-1", "year", "correct", "exact_answer_last", "auto")
NUMBERS = ("-1", "0", "1", "2", "3", "7", "50")
SHARES = ("-1", "0", "0.5", "1", "nan", "inf")
PATHS = ("nowhere", ".", "a.csv", "b.csv")
LEFT_OUT = {"model", "n", "runs", "device", "device_map", "n_devices", "backend", "executor", "reader", "overwrite"}
"""What the rest is about, and what other machines would have to be there for."""
USUAL = {"dataset": ["a.csv"], "n": [str(N)], "folds": ["3"], "positions": ["last_q,-1"], "max_new_tokens": ["4"]}
OWN = {
    "transfer": {"datasets": ["a.csv", "b.csv"]},
    "patch": {"only_said": ["no"], "margin": ["0"], "bootstraps": ["20"]},
    "lens": {"bootstraps": ["20"], "quantities": ["answer-rank"]},
    "activation": {"bootstraps": ["20"]},
    "probe": {"permutations": ["20"]},
}
COMMANDS = (
    *("answers", "capture", "activation", "attribution", "probe", "lens", "patch", "tune", "baselines", "ccs"),
    *("transfer", "error-types", "select", "compare", "describe", "export", "report", "provenance", "figures"),
)
RESULTS = Path("figures")
BELOW_ITS_BOX = "For full helptext"
"""What stands below the box that flags are refused in that cannot be read."""


def answered(name: str) -> Path:
    """Questions with the answers that a model gave, two thirds of them right."""
    chance, countries = random.Random(name), ("France", "Brazil", "Chad")
    rows = [
        {
            "id": f"{name}{index}",
            "question": f"Where is {name} {index}?",
            "answer": (right := countries[index % 3]),
            "year": str(1900 + index),
            "difficulty": str(index**2),
            "model_answer": f"It is {right if chance.random() < 0.5 else chance.choice(countries)}",
        }
        for index in range(N)
    ]
    return written(Path(f"{name}.csv"), rows)


def values_of(hint: Any, chance: random.Random) -> list[list[str]]:
    """Some values of a flag of this type, good and bad."""
    kind, parts = typing.get_origin(hint), typing.get_args(hint)
    if kind is Annotated:
        return values_of(parts[0], chance)
    if kind in (Union, UnionType):
        return [value for part in parts for value in values_of(part, chance)]
    if kind is Literal:
        return [[str(part)] for part in parts]
    if kind is tuple:
        some = values_of(parts[0], chance)
        return [chance.choice(some) for _ in range(2)] + [chance.choice(some) + chance.choice(some)]
    usual = {type(None): ("None",), bool: ("yes", "no"), int: NUMBERS, float: SHARES, str: WORDS, Path: PATHS}
    return [[value] for value in usual.get(hint, ())]


def drawn_flags(name: str, source: ModelSource, chance: random.Random) -> list[str]:
    """The usual flags of a command, and up to three of any value."""
    module = cli.module_of(name)
    hints = typing.get_type_hints(module.Config, include_extras=True)
    known: dict[str, Field] = {each.name: each for each in fields(module.Config)}
    given = {"model": [str(source.folder)], "dtype": ["float32"], "overwrite": ["yes"], **USUAL, **OWN.get(name, {})}
    flags = {flag: value for flag, value in given.items() if flag in known}
    others = sorted(known.keys() - LEFT_OUT)
    for flag in chance.sample(others, min(len(others), chance.choice([1, 1, 2, 3]))):
        if values := values_of(hints[flag], chance):
            flags[flag] = chance.choice(values)
    in_order = {flag: hints[flag] for flag in known if "Positional" in str(hints[flag])}
    made = sorted(map(str, RESULTS.rglob("*.nc")))
    for flag in in_order:
        flags[flag] = chance.sample(made, min(len(made), chance.choice([1, 2, 2, 3])))
    return [word for flag, values in flags.items() for word in spelt(flag, values, bare=flag in in_order)]


def spelt(flag: str, values: list[str], *, bare: bool) -> list[str]:
    """A flag with its values, as they are typed."""
    name = flag.replace("_", "-")
    if bare:
        return values
    if values in (["yes"], ["no"]):
        return [f"--{name}" if values == ["yes"] else f"--no-{name}"]
    return [f"--{name}={values[0]}"] if len(values) == 1 else [f"--{name}", *values]


def status_of(name: str, flags: list[str]) -> int:
    """How a command ends, or what reads its flags."""
    try:
        return cli.main([name, *flags])
    except SystemExit as refused:
        return int(refused.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run, one after the other, on what those before have left."""
    return tmp_path_factory.mktemp("any")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_ends_with_a_result_or_in_one_line(
    name: str, source: ModelSource, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(folder)
    for questions in ("a", "b"):
        answered(questions)
    for turn in range(TURNS):
        flags = drawn_flags(name, source, random.Random(f"{name} {turn}"))
        try:
            status = status_of(name, flags)
        except Exception as error:
            raise AssertionError(f"interp {name} {' '.join(flags)}") from error
        told = capsys.readouterr().err.strip().split("\n")[-1].strip()
        assert status == 0 or (status == EXIT_INPUT and told.startswith(("error: ", BELOW_ITS_BOX))), (flags, told)
