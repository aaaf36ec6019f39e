"""A stand-in for a GPU: a device of torch whose numbers the CPU computes, and that refuses what a GPU refuses.

A tensor on the stand-in hides one on the CPU. Every operation on it, and every tensor that is made there, comes through
`computed`, which does what was asked with the hidden tensors, unless some of the operands are elsewhere: on the CPU, or
on a second stand-in (``stand_in:1``). Those are refused, as CUDA refuses them, but for numbers of the CPU (of no axes)
and indices. So code that forgets to bring a tensor over fails where there is no GPU, too. What only a GPU would show is
left out: its rounding, its memory, its speed, and whatever is done for the name ``cuda``. Torch sends gradients back
through the first stand-in only.

Tensors that hide others cannot be made in `torch.inference_mode`: it is `torch.no_grad` while the stand-in is in use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._pytree import tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _DummyPrivateUse1Hook,
    _setup_privateuseone_for_python_backend,
)

import interp.models.devices

NAME = "stand_in"
INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
MADE_ELSEWHERE = ("empty.memory_format", "empty_strided", "_copy_from")
"""What `torch.tensor` is made of: it comes to the device without passing through Python's own dispatch."""


class Hidden(torch.Tensor):
    """A tensor on the stand-in."""

    on_cpu: torch.Tensor
    """The numbers."""

    @staticmethod
    def __new__(cls, on_cpu: torch.Tensor, device: torch.device, requires_grad: bool = False) -> Hidden:
        """One that has a tensor's numbers, and writes into it."""
        made: Hidden = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            on_cpu.shape,
            strides=on_cpu.stride(),
            storage_offset=on_cpu.storage_offset(),
            dtype=on_cpu.dtype,
            device=device,
            requires_grad=requires_grad,
        )
        made.on_cpu = on_cpu
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What any operation on it gives."""
        return computed(operation, *args, **(kwargs or {}))

    def __deepcopy__(self, memo: dict[int, Any]) -> Hidden:
        """One with numbers of its own; torch would look for a storage."""
        return Hidden(self.on_cpu.clone(), self.device)

    def __repr__(self, **_: Any) -> str:
        """Its numbers, and where they are said to be."""
        return f"{self.on_cpu!r} on the stand-in for a GPU"

    def tolist(self) -> Any:
        """Its numbers."""
        return self.on_cpu.tolist()


def computed(operation: Any, *args: Any, **kwargs: Any) -> Any:
    """What an operation gives: where its operands are, unless it is asked for elsewhere."""
    name = operation._schema.name
    if name == "aten::_fused_sdp_choice":
        return 0  # Attention by matrix products, which every device has.
    if name in ("aten::copy_", "aten::_copy_from"):
        source, target = args[:2] if name == "aten::_copy_from" else args[1::-1]
        _on_cpu(target).copy_(_on_cpu(source))
        return target
    operands = list(_tensors((args, tuple(kwargs.values()))))
    if name in INDEXING:
        _refuse_strangers(name, [args[0], *args[2:3], *(index for index in args[1] if isinstance(index, Hidden))])
    elif name != "aten::_to_copy":
        _refuse_strangers(name, operands)
    device = kwargs.get("device") or next(operand.device for operand in operands if isinstance(operand, Hidden))
    if "device" in kwargs:
        kwargs["device"] = torch.device("cpu")
    if name == "aten::histc":
        operation = _histogram  # Of whole numbers, which torch counts on a GPU only.
    found = operation(*_on_cpu(args), **{key: _on_cpu(value) for key, value in kwargs.items()})
    own = {id(operand.on_cpu): operand for operand in operands if isinstance(operand, Hidden)}

    def on_stand_in(each: Any) -> Any:
        if not isinstance(each, torch.Tensor) or isinstance(each, Hidden):
            return each
        # What is written into stays the tensor that it was.
        return own[id(each)] if id(each) in own else Hidden(each, torch.device(NAME, device.index or 0))

    return tree_map(on_stand_in, found) if device.type == NAME else found


def _tensors(arguments: Any) -> Iterator[torch.Tensor]:
    if isinstance(arguments, torch.Tensor):
        yield arguments
    elif isinstance(arguments, (list, tuple)):
        for each in arguments:
            yield from _tensors(each)


def _on_cpu(arguments: Any) -> Any:
    if isinstance(arguments, Hidden):
        return arguments.on_cpu
    return type(arguments)(map(_on_cpu, arguments)) if isinstance(arguments, (list, tuple)) else arguments


def _refuse_strangers(name: str, operands: list[Any]) -> None:
    """Raise what torch raises where operands are on several devices; numbers of the CPU, without axes, are on any."""
    tensors = [operand for operand in operands if isinstance(operand, torch.Tensor)]
    places = {str(each.device): each.shape for each in tensors if isinstance(each, Hidden) or each.ndim}
    if len(places) > 1:
        found = " and ".join(f"{tuple(shape)} on {device}" for device, shape in places.items())
        raise RuntimeError(f"expected all tensors to be on the same device: {name} was given {found}")


def _histogram(values: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return torch.histc(values.double(), *args, **kwargs).to(values.dtype)


class _Module(_DummyBackendModule):
    """What torch asks of a device's module; that it is there is kept from those who take any device that there is."""

    def is_available(self) -> bool:
        return False

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class _Hook(_DummyPrivateUse1Hook):
    def is_available(self) -> bool:
        return False


@cache
def known_to_torch() -> list[torch.library.Library]:
    """Make the device known to torch, for as long as the process lives.

    That must be before any gradient goes back: torch makes the threads for it once, for the devices that it knows then.
    """
    _setup_privateuseone_for_python_backend(NAME, _Module(), _Hook())
    aten, anything = torch.library.Library("aten", "IMPL"), torch.library.Library("_", "IMPL")
    for name in MADE_ELSEWHERE:
        packet, _, overload = name.partition(".")
        operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
        aten.impl(name, partial(computed, operation), "PrivateUse1")
    anything.fallback(computed, "PrivateUse1")
    return [aten, anything]


def _no_grad(mode: bool = True) -> AbstractContextManager[None]:
    return torch.no_grad() if mode else nullcontext()


@contextmanager
def stand_in() -> Iterator[str]:
    """The name of the device, which `interp` takes for one that this machine has until it is left."""
    known_to_torch()
    resolved: Callable[[str], str] = interp.models.devices.resolve_device

    def resolve_device(device: str) -> str:
        return NAME if device == NAME else resolved(device)

    with (
        patch.object(interp.models.devices, "resolve_device", resolve_device),
        patch.object(torch, "inference_mode", _no_grad),
    ):
        yield NAME
