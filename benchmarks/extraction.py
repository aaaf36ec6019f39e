"""Exact answers that the model copies, against those found by the names of a closed set, both without the correct one.

python -m benchmarks.extraction      about three minutes, after `make figures` or `interp answers`

On real answers: how many have an exact answer by each rule, and in how many of those that have both the copy holds the
name. The last line is JSON.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Config:
    """Compare prompted exact answers with named ones."""

    n: int = 60
    """How many answers, of those that ended."""
    tries: int = 3
    model: str = "smollm2-135m"
    runs: Path = Path("runs")
    """Where the answers to `cities` are."""


def main(config: Config) -> None:
    """Print the counts."""
    from interp.answers.answer_files import load_answers
    from interp.answers.extraction import with_exact_answers
    from interp.answers.generation import Respondent
    from interp.answers.replies import Reader
    from interp.models.loading import load_model
    from interp.models.model_sources import resolve_model
    from interp.questions.datasets import load_questions

    files = sorted((config.runs / config.model / "cities").glob("answers-*/answers.parquet"))
    if not files:
        raise SystemExit(f"no answers below {config.runs}; run: interp answers")
    answers = max((load_answers(path)[0] for path in files), key=len)
    named = [answer for answer in answers if answer.ended][: config.n]
    unread = [replace(answer, exact=None, named=(), found_by=None, why_missing=None, correct=None) for answer in named]
    questions = replace(load_questions("cities", n=1, seed=0), extraction="prompted")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as journals:
        respondent = Respondent(load_model(resolve_model(config.model)), 64, Path(journals))
        copied = with_exact_answers(unread, questions, Reader(respondent, "answers", config.tries, seed=0))
    both = [
        (ours.exact, theirs.exact) for ours, theirs in zip(copied, named, strict=True) if ours.exact and theirs.exact
    ]
    counts = {
        "answers": len(named),
        "named": sum(answer.exact is not None for answer in named),
        "copied": sum(answer.exact is not None for answer in copied),
        "both": len(both),
        "copy_holds_name": sum(copy.start <= name.start and name.stop <= copy.stop for copy, name in both),
        "s": round(time.perf_counter() - started, 1),
    }
    for label, count in counts.items():
        print(f"{count:8}  {label.replace('_', ' ')}")
    print(json.dumps(counts))


if __name__ == "__main__":
    main(tyro.cli(Config))
