"""What stands around a question: the same for all that are put in the same way, and told where it is not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from interp.answers.prompts import Prompting, prompt_of
from interp.errors import InputError
from interp.examples import Answer, Question, TokenizedText
from interp.patching.framing import framing_of, misfit_of_framing, require_same_framing
from tests.tiny_models import trained_tokenizer

TOKENIZER = trained_tokenizer()
WORDS = "the two prompts are not put in the same words"
SPECIAL = "the two prompts have other special tokens"
texts = st.text(st.characters(codec="utf-8", exclude_characters="<|>"), max_size=20)


def with_bos() -> PreTrainedTokenizerFast:
    """One that puts its first token in front of every text."""
    tokenizer = trained_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 0)]
    )
    return tokenizer


def asked(
    identifier: str, text: str, *, context: str | None = None, completion: str | None = None, **prompting: object
) -> Answer:
    """An answer to a question that is put in some way."""
    question = Question(identifier, text, "x", (), None, "test", identifier, context=context, completion=completion)
    prompt = prompt_of(TOKENIZER, question, Prompting(**prompting))  # type: ignore[arg-type]
    return Answer(
        question,
        (*prompt.token_ids, 5),
        len(prompt.token_ids),
        TokenizedText("x", (1,), (1,)),
        ended=True,
        prompt=prompt.tokens,
        spans=prompt.spans,
    )


def why(clean: Answer, corrupt: Answer) -> str | None:
    return misfit_of_framing(TOKENIZER, [clean, corrupt])(clean, corrupt)


@given(texts.filter(str.strip), texts.filter(str.strip), st.sampled_from(["chat", "base"]), st.booleans())
@settings(max_examples=30)
def test_what_is_put_in_the_same_way_is_framed_alike(first: str, second: str, style: str, has_context: bool) -> None:
    contexts = (second, first) if has_context else (None, None)
    clean, corrupt = (
        asked(name, text, context=context, style=style)
        for name, text, context in zip("ab", (first, second), contexts, strict=True)
    )
    assert why(clean, corrupt) is None


@pytest.mark.parametrize("style", ["chat", "base"])
def test_other_words_around_a_question_are_told(style: str) -> None:
    plain = asked("a", "Lyon?", style=style)
    assert why(plain, asked("b", "Nice?", style=style, templates={style: "Where is it? {question}"})) == WORDS
    assert why(plain, asked("b", "Nice?", style=style, context="It is a city.")) == WORDS


def test_a_text_to_complete_is_framed_as_others_are() -> None:
    first = asked("a", "Where is Lyon?", style="base", completion="Lyon is in", templates={"base": "{question}"})
    second = asked("b", "Where is Nice?", style="base", templates={"base": "{question}"})
    assert why(first, second) is None


def test_special_tokens_that_are_written_out_are_told() -> None:
    assert why(asked("a", "Lyon?"), asked("b", "<|im_start|>Nice?")) == SPECIAL
    assert why(asked("a", "<|im_start|>Lyon?"), asked("b", "<|im_start|>Nice?")) is None
    assert why(asked("a", "Lyon?", style="chat"), asked("b", "Nice?", style="base")) == SPECIAL


def test_where_no_words_are_known_special_tokens_are_all_there_is() -> None:
    assert framing_of(TOKENIZER, [0, 7, 1, 8]) == ((0, 1), ())


@pytest.mark.parametrize("tokenizer", [TOKENIZER, with_bos()], ids=["plain", "with a first token"])
def test_texts_of_one_framing_are_a_pair(tokenizer: PreTrainedTokenizerFast) -> None:
    clean, corrupt = (tokenizer(text)["input_ids"] for text in ("Lyon is in", "Nice is in"))
    require_same_framing(tokenizer, clean, corrupt)
    marked = tokenizer("<|im_start|>Nice is in")["input_ids"]
    with pytest.raises(InputError, match="--clean and --corrupt are framed in different ways") as raised:
        require_same_framing(tokenizer, clean, marked)
    assert "\n" not in str(raised.value)
    assert ("of one are none, of the other" in str(raised.value)) == (tokenizer is TOKENIZER)


def test_texts_that_begin_twice_are_refused() -> None:
    tokenizer = with_bos()
    clean, corrupt = (tokenizer(f"<|im_start|>{text}")["input_ids"] for text in ("Lyon", "Nice"))
    with pytest.raises(InputError, match=r"--clean begins with <\|im_start\|> twice; leave it out"):
        require_same_framing(tokenizer, clean, corrupt)
