"""Small stores of activations, filled without a model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float

from interp.activations.store import ActivationStore
from interp.work import files
from interp.work.plan import Batch, Plan, examples_of

WRITE_STEPS: tuple[tuple[Any, str], ...] = (
    (files, "_made_beside"),
    (os, "fsync"),
    (os, "replace"),
    (Path, "unlink"),
    (Path, "write_text"),
    (os, "write"),
    (ActivationStore, "enter"),
)
"""The functions by which a store's files change, by where they are looked up."""


def plan_of(*shards: Sequence[int]) -> Plan:
    """A plan of one batch a shard."""
    return tuple((Batch(tuple(rows)),) for rows in shards)


def two_shards(n: int) -> Plan:
    """A plan that deals the examples out in turn."""
    return plan_of(range(0, n, 2), range(1, n, 2))


def filled(store: ActivationStore, activations: Float[torch.Tensor, "layer position example width"]) -> ActivationStore:
    """Write what a store is to hold, given in the order of its examples, as far as it is not there."""
    with store.writing() as writable:
        for number, shard in enumerate(writable.plan):
            if number not in writable.entered():
                writable.enter(number, writable.write(number, activations[:, :, list(examples_of(shard))]))
        writable.put_in_order()
    return writable


def store_of(
    folder: Path,
    activations: Float[torch.Tensor, "layer position example width"],
    *,
    positions: Sequence[str] = ("last_q", "-1"),
    layers: Sequence[int] | None = None,
    plan: Plan | None = None,
    identity: dict[str, Any] | None = None,
) -> ActivationStore:
    """A whole store of these activations."""
    n_layers, _, n, _ = activations.shape
    wanted = tuple(range(n_layers) if layers is None else layers)
    names = tuple(f"q{index}" for index in range(n))
    store = ActivationStore(folder, identity or {"seed": 0}, wanted, tuple(positions), names, plan or two_shards(n))
    return filled(store, activations)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
