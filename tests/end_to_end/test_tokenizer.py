"""Characters and their tokens on the real tokenizer, against the bytes that its tokens spell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from interp.models.model_sources import resolve_model
from interp.models.tokens import decoded_text, encoded_text
from tests.unit.test_tokens import Kind, expected_tokens, many, resolved_tokens, spelt_byte_level, texts


@pytest.fixture(scope="module")
def real() -> Kind:
    return Kind(AutoTokenizer.from_pretrained(resolve_model("smollm2-135m").folder), spelt_byte_level)


@many
@given(text=texts, cut=st.integers(0, 3))
def test_characters_belong_to_the_tokens_of_their_bytes(real: Kind, text: str, cut: int) -> None:
    ids, encoded = encoded_text(real.tokenizer, text, add_special_tokens=False)
    assert encoded is not None
    spelt = real.spelt(real.tokenizer, list(ids))
    assert b"".join(spelt) == text.encode()
    assert resolved_tokens(encoded, len(text)) == expected_tokens(text, spelt)
    kept = ids[: len(ids) - cut]
    decoded = decoded_text(real.tokenizer, kept)
    whole = b"".join(spelt[: len(kept)]).decode(errors="ignore")
    assert decoded.text.startswith(whole)
    assert resolved_tokens(decoded, len(whole)) == expected_tokens(whole, spelt)
