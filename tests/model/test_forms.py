"""TransformerLens's two forms of one model, and what processing the weights changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from interp.activations.batch_activations import site_activations
from interp.models.hooked_transformers import is_installed
from interp.models.loading import WEIGHTS, load_model
from interp.models.model_sources import ModelSource
from interp.models.sites import SITES
from tests.tiny_models import HOOKED, saved_model

TOKENS = torch.randint(2, 380, (3, 12), generator=torch.Generator().manual_seed(0))


def log_probabilities(model: object) -> torch.Tensor:
    assert callable(model)
    with torch.inference_mode():
        logits: torch.Tensor = model(TOKENS)
    return logits.log_softmax(-1)


@pytest.mark.skipif(not is_installed(), reason="TransformerLens 4 has one form only")
def test_both_forms_compute_the_same(source: ModelSource) -> None:
    bridge, hooked = (
        load_model(source, device="cpu", dtype="float32", backend=backend) for backend in ("bridge", "hooked")
    )
    assert type(bridge) is not type(hooked)
    torch.testing.assert_close(log_probabilities(bridge), log_probabilities(hooked), rtol=1e-5, atol=1e-5)
    cells = torch.arange(TOKENS.shape[1]).repeat(len(TOKENS), 1).numpy()
    for site in SITES:
        of_bridge, of_hooked = (site_activations(model, TOKENS.tolist(), cells, site) for model in (bridge, hooked))
        torch.testing.assert_close(of_bridge, of_hooked, rtol=1e-5, atol=1e-5)


def forms_of(name: str) -> list[str]:
    return ["bridge", "hooked"] if is_installed() and name in HOOKED else ["bridge"]


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "llama", "gemma2"])
def test_processed_weights_say_the_same_and_centre_the_stream_of_layer_norms(
    name: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """Folding norms and centring weights leaves what the model says. The residual stream loses its mean over d_model
    where norms take it away anyway (LayerNorm), and is as it was where they do not (RMSNorm)."""
    source = saved_model(name, tokenizer, tmp_path)
    cells = torch.arange(TOKENS.shape[1]).repeat(len(TOKENS), 1).numpy()
    for backend in forms_of(name):
        raw, processed = (
            load_model(source, device="cpu", dtype="float32", backend=backend, weights=weights) for weights in WEIGHTS
        )
        torch.testing.assert_close(log_probabilities(raw), log_probabilities(processed), rtol=1e-4, atol=1e-4)
        before, after = (site_activations(model, TOKENS.tolist(), cells, "resid_post") for model in (raw, processed))
        if name in ("gpt2", "gpt_neox"):
            assert before.mean(dim=-1).abs().max() > 0.1
            before = before - before.mean(dim=-1, keepdim=True)
        torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-4)
