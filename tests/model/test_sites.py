"""Sites by one name: what they hold in every family, against Hugging Face's own modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int

from interp.activations.batch_activations import site_activations
from interp.errors import InputError
from interp.models.hooked_model import HookedModel
from interp.models.model_sources import ModelSource
from interp.models.sites import SITES, hook_names
from interp.positions import MISSING
from tests.hugging_face_sites import hugging_face_sites
from tests.respondents import Mute
from tests.tiny_models import PARALLEL

TOKENS = torch.randint(2, 380, (2, 11), generator=torch.Generator().manual_seed(0))
REFUSALS = {
    "resid_mid": "no resid_mid: its attention and MLP read the same stream; take resid_pre",
    "mlp_hidden": "no mlp_hidden: each of its experts has a hidden layer of its own",
}


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


def padded(
    sequences: list[list[int]], side: str
) -> tuple[Int[torch.Tensor, "batch pos"], Int[torch.Tensor, "batch pos"]]:
    """Tokens of sequences padded on one side, and their mask."""
    longest = max(map(len, sequences))
    # The mask alone says what is padding: the token is one that could be meant.
    tokens = torch.full((len(sequences), longest), 7)
    mask = torch.zeros_like(tokens)
    for row, sequence in enumerate(sequences):
        start = longest - len(sequence) if side == "left" else 0
        tokens[row, start : start + len(sequence)] = torch.tensor(sequence)
        mask[row, start : start + len(sequence)] = 1
    return tokens, mask


@pytest.fixture(scope="session")
def of_hugging_face(family_source: ModelSource) -> dict[str, Float[torch.Tensor, "*layer batch pos width"]]:
    """The sites of `TOKENS`, from Hugging Face's own model."""
    return hugging_face_sites(family_source, TOKENS)


@pytest.mark.parametrize("site", SITES)
def test_a_site_is_what_hugging_faces_modules_read_and_give(
    family_source: ModelSource, family_model: HookedModel, of_hugging_face: dict[str, torch.Tensor], site: str
) -> None:
    assert (site in of_hugging_face) == (site in sites_of(family_source))
    if site in of_hugging_face:
        torch.testing.assert_close(everywhere(family_model, site), of_hugging_face[site], rtol=1e-5, atol=1e-5)
    else:
        with pytest.raises(InputError, match=REFUSALS[site]):
            hook_names(family_model, site)


def test_a_block_adds_its_attention_and_its_mlp(family_source: ModelSource, family_model: HookedModel) -> None:
    pre, post, attention, mlp = (
        everywhere(family_model, site) for site in ("resid_pre", "resid_post", "attn_out", "mlp_out")
    )
    torch.testing.assert_close(pre + attention + mlp, post, rtol=1e-5, atol=1e-5)
    assert torch.equal(pre[1:], post[:-1])
    if "resid_mid" in sites_of(family_source):
        torch.testing.assert_close(everywhere(family_model, "resid_mid"), pre + attention, rtol=1e-5, atol=1e-5)


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


@pytest.mark.parametrize("side", ["left", "right"])
def test_positions_count_from_the_mask(family_source: ModelSource, family_model: HookedModel, side: str) -> None:
    """Longer and shorter sequences in one batch, padded on either side, against each alone."""
    sequences = [list(range(20, 20 + n)) for n in (9, 4, 12, 1)]
    tokens, mask = padded(sequences, side)
    with torch.inference_mode():
        _, together = family_model.run_with_cache(tokens, attention_mask=mask)
        alone = [family_model.run_with_cache(torch.tensor([sequence]))[1] for sequence in sequences]
    for site in sites_of(family_source):
        for name in hook_names(family_model, site):
            for row, real in enumerate(mask.bool()):
                torch.testing.assert_close(together[name][row, real], alone[row][name][0], rtol=1e-5, atol=1e-5)


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
