from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from interp.answers.prompts import Prompt, Prompting, prompt_of
from interp.errors import InputError
from interp.examples import Question, Span
from tests.tiny_models import CHAT_TEMPLATE

TEMPLATES = {
    "as it is": CHAT_TEMPLATE,
    "stripped": CHAT_TEMPLATE.replace("message['content']", "message['content'] | trim"),
    "with a system turn": "<|im_start|>You answer. What is it?<|im_end|>" + CHAT_TEMPLATE,
    "with a token that begins every text": "{{ bos_token }}" + CHAT_TEMPLATE,
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


@pytest.mark.parametrize("style", ["chat", "base"])
def test_a_context_goes_before_its_question(tokenizer: PreTrainedTokenizerFast, style: str) -> None:
    asked = question("What is it, {context}?", Span(0, 4), "A {question} of Lyon.")
    prompt = prompt_of(tokenizer, asked, Prompting(style))
    assert prompt.tokens is not None
    text = prompt.tokens.text
    assert "A {question} of Lyon.\n" in text, "what stands in a context is no placeholder"
    assert {name: span.of(text) for name, span in prompt.spans.items()} == {
        "context": "A {question} of Lyon.",
        "question": "What is it, {context}?",
        "subject": "What",
    }


def test_a_context_may_follow_its_question(tokenizer: PreTrainedTokenizerFast) -> None:
    around = Prompting(templates={"chat": "{question} ({context})"})
    prompt = prompt_of(tokenizer, question("What is it?", context="Lyon"), around)
    assert prompt.tokens is not None
    assert "What is it? (Lyon)<|im_end|>" in prompt.tokens.text
    assert prompt.spans["context"].of(prompt.tokens.text) == "Lyon"


def test_a_context_without_a_place_and_a_place_without_a_context_are_refused(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    with pytest.raises(InputError, match=r"the question has a context and the template has none \(question q"):
        prompt_of(tokenizer, question("?", context="c"), Prompting(templates={"chat": "{question}"}))
    with pytest.raises(InputError, match="the template has a context and the question has none"):
        prompt_of(tokenizer, question("?"), Prompting(templates={"chat": "{context} {question}"}))
    with pytest.raises(InputError, match=r"must have \{question\} in it, once"):
        Prompting(templates={"chat": "{question} {context} {context}"})


def test_a_base_model_is_shown_questions_with_their_answers(tokenizer: PreTrainedTokenizerFast) -> None:
    shots = [replace(question(f"What is {name}?"), gold=name) for name in ("Lyon", "Brazil")]
    prompt = prompt_of(tokenizer, question("What is it?", Span(8, 10)), Prompting("base"), shots)
    assert prompt.tokens is not None
    text = "Q: What is Lyon?\nA: Lyon\n\nQ: What is Brazil?\nA: Brazil\n\nQ: What is it?\nA:"
    assert prompt.tokens.text == text
    start = text.rindex("What is it?")
    assert prompt.spans == {"question": Span(start, start + 11), "subject": Span(start + 8, start + 10)}


def test_a_chat_model_is_shown_them_as_earlier_turns(templated: PreTrainedTokenizerFast) -> None:
    if templated.chat_template is None:
        pytest.skip("a base model")
    shots = [replace(question("What is Lyon?"), gold="France")]
    prompt = prompt_of(templated, question("What is it?"), Prompting("chat"), shots)
    assert prompt.tokens is not None
    assert "user\nWhat is Lyon?<|im_end|>\n<|im_start|>assistant\nFrance<|im_end|>" in prompt.tokens.text
    assert prompt.spans["question"].start == prompt.tokens.text.rindex("What is it?")


def test_a_base_model_completes_what_can_be_completed(tokenizer: PreTrainedTokenizerFast) -> None:
    asked = replace(question("Who is it?", Span(0, 3), "She came."), completion="She is the")
    around = Prompting("base", dict.fromkeys(("chat", "base"), "{context} {question}"))
    prompt = prompt_of(tokenizer, asked, around)
    assert prompt.tokens is not None
    assert prompt.tokens.text == "She came. She is the"
    assert set(prompt.spans) == {"context", "question"}, "the subject stands in the question alone"
    chat = prompt_of(tokenizer, asked, replace(around, style="chat"))
    assert chat.tokens is not None
    assert "She came. Who is it?<|im_end|>" in chat.tokens.text


def test_so_many_shots_as_there_are() -> None:
    left = [question(f"{i}?") for i in range(2)]
    assert Prompting().shots_for("chat", left) == ()
    assert Prompting().shots_for("base", left) == tuple(left)
    assert Prompting(n_shots=1).shots_for("chat", left) == (left[0],)
    with pytest.raises(InputError, match="--shots is 3, and there are 2 questions to show"):
        Prompting(n_shots=3).shots_for("base", left)


@pytest.mark.parametrize("style", ["chat", "base"])
def test_a_token_that_begins_every_text_is_there_once(tokenizer: PreTrainedTokenizerFast, style: str) -> None:
    """Written by the chat template, or added by the tokenizer to a plain text, and never both."""
    adding = copy.deepcopy(tokenizer)
    adding.chat_template = "{{ bos_token }}" + CHAT_TEMPLATE
    begin = adding.bos_token_id
    adding.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{adding.bos_token} $A", special_tokens=[(adding.bos_token, begin)]
    )
    assert adding("Lyon")["input_ids"][0] == begin
    prompt = prompt_of(adding, question("What is it?", Span(8, 10)), Prompting(style))
    assert prompt.tokens is not None
    assert prompt.token_ids[0] == begin
    assert prompt.token_ids.count(begin) == prompt.tokens.text.count(adding.bos_token) + (style == "base")
    assert adding.decode(tokens_of(prompt, "subject")).strip() == "it"
