from __future__ import annotations

from pathlib import Path

import pytest
import torch

from interp.activations import ActivationStore
from interp.errors import InputError


def store_in(folder: Path, identity: dict[str, object] | None = None) -> ActivationStore:
    return ActivationStore(folder, identity or {"seed": 0}, 2, ("last_q", "-1"), ("a", "b", "c"), ((2, 0), (1,)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_cell_comes_back_in_the_order_of_the_examples(tmp_path: Path, dtype: torch.dtype) -> None:
    activations = torch.randn(2, 2, 3, 5).to(dtype)
    store = store_in(tmp_path).create()
    for number, block in enumerate(store.blocks):
        store.write(number, activations[:, :, list(block)].contiguous())
    reopened = ActivationStore.read(tmp_path)
    assert reopened == store
    assert store.verified_blocks() == {0, 1}
    for layer in range(2):
        for column, position in enumerate(store.positions):
            cell = reopened.cell(layer, position)
            assert cell.dtype is dtype
            assert torch.equal(cell, activations[layer, column])


def test_a_damaged_a_missing_and_an_unentered_block_do_not_count(tmp_path: Path) -> None:
    store = store_in(tmp_path).create()
    for number, block in enumerate(store.blocks):
        store.write(number, torch.zeros(2, 2, len(block), 5))
    path = tmp_path / "block-0000.safetensors"
    contents = bytearray(path.read_bytes())
    contents[-1] ^= 1
    path.write_bytes(contents)
    assert store.verified_blocks() == {1}
    (tmp_path / "block-0001.safetensors").unlink()
    assert store.verified_blocks() == set()
    store.write(0, torch.ones(2, 2, 2, 5))
    assert store.verified_blocks() == {0}
    manifest = (tmp_path / "manifest.jsonl").read_text()
    (tmp_path / "manifest.jsonl").write_text(manifest[:-20])  # a kill in the middle of the last line
    assert store.verified_blocks() == set()
    store.write(1, torch.zeros(2, 2, 1, 5))
    assert store.verified_blocks() == {1}


def test_a_store_of_another_run_is_refused(tmp_path: Path) -> None:
    store_in(tmp_path).create()
    assert store_in(tmp_path).create() == store_in(tmp_path)
    with pytest.raises(InputError, match=r"another run.*identity"):
        store_in(tmp_path, {"seed": 1}).create()


def test_a_corrupt_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text('{"identity": {}}')
    with pytest.raises(InputError, match="corrupt store"):
        ActivationStore.read(tmp_path)
