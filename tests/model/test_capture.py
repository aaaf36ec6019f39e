from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from interp import activations
from interp.activations import capture, site_activations
from interp.errors import InputError
from interp.examples import Answer, Question, Span, TokenizedText
from interp.model_sources import ModelSource
from interp.models import HookedModel, load_model
from interp.positions import MISSING, position_table

POSITIONS = ("last_q", "exact_answer_first", "exact_answer_after_last", "-3", "-1")


def random_answers(n: int, seed: int = 0) -> list[Answer]:
    """Answers of different lengths, some without an exact answer, some too short for some positions."""
    rng = np.random.default_rng(seed)
    answers = []
    for index in range(n):
        n_prompt, n_generated = int(rng.integers(2, 9)), int(rng.integers(1, 9))
        ends = tuple(range(1, n_generated + 1))
        start = int(rng.integers(0, n_generated))
        answers.append(
            Answer(
                question=Question(f"q{index}", "?", "x", (), None, "test", f"q{index}"),
                token_ids=tuple(rng.integers(2, 380, n_prompt + n_generated).tolist()),
                n_prompt=n_prompt,
                generated=TokenizedText("x" * n_generated, ends, ends),
                ended=True,
                exact=Span(start, start + 1) if rng.random() < 0.8 else None,
            )
        )
    return answers


@pytest.fixture
def answers() -> list[Answer]:
    return random_answers(23)


@pytest.fixture
def table(answers: list[Answer]) -> xr.Dataset:
    return position_table(answers, POSITIONS)


def test_capture_is_run_with_cache_on_each_prompt_alone(
    family_model: HookedModel, answers: list[Answer], table: xr.Dataset, tmp_path: Path
) -> None:
    store = capture(lambda: family_model, answers, table, tmp_path, identity={}, batch_size=7)
    assert store.layers == family_model.cfg.n_layers
    cells = {(layer, position): store.cell(layer, position) for layer in range(store.layers) for position in POSITIONS}
    for row, answer in enumerate(answers):
        with torch.inference_mode():
            _, cache = family_model.run_with_cache(torch.tensor([answer.token_ids]))
        for (layer, position), cell in cells.items():
            token = int(table["token"].sel(position=position)[row])
            if token == MISSING:
                assert cell[row].isnan().all()
            else:
                alone = cache[f"blocks.{layer}.hook_resid_post"][0, token]
                torch.testing.assert_close(cell[row], alone, rtol=1e-5, atol=1e-5)


def test_the_batch_does_not_matter(
    model: HookedModel, answers: list[Answer], table: xr.Dataset, tmp_path: Path
) -> None:
    one, all_at_once = (
        capture(lambda: model, answers, table, tmp_path / str(size), identity={}, batch_size=size) for size in (1, 100)
    )
    for layer in range(one.layers):
        for position in POSITIONS:
            torch.testing.assert_close(
                one.cell(layer, position), all_at_once.cell(layer, position), rtol=1e-5, atol=1e-5, equal_nan=True
            )


def test_an_interrupted_capture_goes_on_and_ends_the_same(
    model: HookedModel, answers: list[Answer], table: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activations, "BLOCK_EXAMPLES", 5)
    capture(lambda: model, answers, table, tmp_path / "whole", identity={}, batch_size=4)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert len(whole) == 5 + 2

    for batches in range(9):
        folder = tmp_path / f"cut-{batches}"
        left = iter(range(batches))

        def interrupted(*arguments: object, left: object = left) -> torch.Tensor:
            if next(left, None) is None:  # type: ignore[call-overload]
                raise KeyboardInterrupt
            return site_activations(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(activations, "site_activations", interrupted)
            with pytest.raises(KeyboardInterrupt):
                capture(lambda: model, answers, table, folder, identity={}, batch_size=4)
        capture(lambda: model, answers, table, folder, identity={}, batch_size=4)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_a_batch_that_does_not_fit_is_captured_in_halves(
    model: HookedModel, answers: list[Answer], table: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(model: HookedModel, sequences: list[tuple[int, ...]], *rest: object) -> torch.Tensor:
        if len(sequences) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return site_activations(model, sequences, *rest)

    whole = capture(lambda: model, answers, table, tmp_path / "whole", identity={}, batch_size=20)
    monkeypatch.setattr(activations, "site_activations", small)
    halved = capture(lambda: model, answers, table, tmp_path / "halved", identity={}, batch_size=20)
    for layer in range(whole.layers):
        for position in POSITIONS:
            torch.testing.assert_close(
                whole.cell(layer, position), halved.cell(layer, position), rtol=1e-5, atol=1e-5, equal_nan=True
            )


def test_a_complete_store_needs_no_model(
    model: HookedModel, answers: list[Answer], table: xr.Dataset, tmp_path: Path
) -> None:
    def no_model() -> HookedModel:
        raise AssertionError("the model was asked for")

    store = capture(lambda: model, answers, table, tmp_path, identity={}, batch_size=4)
    assert capture(no_model, answers, table, tmp_path, identity={}, batch_size=4) == store


def test_another_identity_is_refused(
    model: HookedModel, answers: list[Answer], table: xr.Dataset, tmp_path: Path
) -> None:
    capture(lambda: model, answers, table, tmp_path, identity={"answers": "a"}, batch_size=4)
    with pytest.raises(InputError, match="activations of another run"):
        capture(lambda: model, answers, table, tmp_path, identity={"answers": "b"}, batch_size=4)


def test_bfloat16_is_kept(source: ModelSource) -> None:
    cells = np.array([[0, 2], [1, MISSING]])
    model = load_model(source, device="cpu", dtype="bfloat16")
    streams = site_activations(model, [[5, 6, 7], [5, 6]], cells)
    assert streams.dtype is torch.bfloat16
    assert streams.shape == (3, 2, 2, 32)
    assert streams[:, 1, 1].isnan().all()
    assert not streams[:, 0].isnan().any()
