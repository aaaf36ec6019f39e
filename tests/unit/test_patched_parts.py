"""Parts of a sweep: read as they were written to the last digit, or done again."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interp.patching.patched_pairs import PatchedPairs, joined
from interp.patching.patched_parts import PatchedParts

RNG = np.random.default_rng(0)


def part_of(n: int) -> PatchedPairs:
    values = RNG.normal(size=(3, n, 2, 4))
    values[:, :1, 0] = np.nan
    return PatchedPairs(
        ids=tuple(f"naïve / {index}" for index in range(n)),
        values=values,
        clean=RNG.normal(size=(3, n)),
        corrupt=np.full((3, n), np.nan),
        why_missing=RNG.integers(0, 6, size=(n, 2, 4)).astype(np.int8),
        dropped=Counter({"the model says another answer": 2, "no reason": 1}),
    )


def assert_same(found: PatchedPairs, expected: PatchedPairs) -> None:
    assert found.ids == expected.ids
    assert list(found.dropped.items()) == list(expected.dropped.items())
    for name in ("values", "clean", "corrupt", "why_missing"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert getattr(found, name).dtype == getattr(expected, name).dtype


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_part_is_read_as_it_was_written(tmp_path: Path, n: int) -> None:
    parts, part = PatchedParts(tmp_path / "parts", "a sweep"), part_of(n)
    assert parts.found(range(3)) == {}
    parts.keep(1, part)
    found = parts.found(range(3))
    assert list(found) == [1]
    assert_same(found[1], part)


def test_a_part_of_another_sweep_or_another_place_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    parts = PatchedParts(tmp_path, "a sweep")
    first, second = parts.narrowed((1, 2), "x"), parts.narrowed((1, 2), "y")
    first.keep(0, part_of(2))
    assert list(first.found([0])) == [0]
    assert not caplog.messages
    shutil.copy(tmp_path / "pairs-000.npz", tmp_path / "pairs-001.npz")
    for others, number in ((second, 0), (PatchedParts(tmp_path, "another").narrowed((1, 2), "x"), 0), (first, 1)):
        assert others.found([number]) == {}
        assert caplog.messages.pop() == (
            f"{tmp_path / f'pairs-{number:03d}.npz'} is of another sweep: its pairs are patched again"
        )
        caplog.clear()


@given(place=st.floats(0, 1, exclude_max=True), by=st.integers(1, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_byte_is_seen_or_changes_nothing(tmp_path: Path, place: float, by: int) -> None:
    parts, part = PatchedParts(tmp_path, "a sweep"), part_of(2)
    parts.keep(0, part)
    path = tmp_path / "pairs-000.npz"
    written = bytearray(path.read_bytes())
    written[int(place * len(written))] ^= by
    path.write_bytes(written)
    for found in parts.found([0]).values():
        assert_same(found, part)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_a_cut_part_is_told_in_one_line_and_none(tmp_path: Path, kept: float, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    parts = PatchedParts(tmp_path, "a sweep")
    parts.keep(0, part_of(2))
    path = tmp_path / "pairs-000.npz"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert parts.found([0]) == {}
    (told,) = caplog.messages
    assert told.startswith(f"{path} is damaged (")
    assert told.endswith("): its pairs are patched again")
    assert "\n" not in told


def test_parts_are_joined_in_order() -> None:
    parts = [replace(part_of(n), corrupt=RNG.normal(size=(3, n))) for n in (2, 0, 3)]
    whole = joined(parts)
    assert whole.ids == (*parts[0].ids, *parts[2].ids)
    for name, pair_axis in (("values", 1), ("clean", 1), ("corrupt", 1), ("why_missing", 0)):
        split = np.split(getattr(whole, name), [2, 2], axis=pair_axis)
        for found, part in zip(split, parts, strict=True):
            np.testing.assert_array_equal(found, getattr(part, name))
    assert whole.dropped == {"the model says another answer": 6, "no reason": 3}
