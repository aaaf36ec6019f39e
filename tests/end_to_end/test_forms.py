"""TransformerLens's two forms of the real small model, where both are installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp.activations.batch_activations import site_activations
from interp.answers.continuations import continued
from interp.answers.prompts import prompt_of
from interp.models.hooked_model import HookedModel, stop_tokens
from interp.models.hooked_transformers import is_installed
from interp.models.loading import load_model
from interp.models.model_sources import resolve_model
from interp.models.sites import SITES
from interp.questions.datasets import load_questions

pytestmark = pytest.mark.skipif(not is_installed(), reason="TransformerLens 4 has one form only")


@pytest.fixture(scope="module")
def forms() -> tuple[HookedModel, HookedModel]:
    source = resolve_model("smollm2-135m")
    bridge, hooked = (
        load_model(source, device="cpu", dtype="float32", backend=backend) for backend in ("bridge", "hooked")
    )
    return bridge, hooked


@pytest.fixture(scope="module")
def prompts(forms: tuple[HookedModel, HookedModel]) -> list[tuple[int, ...]]:
    questions = load_questions("cities", n=8, seed=0).questions
    of_each = [[prompt_of(model.tokenizer, question).token_ids for question in questions] for model in forms]
    assert of_each[0] == of_each[1]
    return of_each[0]


def test_every_site_is_the_same(forms: tuple[HookedModel, HookedModel], prompts: list[tuple[int, ...]]) -> None:
    cells = np.array([[0, len(prompt) // 2, len(prompt) - 1] for prompt in prompts])
    for site in SITES:
        of_bridge, of_hooked = (site_activations(model, prompts, cells, site) for model in forms)
        largest = of_bridge.norm(dim=-1).clamp(min=1)
        assert ((of_bridge - of_hooked).norm(dim=-1) / largest).max() < 1e-4, site


def test_they_say_the_same(forms: tuple[HookedModel, HookedModel], prompts: list[tuple[int, ...]]) -> None:
    ends = stop_tokens(forms[0])
    assert stop_tokens(forms[1]) == ends
    for prompt in prompts:
        said = [continued(model, [prompt], max_new_tokens=16, ends=ends) for model in forms]
        assert said[0] == said[1]
        with torch.inference_mode():
            bridge, hooked = (model(torch.tensor([prompt]))[0, -1].log_softmax(-1) for model in forms)
        torch.testing.assert_close(bridge, hooked, rtol=1e-4, atol=1e-4)
