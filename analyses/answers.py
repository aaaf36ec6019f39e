"""Ask a model a set of questions, and judge what it says.

Greedy answers to every question, in the model's own chat template if it has one. The exact answer is the first of the
set's answers that the text names, right or wrong; it is correct if it is the gold one. Writes answers.parquet and
prints the counts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analyses.command import execute
from analyses.runs import computing_versions, run_folder

if TYPE_CHECKING:
    from interp.examples import Answer
    from interp.models import HookedModel, ModelSource
    from interp.prompts import Prompting
    from interp.questions import QuestionSet


@dataclass(frozen=True)
class Config:
    """Ask a model a set of questions, and judge what it says."""

    model: str = "smollm2-135m"
    """Short name, model folder, or hub id (org/name)."""
    dataset: str = "cities"
    """Question set: 'cities', or a .csv, .jsonl or .parquet file with the columns question and answer."""
    strict: bool = False
    """Refuse a question file for its first bad row, in place of leaving the row out and listing it."""
    n: int = 1000
    """How many questions to ask."""
    seed: int = 0
    """Decides which questions are drawn."""
    max_new_tokens: int = 48
    """An answer that is not ended by then is cut, and counted as cut."""
    prompt: Literal["auto", "chat", "base"] = "auto"
    """'chat': a turn of the chat template. 'base': a text to continue, the answer ends with the line. auto: chat if
    the tokenizer has a chat template."""
    template: str | None = None
    """What stands around the question, with {question} once, in the user turn or in the text to continue. The default
    is '{question}' for chat, and 'Q: {question}', a new line and 'A:' for base."""
    dtype: str = "auto"
    """float32, bfloat16 or float16; auto takes the checkpoint's own."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU if there is one."""
    batch_size: int = 128
    """Examples in one forward pass; lower it if memory runs out."""
    runs: Path = Path("runs")
    """Folder of answers and activations: large, and made again when missing."""


def require_usable(config: Config) -> None:
    """Raise an `InputError` for a flag that no run can use, before anything is loaded or written."""
    from interp.errors import InputError
    from interp.models import resolve_device

    for flag, value in (("--batch-size", config.batch_size), ("--max-new-tokens", config.max_new_tokens)):
        if value < 1:
            raise InputError(f"{flag} is {value}; give a number from 1")
    prompting_of(config)
    if config.device not in ("auto", "cpu"):
        resolve_device(config.device)


def prompting_of(config: Config) -> Prompting:
    """How the questions are put."""
    from interp.prompts import Prompting

    return Prompting(config.prompt, config.template)


def identity_of(config: Config, source: ModelSource, questions: QuestionSet) -> dict[str, Any]:
    """All that decides the answers."""
    from interp.models import resolve_dtype

    # What is as it is by default is left out: results from before there was a choice keep their identity.
    chosen = {"prompt": config.prompt, "template": config.template}
    return {key: value for key, value in chosen.items() if value not in ("auto", None)} | {
        "model": source.name,
        "revision": source.revision,
        "dtype": resolve_dtype(source, config.dtype),
        "dataset": questions.name,
        "questions": questions.sha256,
        "n": config.n,
        "seed": config.seed,
        "max_new_tokens": config.max_new_tokens,
        "libraries": computing_versions(),
    }


def answers_of(
    config: Config, source: ModelSource, questions: QuestionSet, model: Callable[[], HookedModel]
) -> tuple[list[Answer], Path]:
    """The answers, from their file if it is there, else from the model; and the folder that they are in."""
    from interp.answers import answer_questions, load_answers, save_answers, summary
    from interp.files import make_folder

    identity = identity_of(config, source, questions)
    parent = config.runs / source.name / questions.name
    path = run_folder(parent, "answers", identity) / "answers.parquet"
    if path.is_file():
        return load_answers(path)[0], path.parent
    journal = make_folder(path.parent) / "generated.jsonl"
    answers = answer_questions(
        model(),
        questions,
        max_new_tokens=config.max_new_tokens,
        batch_size=config.batch_size,
        journal=journal,
        prompting=prompting_of(config),
    )
    counts = summary(answers, questions)
    save_answers(
        answers,
        path,
        {"identity": identity, "counts": counts, "credit": questions.credit, "excluded": questions.excluded},
    )
    journal.unlink()
    return answers, path.parent


def run(config: Config) -> None:
    """Answer the questions and print the counts."""
    from interp.answers import summary
    from interp.datasets import load_questions
    from interp.models import load_model, resolve_model

    require_usable(config)
    questions = load_questions(config.dataset, n=config.n, seed=config.seed, strict=config.strict)
    source = resolve_model(config.model, revision=config.revision)
    answers, folder = answers_of(
        config, source, questions, lambda: load_model(source, device=config.device, dtype=config.dtype)
    )
    for label, count in summary(answers, questions).items():
        print(f"{count:6d}  {label}")
    print(folder / "answers.parquet")


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.answers"))
