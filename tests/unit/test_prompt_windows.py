"""Which tokens of a prompt are shown."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyses.parts.lens_prompt import COLUMNS, MOST_COLUMNS, Config, places_of, require_usable
from interp.errors import InputError

CONFIG = Config(prompt="Lyon")


@given(st.integers(1, 60), st.data())
def test_a_window_is_a_slice_whose_end_is_in_it(n_tokens: int, data: st.DataObject) -> None:
    ends = st.integers(-n_tokens, n_tokens - 1)
    first, last = data.draw(ends), data.draw(ends)
    expected = list(range(n_tokens))[first : None if last == -1 else last + 1]
    config = replace(CONFIG, tokens=f"{first}-{last}")
    if expected:
        assert places_of(config, n_tokens) == expected
    else:
        with pytest.raises(InputError, match="give the first token first"):
            places_of(config, n_tokens)
    assert places_of(replace(CONFIG, tokens=f"{first}-"), n_tokens) == list(range(n_tokens))[first:]
    assert places_of(replace(CONFIG, tokens=f"{first}"), n_tokens) == [range(n_tokens)[first]]


@given(st.integers(1, 300), st.integers(1, 9))
def test_a_stride_ends_at_the_last_token(n_tokens: int, stride: int) -> None:
    places = places_of(replace(CONFIG, stride=stride), n_tokens)
    assert places[-1] == n_tokens - 1
    assert {second - first for first, second in pairwise(places)} <= {stride}
    assert len(places) == min(COLUMNS, (n_tokens - 1) // stride + 1)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ("0-10", "--tokens has '0-10', and the prompt has the tokens 0 to 9"),
        ("10", "the prompt has the tokens 0 to 9"),
        ("-11-", "the prompt has the tokens 0 to 9"),
        ("5-2", "--tokens has '5-2', from 5 to 2; give the first token first"),
    ],
)
def test_a_window_outside_the_prompt_is_refused(tokens: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        places_of(replace(CONFIG, tokens=tokens), 10)


def test_a_picture_has_an_end() -> None:
    config = replace(CONFIG, tokens="0-")
    assert len(places_of(config, MOST_COLUMNS)) == MOST_COLUMNS
    with pytest.raises(InputError, match=f"{MOST_COLUMNS + 1} tokens are to be shown, and a picture has room for"):
        places_of(config, MOST_COLUMNS + 1)
    assert len(places_of(replace(config, stride=2), MOST_COLUMNS + 1)) == MOST_COLUMNS // 2 + 1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(CONFIG, prompt=""), "--prompt is empty"),
        (replace(CONFIG, stride=0), "--stride is 0; give a number from 1"),
        (replace(CONFIG, tokens="a-b"), "--tokens has 'a-b'; write a range such as 0-40"),
        (replace(CONFIG, tokens="--5"), "--tokens has '--5'; write a range"),
        (replace(CONFIG, tokens=""), "--tokens has ''; write a range"),
        (replace(CONFIG, layers="x"), "--layers has 'x'"),
        (replace(CONFIG, prompt=None, colour="kl"), "are of one prompt; give --prompt, or leave them out"),
        (replace(CONFIG, prompt=None, tokens="3-"), "are of one prompt; give --prompt, or leave them out"),
    ],
)
def test_flags_that_show_nothing_are_refused(config: Config, message: str) -> None:
    with pytest.raises(InputError, match=message):
        require_usable(config)
