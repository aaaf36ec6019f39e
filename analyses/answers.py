"""Ask a model a set of questions, and judge what it says.

Greedy answers to every question, in the model's own chat template if it has one. The exact answer is found in each text
without the correct one, by names, as a number, or by a prompted model, whatever the set asks for; then the answer is
judged. Writes answers.parquet and prints the counts. With --samples also so many sampled answers to each question, each
read and judged in the same way, in a file of their own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from analyses.parts import asking, flags, sampling
from analyses.parts.command import execute
from interp.errors import InputError


@dataclass(frozen=True)
class Config(flags.Config):
    """Ask a model a set of questions, and judge what it says."""

    samples: int = 0
    """So many sampled answers to each question beside the greedy one."""
    temperature: float = 1.0
    """Of the samples."""


def run(config: Config) -> None:
    """Answer the questions and print the counts."""
    from interp.answers.answers import summary
    from interp.models.hooked_model import Sampling

    flags.require_usable(config)
    flags.require_least(config, {"samples": 0})
    drawn = Sampling(config.temperature, config.seed)
    if config.temperature != Config.temperature and not config.samples:
        raise InputError("--temperature is of --samples; leave it out, or give that")
    setting = asking.setting_of(config)
    answers, folder = asking.answers_of(setting)
    for label, count in summary(answers, setting.questions).items():
        print(f"{count:6d}  {label}")
    print(folder / "answers.parquet")
    for path in sampling.sample_files(setting, drawn, n=config.samples):
        print(path)


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.answers"))
