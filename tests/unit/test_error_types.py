"""Types of errors: counted from clusters of samples, and told by a probe where there is something to tell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.errors import InputError
from interp.probes.cell_probe import NoValue, Probing
from interp.probes.error_types import (
    FEWEST_SAMPLES,
    RULES,
    TYPES,
    Cluster,
    Counts,
    ErrorType,
    Kind,
    TypeProbe,
    by_name,
    cluster_of,
    counts_of,
    disjoint_types,
    overlapping_types,
    type_probe,
    types_of,
)
from interp.probes.labels import Split
from interp.questions.answer_columns import MIN_PER_CLASS
from tests.sampled_answers import GOLD, NO_ANSWER, sampled, sampled_all

UNANSWERED, COMPETING, ALWAYS, MOSTLY, NEVER, AT_TIMES, MANY_WITHOUT, MANY_WITH = TYPES
WRONG = ["Chad", "Peru", "Niger", "Nigeria", "Mali"]
NAMES = st.lists(st.sampled_from([GOLD, NO_ANSWER, *WRONG]), min_size=FEWEST_SAMPLES, max_size=30)


@pytest.mark.parametrize(
    ("correct", "wrong", "no_answer", "by_code", "by_paper"),
    [
        (30, (), 0, {ALWAYS}, {ALWAYS}),
        (29, (1,), 0, {MOSTLY}, {MOSTLY}),
        (15, (15,), 0, {MOSTLY, AT_TIMES, COMPETING}, {MOSTLY, AT_TIMES, COMPETING}),
        (14, (10, 6), 0, {COMPETING}, {COMPETING}),
        (15, (9, 6), 0, {MOSTLY}, {MOSTLY}),
        (14, (16,), 0, {AT_TIMES, COMPETING}, {AT_TIMES, COMPETING}),
        (1, (29,), 0, {AT_TIMES}, {AT_TIMES}),
        (0, (15, 15), 0, {NEVER}, {NEVER}),
        (0, (14, 14, 2), 0, set(), set()),
        # Five of each are enough by the article, and one too few by the code.
        (5, (5, 4, 4, 4, 4, 4), 0, set(), {COMPETING}),
        (6, (6, 5, 5, 4, 4), 0, {COMPETING}, {COMPETING}),
        # Ten different answers are many by the code, "over ten" by the article.
        (0, (3,) * 10, 0, {MANY_WITHOUT}, set()),
        (0, (3,) * 9 + (2, 1), 0, {MANY_WITHOUT}, {MANY_WITHOUT}),
        (3, (3,) * 9, 0, {MANY_WITH}, set()),
        (3, (3,) * 8 + (2, 1), 0, {MANY_WITH}, {MANY_WITH}),
        (3, (4, 4, 4, 4, 4, 4, 3), 0, set(), set()),
        # No answer is the largest cluster by the code, half of all by the article.
        (3, (6, 6, 6), 9, {UNANSWERED}, set()),
        (0, (15,), 15, {UNANSWERED}, {UNANSWERED, NEVER}),
        (15, (), 15, {MOSTLY, AT_TIMES, COMPETING}, {UNANSWERED, MOSTLY}),
        (10, (), 10, {COMPETING}, set()),
    ],
)
def test_types_of_thirty_samples(
    correct: int, wrong: tuple[int, ...], no_answer: int, by_code: set[ErrorType], by_paper: set[ErrorType]
) -> None:
    counts = Counts(correct, wrong, no_answer, 30)
    assert types_of(counts) == by_code
    assert types_of(counts, "paper") == by_paper


def test_clusters_go_by_what_is_named() -> None:
    assert cluster_of(sampled("Niger")) != cluster_of(sampled("Nigeria"))
    assert cluster_of(sampled("the Niger")) == cluster_of(sampled("NIGER"))
    assert cluster_of(sampled(GOLD)) == Cluster(Kind.CORRECT)
    assert cluster_of(sampled(NO_ANSWER)) == Cluster(Kind.NO_ANSWER)
    assert cluster_of(sampled("Chad", judged=False)).kind is Kind.UNJUDGED


def test_clusters_are_counted() -> None:
    samples = [*sampled_all(["Chad", "Chad", "Peru", GOLD, NO_ANSWER]), sampled("Mali", judged=False)]
    assert counts_of(samples) == Counts(correct=1, wrong=(2, 1), no_answer=1, samples=6)


@given(NAMES, st.permutations(WRONG), st.randoms(), st.sampled_from(RULES))
def test_neither_order_nor_names_matter(names: list[str], others: list[str], random: object, rules: str) -> None:
    renamed = dict(zip(WRONG, others, strict=True))
    shuffled = [renamed.get(name, name) for name in names]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert counts_of(sampled_all(shuffled)) == counts_of(sampled_all(names))
    assert types_of(counts_of(sampled_all(shuffled)), rules) == types_of(counts_of(sampled_all(names)), rules)


@given(st.lists(NAMES, min_size=1, max_size=6), st.sampled_from(RULES))
def test_disjoint_types_are_one_of_the_overlapping_ones(questions: list[list[str]], rules: str) -> None:
    overlapping = overlapping_types([counts_of(sampled_all(names)) for names in questions], rules)
    disjoint = disjoint_types(overlapping)
    assert not (disjoint & ~overlapping).any()
    assert (disjoint.sum(1) == overlapping.any(1)).all()
    for row, held in zip(disjoint, overlapping, strict=True):
        assert row.argmax() == held.argmax(), "the first"


@given(NAMES, st.sampled_from(RULES), st.data())
def test_more_correct_samples_leave_it_consistently_correct(names: list[str], rules: str, data: st.DataObject) -> None:
    counts = counts_of(sampled_all(names))
    place = data.draw(st.integers(0, len(names) - 1))
    better = [*names[:place], GOLD, *names[place + 1 :]]
    if types_of(counts, rules) & {ALWAYS, MOSTLY}:
        assert types_of(counts_of(sampled_all(better)), rules) & {ALWAYS, MOSTLY}
    assert not types_of(counts_of(sampled_all(better)), rules) & {NEVER, MANY_WITHOUT}


@given(NAMES, st.sampled_from(RULES), st.data())
def test_fewer_answers_leave_it_without_one(names: list[str], rules: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(names) - 1))
    fewer = [*names[:place], NO_ANSWER, *names[place + 1 :]]
    if UNANSWERED in types_of(counts_of(sampled_all(names)), rules):
        assert UNANSWERED in types_of(counts_of(sampled_all(fewer)), rules)


@given(NAMES, st.sampled_from(RULES))
def test_a_type_that_is_halved_is_the_one_or_the_other(names: list[str], rules: str) -> None:
    held = {
        name: bool(rows[0]) for name, rows in by_name(overlapping_types([counts_of(sampled_all(names))], rules)).items()
    }
    for whole in ("consistently correct", "consistently incorrect", "many answers"):
        halves = [value for name, value in held.items() if name.startswith(f"{whole}:")]
        assert held[whole] == any(halves)
        assert sum(halves) <= 1
    assert list(held)[:3] == ["no answer", "two competing", "consistently correct"]


def test_what_cannot_be_typed_is_refused() -> None:
    with pytest.raises(ValueError, match="8 samples are too few"):
        types_of(Counts(8, (), 0, 8))
    with pytest.raises(InputError, match="unknown rules 'pepar'; nearest: paper"):
        types_of(Counts(9, (), 0, 9), "pepar")
    assert overlapping_types([]).shape == (0, len(TYPES))


N = 300
RNG = np.random.default_rng(0)
OF_TYPE = RNG.random(N) < 0.3
GROUPS = [f"g{index // 2}" for index in range(N)]


def probed(strength: float, *, of_type: np.ndarray = OF_TYPE, missing: int = 0) -> TypeProbe:
    features = np.random.default_rng(1).normal(size=(N, 8))
    features[:, 0] += strength * of_type
    features[:missing] = np.nan
    present = np.arange(N) >= missing
    return type_probe(torch.from_numpy(features).float(), present, of_type, GROUPS, Split(), Probing(nested=False))


def test_a_planted_type_is_told_and_noise_is_not() -> None:
    planted, noise = probed(4.0), probed(0.0)
    assert planted.auc.low > 0.95
    assert noise.auc.low < 0.5 < noise.auc.high
    assert (planted.n, planted.n_of_type, planted.why_missing) == (N, int(OF_TYPE.sum()), NoValue.HAS_VALUE)


def test_questions_without_the_position_are_left_out() -> None:
    told = probed(4.0, missing=50)
    assert (told.n, told.n_of_type) == (N - 50, int(OF_TYPE[50:].sum()))
    assert told.auc.low > 0.9


@pytest.mark.parametrize(
    ("n_of_type", "reason"),
    [(0, NoValue.ONE_CLASS_ONLY), (2, NoValue.TOO_FEW_OF_A_CLASS), (MIN_PER_CLASS - 1, NoValue.TOO_FEW_OF_A_CLASS)],
)
def test_a_type_with_few_questions_has_no_value(n_of_type: int, reason: NoValue) -> None:
    told = probed(4.0, of_type=np.arange(N) < n_of_type)
    assert told.why_missing is reason
    assert np.isnan(told.auc).all()
    assert told.n_of_type == n_of_type
