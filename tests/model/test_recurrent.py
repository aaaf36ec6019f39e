"""A model without attention: its residual stream is captured, patched and read, and no other site is made up."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from interp.activations.batch_activations import site_activations
from interp.answers.continuations import continued
from interp.answers.generation import Respondent
from interp.errors import InputError
from interp.models.hooked_model import HookedModel, Sampling
from interp.models.loading import load_model
from interp.models.model_sources import ModelSource
from interp.models.sites import hook_names
from interp.patching import patches
from interp.patching.patches import Job
from interp.patching.sweep import patched_readings
from interp.patching.sweep_choice import why_plain
from tests.hugging_face_sites import hugging_face_sites
from tests.made_pairs import PAIRS, patched
from tests.patched_runs import CLEAR, assert_near, at_targets, logits_of, of_run, read_at, records, rows_of, tokens_of
from tests.tiny_models import saved_model

CLEAN, CORRUPT = tokens_of(10, seed=1), tokens_of(10, seed=2)


@pytest.fixture(scope="module")
def recurrent_source(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    return saved_model("mamba", tokenizer, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module", params=["lfm2", "qwen3_next", "recurrent_gemma", "xglm"])
def not_entered(
    request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> HookedModel:
    source = saved_model(request.param, tokenizer, tmp_path_factory.mktemp("models"))
    return load_model(source, device="cpu", dtype="float32", backend="bridge")


@pytest.fixture(scope="module")
def recurrent(recurrent_source: ModelSource) -> HookedModel:
    return load_model(recurrent_source, device="cpu", dtype="float32", backend="bridge")


@pytest.mark.parametrize("site", ["resid_pre", "resid_post"])
def test_streams_of_sequences_of_several_lengths_are_hugging_faces(
    recurrent: HookedModel, recurrent_source: ModelSource, site: str
) -> None:
    sequences = [CLEAN, CLEAN[:6], CORRUPT[:8]]
    ours = site_activations(recurrent, sequences, np.array([[len(each) - 1] for each in sequences]), site)[:, 0]
    for row, sequence in enumerate(sequences):
        theirs = hugging_face_sites(recurrent_source, torch.tensor([sequence]))[site][:, 0, -1]
        torch.testing.assert_close(ours[:, row], theirs, rtol=0, atol=1e-5)


def test_runs_that_begin_with_the_same_tokens_are_run_whole(
    recurrent: HookedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(patches.PASS_TOKENS, "cpu", 0.0)
    runs = [read_at((*CLEAN, *CORRUPT[:length]), 9 + length) for length in (1, 4)]
    for run, found in zip(runs, records(recurrent, runs), strict=True):
        (alone,) = records(recurrent, [run])
        assert_near(found.stream, alone.stream)
        assert_near(found.last, alone.last)


def test_every_cell_is_patched_in_a_run_of_its_own(recurrent: HookedModel) -> None:
    assert why_plain(recurrent) == "not all of its blocks have keys and values"
    run, donor = read_at(CORRUPT, 9, 7), of_run(recurrent, CLEAN, "resid_post")
    places = (4, 7, 9)
    jobs = [Job(0, place, donor[:, place]) for place in places]
    found = patched_readings(recurrent, "resid_post", rows_of(recurrent, "resid_post"), records(recurrent, [run]), jobs)
    baseline = at_targets(logits_of(recurrent, CORRUPT)[0], run)
    for place, ours in zip(places, found, strict=True):
        for layer, name in enumerate(hook_names(recurrent, "resid_post")):

            def put(stream: torch.Tensor, hook: object, place: int = place, layer: int = layer) -> torch.Tensor:
                stream[:, place] = donor[layer, place]
                return stream

            with torch.inference_mode():
                logits = recurrent.run_with_hooks(torch.tensor([CORRUPT]), fwd_hooks=[(name, put)])
            assert_near(ours.logit[layer], at_targets(logits[0], run))
    assert min(float((each.logit - baseline).abs().max()) for each in found) > CLEAR


def test_blocks_that_cannot_be_entered_are_patched_plainly_which_is_said_in_one_line(
    not_entered: HookedModel, caplog: pytest.LogCaptureFixture
) -> None:
    pairs, positions = PAIRS[1:2], ["subject_last", "exact_answer_before_first"]
    with caplog.at_level(logging.INFO, logger="interp.patching.pair_patching"):
        plain = patched(not_entered, pairs, positions=positions, plain=True)
        patched(not_entered, pairs, positions=positions, screen_steps=1)
        said = [record.getMessage() for record in caplog.records if record.name == "interp.patching.pair_patching"]
        assert not said, "where it was asked for, or is not needed"
        found = patched(not_entered, pairs, positions=positions)
    np.testing.assert_array_equal(found.values, plain.values)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "interp.patching.pair_patching"]
    assert line.startswith("resid_post is patched by a forward pass for every cell, which is slow: ")
    assert "\n" not in line


def test_hybrid_models_answer_as_each_prompt_alone(not_entered: HookedModel) -> None:
    prompts = [CLEAN[:7], CORRUPT[:7]]
    together = continued(not_entered, prompts, max_new_tokens=3, ends={1})
    for prompt, words in zip(prompts, together, strict=True):
        assert continued(not_entered, [prompt], max_new_tokens=3, ends={1}) == [words]


def test_it_answers_as_each_prompt_alone(recurrent: HookedModel, tmp_path: Path) -> None:
    prompts = {f"p{index}": CLEAN[: 5 + index % 3] for index in range(6)}
    said = Respondent(recurrent, 4, tmp_path).continuations("some", prompts, ends={1}, max_new_tokens=4)
    for name, prompt in prompts.items():
        sequence = list(prompt)
        for token in said[name]:
            assert token == int(logits_of(recurrent, tuple(sequence))[0, -1].argmax())
            sequence.append(token)


def test_a_seed_decides_what_it_draws_and_torch_is_left_as_it_was(recurrent: HookedModel, tmp_path: Path) -> None:
    prompts = {f"p{index}": CLEAN[: 5 + index % 3] for index in range(6)}

    def drawn(folder: str, seed: int) -> dict[str, tuple[int, ...]]:
        respondent = Respondent(recurrent, 4, tmp_path / folder)
        return respondent.continuations("some", prompts, ends={1}, max_new_tokens=4, sampling=Sampling(1.0, seed))

    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = drawn("first", 0)
    assert torch.equal(torch.rand(3), expected)
    assert drawn("again", 0) == first
    assert drawn("other", 1) != first


@pytest.mark.parametrize("site", ["resid_mid", "attn_out", "mlp_out", "head_z"])
def test_a_site_that_it_does_not_have_is_refused_by_those_that_it_has(recurrent: HookedModel, site: str) -> None:
    with pytest.raises(InputError, match=f"this model has no {site} in any block; take resid_pre, resid_post"):
        hook_names(recurrent, site)
