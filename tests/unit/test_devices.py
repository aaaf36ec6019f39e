from __future__ import annotations

import pytest
import torch

from interp.errors import InputError
from interp.models.devices import (
    fitting_device,
    has_fast_bfloat16,
    parse_device_map,
    placement,
    resolve_device,
    resolve_dtype,
)


def with_gpus(monkeypatch: pytest.MonkeyPatch, n: int, capability: tuple[int, int] = (9, 0)) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: n > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)


def with_processor(monkeypatch: pytest.MonkeyPatch, **capabilities: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_auto_takes_a_gpu_then_apples_then_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with_gpus(monkeypatch, 2)
    assert [resolve_device(name) for name in ("auto", "cuda:1", "mps", "cpu")] == ["cuda", "cuda:1", "mps", "cpu"]
    with_gpus(monkeypatch, 0)
    assert resolve_device("auto") == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"


def test_probes_are_fitted_where_there_is_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with_gpus(monkeypatch, 0)
    assert [fitting_device(name) for name in ("auto", "mps", "cpu")] == ["cpu"] * 3
    with_gpus(monkeypatch, 1)
    assert [fitting_device(name) for name in ("auto", "cuda:0")] == ["cuda", "cuda:0"]


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"no device 'cuda:1' on this machine; it has: cuda, cuda:0, cpu. Give --dev"):
        resolve_device("cuda:1")


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_auto_is_bfloat16_on_gpus_that_multiply_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: str
) -> None:
    with_gpus(monkeypatch, 1, capability)
    assert resolve_dtype("auto", "auto") == dtype
    assert resolve_dtype("float16", "auto") == "float16"


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, "bfloat16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bfloat16"),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "float32"),
        ({"architecture": "aarch64"}, "float32"),
    ],
)
def test_auto_is_bfloat16_on_processors_that_multiply_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], dtype: str
) -> None:
    with_gpus(monkeypatch, 0)
    with_processor(monkeypatch, **capabilities)
    assert resolve_dtype("auto", "auto") == dtype


def test_a_torch_that_does_not_tell_means_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_fast_bfloat16("cpu")
    assert not has_fast_bfloat16("mps")


def test_an_unknown_dtype_names_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown dtype 'bfloat'; nearest: bfloat16"):
        resolve_dtype("bfloat", "cpu")


def test_device_maps() -> None:
    assert parse_device_map(None) is None
    assert parse_device_map("balanced") == "balanced"
    assert parse_device_map('{"model": 0, "lm_head": "cpu"}') == {"model": 0, "lm_head": "cpu"}
    with pytest.raises(InputError, match="unknown device map 'balance'; nearest: balanced"):
        parse_device_map("balance")
    with pytest.raises(InputError, match=r"\{'model': 0\}.* is not JSON .*double quotes"):
        parse_device_map("{'model': 0}")


def test_a_model_is_on_one_device_or_on_several(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 2)
    assert placement("auto", None, None) == placement("auto", None, 1) == {"device": "cuda"}
    assert placement("cuda:1", None, None) == {"device": "cuda:1"}
    assert placement("auto", None, 2) == {"n_devices": 2}
    assert placement("auto", {"": 0}, None) == {"device_map": {"": 0}}
    with pytest.raises(InputError, match="--n-devices is 3, and this machine has 2 CUDA devices"):
        placement("auto", None, 3)
    with pytest.raises(InputError, match="--n-devices is 0; give a number from 1"):
        placement("auto", None, 0)
    for conflicting in (("cpu", "auto", None), ("cpu", None, 2), ("auto", "auto", 2)):
        with pytest.raises(InputError, match="each say where the model is; give one of them"):
            placement(*conflicting)
