"""Contributions from stores, and their maps: what adds up, what is missing and why, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Bool

from analyses.attribution import largest_in_words, parts_in_words
from analyses.parts.runs import drawing, load_result
from interp.errors import InputError
from interp.lenses.attribution_map import DIFFERENCE, MIN_EXAMPLES, NoValue, attribution_maps
from interp.lenses.direct_attribution import Contributions, Reading, contributions
from interp.lenses.frozen_norm import probed_norm
from interp.results.heatmap import Heatmap
from tests.unit.test_activation_map import InMemory

N, LAYERS, WIDTH = 40, 3, 16
POSITIONS = ("last_q", "exact_answer_before_first", "-1")
RNG = np.random.default_rng(0)


def stores(seed: int = 0) -> tuple[InMemory, InMemory, InMemory]:
    """What attention and MLPs add to a random embedding, and the stream after each layer."""
    shape = (LAYERS, len(POSITIONS), N, WIDTH)
    attention, mlp = (torch.from_numpy(np.random.default_rng([seed, part]).normal(size=shape)) for part in (0, 1))
    embedding = torch.from_numpy(np.random.default_rng([seed, 2]).normal(size=shape[1:]))
    return tuple(  # type: ignore[return-value]
        InMemory(tuple(range(LAYERS)), POSITIONS, each.float())
        for each in (attention, mlp, embedding + (attention + mlp).cumsum(0))
    )


def reading() -> Reading:
    """Of a LayerNorm's output."""
    torch.manual_seed(0)
    norm = torch.nn.LayerNorm(WIDTH)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    frozen, read = probed_norm(norm, "LayerNorm", WIDTH, torch.float32), torch.randn(N, WIDTH).double()
    return Reading(frozen, frozen.directions(read), read @ frozen.bias + 0.25)


def everywhere() -> Bool[np.ndarray, "example position"]:
    return np.ones((N, len(POSITIONS)), dtype=bool)


def mapped(found: Contributions, mask: Bool[np.ndarray, "example position"], **changed: object) -> dict[str, Heatmap]:
    arguments: dict = {"positions": POSITIONS, "foil": "mean", "draws": 200, "seed": 0} | changed
    group = arguments.pop("group", np.arange(len(mask)))
    return attribution_maps(found, mask, group, **arguments)


def test_a_cell_is_the_mean_of_what_its_examples_contribute() -> None:
    mask = everywhere()
    mask[::3, 1] = False
    found = contributions(*stores(), mask, reading())
    assert np.array_equal(np.isfinite(found.difference), mask)
    maps = mapped(found, mask)
    for name, each in (("attn", found.attention), ("mlp", found.mlp)):
        data = maps[name].data
        np.testing.assert_allclose(data["value"], np.nanmean(each, axis=0))
        assert data["n"].values.tolist() == [mask.sum(0).tolist()] * LAYERS
        assert ((data["low"] < data["value"]) & (data["value"] < data["high"])).all()
    assert maps["attn"].scale == maps["mlp"].scale, "they can be laid side by side"
    assert maps["attn"].scale.centre == 0


def test_the_parts_of_a_map_add_up_to_its_logit_difference() -> None:
    maps = mapped(contributions(*stores(), everywhere(), reading()), everywhere())
    parts = maps["mlp"].data["parts"]
    np.testing.assert_allclose(parts.sel(part="MLPs"), maps["mlp"].data["value"].sum("layer"))
    np.testing.assert_allclose(parts.sel(part="attention"), maps["attn"].data["value"].sum("layer"))
    np.testing.assert_allclose(parts.drop_sel(part=DIFFERENCE).sum("part"), parts.sel(part=DIFFERENCE), rtol=1e-4)
    for each in maps.values():
        ends = (each.data[name].drop_sel(part="constants") for name in ("parts_low", "parts", "parts_high"))
        low, value, high = ends
        assert ((low < value) & (value < high)).all()
    xr_equal = [maps["mlp"].data[name].identical(maps["attn"].data[name]) for name in ("parts", "parts_low")]
    assert all(xr_equal)


def test_what_is_missing_says_why() -> None:
    mask = everywhere()
    mask[:, 0] = False
    mask[MIN_EXAMPLES - 1 :, 1] = False
    attention, mlp, stream = stores()
    for store in (attention, stream):
        store.activations[1:, 2, 5, 3] = torch.inf
    maps = mapped(contributions(attention, mlp, stream, mask, reading()), mask)
    codes = [NoValue.NO_EXAMPLE, NoValue.TOO_FEW_EXAMPLES, NoValue.ACTIVATIONS_NOT_FINITE]
    for heatmap in maps.values():
        assert heatmap.data["why_missing"].values.tolist() == [codes] * LAYERS
        assert heatmap.data["value"].isnull().all()
        assert heatmap.data["parts"].isnull().all()
        assert heatmap.data.attrs["why_missing_meanings"].split()[3] == "activations_not_finite"
    assert "–" in parts_in_words(maps["attn"])


@pytest.mark.parametrize("n", [0, 1, MIN_EXAMPLES - 1, MIN_EXAMPLES])
def test_as_many_examples_as_are_needed_are_enough(n: int) -> None:
    mask = everywhere()
    mask[n:, 1] = False
    data = mapped(contributions(*stores(), mask, reading()), mask)["attn"].data.isel(position=1)
    few = NoValue.TOO_FEW_EXAMPLES if n else NoValue.NO_EXAMPLE
    assert set(data["why_missing"].values.tolist()) == {NoValue.HAS_VALUE if n == MIN_EXAMPLES else few}
    assert np.isfinite(data["value"]).all() == (n == MIN_EXAMPLES)


def test_the_scale_has_room_for_both_maps() -> None:
    found = contributions(*stores(), everywhere(), reading())
    for larger in (found.attention, found.mlp):
        larger[:] *= 50
        scale = mapped(found, everywhere())["attn"].scale
        assert scale.high >= np.abs(larger.mean(0)).max()


def test_questions_of_one_group_are_drawn_together() -> None:
    """Each example twice, in one group: the interval is that of each once."""
    once = contributions(*stores(), everywhere(), reading())
    fields = {name: np.repeat(each, 2, axis=0) for name, each in vars(once).items()}
    twice = mapped(Contributions(**fields), np.repeat(everywhere(), 2, axis=0), group=np.repeat(np.arange(N), 2))
    for name, heatmap in mapped(once, everywhere()).items():
        for end in ("low", "high"):
            np.testing.assert_allclose(twice[name].data[end], heatmap.data[end])


def test_a_map_is_read_and_drawn_from_its_file(tmp_path: Path) -> None:
    heatmap = mapped(contributions(*stores(), everywhere(), reading()), everywhere())["attn"]
    heatmap.save(tmp_path / "attribution-attn.nc")
    loaded = load_result(tmp_path / "attribution-attn.nc")
    assert isinstance(loaded, Heatmap)
    assert loaded.data.identical(heatmap.data)
    assert drawing(tmp_path / "attribution-attn.nc")[0].axes


def test_streams_that_are_not_what_was_written_are_refused() -> None:
    attention, mlp, stream = stores()
    other = replace(mlp, activations=mlp.activations.roll(1, dims=2))
    with pytest.raises(InputError, match="the parts do not add up to the logit difference: by up to") as raised:
        contributions(attention, other, stream, everywhere(), reading())
    assert "\n" not in str(raised.value)


def test_parts_that_do_not_add_up_in_one_cell_alone_are_refused() -> None:
    """By little more than rounding explains, where the parts are as large as those of other cells at most."""
    (attention, mlp, stream), read = stores(), reading()
    found = contributions(attention, mlp, stream, everywhere(), read)
    sizes = np.abs(found.attention[:, :, 1]).sum(1) + np.abs(found.mlp[:, :, 1]).sum(1)
    row = int(sizes.argmax())
    assert sizes[row] > 4
    scale, direction = read.norm.scales(stream.activations[-1, 1, row : row + 1]), read.directions[row]

    def written(logits: float) -> InMemory:
        activations = mlp.activations.double()
        activations[2, 1, row] += logits * scale * direction / direction.square().sum()
        return replace(mlp, activations=activations.float())

    contributions(attention, written(5e-4), stream, everywhere(), read)
    with pytest.raises(InputError, match=r"do not add up to the logit difference: by up to 0\.003 logits"):
        contributions(attention, written(3e-3), stream, everywhere(), read)


def test_large_parts_may_be_rounded_as_much_as_they_are_large() -> None:
    """What attention writes the MLP takes away, in float32."""
    attention, mlp, stream = stores()
    size = 1e5 * torch.randn(LAYERS, len(POSITIONS), N, WIDTH, generator=torch.Generator().manual_seed(0)).double()
    attention = replace(attention, activations=(attention.activations.double() + size).float())
    mlp = replace(mlp, activations=(mlp.activations.double() - size).float())
    found = contributions(attention, mlp, stream, everywhere(), reading())
    over = np.sum(list(found.parts.values()), axis=0) - found.difference
    assert np.abs(over).max() > 2e-3, "more than is allowed of small parts"


def test_the_largest_parts_are_told_first_whatever_their_sign() -> None:
    found = contributions(*stores(), everywhere(), reading())
    found.attention[:, 1, 1] = 50.0
    found.mlp[:, 2, 1] = -80.0
    head, first, second, *_ = largest_in_words(mapped(found, everywhere())).splitlines()
    assert "exact_answer_before_first" in head
    assert first.split()[:3] == ["mlp", "2", "-80.0"]
    assert second.split()[:3] == ["attn", "1", "50.0"]


def test_a_difference_that_may_be_none_has_no_shares() -> None:
    found = contributions(*stores(), everywhere(), reading())
    found.difference[:, 0], found.difference[:, 1] = 4.0, np.tile([-1.0, 1.0], N // 2)
    found.embedding[:, :2] = 1.0
    told = {line.split()[0]: line for line in parts_in_words(mapped(found, everywhere())["mlp"]).splitlines()[2:]}
    assert "1.000 (25 %)" in told["last_q"]
    assert "1.000" in told["exact_answer_before_first"]
    assert "%" not in told["exact_answer_before_first"]
