"""The flags that every analysis has: which model is asked which questions, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from interp.errors import InputError

if TYPE_CHECKING:
    from interp.answers.prompts import Prompting

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


def require_usable(config: Config) -> None:
    """Raise an `InputError` for a flag that no run can use, before anything is loaded or written."""
    from interp.models.devices import parse_device_map, placement

    require_least(config, {"seed": 0, "batch_size": 1, "max_new_tokens": 1, "tries": 1, "shots": 0})
    columns_of(config)
    if config.template is not None:
        prompting(config, {})
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


def listed(flag: str) -> list[str]:
    """The names that a flag has, separated by commas."""
    return [name.strip() for name in flag.split(",")]


def columns_of(config: Config) -> dict[str, str]:
    """Our names of columns, and what a file or the hub calls them; raises an `InputError` for what is no such pair."""
    pairs = [pair.partition("=") for pair in config.columns]
    for ours, _, theirs in pairs:
        if not (ours.strip() and theirs.strip()):
            raise InputError(f"--columns has {ours!r}; write OURS=THEIRS, such as question=query")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


def prompting(config: Config, templates: dict[str, str]) -> Prompting:
    """How questions are put: by the template of the flags, or else by those of the questions."""
    from interp.answers.prompts import STYLES, Prompting

    if config.template is not None:
        templates = dict.fromkeys(STYLES, config.template)
    return Prompting(config.prompt_style, templates, config.shots)
