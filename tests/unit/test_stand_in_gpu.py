"""The stand-in for a GPU gives the CPU's numbers, and refuses to mix them with the CPU's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from tests.stand_in_gpu import stand_in

CPU = torch.arange(6.0).reshape(2, 3)
ROWS = torch.tensor([1, 0])


@pytest.fixture(autouse=True)
def device() -> Iterator[str]:
    with stand_in() as name:
        yield name


@pytest.mark.parametrize(
    "mixed",
    [
        lambda there: there + CPU,
        lambda there: CPU @ there.T,
        lambda there: torch.cat([there, CPU]),
        lambda there: torch.where(there > 1, there, CPU),
        lambda there: there[0].add_(CPU[0]),
        lambda there: there.__setitem__(ROWS, CPU),
        lambda there: there.index_select(0, ROWS),
        lambda there: CPU[ROWS.to(there.device)],
        lambda there: torch.nn.Linear(3, 2)(there),
    ],
)
def test_operands_of_two_devices_are_refused(mixed: Callable[[torch.Tensor], object], device: str) -> None:
    with pytest.raises(RuntimeError, match="same device"):
        mixed(CPU.to(device))


@pytest.mark.parametrize(
    "computed",
    [
        lambda here: here[ROWS],
        lambda here: here * torch.tensor(2.0) + 1,
        lambda here: torch.cat([here, torch.ones(2, 3, device=here.device)]).cumsum(0),
        lambda here: here @ torch.tensor([[1.0], [2.0], [3.0]], device=here.device),
        lambda here: here.new_zeros(2).double() + torch.arange(2, device=here.device),
        lambda here: torch.nn.Linear(3, 2).to(here.device).weight.data.fill_(2).sum() * here,
    ],
)
def test_results_stay_and_are_those_of_the_cpu(computed: Callable[[torch.Tensor], torch.Tensor], device: str) -> None:
    found, expected = computed(CPU.to(device)), computed(CPU)
    assert found.device.type == device
    assert found.tolist() == expected.tolist()
    torch.testing.assert_close(found.cpu(), expected)


def test_whole_numbers_are_counted_as_a_gpu_does(device: str) -> None:
    found = torch.histc(CPU.int().to(device), bins=3, min=0, max=5)
    torch.testing.assert_close(found.cpu(), torch.tensor([2, 2, 2], dtype=torch.int32))


def test_what_is_written_into_a_part_is_in_the_whole(device: str) -> None:
    there = CPU.to(device)
    part = there[1:]
    part += 5
    part[:, 0] = 100.0
    there[0].copy_(CPU[1])
    assert there.tolist() == [[3.0, 4.0, 5.0], [100.0, 9.0, 10.0]]
    assert CPU[1].tolist() == [3.0, 4.0, 5.0], "the tensor that was brought over is another"


def test_gradients_are_there_too(device: str) -> None:
    there = CPU.to(device).requires_grad_()
    (there**2).sum().backward()
    assert there.grad is not None
    assert there.grad.device.type == device
    torch.testing.assert_close(there.grad.cpu(), 2 * CPU)


def test_numpy_is_refused(device: str) -> None:
    with pytest.raises(RuntimeError, match="numpy"):
        CPU.to(device).numpy()
