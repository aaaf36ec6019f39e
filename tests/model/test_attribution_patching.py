"""Attribution patching in every family, held to the exact patches, to autograd and to TransformerLens's own."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from jaxtyping import Float

from interp.activations.batch_activations import site_activations
from interp.errors import InputError
from interp.models.hooked_model import HookedModel
from interp.models.loading import load_model
from interp.models.model_sources import ModelSource
from interp.models.output_path import output_logits
from interp.models.sites import SITES, hook_names
from interp.patching import gradient_passes
from interp.patching.attribution_patching import attributed_effects
from interp.patching.gradient_passes import GradientPasses, Row
from interp.patching.patches import Job, Run, Target, Unit, units_of
from interp.patching.recordings import Recording, recorded
from interp.patching.sweep import patched_readings
from interp.patching.sweep_choice import takes_wavefronts
from tests.model.conftest import FORMS

GENERATOR = torch.Generator().manual_seed(0)
SEQUENCES = [torch.randint(2, 380, (length,), generator=GENERATOR).tolist() for length in (9, 12, 7, 11)]
RUNS = [
    # Read at two places, with three targets of unlike weights.
    Run(tuple(tokens), (Target(len(tokens) - 1, 30), Target(len(tokens) - 3, 40), Target(len(tokens) - 1, 50)))
    for tokens in SEQUENCES
]
WEIGHTS = torch.tensor([1.0, -1.0, 0.5])
READ = len(SEQUENCES[0]) - 1


class Swap(NamedTuple):
    """A token of a receiver, and one of a donor."""

    receiver: int
    place: int
    donor: int
    donor_place: int


# Runs of unlike lengths, one token with two donors, and one at which the run is read.
SWAPS = [
    Swap(0, 2, 2, 1),
    Swap(0, 5, 3, 4),
    Swap(0, READ, 2, 6),
    Swap(1, 3, 3, 3),
    Swap(1, 3, 2, 2),
    Swap(1, 11, 3, 10),
]


def recordings(model: HookedModel, runs: list[Run]) -> list[Recording]:
    return recorded(model, runs, with_cache=takes_wavefronts(model))


def vectors(model: HookedModel, site: str, cells: list[tuple[int, int]]) -> list[Float[torch.Tensor, "layer width"]]:
    """A site at a token of each of some sequences."""
    sequences = [SEQUENCES[sequence] for sequence, _ in cells]
    gathered = site_activations(model, sequences, np.array([[place] for _, place in cells]), site)
    return list(gathered[:, 0].unbind(1))


def own_and_donors(model: HookedModel, site: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    own = vectors(model, site, [(swap.receiver, swap.place) for swap in SWAPS])
    return own, vectors(model, site, [(swap.donor, swap.donor_place) for swap in SWAPS])


def jobs_of(donors: list[torch.Tensor], swaps: list[Swap] = SWAPS) -> list[Job]:
    return [Job(swap.receiver, swap.place, donor) for swap, donor in zip(swaps, donors, strict=True)]


def layers_of(model: HookedModel, n_heads: int | None = None) -> list[Unit]:
    return units_of(range(model.cfg.n_layers), n_layers=model.cfg.n_layers, n_heads=n_heads)


def metrics(
    model: HookedModel, site: str, units: list[Unit], receivers: list[Recording], jobs: list[Job]
) -> Float[torch.Tensor, "job unit"]:
    """The weighted sum of logits in every exactly patched run."""
    readings = patched_readings(model, site, units, receivers, jobs)
    return torch.stack([(reading.logit.double() * WEIGHTS).sum(-1) for reading in readings])


def exact_effects(
    model: HookedModel, site: str, units: list[Unit], receivers: list[Recording]
) -> Float[torch.Tensor, "job unit"]:
    own, donors = own_and_donors(model, site)
    unpatched = metrics(model, site, units, receivers, jobs_of(own))
    return metrics(model, site, units, receivers, jobs_of(donors)) - unpatched


def sites_of(model: HookedModel) -> list[tuple[str, int | None]]:
    """The sites that a family has, and head by head what has heads."""
    found: list[tuple[str, int | None]] = [("head_z", model.cfg.n_heads)]
    for site in SITES:
        try:
            hook_names(model, site)
        except InputError:
            continue
        found.append((site, None))
    return found


def assert_derivative(model: HookedModel, site: str, n_heads: int | None = None) -> None:
    """One step is the derivative of the exact patch, and there is one."""
    receivers, strength, units = recordings(model, RUNS[:2]), 0.005, layers_of(model, n_heads)
    own, donors = own_and_donors(model, site)
    near = [
        metrics(
            model,
            site,
            units,
            receivers,
            jobs_of([at + by * (donor - at) for at, donor in zip(own, donors, strict=True)]),
        )
        for by in (strength, -strength)
    ]
    differences = (near[0] - near[1]) / (2 * strength)
    estimates = attributed_effects(model, site, units, receivers, jobs_of(donors), WEIGHTS)
    largest = float(differences.abs().max())
    assert largest > 0.02, site
    assert float((estimates - differences).abs().max()) < 2e-3 * max(largest, 1.0), site


def test_one_step_is_the_derivative_of_the_exact_patch(family_model: HookedModel) -> None:
    for site, n_heads in sites_of(family_model):
        assert_derivative(family_model, site, n_heads)


SOME_FAMILIES = [form for form in FORMS if form[0] in ("llama", "gpt2", "gemma2")]
"""Whose norms differ: for what holds of any smooth function whose gradients are right."""


@pytest.mark.parametrize("family", SOME_FAMILIES, indirect=True, ids="-".join)
def test_so_it_is_at_hooks_that_show_what_other_modules_read_too(family_model: HookedModel) -> None:
    for site in ("ln1.hook_normalized", "ln1.hook_out", "attn.hook_q"):
        if f"blocks.0.{site}" in family_model.hook_dict:
            assert_derivative(family_model, site)


@pytest.mark.parametrize("family", SOME_FAMILIES, indirect=True, ids="-".join)
def test_more_steps_along_a_patch_come_nearer_to_it(family_model: HookedModel) -> None:
    receivers = recordings(family_model, RUNS[:2])
    for site in ("resid_pre", "attn_out"):
        units = layers_of(family_model)
        exact, donors = exact_effects(family_model, site, units, receivers), own_and_donors(family_model, site)[1]
        errors = [
            float(
                (attributed_effects(family_model, site, units, receivers, jobs_of(donors), WEIGHTS, steps=n) - exact)
                .abs()
                .mean()
            )
            for n in (1, 2, 8)
        ]
        assert errors[0] > errors[1] > errors[2]
        assert errors[2] < 0.03 * float(exact.abs().mean())


@pytest.mark.parametrize("family", SOME_FAMILIES, indirect=True, ids="-".join)
def test_steps_along_the_inputs_are_complete_before_the_first_block(family_model: HookedModel) -> None:
    """The estimates of all columns add up to the effect of all their swaps at once."""
    swaps = SWAPS[:3]
    receivers = recordings(family_model, RUNS[:1])
    donors = vectors(family_model, "resid_pre", [(swap.donor, swap.donor_place) for swap in swaps])

    def swapped(stream: Float[torch.Tensor, "run pos d_model"]) -> torch.Tensor:
        for swap, donor in zip(swaps, donors, strict=True):
            stream[0, swap.place] = donor[0]
        return stream

    def metric(recording: Recording) -> torch.Tensor:
        logits = output_logits(family_model, recording.final)
        targets = [logits[recording.run.places.index(place), token] for place, token in recording.run.targets]
        return (torch.stack(targets) * WEIGHTS).sum().double()

    with torch.inference_mode():
        [after] = recorded(family_model, RUNS[:1], with_cache=False, corruption=swapped)
        effect = metric(after) - metric(receivers[0])
    embeddings = [donor[0] for donor in donors]
    first = layers_of(family_model)[:1]
    one, many = (
        attributed_effects(
            family_model, "resid_pre", first, receivers, jobs_of(donors, swaps), WEIGHTS, steps=n, embeddings=embeddings
        ).sum()
        for n in (1, 32)
    )
    assert abs(float(many - effect)) < 0.02 * max(abs(float(effect)), 1.0)
    assert abs(float(many - effect)) < abs(float(one - effect))


def test_after_the_last_block_only_norm_and_unembedding_count(family_model: HookedModel) -> None:
    receivers = recordings(family_model, RUNS[:1])
    last = layers_of(family_model)[-1:]
    swaps = [Swap(0, READ, 2, 6), Swap(0, READ - 1, 2, 5)]
    donors = vectors(family_model, "resid_post", [(swap.donor, swap.donor_place) for swap in swaps])
    read, beside = attributed_effects(family_model, "resid_post", last, receivers, jobs_of(donors, swaps), WEIGHTS)
    with torch.inference_mode(False), torch.enable_grad():
        place = RUNS[0].places.index(READ)
        stream = receivers[0].final[[place]].clone().requires_grad_()
        logits = output_logits(family_model, stream)[0]
        (gradient,) = torch.autograd.grad(logits[30] + 0.5 * logits[50], stream)
    expected = float((gradient[0] * (donors[0][-1] - stream[0].detach())).sum())
    assert float(read) == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert float(beside) == 0.0, "a token that nothing is read of"


def test_it_is_what_transformer_lens_gives(family_model: HookedModel) -> None:
    theirs = pytest.importorskip("transformer_lens.tools.analysis.attribution_patching")
    if not hasattr(family_model, "original_model"):
        pytest.skip("TransformerLens's own takes bridges")
    receiver, donor = SEQUENCES[0], torch.randint(2, 380, (9,), generator=torch.Generator().manual_seed(1)).tolist()
    run = Run(tuple(receiver), (Target(READ, 30), Target(READ, 40)))
    weights = torch.tensor([1.0, -1.0])
    scores = theirs.attribution_patch(
        family_model,
        torch.tensor([donor]),
        torch.tensor([receiver]),
        lambda logits: logits[0, -1, 30] - logits[0, -1, 40],
    ).node_scores
    receivers = recordings(family_model, [run])
    for site, kind, n_heads in (("mlp_out", "mlp_out", None), ("head_z", "attn_head_out", family_model.cfg.n_heads)):
        units = layers_of(family_model, n_heads)
        donors = site_activations(family_model, [donor], np.arange(9)[None], site)[:, :, 0]
        jobs = [Job(0, place, donors[:, place]) for place in range(9)]
        ours = attributed_effects(family_model, site, units, receivers, jobs, weights)
        expected = torch.tensor(
            [[scores[theirs.Node(kind, place, unit.first, unit.head)] for unit in units] for place in range(9)]
        )
        assert float(expected.abs().max()) > 0.01
        torch.testing.assert_close(ours, expected.double(), rtol=1e-3, atol=2e-5)


def test_a_run_that_is_given_its_own_vectors_does_not_change(family_model: HookedModel) -> None:
    receivers = recordings(family_model, RUNS[:1])
    for site, n_heads in sites_of(family_model):
        own = vectors(family_model, site, [(0, 2)]) + vectors(family_model, site, [(0, READ)])
        jobs = [Job(0, 2, own[0]), Job(0, READ, own[1])]
        effects = attributed_effects(family_model, site, layers_of(family_model, n_heads), receivers, jobs, WEIGHTS)
        assert torch.equal(effects, torch.zeros_like(effects)), site


def test_receivers_that_share_a_pass_do_not_touch_each_other(
    family_model: HookedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    units, receivers = layers_of(family_model), recordings(family_model, RUNS[:2])
    jobs = jobs_of(own_and_donors(family_model, "resid_pre")[1])
    together = attributed_effects(family_model, "resid_pre", units, receivers, jobs, WEIGHTS)
    monkeypatch.setattr("interp.patching.gradient_passes.TOKEN_BUDGETS", {"cpu": 1})
    alone = torch.cat([attributed_effects(family_model, "resid_pre", units, receivers, [job], WEIGHTS) for job in jobs])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


def test_rows_that_do_not_fit_together_are_run_in_halves(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    units, receivers = layers_of(model), recordings(model, RUNS[:2])
    jobs = jobs_of(own_and_donors(model, "resid_pre")[1])
    together = attributed_effects(model, "resid_pre", units, receivers, jobs, WEIGHTS, steps=2)
    whole = gradient_passes.run_until

    def little(model: HookedModel, tokens: torch.Tensor, *given: Any, **passed: Any) -> None:
        if len(tokens) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        whole(model, tokens, *given, **passed)

    monkeypatch.setattr(gradient_passes, "run_until", little)
    halves = attributed_effects(model, "resid_pre", units, receivers, jobs, WEIGHTS, steps=2)
    torch.testing.assert_close(halves, together, rtol=1e-3, atol=1e-4)


def test_a_pass_has_no_more_tokens_than_its_budget(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    units, receivers = layers_of(model), recordings(model, RUNS[:2])
    jobs, seen, whole = jobs_of(own_and_donors(model, "resid_pre")[1]), [], gradient_passes.run_until

    def counted(model: HookedModel, tokens: torch.Tensor, *given: Any, **passed: Any) -> None:
        seen.append(tokens.numel())
        whole(model, tokens, *given, **passed)

    monkeypatch.setattr(gradient_passes, "run_until", counted)
    for budget in (12, 24, 33, 36, 60):
        seen.clear()
        monkeypatch.setitem(gradient_passes.TOKEN_BUDGETS, "cpu", budget)
        attributed_effects(model, "resid_pre", units, receivers, jobs, WEIGHTS, steps=2)
        assert max(seen) <= budget


@pytest.mark.parametrize(("device", "kind"), [("cpu", "cpu"), ("cuda:1", "cuda"), ("mps", "mps"), ("xpu", "cpu")])
def test_the_budget_is_that_of_the_kind_of_device(
    model: HookedModel, device: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [receiver], sizes = recordings(model, RUNS[:1]), []
    monkeypatch.setattr(model.cfg, "device", device)
    monkeypatch.setattr(gradient_passes, "in_halves_if_need_be", lambda _, rows: sizes.append(len(rows)) or [])
    row = Row(receiver, (2,), receiver.stream[0])
    GradientPasses(model, "resid_pre", WEIGHTS).cells([row] * 1_000, [0])
    assert sizes[0] == gradient_passes.TOKEN_BUDGETS[kind] // len(SEQUENCES[0])


def test_cells_of_a_model_in_bfloat16_are_in_float64(source: ModelSource) -> None:
    """So that means over steps are not rounded again."""
    rounded = load_model(source, device="cpu", dtype="bfloat16")
    [receiver] = recordings(rounded, RUNS[:1])
    row = Row(receiver, (2,), receiver.stream[0].clone(), torch.ones(1, rounded.cfg.d_model, dtype=torch.float64))
    with torch.inference_mode(False):
        [[cells]] = GradientPasses(rounded, "resid_pre", WEIGHTS).cells([row], [1])
    assert {each.dtype for each in cells[1]} == {torch.float64}


def test_recordings_are_left_as_they_were(model: HookedModel) -> None:
    receivers = recordings(model, RUNS[:2])
    before = [receiver.stream.clone() for receiver in receivers]
    donors = own_and_donors(model, "resid_pre")[1]
    for embeddings in (None, [donor[0] for donor in donors]):
        attributed_effects(
            model, "resid_pre", layers_of(model), receivers, jobs_of(donors), WEIGHTS, steps=2, embeddings=embeddings
        )
    for receiver, stream in zip(receivers, before, strict=True):
        assert torch.equal(receiver.stream, stream)


@pytest.mark.parametrize("site", ["resid_pre", "resid_post"])
def test_a_corrupted_run_is_differentiated_where_it_is(model: HookedModel, site: str) -> None:
    def corruption(stream: Float[torch.Tensor, "run pos d_model"]) -> torch.Tensor:
        stream[:, 1:3] += torch.linspace(-1, 1, stream.shape[-1])
        return stream

    [receiver] = recorded(model, RUNS[:1], with_cache=takes_wavefronts(model), corruption=corruption)
    units, strength, place = layers_of(model), 0.005, 2
    own, [donor] = receiver.residual(site, [place])[:, 0], vectors(model, site, [(2, 1)])
    near = [
        metrics(model, site, units, [receiver], [Job(0, place, own + by * (donor - own))])
        for by in (strength, -strength)
    ]
    estimates = attributed_effects(model, site, units, [receiver], [Job(0, place, donor)], WEIGHTS)
    torch.testing.assert_close(estimates, (near[0] - near[1]) / (2 * strength), rtol=0, atol=2e-3)


def test_the_model_is_left_as_it_was(model: HookedModel) -> None:
    parameters = list(model.parameters())  # type: ignore[attr-defined]
    receivers, jobs = recordings(model, RUNS[:2]), jobs_of(own_and_donors(model, "attn_out")[1])
    parameters[0].requires_grad_(False)
    parameters[1].grad = torch.ones_like(parameters[1])
    try:
        flags = [parameter.requires_grad for parameter in parameters]
        assert any(flags)
        assert not all(flags)
        with gradient_passes.frozen_parameters(model):
            assert not any(parameter.requires_grad for parameter in parameters)
        with torch.inference_mode():
            attributed_effects(model, "attn_out", layers_of(model), receivers, jobs, WEIGHTS)
        with pytest.raises(RuntimeError):
            attributed_effects(model, "attn_out", layers_of(model), receivers, jobs, WEIGHTS[:2])
        assert [parameter.requires_grad for parameter in parameters] == flags
        assert torch.equal(parameters[1].grad, torch.ones_like(parameters[1]))
        assert all(parameter.grad is None for parameter in (parameters[0], *parameters[2:]))
    finally:
        parameters[0].requires_grad_(True)
        parameters[1].grad = None


def test_no_jobs_have_no_effects(model: HookedModel) -> None:
    effects = attributed_effects(model, "resid_pre", layers_of(model), recordings(model, RUNS[:1]), [], WEIGHTS)
    assert effects.shape == (0, model.cfg.n_layers)
    jobs = jobs_of(own_and_donors(model, "resid_pre")[1])
    assert attributed_effects(model, "resid_pre", [], recordings(model, RUNS[:2]), jobs, WEIGHTS).shape == (6, 0)


@pytest.mark.parametrize(
    ("window", "steps", "why"), [(2, 1, "single layers; take a window of 1"), (1, 0, "at least 1 step, not 0")]
)
def test_what_cannot_be_estimated_is_refused(model: HookedModel, window: int, steps: int, why: str) -> None:
    units = units_of([1], n_layers=model.cfg.n_layers, window=window)
    with pytest.raises(InputError, match=why):
        attributed_effects(model, "resid_pre", units, recordings(model, RUNS[:1]), [], WEIGHTS, steps=steps)
