"""Contrasts: which logits are read for each answer, and what is read of the others."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from interp.errors import InputError
from interp.lenses import lens_targets
from interp.lenses.lens_targets import answer_token, token_in_place
from interp.lenses.logit_contrasts import Contrast, against_the_gold, against_the_mean, contrasts_of
from tests.said_answers import said
from tests.tiny_models import trained_tokenizer

TOKENIZER = trained_tokenizer()
COUNTRIES = ("France", "Brazil", "Lyon", "Côte d'Ivoire", "東京", "naïve", "Ελλάδα")


def first(text: str) -> int:
    """The first token of a text that nothing stands before."""
    return int(TOKENIZER(text, add_special_tokens=False)["input_ids"][0])


found_contrasts = st.lists(
    st.builds(Contrast, st.integers(0, 9), st.frozensets(st.integers(0, 9), max_size=6))
    | st.sampled_from(["no exact answer", "right"]),
    min_size=1,
    max_size=8,
)


@given(found_contrasts, st.integers(0, 1000))
def test_a_contrast_is_the_tokens_logit_less_the_mean_of_its_foils(found: list[Contrast | str], seed: int) -> None:
    left = {row: each for row, each in enumerate(found) if isinstance(each, Contrast) and each.foils - {each.token}}
    if not left:
        with pytest.raises(InputError, match="no answer can be told from others by its first token") as raised:
            contrasts_of(found)
        assert "\n" not in str(raised.value)
        return
    whole = contrasts_of(found)
    assert whole.rows == tuple(left)
    assert whole.dropped.total() == len(found) - len(left)
    logits = np.random.default_rng(seed).normal(size=10)
    for weights, each in zip(whole.weights, left.values(), strict=True):
        others = [logits[token] for token in each.foils if token != each.token]
        assert weights @ logits[list(whole.tokens)] == pytest.approx(logits[each.token] - np.mean(others))


def test_why_most_have_none_is_said_first() -> None:
    with pytest.raises(InputError, match=r"by its first token: right \(2\), no exact answer \(1\); take another"):
        contrasts_of(["no exact answer", "right", "right"])


def test_every_exact_answer_is_contrasted_with_the_others_once() -> None:
    """Two answers of one name are one; one without an exact part has no contrast, and is in nobody's."""
    named = ["France", "Brazil", "France", None, "Lyon"]
    answers = [said(TOKENIZER, f"It is in {name or 'no country'}.", name, correct=bool(name)) for name in named]
    whole = contrasts_of(against_the_mean(TOKENIZER, answers))
    assert whole.rows == (0, 1, 2, 4)
    assert whole.dropped == Counter({"there is no exact answer": 1})
    assert set(whole.tokens) == {first(f" {name}") for name in named if name}
    at = {name: whole.tokens.index(first(f" {name}")) for name in named if name}
    for row, name in zip(whole.weights, ["France", "Brazil", "France", "Lyon"], strict=True):
        expected = {other: 1.0 if other == name else -0.5 for other in at}
        assert {other: row[at[other]] for other in at} == expected


def test_others_are_spelt_as_the_answer_stands_in_the_text() -> None:
    answers = [said(TOKENIZER, *each) for each in (("France.", "France"), ("In Brazil.", "Brazil"), ("(Lyon)", "Lyon"))]
    of_first, of_second, of_third = against_the_mean(TOKENIZER, answers)
    assert isinstance(of_first, Contrast)
    assert of_first.foils == {first(name) for name in ("France", "Brazil", "Lyon")} == of_third.foils  # type: ignore[union-attr]
    assert of_second.foils == {first(f" {name}") for name in ("France", "Brazil", "Lyon")}  # type: ignore[union-attr]
    assert not of_first.foils & of_second.foils  # type: ignore[union-attr]


@given(st.sampled_from(COUNTRIES), st.sampled_from(["It is in ", "", "(", "I think:\n", 'the "', "São Paulo, "]))
def test_an_answer_in_its_own_place_has_its_own_first_token(name: str, before: str) -> None:
    answer = said(TOKENIZER, f"{before}{name}, yes.", name)
    assert answer.exact is not None
    assert token_in_place(TOKENIZER, answer, answer.exact, name) == answer_token(answer)


def test_wrong_answers_alone_are_contrasted_with_the_gold() -> None:
    answers = [
        said(TOKENIZER, "It is in Brazil.", "Brazil", correct=False),
        said(TOKENIZER, "It is in France.", "France", correct=True),
        said(TOKENIZER, "It is in Brazil.", "Brazil"),
        said(TOKENIZER, "I cannot say.", None),
        said(TOKENIZER, "It is in France.", "France", gold="France's neighbour", correct=False),
    ]
    whole = contrasts_of(against_the_gold(TOKENIZER, answers))
    assert whole.rows == (0,)
    assert set(whole.tokens) == {first(" Brazil"), first(" France")}
    assert whole.weights[0, whole.tokens.index(first(" Brazil"))] == 1
    assert whole.weights.sum() == 0
    assert whole.dropped == Counter(
        {
            "the answer is right": 1,
            "the answer is not judged": 1,
            "there is no exact answer": 1,
            "what it is told apart from begins with the same token": 1,
        }
    )


def test_a_token_for_what_is_unknown_spells_nothing() -> None:
    """A tokenizer of words has one token for all that it does not know."""
    words = Tokenizer(WordLevel({"[UNK]": 0, "It": 1, "is": 2, "Lyon": 3, "Brazil": 4}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    answer = said(tokenizer, "It is Lyon", "Lyon", correct=False)
    assert answer.exact is not None
    assert token_in_place(tokenizer, answer, answer.exact, "Brazil") == 4
    assert token_in_place(tokenizer, answer, answer.exact, "Ghana") is None


def test_what_cannot_be_spelt_is_nobodys_foil(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [said(TOKENIZER, f"It is in {name}.", name, correct=False) for name in ("Brazil", "Lyon")]
    monkeypatch.setattr(lens_targets, "encoded_text", lambda *args, **kwargs: ((1, 2), None))
    for against, why in (
        (against_the_mean, "what it is told apart from begins with the same token"),
        (against_the_gold, "the correct answer cannot be spelt in its place"),
    ):
        with pytest.raises(InputError, match=rf"{why} \(2\); take another --foil"):
            contrasts_of(against(TOKENIZER, answers))
