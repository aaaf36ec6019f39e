"""Layers matched by relative depth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.comparisons.relative_depth import at_depths, depths
from interp.errors import InputError


@given(st.integers(2, 40), st.integers(2, 40))
def test_what_is_linear_in_depth_is_kept_whatever_the_number_of_layers(own: int, wanted: int) -> None:
    slope = np.array([[1.0, -2.0]])
    values = depths(range(own))[:, None] * slope + 3
    np.testing.assert_allclose(
        at_depths(values, range(own), depths(range(wanted))), depths(range(wanted))[:, None] * slope + 3
    )


def test_own_layers_are_as_they_are_and_missing_ones_are_not_filled() -> None:
    values = np.random.default_rng(0).normal(size=(2, 5, 3))
    values[:, 2] = np.nan
    np.testing.assert_array_equal(at_depths(values, range(5), depths(range(5))), values)
    between = at_depths(values, range(5), depths(range(9)))
    np.testing.assert_array_equal(
        np.isnan(between[0, :, 0]), [False, False, False, True, True, True, False, False, False]
    )


def test_a_map_without_its_first_layers_has_nothing_there() -> None:
    values = np.ones((3, 1))
    found = at_depths(values, [2, 3, 4], depths(range(5)))
    np.testing.assert_array_equal(found[:, 0], [np.nan, np.nan, 1, 1, 1])


def test_one_layer_has_no_depth() -> None:
    with pytest.raises(InputError, match="one layer"):
        depths([7])
