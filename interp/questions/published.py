"""The ten question sets of Orgad et al. 2024, *LLMs Know More Than They Show* (arXiv 2410.02707).

They are read from the files of the paper's repository (github.com/technion-cs-nlp/LLMsKnow, folder ``data``), or from
the Hugging Face Hub where they are there. Prompts, answer lengths and correctness rules are those of its
``generate_model_answers.py`` and ``compute_correctness.py``. Three things differ, on purpose:

- The exact answer is found in right and wrong answers alike, without the correct one. The paper looks for the correct
  one first, which tells the label by the position.
- Names are whole words.
- Rows that share a film, an actor, a sentence but for its pronoun, a pair of options, or a premise are one group, which
  no split separates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from interp.errors import InputError
from interp.questions.cells import Cells
from interp.questions.hub import HubSource, hub_table
from interp.questions.published_cells import (
    IDENTIFIERS,
    hotpot_cells,
    math_cells,
    movie_cells,
    nli_cells,
    nli_hub_cells,
    passage_cells,
    plain_cells,
    review_cells,
    trivia_cells,
    winobias_cells,
    winogrande_cells,
    winogrande_hub_cells,
)
from interp.questions.question_files import Schema, table_questions
from interp.questions.question_set import QuestionSet
from interp.questions.tables import SHORT, Table, column_key, read_table
from interp.questions.vocabulary import Vocabulary

REPOSITORY = "github.com/technion-cs-nlp/LLMsKnow"
SPLITS = ("train", "test")
PAPER_TOKENS = 100
Form = tuple[tuple[str, ...], Callable[[Mapping[str, object]], Cells]]
"""The columns of one form that a set comes in, and the cells of a question from them."""


@dataclass(frozen=True)
class PublishedSet:
    """Where a set comes from, and how it is asked, read and judged."""

    about: str
    """In a few words, for a list."""
    credit: str
    forms: tuple[Form, ...]
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For each split, what its file is called in the paper's repository."""
    hub: Mapping[str, HubSource] = field(default_factory=dict)
    """For each split, where it is on the hub."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """More fields of the `QuestionSet`."""

    @property
    def whence(self) -> str:
        """Where it can be had, in words."""
        return " or ".join(["the hub"] * bool(self.hub) + ["a file"] * bool(self.files))

    def schema(self, source: str, columns: Sequence[str], kept: Sequence[str] = ()) -> Schema:
        """The schema of the first form whose columns are there; raises an `InputError` if there is none."""
        keys = set(map(column_key, columns))
        for needed, cells in self.forms:
            if keys >= set(needed):
                return Schema(needed, IDENTIFIERS, partial(_of_whole_row, cells, needed), tuple(kept))
        wanted = "; or ".join(", ".join(map(repr, needed)) for needed, _ in self.forms)
        found = ", ".join(map(SHORT.repr, columns)) or "none"
        raise InputError(f"{source} has not the columns of this set (found: {found}; needed: {wanted})")


def published_questions(
    name: str,
    source: Path | None,
    *,
    split: str | None,
    n: int,
    seed: int,
    strict: bool,
    kept: Sequence[str] = (),
) -> QuestionSet:
    """`n` questions of a set of the paper, in an order that `seed` decides.

    Parameters
    ----------
    name
        One of `PUBLISHED`.
    source
        The set's file, or a folder that has it under the name that it has in the paper's repository; None is the hub.
    split
        ``"train"`` (as None) or ``"test"``.
    n, seed, strict
        As in `interp.questions.question_files.file_questions`.
    kept
        Other columns whose values are kept beside the questions.

    Raises
    ------
    InputError
        If the file is not there, is not of this set, or has fewer than `n` usable rows; if the set is not on the hub.
    """
    known = PUBLISHED[name]
    split = split or "train"
    if split not in SPLITS:
        raise InputError(f"{name} has the splits {', '.join(SPLITS)}, not {split!r}; give --dataset-split one of them")
    table = _table(name, known, source, split, kept)
    options = {"credit": known.credit, "max_new_tokens": PAPER_TOKENS, **known.options}
    schema = known.schema(table.source, table.columns, kept) if table.columns else Schema()
    set_name = name if split == "train" else f"{name}-{split}"
    return table_questions(table, schema, name=set_name, n=n, seed=seed, strict=strict, **options)


def _table(name: str, known: PublishedSet, source: Path | None, split: str, kept: Sequence[str]) -> Table:
    if source is not None:
        path = _file(name, known, source, split)
        return read_table(path, lambda columns: known.schema(f"{path}", columns, kept).choice(f"{path}", columns))
    if split not in known.hub:
        raise InputError(
            f"{name} is not on the hub; give the folder or the file: --dataset {name}:PATH, of {REPOSITORY} "
            f"(data/{known.files[split][0]})"
        )
    at_hub = known.hub[split]
    return hub_table(at_hub, lambda columns: known.schema(at_hub.id, columns, kept).choice(at_hub.id, columns))


def _file(name: str, known: PublishedSet, source: Path, split: str) -> Path:
    if not source.is_dir():
        return source
    names = known.files.get(split, ())
    found = [source / file for file in names if (source / file).is_file()]
    if not found:
        wanted = " or ".join(names) or f"a file of its own name; give the file itself: --dataset {name}:FILE"
        raise InputError(f"the folder {source} has not the {split} split of {name}: {wanted}")
    return found[0]


def _of_whole_row(
    cells: Callable[[Mapping[str, object]], Cells], needed: Sequence[str], values: Mapping[str, object]
) -> Cells:
    """The cells of a row, of which a short line of CSV, or an object without a key, may lack an end."""
    return cells({**dict.fromkeys(needed), **values})


def _pairs(names: Mapping[str, Sequence[str]]) -> Vocabulary:
    return Vocabulary({answer: (answer, *others) for answer, others in names.items()})


_OPEN = {"extraction": "prompted", "grading": "contains"}
_QUESTION_AFTER_CONTEXT = dict.fromkeys(("chat", "base"), "{context} {question}")
_CLASSIFY = 'Classify the following movie reviews as either "positive" or "negative".'
_HOTPOT_CREDIT = "HotpotQA (Yang et al. 2018), CC BY-SA 4.0"
_HOTPOT_HUB = {
    "train": HubSource("hotpotqa/hotpot_qa", "distractor", "train"),
    "test": HubSource("hotpotqa/hotpot_qa", "distractor", "validation"),
}

PUBLISHED: dict[str, PublishedSet] = {
    "triviaqa": PublishedSet(
        about="trivia",
        credit="TriviaQA (Joshi et al. 2017)",
        forms=((("question", "answer"), trivia_cells),),
        files={
            "train": ("triviaqa-unfiltered/unfiltered-web-train.json", "unfiltered-web-train.json"),
            "test": ("triviaqa-unfiltered/unfiltered-web-dev.json", "unfiltered-web-dev.json"),
        },
        hub={
            "train": HubSource("mandarjoshi/trivia_qa", "unfiltered.nocontext", "train"),
            "test": HubSource("mandarjoshi/trivia_qa", "unfiltered.nocontext", "validation"),
        },
        options=_OPEN,
    ),
    "hotpotqa": PublishedSet(
        about="questions in two steps",
        credit=_HOTPOT_CREDIT,
        forms=((("question", "answer"), plain_cells),),
        hub=_HOTPOT_HUB,
        options=_OPEN,
    ),
    "hotpotqa-with-context": PublishedSet(
        about="the same, with ten paragraphs to read",
        credit=_HOTPOT_CREDIT,
        forms=((("question", "answer", "context"), hotpot_cells),),
        hub=_HOTPOT_HUB,
        options={**_OPEN, "templates": {"chat": "{context}\n{question}", "base": "Q: {context}\n{question}\nA:"}},
    ),
    "movies": PublishedSet(
        about="who played whom",
        credit=f"Movies (Orgad et al. 2024, {REPOSITORY})",
        forms=((("question", "answer"), movie_cells),),
        files={"train": ("movie_qa_train.csv",), "test": ("movie_qa_test.csv",)},
        options=_OPEN,
    ),
    "winobias": PublishedSet(
        about="whom a pronoun refers to, of two occupations",
        credit="WinoBias (Zhao et al. 2018)",
        forms=((("sentence", "q", "q_instruct", "answer", "incorrect_answer"), winobias_cells),),
        files={"train": ("winobias_dev.csv",), "test": ("winobias_test.csv",)},
        options={"templates": _QUESTION_AFTER_CONTEXT},
    ),
    "winogrande": PublishedSet(
        about="which of two words a blank stands for",
        credit="WinoGrande (Sakaguchi et al. 2020)",
        forms=(
            (("question", "answer", "wrong_answer"), winogrande_cells),
            (("sentence", "option1", "option2", "answer"), winogrande_hub_cells),
        ),
        files={"train": ("winogrande_train.csv",), "test": ("winogrande_test.csv",)},
        hub={
            "train": HubSource("allenai/winogrande", "winogrande_xl", "train"),
            "test": HubSource("allenai/winogrande", "winogrande_xl", "validation"),
        },
        options={"templates": _QUESTION_AFTER_CONTEXT},
    ),
    "mnli": PublishedSet(
        about="entailment, contradiction or neutrality",
        credit="MultiNLI (Williams et al. 2018)",
        forms=((("question", "answer"), nli_cells), (("premise", "hypothesis", "label"), nli_hub_cells)),
        files={"train": ("mnli_train.csv",), "test": ("mnli_validation.csv",)},
        hub={
            "train": HubSource("nyu-mll/multi_nli", None, "train"),
            "test": HubSource("nyu-mll/multi_nli", None, "validation_matched"),
        },
        options={
            "vocabulary": _pairs(
                {
                    "entailment": ("entail", "entails", "entailed"),
                    "contradiction": ("contradict", "contradicts", "contradicted", "contradictory", "contradictions"),
                    "neutral": ("neutrality", "neutality"),
                }
            )
        },
    ),
    "math": PublishedSet(
        about="word problems",
        credit="AnswerableMath (Sun et al. 2024)",
        forms=((("question", "answer"), math_cells),),
        files={"train": ("AnswerableMath.csv",), "test": ("AnswerableMath_test.csv",)},
        options={
            "extraction": "number",
            "grading": "contains",
            "templates": {"chat": "{question} Answer shortly."},
            "max_new_tokens": 200,
        },
    ),
    "imdb": PublishedSet(
        about="whether a film review is positive",
        credit="IMDB reviews (Maas et al. 2011)",
        forms=((("text", "label"), review_cells),),
        hub={
            "train": HubSource("stanfordnlp/imdb", None, "train"),
            "test": HubSource("stanfordnlp/imdb", None, "test"),
        },
        options={
            "vocabulary": _pairs({"positive": (), "negative": ()}),
            "templates": {
                "chat": f"{_CLASSIFY} Start with either 'positive' or 'negative' first, then elaborate.\n"
                "Review: {question}\nLabel:",
                "base": f"{_CLASSIFY}\nReview: {{question}}\nLabel:",
            },
        },
    ),
    "natural-questions-with-context": PublishedSet(
        about="search queries with a passage that answers them",
        credit="Natural Questions (Kwiatkowski et al. 2019), CC BY-SA 3.0",
        forms=((("question", "answer", "context"), passage_cells),),
        files={
            "train": ("nq_wc_dataset_train.csv", "nq_wc_dataset.csv"),
            "test": ("nq_wc_dataset_test.csv",),
        },
        options={
            "extraction": "prompted",
            "grading": "judged",
            "templates": {"chat": "{context}\n{question}", "base": "Context:{context}\nQ: {question}\nA:"},
        },
    ),
}
"""By the names that `interp.questions.datasets.load_questions` takes."""
