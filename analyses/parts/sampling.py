"""Sampled answers, beside the greedy ones: drawn once, and kept for whatever is made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from analyses.parts import asking, flags, procedures

if TYPE_CHECKING:
    from interp.models.hooked_model import Sampling


def sample_files(setting: asking.Setting[flags.Config], sampling: Sampling, *, n: int) -> list[Path]:
    """One file for each of `n` samples; those that are there are kept, so that more samples cost only themselves.

    In each is one sampled answer to every question, generated even where the user has an answer.
    """
    # Where TransformerLens draws, what it draws depends on what else is in the batch.
    drawn = {"temperature": sampling.temperature, "batch_size": setting.config.batch_size} | procedures.SAMPLES
    identity = asking.identity_of(setting) | drawn
    folder = setting.work("samples", identity)
    generated = replace(setting, questions=replace(setting.questions, given={}))
    paths = [folder / f"sample-{index:04d}.parquet" for index in range(n)]
    for path in paths:
        if not path.is_file():
            asking.answer_into(path, generated, identity, sampling=sampling, name=path.stem)
        asking.remove_journals(path)
    return paths
