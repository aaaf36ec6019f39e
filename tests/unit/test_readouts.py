"""What is put after an answer's prompt, or after an answer: spelt as the whole text is, whatever the tokenizer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from interp.errors import InputError
from interp.examples import Answer, Question, Span
from interp.models.tokens import encoded_after, encoded_text
from interp.patching import readouts
from interp.patching.readouts import ASKED, before_exact, led, spelt_verdicts, verdict_run
from tests.tiny_models import TEXT, trained_tokenizer

PROMPT, LEAD = "Q: In which country is Lyon?\nA:", "The city of Lyon is located in"


def prepending() -> PreTrainedTokenizerFast:
    """Puts a space before whatever it is given, as Mistral's does."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bpe.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    bpe.train_from_iterator([*TEXT, PROMPT, ASKED, "Yes. No."], trainers.BpeTrainer(vocab_size=300))
    bpe.pre_tokenizer = pre_tokenizers.Sequence([])
    return PreTrainedTokenizerFast(tokenizer_object=bpe)


TOKENIZERS = {"prepending": prepending(), "byte-level": trained_tokenizer()}
tokenizers = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)


def ids_of(tokenizer: PreTrainedTokenizerFast, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def answer(tokenizer: PreTrainedTokenizerFast, said: str = " It is France.", prompt: str = PROMPT) -> Answer:
    before, of_prompt = encoded_text(tokenizer, prompt, add_special_tokens=False)
    ids, generated = encoded_after(tokenizer, prompt[-1], said)
    assert generated is not None
    exact = said.index("France")
    return Answer(
        Question("q", "In which country is Lyon?", "France", (), None, "test", "q"),
        token_ids=(*before, *ids),
        n_prompt=len(before),
        generated=generated,
        ended=True,
        exact=Span(exact, exact + len("France")),
        prompt=of_prompt,
    )


@tokenizers
def test_a_base_models_answer_goes_on_in_the_line_of_its_prompt(tokenizer: PreTrainedTokenizerFast) -> None:
    found = led(tokenizer, answer(tokenizer), f" {LEAD}")
    assert found.token_ids == ids_of(tokenizer, f"{PROMPT} {LEAD} France")
    assert (found.text, found.exact_text) == (f" {LEAD} France", "France")
    assert not found.ended, "it is cut"


@tokenizers
@pytest.mark.parametrize("lead", [LEAD, ""])
def test_a_chat_models_answer_begins_anew(tokenizer: PreTrainedTokenizerFast, lead: str) -> None:
    asked = answer(tokenizer)
    found = led(tokenizer, asked, lead)
    text = f"{lead} France".strip()
    assert found.token_ids == (*asked.token_ids[: asked.n_prompt], *ids_of(tokenizer, text))
    assert (found.text, found.exact_text) == (text, "France")
    assert led(tokenizer, replace(asked, exact=None), LEAD).exact is None


def test_a_lead_of_which_nobody_knows_where_its_tokens_stand_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = TOKENIZERS["byte-level"]
    asked = answer(tokenizer)
    monkeypatch.setattr(readouts, "encoded_after", lambda *_: ((3, 4), None))
    with pytest.raises(InputError, match="cannot tell which token stands where in 'Well'; take a --lead"):
        led(tokenizer, asked, "Well")


@tokenizers
@pytest.mark.parametrize("ends", [set[int](), {399}], ids=["unended", "ended"])
def test_a_base_model_is_asked_for_a_verdict_as_in_one_text(
    tokenizer: PreTrainedTokenizerFast, ends: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the answer without its end, if it has one."""
    monkeypatch.setattr(readouts, "VERDICTS", ("France", "Brazil"))  # Which all tokenizers here tell apart.
    said = answer(tokenizer)
    run = verdict_run(tokenizer, ends, "base")(replace(said, token_ids=(*said.token_ids, *ends)))
    text = f"{PROMPT} It is France.{ASKED}"
    assert run.tokens == ids_of(tokenizer, text)
    for target, word in zip(run.targets, ("France", "Brazil"), strict=True):
        assert target.place == len(run.tokens) - 1
        assert target.token == ids_of(tokenizer, f"{text} {word}")[len(run.tokens)]


@tokenizers
def test_a_chat_models_verdicts_begin_their_turn(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readouts, "VERDICTS", ("France", "Brazil"))
    assert spelt_verdicts(tokenizer, "chat") == (ids_of(tokenizer, "France"), ids_of(tokenizer, "Brazil"))


@pytest.mark.parametrize(("said", "before"), [(" France", " "), ("France", ""), (" It is France", " ")])
def test_what_comes_before_an_answer_in_its_own_first_token(said: str, before: str) -> None:
    """Of the first token of all that was said too."""
    tokenizer = TOKENIZERS["byte-level"]
    ids, tokens = encoded_text(tokenizer, said, add_special_tokens=False)
    assert tokens is not None
    assert tokenizer.decode([ids[tokens.first_token(Span(said.index("F"), len(said)))]]).startswith(before)
    assert before_exact(answer(tokenizer, said)) == before
