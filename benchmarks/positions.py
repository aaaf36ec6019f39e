"""Positions against the published procedure, and the time to resolve them.

python -m benchmarks.positions      a few seconds, after `make figures` or `interp answers`

On real answers with an exact answer: in how many cells the positions are not those of the procedure of Orgad et al.
2024 (its rules are restated in `tests/published_procedure.py`), under each policy, and why. Then the time for 10,000
answers, median and range of five. The last line is JSON.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from interp.examples import Answer


@dataclass(frozen=True)
class Config:
    """Compare positions with the published procedure, and time them."""

    n: int = 200
    """How many answers to compare."""
    model: str = "smollm2-135m"
    dataset: str = "cities"
    runs: Path = Path("runs")
    """Where the answers are."""


def main(config: Config) -> None:
    """Print both, for each policy."""
    from interp.positions import POLICIES

    judged = exact_answers(config)
    found: dict[str, dict[str, float]] = {}
    for policy in POLICIES:
        cells, differ, inside = differences(judged, config.model, policy)
        seconds = timed(judged, policy)
        print(
            f"{policy:7} {differ} of {cells} cells differ, {inside} of them because the procedure takes characters "
            f"inside another word; 10,000 answers in {statistics.median(seconds):.3f} s "
            f"({min(seconds):.3f} to {max(seconds):.3f})"
        )
        found[policy] = {"cells": cells, "differ": differ, "inside_another_word": inside}
        found[policy]["s_10000"] = statistics.median(seconds)
    print(json.dumps(found))


def exact_answers(config: Config) -> list[Answer]:
    """The first answers that have an exact answer, of the largest run."""
    from interp.answers.answer_files import load_answers

    files = sorted((config.runs / config.model / config.dataset).glob("answers-*/answers.parquet"))
    if not files:
        raise SystemExit(f"no answers below {config.runs}; run: interp answers --dataset {config.dataset}")
    answers = max((load_answers(path)[0] for path in files), key=len)
    return [answer for answer in answers if answer.exact is not None][: config.n]


def differences(answers: Sequence[Answer], model: str, policy: str) -> tuple[int, int, int]:
    """How many cells there are, how many differ, and how many of these where the words stand in another word before."""
    from transformers import AutoTokenizer

    from interp.models.model_sources import resolve_model
    from interp.positions import PAPER_POSITIONS, position_table
    from tests.published_procedure import published_positions

    tokenizer = AutoTokenizer.from_pretrained(resolve_model(model).folder)
    tokens = position_table(answers, policy=policy)["token"].values
    differ = inside = 0
    for row, answer in zip(tokens.tolist(), answers, strict=True):
        assert answer.exact is not None
        expected = published_positions(tokenizer, answer)
        n = sum(token != expected[name] for name, token in zip(PAPER_POSITIONS, row, strict=True))
        differ += n
        inside += n * (answer.text.find(answer.exact.of(answer.text)) < answer.exact.start)
    return tokens.size, differ, inside


def timed(answers: Sequence[Answer], policy: str) -> list[float]:
    """The seconds that 10,000 answers take, five times."""
    from interp.positions import position_table

    many = list(islice(cycle(answers), 10_000))
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        position_table(many, policy=policy)
        seconds.append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    main(tyro.cli(Config))
