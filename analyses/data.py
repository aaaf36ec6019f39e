"""List the question sets, and how often a model answers those that come with the suite, and is right.

Asks a model the sets that need no network, prints for each how many answers have an exact answer and how many of these
are correct, with 95 % intervals (Wilson), and keeps the answers. The sets of the paper are listed with where they come
from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from analyses.parts import asking, flags, loading
from analyses.parts.command import execute
from interp.errors import unknown_name

if TYPE_CHECKING:
    from interp.models.hooked_model import HookedModel
    from interp.models.model_sources import ModelSource


@dataclass(frozen=True)
class Config(flags.Config):
    """List the question sets, and how often a model answers those that come with the suite, and is right."""

    dataset: str = "all"
    """One set that comes with the suite, or 'all'."""
    n: int = 300
    """How many questions of each to ask; of a smaller set all."""
    list_only: bool = False
    """Only list the sets, without a model."""


def run(config: Config) -> None:
    """Print the table of the sets that come with the suite, then the list of the paper's."""
    from interp.questions.datasets import BUILT_IN

    flags.require_usable(config)
    flags.require_least(config, {"n": 1})
    if config.dataset not in ("all", *BUILT_IN):
        raise unknown_name(
            "dataset", config.dataset, ("all", *BUILT_IN), "Only sets that come with the suite are asked"
        )
    names = BUILT_IN if config.dataset == "all" else (config.dataset,)
    if not config.list_only:
        source = loading.source_of(config)
        model = loading.once_loaded(config, source)
        rows = [_row(replace(config, dataset=name), source, model) for name in names]
        print(f"{source.name}\n{'set':12}{'asked':>6}{'cut':>5}  {'exact answer found':24}{'of these correct':24}")
        print(*rows, sep="\n", end="\n\n")
    print(_list_of_sets())


def _row(config: Config, source: ModelSource, model: Callable[[], HookedModel]) -> str:
    """One set's counts."""
    from interp.questions.datasets import BUILT_IN

    config, questions = asking.at_most(config, asking.questions_of)
    answers, _ = asking.answers_of(asking.Setting(config, source, questions, model))
    found = [answer for answer in answers if answer.correct is not None]
    correct = sum(answer.correct is True for answer in found)
    cut = sum(not answer.ended for answer in answers)
    shares = f"{_share(len(found), len(answers)):24}{_share(correct, len(found)):24}"
    return f"{config.dataset:12}{len(answers):6d}{cut:5d}  {shares}{BUILT_IN[config.dataset].about}"


def _share(k: int, n: int) -> str:
    """A share in percent, with its interval by Wilson's score."""
    from scipy.stats import binomtest

    if n == 0:
        return "–"
    low, high = binomtest(k, n).proportion_ci(method="wilson")
    return f"{k / n:4.0%} [{low:.0%}, {high:.0%}]"


def _list_of_sets() -> str:
    from interp.questions.datasets import BUILT_IN
    from interp.questions.published import PUBLISHED

    own = [f"  {name:32}{known.about}" for name, known in BUILT_IN.items()]
    papers = [f"  {name:32}{known.about} ({known.whence})" for name, known in PUBLISHED.items()]
    return "\n".join(
        [
            "Come with the suite (GeoNames, CC BY 4.0):",
            *own,
            "Of Orgad et al. 2024, from the hub, or from a file or folder as NAME:PATH:",
            *papers,
            "Or a .csv, .json, .jsonl or .parquet file, or a data set of the hub (org/name).",
        ]
    )


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.data"))
