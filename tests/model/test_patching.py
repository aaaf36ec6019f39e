"""Exact patching in every family: the wavefront is the plain sweep, and both are what others compute.

A bridge takes the wavefront, HookedTransformer the plain sweep, both through `patched_readings`. Every comparison also
asserts that patching did something: an effect that is many times the error allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from jaxtyping import Float
from transformer_lens import patching as lens_patching

from interp.errors import InputError
from interp.models.hooked_model import HookedModel
from interp.models.loading import load_model
from interp.models.model_sources import ModelSource
from interp.models.output_path import TOLERANCES
from interp.patching import patches, sweep, sweep_choice
from interp.patching.patches import Job, Readings, Run, Unit, _divergence, readings_of
from interp.patching.sweep import patched_readings
from interp.patching.sweep_choice import takes_wavefronts, why_plain
from interp.patching.wavefront import wavefront
from tests.model.conftest import Family
from tests.patched_runs import (
    CLEAR,
    TOLERANCE,
    assert_near,
    assert_same_effect,
    at_targets,
    logits_of,
    noise,
    of_run,
    own_readings,
    read_at,
    records,
    rows_of,
    tokens_of,
)
from tests.tiny_models import ALIBI, IGNORES_CACHES, PARALLEL

SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "head_z")
CLEAN = tokens_of(10, seed=1)
FIRST = 3
"""The first token at which `CORRUPT` is not `CLEAN`."""
CORRUPT = (*CLEAN[:FIRST], 77, 99, *CLEAN[FIRST + 2 :])
OTHER = tokens_of(10, seed=2)
"""Which differs from `CLEAN` everywhere."""
PLACES = range(len(CLEAN))
LONG, SHORT = tokens_of(13, seed=3), tokens_of(7, seed=4)
RUNS = [read_at(OTHER, 9, 7), read_at(LONG, 12, 8), read_at(SHORT, 6, 5)]
"""Receivers of different lengths, each read at its last token and at one before it."""
COLUMNS = [(1, 11), (0, 9), (2, 2), (0, 0), (1, 5), (2, 6), (1, 12), (0, 4)]
"""Receivers and tokens, in no order: the first token, the last, and tokens past one of the places that are read."""


def sites_of(source: ModelSource) -> list[str]:
    parallel = source.name.removeprefix("tiny-") in PARALLEL
    return [site for site in SITES if not (parallel and site == "resid_mid")]


@pytest.fixture
def site(request: pytest.FixtureRequest, family_source: ModelSource) -> str:
    if request.param not in sites_of(family_source):
        pytest.skip(f"this family has no {request.param}")
    return str(request.param)


each_site = pytest.mark.parametrize("site", SITES, indirect=True)


@pytest.fixture
def fresh(source: ModelSource) -> HookedModel:
    """A model of which nothing is known yet, and whose hooks are its own."""
    return load_model(source, device="cpu", dtype="float32", backend="bridge")


def column_by_column(
    model: HookedModel, site: str, donor: Float[torch.Tensor, "layer pos width"], run: Run
) -> Float[torch.Tensor, "place unit target"]:
    """The logits that are read where each token's column of a run is patched from the donor's same token."""
    jobs = [Job(0, place, donor[:, place]) for place in PLACES]
    readings = patched_readings(model, site, rows_of(model, site), records(model, [run]), jobs)
    return torch.stack([each.logit for each in readings])


def test_only_a_bridge_takes_wavefronts_and_not_where_places_are_biases_of_whole_rows(family: Family) -> None:
    is_bridge = type(family.model).__name__ == "TransformerBridge"
    is_entered = not family.source.name.endswith(ALIBI + IGNORES_CACHES)
    assert takes_wavefronts(family.model) == (is_bridge and is_entered)
    why = why_plain(family.model) or ""
    assert is_bridge or why == "the blocks of a HookedTransformer cannot be entered"
    assert not (is_bridge and family.source.name.endswith(ALIBI)) or "ALiBi" in why


def test_what_rounding_explains_is_no_reason_for_a_plain_sweep(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = TOLERANCES[torch.float32]
    for difference, is_taken in ((most, True), (1.001 * most, False)):
        monkeypatch.setattr(sweep_choice, "_difference", lambda *_, difference=difference: difference)
        fresh = load_model(source, device="cpu", dtype="float32", backend="bridge")
        assert takes_wavefronts(fresh) == is_taken


def test_what_no_sweep_can_patch_is_no_reason_for_a_plain_one(model: HookedModel) -> None:
    if not takes_wavefronts(model):
        pytest.skip("it takes no wavefronts")
    with pytest.raises(InputError, match="unknown site 'nowhere'"):
        why_plain(model, "nowhere")


def test_a_wavefront_that_is_not_the_plain_sweep_is_not_taken(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(*given: Any) -> torch.Tensor:
        return wavefront(*given) + 0.01

    def failing(*_: Any) -> torch.Tensor:
        raise RuntimeError("sizes of tensors must match\nand more")

    for wrong, why in ((off, "off by .* in log-probability"), (failing, r"fails \(sizes of tensors must match\)$")):
        fresh = load_model(source, device="cpu", dtype="float32", backend="bridge")
        monkeypatch.setattr(sweep_choice, "wavefront", wrong)
        found = why_plain(fresh)
        assert found is not None
        assert re.search(why, found)


OFF: dict[str, Callable[[Unit, int, int], bool]] = {
    "shorter runs": lambda _, place, length: length < 7,
    "longer runs": lambda _, place, length: length == 7,
    "the first layer": lambda unit, place, length: unit.first == 0,
    "a deeper layer": lambda unit, place, length: unit.first > 0,
    "a later token": lambda _, place, length: place > 2,
}


@pytest.mark.parametrize("where", OFF)
def test_a_wavefront_that_is_off_in_some_cells_alone_is_not_taken(
    fresh: HookedModel, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(*given: Any) -> torch.Tensor:
        *_, units, receivers, jobs = given
        found = wavefront(*given)
        lengths = [len(receivers[job.receiver].run.tokens) for job in jobs]
        for row, unit in enumerate(units):
            for column, (job, length) in enumerate(zip(jobs, lengths, strict=True)):
                found[row, column] += OFF[where](unit, job.place, length)
        return found

    monkeypatch.setattr(sweep_choice, "wavefront", off)
    assert "off by" in (why_plain(fresh) or "")


def test_a_wavefront_that_takes_rows_for_heads_is_not_taken(
    fresh: HookedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(*given: Any) -> torch.Tensor:
        return wavefront(*given) + float(len(given[-1]) == fresh.cfg.n_heads)

    monkeypatch.setattr(sweep_choice, "wavefront", off)
    assert "off by" in (why_plain(fresh) or "")


def test_every_site_is_tried_once_and_patched_as_it_turned_out(
    fresh: HookedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    taken: list[str] = []

    def off_at_mlps(model: HookedModel, site: str, *given: Any) -> torch.Tensor:
        tried.append(site)
        return wavefront(model, site, *given) + float(site == "mlp_out")

    monkeypatch.setattr(sweep_choice, "wavefront", off_at_mlps)
    monkeypatch.setattr(sweep, "wavefront", lambda *given: taken.append(given[1]) or wavefront(*given))
    receivers = records(fresh, [read_at(OTHER, 9)])
    for site in ("attn_out", "mlp_out", "resid_post", "mlp_out", "attn_out"):
        jobs = [Job(0, 4, of_run(fresh, CLEAN, site)[:, 4])]
        for plain in (False, True):
            patched_readings(fresh, site, [Unit(0, 0)], receivers, jobs, plain=plain)
    assert taken == ["attn_out", "resid_post", "attn_out"]
    assert sorted(tried) == ["attn_out", "mlp_out", "resid_post"]


def test_as_many_columns_in_a_pass_as_heads_are_the_plain_sweep(family_model: HookedModel) -> None:
    """What a block is given for each head is not taken for what it is given for each row."""
    donor, receivers = of_run(family_model, CLEAN, "resid_post"), records(family_model, [read_at(OTHER, 9)])
    own = own_readings(family_model, receivers[0]).logit
    jobs = [Job(0, place, donor[:, place]) for place in range(4, 4 + family_model.cfg.n_heads)]
    patched = partial(patched_readings, family_model, "resid_post", [Unit(0, 0), Unit(1, 1)], receivers, jobs)
    for ours, expected in zip(patched(), patched(plain=True), strict=True):
        assert_same_effect(ours.logit, expected.logit, own)


CASES = [*((site, 1) for site in SITES), ("mlp_out", 2), ("head_z", 3)]


@pytest.mark.parametrize(("site", "window"), CASES, indirect=["site"])
def test_a_wavefront_is_the_plain_sweep_however_columns_share_passes(
    family_model: HookedModel, site: str, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not takes_wavefronts(family_model):
        pytest.skip("it takes no wavefronts")
    donor = of_run(family_model, tokens_of(13, seed=5), site)
    receivers = records(family_model, RUNS, noise([1, 2]))
    own = [own_readings(family_model, receiver) for receiver in receivers]
    jobs = [Job(receiver, place, donor[:, place]) for receiver, place in COLUMNS]
    patched = partial(patched_readings, family_model, site, rows_of(family_model, site, window), receivers, jobs)
    plain = patched(plain=True)
    passes: list[int] = []
    monkeypatch.setattr(sweep, "wavefront", lambda *args: passes.append(len(args[-1])) or wavefront(*args))
    for pass_tokens in (3.0 * len(plain[0].logit), 1e6):
        monkeypatch.setitem(patches.PASS_TOKENS, "cpu", pass_tokens)
        for job, ours, expected in zip(jobs, patched(), plain, strict=True):
            assert_same_effect(ours.logit, expected.logit, own[job.receiver].logit)
            assert_same_effect(ours.logprob, expected.logprob, own[job.receiver].logprob)
    *some, every = passes
    assert sum(some) == every == len(jobs)
    assert 1 in some
    assert max(some) > 1, "a column ran alone, some together, and at last all"


OWN_NAMES = ("ln1.hook_normalized", "ln1.hook_in", "ln1.hook_out", "attn.hook_q", "attn.q.hook_in", "mlp.hook_in")
"""Hooks that show a tensor that other modules read too, or that a norm takes for changed only if it is another."""


@pytest.mark.parametrize("site", OWN_NAMES)
def test_hooks_by_their_own_names_are_patched_as_a_hook_that_returns_another_tensor(
    family_model: HookedModel, site: str
) -> None:
    names = [f"blocks.{layer}.{site}" for layer in range(family_model.cfg.n_layers)]
    if not set(names) <= set(family_model.hook_dict):
        pytest.skip(f"this family has no {site}")
    donor, run = of_run(family_model, CLEAN, site), read_at(OTHER, 9)
    place = 6
    jobs = [Job(0, place, donor[:, place])]
    receivers = records(family_model, [run])
    (ours,) = patched_readings(family_model, site, rows_of(family_model, site), receivers, jobs)
    (plain,) = patched_readings(family_model, site, rows_of(family_model, site), receivers, jobs, plain=True)
    for layer, name in enumerate(names):

        def another(activation: torch.Tensor, hook: object, layer: int = layer) -> torch.Tensor:
            patched = activation.clone()
            patched[0, place] = donor[layer, place].reshape(activation.shape[2:]).to(activation.dtype)
            return patched

        with torch.inference_mode():
            logits = family_model.run_with_hooks(torch.tensor([OTHER]), fwd_hooks=[(name, another)])
        expected = at_targets(logits[0], run)
        assert_near(ours.logit[layer], expected)
        assert_near(plain.logit[layer], expected)


def test_a_window_is_not_its_layers_one_by_one(family_model: HookedModel) -> None:
    donor = of_run(family_model, CLEAN, "mlp_out")
    receivers = records(family_model, [read_at(OTHER, 9)])
    jobs = [Job(0, 9, donor[:, 9])]
    (one,), (three,) = (
        patched_readings(family_model, "mlp_out", rows_of(family_model, "mlp_out", window), receivers, jobs)
        for window in (1, 3)
    )
    assert float((one.logit[1] - three.logit[1]).abs().max()) > CLEAR


LENS: dict[str, Callable[..., Any]] = {
    "resid_pre": lens_patching.get_act_patch_resid_pre,
    "attn_out": lens_patching.get_act_patch_attn_out,
    "mlp_out": lens_patching.get_act_patch_mlp_out,
    "head_z": lens_patching.get_act_patch_attn_head_out_by_pos,
}


@pytest.mark.parametrize("site", LENS, indirect=True)
def test_patches_are_those_of_transformer_lens(family_model: HookedModel, site: str) -> None:
    seen: list[torch.Tensor] = []

    def keep(logits: Float[torch.Tensor, "row pos vocab"]) -> torch.Tensor:
        seen.append(logits[0].clone())
        return torch.zeros(())

    with torch.inference_mode():
        clean, cache = family_model.run_with_cache(torch.tensor([CLEAN]))
        shape = LENS[site](family_model, torch.tensor([CORRUPT]), cache, keep).shape
    if site == "head_z":
        assert cache["blocks.0.attn.hook_z"].ndim == 4, "an axis of heads"
    logits = torch.stack(seen).unflatten(0, (shape[0], len(CLEAN), -1)).transpose(0, 1).flatten(1, 2)
    run = read_at(CORRUPT, 9, 6)
    reference = clean[0, 6].log_softmax(-1)
    donor, (receiver,) = of_run(family_model, CLEAN, site), records(family_model, [run])
    jobs = [Job(0, place, donor[:, place]) for place in PLACES]
    found = patched_readings(family_model, site, rows_of(family_model, site), [receiver], jobs, [reference])
    ours = Readings(*(torch.stack(each) for each in zip(*found, strict=True)))
    log_p = logits.log_softmax(-1)
    kl = (reference.exp() * (reference - log_p[:, :, 6])).sum(-1)
    baseline = logits_of(family_model, CORRUPT)[0]
    assert_same_effect(ours.logit, at_targets(logits, run), at_targets(baseline, run))
    assert_near(ours.logprob, at_targets(log_p, run))
    assert_near(ours.kl, kl)
    assert float(kl.std()) > TOLERANCE


def test_a_token_that_is_ruled_out_adds_nothing_to_a_divergence() -> None:
    logits = torch.randn(3, 9, generator=torch.Generator().manual_seed(0))
    ruled_out = torch.cat([logits, torch.full((3, 1), -torch.inf)], dim=1).log_softmax(1)
    found, expected = (_divergence(each[:2], [each[2], each[2]]) for each in (ruled_out, logits.log_softmax(1)))
    torch.testing.assert_close(found, expected)


def test_patching_where_the_model_begins_swaps_a_token(family_model: HookedModel) -> None:
    run = read_at(OTHER, 9, 4)
    swapped = [(*OTHER[:place], CLEAN[place], *OTHER[place + 1 :]) for place in PLACES]
    expected, baseline = (
        at_targets(logits_of(family_model, *swapped), run),
        at_targets(logits_of(family_model, OTHER)[0], run),
    )
    ours = column_by_column(family_model, "resid_pre", of_run(family_model, CLEAN, "resid_pre"), run)[:, 0]
    for place in PLACES:
        assert_same_effect(ours[place], expected[place], baseline[0])


@each_site
def test_a_run_patched_into_itself_is_itself(family_model: HookedModel, site: str) -> None:
    run = read_at(OTHER, 9, 4)
    ours = column_by_column(family_model, site, of_run(family_model, OTHER, site), run)
    assert_near(ours, at_targets(logits_of(family_model, OTHER)[0], run).expand_as(ours))


@each_site
def test_nothing_changes_before_the_runs_differ(family_model: HookedModel, site: str) -> None:
    run = read_at(CORRUPT, 9)
    ours = column_by_column(family_model, site, of_run(family_model, CLEAN, site), run)
    baseline = at_targets(logits_of(family_model, CORRUPT)[0], run)
    assert_near(ours[:FIRST], baseline.expand_as(ours[:FIRST]))
    assert float((ours[FIRST] - baseline).abs().max()) > CLEAR


def test_a_block_gives_what_the_next_reads(family_model: HookedModel) -> None:
    run = read_at(OTHER, 9)
    pre, post = (
        column_by_column(family_model, site, of_run(family_model, CLEAN, site), run)
        for site in ("resid_pre", "resid_post")
    )
    assert_same_effect(post[:, :-1], pre[:, 1:], at_targets(logits_of(family_model, OTHER)[0], run))


def test_the_last_stream_decides_where_it_is_read_and_nowhere_else(family_model: HookedModel) -> None:
    run = read_at(OTHER, 6)
    ours = column_by_column(family_model, "resid_post", of_run(family_model, CLEAN, "resid_post"), run)[:, -1]
    clean, baseline = (at_targets(logits_of(family_model, tokens)[0], run) for tokens in (CLEAN, OTHER))
    assert_same_effect(ours[6], clean, baseline)
    elsewhere = torch.cat([ours[:6], ours[7:]])
    assert_near(elsewhere, baseline.expand_as(elsewhere))


@pytest.mark.parametrize("site", ["resid_mid"], indirect=True)
def test_the_skip_connection_sees_what_is_put_between_attention_and_mlp(family_model: HookedModel, site: str) -> None:
    """Attention that adds what is missing to the clean stream gives the same; so does what the MLP makes of it."""
    run = read_at(OTHER, 9)
    mid, pre = of_run(family_model, CLEAN, site), of_run(family_model, OTHER, "resid_pre")
    ours = column_by_column(family_model, site, mid, run)
    baseline = at_targets(logits_of(family_model, OTHER)[0], run)
    assert_same_effect(ours, column_by_column(family_model, "attn_out", mid - pre, run), baseline)
    after = of_run(family_model, CLEAN, "resid_post")
    assert_same_effect(ours, column_by_column(family_model, "resid_post", after, run), baseline)


def test_a_patch_takes_the_noise_from_its_token(family_model: HookedModel) -> None:
    run, names = read_at(OTHER, 9), [3, 4, 5]

    def noisy_logits(tokens: Sequence[int]) -> torch.Tensor:
        with torch.inference_mode():
            hook = ("blocks.0.hook_resid_pre", lambda stream, hook: noise(tokens)(stream))
            return at_targets(family_model.run_with_hooks(torch.tensor([OTHER]), fwd_hooks=[hook])[0], run)

    (receiver,) = records(family_model, [run], noise(names))
    baseline = noisy_logits(names)
    assert_near(own_readings(family_model, receiver).logit[0], baseline)
    donor = of_run(family_model, OTHER, "resid_pre")
    jobs = [Job(0, place, donor[:, place]) for place in names]
    found = patched_readings(family_model, "resid_pre", [Unit(0, 0)], [receiver], jobs)
    for place, each in zip(names, found, strict=True):
        assert_same_effect(each.logit[0], noisy_logits([name for name in names if name != place]), baseline)


@pytest.mark.parametrize("rows", [1, 2])
def test_logits_are_read_some_rows_at_a_time(model: HookedModel, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    receivers = records(model, RUNS)
    stream, runs = torch.stack([each.final for each in receivers]), [each.run for each in receivers]
    assert readings_of(model, stream, runs).kl.isnan().all(), "nothing was given to measure it from"
    drawn = torch.randn(len(runs), model.cfg.d_vocab, generator=torch.Generator().manual_seed(0))
    references = list(drawn.log_softmax(1))
    together = readings_of(model, stream, runs, references)
    read, whole = [], patches.output_logits
    monkeypatch.setattr(patches, "output_logits", lambda *given: read.append(len(given[1])) or whole(*given))
    n_places = len(runs[0].places)
    monkeypatch.setattr(patches, "LOGIT_VALUES", rows * n_places * model.cfg.d_vocab)
    for ours, expected in zip(readings_of(model, stream, runs, references), together, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=TOLERANCE)
    assert (sum(read), max(read)) == (len(runs) * n_places, rows * n_places)


class BlockTokens:
    """How many tokens each call of each block sees, through all rows."""

    def __init__(self, model: HookedModel) -> None:
        self.seen: list[int] = []
        for layer in range(model.cfg.n_layers):
            model.hook_dict[f"blocks.{layer}.hook_resid_pre"].register_forward_pre_hook(self._count)

    def _count(self, _: torch.nn.Module, given: tuple[torch.Tensor]) -> None:
        self.seen.append(given[0].shape[0] * given[0].shape[1])


@pytest.mark.parametrize("plain", [False, True])
def test_no_block_sees_more_tokens_than_its_budget(
    fresh: HookedModel, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    donor, receivers = of_run(fresh, tokens_of(13, seed=5), "resid_post"), records(fresh, RUNS)
    units = [Unit(0, 0), Unit(0, 1), Unit(1, 1), Unit(1, 2), Unit(2, 2)]
    jobs = [Job(receiver, place, donor[:, place]) for receiver, place in COLUMNS]
    patched = partial(patched_readings, fresh, "resid_post", units, receivers, jobs, plain=plain)
    expected, tokens = patched(), BlockTokens(fresh)
    monkeypatch.setitem(patches.PASS_TOKENS, "cpu", 1e6)
    least = len(LONG) if plain else len(LONG) * len(units)
    for budget in range(least, 6 * least, least // 4):
        tokens.seen.clear()
        monkeypatch.setitem(sweep.TOKEN_BUDGETS, "cpu", budget)
        for ours, own in zip(patched(), expected, strict=True):
            assert_near(ours.logit, own.logit)
        assert max(tokens.seen) <= budget


def test_columns_share_passes_by_what_they_cost(fresh: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many tokens run through blocks as the plan of the passes reckons with."""
    donor, (receiver,) = of_run(fresh, CLEAN, "mlp_out"), records(fresh, [read_at(OTHER, 9)])
    depths: list[float] = []
    whole = sweep.shared_passes
    monkeypatch.setattr(sweep, "shared_passes", lambda *given, **of: depths.append(of["depth"]) or whole(*given, **of))
    for units in ([Unit(0, 0)], [Unit(2, 2)], [Unit(0, 0), Unit(2, 2)], [Unit(0, 1), Unit(0, 2), Unit(1, 2)]):
        assert why_plain(fresh, "mlp_out") is None
        tokens = BlockTokens(fresh)
        patched_readings(fresh, "mlp_out", units, [receiver], [Job(0, 4, donor[:, 4])])
        assert sum(tokens.seen) == pytest.approx(depths.pop() * fresh.cfg.n_layers * (len(OTHER) - 4))


def test_columns_that_do_not_fit_together_are_patched_in_halves(
    model: HookedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not takes_wavefronts(model):
        pytest.skip("it takes no wavefronts")
    donor, receivers = of_run(model, LONG, "resid_post"), records(model, RUNS)
    jobs = [Job(receiver, place, donor[:, place]) for receiver, place in COLUMNS]
    patched = partial(patched_readings, model, "resid_post", rows_of(model, "resid_post"), receivers, jobs)
    monkeypatch.setitem(patches.PASS_TOKENS, "cpu", 1e6)
    expected, ran = patched(), []

    def little(*given: Any) -> torch.Tensor:
        if len(given[-1]) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        ran.append(len(given[-1]))
        return wavefront(*given)

    monkeypatch.setattr(sweep, "wavefront", little)
    for ours, own in zip(patched(), expected, strict=True):
        assert_near(ours.logit, own.logit)
    assert ran == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("device", "kind"), [("cpu", "cpu"), ("cuda", "cuda"), ("cuda:1", "cuda"), ("mps", "mps"), ("xpu", "cpu")]
)
def test_what_a_pass_costs_is_that_of_the_kind_of_device(
    model: HookedModel, device: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.cfg, "device", device)
    assert patches.pass_tokens(model) == patches.PASS_TOKENS[kind]


@pytest.mark.parametrize("fails", [False, True], ids=["passes", "fails"])
def test_no_hook_is_left_behind(family_model: HookedModel, fails: bool) -> None:
    logits, hooks = logits_of(family_model, OTHER), set(family_model.run_with_cache(torch.tensor([OTHER]))[1])
    donor = of_run(family_model, CLEAN, "resid_post")[:, 4]
    job = Job(0, 4, donor[:, :7] if fails else donor)
    arguments = (family_model, "resid_post", rows_of(family_model, "resid_post"), records(family_model, RUNS), [job])
    if fails:
        with pytest.raises(RuntimeError, match="shape mismatch"):
            patched_readings(*arguments)
    else:
        patched_readings(*arguments)
    assert not any(block._forward_pre_hooks for block in family_model.blocks)  # type: ignore[attr-defined]
    assert not any(point.fwd_hooks for point in family_model.hook_dict.values())
    assert torch.equal(logits_of(family_model, OTHER), logits)
    assert set(family_model.run_with_cache(torch.tensor([OTHER]))[1]) == hooks, "norms show theirs again"
