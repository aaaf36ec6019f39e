from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from transformers import PreTrainedTokenizerFast

from interp.answers.answer_files import load_answers, save_answers
from interp.answers.answers import answer_questions, summary
from interp.answers.generation import Respondent
from interp.answers.prompts import TEMPLATES, Prompting, newline_tokens, prompt_of
from interp.errors import InputError
from interp.examples import Answer, Question, Span
from interp.models.hooked_model import HookedModel
from interp.questions.question_set import QuestionSet
from interp.questions.vocabulary import Vocabulary
from tests.tiny_models import CHAT_TEMPLATE

VOCABULARY = Vocabulary({"France": ("France",), "Brazil": ("Brazil",), "Japan": ("Japan", "日本")})
CITIES = ["Lyon", "São Paulo", "Paris", "東京", "Le Havre", "Rio", "Nice", "Osaka"]


def question(city: str = "Lyon") -> Question:
    text = f"In which country is the city of {city}?"
    start = text.index(city)
    return Question(city, text, "France", ("la France",), Span(start, start + len(city)), "test", city, 5e4)


@pytest.fixture
def questions() -> QuestionSet:
    return QuestionSet("test", tuple(map(question, CITIES)), VOCABULARY, "nobody", {"too easy": 3})


def asked(
    model: HookedModel,
    questions: QuestionSet,
    journals: Path,
    *,
    batch_size: int = 8,
    max_new_tokens: int = 6,
    **how: Any,
) -> list[Answer]:
    respondent = Respondent(model, batch_size, journals)
    return answer_questions(respondent, questions, max_new_tokens=max_new_tokens, **how)


def test_the_prompt_is_the_chat_template_with_its_generation_prompt(tokenizer: PreTrainedTokenizerFast) -> None:
    prompt = tokenizer.decode(prompt_of(tokenizer, question()).token_ids)
    assert prompt == ("<|im_start|>user\nIn which country is the city of Lyon?<|im_end|>\n<|im_start|>assistant\n")


def test_without_a_chat_template_the_prompt_is_plain(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = None
    try:
        prompt = tokenizer.decode(prompt_of(tokenizer, question()).token_ids)
    finally:
        tokenizer.chat_template = CHAT_TEMPLATE
    assert prompt == TEMPLATES["base"].format(question="In which country is the city of Lyon?")


def test_answers_survive_their_file(model: HookedModel, questions: QuestionSet, tmp_path: Path) -> None:
    answers = asked(model, questions, tmp_path)
    assert [answer.question.id for answer in answers] == CITIES
    save_answers(answers, tmp_path / "answers.parquet", {"seed": 0})
    assert load_answers(tmp_path / "answers.parquet") == (answers, {"seed": 0})
    counts = summary(answers, questions)
    assert counts["asked"] == 8
    assert counts["not asked: too easy"] == 3
    judged_or_not = counts["answered"] + sum(n for label, n in counts.items() if label.startswith("not judged"))
    assert judged_or_not == 8


def test_an_interrupted_run_goes_on_and_ends_the_same(
    model: HookedModel, questions: QuestionSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = asked(model, questions, tmp_path / "whole", batch_size=2)
    lines = (tmp_path / "whole" / "answers.jsonl").read_text()
    for kept in range(0, len(lines), 97):
        journal = tmp_path / f"cut-{kept}" / "answers.jsonl"
        journal.parent.mkdir()
        journal.write_text(lines[:kept])
        assert asked(model, questions, journal.parent, batch_size=2) == whole
    monkeypatch.setattr("interp.answers.generation.continued", None)
    assert asked(model, questions, tmp_path / "whole", batch_size=2) == whole, "nothing is generated again"


def test_the_journal_is_readable_lines(model: HookedModel, questions: QuestionSet, tmp_path: Path) -> None:
    answers = asked(model, questions, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().split("\n") if line]
    generated = {row["id"]: tuple(row["generated"]) for row in rows}
    assert generated == {answer.question.id: answer.token_ids[answer.n_prompt :] for answer in answers}


def test_a_full_disk_under_a_journal_is_one_line(
    model: HookedModel, questions: QuestionSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot write to .*: no space left on device; make room"):
        asked(model, questions, tmp_path)


def test_damaged_answers_are_refused(model: HookedModel, questions: QuestionSet, tmp_path: Path) -> None:
    answers = asked(model, questions, tmp_path)
    path = tmp_path / "answers.parquet"
    save_answers(answers, path, {"seed": 0})
    whole = path.read_bytes()
    columns = pq.ParquetFile(path).metadata.row_group(0)
    for number in range(columns.num_columns):
        column = columns.column(number)
        # The end of a column is that of a page.
        end = (column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size
        path.write_bytes(whole[: end - 1] + bytes([whole[end - 1] ^ 1]) + whole[end:])
        with pytest.raises(InputError, match="not a file of answers"):
            load_answers(path)
    path.write_bytes(whole)
    pq.write_table(pq.read_table(path), path)
    assert load_answers(path) == (answers, {"seed": 0}), "as files have no checksums that older versions wrote"


def test_a_file_that_holds_no_answers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "answers.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="not a file of answers"):
        load_answers(tmp_path / "answers.parquet")


def test_a_base_models_answer_ends_with_its_line(model: HookedModel, questions: QuestionSet, tmp_path: Path) -> None:
    answers = asked(model, questions, tmp_path, max_new_tokens=40, prompting=Prompting("base"))
    for answer in answers:
        assert answer.prompt is not None
        assert answer.prompt.text == f"Q: {answer.question.text}\nA:"
        assert answer.spans["question"].of(answer.prompt.text) == answer.question.text
        assert "\n" not in model.tokenizer.decode(answer.token_ids[answer.n_prompt : -1])
    ended = [answer for answer in answers if answer.text.endswith("\n")]
    assert all(answer.ended for answer in ended)


def test_every_token_with_a_line_break_ends_a_line(tokenizer: PreTrainedTokenizerFast) -> None:
    found = newline_tokens(tokenizer)
    assert found
    for token in range(len(tokenizer)):
        assert (token in found) == ("\n" in tokenizer.decode([token]))


def test_a_template_stands_around_the_question(tokenizer: PreTrainedTokenizerFast) -> None:
    text = question().text
    chat = prompt_of(tokenizer, question(), Prompting(templates={"chat": "  Answer shortly. {question} "}))
    assert chat.tokens is not None
    assert f"Answer shortly. {text} <|im_end|>" in chat.tokens.text
    assert chat.spans["question"].of(chat.tokens.text) == text
    assert chat.spans["subject"].of(chat.tokens.text) == "Lyon"


def test_prompts_that_cannot_be_made_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(InputError, match=r"must have \{question\} in it, once"):
        Prompting(templates={"chat": "Q: {questoin}"})
    with pytest.raises(InputError, match="unknown prompt style 'chats'; nearest: chat"):
        Prompting("chats")
    tokenizer.chat_template = None
    try:
        with pytest.raises(InputError, match="no chat template; ask it with --prompt-style base"):
            prompt_of(tokenizer, question(), Prompting("chat"))
    finally:
        tokenizer.chat_template = CHAT_TEMPLATE
