"""What every analysis begins with: the questions, how they are put, and the answers, kept for the next analysis."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from analyses.parts import procedures
from analyses.parts.flags import Config, columns_of, prompting
from analyses.parts.loading import code_of, loaded, model_identity, once_loaded, source_of
from analyses.parts.runs import Identity, run_folder
from interp.errors import InputError, TooFewQuestions
from interp.work.files import make_folder

if TYPE_CHECKING:
    from interp.answers.generation import Respondent
    from interp.answers.prompts import Prompting
    from interp.examples import Answer
    from interp.models.hooked_model import HookedModel
    from interp.models.model_sources import ModelSource
    from interp.questions.question_set import QuestionSet

C = TypeVar("C", bound="Config")
AnyConfig = TypeVar("AnyConfig", bound="Config", covariant=True)

GRADING_OF = {"names": "named", "number": "number", "prompted": "match"}
"""How answers are graded if the user has chosen how they are found, and not how they are graded."""


@dataclass(frozen=True)
class Setting(Generic[AnyConfig]):
    """What a run is about: its flags, and the questions and the model that these name."""

    config: AnyConfig
    source: ModelSource
    """Where the model's files are."""
    questions: QuestionSet
    model: Callable[[], HookedModel]
    """The model, which is loaded when it is first asked for."""

    @property
    def place(self) -> Path:
        """Where what it makes is, below the folder of runs and that of figures."""
        return Path(self.source.name) / self.questions.name

    def work(self, name: str, identity: Identity) -> Path:
        """The folder of what is decided by this identity, for it to be kept and gone on with."""
        return run_folder(self.config.runs / self.place, name, identity)


def setting_of(config: C, questions: QuestionSet | None = None) -> Setting[C]:
    """What a run with these flags is about; of other questions, if some are given."""
    asked_for = questions_of(config) if questions is None else questions
    source = source_of(config)
    return Setting(config, source, asked_for, once_loaded(config, source))


def questions_of(config: Config, kept: Sequence[str] = ()) -> QuestionSet:
    """The questions, with the rules by which their answers are read and judged, and the columns that are to be kept."""
    from interp.questions.datasets import load_questions

    questions = load_questions(
        config.dataset,
        n=config.n,
        seed=config.seed,
        strict=config.strict,
        columns=columns_of(config),
        subset=config.subset,
        split=config.dataset_split,
        kept=kept,
    )
    extraction = questions.extraction if config.extraction == "auto" else config.extraction
    as_found = questions.grading if config.extraction in ("auto", questions.extraction) else GRADING_OF[extraction]
    return replace(
        questions,
        extraction=extraction,
        grading=as_found if config.grading == "auto" else config.grading,
        max_new_tokens=config.max_new_tokens or questions.max_new_tokens,
    )


def at_most(config: C, questions: Callable[[C], QuestionSet]) -> tuple[C, QuestionSet]:
    """The flags and the questions: as many as --n, or all that the set has."""
    try:
        return config, questions(config)
    except TooFewQuestions as too_few:
        config = replace(config, n=too_few.available)
    return config, questions(config)


def prompting_of(config: Config, questions: QuestionSet) -> Prompting:
    """How the questions are put."""
    return prompting(config, dict(questions.templates))


def identity_of(setting: Setting[Config]) -> dict[str, Any]:
    """All that decides the answers."""
    config, questions = setting.config, setting.questions
    # What is as it is by default is left out: results from before there was a choice keep their identity.
    chosen: dict[str, tuple[Any, Any]] = {
        "prompt": (config.prompt_style, "auto"),
        "template": (config.template, None),
        "templates": (dict(questions.templates), {}),
        "shots": (config.shots, None),
        "extraction": (questions.extraction, "names"),
        "grading": (questions.grading, "named"),
        "tries": (config.tries if _needs_reader(questions) else None, None),
        # Where TransformerLens draws, what it draws depends on what else is in the batch.
        "batch_size": (config.batch_size if _needs_reader(questions) and config.tries > 1 else None, None),
        "reader": (_reader_identity(config, questions), None),
    }
    read_by_words = "match" in (questions.grading, GRADING_OF.get(questions.extraction))
    texts = (text for question in questions.questions for text in (question.text, question.context or ""))
    of_these = {
        **(procedures.READ_SIGNS if _has_signs(questions) else {}),
        **(procedures.INITIALS if read_by_words else {}),
        **(procedures.GIVEN if questions.given else {}),
        **({} if all(unicodedata.is_normalized("NFC", text) for text in texts) else procedures.ACCENTS),
    }
    return (
        model_identity(config, setting.source)
        | {name: value for name, (value, default) in chosen.items() if value != default}
        | of_these
        | {
            "dataset": questions.name,
            "questions": questions.sha256,
            "n": config.n,
            "seed": config.seed,
            "max_new_tokens": questions.max_new_tokens,
        }
    )


def _has_signs(questions: QuestionSet) -> bool:
    """Whether what answers are read by has digits, or marks that make another letter of a letter."""
    from interp.questions.vocabulary import fold

    names = {name for question in questions.questions for name in (*question.names, *question.choices)}
    every = (*names, *(name for known in questions.vocabulary.names.values() for name in known))
    return questions.extraction == "number" or any(
        character.isdigit() or unicodedata.category(character).startswith("M")
        for name in every
        for character in fold(name)
    )


def answers_of(setting: Setting[Config]) -> tuple[list[Answer], Path]:
    """The answers, from their file if it is there, else from the model; and the folder that they are in."""
    from interp.answers.answer_files import load_answers

    path = answers_path(setting)
    if not path.is_file():
        answer_into(path, setting, identity_of(setting))
    remove_journals(path)
    return load_answers(path)[0], path.parent


def answers_path(setting: Setting[Config]) -> Path:
    """The file of the answers, whether they have been given before or not."""
    return setting.work("answers", identity_of(setting)) / "answers.parquet"


def require_answers(setting: Setting[Config]) -> None:
    """Raise an `InputError` if the questions have not been answered yet, as the jobs of an array need them to be."""
    path = answers_path(setting)
    if not path.is_file():
        raise InputError(
            f"no answers at {path}; run 'interp answers' once, with the same flags, before the --shard jobs"
        )


def answer_into(path: Path, setting: Setting[Config], identity: Identity, **sampled: Any) -> None:
    """Ask the questions, and write the answers to a file; `sampled` are the arguments for samples."""
    from interp.answers.answer_files import save_answers
    from interp.answers.answers import summary

    questions = setting.questions
    answers = asked(setting, make_folder(journals_of(path)), **sampled)
    counts = summary(answers, questions)
    save_answers(
        answers,
        path,
        {"identity": identity, "counts": counts, "credit": questions.credit, "excluded": questions.excluded},
    )


def journals_of(path: Path) -> Path:
    """Where what is generated is kept until a file of answers is there."""
    return path.parent / f"{path.stem}.journals"


def remove_journals(path: Path) -> None:
    """Remove the journals of a file of answers that is there, by whichever run it was made."""
    # Another process that answered the same may have removed them first.
    shutil.rmtree(journals_of(path), ignore_errors=True)


def asked(setting: Setting[Config], journals: Path, **sampled: Any) -> list[Answer]:
    """Ask the questions; what is generated is kept in the folder `journals` as it comes."""
    from interp.answers.answers import answer_questions
    from interp.answers.generation import Respondent

    config, questions = setting.config, setting.questions
    return answer_questions(
        Respondent(setting.model(), config.batch_size, journals),
        questions,
        max_new_tokens=questions.max_new_tokens,
        prompting=prompting_of(config, questions),
        reader=_reader_of(config, questions, journals),
        tries=config.tries,
        **sampled,
    )


def _reader_of(config: Config, questions: QuestionSet, journals: Path) -> Respondent | None:
    """The model that copies exact answers and judges, if it is another and there is something for it to do."""
    from interp.answers.generation import Respondent

    if config.reader is None or not _needs_reader(questions):
        return None
    return Respondent(loaded(config, source_of(config, config.reader)), config.batch_size, journals)


def _needs_reader(questions: QuestionSet) -> bool:
    return questions.extraction == "prompted" or questions.grading == "judged"


def _reader_identity(config: Config, questions: QuestionSet) -> dict[str, str] | None:
    if config.reader is None or not _needs_reader(questions):
        return None
    source = source_of(config, config.reader)
    return {"model": source.name, "revision": source.revision} | code_of(config, source)
