"""What is patched and in which passes: every column once, at the least cost, and vectors put where they belong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import jaxtyping
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.errors import InputError
from interp.models.hooked_model import padded
from interp.patching.interventions import Corruption, Direction, Intervention
from interp.patching.patches import Run, Target, Unit, put, target_table, units_of
from interp.patching.sweep import Column, shared_passes

COLUMNS = st.tuples(st.integers(0, 12), st.integers(1, 9)).map(lambda drawn: Column(drawn[0], sum(drawn)))
DEPTHS = st.sampled_from([0.5, 1.0, 3.5, 15.5])
PASS_TOKENS = st.sampled_from([0.0, 5.0, 75.0, 1000.0])
BUDGETS = st.integers(1, 200)


def width_of(columns: Sequence[Column]) -> int:
    return max(column.length for column in columns) - min(column.place for column in columns)


def cost_of(passes: Sequence[Sequence[Column]], depth: float, pass_tokens: float) -> float:
    return sum(pass_tokens + depth * width_of(together) * len(together) for together in passes)


def contiguous_partitions(columns: Sequence[Column]) -> Iterator[list[Sequence[Column]]]:
    if not columns:
        yield []
    for stop in range(1, len(columns) + 1):
        for rest in contiguous_partitions(columns[stop:]):
            yield [columns[:stop], *rest]


def fits(together: Sequence[Column], budget: int) -> bool:
    return len(together) <= max(budget // width_of(together), 1)


@given(columns=st.lists(COLUMNS, max_size=40), depth=DEPTHS, pass_tokens=PASS_TOKENS, budget=BUDGETS)
def test_every_column_runs_once_within_the_limit_and_for_no_more_than_alone(
    columns: list[Column], depth: float, pass_tokens: float, budget: int
) -> None:
    passes = shared_passes(columns, depth=depth, pass_tokens=pass_tokens, most=lambda width: budget // width)
    assert sorted(index for together in passes for index in together) == list(range(len(columns)))
    ran = [[columns[index] for index in together] for together in passes]
    assert all(fits(together, budget) for together in ran)
    alone = cost_of([[column] for column in columns], depth, pass_tokens)
    assert cost_of(ran, depth, pass_tokens) <= alone + 1e-9


@given(columns=st.lists(COLUMNS, max_size=8), depth=DEPTHS, pass_tokens=PASS_TOKENS, budget=BUDGETS)
def test_no_other_way_to_share_passes_costs_less(
    columns: list[Column], depth: float, pass_tokens: float, budget: int
) -> None:
    passes = shared_passes(columns, depth=depth, pass_tokens=pass_tokens, most=lambda width: budget // width)
    ours = cost_of([[columns[index] for index in together] for together in passes], depth, pass_tokens)
    best = min(
        cost_of(partition, depth, pass_tokens)
        for partition in contiguous_partitions(sorted(columns))
        if all(fits(together, budget) for together in partition)
    )
    assert ours == pytest.approx(best)


def test_neighbours_share_a_pass_where_a_pass_is_dear_and_none_where_it_is_free() -> None:
    columns = [Column(9, 10), Column(2, 10), Column(3, 10)]
    dear, free = (
        shared_passes(columns, depth=1.0, pass_tokens=tokens, most=lambda width: 100) for tokens in (1_000.0, 0.0)
    )
    assert dear == [(1, 2, 0)]
    assert free == [(1,), (2,), (0,)]


@given(n_layers=st.integers(1, 30), window=st.integers(1, 12), data=st.data())
def test_a_window_is_so_many_layers_around_its_centre_and_fewer_at_the_ends(
    n_layers: int, window: int, data: st.DataObject
) -> None:
    layers = sorted(data.draw(st.sets(st.integers(0, n_layers - 1), min_size=1)))
    units = units_of(layers, n_layers=n_layers, window=window)
    assert len(units) == len(layers)
    assert units == sorted(units, key=lambda unit: unit.first)
    for layer, unit in zip(layers, units, strict=True):
        # Of an even number of layers, one more is below the centre than above it.
        wanted = {layer - window // 2 + offset for offset in range(window)}
        assert set(range(unit.first, unit.last + 1)) == wanted & set(range(n_layers))
        assert unit.first <= layer <= unit.last


def test_heads_come_within_their_layer() -> None:
    assert units_of([1, 4], n_layers=6, n_heads=2) == [Unit(1, 1, 0), Unit(1, 1, 1), Unit(4, 4, 0), Unit(4, 4, 1)]
    assert units_of([0, 5], n_layers=6, window=3) == [Unit(0, 1), Unit(4, 5)]


@pytest.mark.parametrize("layer", [-1, 3])
def test_a_layer_that_the_model_has_not_is_refused(layer: int) -> None:
    with pytest.raises(InputError, match=f"no layer {layer}; its layers are 0 to 2$"):
        units_of([1, layer], n_layers=3)


@pytest.mark.parametrize(("setting", "known"), [("direction", "noise"), ("corruption", "zero")])
def test_an_intervention_that_is_not_known_is_refused(
    setting: str, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests check the types of all arguments; who uses the library does not.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(InputError, match=f"unknown {setting} '{known.title()}'; nearest: {known}"):
        Intervention(**{setting: known.title()})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("corruption", "direction", "receives_clean", "gives_other"),
    [
        ("question", "denoise", False, False),
        ("question", "noise", True, True),
        ("noise", "denoise", False, False),
        ("zero", "denoise", True, False),
        ("mean", "denoise", True, False),
        ("resample", "denoise", True, True),
    ],
)
def test_an_intervention_says_which_run_receives_and_which_gives(
    corruption: Corruption, direction: Direction, receives_clean: bool, gives_other: bool
) -> None:
    it = Intervention(corruption=corruption, direction=direction)
    assert (it.receives_clean, it.gives_other) == (receives_clean, gives_other)
    assert it.is_ablation == (corruption in ("zero", "mean", "resample"))


def test_a_run_is_read_at_each_place_once_in_order() -> None:
    run = Run((5, 6, 7, 8), (Target(3, 9), Target(1, 4), Target(3, 2)))
    assert run.places == (1, 3)
    assert target_table([run, run]).tolist() == [[[1, 9], [0, 4], [1, 2]]] * 2


@pytest.mark.parametrize("other", [(Target(1, 4),), (Target(1, 4), Target(1, 5))], ids=["targets", "places"])
def test_runs_that_are_read_in_different_ways_are_refused(other: tuple[Target, ...]) -> None:
    runs = [Run((5, 6, 7), (Target(1, 4), Target(2, 4))), Run((5, 6, 7), other)]
    with pytest.raises(InputError, match="runs that are patched together are read in different ways") as raised:
        target_table(runs)
    assert "\n" not in str(raised.value)


@given(seed=st.integers(0, 99), places=st.lists(st.integers(0, 4), min_size=1, max_size=5))
def test_a_vector_is_put_in_place_at_one_token_of_each_row(seed: int, places: list[int]) -> None:
    torch.manual_seed(seed)
    activation, donors = torch.randn(len(places), 5, 6), torch.randn(len(places), 6, dtype=torch.float64)
    expected = activation.clone()
    for row, place in enumerate(places):
        expected[row, place] = donors[row].float()
    put(activation, places, donors)
    assert torch.equal(activation, expected)


@pytest.mark.parametrize("head", [None, 0, 2])
def test_a_head_is_its_part_of_the_vector(head: int | None) -> None:
    activation, donors = torch.zeros(2, 5, 3, 4), torch.arange(1.0, 25.0).reshape(2, 12)
    part = activation[:, 1:]  # What a slice is given, what it is a slice of has too.
    put(part, [0, 3], donors, head)
    for row, place in ((0, 1), (1, 4)):
        for each in range(3):
            own = donors[row, 4 * each : 4 * each + 4] if head in (None, each) else torch.zeros(4)
            assert torch.equal(activation[row, place, each], own)
        activation[row, place] = 0
    assert not activation.any(), "nothing else is touched"


def test_sequences_are_padded_on_the_right() -> None:
    assert padded([(3, 4, 5), (6,)]).tolist() == [[3, 4, 5], [6, 0, 0]]
