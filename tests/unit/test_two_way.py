"""How much of a map its columns and its layers explain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.statistics.two_way import two_way


def table_of(seed: int, shape: tuple[int, int], missing: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=shape)
    table[rng.random(shape) < missing] = np.nan
    return table


def of_dummies(table: np.ndarray) -> tuple[float, float, float]:
    """R² of three regressions on dummies, each cell a row: the definition, written out."""
    known = [(row, column) for row, column in np.ndindex(table.shape) if np.isfinite(table[row, column])]
    y = np.array([table[at] for at in known])
    row = np.array([[at[0] == each for each in range(table.shape[0])] for at in known], dtype=float)
    column = np.array([[at[1] == each for each in range(table.shape[1])] for at in known], dtype=float)

    def explained(x: np.ndarray) -> float:
        rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        return float(1 - (rest**2).sum() / ((y - y.mean()) ** 2).sum())

    return explained(column), explained(row), explained(np.hstack([row, column]))


@given(st.integers(0, 10_000), st.integers(2, 7), st.integers(2, 6), st.sampled_from([0.0, 0.2, 0.6]))
def test_shares_are_those_of_regressions_on_dummies(seed: int, rows: int, columns: int, missing: float) -> None:
    table = table_of(seed, (rows, columns), missing)
    found = two_way(table)
    if found is None:
        assert min(np.isfinite(table).any(0).sum(), np.isfinite(table).any(1).sum()) < 2
    else:
        assert found.explained == pytest.approx(of_dummies(table), abs=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_a_planted_effect_explains_everything(scale: float) -> None:
    rows, columns = np.arange(5.0)[:, None] * scale, np.array([3.0, 1.0, 4.0, 1.5])[None] * scale
    nothing = np.zeros((5, 4))
    for table, shares in ((columns + nothing, (1, 0, 1)), (rows + nothing, (0, 1, 1))):
        found = two_way(table)
        assert found is not None
        assert found.explained == pytest.approx(shares, abs=1e-9)
    both = two_way(rows + columns)
    assert both is not None
    assert both.explained.both == pytest.approx(1)
    assert both.explained.columns + both.explained.rows == pytest.approx(1)


def test_missing_cells_do_not_count_as_zeros() -> None:
    table = np.array([10.0, 11.0, 12.0])[None] + np.zeros((4, 3))
    table[[0, 2], [1, 0]] = np.nan
    found = two_way(table)
    assert found is not None
    assert found.explained.columns == pytest.approx(1)


def test_what_is_expected_of_noise_is_what_noise_gives() -> None:
    drawn = [two_way(table_of(seed, (6, 5), missing=0.2)) for seed in range(400)]
    found = np.array([each.explained for each in drawn if each is not None])
    expected = np.array([each.by_chance for each in drawn if each is not None])
    assert found.mean(0) == pytest.approx(expected.mean(0), abs=0.015)


def test_a_table_that_falls_in_two_parts_has_its_degrees_of_freedom() -> None:
    table = np.full((4, 4), np.nan)
    table[:2, :2], table[2:, 2:] = table_of(0, (2, 2)), table_of(1, (2, 2))
    found = two_way(table)
    assert found is not None
    assert found.by_chance.both == pytest.approx((4 + 4 - 2 - 1) / 7)
    assert found.explained == pytest.approx(of_dummies(table))


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1)])
def test_of_one_row_or_column_nothing_is_told(shape: tuple[int, int]) -> None:
    assert two_way(table_of(0, shape)) is None


@pytest.mark.parametrize("value", [0.0, 0.7, 1e300, np.nan])
def test_of_equal_or_no_values_nothing_is_told(value: float) -> None:
    assert two_way(np.full((3, 4), value)) is None
