"""Sites by one name: what they hold in every family, against Hugging Face's own modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from interp.activations import site_activations
from interp.errors import InputError
from interp.model_sources import ModelSource
from interp.models import HookedModel
from interp.positions import MISSING
from interp.sites import SITES, hook_names
from tests.respondents import Mute
from tests.tiny_models import PARALLEL

TOKENS = torch.randint(2, 380, (2, 11), generator=torch.Generator().manual_seed(0))
OUTPUT_MATRICES = {
    "head_z": ("self_attn.o_proj", "self_attn.dense", "attention.dense", "attn.c_proj"),
    "mlp_hidden": ("mlp.down_proj", "mlp.fc2", "mlp.dense_4h_to_h", "mlp.c_proj"),
}
"""What reads these sites, by Hugging Face's names in one family or another."""


def family_of(source: ModelSource) -> str:
    return source.name.removeprefix("tiny-")


def sites_of(source: ModelSource) -> list[str]:
    absent = {"resid_mid": family_of(source) in PARALLEL, "mlp_hidden": family_of(source) == "mixtral"}
    return [site for site in SITES if not absent.get(site, False)]


def everywhere(model: HookedModel, site: str) -> torch.Tensor:
    """A site of every layer at every token, ``[layer, example, pos, width]``."""
    positions = np.tile(np.arange(TOKENS.shape[1]), (len(TOKENS), 1))
    gathered = site_activations(model, TOKENS.tolist(), positions, site)
    return gathered.transpose(1, 2)


def reference_of(source: ModelSource) -> Any:
    return AutoModelForCausalLM.from_pretrained(source.folder, attn_implementation="eager").eval()


def test_a_block_adds_its_attention_and_its_mlp(family_model: HookedModel) -> None:
    pre, post, attention, mlp = (
        everywhere(family_model, site) for site in ("resid_pre", "resid_post", "attn_out", "mlp_out")
    )
    torch.testing.assert_close(pre + attention + mlp, post, rtol=1e-5, atol=1e-5)
    assert torch.equal(pre[1:], post[:-1])


def test_what_they_add_is_what_hugging_faces_states_gain(family_source: ModelSource, family_model: HookedModel) -> None:
    with torch.inference_mode():
        hidden = reference_of(family_source)(TOKENS, output_hidden_states=True).hidden_states
    gained = everywhere(family_model, "attn_out") + everywhere(family_model, "mlp_out")
    for layer in range(family_model.cfg.n_layers - 1):
        torch.testing.assert_close(gained[layer], hidden[layer + 1] - hidden[layer], rtol=1e-4, atol=1e-4)


def test_between_them_is_what_attention_has_added(family_source: ModelSource, family_model: HookedModel) -> None:
    if family_of(family_source) in PARALLEL:
        with pytest.raises(
            InputError, match="no resid_mid: its attention and MLP read the same stream; take resid_pre"
        ):
            hook_names(family_model, "resid_mid")
    else:
        between = everywhere(family_model, "resid_pre") + everywhere(family_model, "attn_out")
        torch.testing.assert_close(everywhere(family_model, "resid_mid"), between, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("site", OUTPUT_MATRICES)
def test_hidden_layers_are_what_their_output_matrix_reads(
    family_source: ModelSource, family_model: HookedModel, site: str
) -> None:
    if site not in sites_of(family_source):
        with pytest.raises(InputError, match="no mlp_hidden: each of its experts has a hidden layer of its own"):
            hook_names(family_model, site)
        return
    reference = reference_of(family_source)
    read: list[torch.Tensor] = []

    def reader(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        read.append(inputs[0])

    matrices = [module for name, module in reference.named_modules() if name.endswith(OUTPUT_MATRICES[site])]
    assert len(matrices) == family_model.cfg.n_layers
    for matrix in matrices:
        matrix.register_forward_pre_hook(reader)
    with torch.inference_mode():
        reference(TOKENS)
    torch.testing.assert_close(everywhere(family_model, site), torch.stack(read), rtol=1e-4, atol=1e-4)


def test_a_site_does_not_depend_on_what_is_beside_it(family_source: ModelSource, family_model: HookedModel) -> None:
    """Longer and shorter sequences in one padded batch, against each alone."""
    sequences = [list(range(20, 20 + n)) for n in (9, 4, 12, 1)]
    cells = np.array([[0, len(sequence) - 1, len(sequence) // 2, MISSING] for sequence in sequences])
    for site in sites_of(family_source):
        together = site_activations(family_model, sequences, cells, site)
        assert together[:, 3].isnan().all()
        for row, sequence in enumerate(sequences):
            alone = site_activations(family_model, [sequence], cells[row : row + 1], site)
            torch.testing.assert_close(together[:, :, [row]], alone, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_any_hook_of_a_block_is_a_site(model: HookedModel) -> None:
    queries = everywhere(model, "attn.hook_q")
    with torch.inference_mode():
        _, cache = model.run_with_cache(TOKENS)
    for layer in range(model.cfg.n_layers):
        expected = cache[f"blocks.{layer}.attn.hook_q"].flatten(start_dim=2)
        torch.testing.assert_close(queries[layer], expected, rtol=1e-5, atol=1e-5)


def test_an_unknown_site_names_the_nearest(model: HookedModel) -> None:
    with pytest.raises(InputError, match="unknown site 'resid_pots'; nearest: resid_post"):
        hook_names(model, "resid_pots")


def test_a_site_that_only_some_blocks_have_is_refused(model: HookedModel) -> None:
    lacking = Mute()
    lacking.cfg = model.cfg
    lacking.hook_dict = {name: hook for name, hook in model.hook_dict.items() if name != "blocks.1.hook_mlp_out"}
    with pytest.raises(InputError, match="no mlp_out in the blocks 1; take a site that all blocks have"):
        hook_names(lacking, "mlp_out")
