from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard
from scipy.stats import ortho_group, quantile_test

from interp.activations.activation_map import (
    MIN_EXAMPLES,
    QUANTITIES,
    NoValue,
    activation_maps,
    median_interval,
    top_direction,
)
from interp.activations.store import Cells
from interp.figures.plot import heatmap_figure
from interp.results.heatmap import Heatmap


@dataclass(frozen=True)
class InMemory:
    """Cells of a store that is not on disk, with a count of how often each was read."""

    layers: tuple[int, ...]
    positions: tuple[str, ...]
    activations: torch.Tensor
    reads: Counter[tuple[int, str]] = field(default_factory=Counter)

    @property
    def examples(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.activations.shape[2])))

    def cell(self, layer: int, position: str) -> torch.Tensor:
        self.reads[layer, position] += 1
        return self.activations[self.layers.index(layer), self.positions.index(position)]


def stand_in(*shape: int, layers: tuple[int, ...] | None = None, dtype: torch.dtype = torch.float32) -> InMemory:
    """Random cells of shape (layers, positions, examples, width), each layer's added to the one before."""
    random = np.random.default_rng(0).normal(size=shape) * np.linspace(0.5, 2, shape[-1])
    positions = ("last_q", "first_answer", "-1")[: shape[1]]
    return InMemory(layers or tuple(range(shape[0])), positions, torch.from_numpy(random.cumsum(0)).to(dtype))


def everywhere(store: InMemory) -> np.ndarray:
    return np.ones((len(store.examples), len(store.positions)), dtype=bool)


def reasons(heatmap: Heatmap) -> list[list[NoValue]]:
    return [[NoValue(code) for code in row] for row in heatmap.data["why_missing"].values]


def test_the_stand_in_is_what_the_maps_take() -> None:
    assert isinstance(stand_in(1, 1, 4, 2), Cells)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_are_those_of_their_definitions(dtype: torch.dtype) -> None:
    store = stand_in(4, 2, 50, 8, dtype=dtype)
    maps = activation_maps(store, everywhere(store))
    x = store.activations.double().numpy()
    norms = np.sqrt((x**2).sum(-1))
    growth = norms[1:] / norms[:-1]
    cosine = (x[1:] * x[:-1]).sum(-1) / (norms[1:] * norms[:-1])
    for quantity, first, examples in (("norm", 0, norms), ("growth", 1, growth), ("cosine", 1, cosine)):
        data = maps[quantity].data.isel(layer=slice(first, None))
        np.testing.assert_allclose(data["value"], np.median(examples, axis=-1))
        for name, share in (("q05", 0.05), ("q25", 0.25), ("q75", 0.75), ("q95", 0.95)):
            np.testing.assert_allclose(data[name], np.quantile(examples, share, axis=-1))
        assert ((data["q05"] < data["low"]) & (data["low"] < data["value"])).all()
        assert ((data["value"] < data["high"]) & (data["high"] < data["q95"])).all()
    for layer, column in np.ndindex(4, 2):
        eigenvalues = np.linalg.eigvalsh(np.cov(x[layer, column].T))
        data = maps["top-direction"].data.isel(layer=layer, position=column)
        np.testing.assert_allclose(data["value"], eigenvalues[-1] / eigenvalues.sum())
        np.testing.assert_allclose(data["second_share"], eigenvalues[-2] / eigenvalues.sum())
        np.testing.assert_allclose(data["total_variance"], eigenvalues.sum())


def test_examples_without_the_position_do_not_count() -> None:
    store = stand_in(3, 2, 60, 6)
    mask = everywhere(store)
    mask[::3, 1] = False
    whole = activation_maps(store, mask)
    store.activations[:, 1, ::3] = torch.nan
    for quantity, heatmap in activation_maps(store, mask).items():
        assert heatmap.data.identical(whole[quantity].data)
        assert heatmap.data["n"].values.tolist() == [[60, 40]] * 3
    kept = InMemory(store.layers, ("-1",), store.activations[:, 1:, mask[:, 1]])
    alone = activation_maps(kept, everywhere(kept))
    for quantity, heatmap in whole.items():
        np.testing.assert_array_equal(heatmap.data["value"][:, 1], alone[quantity].data["value"][:, 0])


def test_the_layer_before_is_the_models_not_the_row_above() -> None:
    whole = stand_in(7, 1, 30, 5)
    kept = (1, 2, 5, 6)
    store = InMemory(kept, whole.positions, whole.activations[list(kept)])
    maps, of_whole = activation_maps(store, everywhere(store)), activation_maps(whole, everywhere(whole))
    for quantity in QUANTITIES:
        data = maps[quantity].data
        assert data["layer"].values.tolist() == list(kept)
        there = data["layer"].values[~data["value"].isnull().values[:, 0]].tolist()
        assert there == ([2, 6] if quantity in ("growth", "cosine") else list(kept))
        np.testing.assert_array_equal(data["value"].sel(layer=there), of_whole[quantity].data["value"].sel(layer=there))
    absent = [NoValue.LAYER_BEFORE_NOT_KEPT]
    assert reasons(maps["growth"]) == [absent, [NoValue.HAS_VALUE], absent, [NoValue.HAS_VALUE]]
    assert reasons(of_whole["cosine"])[0] == [NoValue.NO_LAYER_BEFORE]
    meanings = maps["growth"].data.attrs["why_missing_meanings"].split()
    assert meanings[NoValue.LAYER_BEFORE_NOT_KEPT] == "layer_before_not_kept"


@pytest.mark.parametrize("overflow", [torch.inf, -torch.inf, torch.nan])
def test_an_overflow_is_a_reason_never_a_number(overflow: float) -> None:
    store = stand_in(4, 1, 30, 5)
    store.activations[1, 0, 7, 2] = overflow
    for quantity, heatmap in activation_maps(store, everywhere(store)).items():
        missing = {1, 2} | {0} if quantity in ("growth", "cosine") else {1}
        assert set(np.flatnonzero(heatmap.data["value"].isnull())) == missing
        assert reasons(heatmap)[1] == [NoValue.ACTIVATIONS_NOT_FINITE]
        for name in ("low", "high", *(name for name in heatmap.data if name not in ("n", "why_missing", "value"))):
            assert heatmap.data[name].isnull()[list(missing)].all()


def test_large_numbers_of_half_precision_do_not_overflow() -> None:
    store = InMemory((0, 1), ("-1",), torch.full((2, 1, 30, 4), 6e4, dtype=torch.float16))
    maps = activation_maps(store, everywhere(store), quantities=["norm", "cosine"])
    large = float(torch.tensor(6e4, dtype=torch.float16))
    np.testing.assert_allclose(maps["norm"].data["value"], 2 * large)
    assert maps["cosine"].data["value"].values[1, 0] == pytest.approx(1)


def test_nothing_grows_from_zero_and_zero_has_no_direction() -> None:
    store = stand_in(4, 1, 30, 5)
    store.activations[1, 0, 7] = 0
    maps = activation_maps(store, everywhere(store))
    there, zero = [NoValue.HAS_VALUE], [NoValue.AN_ACTIVATION_IS_ZERO]
    assert reasons(maps["growth"]) == [[NoValue.NO_LAYER_BEFORE], there, zero, there]
    assert reasons(maps["cosine"]) == [[NoValue.NO_LAYER_BEFORE], zero, zero, there]
    assert reasons(maps["norm"]) == [there] * 4
    assert maps["growth"].data["q05"].values[1, 0] > 0


@pytest.mark.parametrize("n", [0, 1, 5, 6, MIN_EXAMPLES - 1, MIN_EXAMPLES])
def test_few_examples_have_no_interval_and_fewer_no_direction(n: int) -> None:
    store = stand_in(2, 1, 30, 5)
    mask = everywhere(store)
    mask[n:] = False
    maps = activation_maps(store, mask)
    for quantity in ("norm", "growth", "cosine"):
        data = maps[quantity].data.isel(layer=1)
        assert data["n"].values == n
        assert bool(data["value"].isnull()) == (n == 0)
        assert bool(data["low"].isnull()) == bool(data["high"].isnull()) == (n < 6)
    expected = NoValue.NO_EXAMPLE if n == 0 else NoValue.TOO_FEW_EXAMPLES if n < MIN_EXAMPLES else NoValue.HAS_VALUE
    assert reasons(maps["top-direction"]) == [[expected]] * 2


def test_the_same_activation_in_every_example_has_no_top_direction() -> None:
    store = InMemory((0,), ("0",), torch.randn(1, 1, 1, 6).expand(1, 1, 30, 6))
    maps = activation_maps(store, everywhere(store))
    assert reasons(maps["top-direction"]) == [[NoValue.NO_VARIANCE]]
    assert reasons(maps["norm"]) == [[NoValue.HAS_VALUE]]


def test_every_cell_is_read_once_whatever_is_asked_for() -> None:
    store = stand_in(3, 2, 25, 4)
    maps = activation_maps(store, everywhere(store), quantities=["growth", "top-direction"])
    assert list(maps) == ["growth", "top-direction"]
    assert set(store.reads.values()) == {1}
    assert len(store.reads) == 6
    whole = activation_maps(store, everywhere(store))
    assert all(maps[quantity].data.identical(whole[quantity].data) for quantity in maps)


def test_maps_survive_their_files_and_say_what_they_are_of(tmp_path: Path) -> None:
    store = stand_in(3, 2, 25, 4)
    residual, attention = (activation_maps(store, everywhere(store), site=site) for site in ("resid_post", "attn_out"))
    assert residual["norm"].data.attrs["metric"] == "median norm of the residual stream"
    assert attention["norm"].data.attrs["metric"] == "median norm of attn_out"
    for quantity, heatmap in attention.items():
        assert (heatmap.data.attrs["kind"], heatmap.data.attrs["quantity"]) == ("activation", quantity)
        heatmap.save(tmp_path / f"{quantity}.nc")
        loaded = Heatmap.load(tmp_path / f"{quantity}.nc")
        assert loaded.data.identical(heatmap.data)
        assert loaded.scale == heatmap.scale


@pytest.mark.parametrize("size", [1e-4, 1.0, 3e5])
def test_scales_hold_every_value(size: float) -> None:
    store = stand_in(6, 3, 25, 4)
    store.activations[:, 1] *= size
    store.activations[3] *= 40
    for heatmap in activation_maps(store, everywhere(store)).values():
        assert not heatmap_figure(heatmap).axes[0].lines, "nothing is marked as off the scale"
        value = heatmap.data["value"].values
        assert np.nanmin(value) >= heatmap.scale.low
        assert np.nanmax(value) <= heatmap.scale.high


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80))
def test_the_medians_interval_is_scipys(values: list[float]) -> None:
    interval = median_interval(np.array(values))
    assert interval.value == np.median(values)
    if len(values) < 6:
        assert np.isnan([interval.low, interval.high]).all()
    else:
        expected = quantile_test(values, p=0.5).confidence_interval(0.95)
        assert (interval.low, interval.high) == (expected.low, expected.high)


@pytest.mark.parametrize("n", [6, 25, 200])
def test_the_medians_interval_covers_whatever_the_distribution(n: int) -> None:
    for draw in ("lognormal", "standard_cauchy", "uniform"):
        rng = np.random.default_rng(n)
        truth = {"lognormal": 1.0, "standard_cauchy": 0.0, "uniform": 0.5}[draw]
        intervals = [median_interval(getattr(rng, draw)(size=n)) for _ in range(2000)]
        covered = np.mean([interval.low <= truth <= interval.high for interval in intervals])
        assert 0.94 <= covered <= 0.985


def eigenvalue_shares(vectors: np.ndarray) -> np.ndarray:
    eigenvalues: np.ndarray = np.linalg.eigvalsh(np.atleast_2d(np.cov(vectors.T)))[::-1]
    return eigenvalues / eigenvalues.sum()


NORMAL = np.random.default_rng(1).normal(size=(120, 90))
CASES: Mapping[str, np.ndarray] = {
    "tall": NORMAL[:, :20],
    "wide": NORMAL[:30],
    "square": NORMAL[:91],
    "decaying": NORMAL / np.arange(1, 91),
    "far from the origin": NORMAL * np.linspace(0.1, 1, 90) + 3e4,
    "one huge feature": NORMAL * np.where(np.arange(90) == 7, 1e5, 1),
    "three features": NORMAL[:, :3],
    "two features": NORMAL[:, :2],
    "all eigenvalues are the same": hadamard(64)[:, 1:].astype(float),
    "the first two are the same": np.vstack([np.diag([2.0, 2, 1, 1]), -np.diag([2.0, 2, 1, 1])] * 5),
}


@pytest.mark.parametrize("name", CASES)
def test_the_top_direction_is_numpys(name: str) -> None:
    expected = eigenvalue_shares(CASES[name])
    top = top_direction(CASES[name])
    assert top.share.value == pytest.approx(expected[0], rel=1e-9)
    assert top.second_share == pytest.approx(expected[1], rel=1e-9)
    assert top.total_variance == pytest.approx(CASES[name].var(0, ddof=1).sum(), rel=1e-9)
    assert 0 <= top.share.low <= top.share.value <= top.share.high <= 1
    assert top_direction(CASES[name]) == top


@pytest.mark.parametrize("width", [1, 2, 40])
def test_what_lies_on_a_line_has_a_share_of_one_and_no_interval(width: int) -> None:
    top = top_direction(NORMAL[:, :1] @ np.linspace(1, 2, width)[None] + 5)
    assert top.share.value == 1
    assert np.isnan([top.share.low, top.share.high]).all()


@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_a_share_is_that_of_the_same_vectors_turned_shifted_and_scaled(seed: int, scale: float, shift: float) -> None:
    vectors = NORMAL[:, :6] * np.array([3, 1.5, 1, 1, 1, 0.5])
    turned = scale * vectors @ ortho_group.rvs(6, random_state=seed) + shift
    np.testing.assert_allclose(top_direction(turned).share, top_direction(vectors).share, rtol=1e-6)


@pytest.mark.parametrize(
    ("n", "width", "largest", "degrees_of_freedom"),
    [(50, 20, 20, 0), (100, 10, 10, 0), (200, 20, 20, 0), (200, 200, 20, 0), (200, 20, 5, 8), (100, 100, 1, 0)],
)
def test_intervals_of_the_share_cover_it(n: int, width: int, largest: float, degrees_of_freedom: int) -> None:
    """Of examples whose first feature has `largest` times the variance of each other one."""
    deviations = np.sqrt([largest, *[1.0] * (width - 1)])
    covered = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        drawn = rng.standard_t(degrees_of_freedom, (n, width)) if degrees_of_freedom else rng.normal(size=(n, width))
        _, low, high = top_direction(drawn * deviations).share
        covered.append(low <= largest / (largest + width - 1) <= high)
    assert 0.925 <= np.mean(covered) <= 1.0


def test_without_a_top_direction_the_share_is_too_high_and_the_interval_says_so() -> None:
    shares = [top_direction(np.random.default_rng(seed).normal(size=(200, 200))).share for seed in range(20)]
    assert np.mean([share.value for share in shares]) > 3 * 0.005
    assert all(share.low < 0.005 for share in shares)
    distinct = top_direction(NORMAL * np.where(np.arange(90) == 7, 10, 1)).share
    assert distinct.low > 0.8 * distinct.value, "where one stands out the interval stays narrow"
