"""Maps of patched pairs: what the values mean, what the intervals cover, and how often noise is marked."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jaxtyping import Float
from matplotlib.figure import Figure

from interp.errors import InputError
from interp.figures.plot import draw_heatmap
from interp.patching.pair_runs import READINGS
from interp.patching.patch_files import load_patched, save_patched
from interp.patching.patch_map import (
    METRICS,
    MIN_PAIRS,
    Effects,
    effects_of,
    pair_examples,
    pair_map,
    past_half_way,
    patch_map,
    peak_shares,
    sign_flip_p_values,
    symmetric_scale,
)
from interp.patching.patched_pairs import NoValue, PatchedPairs, heads_as_columns
from interp.results.heatmap import Heatmap
from interp.statistics.means import drawn_means, group_draws, percentile_interval

LAYERS, POSITIONS = [0, 1, 2], ["subject_last", "last_q"]
N_PAIRS = 12
OF_PAIRS = (
    NoValue.NO_PAIR_HAS_THE_POSITION,
    NoValue.AFTER_THE_READ_OUT,
    NoValue.CLEAN_AND_CORRUPT_ARE_THE_SAME,
    NoValue.CANNOT_REACH_THE_READ_OUT,
)
"""Why a single pair has no value in a cell."""


def patched_pairs(n: int = N_PAIRS, seed: int = 0) -> PatchedPairs:
    """Pairs of which every cell reads something; log-probabilities are below 0, scores of clean runs above others."""
    rng = np.random.default_rng(seed)
    return PatchedPairs(
        ids=tuple(f"a{index} / b{index}" for index in range(n)),
        values=-rng.exponential(size=(len(READINGS), n, len(LAYERS), len(POSITIONS))),
        clean=np.stack([2 + rng.random(n), -rng.random(n), np.zeros(n)]),
        corrupt=np.stack([-2 - rng.random(n), -3 - rng.random(n), rng.random(n)]),
        why_missing=np.zeros((n, len(LAYERS), len(POSITIONS)), dtype=np.int8),
        dropped=Counter({"the model says another answer": 3}),
    )


def reading_as(patched: PatchedPairs, side: Float[np.ndarray, "reading pair"]) -> PatchedPairs:
    """The same pairs, where every patch gives what a run without one does."""
    values = np.broadcast_to(side[:, :, None, None], patched.values.shape).copy()
    return replace(patched, values=values)


def with_missing(
    patched: PatchedPairs, column: int, pairs: slice, why: NoValue = NoValue.NO_PAIR_HAS_THE_POSITION
) -> PatchedPairs:
    """The same, where some pairs have no value in a column."""
    values, why_missing = patched.values.copy(), patched.why_missing.copy()
    values[:, pairs, :, column] = np.nan
    why_missing[pairs, :, column] = why
    return replace(patched, values=values, why_missing=why_missing)


def effects(patched: PatchedPairs, metric: str = "recovery", *, receives_clean: bool = False) -> Effects:
    return effects_of(patched, metric, receives_clean=receives_clean, of_score="logit difference")


def mapped(patched: PatchedPairs, metric: str = "recovery", **flags: bool) -> Heatmap:
    return patch_map(patched, effects(patched, metric, **flags), layers=LAYERS, positions=POSITIONS, draws=300, seed=0)


def column_of(heatmap: Heatmap, name: str, position: str = "last_q") -> list[Any]:
    return list(heatmap.data[name].sel(position=position).values.tolist())


@pytest.mark.parametrize("receives_clean", [False, True])
def test_recovery_is_nought_for_the_corrupted_run_and_one_for_the_clean(receives_clean: bool) -> None:
    patched = patched_pairs()
    for side, value in ((patched.corrupt, 0.0), (patched.clean, 1.0)):
        found = effects(reading_as(patched, side), receives_clean=receives_clean)
        np.testing.assert_array_equal(found.values, value)
        assert found.unpatched == float(receives_clean)
    half = effects(reading_as(patched, (patched.clean + patched.corrupt) / 2), receives_clean=receives_clean)
    np.testing.assert_allclose(half.values, 0.5)


@pytest.mark.parametrize("receives_clean", [False, True])
@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric != "recovery"])
def test_other_metrics_are_changes_against_the_run_that_is_patched(metric: str, receives_clean: bool) -> None:
    patched = patched_pairs()
    own = patched.clean if receives_clean else patched.corrupt
    np.testing.assert_array_equal(effects(reading_as(patched, own), metric, receives_clean=receives_clean).values, 0.0)
    found = effects(patched, metric, receives_clean=receives_clean)
    assert found.unpatched == 0.0
    pair, layer, position = 3, 1, 0
    score, logprob, kl = patched.values[:, pair, layer, position]
    expected = {
        "score": score - own[0, pair],
        "logprob": logprob - own[1, pair],
        "probability": np.exp(logprob) - np.exp(own[1, pair]),
        "kl": kl - own[2, pair],
    }
    assert found.values[pair, layer, position] == pytest.approx(expected[metric])


def test_recovery_is_missing_where_the_runs_do_not_differ() -> None:
    patched = patched_pairs()
    patched.corrupt[0, 4] = patched.clean[0, 4]
    found = effects(patched).values
    assert np.isnan(found[4]).all()
    assert np.isfinite(np.delete(found, 4, axis=0)).all()


@pytest.mark.parametrize("receives_clean", [False, True])
def test_recovery_is_the_same_from_below_and_from_above(receives_clean: bool) -> None:
    """Where the clean run's score is below the corrupted one's, as a margin below 0 allows."""
    patched = patched_pairs()
    turned = replace(patched, values=-patched.values, clean=-patched.clean, corrupt=-patched.corrupt)
    found, expected = (effects(each, receives_clean=receives_clean).values for each in (turned, patched))
    np.testing.assert_array_equal(found, expected)


def test_what_is_drawn_says_what_it_is_of() -> None:
    patched = patched_pairs()
    words = {metric: effects(patched, metric).words for metric in METRICS}
    assert len(set(words.values())) == len(METRICS)
    alone = effects_of(patched, "score", receives_clean=True, of_score="log-probability")
    assert "logit difference" in words["score"]
    assert "logit difference" not in alone.words


def test_a_map_is_the_mean_and_the_median_over_pairs() -> None:
    patched = with_missing(patched_pairs(), 1, slice(0, 3))
    values = effects(patched).values
    data = mapped(patched).data
    np.testing.assert_allclose(data["value"], np.nanmean(values, axis=0))
    np.testing.assert_allclose(data["median"], np.nanmedian(values, axis=0))
    assert data["n"].values.tolist() == [[N_PAIRS, N_PAIRS - 3]] * len(LAYERS)
    share = (values > 0.5).sum(0) / np.isfinite(values).sum(0)
    np.testing.assert_allclose(data["over_half"], share)
    assert (data["low"] < data["value"]).all()
    assert (data["value"] < data["high"]).all()


def test_past_half_way_is_counted_from_the_run_that_is_patched() -> None:
    patched = patched_pairs()
    nearly = reading_as(patched, 0.4 * patched.clean + 0.6 * patched.corrupt)
    assert set(mapped(nearly).data["over_half"].values.flat) == {0.0}
    assert set(mapped(nearly, receives_clean=True).data["over_half"].values.flat) == {1.0}


@pytest.mark.parametrize(("receives_clean", "beyond"), [(False, -3.0), (True, 4.0)])
def test_what_goes_the_other_way_is_not_past_half_way(receives_clean: bool, beyond: float) -> None:
    patched = patched_pairs()
    away = reading_as(patched, beyond * patched.clean + (1 - beyond) * patched.corrupt)
    assert set(mapped(away, receives_clean=receives_clean).data["over_half"].values.flat) == {0.0}


@pytest.mark.parametrize("unpatched", [0.0, 1.0])
def test_half_way_is_not_past_it(unpatched: float) -> None:
    values = np.full((2, 1, 3), 0.5)
    values[0, 0, 1:] = 0.5 - 1e-9, 0.5 + 1e-9
    past = past_half_way(Effects(values, unpatched, "Recovery of score"), values)["over_half"]
    assert past.tolist() == [[0.0, *([0.0, 0.5] if unpatched == 0 else [0.5, 0.0])]]


@pytest.mark.parametrize("metric", METRICS)
def test_only_recovery_has_a_half(metric: str) -> None:
    assert ("over_half" in mapped(patched_pairs(), metric).data) == (metric == "recovery")


N_SIMULATED, N_CELLS = 40, 25


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_an_interval_of_the_mean_covers_the_true_mean(missing: float) -> None:
    """Of skewed effects (a lognormal's mean is far above its median), in a thousand simulated cells of 60 pairs."""
    rng, deviation = np.random.default_rng(0), 0.8
    truth, covered = np.exp(deviation**2 / 2), []
    for _ in range(N_SIMULATED):
        values = rng.lognormal(0, deviation, size=(60, 1, N_CELLS))
        values[rng.random(values.shape) < missing] = np.nan
        low, high = percentile_interval(drawn_means(values, group_draws(np.arange(len(values)), 400, rng)))
        covered += ((low <= truth) & (truth <= high)).ravel().tolist()
    assert 0.90 <= np.mean(covered) <= 0.98


def noise_map(rng: np.random.Generator) -> Float[np.ndarray, "pair layer position"]:
    """Effects without any mean: of skewed sizes, some cells' larger than others', each pair's going together."""
    of_pair = rng.lognormal(0, 0.7, size=(24, 1, 1)) * rng.choice([-1, 1], size=(24, 1, 1))
    return (0.5 * of_pair + rng.normal(size=(24, 4, 5))) * np.linspace(0.2, 2, 20).reshape(4, 5)


def test_maps_of_noise_are_marked_one_in_twenty() -> None:
    rng, marked, alone = np.random.default_rng(0), [], []
    for _ in range(200):
        p, corrected = sign_flip_p_values(noise_map(rng), draws=199, rng=rng)
        assert (corrected >= p).all(), "any cell of the map is likelier than this one"
        marked.append((corrected <= 0.05).any())
        alone += (p <= 0.05).ravel().tolist()
    assert 0.01 < np.mean(marked) <= 0.08
    assert 0.03 < np.mean(alone) < 0.07, "each cell alone at its own level"


def test_intervals_are_those_of_as_many_groups_of_pairs_as_a_cell_has() -> None:
    values = np.random.default_rng(3).normal(size=(24, 3, 2))
    values[:10, 1, 0] = np.nan
    groups = [f"group {row // 2}" for row in range(24)]
    drawn = {"layers": LAYERS, "positions": POSITIONS, "draws": 500, "seed": 4, "groups": groups}
    data = patch_map(patched_pairs(24), Effects(values, 0.0, "Effect"), **drawn).data
    numbers = np.arange(24) // 2
    means = drawn_means(values, group_draws(numbers, 500, np.random.default_rng(4)))
    n_groups = np.where(np.arange(6).reshape(3, 2) == 2, 7, 12)
    np.testing.assert_allclose([data["low"].values, data["high"].values], percentile_interval(means, n_groups))


def test_pairs_of_one_group_are_drawn_and_flipped_together() -> None:
    """Five pairs that are alike are one: maps of them are marked no more often, and their intervals cover."""
    rng, marked, covered = np.random.default_rng(1), [], []
    for _ in range(100):
        values = np.repeat(rng.normal(size=(20, 3, 2)), 5, axis=0) + 0.1 * rng.normal(size=(100, 3, 2))
        groups = [f"group {row // 5}" for row in range(100)]
        effects = Effects(values, 0.0, "Effect")
        drawn = {"layers": LAYERS, "positions": POSITIONS, "draws": 199, "seed": 0, "groups": groups}
        data = patch_map(patched_pairs(100), effects, **drawn).data
        marked.append(bool(data["marked"].any()))
        covered += ((data["low"] <= 0) & (data["high"] >= 0)).values.ravel().tolist()
    assert np.mean(marked) <= 0.1
    assert np.mean(covered) > 0.88


def test_sign_flips_are_what_all_of_them_give() -> None:
    """Of eight pairs there are 256: the exact share of them in which a mean is as far from 0."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.4, 1.0, size=(8, 2, 3))
    flips = np.array(list(itertools.product([-1.0, 1.0], repeat=8)))
    means = np.abs(np.einsum("fp,plc->flc", flips, values) / 8)
    found = np.abs(values.mean(0))
    p, corrected = sign_flip_p_values(values, draws=20_000, rng=rng)
    np.testing.assert_allclose(p, (means >= found - 1e-9).mean(0), atol=0.02)
    # The largest cell against all of the map, the next against all but the largest, and so on; never less than before.
    order, expected, least = np.argsort(-found, axis=None), np.empty(found.size), 0.0
    for step, cell in enumerate(order):
        rest = means.reshape(len(flips), -1)[:, order[step:]].max(1)
        least = expected[cell] = max(least, (rest >= found.flat[cell] - 1e-9).mean())
    np.testing.assert_allclose(corrected.ravel(), expected, atol=0.02)


def test_what_restores_all_does_not_hide_what_restores_a_fifth() -> None:
    rng = np.random.default_rng(0)
    effects = rng.normal(0, 0.05, size=(100, 6, 4))
    effects[:, 4:, 3] += 0.9
    effects[:, :3, 1] += 0.15
    _, corrected = sign_flip_p_values(effects, draws=500, rng=rng)
    assert (corrected[4:, 3] <= 0.05).all()
    assert (corrected[:3, 1] <= 0.05).all()
    assert (corrected <= 0.05).sum() == 5


def test_what_no_draw_reaches_is_as_likely_as_the_map_itself_among_all_draws() -> None:
    for each in sign_flip_p_values(np.ones((60, 2, 3)), draws=99, rng=np.random.default_rng(0)):
        assert (each == 1 / 100).all()


def test_effects_below_0_are_as_likely_as_those_above() -> None:
    effects = np.random.default_rng(0).normal(0.2, 1.0, size=(20, 3, 4)) * np.array([1, -1, 1, -1])
    above, below = (sign_flip_p_values(each, draws=99, rng=np.random.default_rng(1)) for each in (effects, -effects))
    np.testing.assert_array_equal(above, below)
    assert (above[0] < 1).any(1).all()


def test_the_same_mean_by_other_rounding_is_the_same() -> None:
    """Sums of tenths are off by rounding, those of whole numbers are not: each is as likely as the other by chance."""
    whole = np.random.default_rng(1).integers(-3, 9, size=(8, 3, 4)).astype(np.float64)
    exact, rounded = (
        sign_flip_p_values(each, draws=2_000, rng=np.random.default_rng(2)) for each in (whole, 0.1 * whole)
    )
    np.testing.assert_array_equal(exact, rounded)


def test_what_is_as_likely_as_one_in_twenty_anywhere_in_the_map_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, corrected = np.full((3, 2), 0.01), np.array([[0.04, 0.05], [0.0501, 0.3], [1.0, np.nan]])
    monkeypatch.setattr("interp.patching.patch_map.sign_flip_p_values", lambda *_, **__: (alone, corrected))
    assert mapped(patched_pairs()).data["marked"].values.tolist() == [[1, 1], [0, 0], [0, 0]]


def test_examples_of_a_map_are_what_every_pair_gives() -> None:
    found = effects(patched_pairs())
    ids, groups = patched_pairs().ids, [f"group {row}" for row in range(N_PAIRS)]
    examples = pair_examples(found, ids, groups, layers=LAYERS, positions=POSITIONS)
    np.testing.assert_array_equal(examples.values[0], found.values)
    assert (examples.ids, list(examples.groups)) == (ids, groups)
    assert (list(examples.layers), list(examples.positions)) == (LAYERS, POSITIONS)


def test_an_effect_is_marked_and_beside_it_no_more_than_chance_gives() -> None:
    others = []
    for seed in range(20):
        patched = reading_as(patched_pairs(n=40), patched_pairs(n=40).corrupt)
        patched.values[0] += np.random.default_rng(seed).normal(0, 0.2, size=patched.values.shape[1:])
        patched.values[0, :, 2, 1] += 1.0
        data = mapped(patched).data
        assert data["marked"].values[2, 1] == 1
        assert float(data["p_corrected"][2, 1]) <= 0.05
        others.append(int(data["marked"].sum()) > 1)
    # More than 4 of 20 come with probability .003, if they come in 5 % of maps.
    assert sum(others) <= 4


@pytest.mark.parametrize("receives_clean", [False, True])
def test_what_changes_nothing_at_all_is_not_marked(receives_clean: bool) -> None:
    own = patched_pairs().clean if receives_clean else patched_pairs().corrupt
    data = mapped(reading_as(patched_pairs(), own), receives_clean=receives_clean).data
    assert not data["marked"].any()
    assert (data["p"] == 1).all()
    assert (data["p_corrected"] == 1).all()
    assert np.isnan(data["peak"]).all()


@pytest.mark.parametrize(
    ("pairs", "why", "reason", "n"),
    [
        *((slice(None), why, why, 0) for why in OF_PAIRS),
        (slice(1, None), NoValue.AFTER_THE_READ_OUT, NoValue.TOO_FEW_PAIRS, 1),
        (slice(MIN_PAIRS - 1, None), NoValue.NO_PAIR_HAS_THE_POSITION, NoValue.TOO_FEW_PAIRS, MIN_PAIRS - 1),
        (slice(MIN_PAIRS, None), NoValue.AFTER_THE_READ_OUT, NoValue.HAS_VALUE, MIN_PAIRS),
    ],
)
def test_a_cell_without_a_value_says_why(pairs: slice, why: NoValue, reason: NoValue, n: int) -> None:
    heatmap = mapped(with_missing(patched_pairs(), 1, pairs, why))
    meanings = heatmap.data.attrs["why_missing_meanings"].split()
    assert column_of(heatmap, "n") == [n] * len(LAYERS)
    for code in column_of(heatmap, "why_missing"):
        assert meanings[code] == reason.name.lower()
    statistics = ("value", "low", "high", "median", "over_half", "peak", "p", "p_corrected")
    has_value = reason is NoValue.HAS_VALUE
    for name in statistics:
        assert np.isfinite(column_of(heatmap, name)).all() == has_value, name
        assert np.isfinite(column_of(heatmap, name, "subject_last")).all()
    assert has_value or not any(column_of(heatmap, "marked"))
    assert column_of(heatmap, "why_missing", "subject_last") == [NoValue.HAS_VALUE] * len(LAYERS)


def test_where_pairs_lack_a_cell_for_several_reasons_the_commonest_is_told() -> None:
    few, more = slice(0, 3), slice(3, 7)
    for third, told in (
        (NoValue.NO_PAIR_HAS_THE_POSITION, NoValue.CLEAN_AND_CORRUPT_ARE_THE_SAME),
        (NoValue.AFTER_THE_READ_OUT, NoValue.AFTER_THE_READ_OUT),
    ):
        patched = with_missing(patched_pairs(), 1, slice(7, None), third)
        patched = with_missing(patched, 1, few, NoValue.CANNOT_REACH_THE_READ_OUT)
        patched = with_missing(patched, 1, more, NoValue.CLEAN_AND_CORRUPT_ARE_THE_SAME)
        assert column_of(mapped(patched), "why_missing") == [told] * len(LAYERS), "some pairs have the position"


def test_between_runs_that_read_the_same_there_is_nothing_to_recover() -> None:
    patched = patched_pairs()
    patched.corrupt[0] = patched.clean[0]
    assert column_of(mapped(patched), "why_missing") == [NoValue.NOTHING_TO_RECOVER] * len(LAYERS)
    assert column_of(mapped(patched, "score"), "why_missing") == [NoValue.HAS_VALUE] * len(LAYERS)


def test_a_figure_tells_apart_why_cells_have_no_value() -> None:
    patched = with_missing(patched_pairs(), 0, slice(None), NoValue.CLEAN_AND_CORRUPT_ARE_THE_SAME)
    patched.values[:, :, -1, 1] = np.nan
    patched.why_missing[:, -1, 1] = NoValue.CANNOT_REACH_THE_READ_OUT
    for heatmap in (mapped(patched), pair_map(patched, effects(patched), layers=LAYERS, positions=POSITIONS)):
        (told,) = [note for note in draw_heatmap(Figure().add_subplot(), heatmap) if note.startswith("hatched")]
        assert told == "hatched: clean and corrupt are the same (3), cannot reach the read out (1)"


def test_peaks_are_shares_of_the_pairs_that_have_an_effect() -> None:
    values = np.zeros((10, 3, 3))
    values[:6, 1, 0], values[6:, 2, 0] = -5.0, 2.0
    values[:4, 0, 1] = 1.0
    values[3, 0, 1] = np.nan
    shares = peak_shares(values)
    assert shares[:, 0].tolist() == [0, 0.6, 0.4]
    assert shares[:, 1].tolist() == [1, 0, 0], "of three pairs: one is missing, six have none"
    assert np.isnan(shares[:, 2]).all(), "nobody has an effect there"
    random = peak_shares(np.random.default_rng(0).normal(size=(30, 5, 4)))
    np.testing.assert_allclose(random.sum(0), 1)


@pytest.mark.parametrize(("metric", "receives_clean"), [*itertools.product(METRICS, [False, True])])
def test_the_scale_is_centred_at_the_value_without_a_patch(metric: str, receives_clean: bool) -> None:
    patched = patched_pairs()
    attributes = mapped(patched, metric, receives_clean=receives_clean).data.attrs
    found = effects(patched, metric, receives_clean=receives_clean)
    assert attributes["centre"] == attributes["unpatched"] == found.unpatched
    assert attributes["centre"] - attributes["scale_low"] == pytest.approx(
        attributes["scale_high"] - attributes["centre"]
    )
    if metric == "recovery":
        assert attributes["scale_high"] == 1 + receives_clean
    else:
        away = np.abs(found.values.mean(0)).max()
        assert attributes["scale_high"] == pytest.approx(away, rel=0.05)


def test_a_map_without_any_effect_or_value_has_a_scale() -> None:
    for value in (np.zeros((2, 2)), np.full((2, 2), np.nan)):
        assert symmetric_scale(value, Effects(value[None], 0.0, "Change in score")).problem is None


def test_a_single_pair_has_values_and_no_intervals() -> None:
    patched = with_missing(patched_pairs(n=1), 1, slice(None), NoValue.AFTER_THE_READ_OUT)
    heatmap = pair_map(patched, effects(patched), layers=LAYERS, positions=POSITIONS)
    data = heatmap.data
    np.testing.assert_array_equal(data["value"][:, 0], effects(patched).values[0, :, 0])
    assert np.isnan(data["low"]).all()
    assert np.isnan(data["value"][:, 1]).all()
    assert column_of(heatmap, "why_missing") == [NoValue.AFTER_THE_READ_OUT] * len(LAYERS)
    assert column_of(heatmap, "why_missing", "subject_last") == [NoValue.HAS_VALUE] * len(LAYERS)
    assert column_of(heatmap, "n", "subject_last") == [1] * len(LAYERS)


def test_heads_become_columns() -> None:
    """From rows of layers and heads: what layer 1 and head 2 read at position 1 is in row 1, column 1 * 3 + 2."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 5, 2 * 3, 2))
    why_missing = rng.integers(0, 6, size=(5, 2 * 3, 2))
    patched = PatchedPairs(tuple("abcde"), values, np.zeros((3, 5)), np.zeros((3, 5)), why_missing)
    turned = heads_as_columns(patched, 3)
    assert turned.values.shape == (3, 5, 2, 2 * 3)
    for layer, head, position in itertools.product(range(2), range(3), range(2)):
        for ours, own in ((turned.values, values), (turned.why_missing, why_missing)):
            np.testing.assert_array_equal(ours[..., layer, position * 3 + head], own[..., layer * 3 + head, position])


def saved(path: Path) -> PatchedPairs:
    patched = with_missing(patched_pairs(), 1, slice(0, 2), NoValue.AFTER_THE_READ_OUT)
    save_patched(patched, path, rows=["0-0", "1-1", "2-2"], positions=POSITIONS, attributes={"identity": "{}"})
    return patched


def test_patched_pairs_are_read_as_they_were_written(tmp_path: Path) -> None:
    patched = saved(tmp_path / "pairs.nc")
    found = load_patched(tmp_path / "pairs.nc")
    assert found.ids == patched.ids
    assert found.dropped == patched.dropped
    np.testing.assert_array_equal(found.why_missing, patched.why_missing)
    for name in ("values", "clean", "corrupt"):
        np.testing.assert_allclose(getattr(found, name), getattr(patched, name), rtol=1e-7)
        assert getattr(found, name).dtype == np.float64


def test_what_changes_nothing_changes_nothing_when_it_is_read_again(tmp_path: Path) -> None:
    """A file has fewer digits, and has as many of what every patch gives as of the runs without one."""
    patched = reading_as(patched_pairs(), patched_pairs().corrupt)
    save_patched(patched, tmp_path / "pairs.nc", rows=["0", "1", "2"], positions=POSITIONS, attributes={})
    found = load_patched(tmp_path / "pairs.nc")
    for metric in METRICS:
        assert (effects(found, metric).values == 0).all(), metric


def test_a_file_of_something_else_is_refused_in_one_line(tmp_path: Path) -> None:
    words = tmp_path / "words.nc"
    words.write_text(json.dumps({"not": "netCDF"}))
    mapped(patched_pairs()).save(tmp_path / "map.nc")
    saved(tmp_path / "whole.nc")
    cut = tmp_path / "cut.nc"
    cut.write_bytes((tmp_path / "whole.nc").read_bytes()[:300])
    for path in (words, tmp_path / "map.nc", cut, tmp_path / "nowhere.nc"):
        with pytest.raises(InputError, match="is not a file of patched pairs") as refused:
            load_patched(path)
        assert str(refused.value).startswith(str(path))
        assert "\n" not in str(refused.value)


def test_cells_of_too_few_pairs_do_not_widen_the_scale() -> None:
    patched = patched_pairs()
    values = np.full((N_PAIRS, len(LAYERS), len(POSITIONS)), 0.5)
    values[:, 0, 0] = np.where(np.arange(N_PAIRS) < MIN_PAIRS - 1, 100.0, np.nan)
    effects = Effects(values, 0.0, "Change in logit difference")
    heatmap = patch_map(patched, effects, layers=LAYERS, positions=POSITIONS, draws=20, seed=0)
    assert np.isnan(heatmap.data["value"].values[0, 0])
    assert heatmap.scale.high == pytest.approx(0.5)


def test_a_peak_is_where_a_run_is_furthest_from_unpatched() -> None:
    values = np.ones((N_PAIRS, len(LAYERS), len(POSITIONS)))
    values[:, 1], values[:, 2] = 0.1, 1.3
    effects = Effects(values, 1.0, "Recovery of logit difference")
    heatmap = patch_map(patched_pairs(), effects, layers=LAYERS, positions=POSITIONS, draws=20, seed=0)
    np.testing.assert_array_equal(heatmap.data["peak"], np.array([[0, 0], [1, 1], [0, 0]]))


def test_a_mean_is_of_the_pairs_that_a_cell_has_when_cells_are_held_against_each_other() -> None:
    """One cell has 1 in all of its 8 pairs; the other, of 20 pairs, is far from 0 in each and 0 in the mean."""
    effects = np.full((20, 1, 2), np.nan)
    effects[:8, 0, 0] = 1.0
    effects[:, 0, 1] = np.where(np.arange(20) % 2 == 0, 2.0, -2.0)
    p, corrected = sign_flip_p_values(effects, draws=2000, rng=np.random.default_rng(0))
    assert p[0, 0] < 0.02
    assert corrected[0, 0] < 0.08
