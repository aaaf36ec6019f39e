"""The output path in every family: from the recorded stream to the model's own logits, and held to them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from interp.errors import InputError
from interp.models.hooked_model import HookedModel
from interp.models.model_sources import ModelSource
from interp.models.output_path import (
    largest_difference,
    logit_scale,
    output_logits,
    require_own_logits,
    unembedded,
    unembedding_of,
)
from interp.patching.patches import Run, Target
from interp.patching.recordings import recorded
from tests.respondents import Mute

TOKENS = tuple(torch.randint(2, 380, (9,), generator=torch.Generator().manual_seed(0)).tolist())
RUN = Run(TOKENS, tuple(Target(place, 5) for place in range(len(TOKENS))))


def ours_and_own(model: HookedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits of the path, and the model's own, at every token."""
    (recording,) = recorded(model, [RUN], with_cache=False)
    with torch.inference_mode():
        return output_logits(model, recording.final), model(torch.tensor([TOKENS]))[0]


def test_the_path_gives_the_models_own_logits(family_model: HookedModel) -> None:
    ours, own = ours_and_own(family_model)
    torch.testing.assert_close(ours, own, rtol=1e-5, atol=1e-5)
    require_own_logits(ours, own)


def test_logits_are_capped_where_a_family_caps_them(
    family_source: ModelSource, family_model: HookedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    if family_source.name != "tiny-gemma2":
        pytest.skip("its logits are not capped")
    ours, own = ours_and_own(family_model)
    assert float(ours.abs().max()) < family_model.cfg.output_logits_soft_cap
    monkeypatch.setattr(family_model.adapter, "apply_output_logits_transform", lambda logits: logits)
    uncapped, own = ours_and_own(family_model)
    assert float((uncapped - ours).abs().max()) > 1e-3, "the cap is felt"
    cap = f"also caps its logits, at {family_model.cfg.output_logits_soft_cap:g}$"
    with pytest.raises(InputError, match=f"do not give this model's own output: .* this family {cap}"):
        require_own_logits(uncapped, own)


class Capped(Mute):
    """A model without an adapter, which caps its logits by its configuration, as HookedTransformer does."""

    def __init__(self, cap: float | None) -> None:
        super().__init__()
        self.cfg = SimpleNamespace(output_logits_soft_cap=cap, device="cpu")
        self.ln_final, self.unembed = torch.nn.Identity(), torch.nn.Identity()
        self.unembed.W_U = torch.eye(4)


@pytest.mark.parametrize("cap", [None, 0.0, -1.0, 3.0])
def test_a_model_without_an_adapter_caps_by_its_configuration(cap: float | None) -> None:
    model, stream = Capped(cap), 9 * torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    expected = 3 * torch.tanh(stream / 3) if cap == 3 else stream
    torch.testing.assert_close(output_logits(model, stream), expected)
    assert logit_scale(model) == 1, "a cap does nothing to what is small"


def test_the_unembedding_of_some_tokens_gives_their_logits(
    family_model: HookedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: Any = family_model
    stream = torch.randn(3, family_model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    tokens = [7, 300, 5]
    with torch.inference_mode():
        normed = parts.ln_final(stream[:, None])[:, 0].double()
        expected = unembedded(family_model, stream)[:, tokens].double()
    for scale in (1.0, 0.125):
        if scale != 1:
            if not hasattr(family_model, "adapter"):
                return
            monkeypatch.setattr(parts.adapter, "apply_output_logits_transform", lambda logits: logits / 8)
        found = unembedding_of(family_model, tokens)
        torch.testing.assert_close(normed @ found.vectors.T + found.biases, scale * expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_scale_is_known_where_gradients_are_off(model: HookedModel, mode: Callable[[], Any]) -> None:
    with mode():
        assert logit_scale(model) == 1


@pytest.mark.parametrize(
    ("dtype", "explained", "more"),
    [
        (torch.float64, 1e-10, 1e-6),
        (torch.float32, 1e-4, 1e-2),
        (torch.bfloat16, 0.2, 2.0),
        (torch.float16, 0.02, 0.5),
    ],
)
def test_how_much_rounding_explains_is_by_the_models_dtype(dtype: torch.dtype, explained: float, more: float) -> None:
    own = torch.zeros(2, 4, dtype=dtype)
    apart = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    require_own_logits(own + explained * apart, own)
    with pytest.raises(InputError, match="do not give this model's own output"):
        require_own_logits(own + more * apart, own)


def test_a_part_that_is_missing_shows_in_one_line(family_model: HookedModel) -> None:
    """As of a family that divides its logits by a scale, which the path would not know."""
    ours, own = ours_and_own(family_model)
    with pytest.raises(InputError, match=r"log-probabilities differ by .*, where rounding explains 0\.001") as raised:
        require_own_logits(ours, own / 2)
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match=r"differ by nan.* this family does more than that$"):
        require_own_logits(ours.index_fill(0, torch.tensor([2]), torch.nan), own)
    with pytest.raises(InputError, match="the model's own output is not a number in float32; take --dtype float32"):
        require_own_logits(ours, own.index_fill(0, torch.tensor([2]), torch.inf))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda logits: logits / 8 + 3, "this family also multiplies its logits, by 0.125"),
        (lambda logits: (logits / 8).bfloat16(), "this family also multiplies its logits, by 0.125"),
        (lambda logits: 30 * torch.tanh(logits / 30), "this family also caps its logits, at 30"),
        (lambda logits: 600 * torch.tanh(logits / 600), "this family also caps its logits, at 600"),
        (lambda logits: logits + torch.linspace(-1, 1, logits.shape[1]), "this family also adds a bias to its logits"),
        (lambda logits: logits.flip(1), "this family does more than that, and it is no factor, cap or bias"),
        (lambda logits: torch.where(logits > 2, -torch.inf, logits), "this family does more than that$"),
    ],
)
def test_the_part_that_is_missing_is_named(change: Callable[[torch.Tensor], torch.Tensor], words: str) -> None:
    ours = 9 * torch.randn(5, 400, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match=words):
        require_own_logits(ours, change(ours))
    below = ours - 50  # As GPT-2's are.
    with pytest.raises(InputError, match="this family also caps its logits, at 30"):
        require_own_logits(below, 30 * torch.tanh(below / 30))
    with pytest.raises(InputError, match="no factor, cap or bias"):
        require_own_logits(ours[:1], ours[:1] + torch.linspace(-1, 1, 400))


def test_what_all_logits_have_in_common_and_what_is_negligible_do_not_count() -> None:
    logits = torch.tensor([[0.0, 1.0, -40.0]], dtype=torch.float64)
    assert largest_difference(logits + 7, logits) == pytest.approx(0, abs=1e-12)
    assert largest_difference(logits - torch.tensor([0.0, 0.0, 5.0]), logits) == pytest.approx(0, abs=1e-12)
    assert largest_difference(logits + torch.tensor([0.0, 0.0, 45.0]), logits) > 1
