"""What is read off logits, against float64 definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from interp.models.logit_readings import NOT_FINITE, UNASKED, output_of, readings_of


def logits_of(seed: int, rows: int, vocab: int, spread: float) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(scale=spread, size=(rows, vocab)).astype(np.float32))


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(2, 60), st.sampled_from([0.01, 1.0, 30.0]))
def test_readings_are_those_of_their_definitions(seed: int, rows: int, vocab: int, spread: float) -> None:
    lens, own = logits_of(seed, rows, vocab, spread), logits_of(seed + 1, rows, vocab, spread)
    targets = torch.from_numpy(np.random.default_rng(seed).integers(0, vocab, (3, rows)))
    found = readings_of(lens, output_of(own), targets)
    expected = log_softmax(lens.double().numpy(), axis=1)
    asked = np.take_along_axis(expected, targets.T.numpy(), 1).T
    np.testing.assert_allclose(found.log_probability, asked, rtol=1e-5, atol=1e-5)
    order = np.argsort(-expected, axis=1)
    ranks = np.argsort(order, axis=1)
    np.testing.assert_array_equal(found.rank, np.take_along_axis(ranks, targets.T.numpy(), 1).T)
    np.testing.assert_array_equal(found.top, order[:, 0])
    np.testing.assert_allclose(found.top_log_probability, expected.max(1), rtol=1e-5, atol=1e-5)
    probabilities = softmax(own.double().numpy(), axis=1)
    np.testing.assert_allclose(found.entropy, entropy(np.exp(expected), axis=1), rtol=1e-4, atol=1e-5)
    divergence = (probabilities * (log_softmax(own.double().numpy(), axis=1) - expected)).sum(1)
    np.testing.assert_allclose(found.divergence, divergence, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("vocab", [50_000, 256_000])
@pytest.mark.parametrize("spread", [0.6, 2.0, 4.0])
def test_digits_are_kept_over_a_large_vocabulary(vocab: int, spread: float) -> None:
    own = logits_of(0, 2, vocab, spread)
    lens = own + logits_of(1, 2, vocab, 1.0)
    found, output = readings_of(lens, output_of(own), torch.zeros((1, 2), dtype=torch.int64)), output_of(own)
    of_lens, of_own = (log_softmax(logits.double().numpy(), axis=1) for logits in (lens, own))
    np.testing.assert_allclose(found.divergence, (np.exp(of_own) * (of_own - of_lens)).sum(1), atol=8e-6, rtol=0)
    for said, exact in ((found.entropy, of_lens), (output.entropy, of_own)):
        np.testing.assert_allclose(said, -(np.exp(exact) * exact).sum(1), atol=8e-6, rtol=0)


@given(st.integers(0, 2**32 - 1), st.floats(-50, 50, width=32))
def test_what_all_logits_have_in_common_does_not_count(seed: int, shift: float) -> None:
    logits, targets = logits_of(seed, 3, 20, 1.0), torch.zeros((1, 3), dtype=torch.int64)
    output = output_of(logits)
    for first, second in zip(
        readings_of(logits, output, targets), readings_of(logits + shift, output, targets), strict=True
    ):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)


def test_a_model_does_not_differ_from_itself() -> None:
    logits = logits_of(0, 4, 50, 3.0)
    found = readings_of(logits, output_of(logits), logits.argmax(1)[None])
    torch.testing.assert_close(found.divergence, torch.zeros(4), rtol=0, atol=1e-6)
    assert bool((found.divergence >= 0).all())
    assert found.rank.tolist() == [[0] * 4]


def test_a_token_that_is_not_asked_about_has_no_reading() -> None:
    logits = logits_of(0, 2, 9, 1.0)
    found = readings_of(logits, output_of(logits), torch.tensor([[3, -2]]))
    assert found.rank[0, 1] == UNASKED != found.rank[0, 0]
    assert found.log_probability.isnan().tolist() == [[False, True]]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_where_logits_are_no_numbers_no_token_is_ahead(value: float) -> None:
    logits, targets = logits_of(0, 2, 9, 1.0), torch.tensor([[3, 3], [-1, 2]])
    broken = logits.clone()
    broken[0, 4] = value
    found, whole = (readings_of(each, output_of(logits), targets) for each in (broken, logits))
    assert found.rank[:, 0].tolist() == [NOT_FINITE, UNASKED]
    assert found.top[0] == NOT_FINITE
    assert found.log_probability[:, 0].isnan().all()
    assert (found.rank[:, 1] == whole.rank[:, 1]).all(), "of other rows nothing changes"
    assert found.top[1] == whole.top[1]


def test_tokens_that_are_ruled_out_are_behind_all_others() -> None:
    logits = logits_of(0, 1, 9, 1.0).index_fill(1, torch.tensor([3]), -torch.inf)
    found = readings_of(logits, output_of(logits), torch.tensor([[3]]))
    assert found.rank.item() == 8
    assert found.top.item() == logits.argmax()
    others = torch.cat([logits[:, :3], logits[:, 4:]], dim=1)
    without = readings_of(others, output_of(others), torch.tensor([[0]]))
    torch.testing.assert_close(found.entropy, without.entropy)
    torch.testing.assert_close(output_of(logits).entropy, output_of(others).entropy)
    assert found.divergence.item() == pytest.approx(0, abs=1e-6)
    assert found.log_probability.item() == -np.inf


def test_what_the_lens_rules_out_and_the_model_does_not_is_infinitely_far() -> None:
    logits = logits_of(0, 2, 9, 1.0)
    ruled_out = logits.clone()
    ruled_out[0, 3] = -torch.inf
    found = readings_of(ruled_out, output_of(logits), torch.tensor([[3, 3]]))
    assert found.divergence.tolist() == [np.inf, pytest.approx(0, abs=1e-6)]
    # Also where there is another token that both rule out.
    for each in (logits, ruled_out):
        each[:, 5] = -torch.inf
    found = readings_of(ruled_out, output_of(logits), torch.tensor([[3, 3]]))
    assert found.divergence.tolist() == [np.inf, pytest.approx(0, abs=1e-6)]


def test_of_equal_logits_none_is_ahead() -> None:
    found = readings_of(torch.zeros(1, 7), output_of(torch.zeros(1, 7)), torch.tensor([[6]]))
    assert found.rank.item() == 0
    assert found.entropy.item() == pytest.approx(np.log(7), rel=1e-6)


def test_a_model_in_bfloat16_is_read_in_float32() -> None:
    logits = logits_of(0, 2, 400, 2.0).bfloat16()
    found = readings_of(logits, output_of(logits), torch.tensor([[3, 5]]))
    exact = readings_of(logits.float(), output_of(logits.float()), torch.tensor([[3, 5]]))
    for first, second in zip(found, exact, strict=True):
        torch.testing.assert_close(first, second)
