"""Texts to train on: every context counts once, and what is set aside is not trained on."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.errors import InputError
from interp.lenses.training_text import (
    FEWEST,
    TextSequence,
    answer_sequences,
    counted_once,
    file_sequences,
    n_counted,
    shared_tokens,
    training_text,
)
from tests.random_answers import BEGINNING, random_answers
from tests.tiny_models import trained_tokenizer

TOKENS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), min_size=1, max_size=12)


def contexts(sequences: Any) -> list[tuple[int, ...]]:
    """The counted tokens, each with all that is before it."""
    return [each.tokens[: place + 1] for each in sequences for place in range(each.start, len(each.tokens))]


@given(TOKENS)
def test_every_context_is_counted_once(tokens: list[tuple[int, ...]]) -> None:
    counted = counted_once([TextSequence(each, str(index)) for index, each in enumerate(tokens)])
    assert [each.tokens for each in counted] == tokens
    found = contexts(counted)
    assert len(found) == len(set(found)) == n_counted(counted)
    assert set(found) == {each[: place + 1] for each in tokens for place in range(len(each))}


@given(TOKENS)
def test_what_all_sequences_begin_with_leaves_each_a_token(tokens: list[tuple[int, ...]]) -> None:
    shared = shared_tokens([TextSequence(each, "") for each in tokens])
    longest = max(n for n in range(min(map(len, tokens))) if all(each[:n] == tokens[0][:n] for each in tokens))
    assert shared == tokens[0][:longest]


@given(TOKENS, st.integers(0, 3))
def test_no_context_that_is_set_aside_is_trained_on(tokens: list[tuple[int, ...]], seed: int) -> None:
    # Ten groups of two or more sequences, of which some are the same.
    sequences = [TextSequence((*each, number % 3), str(number % 30)) for number in range(60) for each in tokens[:2]]
    text = training_text(sequences, share=0.4, seed=seed)
    found = [contexts(part) for part in (text.training, text.stopping, text.held_out)]
    assert sum(map(len, found)) == len(set().union(*found))
    groups = [{each.group for each in part} for part in (text.training, text.stopping, text.held_out)]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert all(each.n_counted for each in text.everything)


def test_answers_that_begin_alike_count_their_beginning_once() -> None:
    text = training_text(answer_sequences(random_answers(50)), share=0.2, seed=0)
    assert [len(part) for part in (text.training, text.stopping, text.held_out)] == [40, 5, 5]
    assert text.training[0].start == 0
    assert all(each.start >= len(BEGINNING) for each in text.everything[1:])
    again = training_text(answer_sequences(random_answers(50)), share=0.2, seed=0)
    assert again.sha256 == text.sha256
    assert training_text(answer_sequences(random_answers(50)), share=0.2, seed=1).sha256 != text.sha256


@pytest.mark.parametrize(("n", "share"), [(0, 0.2), (10, 0.2), (2 * FEWEST, 0.99)])
def test_a_text_of_too_few_sequences_is_refused(n: int, share: float) -> None:
    with pytest.raises(InputError, match=f"of {n} sequences of text .* give more text"):
        training_text(answer_sequences(random_answers(n)), share=share, seed=0)


def test_a_file_is_cut_into_sequences_that_begin_as_the_tokenizer_begins_a_text(tmp_path: Path) -> None:
    tokenizer = trained_tokenizer()
    path = tmp_path / "text.txt"
    path.write_text("São Paulo is in Brazil. " * 20, encoding="utf-8")
    whole = tuple(tokenizer(path.read_text(), add_special_tokens=False)["input_ids"])
    plain = file_sequences(path, tokenizer, 16)
    assert tuple(chain.from_iterable(each.tokens for each in plain)) == whole
    assert [len(each.tokens) for each in plain[:-1]] == [16] * (len(plain) - 1)

    class Begins:
        is_fast = False

        def __call__(self, text: str, **passed: Any) -> Any:
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            return {"input_ids": ids if passed.get("add_special_tokens") is False else [0, *ids]}

        def __getattr__(self, name: str) -> Any:
            return getattr(tokenizer, name)

    begun = file_sequences(path, Begins(), 16)
    assert tuple(chain.from_iterable(each.tokens[1:] for each in begun)) == whole
    assert {each.tokens[0] for each in begun} == {0}
    assert max(len(each.tokens) for each in begun) == 16
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for other in ("bytes", "absent"):
        with pytest.raises(InputError, match=f"{other} is no text file"):
            file_sequences(tmp_path / other, tokenizer, 16)
