from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from interp.examples import Question, Span
from interp.prompts import Prompt, Prompting, prompt_of
from tests.model.conftest import CHAT_TEMPLATE

TEMPLATES = {
    "as it is": CHAT_TEMPLATE,
    "stripped": CHAT_TEMPLATE.replace("message['content']", "message['content'] | trim"),
    "with a system turn": "<|im_start|>You answer. What is it?<|im_end|>" + CHAT_TEMPLATE,
    "without a generation prompt": CHAT_TEMPLATE.partition("{% if")[0],
    "none": None,
}


@pytest.fixture(params=TEMPLATES)
def templated(tokenizer: PreTrainedTokenizerFast, request: pytest.FixtureRequest) -> Iterator[PreTrainedTokenizerFast]:
    tokenizer.chat_template = TEMPLATES[request.param]
    yield tokenizer
    tokenizer.chat_template = CHAT_TEMPLATE


def question(text: str, subject: Span | None = None, context: str | None = None) -> Question:
    return Question("q", text, "x", (), subject, "test", "q", context=context)


def tokens_of(prompt: Prompt, name: str) -> tuple[int, ...]:
    assert prompt.tokens is not None
    span = prompt.spans[name]
    return prompt.token_ids[prompt.tokens.first_token(span) : prompt.tokens.last_token(span) + 1]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    before=st.sampled_from(["", "Context: Lyon.\n", "What is it? "]),
    text=st.sampled_from(["What is it?", "東京 is where?", "Is 🇫🇷 it?"]),
    after=st.sampled_from(["", " Answer shortly.", "\n"]),
)
def test_the_questions_own_tokens_hold_its_text(
    templated: PreTrainedTokenizerFast, before: str, text: str, after: str
) -> None:
    around = dict.fromkeys(("chat", "base"), f"{before}{{question}}{after}")
    prompt = prompt_of(templated, question(text), Prompting(templates=around))
    assert prompt.tokens is not None
    assert prompt.spans["question"].of(prompt.tokens.text) == text
    assert text in templated.decode(tokens_of(prompt, "question"))
    assert prompt.token_ids == tuple(templated(prompt.tokens.text, add_special_tokens=False)["input_ids"])


def test_of_several_occurrences_the_marked_one_is_the_subject(templated: PreTrainedTokenizerFast) -> None:
    text = "Is Lyon, not Lyon, it?"
    around = dict.fromkeys(("chat", "base"), "Lyon: {question}")
    prompt = prompt_of(templated, question(text, Span(13, 17)), Prompting(templates=around))
    assert prompt.tokens is not None
    start = prompt.tokens.text.index(text) + 13
    assert prompt.spans["subject"] == Span(start, start + 4)
    assert templated.decode(tokens_of(prompt, "subject")).strip() == "Lyon"


def test_a_template_that_rewrites_the_question_leaves_its_tokens_unknown(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = CHAT_TEMPLATE.replace("message['content']", "message['content'] | upper")
    try:
        assert prompt_of(tokenizer, question("What is it?")).spans == {}
    finally:
        tokenizer.chat_template = CHAT_TEMPLATE
