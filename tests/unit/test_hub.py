"""Data sets of the hub, by folders in the layout of one: they are opened by the same call."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from interp.errors import InputError
from interp.questions.datasets import load_questions

ROWS = [
    {"query": "Who painted Guernica?", "reply": {"value": "Picasso", "aliases": ["Pablo", "P."]}, "kind": 0},
    {"query": "Who painted The Scream?", "reply": {"value": "Munch", "aliases": []}, "kind": 1},
    {"query": "Who painted it?", "reply": {"value": "", "aliases": []}, "kind": -1},
]
COLUMNS = {"question": "query", "answer": "reply.value", "aliases": "reply.aliases"}


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two splits."""
    features = datasets.Features(
        {
            "query": datasets.Value("string"),
            "reply": {"value": datasets.Value("string"), "aliases": datasets.List(datasets.Value("string"))},
            "kind": datasets.ClassLabel(names=["cubist", "expressionist"]),
        }
    )
    for split, rows in (("train", ROWS), ("validation", ROWS[:1])):
        (tmp_path / "paintings").mkdir(exist_ok=True)
        datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / "paintings" / f"{split}.parquet")
    return tmp_path / "paintings"


def test_columns_and_fields_within_them_are_mapped(folder: Path) -> None:
    questions = load_questions(str(folder), n=2, seed=0, columns=COLUMNS, split="train")
    by_text = {question.text: question for question in questions.questions}
    assert by_text["Who painted Guernica?"].names == ("Picasso", "Pablo", "P.")
    assert questions.name == "paintings-train"
    assert questions.dropped == {"no answer": 1}
    assert questions.excluded[0].startswith(f"{folder}, row 3: no 'answer'")
    assert "Hugging Face Hub" in questions.credit


def test_classes_are_answers_by_their_names(folder: Path) -> None:
    columns = {"question": "query", "answer": "kind"}
    questions = load_questions(str(folder), n=2, seed=0, columns=columns, split="train")
    assert {question.gold for question in questions.questions} == {"cubist", "expressionist"}
    assert questions.dropped == {"no answer": 1}, "-1 is no class"


def test_one_of_several_splits_must_be_chosen(folder: Path) -> None:
    with pytest.raises(InputError, match="has the splits train, validation, and no --dataset-split is given"):
        load_questions(str(folder), n=1, seed=0, columns=COLUMNS)
    with pytest.raises(InputError, match="has the splits train, validation, and 'test' is none of them"):
        load_questions(str(folder), n=1, seed=0, columns=COLUMNS, split="test")
    (folder / "validation.parquet").unlink()
    assert load_questions(str(folder), n=1, seed=0, columns=COLUMNS).questions


def test_a_column_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"has no column 'answer' \(found: 'query', 'reply', 'kind'\); .*--columns"):
        load_questions(str(folder), n=1, seed=0, columns={"question": "query"}, split="train")
    with pytest.raises(InputError, match="no column 'painter'"):
        load_questions(str(folder), n=1, seed=0, columns=COLUMNS | {"subject": "painter"}, split="train")


def test_what_cannot_be_fetched_is_one_line(folder: Path) -> None:
    with pytest.raises(InputError, match="cannot fetch the data set nobody/nothing from the hub: ") as error:
        load_questions("nobody/nothing", n=1, seed=0)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="cannot fetch the data set"):
        load_questions(str(folder.parent), n=1, seed=0, subset="absent")
