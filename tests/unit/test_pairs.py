"""Pairs of answers: disjoint, fitting, alike in their subjects' lengths, and the same for one seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyses.parts import patch_pairs, patching
from interp.errors import InputError
from interp.examples import Answer, Question, Span, TokenizedText
from interp.patching.pairs import Pair, given_pairs, groups_of_pairs, matched, subject_tokens
from interp.questions.question_set import QuestionSet
from interp.questions.vocabulary import Vocabulary

ENDS = tuple(range(1, 9))
PROMPT = TokenizedText("x" * len(ENDS), ENDS, ENDS)
"""Every character is a token."""


class Named(NamedTuple):
    """What decides whether an answer fits another."""

    name: str
    subject: int | None
    """How many tokens its subject has."""


def answer(identifier: str, subject: int | None = 1, names: tuple[str, ...] = ()) -> Answer:
    return Answer(
        Question(identifier, "?", "x", (), None, "test", identifier),
        token_ids=(*range(len(ENDS)), 9),
        n_prompt=len(ENDS),
        generated=TokenizedText("x", (1,), (1,)),
        ended=True,
        named=names,
        prompt=PROMPT,
        spans={} if subject is None else {"subject": Span(2, 2 + subject)},
    )


def same_name(clean: Answer, corrupt: Answer) -> str | None:
    return "the same name" if clean.named == corrupt.named else None


drawn_names = st.lists(st.builds(Named, st.sampled_from("abc"), st.sampled_from([None, 1, 2, 3])), max_size=14)
drawn_sides = st.tuples(drawn_names, st.none() | st.integers(0, 14))
"""Names, and where the clean side ends and the corrupt one begins; None where either is all of them."""
seeds = st.integers(0, 5)


def answers_of(names: list[Named]) -> list[Answer]:
    return [answer(f"q{index}", each.subject, (each.name,)) for index, each in enumerate(names)]


def sides_of(drawn: tuple[list[Named], int | None]) -> tuple[list[Answer], list[Answer]]:
    """As the command takes them: both sides of one set, or sides that share nothing."""
    answers, start = answers_of(drawn[0]), drawn[1]
    return (answers, answers) if start is None else (answers[:start], answers[start:])


def ids_of(pairs: list[Pair]) -> list[str]:
    return [each.question.id for pair in pairs for each in (pair.clean, pair.corrupt)]


@given(drawn_sides, seeds)
def test_pairs_are_disjoint_and_fit(drawn: tuple[list[Named], int | None], seed: int) -> None:
    clean, corrupt = sides_of(drawn)
    pairs, _ = matched(clean, corrupt, misfit=same_name, seed=seed)
    ids = ids_of(pairs)
    assert len(set(ids)) == len(ids), "no question is in two pairs, nor twice in one"
    for pair in pairs:
        assert pair.clean in clean
        assert pair.corrupt in corrupt
        assert same_name(pair.clean, pair.corrupt) is None
    assert len({pair.id for pair in pairs}) == len(pairs)


@given(drawn_sides, seeds)
def test_whoever_is_left_fits_nobody_who_is_left_and_is_counted(
    drawn: tuple[list[Named], int | None], seed: int
) -> None:
    clean, corrupt = sides_of(drawn)
    pairs, alone = matched(clean, corrupt, misfit=same_name, seed=seed)
    paired = set(ids_of(pairs))
    left, others = ([each for each in side if each.question.id not in paired] for side in (clean, corrupt))
    assert all(same_name(one, other) for one in left for other in others)
    assert alone.total() == len(left)
    assert set(alone) <= {"the same name", "no other question was left"}


@given(drawn_sides, seeds)
def test_a_partner_with_a_subject_of_as_many_tokens_goes_first(
    drawn: tuple[list[Named], int | None], seed: int
) -> None:
    clean, corrupt = sides_of(drawn)
    pairs, _ = matched(clean, corrupt, misfit=same_name, seed=seed)
    for index, pair in enumerate(pairs):
        if subject_tokens(pair.clean) == subject_tokens(pair.corrupt):
            continue
        taken = {*ids_of(pairs[:index]), pair.clean.question.id}
        fitting = [
            other for other in corrupt if other.question.id not in taken and same_name(pair.clean, other) is None
        ]
        assert subject_tokens(pair.clean) not in {subject_tokens(other) for other in fitting}


@given(drawn_names, seeds, st.randoms(use_true_random=False))
def test_the_seed_alone_decides(names: list[Named], seed: int, random: Random) -> None:
    answers = answers_of(names)
    shuffled = list(answers)
    random.shuffle(shuffled)
    assert matched(answers, answers, misfit=same_name, seed=seed) == matched(
        shuffled, shuffled, misfit=same_name, seed=seed
    )


def test_another_seed_gives_other_pairs_in_another_order() -> None:
    answers = [answer(f"q{index}", names=(str(index),)) for index in range(20)]
    found = {seed: [pair.id for pair in matched(answers, answers, misfit=same_name, seed=seed)[0]] for seed in range(4)}
    assert all(len(ids) == 10 for ids in found.values())
    assert len({frozenset(ids) for ids in found.values()}) == 4
    assert len({ids[0] for ids in found.values()}) > 1, "the order of the file does not decide who comes first"


def told(**reasons: str) -> Callable[[Answer, Answer], str]:
    return lambda clean, corrupt: reasons[corrupt.question.id]


def test_who_is_alone_is_counted_by_the_commonest_reason() -> None:
    others = [answer(identifier) for identifier in ("a", "b", "c")]
    pairs, alone = matched([answer("x")], others, misfit=told(a="short", b="long", c="long"), seed=0)
    assert pairs == []
    assert alone == {"long": 1}
    assert matched([answer("x")], [answer("x")], misfit=same_name, seed=0)[1] == {"no other question was left": 1}


def test_a_subject_has_as_many_tokens_as_the_prompt_spells_it_with() -> None:
    assert [subject_tokens(answer("x", subject)) for subject in (1, 3, None)] == [1, 3, None]
    # The second token has a part in two characters, and the third completes the second of them.
    prompt = TokenizedText("abcd", (1, 3, 3, 4), (1, 2, 3, 4))
    split = Answer(
        Question("q", "?", "x", (), None, "test", "q"),
        (1, 2, 3, 4, 5),
        4,
        TokenizedText("x", (1,), (1,)),
        ended=True,
        prompt=prompt,
        spans={"subject": Span(1, 3)},
    )
    assert subject_tokens(split) == 2


def test_given_pairs_are_two_rows_of_one_name_the_clean_one_first() -> None:
    answers = {f"q{index}": answer(f"q{index}", names=(name,)) for index, name in enumerate("abbaacd")}
    names = {"q0": "first", "q1": "second", "q2": "first", "q3": "second", "q4": "same", "q5": "alone", "q6": "same"}
    pairs, dropped = given_pairs(answers, names, misfit=same_name)
    assert [pair.id for pair in pairs] == ["q0 / q2", "q1 / q3", "q4 / q6"]
    assert dropped == {"no other row that is asked has the pair's name": 1}
    answers["q6"] = answer("q6", names=("a",))
    del names["q5"]
    pairs, dropped = given_pairs(answers, names, misfit=same_name)
    assert [pair.id for pair in pairs] == ["q0 / q2", "q1 / q3"]
    assert dropped == {"the same name": 1}


PAIR_NAMES = ("a", "a b", "ab", "7", "É")
around = st.sampled_from(["", " ", "  ", "\t", "\n", "\u00a0"])


def pairs_of_column(names: Mapping[str, str | int], answers: list[Answer]) -> list[tuple[str, str]]:
    """The questions that a column of a file pairs, for the verdict: a right answer and a wrong one."""
    questions = QuestionSet("test", (), Vocabulary({}), "nobody", columns={"pair": names})
    config = patching.Config(pair_column="pair", readout="verdict")
    pairs, dropped = patch_pairs.pairs_of(config, questions, answers, lambda *_: None)
    assert not dropped
    return [(pair.clean.question.id, pair.corrupt.question.id) for pair in pairs]


@given(rows=st.permutations(PAIR_NAMES * 2), data=st.data())
def test_spaces_around_a_pairs_name_in_a_file_are_none_of_it(rows: list[str], data: st.DataObject) -> None:
    """Within it they are; and a number is the name that it is written as."""
    answers = [replace(answer(f"q{row}"), correct=name not in rows[:row]) for row, name in enumerate(rows)]
    names = {f"q{row}": data.draw(around) + name + data.draw(around) for row, name in enumerate(rows)}
    expected = [(f"q{rows.index(name)}", f"q{rows.index(name, rows.index(name) + 1)}") for name in dict.fromkeys(rows)]
    assert pairs_of_column(names, answers) == expected
    number = {identifier: 7 for identifier, name in names.items() if name == "7"}
    assert pairs_of_column(names | number, answers) == expected


def test_given_pairs_are_in_the_order_of_the_file_whatever_the_order_of_the_answers() -> None:
    names = {"q0": "first", "q1": "first", "q2": "second", "q3": "second", "q4": "third", "q5": "third"}
    answers = {f"q{index}": answer(f"q{index}", names=(f"{index}",)) for index in (3, 1, 2, 0, 4)}
    pairs, dropped = given_pairs(answers, names, misfit=same_name)
    assert [pair.id for pair in pairs] == ["q0 / q1", "q2 / q3"]
    assert dropped == {"one of the two has no answer that is judged": 1}


def test_pairs_are_drawn_with_all_that_their_questions_are_tied_to() -> None:
    pairs = ["a / b", "c / d", "e / f", "g / h"]
    alone = {each: f"of {each}" for each in "abcdefgh"}
    assert groups_of_pairs(pairs, alone) == ["of a", "of c", "of e", "of g"]
    tied = alone | {"d": "x", "e": "x", "h": "of b"}
    assert groups_of_pairs(pairs, tied) == ["of a", "of c", "of c", "of a"]
    assert groups_of_pairs([], alone) == []


def test_a_pair_of_three_is_refused() -> None:
    with pytest.raises(InputError, match="pair 'x' has 3 rows; give each pair a clean row and a corrupted one"):
        given_pairs({each: answer(each) for each in "abc"}, dict.fromkeys("abc", "x"), misfit=same_name)
