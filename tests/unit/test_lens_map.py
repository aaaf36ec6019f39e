"""Maps of a lens's values, against loops over examples."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from interp.figures.plot import heatmap_figure
from interp.lenses.lens_map import (
    MIN_EXAMPLES,
    QUANTITIES,
    SUBSETS,
    Examples,
    NoValue,
    agreement,
    lens_examples,
    lens_map,
    scale_of,
    settled,
)
from interp.models.logit_readings import NOT_FINITE, UNASKED
from interp.results.example_values import MEAN, MEDIAN
from interp.results.heatmap import LOW, MORE_IS
from interp.results.scales import Scale

N, LAYERS, POSITIONS = 90, (0, 1, 2, 3), ("last_q", "-1")


def values(seed: int = 0, n: int = N) -> xr.Dataset:
    """Random readings, some missing, with a token that rises to the top."""
    rng = np.random.default_rng(seed)
    dims, shape = ("layer", "position", "example"), (len(LAYERS), len(POSITIONS), n)
    asked = ("target", *dims)
    rank = rng.integers(0, 4, (3, *shape)) // np.arange(1, 5)[:, None, None]
    logprob = -rng.gamma(2.0, size=(3, *shape)).astype(np.float32)
    absent = rng.random((3, 1, 2, n)) < 0.1
    dataset = xr.Dataset(
        {
            "log_probability": (asked, np.where(absent, np.nan, logprob)),
            "rank": (asked, np.where(absent, -1, rank).astype(np.int32)),
            "entropy": (dims, rng.gamma(2.0, size=shape).astype(np.float32)),
            "divergence": (dims, rng.gamma(2.0, size=shape).astype(np.float32)),
            "top": (dims, rng.integers(0, 2, shape).astype(np.int32)),
        },
        coords={
            "target": ["answer", "gold", "next"],
            "layer": list(LAYERS),
            "position": list(POSITIONS),
            "example": [f"q{row}" for row in range(n)],
        },
    )
    dataset["entropy"].values[:, 1, : n - MIN_EXAMPLES + 1] = np.nan
    return dataset


def without_cells(data: xr.Dataset) -> xr.Dataset:
    """Nothing is read where there is no entropy."""
    return data.assign(top=data["top"].where(np.isfinite(data["entropy"]), UNASKED))


def examples(n: int = N) -> Examples:
    judged = np.arange(n) % 3
    return Examples(np.arange(n), judged == 0, judged == 1)


def test_an_answer_has_settled_where_it_is_on_top_from_there_on() -> None:
    data = values()
    found = settled(data)
    for layer, position, row in np.ndindex(len(LAYERS), len(POSITIONS), N):
        ranks = data["rank"].values[0, layer:, position, row]
        expected = np.nan if ranks[0] < 0 else float((ranks == 0).all())
        np.testing.assert_equal(found.values[layer, position, row], expected)
    assert 0 < float(found.mean()) < 1


def test_lens_and_model_agree_where_their_top_tokens_do() -> None:
    data = values()
    found = agreement(data)
    top = data["top"].values
    np.testing.assert_array_equal(found, top == top[-1:])
    assert bool((found.isel(layer=-1) == 1).all())


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_map_is_the_statistic_of_its_examples(quantity: str) -> None:
    data, of = without_cells(values()), examples()
    statistic = {"mean": np.nanmean, "share": np.nanmean, "median": np.nanmedian}[QUANTITIES[quantity].statistic]
    each = QUANTITIES[quantity].values(data).values.astype(float)
    maps = {subset: lens_map(data, quantity, subset, of, draws=200).data for subset in SUBSETS}
    for subset in ("all", "correct", "wrong"):
        kept = each[:, :, of.of(subset)]
        n = np.isfinite(kept).sum(2)
        with np.errstate(invalid="ignore"):
            expected = np.where(n >= MIN_EXAMPLES, statistic(np.where(n[..., None] > 0, kept, 0), axis=2), np.nan)
        np.testing.assert_allclose(maps[subset]["value"], expected, rtol=1e-6)
        np.testing.assert_array_equal(maps[subset]["n"], n)
        has = np.isfinite(maps[subset]["value"].values)
        assert (maps[subset]["low"].values[has] <= maps[subset]["value"].values[has] + 1e-12).all()
        assert (maps[subset]["high"].values[has] >= maps[subset]["value"].values[has] - 1e-12).all()
    contrast = np.divide if QUANTITIES[quantity].statistic == "median" else np.subtract
    expected = contrast(maps["correct"]["value"].values, maps["wrong"]["value"].values)
    np.testing.assert_allclose(maps["difference"]["value"], expected)
    np.testing.assert_array_equal(maps["difference"]["n"], maps["correct"]["n"] + maps["wrong"]["n"])


def test_a_contrast_says_what_is_held_against_what() -> None:
    found = {name: lens_map(values(), name, "difference", examples(), draws=20) for name in ("answer-rank", "kl")}
    assert found["answer-rank"].data.attrs["metric"] == "rank of the answer: median, right ÷ wrong answers"
    assert found["kl"].data.attrs["metric"] == "KL from the model's output, nats: difference of means"


def test_every_map_can_be_drawn() -> None:
    for quantity in QUANTITIES:
        for subset in SUBSETS:
            assert heatmap_figure(lens_map(values(), quantity, subset, examples(), draws=20)).axes


def test_over_few_examples_there_is_no_value_and_the_reason() -> None:
    found = lens_map(without_cells(values()), "entropy", "all", examples(), draws=20).data
    assert set(found["why_missing"].values[:, 1].tolist()) == {NoValue.TOO_FEW_EXAMPLES}
    assert np.isnan(found["value"].values[:, 1]).all()
    assert set(found["why_missing"].values[:, 0].tolist()) == {NoValue.HAS_VALUE}
    nothing = values()
    nothing["divergence"].values[:, 0] = np.nan
    nothing["top"].values[:, 0] = UNASKED
    found = lens_map(nothing, "kl", "all", examples(), draws=20).data
    assert set(found["why_missing"].values[:, 0].tolist()) == {NoValue.NO_EXAMPLE_HAS_BOTH_POSITION_AND_TOKEN}


def test_as_many_examples_as_are_needed_are_enough() -> None:
    for n in (MIN_EXAMPLES - 1, MIN_EXAMPLES):
        data = values()
        data["entropy"].values[:, 0, n:] = np.nan
        found = lens_map(without_cells(data), "entropy", "all", examples(), draws=20).data.isel(position=0)
        assert (found["n"] == n).all()
        assert np.isfinite(found["value"]).all() == (n == MIN_EXAMPLES)


@pytest.mark.parametrize("certain", ["correct", "wrong"])
@pytest.mark.parametrize("quantity", ["kl", "answer-rank"])
def test_either_side_of_a_contrast_makes_it_uncertain(quantity: str, certain: str) -> None:
    """The examples of one side are all alike: what is uncertain is the other's."""
    data, of = values(), examples()
    data["rank"].values[..., of.of(certain)] = 2
    data["divergence"].values[..., of.of(certain)] = 2.0
    data["rank"].values[..., ~of.of(certain)] = np.random.default_rng(0).integers(1, 90, (~of.of(certain)).sum())
    found = lens_map(data, quantity, "difference", of, draws=200).data
    assert ((found["low"] < found["value"]) & (found["value"] < found["high"])).all()


def test_a_seed_decides_the_draws() -> None:
    one, same, other = (lens_map(values(), "kl", "all", examples(), draws=20, seed=seed).data for seed in (1, 1, 2))
    assert (one["low"] == same["low"]).all()
    assert (one["low"] != other["low"]).all()


def with_unreadable(data: xr.Dataset, layer: int, row: int) -> xr.Dataset:
    """As where an answer's logits are no numbers in a layer, at the first position."""
    for name in ("log_probability", "entropy", "divergence"):
        data[name].values[..., layer, 0, row] = np.nan
    for name in ("rank", "top"):
        data[name].values[..., layer, 0, row] = NOT_FINITE
    return data


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_where_a_lens_gives_no_number_there_is_no_value_and_the_reason(quantity: str) -> None:
    row = 0
    whole = lens_map(with_some(row), quantity, "all", examples(), draws=20).data
    broken = with_unreadable(with_some(row), 2, row)
    found = lens_map(broken, quantity, "all", examples(), draws=20).data
    reached = [0, 1, 2] if quantity == "answer-settled" else [2]
    others = [layer for layer in LAYERS if layer not in reached]
    assert np.isnan(found["value"].values[reached, 0]).all()
    assert set(found["why_missing"].values[reached, 0].tolist()) == {NoValue.LENS_NOT_FINITE}
    np.testing.assert_array_equal(found["value"].values[others, 0], whole["value"].values[others, 0])
    for subset, reason in (("correct", NoValue.LENS_NOT_FINITE), ("difference", NoValue.LENS_NOT_FINITE), ("wrong", 0)):
        of = lens_map(broken, quantity, subset, examples(), draws=20).data
        assert of["why_missing"].values[2, 0] == reason
    assert np.isnan(lens_examples(broken, quantity, ["g"] * N).values[0, row, reached, 0]).all()


def with_some(row: int) -> xr.Dataset:
    """Readings of which this example has all."""
    data = values()
    data["rank"].values[..., row] = 0
    data["log_probability"].values[..., row] = -1.0
    return data


def test_of_an_output_that_is_no_number_nothing_is_said() -> None:
    data = with_unreadable(values(), -1, 0)
    data["divergence"].values[:, 0, 0] = np.nan
    for quantity in ("kl", "agreement"):
        found = lens_map(data, quantity, "all", examples(), draws=20).data
        assert set(found["why_missing"].values[:, 0].tolist()) == {NoValue.LENS_NOT_FINITE}


def test_a_share_of_all_has_an_interval() -> None:
    found = lens_map(values(), "agreement", "all", examples(), draws=20).data.isel(layer=-1)
    np.testing.assert_array_equal(found["value"], 1)
    np.testing.assert_allclose(found["low"], N / (N + 1.959964**2), rtol=1e-6)
    np.testing.assert_array_equal(found["high"], 1)


def test_a_share_of_all_of_few_groups_is_as_uncertain_as_they_are_few() -> None:
    of = examples()
    grouped = Examples(np.arange(N) % 5, of.correct, of.wrong)
    found = lens_map(values(), "agreement", "all", grouped, draws=20).data.isel(layer=-1)
    np.testing.assert_allclose(found["low"], 5 / (5 + 1.959964**2), rtol=1e-6)
    np.testing.assert_array_equal(found["n"], N)


@pytest.mark.parametrize("share", [0, 1])
def test_a_share_of_all_of_one_group_has_both_ends(share: int) -> None:
    data, of = values(), examples()
    data["rank"].values[:] = 1 - share
    found = lens_map(data, "answer-settled", "all", Examples(np.zeros(N, dtype=int), of.correct, of.wrong)).data
    reach = 1.959964**2 / (1 + 1.959964**2)
    np.testing.assert_array_equal(found["value"], share)
    np.testing.assert_allclose(found["low"], share * (1 - reach), rtol=1e-6)
    np.testing.assert_allclose(found["high"], share + (1 - share) * reach, rtol=1e-6)


def test_a_difference_of_shares_that_are_all_alike_has_an_interval() -> None:
    found = lens_map(values(), "agreement", "difference", examples(), draws=20).data.isel(layer=-1)
    np.testing.assert_array_equal(found["value"], 0)
    reach = [1.959964**2 / (n + 1.959964**2) for n in (found["n_correct"].values, found["n_wrong"].values)]
    np.testing.assert_allclose(found["low"], -reach[0], rtol=1e-6)
    np.testing.assert_allclose(found["high"], reach[1], rtol=1e-6)


def test_examples_of_one_group_are_drawn_together() -> None:
    """Every example four times over, as one group each, has the interval of the examples alone."""
    data, of = values(), examples()
    fourfold = xr.concat([data] * 4, dim="example")
    grouped = Examples(np.tile(of.group, 4), np.tile(of.correct, 4), np.tile(of.wrong, 4))
    alone = lens_map(data, "kl", "all", of, draws=300)
    together = lens_map(fourfold, "kl", "all", grouped, draws=300)
    np.testing.assert_allclose(together.data["low"], alone.data["low"], rtol=1e-9)
    apart = lens_map(fourfold, "kl", "all", Examples(np.arange(4 * N), grouped.correct, grouped.wrong), draws=300)
    width, narrower = (float((m.data["high"] - m.data["low"]).mean()) for m in (alone, apart))
    assert narrower == pytest.approx(width / 2, rel=0.15)


@pytest.mark.parametrize("quantity", ["kl", "answer-rank"])
def test_intervals_cover(quantity: str) -> None:
    truth = {"kl": 2.0, "answer-rank": 3.0}[quantity]
    covered = []
    for seed in range(60):
        data = values(seed, n=60)
        rng = np.random.default_rng(seed + 1000)
        data["divergence"].values[:] = rng.gamma(2.0, size=data["divergence"].shape)
        data["rank"].values[:] = rng.choice([0, 2, 2, 2, 8], size=data["rank"].shape)
        found = lens_map(data, quantity, "all", examples(60), draws=300, seed=seed).data
        covered.append(((found["low"] <= truth) & (truth <= found["high"])).values)
    assert 0.9 <= np.mean(covered) <= 1


def test_what_is_not_judged_is_neither_right_nor_wrong() -> None:
    data, judged = without_cells(values()), examples()
    known = np.isfinite(data["entropy"].values)
    for subset, of in (("correct", judged.correct), ("wrong", judged.wrong)):
        np.testing.assert_array_equal(lens_map(data, "entropy", subset, judged).data["n"], known[..., of].sum(-1))
    difference = lens_map(data, "entropy", "difference", judged).data
    for name, of in (("n_correct", judged.correct), ("n_wrong", judged.wrong)):
        np.testing.assert_array_equal(difference[name], known[..., of].sum(-1))


def test_sides_of_a_contrast_are_counted_by_their_names() -> None:
    correct = np.arange(N) < 60
    data = lens_map(values(), "agreement", "difference", Examples(np.arange(N), correct, ~correct)).data
    assert (int(data["n_correct"][0, 0]), int(data["n_wrong"][0, 0])) == (60, 30)


def test_examples_that_a_map_is_not_of_are_no_reason_for_what_it_lacks() -> None:
    data = values()
    few = Examples(np.arange(N), np.arange(N) < 10, np.arange(N) >= 10)
    data["entropy"].values[:, 0, 50] = np.nan
    why = lens_map(data, "entropy", "correct", few).data["why_missing"].values[:, 0]
    assert (why == NoValue.TOO_FEW_EXAMPLES).all()
    assert (lens_map(data, "entropy", "wrong", few).data["why_missing"].values[:, 0] == NoValue.LENS_NOT_FINITE).all()


def test_a_share_of_none_may_be_one_of_some() -> None:
    data = values()
    data["rank"].values[:] = 3
    found = lens_map(data, "answer-settled", "all", examples()).data
    squared = 1.959964**2
    assert (found["value"] == 0).all()
    assert (found["low"] == 0).all()
    np.testing.assert_allclose(found["high"], squared / (N + squared), rtol=1e-5)


@pytest.mark.parametrize("target", ["answer", "gold", "next"])
def test_every_token_has_its_own_quantities(target: str) -> None:
    data = values()
    logprob, rank = (QUANTITIES[f"{target}-{name}"].values(data) for name in ("logprob", "rank"))
    asked = data["rank"].sel(target=target).values >= 0
    np.testing.assert_array_equal(logprob.values[asked], data["log_probability"].sel(target=target).values[asked])
    np.testing.assert_array_equal(rank.values[asked], data["rank"].sel(target=target).values[asked] + 1)
    assert np.isnan(logprob.values[~asked]).all()


def test_small_is_more_of_ranks_entropy_and_divergence_and_ranks_have_medians() -> None:
    data = values()
    for quantity in QUANTITIES:
        small = quantity.endswith("-rank") or quantity in ("entropy", "kl")
        attributes = lens_map(data, quantity, "all", examples(), draws=2).data.attrs
        assert (attributes.get(MORE_IS) == LOW) == small
        of_examples = lens_examples(data, quantity, ["g"] * N)
        assert of_examples.statistic == (MEDIAN if quantity.endswith("-rank") else MEAN)


def test_a_scale_of_means_begins_or_ends_at_nothing() -> None:
    assert scale_of(np.array([2.5, 3.2]), "mean", "all") == Scale(0.0, 4.0)
    assert scale_of(np.array([-3.5, -1.2]), "mean", "correct") == Scale(-4.0, 0.0)
    assert scale_of(np.array([0.9, 1.4]), "median", "difference") == Scale(1 / 1.5, 1.5, "log", centre=1.0)


def test_a_scale_of_nothing_has_a_length() -> None:
    assert scale_of(np.zeros(3), "mean", "all") == scale_of(np.empty(0), "mean", "all") == Scale(0.0, 1.0)
