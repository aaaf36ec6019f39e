"""The maps that examples' values make: against scikit-learn and NumPy on the drawn examples themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from interp.errors import InputError
from interp.results.example_values import AUC, MEAN, MEDIAN, ExampleValues, joint_draws

N, LAYERS, POSITIONS = 24, (3, 5, 8), ("last_q", "-1")


def examples(statistic: str, seed: int = 0, *, n: int = N, scorings: int = 1, first: int = 0) -> ExampleValues:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 9, size=(scorings, n, len(LAYERS), len(POSITIONS))).astype(np.float64)
    values[:, ::7, 1, 0] = np.nan
    names = range(first, first + n)
    positive = rng.random(n) < 0.5 if statistic == AUC else None
    ids, groups = tuple(f"q{number}" for number in names), tuple(f"g{number // 2}" for number in names)
    return ExampleValues(values, statistic, ids, groups, LAYERS, POSITIONS, positive)


@pytest.mark.parametrize("statistic", [AUC, MEAN, MEDIAN])
def test_the_map_of_a_draw_is_that_of_the_drawn_examples(statistic: str) -> None:
    of = examples(statistic, scorings=2 if statistic == AUC else 1)
    weights = np.random.default_rng(1).integers(0, 3, size=(4, N)).astype(np.float32)
    drawn = of.drawn(weights)
    for draw, layer, position in np.ndindex(4, len(LAYERS), len(POSITIONS)):
        expected = []
        for scores in of.values[:, :, layer, position]:
            rows = np.repeat(np.arange(N), weights[draw].astype(int))
            rows = rows[np.isfinite(scores[rows])]
            if of.positive is not None:
                expected.append(roc_auc_score(of.positive[rows], scores[rows]))
            elif statistic == MEAN:
                expected.append(scores[rows].mean())
            else:
                expected.append(np.quantile(scores[rows], 0.5, method="inverted_cdf"))
        assert drawn[draw, layer, position] == pytest.approx(np.mean(expected), rel=1e-6)


@pytest.mark.parametrize("statistic", [AUC, MEAN, MEDIAN])
def test_a_map_of_all_examples_is_known_and_another_is_not(statistic: str) -> None:
    of = examples(statistic)
    (everyone,) = of.drawn(np.ones((1, N), dtype=np.float32))
    own = np.nanmedian(of.values[0], axis=0) if statistic == MEDIAN else everyone
    assert of.gives(own)
    missing, other = own.copy(), own.copy()
    missing[0, 0] = np.nan
    other[2, 1] += 3.0
    assert of.gives(missing)
    assert not of.gives(other)
    assert not of.gives(own[:1])


@pytest.mark.parametrize("statistic", [AUC, MEAN])
def test_a_file_gives_back_what_was_saved_and_its_subsets(tmp_path: Path, statistic: str) -> None:
    of, some = examples(statistic), np.arange(N) % 3 == 0
    of.save(tmp_path / "examples.nc", also={"correct": some, "fold": np.zeros((1, N), dtype=np.int64)})
    loaded, subset = (ExampleValues.load(tmp_path / "examples.nc", name) for name in ("all", "correct"))
    np.testing.assert_array_equal(loaded.values, of.values)
    assert (loaded.ids, loaded.groups, loaded.layers, loaded.positions) == (of.ids, of.groups, LAYERS, POSITIONS)
    assert subset.ids == tuple(np.array(of.ids)[some])
    np.testing.assert_array_equal(subset.values, of.values[:, some])
    if of.positive is not None:
        assert loaded.positive is not None
        np.testing.assert_array_equal(loaded.positive, of.positive)


def test_what_is_no_such_file_is_refused_by_name(tmp_path: Path) -> None:
    examples(MEAN).save(tmp_path / "examples.nc")
    with pytest.raises(InputError, match=r"examples\.nc is not a file of examples' values"):
        ExampleValues.load(tmp_path / "examples.nc", "wrong")
    (tmp_path / "other.nc").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"other\.nc"):
        ExampleValues.load(tmp_path / "other.nc")


def test_examples_that_maps_share_are_drawn_as_often_in_all_and_groups_together() -> None:
    first, second = examples(MEAN), examples(MEAN, n=10, first=14)
    one, other = joint_draws([first, second], 50, np.random.default_rng(0))
    common = [first.ids.index(name) for name in second.ids]
    np.testing.assert_array_equal(one[:, common], other)
    np.testing.assert_array_equal(one[:, ::2], one[:, 1::2])
    assert one.mean() == pytest.approx(1, abs=0.1)


def test_examples_of_other_questions_share_no_more_than_their_groups() -> None:
    """Two files without ids, whose ids are the numbers of their rows."""
    first = replace(examples(MEAN), groups=tuple(f"one {number}" for number in range(N)))
    second = replace(first, groups=("one 0", *(f"other {number}" for number in range(1, N))))
    one, other = joint_draws([first, second], 50, np.random.default_rng(0), ["first", "second"])
    np.testing.assert_array_equal(one[:, 0], other[:, 0])
    assert not any((one[:, number] == other[:, number]).all() for number in range(1, N))
    np.testing.assert_array_equal(*joint_draws([first, second], 50, np.random.default_rng(0), ["same", "same"]))


def test_what_any_of_the_maps_keeps_together_is_drawn_together() -> None:
    """One map has the questions of an answer as one, the other every question apart."""
    rng = np.random.default_rng(0)
    apart = replace(examples(MEAN), groups=tuple(f"g{number}" for number in range(N)))
    by_answer = replace(examples(MEAN), groups=tuple(f"g{number - number % 4}" for number in range(N)))
    for maps in ([apart, by_answer], [by_answer, apart]):
        for weights in joint_draws(maps, 50, rng):
            of_answers = weights.reshape(50, N // 4, 4)
            assert (of_answers == of_answers[:, :, :1]).all()
    (alone,) = joint_draws([apart], 50, rng)
    assert not (alone[:, ::2] == alone[:, 1::2]).all()


def test_a_pair_is_drawn_with_both_of_its_questions() -> None:
    """In a map of questions, and in another one of pairs that has either question in another pair."""
    alone = replace(examples(MEAN), groups=tuple(f"g{number}" for number in range(N)))
    half = replace(examples(MEAN, n=N // 2), groups=tuple(f"g{2 * number}" for number in range(N // 2)))
    pairs = replace(half, ids=tuple(f"{alone.ids[n]} / {alone.ids[n + 1]}" for n in range(0, N, 2)))
    of_questions, of_pairs = joint_draws([alone, pairs], 50, np.random.default_rng(0))
    for side in (0, 1):
        np.testing.assert_array_equal(of_questions[:, side::2], of_pairs)
    other_way = replace(
        half, ids=tuple(f"{alone.ids[n + 1]} / another {n}" for n in range(0, N, 2)), groups=alone.groups[1::2]
    )
    np.testing.assert_array_equal(*joint_draws([pairs, other_way], 50, np.random.default_rng(0)))


def test_an_auc_needs_its_two_classes() -> None:
    with pytest.raises(ValueError, match="two classes"):
        ExampleValues(np.zeros((1, 1, 1, 1)), AUC, ("q",), ("g",), (0,), ("-1",))


def test_a_subset_has_its_own_groups_and_classes(tmp_path: Path) -> None:
    of, some = examples(AUC), np.arange(N) % 3 == 1
    of.save(tmp_path / "examples.nc", also={"correct": some})
    subset = ExampleValues.load(tmp_path / "examples.nc", "correct")
    assert of.positive is not None
    assert subset.positive is not None
    assert subset.groups == tuple(np.array(of.groups)[some])
    np.testing.assert_array_equal(subset.positive, of.positive[some])


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_map_of_small_values_is_known_to_single_precision_from_either_side(sign: int) -> None:
    of = examples(MEAN)
    of = replace(of, values=of.values / 100)
    (own,) = of.drawn(np.ones((1, N), dtype=np.float32))
    assert of.gives(own + sign * 5e-4)
    assert not of.gives(own + sign * 5e-3)


def test_the_map_of_several_scorings_is_their_mean() -> None:
    of = examples(MEAN, scorings=3)
    each = [replace(of, values=of.values[[row]]).drawn(np.ones((1, N), dtype=np.float32)) for row in range(3)]
    np.testing.assert_allclose(of.drawn(np.ones((1, N), dtype=np.float32)), np.mean(each, axis=0))
