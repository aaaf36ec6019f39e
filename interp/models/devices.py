"""Where a model computes, and in which numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from interp.errors import InputError, unknown_name

DTYPES = ("float32", "bfloat16", "float16")
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
"""Ways of spreading a model over devices that Hugging Face's accelerate has a name for."""
BFLOAT16_CUDA = (8, 0)
"""The first compute capability with bfloat16 tensor cores (Ampere)."""
BFLOAT16_CPU = ("amx_bf16", "avx512_bf16")
"""Instructions that multiply bfloat16, by torch's names; processors without them emulate it, slower than float32."""


def resolve_device(device: str) -> str:
    """The torch device that `device` names; raises an `InputError` if this machine does not have it."""
    import torch

    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count())), *present]
    if device == "auto":
        return present[0]
    if device not in present:
        raise InputError(f"no device {device!r} on this machine; it has: {', '.join(present)}. Give --device auto")
    return device


def fitting_device(device: str) -> str:
    """Where what a model on a device has computed is fitted to: the CPU, if the device has no double precision."""
    resolved = resolve_device(device)
    return "cpu" if resolved == "mps" else resolved


def resolve_dtype(dtype: str, device: str) -> str:
    """The name of the dtype to load in: `dtype`, or for ``"auto"`` bfloat16 where the device multiplies it fast.

    Parameters
    ----------
    dtype
        ``"auto"`` or one of `DTYPES`.
    device
        ``"auto"`` or a torch device; looked at only if `dtype` is ``"auto"``.

    Raises
    ------
    InputError
        If the dtype is not known, or the device is not there.
    """
    if dtype in DTYPES:
        return dtype
    if dtype != "auto":
        raise unknown_name("dtype", dtype, ("auto", *DTYPES))
    return "bfloat16" if has_fast_bfloat16(resolve_device(device)) else "float32"


def has_fast_bfloat16(device: str) -> bool:
    """Whether a device of this machine has instructions that multiply bfloat16."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.get_device_capability(device) >= BFLOAT16_CUDA
    # Older torch does not tell what the processor has.
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)() if kind == "cpu" else {}
    return any(capabilities.get(name, False) for name in BFLOAT16_CPU)


def parse_device_map(text: str | None) -> str | dict[str, Any] | None:
    """How a model is spread over devices, from a flag: one of `DEVICE_MAPS`, or a JSON object of modules and devices.

    Raises
    ------
    InputError
        If it is neither.
    """
    if text is None or text in DEVICE_MAPS:
        return text
    if not text.lstrip().startswith("{"):
        raise unknown_name("device map", text, DEVICE_MAPS, 'Or give a JSON object, such as {"model": 0, "lm_head": 1}')
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(
            f"the device map {text!r} is not JSON ({error}); write module names and devices in double quotes"
        ) from error


def placement(device: str, device_map: str | Mapping[str, Any] | None, n_devices: int | None) -> dict[str, Any]:
    """The argument by which TransformerLens puts a model on one device, or on several.

    Parameters
    ----------
    device
        ``"auto"`` or a torch device.
    device_map
        What Hugging Face's accelerate takes, to spread the model.
    n_devices
        Over how many CUDA devices to split the model.

    Raises
    ------
    InputError
        If more than one of them is given, or this machine does not have the devices.
    """
    if sum((device != "auto", device_map is not None, n_devices is not None)) > 1:
        raise InputError("--device, --device-map and --n-devices each say where the model is; give one of them")
    if device_map is not None:
        return {"device_map": device_map}
    if n_devices is not None:
        _require_gpus(n_devices)
    return {"device": resolve_device(device)} if n_devices in (None, 1) else {"n_devices": n_devices}


def _require_gpus(n_devices: int) -> None:
    import torch

    if n_devices < 1:
        raise InputError(f"--n-devices is {n_devices}; give a number from 1")
    present = torch.cuda.device_count()
    if n_devices > 1 and n_devices > present:
        raise InputError(f"--n-devices is {n_devices}, and this machine has {present} CUDA devices; give at most that")
