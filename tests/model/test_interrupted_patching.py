"""A sweep that is interrupted goes on where it was, and ends as one that was not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interp.models.hooked_model import HookedModel
from interp.patching import pair_patching
from interp.patching.interventions import Intervention
from interp.patching.pairs import Pair
from interp.patching.patched_pairs import PatchedPairs
from interp.patching.patched_parts import PatchedParts
from interp.patching.patcher import Patcher
from interp.patching.patches import units_of
from tests.made_pairs import ENTERS, N_LAYERS, PAIRS, candidates_of, cells_of, patched

POSITIONS = ["subject_last", "last_q"]


class Handfuls:
    """The handfuls of pairs that are patched, until one is to be interrupted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[Sequence[int]] = []
        self.at_most = 100
        whole = Patcher.patched

        def counted(patcher: Patcher, numbers: Sequence[int], most: int) -> PatchedPairs:
            if len(self.seen) == self.at_most:
                raise KeyboardInterrupt
            self.seen.append(tuple(numbers))
            return whole(patcher, numbers, most)

        monkeypatch.setattr(Patcher, "patched", counted)

    def forget(self) -> None:
        self.seen, self.at_most = [], 100


@pytest.fixture
def handfuls(monkeypatch: pytest.MonkeyPatch) -> Handfuls:
    """Pairs one at a time."""
    monkeypatch.setattr(pair_patching, "PAIRS_AT_ONCE", 1)
    return Handfuls(monkeypatch)


def sweep(model: HookedModel, folder: Path | None, **settings: Any) -> PatchedPairs:
    kept = None if folder is None else PatchedParts(folder, "tiny")
    return patched(model, positions=POSITIONS, kept=kept, **settings)


def assert_equal(found: PatchedPairs, expected: PatchedPairs) -> None:
    assert (found.ids, found.dropped) == (expected.ids, expected.dropped)
    for name in ("values", "clean", "corrupt"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("corruption", ["mean", "noise"])
def test_what_was_patched_before_is_not_patched_again(
    model: HookedModel, handfuls: Handfuls, tmp_path: Path, corruption: str
) -> None:
    expected = sweep(model, None, corruption=corruption)
    handfuls.forget()
    handfuls.at_most = 2
    with pytest.raises(KeyboardInterrupt):
        sweep(model, tmp_path, corruption=corruption)
    handfuls.forget()
    assert_equal(sweep(model, tmp_path, corruption=corruption), expected)
    assert handfuls.seen == [(2,), (3,)]
    handfuls.forget()
    assert_equal(sweep(model, tmp_path, corruption=corruption), expected)
    assert handfuls.seen == []


def test_so_many_pairs_are_so_many_over_all_parts(model: HookedModel, handfuls: Handfuls, tmp_path: Path) -> None:
    every = sweep(model, None)
    margin = float(np.sort(every.clean[0] - every.corrupt[0])[1])
    expected = sweep(model, None, margin=margin, n=2)
    handfuls.forget()
    handfuls.at_most = 1
    with pytest.raises(KeyboardInterrupt):
        sweep(model, tmp_path, margin=margin, n=2)
    handfuls.forget()
    assert_equal(sweep(model, tmp_path, margin=margin, n=2), expected)
    handfuls.forget()
    assert len(sweep(model, tmp_path, margin=margin, n=3).ids) == 3
    assert handfuls.seen[0] == (0,), "parts of a sweep of two pairs are none of a sweep of three"


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_no_more_pairs_are_patched_than_were_asked_for(
    model: HookedModel, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the last handful too."""
    every = sweep(model, None)
    monkeypatch.setattr(pair_patching, "PAIRS_AT_ONCE", 2)
    assert sweep(model, None, n=n).ids == every.ids[:n]


@pytest.mark.parametrize(
    "changed",
    [
        {"pairs": PAIRS[::-1]},
        {"readout": "whole"},
        {"positions": POSITIONS[::-1]},
        {"layers": [0, 2]},
        {"at_once": 2},
        {"margin": -1000.0},
        {"direction": "noise"},
    ],
    ids=lambda changed: "-".join(changed),
)
def test_parts_of_a_sweep_that_differs_in_anything_are_none_of_it(
    model: HookedModel, handfuls: Handfuls, tmp_path: Path, changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def swept(
        kept: PatchedParts | None,
        *,
        pairs: Sequence[Pair] = PAIRS,
        readout: str = "answer",
        positions: Sequence[str] = POSITIONS,
        layers: Sequence[int] = (0, 1, 2),
        at_once: int = 1,
        **settings: Any,
    ) -> PatchedPairs:
        monkeypatch.setattr(pair_patching, "PAIRS_AT_ONCE", at_once)
        candidates, cells = candidates_of(pairs, model, readout), cells_of(pairs, positions)
        units, intervention = units_of(layers, n_layers=N_LAYERS), Intervention(**ENTERS | settings)
        return pair_patching.patched_pairs(model, candidates, cells, units, intervention, n=100, kept=kept)

    swept(PatchedParts(tmp_path, "tiny"))
    expected = swept(None, **changed)
    handfuls.forget()
    assert_equal(swept(PatchedParts(tmp_path, "tiny"), **changed), expected)
    assert len(handfuls.seen) == -(-len(PAIRS) // changed.get("at_once", 1))


def test_damaged_and_foreign_parts_are_done_again(
    model: HookedModel, handfuls: Handfuls, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "interp.patching.patched_parts")
    expected = sweep(model, tmp_path / "parts")
    sweep(model, tmp_path / "other", direction="noise")
    paths = sorted((tmp_path / "parts").iterdir())
    assert len(paths) == len(PAIRS)
    paths[1].write_bytes(paths[1].read_bytes()[:-40])
    paths[2].write_bytes((tmp_path / "other" / paths[2].name).read_bytes())
    handfuls.forget()
    assert_equal(sweep(model, tmp_path / "parts"), expected)
    assert handfuls.seen == [(1,), (2,)]
    told = [message for message in caplog.messages if "patched again" in message]
    assert [message.split(" is ")[0] for message in told] == [str(paths[1]), str(paths[2])]
    assert "damaged" in told[0]
    assert "another sweep" in told[1]
