"""Captures by Ray's workers, in a real cluster on this machine, one of which is killed on the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from interp.activations import capture as capture_module
from interp.activations.capture import capture, examples_to_capture, planned_stores
from interp.models.hooked_model import HookedModel
from interp.models.loading import load_model
from interp.models.model_sources import ModelSource
from interp.positions import position_table
from interp.work.executors import Executor, Local
from interp.work.ray_executor import Ray
from tests.random_answers import POSITIONS, random_answers
from tests.stored import contents

pytest.importorskip("ray")


@dataclass(frozen=True)
class Killed:
    """Gives a model, and once, while its third batch is run, kills its process."""

    source: ModelSource
    mark: Path

    def __call__(self) -> HookedModel:
        left, whole = 3, capture_module.batch_activations

        def batch(*given: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0 and not self.mark.exists():
                self.mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(*given)

        capture_module.batch_activations = batch
        return load_model(self.source, device="cpu", dtype="float32")


def test_a_capture_is_the_same_bytes_whoever_does_it_and_whoever_dies(source: ModelSource, tmp_path: Path) -> None:
    answers = random_answers(40)
    table = position_table(answers, POSITIONS)

    def captured(name: str, model: Callable[[], HookedModel], executor: Executor) -> dict[str, bytes]:
        stores = planned_stores(
            {"resid_post": tmp_path / name}, {"resid_post": {}}, answers, table, layers=range(3), token_budget=60
        )
        # Shards of one batch each, so that there are many.
        store = stores["resid_post"]
        stores = {"resid_post": replace(store, plan=tuple((batch,) for shard in store.plan for batch in shard))}
        assert len(stores["resid_post"].plan) > 5
        capture(model, stores, examples_to_capture(answers, table), executor=executor)
        return contents(tmp_path / name)

    load = partial(load_model, source, device="cpu", dtype="float32")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # As a Ray worker with one CPU has.
    try:
        expected = captured("local", load, Local())
    finally:
        torch.set_num_threads(threads)
    assert captured("one", load, Ray(workers=1)) == expected
    assert captured("two", load, Ray(workers=2)) == expected
    assert captured("killed", Killed(source, tmp_path / "killed-one"), Ray(workers=2)) == expected
    assert (tmp_path / "killed-one").exists()
