"""Answers that the user already has: in the tokens that the model would have spelt them in."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from interp.answers.answers import answer_questions, given_answer, summary
from interp.answers.extraction import COLUMN, NO_EXACT
from interp.answers.prompts import Prompt
from interp.examples import Answer, GivenAnswer, Question, Span
from interp.models.tokens import encoded_text
from interp.positions import position_table
from interp.questions.question_set import QuestionSet
from interp.questions.vocabulary import Vocabulary
from tests.respondents import Mute, Respondent
from tests.unit.test_tokens import unigram_with_byte_fallback

QUESTION = Question("q", "In which country is the city of Lyon?", "France", (), None, "test", "q")
PROMPT = Prompt((5, 6, 7), None, {})
END = 1
LINE = "\n"


def spelt(tokenizer: PreTrainedTokenizerFast, given: GivenAnswer, style: str = "chat") -> Answer:
    line = tokenizer(LINE)["input_ids"][-1]
    ends = {END, line} if style == "base" else {END}
    return given_answer(tokenizer, QUESTION, PROMPT, given, ends, style=style)


@pytest.mark.parametrize("text", ["It is in France.", "日本です 🇫🇷", " leading", "two\nlines", "é", ""])
def test_its_tokens_spell_it_and_it_ends(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    answer = spelt(tokenizer, GivenAnswer(text))
    assert answer.text == text
    assert tokenizer.decode(answer.token_ids[answer.n_prompt : -1]) == text
    assert answer.token_ids[-1] == END
    assert answer.ended
    assert len(answer.generated.begun) == len(answer.generated.complete) == answer.n_generated


@pytest.mark.parametrize("written", ["It is.<|im_end|>", "It is.<|im_end|>\n", "It is.<|im_end|><|im_end|>"])
def test_an_end_token_that_is_written_out_is_not_doubled(tokenizer: PreTrainedTokenizerFast, written: str) -> None:
    assert spelt(tokenizer, GivenAnswer(written)) == spelt(tokenizer, GivenAnswer("It is."))


def test_an_exact_answer_may_have_the_end_in_it(tokenizer: PreTrainedTokenizerFast) -> None:
    answer = spelt(tokenizer, GivenAnswer("It is Lyon<|im_end|>", exact=Span(6, 20)))
    assert answer.exact_text == "Lyon"
    nothing = spelt(tokenizer, GivenAnswer("Lyon<|im_end|>", exact=Span(4, 14)))
    assert (nothing.exact, nothing.why_missing) == (None, NO_EXACT)


def test_a_chat_models_answer_is_spelt_after_the_line_break_of_its_prompt() -> None:
    """By itself, this tokenizer would put a space before it."""
    metaspace = unigram_with_byte_fallback().tokenizer
    ids, prompt = encoded_text(metaspace, "Who?\n", add_special_tokens=False)
    given = GivenAnswer("Lyon", exact=Span(0, 4))
    answer = given_answer(metaspace, QUESTION, Prompt(ids, prompt, {}), given, set(), style="chat")
    together, _ = encoded_text(metaspace, "Who?\nLyon", add_special_tokens=False)
    assert answer.token_ids == together
    assert answer.exact_text == "Lyon"


def test_a_base_models_answer_goes_on_after_a_space_and_ends_with_the_line(tokenizer: PreTrainedTokenizerFast) -> None:
    answer = spelt(tokenizer, GivenAnswer("in Brazil", exact=Span(3, 9)), style="base")
    assert answer.text == " in Brazil"
    assert answer.exact_text == "Brazil"
    assert tokenizer.decode(answer.token_ids[answer.n_prompt :]) == " in Brazil\n"
    assert spelt(tokenizer, GivenAnswer(" in Brazil", exact=Span(4, 10)), style="base") == answer
    for end in ("\n", "\r\n", "\n\n"):
        as_generated = GivenAnswer(f" in Brazil{end}", exact=Span(4, 10))
        assert spelt(tokenizer, as_generated, style="base") == answer, "the line ends once"


@pytest.mark.parametrize("style", ["chat", "base"])
def test_its_positions_are_those_of_its_words(tokenizer: PreTrainedTokenizerFast, style: str) -> None:
    text = "In 1919, 🇫🇷 in 日本, Brazil"
    for words in ("1919", "🇫🇷", "日本", "Brazil", "In", text):
        start = text.rindex(words)
        answer = spelt(tokenizer, GivenAnswer(text, exact=Span(start, start + len(words))), style)
        tokens = position_table([answer], ["exact_answer_first", "exact_answer_last", "-1"])["token"].values[0]
        assert words in tokenizer.decode(answer.token_ids[tokens[0] : tokens[1] + 1])
        assert tokens[2] == len(answer.token_ids) - 1


def test_nothing_is_generated_where_all_answers_are_given(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    given = {"a": GivenAnswer("In Brazil."), "b": GivenAnswer("By the sea, in France", Span(15, 21))}
    given |= {"c": GivenAnswer("France", no_exact=True), "d": GivenAnswer("Nowhere, in no land", Span(12, 19))}
    questions = QuestionSet(
        "test",
        tuple(Question(i, f"Where is {i}?", "France", (), None, "test", i) for i in given),
        Vocabulary({"France": ("France",), "Brazil": ("Brazil",)}),
        "nobody",
        given=given,
        grading="match",
    )
    answers = answer_questions(Respondent(Mute(tokenizer), 8, tmp_path), questions, max_new_tokens=5)
    read = [(answer.exact_text, answer.named, answer.found_by, answer.correct) for answer in answers]
    assert read == [
        ("Brazil", ("Brazil",), "names", False),
        ("France", ("France",), COLUMN, True),
        (None, (), COLUMN, None),
        ("no land", ("no land",), COLUMN, False),
    ]
    counts = summary(answers, questions)
    assert counts["given by the user, not generated"] == 4
    assert counts["not judged: no exact answer, says the column"] == 1
