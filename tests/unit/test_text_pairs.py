"""Pairs of texts: which tokens stand for each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.patching.text_pairs import aligned_tokens

Tokens = tuple[int, ...]
texts = st.lists(st.integers(0, 3), max_size=9).map(tuple)


def common(first: Tokens, second: Tokens) -> int:
    """With how many equal tokens two texts begin."""
    n = 0
    while n < min(len(first), len(second)) and first[n] == second[n]:
        n += 1
    return n


@given(texts, texts)
def test_places_ascend_on_both_sides(clean: Tokens, corrupt: Tokens) -> None:
    aligned = aligned_tokens(clean, corrupt)
    for side, tokens in enumerate((clean, corrupt)):
        places = [pair[side] for pair in aligned]
        assert places == sorted(set(places))
        assert set(places) <= set(range(len(tokens)))


@given(texts, texts)
def test_what_both_begin_with_goes_by_index_and_what_both_end_with_from_the_end(clean: Tokens, corrupt: Tokens) -> None:
    aligned = aligned_tokens(clean, corrupt)
    before = common(clean, corrupt)
    after = min(common(clean[::-1], corrupt[::-1]), min(len(clean), len(corrupt)) - before)
    assert aligned[:before] == [(place, place) for place in range(before)]
    ends = [(place - len(clean), other - len(corrupt)) for place, other in aligned[len(aligned) - after :]]
    assert ends == [(-k, -k) for k in range(after, 0, -1)]
    if len(clean) == len(corrupt):
        assert aligned == [(place, place) for place in range(len(clean))], "texts of one length go token by token"


@given(texts, texts)
def test_the_other_way_round_the_same_tokens_stand_for_each_other(clean: Tokens, corrupt: Tokens) -> None:
    assert aligned_tokens(corrupt, clean) == [(second, first) for first, second in aligned_tokens(clean, corrupt)]


@pytest.mark.parametrize(
    ("clean", "corrupt", "within"),
    [
        ((4, 5, 6), (7, 8, 9), [(2, 2), (3, 3), (4, 4)]),
        ((4, 5, 6), (7, 8), [(2, 2), (4, 3)]),
        ((4, 5), (7, 8, 9, 9), [(2, 2), (3, 5)]),
        ((4, 5, 6), (7,), [(4, 2)]),
        ((4,), (7, 8), [(2, 3)]),
        ((4, 5), (), []),
    ],
)
def test_what_differs_goes_token_by_token_or_by_its_first_and_its_last(
    clean: Tokens, corrupt: Tokens, within: list[tuple[int, int]]
) -> None:
    """One token against several is against their last, which has read the others."""
    aligned = aligned_tokens((1, 2, *clean, 3), (1, 2, *corrupt, 3))
    assert aligned == [(0, 0), (1, 1), *within, (2 + len(clean), 2 + len(corrupt))]


def test_of_repeated_tokens_none_is_aligned_twice() -> None:
    assert aligned_tokens((1, 1, 1), (1, 1, 1, 1)) == [(0, 0), (1, 1), (2, 2)]
