"""The frozen final norm against torch's own norms, and norms of other forms."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.errors import InputError
from interp.lenses.frozen_norm import FrozenNorm, Norm, probed_norm

widths = st.integers(2, 33)
seeds = st.integers(0, 10_000)
Formula = Callable[[torch.Tensor], torch.Tensor]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def layer_norm(width: int, seed: int, eps: float, *, bias: bool) -> torch.nn.LayerNorm:
    norm = torch.nn.LayerNorm(width, eps=eps, bias=bias)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter, generator=generator(seed))
    return norm


def rms_norm(width: int, seed: int, eps: float) -> torch.nn.RMSNorm:
    norm = torch.nn.RMSNorm(width, eps=eps)
    torch.nn.init.normal_(norm.weight, generator=generator(seed))
    return norm


def streams(width: int, seed: int, size: float) -> torch.Tensor:
    return size * (torch.randn(6, width, generator=generator(seed + 1)) + 0.3)


def probed(norm: Norm, width: int, dtype: torch.dtype = torch.float32) -> FrozenNorm:
    return probed_norm(norm, type(norm).__name__, width, dtype)


def reconstructed(frozen: FrozenNorm, stream: torch.Tensor) -> torch.Tensor:
    """What a norm gives, from what was found out of it."""
    return frozen.gain * frozen.centred(stream.double()) / frozen.scales(stream)[:, None] + frozen.bias


@given(width=widths, seed=seeds, size=st.sampled_from([0.01, 1.0, 300.0]), eps=st.sampled_from([1e-6, 1e-3]))
def test_a_layer_norm_is_found_out(width: int, seed: int, size: float, eps: float) -> None:
    norm, stream = layer_norm(width, seed, eps, bias=bool(seed % 2)), streams(width, seed, size)
    frozen = probed(norm, width)
    assert frozen.centres
    torch.testing.assert_close(frozen.gain, norm.weight.detach().double(), rtol=1e-5, atol=1e-5)
    bias = torch.zeros(width) if norm.bias is None else norm.bias.detach()
    torch.testing.assert_close(frozen.bias, bias.double(), rtol=1e-5, atol=1e-5)
    expected = (stream.double().var(1, correction=0) + eps).sqrt()
    # The constant is found in float32, beside which the variance of few features may be small.
    torch.testing.assert_close(frozen.scales(stream), expected, rtol=4e-3, atol=0)
    torch.testing.assert_close(reconstructed(frozen, stream), norm(stream).detach().double(), rtol=1e-3, atol=1e-3)


@given(width=widths, seed=seeds, size=st.sampled_from([0.01, 1.0, 300.0]), eps=st.sampled_from([1e-6, 1e-3]))
def test_an_rms_norm_is_found_out(width: int, seed: int, size: float, eps: float) -> None:
    norm, stream = rms_norm(width, seed, eps), streams(width, seed, size)
    frozen = probed(norm, width)
    assert not frozen.centres
    torch.testing.assert_close(frozen.gain, norm.weight.detach().double(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(frozen.bias, torch.zeros(width).double(), rtol=0, atol=1e-6)
    expected = (stream.double().square().mean(1) + eps).sqrt()
    torch.testing.assert_close(frozen.scales(stream), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes_are_taken_as_exactly_as_they_are(dtype: torch.dtype) -> None:
    norm, stream = layer_norm(64, 3, 1e-5, bias=True).to(dtype), streams(64, 3, 2.0).to(dtype)
    frozen = probed(norm, 64, dtype)
    rounding = max(4 * torch.finfo(dtype).eps, 1e-9)  # What ε is of the square of a probing number.
    torch.testing.assert_close(frozen.gain, norm.weight.detach().double(), rtol=rounding, atol=2 * rounding)
    expected = (stream.double().var(1, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(frozen.scales(stream), expected, rtol=2 * rounding, atol=0)


@given(width=widths, seed=seeds)
def test_what_reads_the_stream_reads_what_was_read_of_the_norms_output(width: int, seed: int) -> None:
    norm, stream = layer_norm(width, seed, 1e-5, bias=True), streams(width, seed, 3.0)
    frozen, read = probed(norm, width), torch.randn(6, width, generator=generator(seed + 2)).double()
    off_stream = torch.linalg.vecdot(stream.double(), frozen.directions(read)) / frozen.scales(stream)
    expected = torch.linalg.vecdot(norm(stream).detach().double(), read)
    torch.testing.assert_close(off_stream + read @ frozen.bias, expected, rtol=1e-3, atol=1e-3)


def test_a_model_without_a_final_norm_has_one_that_does_nothing() -> None:
    frozen, stream = probed(torch.nn.Identity(), 8), streams(8, 0, 3.0)
    torch.testing.assert_close(reconstructed(frozen, stream), stream.double())
    torch.testing.assert_close(frozen.gain / frozen.scales(stream)[:, None], torch.ones(6, 8).double())


@pytest.mark.parametrize(
    "formula",
    [
        lambda x: torch.tanh(0.5 * x),
        lambda x: torch.softmax(x, dim=1),
        lambda x: torch.nn.functional.layer_norm(x, x.shape[1:]) + 0.01 * x.square(),
        lambda x: torch.nn.functional.rms_norm(x, x.shape[1:]) * torch.where(x > 0, 1.0, 0.9),
    ],
    ids=["dynamic tanh", "softmax", "with squares", "uneven"],
)
def test_a_norm_of_another_form_is_refused_by_its_name(formula: Formula) -> None:
    frozen = probed_norm(formula, "OddNorm", 16, torch.float32)
    with pytest.raises(InputError, match=r"final norm of this model \(OddNorm\) is no LayerNorm or RMSNorm") as raised:
        frozen.scales(streams(16, 0, 1.0))
    assert "\n" not in str(raised.value)


def test_every_stream_is_held_to_the_form() -> None:
    """One row of six is off by three times the tolerance, or is made no number of."""
    stream = streams(16, 0, 1.0)
    for off in (1.2e-3, torch.nan):

        def norm(rows: torch.Tensor, off: float = off) -> torch.Tensor:
            normed = torch.nn.functional.rms_norm(rows, rows.shape[1:])
            if len(rows) == len(stream):
                normed[2, 3] += off
            return normed

        with pytest.raises(InputError, match="is no LayerNorm or RMSNorm"):
            probed(norm, 16).scales(stream)


def test_a_stream_that_has_overflowed_has_no_scale_and_refuses_nothing() -> None:
    norm, stream = rms_norm(16, 0, 1e-5), streams(16, 0, 1.0)
    expected = probed(norm, 16).scales(stream)
    stream[2, 5] = torch.inf
    scales = probed(norm, 16).scales(stream)
    assert scales.isnan().tolist() == [row == 2 for row in range(6)]
    torch.testing.assert_close(scales[:2], expected[:2])


def test_no_streams_have_no_scales() -> None:
    assert probed(rms_norm(16, 0, 1e-5), 16).scales(torch.zeros(0, 16)).shape == (0,)
