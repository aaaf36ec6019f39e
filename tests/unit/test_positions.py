from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.errors import InputError
from interp.examples import Answer, Question, Span, TokenizedText
from interp.positions import (
    MISSING,
    PAPER_POSITIONS,
    Reason,
    coincidence,
    coinciding_pairs,
    missing_by_reason,
    position_table,
    replaced_shares,
    require_known,
    resolved_mask,
)


def tokenized(pieces: list[str]) -> TokenizedText:
    """A text whose tokens are these pieces of it."""
    ends = tuple(int(end) for end in np.cumsum([len(piece) for piece in pieces]))
    return TokenizedText("".join(pieces), ends, ends)


def answer_of(pieces: list[str], exact: Span | None, n_prompt: int = 3, identifier: str = "q") -> Answer:
    """An answer whose generated tokens are these pieces of text; an empty piece is a special token."""
    question = Question(identifier, "Who?", "gold", (), None, "test", identifier)
    return Answer(
        question=question,
        token_ids=tuple(range(n_prompt + len(pieces))),
        n_prompt=n_prompt,
        generated=tokenized(pieces),
        ended=True,
        exact=exact,
        correct=None if exact is None else True,
    )


@st.composite
def pieces_and_spans(draw: st.DrawFn) -> tuple[list[str], tuple[int, int] | None]:
    pieces = draw(st.lists(st.text("ab ", max_size=4), max_size=12))
    length = sum(map(len, pieces))
    if not length or draw(st.booleans()):
        return pieces, None
    start = draw(st.integers(0, length - 1))
    return pieces, (start, draw(st.integers(start + 1, length)))


@given(pieces_and_spans(), st.integers(1, 5))
def test_every_position_agrees_with_a_count_over_characters(
    generated: tuple[list[str], tuple[int, int] | None], n_prompt: int
) -> None:
    pieces, span = generated
    answer = answer_of(pieces, Span(*span) if span else None, n_prompt)
    table = position_table([answer])
    token = dict(zip(PAPER_POSITIONS, table["token"].values[0].tolist(), strict=True))
    assert token == _counted(answer, pieces)
    assert ((table["token"] == MISSING) == (table["reason"] != Reason.RESOLVED)).all()


def _counted(answer: Answer, pieces: list[str]) -> dict[str, int]:
    """Lay every token's characters out one by one, and look up the ones that are asked for."""
    owner = [answer.n_prompt + index for index, piece in enumerate(pieces) for _ in piece]
    generated = [answer.n_prompt + index for index in range(len(pieces))]
    every = list(range(answer.n_prompt)) + generated
    expected = dict.fromkeys(PAPER_POSITIONS, MISSING) | {"last_q": answer.n_prompt - 1}
    expected |= dict(zip(("first_answer", "second_answer"), generated, strict=False))
    if answer.exact is not None:
        first, last = owner[answer.exact.start], owner[answer.exact.stop - 1]
        expected |= {"exact_answer_before_first": first - 1, "exact_answer_first": first, "exact_answer_last": last}
        expected["exact_answer_after_last"] = last + 1 if last + 1 in every else MISSING
    return expected | {f"-{k}": generated[-k] for k in range(1, 9) if k <= len(generated)}


def test_the_columns_are_the_papers() -> None:
    assert len(PAPER_POSITIONS) == 15
    assert PAPER_POSITIONS[0] == "last_q"
    assert PAPER_POSITIONS[7:] == ("-8", "-7", "-6", "-5", "-4", "-3", "-2", "-1")


def test_missing_positions_say_why() -> None:
    short = answer_of(["Ghana"], Span(0, 5))
    silent = answer_of(["no", " idea", "."], None)
    table = position_table([short, silent], ["second_answer", "exact_answer_first", "exact_answer_after_last", "-2"])
    assert table["reason"].values.tolist() == [
        [Reason.AFTER_THE_END, Reason.RESOLVED, Reason.AFTER_THE_END, Reason.INTO_THE_PROMPT],
        [Reason.RESOLVED, Reason.NO_EXACT_ANSWER, Reason.NO_EXACT_ANSWER, Reason.RESOLVED],
    ]
    assert missing_by_reason(table) == {
        "second_answer": {"after_the_end": 1},
        "exact_answer_first": {"no_exact_answer": 1},
        "exact_answer_after_last": {"no_exact_answer": 1, "after_the_end": 1},
        "-2": {"into_the_prompt": 1},
    }
    assert resolved_mask(table).sum() == 3


def test_names_on_one_token_are_both_kept_and_counted() -> None:
    opens_with_it = answer_of(["Ghana", "."], Span(0, 5), identifier="a")
    ends_with_it = answer_of(["In ", "Ghana"], Span(3, 8), identifier="b")
    table = position_table([opens_with_it, ends_with_it], ["last_q", "exact_answer_before_first", "-8"])
    assert table["token"].values.tolist() == [[2, 2, MISSING], [2, 3, MISSING]]
    rate = coincidence(table)
    assert float(rate.sel(position="last_q", other_position="exact_answer_before_first")) == 0.5
    assert np.isnan(rate.sel(position="-8", other_position="-8"))
    assert coinciding_pairs(table) == {"last_q = exact_answer_before_first": 0.5}


def test_any_k_from_the_end() -> None:
    table = position_table([answer_of(["a"] * 20, None)], ["-17", "-21"])
    assert table["token"].values.tolist() == [[6, MISSING]]


@pytest.mark.parametrize("name", ["exact_anwser_first", "last", "01", "-0", "+1", "subject:frist", ":first"])
def test_an_unknown_position_names_the_nearest(name: str) -> None:
    with pytest.raises(InputError, match=f"unknown position '{name}'".replace("+", r"\+")):
        require_known(["last_q", name])


def test_the_nearest_name_is_given() -> None:
    with pytest.raises(InputError, match="nearest: exact_answer_first"):
        require_known(["exact_anwser_first"])


def test_a_position_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match="'-1' is given twice"):
        position_table([], ["-1", "last_q", "-1"])


def test_no_answers_give_an_empty_table() -> None:
    assert position_table([]).sizes == {"example": 0, "position": 15}


PROMPT = ["<user>", "Where", " is", " Li", "lle", "?", "<model>"]
TEXT = "".join(PROMPT)
SPANS = {"question": (6, 21), "subject": (15, 20)}


def prompted(pieces: list[str], exact: Span | None) -> Answer:
    answer = answer_of(pieces, exact, n_prompt=len(PROMPT))
    return replace(answer, prompt=tokenized(PROMPT), spans={name: Span(*span) for name, span in SPANS.items()})


def test_the_examples_spans_are_what_they_are_called() -> None:
    assert Span(*SPANS["question"]).of(TEXT) == "Where is Lille?"
    assert Span(*SPANS["subject"]).of(TEXT) == "Lille"


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("first_q", 1),
        ("question_last", 5),
        ("subject_first", 3),
        ("subject_last", 4),
        ("last_q", 6),
        ("0", 0),
        ("8", 8),
        ("11", Reason.AFTER_THE_END),
        ("question:first", 1),
        ("question:before", 0),
        ("question:after", 6),
        ("question:4", 5),
        ("question:5", Reason.OUTSIDE_THE_SPAN),
        ("question:-5", 1),
        ("question:-6", Reason.OUTSIDE_THE_SPAN),
        ("subject:0", 3),
        ("subject:-1", 4),
        ("exact_answer:before", 7),
        ("exact_answer:first", 8),
        ("exact_answer:1", 9),
        ("exact_answer:last", 9),
        ("exact_answer:after", 10),
        ("answer:first", 7),
        ("answer:last", 10),
        ("answer:after", Reason.AFTER_THE_END),
        ("-4", 7),
        ("-5", Reason.INTO_THE_PROMPT),
    ],
)
def test_every_name_has_its_token(name: str, token: int | Reason) -> None:
    table = position_table([prompted(["In ", "Fra", "nce", "."], Span(3, 9))], [name])
    found = int(table["token"][0, 0]), Reason(int(table["reason"][0, 0]))
    assert found == ((MISSING, token) if isinstance(token, Reason) else (token, Reason.RESOLVED))


def test_a_prompt_that_cannot_be_aligned_has_no_positions_inside() -> None:
    unaligned = replace(prompted(["Yes"], None), prompt=None)
    unmarked = replace(prompted(["Yes"], None), spans={"question": Span(6, 21)})
    table = position_table([unaligned, unmarked], ["subject_first", "question:first", "last_q"])
    assert table["reason"].values.tolist() == [
        [Reason.PROMPT_NOT_ALIGNED, Reason.PROMPT_NOT_ALIGNED, Reason.RESOLVED],
        [Reason.NO_SUCH_SPAN, Reason.RESOLVED, Reason.RESOLVED],
    ]


def test_a_span_at_the_very_start_has_nothing_before_it() -> None:
    answer = replace(prompted(["Yes"], None), spans={"question": Span(0, 3)})
    table = position_table([answer], ["question:before"])
    assert table["reason"].values.tolist() == [[Reason.BEFORE_THE_START]]


def test_a_span_that_no_answer_has_is_refused() -> None:
    with pytest.raises(InputError, match="unknown span 'subjcet'; nearest: subject"):
        position_table([prompted(["Yes"], None)], ["subjcet:first"])


def test_the_papers_policy_clamps_falls_back_and_says_where() -> None:
    names = ["exact_answer_first", "exact_answer_after_last", "-4", "-9", "second_answer"]
    ends_with_it = prompted(["In ", "Ghana"], Span(3, 8))
    silent = prompted(["No"], None)
    table = position_table([ends_with_it, silent], names, policy="paper")
    assert table.attrs["policy"] == "paper"
    assert table["token"].values.tolist() == [[8, 8, 5, 0, 8], [6, 6, 4, MISSING, MISSING]]
    assert table["replaced"].values.tolist() == [[False, True, True, True, False], [True, True, True, False, False]]
    strict = position_table([ends_with_it, silent], names)
    assert not strict["replaced"].any()


def test_the_papers_policy_looks_for_characters_not_words() -> None:
    """The published code finds "9" inside "19", and case does not matter to it."""
    answer = prompted(["19", " or ", "9", "."], Span(6, 7))
    table = position_table([answer], ["exact_answer_first"], policy="paper")
    assert table["token"].values.tolist() == [[7]]
    assert table["replaced"].values.tolist() == [[True]]
    assert position_table([answer], ["exact_answer_first"])["token"].values.tolist() == [[9]]


def test_the_papers_policy_takes_letters_that_become_two_for_one() -> None:
    answer = prompted(["İİİ", " is in", " Lyon", " today"], Span(10, 14))
    for name in ("exact_answer_first", "exact_answer_last"):
        paper = position_table([answer], [name], policy="paper")["token"].values
        assert paper.tolist() == position_table([answer], [name])["token"].values.tolist()


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(InputError, match="unknown policy 'papr'; nearest: paper"):
        position_table([], policy="papr")


def test_how_often_names_are_one_token_is_a_share_of_the_answers_that_have_both() -> None:
    opens_with_it, silent = answer_of(["Ghana", "."], Span(0, 5), identifier="a"), answer_of(["No", "."], None)
    table = position_table([opens_with_it, silent], ["last_q", "exact_answer_before_first"])
    assert coinciding_pairs(table) == {"last_q = exact_answer_before_first": 1.0}
    assert (coincidence(table).values == 1).all()


def test_an_answer_of_no_tokens_has_no_span() -> None:
    table = position_table([answer_of([], None)], ["answer:first", "answer:last"])
    assert (table["token"].values == MISSING).all()
    assert (table["reason"].values == Reason.NO_SUCH_SPAN).all()


def test_one_answer_of_many_whose_position_is_replaced_is_told() -> None:
    answers = [answer_of(["Ghana"], Span(0, 5), identifier=str(number)) for number in range(199)]
    table = position_table([*answers, answer_of(["No"], None)], ["exact_answer_first", "last_q"], policy="paper")
    assert replaced_shares(table) == {"exact_answer_first": 0.005}
