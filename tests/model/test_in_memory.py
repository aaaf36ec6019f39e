"""Activations in memory: the same as those of a store."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

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


def test_every_axis_has_its_names() -> None:
    activations = torch.zeros(2, 1, 3, 4)
    assert InMemory(activations, (4, 7), ("a",), ("x", "y", "z")).cell(7, "a").shape == (3, 4)
    with pytest.raises(InputError, match=r"\(2, 1, 3\) were given with names for \(2, 2, 3\); name every one"):
        InMemory(activations, (4, 7), ("a", "b"), ("x", "y", "z"))
