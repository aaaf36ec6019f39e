"""What every analysis begins with: the questions, how they are put, and the answers, kept for the next analysis."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from analyses.parts import procedures
from analyses.parts.runs import Identity, computing_versions, run_folder
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

OF_QUESTIONS = (
    "dataset",
    "columns",
    "subset",
    "dataset_split",
    "strict",
    "max_new_tokens",
    "template",
    "shots",
    "extraction",
    "grading",
    "reader",
    "tries",
)
"""Flags that say nothing of a text that the user gives in place of a set of questions."""
GRADING_OF = {"names": "named", "number": "number", "prompted": "match"}
"""How answers are graded if the user has chosen how they are found, and not how they are graded."""


@dataclass(frozen=True)
class Config:
    """Which model is asked which questions, and how."""

    model: str = "smollm2-135m"
    """Short name, model folder, GGUF file, or hub id (org/name); 'interp models' lists what is here."""
    dataset: str = "cities"
    """A set by name ('interp data' lists them; NAME:PATH reads a set of the paper from its file or folder), a .csv,
    .json, .jsonl or .parquet file with the columns question and answer, or a data set of the hub (org/name)."""
    columns: tuple[str, ...] = ()
    """What a file or the hub calls a column, as OURS=THEIRS: question=query answer=answer.value"""
    subset: str | None = None
    """Configuration of a hub's data set."""
    dataset_split: str | None = None
    """Split of a hub's data set, or of a set of the paper (train, test)."""
    strict: bool = False
    """Refuse a question file for its first bad row, in place of leaving the row out and listing it."""
    n: int = 1000
    """How many questions to ask."""
    seed: int = 0
    """Decides which questions are drawn, and what is drawn later: shots, folds, permutations, pairs, samples."""
    max_new_tokens: int | None = None
    """An answer that is not ended by then is cut, and counted as cut. By default as the set has it: 48; 100
    for questions about countries and the sets of the paper, 200 for math."""
    prompt_style: Literal["auto", "chat", "base"] = "auto"
    """'chat': a turn of the chat template. 'base': a text to continue, the answer ends with the line. auto: chat if
    the tokenizer has a chat template."""
    template: str | None = None
    """What stands around the question, with {question} once (and {context} for questions that have one), in the user
    turn or in the text to continue. The default is the set's, or '{question}' for chat, and 'Q: {question}', a new line
    and 'A:' for base."""
    shots: int | None = None
    """So many other questions of the set, with their correct answers, go before the question. By default 3 for base (if
    as many are left), none for chat."""
    extraction: Literal["auto", "names", "number", "prompted"] = "auto"
    """How the exact answer is found, without the correct one: 'names', the first of the set's answers that is named;
    'number', the last number; 'prompted', what a model copies out of the text. auto: as the set has it."""
    grading: Literal["auto", "named", "match", "contains", "number", "judged"] = "auto"
    """When an answer is correct: 'named', the exact answer is a name of the correct one; 'match', the same words but
    for case, accents, articles and punctuation; 'contains', the correct one stands anywhere in the text; 'number', the
    same number; 'judged', contains, or a model says so. auto: as the set has it."""
    reader: str | None = None
    """The model that copies exact answers and judges; by default the model that is asked."""
    tries: int = 5
    """How often the reader is asked for something of use, for each answer."""
    dtype: str = "auto"
    """float32, bfloat16 or float16; auto takes bfloat16 where the device multiplies it fast (NVIDIA from Ampere, CPUs
    with AMX or AVX-512 bf16), else float32."""
    backend: Literal["auto", "bridge", "hooked"] = "auto"
    """TransformerLens's 'bridge' to Hugging Face's model, or its own HookedTransformer ('hooked', which version 3.9 has
    and 4 has not). auto: hooked where it is there and can load the model."""
    weights: Literal["raw", "processed"] = "raw"
    """'raw', as they were trained; 'processed', with norms folded and weights centred by TransformerLens, which may
    change what the residual stream holds."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    pickled_weights: bool = False
    """Load weights that are pickled (*.bin), which can run code, where a model has no safetensors."""
    trust_remote_code: bool = False
    """Run Python code that comes with a model."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU if there is one."""
    device_map: str | None = None
    """Spreads the model over devices, in place of --device: auto, balanced, balanced_low_0, sequential, or a JSON
    object of modules and devices, as Hugging Face's accelerate takes them."""
    n_devices: int | None = None
    """Splits the model over so many CUDA devices, in place of --device."""
    batch_size: int = 128
    """Prompts that are answered together; lower it if memory runs out."""
    runs: Path = Path("runs")
    """Folder of answers and activations: large, and made again when missing."""


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


def require_usable(config: Config) -> None:
    """Raise an `InputError` for a flag that no run can use, before anything is loaded or written."""
    from interp.models.devices import parse_device_map, placement

    require_least(config, {"seed": 0, "batch_size": 1, "max_new_tokens": 1, "tries": 1, "shots": 0})
    _columns(config)
    if config.template is not None:
        _prompting(config, {})
    if config.device not in ("auto", "cpu") or config.device_map is not None or config.n_devices is not None:
        placement(config.device, parse_device_map(config.device_map), config.n_devices)


def require_least(config: object, least: Mapping[str, int]) -> None:
    """Raise an `InputError` for a flag whose number is too small; none is not."""
    for flag, number in least.items():
        value = getattr(config, flag)
        if value is not None and value < number:
            raise InputError(f"--{flag.replace('_', '-')} is {value}; give a number from {number}")


def require_no_questions(config: Config, also: Sequence[str], *, of: str) -> None:
    """Raise an `InputError` for flags of a set of questions, `OF_QUESTIONS` and those that an analysis has besides."""
    unused = [flag for flag in (*OF_QUESTIONS, *also) if getattr(config, flag) != getattr(type(config)(), flag)]
    if unused:
        named = ", ".join(f"--{flag.replace('_', '-')}" for flag in unused)
        be, it = ("is", "it") if len(unused) == 1 else ("are", "them")
        raise InputError(f"{named} {be} for sets of questions; leave {it} out for {of}")


def questions_of(config: Config, kept: Sequence[str] = ()) -> QuestionSet:
    """The questions, with the rules by which their answers are read and judged, and the columns that are to be kept."""
    from interp.questions.datasets import load_questions

    questions = load_questions(
        config.dataset,
        n=config.n,
        seed=config.seed,
        strict=config.strict,
        columns=_columns(config),
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


def listed(flag: str) -> list[str]:
    """The names that a flag has, separated by commas."""
    return [name.strip() for name in flag.split(",")]


def at_most(config: C, questions: Callable[[C], QuestionSet]) -> tuple[C, QuestionSet]:
    """The flags and the questions: as many as --n, or all that the set has."""
    try:
        return config, questions(config)
    except TooFewQuestions as too_few:
        config = replace(config, n=too_few.available)
    return config, questions(config)


def prompting_of(config: Config, questions: QuestionSet) -> Prompting:
    """How the questions are put."""
    return _prompting(config, dict(questions.templates))


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


def model_identity(config: Config, source: ModelSource) -> dict[str, Any]:
    """All that decides what the model computes from given tokens."""
    form = form_of(config, source)
    default = {"backend": "bridge", "weights": "raw"}
    return {name: value for name, value in form.items() if value != default.get(name)} | {
        "model": source.name,
        "revision": source.revision,
        "libraries": computing_versions(),
    }


def record_of(config: Config, source: ModelSource) -> dict[str, str]:
    """Which model is run, and how, for the record of a result."""
    return {"model": source.name, "revision": source.revision} | form_of(config, source)


def form_of(config: Config, source: ModelSource) -> dict[str, str]:
    """How the model is run, for the record of a result."""
    from interp.models.devices import resolve_dtype
    from interp.models.hooked_model import resolve_backend

    return {
        "backend": resolve_backend(source, config.backend),
        "weights": config.weights,
        "dtype": resolve_dtype(config.dtype, config.device),
    } | _code_of(config, source)


def _code_of(config: Config, source: ModelSource) -> dict[str, str]:
    """That a model runs with the code that came with it, if it does."""
    from interp.models.model_sources import needs_remote_code

    return {"code": "the model's own"} if config.trust_remote_code and needs_remote_code(source) else {}


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


def source_of(config: Config, spec: str | None = None) -> ModelSource:
    """Where the model's files are, or those of another model, which `revision` does not concern."""
    from interp.models.model_sources import resolve_model

    return resolve_model(
        spec or config.model,
        revision=config.revision if spec is None else None,
        pickled_weights=config.pickled_weights,
        remote_code=config.trust_remote_code,
    )


def n_layers_of(source: ModelSource, model: Callable[[], HookedModel]) -> int:
    """How many layers the model has; it is loaded only if its configuration does not say."""
    from interp.models import model_sources

    return model_sources.n_layers_of(source) or int(model().cfg.n_layers)


def loaded(config: Config, source: ModelSource) -> HookedModel:
    """The model, as the flags say."""
    from interp.models.devices import parse_device_map
    from interp.models.hooked_model import load_model

    return load_model(
        source,
        backend=config.backend,
        device=config.device,
        dtype=config.dtype,
        weights=config.weights,
        device_map=parse_device_map(config.device_map),
        n_devices=config.n_devices,
        trust_remote_code=config.trust_remote_code,
    )


def once_loaded(config: Config, source: ModelSource) -> Callable[[], HookedModel]:
    """The model, which is loaded when it is first asked for."""
    return cache(lambda: loaded(config, source))


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
    return {"model": source.name, "revision": source.revision} | _code_of(config, source)


def _columns(config: Config) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in config.columns]
    for ours, _, theirs in pairs:
        if not (ours.strip() and theirs.strip()):
            raise InputError(f"--columns has {ours!r}; write OURS=THEIRS, such as question=query")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


def _prompting(config: Config, templates: dict[str, str]) -> Prompting:
    from interp.answers.prompts import STYLES, Prompting

    if config.template is not None:
        templates = dict.fromkeys(STYLES, config.template)
    return Prompting(config.prompt_style, templates, config.shots)
