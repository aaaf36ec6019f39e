"""Direct logit attribution in every family: held to the model's own logits, to autograd and to TransformerLens's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float

from interp.activations.batch_activations import site_activations
from interp.errors import InputError
from interp.lenses.direct_attribution import SITES, Contributions, contributions, reading_of, require_own_differences
from interp.lenses.frozen_norm import frozen_norm
from interp.lenses.logit_contrasts import Contrast, Contrasts, contrasts_of
from interp.models.hooked_model import HookedModel
from interp.models.loading import load_model
from interp.models.model_sources import ModelSource
from interp.models.output_path import logit_scale, unembedded
from tests.unit.test_activation_map import InMemory

GENERATOR = torch.Generator().manual_seed(0)
SEQUENCES = [torch.randint(2, 380, (length,), generator=GENERATOR).tolist() for length in (9, 12, 7)]
CELLS = np.array([[2, len(sequence) // 2, len(sequence) - 1] for sequence in SEQUENCES])
POSITIONS = ("2", "middle", "-1")
CONTRASTS = contrasts_of([Contrast(30, {40}), Contrast(41, {30, 41, 50, 60}), Contrast(33, {34, 35})])
EVERYWHERE = np.ones(CELLS.shape, dtype=bool)
COHERE, GEMMA2 = 8.0, "tiny-gemma2"


def stores_of(model: HookedModel) -> list[InMemory]:
    """The sites that contributions are computed from, of every cell."""
    layers = tuple(range(model.cfg.n_layers))
    return [InMemory(layers, POSITIONS, site_activations(model, SEQUENCES, CELLS, site)) for site in SITES]


def attributed(model: HookedModel, contrasts: Contrasts = CONTRASTS) -> Contributions:
    return contributions(*stores_of(model), EVERYWHERE, reading_of(model, contrasts))


def own_logits(model: HookedModel) -> Float[np.ndarray, "example position vocab"]:
    """The logits of the model's own forward pass."""
    with torch.inference_mode():
        each = [model(torch.tensor([tokens]))[0, places] for tokens, places in zip(SEQUENCES, CELLS, strict=True)]
    return torch.stack(each).double().numpy()


def test_parts_add_up_to_the_models_own_logit_difference(family_source: ModelSource, family_model: HookedModel) -> None:
    found, logits = attributed(family_model), own_logits(family_model)
    if family_source.name == GEMMA2:
        cap = family_model.cfg.output_logits_soft_cap
        logits = cap * np.arctanh(logits / cap)
    expected = np.einsum("et,ept->ep", CONTRASTS.weights, logits[:, :, list(CONTRASTS.tokens)])
    written = found.embedding + found.attention.sum(1) + found.mlp.sum(1) + found.constants
    assert float(np.abs(expected).max()) > 0.4
    np.testing.assert_allclose(written, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.difference, expected, rtol=1e-3, atol=1e-3)


def test_the_embedding_is_what_the_first_block_reads(family_model: HookedModel) -> None:
    reading = reading_of(family_model, CONTRASTS)
    embedding = site_activations(family_model, SEQUENCES, CELLS, "resid_pre")[0]
    final = site_activations(family_model, SEQUENCES, CELLS)[-1]
    expected = [
        reading.off(embedding[place], reading.norm.scales(final[place]), torch.ones(len(SEQUENCES), dtype=torch.bool))
        for place in range(len(POSITIONS))
    ]
    np.testing.assert_allclose(attributed(family_model).embedding, np.stack(expected, axis=1), rtol=1e-3, atol=1e-3)


def gradient_at_frozen_scale(
    model: HookedModel, stream: Float[torch.Tensor, "example d_model"]
) -> Float[torch.Tensor, "example d_model"]:
    """Of the contrasts of what the model's own norm and unembedding make of streams, by autograd.

    What the norm gives is multiplied by its scale over its scale, the one of which is a constant: so far as the scale
    is what this test takes it for, the norm that is left is one whose scale is frozen.
    """
    parts: Any = model
    norm = getattr(parts.ln_final, "original_component", None) or parts.ln_final
    centres = isinstance(norm, torch.nn.LayerNorm) or type(norm).__name__ == "LayerNorm"
    with torch.enable_grad():
        x = stream.clone().requires_grad_()
        scale = (x - x.mean(1, keepdim=True) if centres else x).square().mean(1, keepdim=True).sqrt()
        bias = parts.ln_final(torch.zeros_like(x)[:, None])[:, 0]
        normed = bias + (parts.ln_final(x[:, None])[:, 0] - bias) * scale / scale.detach()
        logits = parts.unembed(normed[:, None])[:, 0, list(CONTRASTS.tokens)]
        (gradient,) = torch.autograd.grad((logits * torch.tensor(CONTRASTS.weights)).sum(), x)
    return gradient.double()


def test_a_contribution_is_the_gradient_at_a_frozen_scale_times_what_was_written(family_model: HookedModel) -> None:
    attention, mlp, stream = (store.activations for store in stores_of(family_model))
    found = attributed(family_model)
    for place in range(len(POSITIONS)):
        gradient = gradient_at_frozen_scale(family_model, stream[-1, place])
        for written, ours in ((attention, found.attention), (mlp, found.mlp)):
            expected = torch.linalg.vecdot(written[:, place].double(), gradient).T.numpy()
            np.testing.assert_allclose(ours[:, :, place], expected, rtol=1e-3, atol=1e-3)


def of_transformer_lens(source: ModelSource, backend: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embedding, attention and MLPs of the first sequence by `ActivationCache`, of a model whose norms are folded."""
    processed: Any = load_model(source, device="cpu", dtype="float32", weights="processed", backend=backend)
    with torch.inference_mode():
        _, cache = processed.run_with_cache(torch.tensor([SEQUENCES[0]]))
        stack, labels = cache.decompose_resid(return_labels=True)
        attributions = cache.logit_attrs(stack, torch.tensor(30), torch.tensor(40))[:, 0, CELLS[0]].numpy()
    by_label = dict(zip(labels, attributions, strict=True))
    of_layers = ([each for name, each in by_label.items() if name.endswith(end)] for end in ("attn_out", "mlp_out"))
    attention, mlp = (np.stack(each) for each in of_layers)
    return by_label["embed"] + by_label.get("pos_embed", 0.0), attention, mlp


def test_contributions_are_those_of_transformer_lens(family_source: ModelSource, family_model: HookedModel) -> None:
    """Which folds the final norm into the unembedding first: the logit difference of two tokens is the same."""
    if family_source.name == "tiny-olmo2":
        pytest.skip("TransformerLens does not fold its norms, and warns that its own numbers are off")
    backend = "bridge" if hasattr(family_model, "original_model") else "hooked"
    embedding, attention, mlp = of_transformer_lens(family_source, backend)
    found = attributed(family_model)
    np.testing.assert_allclose(found.embedding[0], embedding, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.attention[0], attention, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.mlp[0], mlp, rtol=1e-3, atol=1e-3)


def test_transformer_lens_has_it_in_one_call(source: ModelSource, model: HookedModel) -> None:
    theirs = pytest.importorskip("transformer_lens.tools.analysis").direct_logit_attribution
    processed = load_model(source, device="cpu", dtype="float32", weights="processed", backend="bridge")
    told = theirs(processed, torch.tensor([SEQUENCES[0]]), answer_tokens=30, incorrect_tokens=40)
    by_label = dict(zip(told.labels, told.attribution[:, 0].tolist(), strict=True))
    found = attributed(model)
    for layer in range(model.cfg.n_layers):
        assert found.attention[0, layer, -1] == pytest.approx(by_label[f"{layer}_attn_out"], rel=1e-3, abs=1e-3)
        assert found.mlp[0, layer, -1] == pytest.approx(by_label[f"{layer}_mlp_out"], rel=1e-3, abs=1e-3)


def test_folded_norms_leave_contributions_as_they_are(source: ModelSource, model: HookedModel) -> None:
    processed = load_model(source, device="cpu", dtype="float32", weights="processed")
    assert not torch.allclose(frozen_norm(processed).gain, frozen_norm(model).gain, atol=1e-2)
    raw, folded = attributed(model), attributed(processed)
    np.testing.assert_allclose(folded.attention, raw.attention, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(folded.mlp, raw.mlp, rtol=1e-3, atol=1e-3)


def test_what_is_read_is_held_to_the_models_own_output(family_model: HookedModel) -> None:
    found, stream = attributed(family_model), stores_of(family_model)[-1]
    cells = CELLS.copy()
    cells[1, 1] = -1
    require_own_differences(family_model, CONTRASTS, stream, SEQUENCES, cells, found.difference)
    wrong = found.difference + np.array([0.0, 0.0, 0.1])
    with pytest.raises(InputError, match=r"is read off the final stream is not the model's own: by up to 0\.1 logits"):
        require_own_differences(family_model, CONTRASTS, stream, SEQUENCES, cells, wrong)
    backwards = [tokens[::-1] for tokens in SEQUENCES]
    with pytest.raises(InputError, match="do not give this model's own output"):
        require_own_differences(family_model, CONTRASTS, stream, backwards, cells, found.difference)


def test_a_family_that_scales_its_logits_scales_what_is_read(
    model: HookedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Cohere does; a cap does not scale what is small."""
    if not hasattr(model, "adapter"):
        pytest.skip("HookedTransformer scales no logits")
    assert logit_scale(model) == 1
    before = attributed(model)
    monkeypatch.setattr(model.adapter, "apply_output_logits_transform", lambda logits: torch.tanh(logits / COHERE))
    assert logit_scale(model) == 1 / COHERE
    np.testing.assert_allclose(attributed(model).mlp, before.mlp / COHERE)
    found = attributed(model)
    np.testing.assert_allclose(found.difference, before.difference / COHERE)
    # The forward pass of this model scales nothing.
    monkeypatch.setattr("interp.lenses.direct_attribution.require_own_logits", lambda ours, own: None)
    require_own_differences(model, CONTRASTS, stores_of(model)[-1], SEQUENCES, CELLS, found.difference)
    with pytest.raises(InputError, match="is not the model's own"):
        require_own_differences(model, CONTRASTS, stores_of(model)[-1], SEQUENCES, CELLS, before.difference)


def test_bfloat16_adds_up_to_its_own_rounding(source: ModelSource, model: HookedModel) -> None:
    rounded = load_model(source, device="cpu", dtype="bfloat16")
    found, exact = attributed(rounded), attributed(model)
    require_own_differences(rounded, CONTRASTS, stores_of(rounded)[-1], SEQUENCES, CELLS, found.difference)
    assert float(np.abs(found.difference - exact.difference).max()) < 0.1 * float(np.abs(exact.difference).max())


def test_a_final_norm_of_another_form_is_refused(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: Any = model
    # Past the component's own way of setting, which would set it on what it wraps.
    monkeypatch.setitem(vars(parts.ln_final), "forward", torch.tanh)
    with pytest.raises(InputError, match=r"the final norm of this model \(\w+\) is no LayerNorm or RMSNorm"):
        attributed(model)


def test_the_path_before_caps_is_the_one_after_them_where_there_are_none(model: HookedModel) -> None:
    final = site_activations(model, SEQUENCES, CELLS)[-1, -1]
    with torch.inference_mode():
        np.testing.assert_allclose(unembedded(model, final), own_logits(model)[:, -1], rtol=1e-3, atol=1e-3)
