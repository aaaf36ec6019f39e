"""What is drawn from logits, at the ends of what can be drawn."""

from __future__ import annotations

import math

import pytest
import torch

from interp.answers.continuations import _drawn
from interp.models.hooked_model import Sampling


class Stream:
    """A stream of one number, in place of numpy's."""

    def __init__(self, number: float) -> None:
        self.number = number

    def random(self) -> float:
        return self.number


@pytest.mark.parametrize(("number", "token"), [(0.0, 1), (0.2, 1), (0.5, 3), (math.nextafter(1.0, 0.0), 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_token_without_probability_is_never_drawn(
    monkeypatch: pytest.MonkeyPatch, number: float, token: int, dtype: torch.dtype
) -> None:
    """Of five tokens the second has a probability of .27 and the fourth the rest."""
    monkeypatch.setattr("interp.answers.continuations.np.random.default_rng", lambda _: Stream(number))
    logits = torch.tensor([[-math.inf, 1.0, -math.inf, 2.0, -math.inf]], dtype=dtype)
    assert _drawn([Sampling(1.0, 0)])([0], logits).tolist() == [token]


@pytest.mark.parametrize("n", [7, 400, 5000])
def test_nor_where_probabilities_add_up_to_less_than_one(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    """But for rounding: of equal tokens the last is drawn by the largest number, and the first by the smallest."""
    logits = torch.zeros(1, n + 1)
    logits[0, n] = -math.inf
    for number, token in ((0.0, 0), (math.nextafter(1.0, 0.0), n - 1)):
        monkeypatch.setattr(
            "interp.answers.continuations.np.random.default_rng", lambda _, number=number: Stream(number)
        )
        assert _drawn([Sampling(1.0, 0)])([0], logits).tolist() == [token]
