"""Where a tuned lens begins: what is an affine function is found, whatever else the streams are like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from interp.lenses.least_squares_lens import RIDGE, least_squares_lens
from interp.lenses.lens_divergence import TextStreams
from interp.lenses.training_text import TextSequence
from tests.respondents import Mute

N, D = 40, 5
TEXT = tuple(TextSequence((place,), str(place)) for place in range(N))


@dataclass(frozen=True)
class Given(TextStreams):
    """Streams that are written down, one token for each sequence."""

    streams: torch.Tensor

    def after_blocks(self, text: Sequence[TextSequence]) -> torch.Tensor:
        return self.streams[:, [each.tokens[0] for each in text]]


def given(streams: torch.Tensor) -> Given:
    model = Mute()
    model.cfg = SimpleNamespace(n_layers=len(streams), d_model=D, device="cpu")
    return Given(model, {}, None, streams)


def random_streams() -> torch.Tensor:
    streams = torch.randn(3, N, D, generator=torch.Generator().manual_seed(0))
    streams[:, :, 2] = 1000 + 30 * streams[:, :, 2]
    return streams


@pytest.mark.parametrize("at_once", [1, 7, N])
def test_it_is_ridge_regression_of_what_the_blocks_above_add(at_once: int) -> None:
    streams = random_streams()
    lens = least_squares_lens(given(streams), TEXT, at_once=at_once)
    last = streams[-1].double().numpy()
    for layer in range(2):
        stream = streams[layer].double().numpy()
        penalty = RIDGE * stream.var(0).mean() * N
        expected = Ridge(alpha=penalty, solver="svd").fit(stream, last - stream)
        np.testing.assert_allclose(lens.weight[layer].numpy(), expected.coef_, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(lens.bias[layer].numpy(), expected.intercept_, rtol=1e-4, atol=1e-2)


def test_a_layer_of_which_nothing_can_be_said_has_no_translator() -> None:
    streams = random_streams()
    streams[1, 3, 0] = torch.inf
    found = least_squares_lens(given(streams), TEXT, at_once=9)
    assert found.weight[0].any()
    assert not found.weight[1].any()
    assert not found.bias[1].any()
    # A stream that never changes has a constant translation.
    constant = torch.stack([torch.ones(N, D), random_streams()[0]])
    found = least_squares_lens(given(constant), TEXT, at_once=9)
    assert found.weight.isfinite().all()
    assert found.bias.isfinite().all()
