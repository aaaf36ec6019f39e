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

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interp.errors import InputError
from interp.hub import HubSource, hub_table
from interp.question_files import Cells, Schema, table_questions, text_of
from interp.questions import QuestionSet
from interp.tables import SHORT, Fault, Table, column_key, read_table
from interp.vocabulary import Vocabulary

REPOSITORY = "github.com/technion-cs-nlp/LLMsKnow"
SPLITS = ("train", "test")
PAPER_TOKENS = 100
IDENTIFIERS = ("id", "_id", "questionid", "question_id")
"""Columns that tell one question from another, in one form of a set or another."""
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

    def schema(self, source: str, columns: Sequence[str]) -> Schema:
        """The schema of the first form whose columns are there; raises an `InputError` if there is none."""
        keys = set(map(column_key, columns))
        for needed, cells in self.forms:
            if keys >= set(needed):
                return Schema(needed, IDENTIFIERS, cells)
        wanted = "; or ".join(", ".join(map(repr, needed)) for needed, _ in self.forms)
        found = ", ".join(map(SHORT.repr, columns)) or "none"
        raise InputError(f"{source} has not the columns of this set (found: {found}; needed: {wanted})")


def published_questions(
    name: str, source: Path | None, *, split: str | None, n: int, seed: int, strict: bool
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
        As in `interp.question_files.file_questions`.

    Raises
    ------
    InputError
        If the file is not there, is not of this set, or has fewer than `n` usable rows; if the set is not on the hub.
    """
    known = PUBLISHED[name]
    split = split or "train"
    if split not in SPLITS:
        raise InputError(f"{name} has the splits {', '.join(SPLITS)}, not {split!r}; give --split one of them")
    table = _table(name, known, source, split)
    options = {"credit": known.credit, "max_new_tokens": PAPER_TOKENS, **known.options}
    schema = known.schema(table.source, table.columns) if table.columns else Schema()
    set_name = name if split == "train" else f"{name}-{split}"
    return table_questions(table, schema, name=set_name, n=n, seed=seed, strict=strict, **options)


def _table(name: str, known: PublishedSet, source: Path | None, split: str) -> Table:
    if source is not None:
        path = _file(name, known, source, split)
        return read_table(path, lambda columns: known.schema(f"{path}", columns).choice(f"{path}", columns))
    if split not in known.hub:
        raise InputError(
            f"{name} is not on the hub; give the folder or the file: --dataset {name}:PATH, of {REPOSITORY} "
            f"(data/{known.files[split][0]})"
        )
    at_hub = known.hub[split]
    return hub_table(at_hub, lambda columns: known.schema(at_hub.id, columns).choice(at_hub.id, columns))


def _file(name: str, known: PublishedSet, source: Path, split: str) -> Path:
    if not source.is_dir():
        return source
    names = known.files.get(split, ())
    found = [source / file for file in names if (source / file).is_file()]
    if not found:
        wanted = " or ".join(names) or f"a file of its own name; give the file itself: --dataset {name}:FILE"
        raise InputError(f"the folder {source} has not the {split} split of {name}: {wanted}")
    return found[0]


def _pairs(names: Mapping[str, Sequence[str]]) -> Vocabulary:
    return Vocabulary({answer: (answer, *others) for answer, others in names.items()})


def _plain(values: Mapping[str, object]) -> Cells:
    return {"id": _identifier(values), "question": values["question"], "answer": values["answer"]}


def _identifier(values: Mapping[str, object]) -> object:
    return next((values[name] for name in IDENTIFIERS if name in values), None)


def _trivia(values: Mapping[str, object]) -> Cells:
    answer = values["answer"]
    if not isinstance(answer, dict):
        raise Fault("bad answer", f"'answer' is {SHORT.repr(answer)}; an object with 'Value' and 'Aliases' is needed")
    fields = {column_key(name): value for name, value in answer.items()}
    return {
        "id": _identifier(values),
        "question": values["question"],
        "answer": fields.get("value"),
        "aliases": fields.get("aliases"),
    }


def _hotpot_in_context(values: Mapping[str, object]) -> Cells:
    """All sentences of all paragraphs, a line each."""
    context: Any = values["context"]
    try:
        # At the hub an object with two lists; in the set's own file a list of pairs.
        paragraphs = context["sentences"] if isinstance(context, dict) else [sentences for _, sentences in context]
        lines = [sentence for paragraph in paragraphs for sentence in paragraph]
        return {**_plain(values), "context": "\n".join(lines), "group": values["question"]}
    except (KeyError, TypeError, ValueError) as error:
        message = f"'context' is {SHORT.repr(context)}; titles with lists of sentences are needed"
        raise Fault("bad context", message) from error


def _movie(values: Mapping[str, object]) -> Cells:
    asked, actor = text_of(values, "question") or "", text_of(values, "answer") or ""
    film = re.search(r" in the movie '(.+)'\?\s*$", asked)
    groups = [*([f"film {film[1]}"] if film else []), f"actor {actor.strip()}"]
    return {**_plain(values), "group": groups if actor.strip() else None}


def _winobias(values: Mapping[str, object]) -> Cells:
    sentence = text_of(values, "sentence") or ""
    return {
        "question": values["q_instruct"],
        "completion": values["q"],
        "context": sentence,
        "answer": values["answer"],
        "choices": [values["answer"], values["incorrect_answer"]],
        "group": re.sub(r"\b(?:he|she|him|her|his|hers)\b", "_", sentence.strip(), flags=re.IGNORECASE),
    }


def _winogrande(values: Mapping[str, object]) -> Cells:
    asked = text_of(values, "question") or ""
    parts = re.fullmatch(r"(.+?)\s*(Wh(?:o|at) does the blank refer to in the sentence\?)\s*", asked, re.DOTALL)
    if parts is None:
        raise Fault("no blank asked for", "the question does not end with what the blank refers to; see the set's file")
    return _blank(parts[1], parts[2], values["answer"], values["wrong_answer"])


def _winogrande_at_hub(values: Mapping[str, object]) -> Cells:
    options = [text_of(values, name) or "" for name in ("option1", "option2")]
    if text_of(values, "answer") not in ("1", "2"):
        raise Fault("no answer", "no 'answer' (the set's test split has none); take another split")
    right = int(str(values["answer"])) - 1
    who = "Who" if options[0].istitle() else "What"
    question = f"{who} does the blank refer to in the sentence?"
    return _blank(values["sentence"], question, options[right], options[1 - right])


def _blank(sentence: object, question: str, right: object, wrong: object) -> Cells:
    return {
        "question": question,
        "completion": "The blank refers to:",
        "context": sentence,
        "answer": right,
        "choices": [right, wrong],
        "group": " / ".join(sorted(f"{option}".strip() for option in (right, wrong))),
    }


def _nli(values: Mapping[str, object]) -> Cells:
    premise = re.match(
        r'For the statement, "(.+)", does the hypothesis "', text_of(values, "question") or "", re.DOTALL
    )
    return {**_plain(values), "group": premise[1] if premise else None}


def _nli_at_hub(values: Mapping[str, object]) -> Cells:
    premise, hypothesis = (f"{values[name]}".strip().rstrip(".") for name in ("premise", "hypothesis"))
    names = {0: "entailment", 1: "neutral", 2: "contradiction"}
    label = values["label"]
    return {
        "question": f'For the statement, "{premise}", does the hypothesis "{hypothesis}" represent entailment, '
        "contradiction, or neutrality?",
        "answer": names.get(label) if isinstance(label, int) else label,
        "group": premise,
    }


def _math(values: Mapping[str, object]) -> Cells:
    """The first of the listed answers, as a whole number if it is one."""
    cell: Any = values["answer"]
    try:
        numbers = json.loads(cell) if isinstance(cell, str) else cell
        first = float(numbers[0] if isinstance(numbers, list) else numbers)
    except (ValueError, TypeError, IndexError) as error:
        raise Fault("bad answer", f"'answer' is {SHORT.repr(cell)}; write a list with a number") from error
    names = [f"{first:.0f}", f"{first}"] if first.is_integer() else [f"{first}"]
    return {"id": _identifier(values), "question": values["question"], "answer": names}


def _review(values: Mapping[str, object]) -> Cells:
    names = {0: "negative", 1: "positive", "0": "negative", "1": "positive", "neg": "negative", "pos": "positive"}
    label = values["label"]
    return {"question": values["text"], "answer": names.get(label, label) if isinstance(label, str | int) else None}


def _in_context(values: Mapping[str, object]) -> Cells:
    return {**_plain(values), "context": values["context"], "group": values["question"]}


_OPEN = {"extraction": "prompted", "grading": "contains"}
_QUESTION_AFTER_CONTEXT = dict.fromkeys(("chat", "base"), "{context} {question}")
_CLASSIFY = 'Classify the following movie reviews as either "positive" or "negative".'
_HOTPOT_CREDIT = "HotpotQA (Yang et al. 2018), CC BY-SA 4.0"

PUBLISHED: dict[str, PublishedSet] = {
    "triviaqa": PublishedSet(
        about="trivia",
        credit="TriviaQA (Joshi et al. 2017)",
        forms=((("question", "answer"), _trivia),),
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
        forms=((("question", "answer"), _plain),),
        hub={
            "train": HubSource("hotpotqa/hotpot_qa", "distractor", "train"),
            "test": HubSource("hotpotqa/hotpot_qa", "distractor", "validation"),
        },
        options=_OPEN,
    ),
    "hotpotqa-with-context": PublishedSet(
        about="the same, with ten paragraphs to read",
        credit=_HOTPOT_CREDIT,
        forms=((("question", "answer", "context"), _hotpot_in_context),),
        hub={
            "train": HubSource("hotpotqa/hotpot_qa", "distractor", "train"),
            "test": HubSource("hotpotqa/hotpot_qa", "distractor", "validation"),
        },
        options={**_OPEN, "templates": {"chat": "{context}\n{question}", "base": "Q: {context}\n{question}\nA:"}},
    ),
    "movies": PublishedSet(
        about="who played whom",
        credit=f"Movies (Orgad et al. 2024, {REPOSITORY})",
        forms=((("question", "answer"), _movie),),
        files={"train": ("movie_qa_train.csv",), "test": ("movie_qa_test.csv",)},
        options=_OPEN,
    ),
    "winobias": PublishedSet(
        about="whom a pronoun refers to, of two occupations",
        credit="WinoBias (Zhao et al. 2018)",
        forms=((("sentence", "q", "q_instruct", "answer", "incorrect_answer"), _winobias),),
        files={"train": ("winobias_dev.csv",), "test": ("winobias_test.csv",)},
        options={"templates": _QUESTION_AFTER_CONTEXT},
    ),
    "winogrande": PublishedSet(
        about="which of two words a blank stands for",
        credit="WinoGrande (Sakaguchi et al. 2020)",
        forms=(
            (("question", "answer", "wrong_answer"), _winogrande),
            (("sentence", "option1", "option2", "answer"), _winogrande_at_hub),
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
        forms=((("question", "answer"), _nli), (("premise", "hypothesis", "label"), _nli_at_hub)),
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
        forms=((("question", "answer"), _math),),
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
        forms=((("text", "label"), _review),),
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
        forms=((("question", "answer", "context"), _in_context),),
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
"""By the names that `interp.datasets.load_questions` takes."""
