"""Ask a model a set of questions, and judge what it says.

Greedy answers to every question, in the model's own chat template if it has one. The exact answer is found in each text
without the correct one, by names, as a number, or by a prompted model, whatever the set asks for; then the answer is
judged. Writes answers.parquet and prints the counts. With --samples also so many sampled answers to each question, each
read and judged in the same way, in a file of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from analyses import asking
from analyses.command import execute
from analyses.runs import run_folder

if TYPE_CHECKING:
    from interp.model_sources import ModelSource
    from interp.models import HookedModel, Sampling
    from interp.questions import QuestionSet


@dataclass(frozen=True)
class Config(asking.Config):
    """Ask a model a set of questions, and judge what it says."""

    samples: int = 0
    """So many sampled answers to each question beside the greedy one."""
    temperature: float = 1.0
    """Of the samples."""


def run(config: Config) -> None:
    """Answer the questions and print the counts."""
    from interp.answers import summary
    from interp.errors import InputError
    from interp.models import Sampling

    asking.require_usable(config)
    if config.samples < 0:
        raise InputError(f"--samples is {config.samples}; give a number from 0")
    sampling = Sampling(config.temperature, config.seed)
    questions = asking.questions_of(config)
    source = asking.source_of(config)
    model = cache(lambda: asking.loaded(config, source))
    answers, folder = asking.answers_of(config, source, questions, model)
    for label, count in summary(answers, questions).items():
        print(f"{count:6d}  {label}")
    print(folder / "answers.parquet")
    for path in _sample_files(config, source, questions, model, sampling):
        print(path)


def _sample_files(
    config: Config, source: ModelSource, questions: QuestionSet, model: Callable[[], HookedModel], sampling: Sampling
) -> list[Path]:
    """One file for each sample; those that are there are kept, so that more samples cost only themselves."""
    # What a batch draws depends on what is in it.
    drawn = {"temperature": config.temperature, "batch_size": config.batch_size}
    identity = asking.identity_of(config, source, questions) | drawn
    folder = run_folder(config.runs / source.name / questions.name, "samples", identity)
    generated = replace(questions, given={})
    paths = [folder / f"sample-{index:04d}.parquet" for index in range(config.samples)]
    for path in paths:
        if not path.is_file():
            asking.answer_into(path, config, generated, model, identity, sampling=sampling, name=path.stem)
    return paths


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.answers"))
