"""Sampled answers, beside the greedy ones: drawn once, and kept for whatever is made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from analyses.parts import asking, procedures
from analyses.parts.runs import run_folder

if TYPE_CHECKING:
    from interp.models.hooked_model import HookedModel, Sampling
    from interp.models.model_sources import ModelSource
    from interp.questions.question_set import QuestionSet


def sample_files(
    config: asking.Config,
    source: ModelSource,
    questions: QuestionSet,
    model: Callable[[], HookedModel],
    sampling: Sampling,
    *,
    n: int,
) -> list[Path]:
    """One file for each of `n` samples; those that are there are kept, so that more samples cost only themselves.

    In each is one sampled answer to every question, generated even where the user has an answer.
    """
    # Where TransformerLens draws, what it draws depends on what else is in the batch.
    drawn = {"temperature": sampling.temperature, "batch_size": config.batch_size} | procedures.SAMPLES
    identity = asking.identity_of(config, source, questions) | drawn
    folder = run_folder(config.runs / source.name / questions.name, "samples", identity)
    generated = replace(questions, given={})
    paths = [folder / f"sample-{index:04d}.parquet" for index in range(n)]
    for path in paths:
        if not path.is_file():
            asking.answer_into(path, config, generated, model, identity, sampling=sampling, name=path.stem)
        asking.remove_journals(path)
    return paths
