"""Files of tuned lenses: ours and those that tuned-lens publishes; what is of another model or damaged is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from interp.errors import InputError
from interp.lenses.lens import LogitLens
from interp.lenses.tuned_lens import TunedLens, lens_of, named_lens
from interp.models.model_sources import ModelSource
from tests.respondents import Mute

N_LAYERS, D_MODEL = 4, 3
SOURCE = ModelSource("tiny", Path("nowhere"), "sha256:0123")


def model_of(n_layers: int = N_LAYERS, d_model: int = D_MODEL) -> Mute:
    model = Mute()
    model.cfg = SimpleNamespace(n_layers=n_layers, d_model=d_model, device="cpu")
    return model


def random_lens(**record: Any) -> TunedLens:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(N_LAYERS - 1, D_MODEL, D_MODEL, generator=generator)
    known = {"model": "tiny", "revision": SOURCE.revision, "weights": "raw", "n_layers": N_LAYERS, "d_model": D_MODEL}
    return TunedLens(weight, torch.randn(N_LAYERS - 1, D_MODEL, generator=generator), known | record)


def published(folder: Path, **config: Any) -> list[torch.nn.Linear]:
    """A folder as tuned-lens writes it: the state of a list of linear maps, and a configuration."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(1)
    translators = torch.nn.ModuleList(torch.nn.Linear(D_MODEL, D_MODEL) for _ in range(N_LAYERS))
    torch.save(translators.half().state_dict(), folder / "params.pt")
    known = {
        "base_model_name_or_path": "somebody/Tiny",
        "d_model": D_MODEL,
        "num_hidden_layers": N_LAYERS,
        "bias": True,
        "base_model_revision": None,
        "unembed_hash": "ab12",
        "lens_type": "linear_tuned_lens",
    }
    (folder / "config.json").write_text(json.dumps(known | config))
    return list(translators.float())


STREAMS = st.lists(
    st.lists(st.floats(-(2.0**90), 2.0**90, width=32), min_size=D_MODEL, max_size=D_MODEL), min_size=1, max_size=4
)


@given(STREAMS, st.sampled_from([torch.float32, torch.bfloat16, torch.float64]), st.integers(0, N_LAYERS - 1))
def test_an_untrained_lens_is_the_logit_lens(rows: list[list[float]], dtype: torch.dtype, layer: int) -> None:
    stream = torch.tensor(rows, dtype=dtype)
    lens = TunedLens.untrained(N_LAYERS, D_MODEL)
    assert torch.equal(lens.translated(stream, layer), LogitLens().translated(stream, layer))


def test_a_translator_adds_an_affine_function_of_the_stream() -> None:
    lens, stream = random_lens(), torch.randn(5, D_MODEL, generator=torch.Generator().manual_seed(2))
    for layer in range(N_LAYERS - 1):
        linear = torch.nn.Linear(D_MODEL, D_MODEL)
        linear.load_state_dict({"weight": lens.weight[layer], "bias": lens.bias[layer]})
        torch.testing.assert_close(lens.translated(stream, layer), (stream + linear(stream)).detach())
    assert torch.equal(lens.translated(stream, N_LAYERS - 1), stream), "nothing is above the last layer"
    half = stream.bfloat16()
    assert torch.equal(lens.translated(half, 1), lens.translated(half.float(), 1).bfloat16())


def test_a_saved_lens_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    lens = random_lens(held_out_kl={"tuned lens": [0.5, 0.25, 0.1]}, dataset="café")
    lens.save(tmp_path / "lens.safetensors")
    loaded = TunedLens.load(tmp_path / "lens.safetensors")
    assert torch.equal(loaded.weight, lens.weight)
    assert torch.equal(loaded.bias, lens.bias)
    assert loaded.record == lens.record
    assert loaded.sha256 == lens.sha256 != replace(lens, bias=lens.bias + 1).sha256
    assert set(load_file(tmp_path / "lens.safetensors")) == {
        f"layer.{layer}.{part}" for layer in range(3) for part in ("weight", "bias")
    }
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "lens.safetensors").read_bytes()


def changed(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the tensors of a file, and leave its header."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata=metadata)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "no tuned lens at .*'interp tune'"),
        (lambda path: path.write_bytes(b"not one"), "is no tuned lens .*train it again"),
        (lambda path: os.truncate(path, 300), "is no tuned lens"),
        (lambda path: save_file({"layer.0.weight": torch.zeros(3, 3)}, path), "is no tuned lens"),
        (lambda path: changed(path, lambda tensors: tensors.pop("layer.1.bias")), "is no tuned lens"),
        (lambda path: changed(path, lambda tensors: tensors["layer.2.bias"].add_(1)), "is damaged"),
        (lambda path: changed(path, lambda tensors: tensors.update({"layer.1.bias": torch.zeros(2)})), "no tuned lens"),
    ],
)
def test_a_file_that_is_not_what_was_written_is_refused(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "lens.safetensors"
    random_lens().save(path)
    damage(path)
    with pytest.raises(InputError, match=message) as raised:
        TunedLens.load(path)
    assert "\n" not in str(raised.value)


def test_a_flag_names_a_lens_of_this_model(tmp_path: Path) -> None:
    lens = random_lens()
    lens.save(tmp_path / "lens.safetensors")
    assert lens_of("logit", model_of(), SOURCE) == LogitLens()
    found = lens_of(f"tuned:{tmp_path / 'lens.safetensors'}", model_of(), SOURCE)
    assert found.name == "tuned"
    stream = torch.ones(1, D_MODEL)
    assert torch.equal(found.translated(stream, 1), lens.translated(stream, 1))
    for unknown in ("logti", "tuned", "tuned:", "linear:x"):
        with pytest.raises(InputError, match=f"no lens '{unknown}'; write logit, or tuned:PATH"):
            lens_of(unknown, model_of(), SOURCE)


@pytest.mark.parametrize(
    ("model", "source", "weights", "message"),
    [
        (model_of(n_layers=6), SOURCE, "raw", "is of a model of 4 layers of width 3, and tiny has 6 of width 3"),
        (model_of(d_model=8), SOURCE, "raw", "is of a model of 4 layers of width 3, and tiny has 4 of width 8"),
        (model_of(), replace(SOURCE, revision="sha256:4567"), "raw", "is of tiny with revision sha256:0123, and here"),
        (model_of(), SOURCE, "processed", "is of tiny with weights raw, and here it is processed"),
    ],
)
def test_a_lens_of_another_model_is_refused(
    tmp_path: Path, model: Mute, source: ModelSource, weights: str, message: str
) -> None:
    random_lens().save(tmp_path / "lens.safetensors")
    with pytest.raises(InputError, match=message) as raised:
        lens_of(f"tuned:{tmp_path / 'lens.safetensors'}", model, source, weights)
    assert "\n" not in str(raised.value)


def test_a_published_translator_of_an_index_is_of_the_stream_before_that_block(tmp_path: Path) -> None:
    translators = published(tmp_path / "lens")
    lens = lens_of(f"tuned:{tmp_path / 'lens'}", model_of(), SOURCE)
    stream = torch.randn(5, D_MODEL, generator=torch.Generator().manual_seed(2))
    for layer in range(N_LAYERS - 1):
        expected = stream + translators[layer + 1](stream)
        torch.testing.assert_close(lens.translated(stream, layer), expected.detach())
    assert torch.equal(lens.translated(stream, N_LAYERS - 1), stream)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"lens_type": "mlp_tuned_lens"}, "its translators are of another type, mlp_tuned_lens"),
        ({"num_hidden_layers": N_LAYERS + 1}, r"\(layer 3 has no translator: params.pt has no 4.weight\)"),
        ({"d_model": D_MODEL + 1}, r"its translators are of the shape \(3, 3, 3\)"),
        ({"num_hidden_layers": N_LAYERS - 1}, "is of a model of 3 layers of width 3, and tiny has 4"),
        ({"base_model_name_or_path": "somebody/other"}, "is of other with model other, and here it is tiny"),
    ],
)
def test_a_published_lens_that_does_not_fit_is_refused(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    published(tmp_path / "lens", **config)
    with pytest.raises(InputError, match=message):
        lens_of(f"tuned:{tmp_path / 'lens'}", model_of(), SOURCE)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_translators_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    lens = random_lens()
    lens.weight[1, 0, 0] = lens.bias[2, 1] = value
    lens.save(tmp_path / "lens.safetensors")
    published(tmp_path / "lens")
    state = torch.load(tmp_path / "lens" / "params.pt")
    state["2.weight"][0, 0] = state["3.bias"][1] = value
    torch.save(state, tmp_path / "lens" / "params.pt")
    for path in (tmp_path / "lens.safetensors", tmp_path / "lens"):
        with pytest.raises(InputError, match="has translators that are no numbers, of layers 1, 2; train it again"):
            TunedLens.load(path)


def test_a_published_lens_whose_configuration_is_no_object_is_refused(tmp_path: Path) -> None:
    published(tmp_path / "lens")
    (tmp_path / "lens" / "config.json").write_text("[1]")
    with pytest.raises(InputError, match=r"its config\.json is no object"):
        TunedLens.load(tmp_path / "lens")


def test_a_published_lens_is_read_as_tensors_and_never_as_code(tmp_path: Path) -> None:
    published(tmp_path / "lens")

    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"1.weight": Code()}, tmp_path / "lens" / "params.pt")
    with pytest.raises(InputError, match="is no tuned lens as tuned-lens publishes them") as raised:
        TunedLens.load(tmp_path / "lens")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "ran").exists()
    for damage in (b"", b"not one", None):
        (tmp_path / "lens" / "params.pt").unlink()
        if damage is not None:
            (tmp_path / "lens" / "params.pt").write_bytes(damage)
            with pytest.raises(InputError, match=r"give a folder with its config\.json and params\.pt"):
                TunedLens.load(tmp_path / "lens")


def test_a_published_lens_may_have_no_biases_and_none_for_the_embeddings(tmp_path: Path) -> None:
    translators = published(tmp_path / "lens", bias=False)
    params = tmp_path / "lens" / "params.pt"
    state = torch.load(params)
    torch.save({name: each for name, each in state.items() if name.endswith("weight") and name[0] != "0"}, params)
    lens = TunedLens.load(tmp_path / "lens")
    assert not lens.bias.any()
    assert torch.equal(lens.weight, torch.stack([each.weight.detach() for each in translators[1:N_LAYERS]]))


def test_a_published_lens_is_read_again_if_a_file_of_it_is_written_again(tmp_path: Path) -> None:
    published(tmp_path / "lens")
    params = tmp_path / "lens" / "params.pt"
    first = named_lens(f"tuned:{tmp_path / 'lens'}")
    folder = (tmp_path / "lens").stat()
    torch.save({name: 2 * each for name, each in torch.load(params).items()}, params)
    os.utime(params, ns=(folder.st_atime_ns + 10**9, folder.st_mtime_ns + 10**9))
    os.utime(tmp_path / "lens", ns=(folder.st_atime_ns, folder.st_mtime_ns))
    assert torch.equal(named_lens(f"tuned:{tmp_path / 'lens'}").weight, 2 * first.weight)


def test_a_lens_is_read_again_only_if_it_is_written_again(tmp_path: Path) -> None:
    path, lens = tmp_path / "lens.safetensors", random_lens()
    lens.save(path)
    first = named_lens(f"tuned:{path}")
    assert named_lens(f"tuned:{path}") is first
    replace(lens, bias=lens.bias + 1).save(path)
    again = named_lens(f"tuned:{path}")
    assert isinstance(again, TunedLens)
    assert torch.equal(again.bias, lens.bias + 1)
