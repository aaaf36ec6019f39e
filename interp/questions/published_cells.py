"""The cells of a question from a row of each set of Orgad et al. 2024, in each form in which the set comes.

A row is its values by lower-case column, as the paper's repository, the set's own file or the hub has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from interp.questions.cells import Cells, text_of
from interp.questions.tables import SHORT, Fault, column_key

IDENTIFIERS = ("id", "_id", "questionid", "question_id")
"""Columns that tell one question from another, in one form of a set or another."""


def plain_cells(values: Mapping[str, object]) -> Cells:
    """A question and its answer."""
    return {"id": _identifier(values), "question": values["question"], "answer": values["answer"]}


def trivia_cells(values: Mapping[str, object]) -> Cells:
    """A question, its answer, and the other names of that."""
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


def hotpot_cells(values: Mapping[str, object]) -> Cells:
    """All sentences of all paragraphs, a line each."""
    context: Any = values["context"]
    try:
        # At the hub an object with two lists; in the set's own file a list of pairs.
        paragraphs = context["sentences"] if isinstance(context, dict) else [sentences for _, sentences in context]
        lines = [sentence for paragraph in paragraphs for sentence in paragraph]
        return {**plain_cells(values), "context": "\n".join(lines), "group": values["question"]}
    except (KeyError, TypeError, ValueError) as error:
        message = f"'context' is {SHORT.repr(context)}; titles with lists of sentences are needed"
        raise Fault("bad context", message) from error


def movie_cells(values: Mapping[str, object]) -> Cells:
    """A question about a film; rows of the same film, or with the same actor, are of one group."""
    asked, actor = text_of(values, "question") or "", text_of(values, "answer") or ""
    film = re.search(r" in the movie '(.+)'\?\s*$", asked)
    groups = [*([f"film {film[1]}"] if film else []), f"actor {actor.strip()}"]
    return {**plain_cells(values), "group": groups if actor.strip() else None}


def winobias_cells(values: Mapping[str, object]) -> Cells:
    """A sentence with two occupations; rows that differ in the pronoun alone are of one group."""
    sentence = text_of(values, "sentence") or ""
    return {
        "question": values["q_instruct"],
        "completion": values["q"],
        "context": sentence,
        "answer": values["answer"],
        "choices": [values["answer"], values["incorrect_answer"]],
        "group": re.sub(r"\b(?:he|she|him|her|his|hers)\b", "_", sentence.strip(), flags=re.IGNORECASE),
    }


def winogrande_cells(values: Mapping[str, object]) -> Cells:
    """A sentence with a blank, and two words that it may stand for, as in the paper's repository."""
    asked = text_of(values, "question") or ""
    parts = re.fullmatch(r"(.+?)\s*(Wh(?:o|at) does the blank refer to in the sentence\?)\s*", asked, re.DOTALL)
    if parts is None:
        raise Fault("no blank asked for", "the question does not end with what the blank refers to; see the set's file")
    return _blank(parts[1], parts[2], values["answer"], values["wrong_answer"])


def winogrande_hub_cells(values: Mapping[str, object]) -> Cells:
    """The same as at the hub."""
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


def nli_cells(values: Mapping[str, object]) -> Cells:
    """A question about a premise and a hypothesis; rows with the same premise are of one group."""
    premise = re.match(
        r'For the statement, "(.+)", does the hypothesis "', text_of(values, "question") or "", re.DOTALL
    )
    return {**plain_cells(values), "group": premise[1] if premise else None}


def nli_hub_cells(values: Mapping[str, object]) -> Cells:
    """The same from premise, hypothesis and label, as at the hub."""
    premise, hypothesis = ((text_of(values, name) or "").strip().rstrip(".") for name in ("premise", "hypothesis"))
    names = {0: "entailment", 1: "neutral", 2: "contradiction"}
    label = values["label"]
    question = (
        f'For the statement, "{premise}", does the hypothesis "{hypothesis}" represent entailment, contradiction, or '
        "neutrality?"
    )
    return {
        "question": question if premise and hypothesis else None,
        "answer": names.get(label) if isinstance(label, int) else label,
        "group": premise,
    }


def math_cells(values: Mapping[str, object]) -> Cells:
    """The first of the listed answers, as a whole number if it is one."""
    cell: Any = values["answer"]
    try:
        numbers = json.loads(cell) if isinstance(cell, str) else cell
        first = float(numbers[0] if isinstance(numbers, list) else numbers)
        whole = int(first) == first
    except (ValueError, OverflowError, TypeError, IndexError) as error:
        raise Fault("bad answer", f"'answer' is {SHORT.repr(cell)}; write a list with a number") from error
    names = [f"{first:.0f}", f"{first}"] if whole else [f"{first}"]
    return {"id": _identifier(values), "question": values["question"], "answer": names}


def review_cells(values: Mapping[str, object]) -> Cells:
    """A film review, and whether it is positive."""
    names = {0: "negative", 1: "positive", "0": "negative", "1": "positive", "neg": "negative", "pos": "positive"}
    label = values["label"]
    return {"question": values["text"], "answer": names.get(label, label) if isinstance(label, str | int) else None}


def passage_cells(values: Mapping[str, object]) -> Cells:
    """A question about a passage; the same question about another passage is of its group."""
    return {**plain_cells(values), "context": values["context"], "group": values["question"]}


def _identifier(values: Mapping[str, object]) -> object:
    return next((values[name] for name in IDENTIFIERS if name in values), None)
