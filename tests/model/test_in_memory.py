"""Activations in memory: the same as those of a store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from interp.activations import in_memory
from interp.activations.capture import capture, examples_to_capture, planned_stores
from interp.activations.in_memory import InMemory, captured_in_memory
from interp.activations.store import Cells
from interp.errors import InputError
from interp.models.hooked_model import HookedModel
from interp.positions import position_table
from tests.random_answers import random_answers

POSITIONS = ["last_q", "exact_answer_first", "-1"]
ANSWERS = random_answers(9)


@pytest.mark.parametrize("site", ["resid_post", "mlp_out", "head_z"])
@pytest.mark.parametrize("token_budget", [1, 60, None])
def test_they_are_those_of_a_store(model: HookedModel, tmp_path: Path, site: str, token_budget: int | None) -> None:
    table = position_table(ANSWERS, POSITIONS)
    found = captured_in_memory(model, ANSWERS, table, site, token_budget=token_budget)
    layers = tuple(range(model.cfg.n_layers))
    stores = planned_stores(
        {site: tmp_path}, {site: {}}, ANSWERS, table, layers=layers, token_budget=60, reuse_prefixes=False
    )
    capture(lambda: model, stores, examples_to_capture(ANSWERS, table))
    store = stores[site]
    assert isinstance(found, Cells)
    assert (found.layers, found.positions, found.examples) == (layers, tuple(POSITIONS), store.examples)
    for layer in layers:
        for position in POSITIONS:
            expected = store.cell(layer, position)
            torch.testing.assert_close(found.cell(layer, position), expected, rtol=0, atol=1e-5, equal_nan=True)
    assert found.cell(0, "exact_answer_first").isnan().any(), "some answers have no such token"


class Passes:
    """How many tokens each pass runs, padding included; of some sequences no more at once than fit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fits: int = 99) -> None:
        self.tokens: list[int] = []
        whole = in_memory.site_activations

        def counted(model: HookedModel, sequences: Sequence[Sequence[int]], *rest: Any) -> torch.Tensor:
            if len(sequences) > fits:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            self.tokens.append(len(sequences) * max(map(len, sequences)))
            return whole(model, sequences, *rest)

        monkeypatch.setattr(in_memory, "site_activations", counted)


def test_a_pass_has_no_more_tokens_than_its_budget(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    table, passes = position_table(ANSWERS, POSITIONS), Passes(monkeypatch)
    lengths = sorted(len(answer.token_ids) for answer in ANSWERS)
    captured_in_memory(model, ANSWERS, table, token_budget=1)
    assert sorted(passes.tokens) == lengths
    passes.tokens.clear()
    monkeypatch.setattr(in_memory, "default_token_budget", {"cpu": 2 * lengths[-1]}.__getitem__)
    captured_in_memory(model, ANSWERS, table)
    assert max(passes.tokens) <= 2 * lengths[-1]
    assert len(passes.tokens) < len(lengths)


def test_what_does_not_fit_is_captured_in_halves(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    table = position_table(ANSWERS, POSITIONS)
    expected = captured_in_memory(model, ANSWERS, table).activations
    passes = Passes(monkeypatch, fits=2)
    found = captured_in_memory(model, ANSWERS, table).activations
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5, equal_nan=True)
    assert len(passes.tokens) > len(ANSWERS) / 2


@pytest.mark.parametrize(
    ("layers", "positions", "examples"), [((4,), "a", "xyz"), ((4, 7), "ab", "xyz"), ((4, 7), "a", "xy")]
)
def test_every_axis_has_its_names(layers: tuple[int, ...], positions: str, examples: str) -> None:
    activations = torch.zeros(2, 1, 3, 4)
    assert InMemory(activations, (4, 7), ("a",), ("x", "y", "z")).cell(7, "a").shape == (3, 4)
    named = re.escape(str((len(layers), len(positions), len(examples))))
    with pytest.raises(InputError, match=rf"\(2, 1, 3\) were given with names for {named}; name every one"):
        InMemory(activations, layers, tuple(positions), tuple(examples))


@pytest.mark.parametrize("n", [0, 3])
def test_other_answers_than_those_of_the_table_are_refused(model: HookedModel, n: int) -> None:
    table = position_table(ANSWERS if n else [], POSITIONS)
    with pytest.raises(InputError, match=f"^{n} answers were given with the positions of {len(table.example)}; give"):
        captured_in_memory(model, ANSWERS[:n], table)
