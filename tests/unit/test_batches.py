from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.errors import InputError
from interp.work.batches import batched, in_halves_if_need_be


@given(st.lists(st.integers()), st.integers(1, 9))
def test_batches_are_the_items_in_their_order(items: list[int], size: int) -> None:
    batches = list(batched(items, size))
    assert [item for batch in batches for item in batch] == items
    assert all(len(batch) == size for batch in batches[:-1])


@given(st.lists(st.integers(), min_size=1).map(tuple), st.integers(1, 9))
def test_what_does_not_fit_is_done_in_halves(items: tuple[int, ...], fits: int) -> None:
    seen: list[int] = []

    def run(batch: tuple[int, ...]) -> list[str]:
        if len(batch) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        seen.extend(batch)
        return [f"{item}" for item in batch]

    assert in_halves_if_need_be(run, items) == [f"{item}" for item in items]
    assert seen == list(items), "nothing is done twice"


def test_what_does_not_fit_is_tried_with_half_as_many_once_its_memory_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int | str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("freed"))

    def run(batch: tuple[int, ...]) -> list[int]:
        done.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return list(batch)

    in_halves_if_need_be(run, tuple(range(8)))
    assert done == [8, "freed", 4, "freed", 2, 2, 4, "freed", 2, 2]


@pytest.mark.parametrize(
    "message", ["MPS backend out of memory", "[enforce fail] can't allocate memory: you tried", "not enough memory"]
)
def test_one_example_that_does_not_fit_is_said(message: str, caplog: pytest.LogCaptureFixture) -> None:
    def run(batch: tuple[int, ...]) -> list[int]:
        raise RuntimeError(message)

    with caplog.at_level(logging.INFO), pytest.raises(InputError, match="does not suffice for a single example; free"):
        in_halves_if_need_be(run, (1, 2, 3))
    assert caplog.messages[0] == "out of memory with 3 examples at once: going on with half as many"


def test_other_errors_are_not_taken_for_it() -> None:
    def run(batch: tuple[int, ...]) -> list[int]:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        in_halves_if_need_be(run, (1, 2))
