"""A GPU computes what the CPU does, in every family: streams, patches, gradients, lenses, words and probes.

Without a GPU its stand-in is asked, which tells what would be refused there, and nothing of rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interp.activations.batch_activations import batch_activations, hooks_of_sites
from interp.activations.capture import capture, examples_to_capture, planned_stores
from interp.activations.store import ActivationStore
from interp.answers.generation import Respondent
from interp.lenses.lens import LogitLens
from interp.lenses.lens_divergence import gradients
from interp.lenses.lens_values import lens_values
from interp.lenses.tuned_lens import TunedLens
from interp.models.hooked_model import HookedModel, Sampling
from interp.models.loading import load_model
from interp.models.sites import SITES, hook_names
from interp.patching.attribution_patching import attributed_effects
from interp.patching.gradient_passes import frozen_parameters
from interp.patching.patches import Job
from interp.patching.sweep import patched_readings
from interp.patching.sweep_choice import takes_wavefronts
from interp.positions import position_table
from interp.probes.cell_probe import Probing
from interp.probes.halves import measured_widening
from interp.probes.labels import Split
from interp.probes.probe_map import out_of_fold_scores
from tests.model.conftest import Family
from tests.model.test_lens import ANSWERS, captured, random_targets
from tests.patched_runs import of_run, read_at, records, rows_of, tokens_of
from tests.random_answers import POSITIONS, random_answers
from tests.stand_in_gpu import NAME, stand_in

TOLERANCE = 1e-4
ROUGHLY = 0.02
"""By how much log-odds within the folds may differ from the optimum's; those that leave out other folds do by .2."""


@pytest.fixture(scope="module", autouse=True)
def gpu() -> Iterator[str]:
    with nullcontext("cuda") if torch.cuda.is_available() else stand_in() as device:
        yield device


@pytest.fixture(scope="module")
def on_gpu(family: Family, gpu: str) -> HookedModel:
    backend: Any = "bridge" if type(family.model).__name__ == "TransformerBridge" else "hooked"
    return load_model(family.source, device=gpu, dtype="float32", backend=backend)


def near(ours: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(ours.cpu(), expected.cpu(), rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)


def sites_of(model: HookedModel) -> list[str]:
    found = []
    for site in SITES:
        try:
            hook_names(model, site)
        except ValueError:
            continue
        found.append(site)
    return found


def stored(model: HookedModel, folder: Path) -> ActivationStore:
    answers = random_answers(23)
    table = position_table(answers, POSITIONS)
    layers = range(model.cfg.n_layers)
    stores = planned_stores({"resid_post": folder}, {"resid_post": {}}, answers, table, layers=layers, token_budget=100)
    capture(lambda: model, stores, examples_to_capture(answers, table))
    return stores["resid_post"]


def test_streams(family_model: HookedModel, on_gpu: HookedModel, tmp_path: Path) -> None:
    ours, expected = stored(on_gpu, tmp_path / "gpu"), stored(family_model, tmp_path / "cpu")
    for layer in expected.layers:
        for position in POSITIONS:
            near(ours.cell(layer, position), expected.cell(layer, position))


def test_patches(family_model: HookedModel, on_gpu: HookedModel) -> None:
    for site in sites_of(family_model):
        # Which is found out on each device; a wavefront that failed on a GPU would go unseen.
        assert takes_wavefronts(on_gpu, site) == takes_wavefronts(family_model, site)
        found = []
        for model in (on_gpu, family_model):
            donor = of_run(model, tokens_of(13, seed=5), site)
            receivers = records(model, [read_at(tokens_of(10, seed=2), 9, 7), read_at(tokens_of(13, seed=3), 12, 8)])
            jobs = [Job(receiver, place, donor[:, place]) for receiver, place in ((0, 9), (1, 11), (0, 2), (1, 0))]
            for plain in (False, True):
                readings = patched_readings(model, site, rows_of(model, site), receivers, jobs, plain=plain)
                found.append([each.logit for each in readings])
        for ours, expected in zip(found[:2], found[2:], strict=True):
            for one, other in zip(ours, expected, strict=True):
                near(one, other)


def test_gradients(family_model: HookedModel, on_gpu: HookedModel) -> None:
    weights = torch.tensor([1.0, -1.0])
    for site in sites_of(family_model):
        effects = []
        for model in (on_gpu, family_model):
            donor = of_run(model, tokens_of(10, seed=5), site)
            receivers = records(model, [read_at(tokens_of(10, seed=2), 9)])
            jobs = [Job(0, place, donor[:, place]) for place in (2, 9)]
            effects.append(attributed_effects(model, site, rows_of(model, site), receivers, jobs, weights, steps=2))
        near(*effects)


def test_lenses(family_model: HookedModel, on_gpu: HookedModel) -> None:
    store, tokens = captured(family_model)
    found = [lens_values(model, LogitLens(), store, tokens, random_targets(tokens)) for model in (on_gpu, family_model)]
    for name in ("log_probability", "entropy", "divergence"):
        near(*(torch.from_numpy(values[name].values) for values in found))
    hooks = hooks_of_sites(on_gpu, ["resid_post"])
    own = batch_activations(on_gpu, [answer.token_ids for answer in ANSWERS], tokens, hooks)["resid_post"]
    near(own, store.activations)


def test_translators_may_be_elsewhere(family_model: HookedModel, on_gpu: HookedModel) -> None:
    """As they are where a model is split over devices, and its unembedding is not on the first."""
    n_layers, d_model = family_model.cfg.n_layers, family_model.cfg.d_model
    lens = TunedLens.untrained(n_layers, d_model)
    streams = torch.randn(n_layers, 6, d_model, generator=torch.Generator().manual_seed(0))
    found = []
    for model in (on_gpu, family_model):
        with frozen_parameters(model):
            found.append(gradients(model, lens, streams))
    for ours, expected in zip(*found, strict=True):
        near(ours, expected)


@pytest.mark.parametrize("sampling", [None, Sampling(1.0, 0)], ids=["greedy", "drawn"])
def test_words(
    family_model: HookedModel, on_gpu: HookedModel, gpu: str, tmp_path: Path, sampling: Sampling | None
) -> None:
    if gpu == NAME and not hasattr(on_gpu, "original_model"):
        pytest.skip("HookedTransformer asks whether tokens are a tensor of torch's own class")
    prompts = {f"p{index}": (5 + index, 20, 30, *range(40, 40 + index % 3)) for index in range(9)}

    def said(model: HookedModel, name: str) -> dict[str, tuple[int, ...]]:
        respondent = Respondent(model, 4, tmp_path / name)
        return respondent.continuations("some", prompts, ends={1}, max_new_tokens=5, sampling=sampling)

    ours = said(on_gpu, "gpu")
    assert ours == said(on_gpu, "again")
    if sampling is None:
        assert ours == said(family_model, "cpu")


class Stream:
    """A signal in noise, at two positions of two layers."""

    layers, positions = (0, 1), ("a", "b")

    def __init__(self, n: int, d_model: int) -> None:
        rng = np.random.default_rng(0)
        self.examples = tuple(str(row) for row in range(n))
        self.wrong = rng.random(n) < 0.4
        self.mask = np.stack([np.ones(n, dtype=bool), rng.random(n) < 0.9], axis=1)
        shape = (2, 2, n, d_model)
        self.vectors = torch.from_numpy(rng.normal(size=shape) + 0.2 * self.wrong[:, None]).float()
        self.vectors[:, 1, ~self.mask[:, 1]] = torch.nan

    def cell(self, layer: int, position: str) -> torch.Tensor:
        return self.vectors[layer, self.positions.index(position)]


@pytest.mark.parametrize(
    "probing",
    [
        Probing(),
        Probing(standardise=False),
        Probing(c=(0.01, 1.0)),
        Probing(nested=False, kind="mass-mean"),
    ],
)
@pytest.mark.parametrize(("n", "d_model"), [(150, 40), (200, 1000), (700, 100)])
def test_probes(probing: Probing, n: int, d_model: int, gpu: str, tmp_path: Path) -> None:
    stream = Stream(n, d_model)
    labels = Split(folds=5, n_seeds=2).labels(stream.wrong.tolist(), list(stream.examples))
    ours, expected = (
        out_of_fold_scores(stream, stream.mask, labels, probing, parts=tmp_path / device, device=device)
        for device in (gpu, "cpu")
    )
    assert np.isfinite(expected.held_out).any()
    np.testing.assert_allclose(ours.held_out, expected.held_out, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(ours.inner, expected.inner, rtol=0, atol=ROUGHLY)


@pytest.mark.parametrize("probing", [Probing(), Probing(c=(0.01, 1.0)), Probing(kind="mass-mean")])
def test_halves(probing: Probing, gpu: str, tmp_path: Path) -> None:
    stream = Stream(150, 40)
    labels = Split(folds=5, n_seeds=2).labels(stream.wrong.tolist(), list(stream.examples))
    scores = out_of_fold_scores(stream, stream.mask, labels, probing, parts=tmp_path)
    made_from = (scores, stream.mask, labels, stream, probing)
    ours, expected = (measured_widening(*made_from, halvings=3, seed=0, device=device) for device in (gpu, "cpu"))
    assert ours is not None
    np.testing.assert_allclose(ours, expected, rtol=0, atol=0.01)
