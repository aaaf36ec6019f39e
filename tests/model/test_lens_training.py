"""Training tuned lenses: gradients against plain autograd, what is learned, and what an interruption leaves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from interp.activations.batch_activations import batch_activations
from interp.errors import InputError
from interp.lenses import lens_training
from interp.lenses.least_squares_lens import least_squares_lens
from interp.lenses.lens import LogitLens
from interp.lenses.lens_divergence import TextStreams, divergences, gradients
from interp.lenses.lens_training import BEFORE, IDENTITY, Schedule, Trained, sequence_divergences, trained_lens
from interp.lenses.training_text import TextSequence, TrainingText, answer_sequences, n_counted, training_text
from interp.lenses.tuned_lens import TunedLens
from interp.models.hooked_model import HookedModel
from interp.models.loading import load_model
from interp.models.output_path import output_logits
from interp.patching.gradient_passes import frozen_parameters
from tests.model.conftest import Family
from tests.random_answers import BEGINNING, random_answers
from tests.tiny_models import saved_model

SEQUENCES = (
    TextSequence((*BEGINNING, 50, 60, 70), "a", 0),
    TextSequence((*BEGINNING, 51, 61, 71, 81, 91), "b", len(BEGINNING)),
    TextSequence((*BEGINNING, 51, 62), "c", len(BEGINNING) + 1),
)
SEQUENCES_OF_ONE_TOKEN = tuple(TextSequence((token,), str(token)) for token in range(9))
TEXT = training_text(answer_sequences(random_answers(60)), share=0.2, seed=0)
SCHEDULE = Schedule(steps=24, tokens=60, learning_rate=0.02, measure_every=4, patience=9, seed=0)


def random_lens(model: HookedModel) -> TunedLens:
    generator = torch.Generator().manual_seed(0)
    n_layers, d_model = model.cfg.n_layers, model.cfg.d_model
    weight = 0.1 * torch.randn(n_layers - 1, d_model, d_model, generator=generator)
    return TunedLens(weight, 0.1 * torch.randn(n_layers - 1, d_model, generator=generator), {})


def plain_divergence(model: Any, lens: TunedLens, layer: int) -> torch.Tensor:
    """Of every counted token, by the model itself with what the lens gives in place of its last block's output."""
    last = f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
    found = []
    for each in SEQUENCES:
        tokens = torch.tensor([each.tokens])
        own, cache = model.run_with_cache(tokens, names_filter=f"blocks.{layer}.hook_resid_post")
        stream = next(iter(cache.values()))[0].detach()
        read = stream + functional.linear(stream, lens.weight[layer], lens.bias[layer])
        logits = model.run_with_hooks(tokens, fwd_hooks=[(last, lambda _, hook, read=read: read[None])])
        p, q = own.detach().double().log_softmax(-1), logits.double().log_softmax(-1)
        found.append(functional.kl_div(q, p, log_target=True, reduction="none")[0, each.start :].sum(-1))
    return torch.cat(found)


def test_gradients_are_those_of_the_whole_model(family_model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interp.lenses.lens_divergence.LOGIT_VALUES", 7 * family_model.cfg.d_vocab)
    lens = random_lens(family_model)
    streams = TextStreams.of(family_model, SEQUENCES).after_blocks(SEQUENCES)
    assert streams.shape[1] == n_counted(SEQUENCES) == 21
    with frozen_parameters(family_model):
        found = gradients(family_model, lens, streams)
        every = divergences(family_model, lens, streams)
        for layer in range(family_model.cfg.n_layers - 1):
            parameters = [each.detach().clone().requires_grad_() for each in (lens.weight, lens.bias)]
            expected = plain_divergence(family_model, TunedLens(*parameters, {}), layer)
            weight, bias = torch.autograd.grad(expected.mean(), parameters)
            torch.testing.assert_close(every[layer].double(), expected.detach(), rtol=1e-3, atol=1e-5)
            torch.testing.assert_close(found.kl[layer].double(), expected.detach().mean(), rtol=1e-3, atol=1e-5)
            torch.testing.assert_close(found.weight[layer], weight[layer], rtol=1e-3, atol=1e-5)
            torch.testing.assert_close(found.bias[layer], bias[layer], rtol=1e-3, atol=1e-5)


def test_products_in_bfloat16_give_the_same_gradients_but_for_rounding(model: HookedModel) -> None:
    lens, streams = random_lens(model), TextStreams.of(model, SEQUENCES).after_blocks(SEQUENCES)
    with frozen_parameters(model):
        exact, rounded = (gradients(model, lens, streams, precision=each) for each in ("float32", "bfloat16"))
    for one, other in zip(exact, rounded, strict=True):
        assert other.dtype is torch.float32
        assert 0 < float((one - other).norm()) < 0.02 * float(one.norm())


def test_sequences_that_do_not_fit_are_read_in_halves(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def small(model: HookedModel, sequences: list[tuple[int, ...]], *rest: object) -> dict[str, torch.Tensor]:
        if len(sequences) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return batch_activations(model, sequences, *rest)

    streams = TextStreams.of(model, SEQUENCES)
    whole = streams.after_blocks(SEQUENCES)
    monkeypatch.setattr("interp.lenses.lens_divergence.batch_activations", small)
    torch.testing.assert_close(streams.after_blocks(SEQUENCES), whole, rtol=1e-5, atol=1e-5)


@given(st.integers(1, 9), st.integers(1, 30), st.integers(0, 3))
def test_the_text_is_gone_through_again_and_again(n: int, tokens: int, seed: int) -> None:
    text, schedule = SEQUENCES_OF_ONE_TOKEN[:n], replace(SCHEDULE, tokens=tokens, seed=seed)
    size = schedule.sequences_at_once(text)
    assert size == tokens, "a step has as many tokens as it is to have"
    taken = [each for step in range(3 * n) for each in schedule.sequences(text, step)]
    assert len(taken) == 3 * n * size
    for start in range(0, len(taken), n):
        assert sorted(taken[start : start + n]) == sorted(text)


def test_every_time_the_text_is_in_another_order() -> None:
    schedule = replace(SCHEDULE, tokens=len(SEQUENCES_OF_ONE_TOKEN))
    assert len({schedule.sequences(SEQUENCES_OF_ONE_TOKEN, step) for step in range(6)}) == 6
    assert replace(schedule, tokens=1).sequences_at_once((TextSequence((5,) * 90, "long"),)) == 1


def trained(model: HookedModel, folder: Path, schedule: Schedule = SCHEDULE, text: TrainingText = TEXT) -> Trained:
    return trained_lens(model, text, schedule, folder / "training.pt")


def test_a_lens_may_begin_at_the_identity(model: HookedModel, tmp_path: Path) -> None:
    found = trained(model, tmp_path, replace(SCHEDULE, begin=IDENTITY, steps=8))
    assert found.curve[0] == found.curve[BEFORE]
    assert np.mean(found.curve[8]) < 0.95 * np.mean(found.curve[0])
    assert np.mean(found.curve[0]) > np.mean(trained(model, tmp_path / "usual").curve[0])
    impatient = trained(model, tmp_path / "impatient", replace(SCHEDULE, begin=IDENTITY, steps=4, patience=1))
    assert max(impatient.curve) == 4, "where it begins is no measurement without a gain"
    assert "begin" not in SCHEDULE.record
    assert replace(SCHEDULE, begin=IDENTITY).record["begin"] == IDENTITY


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_steps_are_adams_with_a_rate_that_falls_to_nothing(model: HookedModel, tmp_path: Path, precision: str) -> None:
    """From least squares where that is closer than the logit lens, by torch's own schedule of the rate."""
    schedule = replace(SCHEDULE, steps=5, measure_every=2, precision=precision)
    found = trained(model, tmp_path, schedule)
    streams, at_once = TextStreams.of(model, TEXT.everything), schedule.sequences_at_once(TEXT.training)

    def measured(lens: TunedLens) -> np.ndarray:
        sums = sequence_divergences(streams, lens, TEXT.stopping, at_once=at_once, precision=precision)
        return sums.sum(1) / n_counted(TEXT.stopping)

    logit = TunedLens.untrained(model.cfg.n_layers, model.cfg.d_model)
    closest = least_squares_lens(streams, TEXT.training, at_once=at_once)
    expected = {BEFORE: measured(logit), 0: measured(closest)}
    is_better = torch.from_numpy(expected[0] < expected[BEFORE])
    weight, bias = closest.weight * is_better[:, None, None], closest.bias * is_better[:, None]
    adam = torch.optim.Adam([weight, bias], lr=schedule.learning_rate)
    falling = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.0, total_iters=schedule.steps)
    with frozen_parameters(model):
        for step in range(schedule.steps):
            lens, text = TunedLens(weight, bias, {}), schedule.sequences(TEXT.training, step)
            by = gradients(model, lens, streams.after_blocks(text), precision=precision)
            weight.grad, bias.grad = by.weight, by.bias
            adam.step()
            falling.step()
            if step + 1 in (2, 4, 5):
                expected[step + 1] = measured(lens)
    assert found.curve.keys() == expected.keys(), "the last step is measured, whatever its number"
    for step, kl in expected.items():
        assert found.curve[step] == pytest.approx(kl.tolist(), rel=1e-5)


def is_same(one: Trained, other: Trained) -> bool:
    lenses = torch.equal(one.lens.weight, other.lens.weight) and torch.equal(one.lens.bias, other.lens.bias)
    return lenses and one.curve == other.curve and one.best_step == other.best_step


def test_training_brings_every_layer_closer_on_text_that_it_has_not_seen(model: HookedModel, tmp_path: Path) -> None:
    found = trained(model, tmp_path)
    assert sorted(found.curve) == [BEFORE, *range(0, 25, 4)]
    streams = TextStreams.of(model, TEXT.everything)
    logit, tuned = (sequence_divergences(streams, lens, TEXT.held_out, at_once=3) for lens in (LogitLens(), found.lens))
    assert logit.shape == (model.cfg.n_layers - 1, len(TEXT.held_out))
    assert (tuned.sum(1) < 0.8 * logit.sum(1)).all()
    at_start = sequence_divergences(streams, LogitLens(), TEXT.stopping, at_once=50).sum(1) / n_counted(TEXT.stopping)
    assert found.curve[BEFORE] == pytest.approx(at_start.tolist(), rel=1e-5), "it is compared with the logit lens"
    kept = [found.curve[step][layer] for layer, step in enumerate(found.best_step)]
    assert kept == [min(column) for column in zip(*found.curve.values(), strict=True)]
    again = sequence_divergences(streams, found.lens, TEXT.stopping, at_once=50).sum(1) / n_counted(TEXT.stopping)
    assert again.tolist() == pytest.approx(kept, rel=1e-5), "what is kept is what was measured"


def test_the_same_seed_gives_the_same_translators_and_another_does_not(model: HookedModel, tmp_path: Path) -> None:
    short = replace(SCHEDULE, steps=4)
    first, second = trained(model, tmp_path / "a", short), trained(model, tmp_path / "b", short)
    assert is_same(first, second)
    assert not is_same(first, trained(model, tmp_path / "c", replace(short, seed=1)))


@pytest.mark.parametrize("steps_before", [0, 2, 4, 11, 23])
def test_a_training_that_is_killed_goes_on_to_the_same_translators(
    model: HookedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps_before: int
) -> None:
    undisturbed = trained(model, tmp_path / "undisturbed")
    left = steps_before

    def killed(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        return gradients(*arguments, **named)

    with monkeypatch.context() as interrupted:
        interrupted.setattr(lens_training, "gradients", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(model, tmp_path / "killed")
    assert (tmp_path / "killed" / "training.pt").exists()
    assert is_same(trained(model, tmp_path / "killed"), undisturbed)
    monkeypatch.setattr(lens_training, "gradients", None)
    assert is_same(trained(model, tmp_path / "killed"), undisturbed), "what has ended is not trained again"


def test_a_training_that_is_killed_has_no_more_patience(
    model: HookedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the first measurement without a gain, of the two that end it."""
    stale, left = replace(SCHEDULE, learning_rate=1e-9, patience=2), SCHEDULE.measure_every + 1

    def killed(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        return gradients(*arguments, **named)

    with monkeypatch.context() as interrupted:
        interrupted.setattr(lens_training, "gradients", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(model, tmp_path, stale)
    assert max(trained(model, tmp_path, stale).curve) == 2 * SCHEDULE.measure_every


def test_what_gets_no_better_ends_early(model: HookedModel, tmp_path: Path) -> None:
    found = trained(model, tmp_path, replace(SCHEDULE, learning_rate=1e-9, patience=2))
    assert max(found.curve) == 2 * SCHEDULE.measure_every
    # What has no divergence is never kept.
    found = trained(model, tmp_path / "wild", replace(SCHEDULE, learning_rate=math.inf, patience=2))
    assert max(found.best_step) <= 0
    assert found.lens.weight.isfinite().all()


def test_a_layer_without_a_divergence_does_not_end_the_training_of_the_others(
    model: HookedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overflowing(*arguments: Any, **named: Any) -> np.ndarray:
        sums = sequence_divergences(*arguments, **named)
        sums[0] = np.nan
        return sums

    impatient = replace(SCHEDULE, begin=IDENTITY, steps=8, patience=1)
    expected = trained(model, tmp_path / "whole", impatient)
    monkeypatch.setattr(lens_training, "sequence_divergences", overflowing)
    found = trained(model, tmp_path, impatient)
    assert sorted(found.curve) == sorted(expected.curve) == [BEFORE, 0, 4, 8]
    assert found.best_step[1] == expected.best_step[1] > 0
    assert not found.lens.weight[0].any()
    assert torch.equal(found.lens.weight[1], expected.lens.weight[1])


def test_blocks_that_only_add_a_vector_are_learned(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    model: Any = load_model(saved_model("gpt2", tokenizer, tmp_path), device="cpu", dtype="float32", backend="bridge")
    generator = torch.Generator().manual_seed(0)
    added = []
    for block in model.original_model.transformer.h[1:]:
        parts = [getattr(part, "original_component", part) for part in (block.attn.c_proj, block.mlp.c_proj)]
        for part in parts:
            torch.nn.init.zeros_(part.weight)
            torch.nn.init.normal_(part.bias, std=2.0, generator=generator)
        added.append(sum(part.bias.detach() for part in parts))
    exact = TunedLens.untrained(model.cfg.n_layers, model.cfg.d_model)
    exact.bias[:] = torch.stack([added[0] + added[1], added[1]])
    found = trained(model, tmp_path, replace(SCHEDULE, steps=4)).lens
    streams = TextStreams.of(model, TEXT.everything)
    logit, best, tuned = (
        sequence_divergences(streams, lens, TEXT.held_out, at_once=9).sum(1) / n_counted(TEXT.held_out)
        for lens in (LogitLens(), exact, found)
    )
    assert (abs(best) < 1e-6).all()
    assert (abs(tuned) < 1e-5).all()
    assert (logit > 0.02).all()


def test_a_model_of_one_layer_is_refused(model: HookedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.cfg, "n_layers", 1)
    with pytest.raises(InputError, match="one layer, above which there is nothing that a tuned lens could foresee"):
        trained(model, tmp_path)


def test_an_output_path_that_is_not_the_models_is_refused(
    model: HookedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a family that scales its logits by what is not known here: a lens would be brought closer to another."""
    monkeypatch.setattr("interp.lenses.lens_divergence.output_logits", lambda *args: output_logits(*args) / 2)
    with pytest.raises(InputError, match=r"do not give this model's own output: .* also multiplies its logits, by 2"):
        trained(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_text_shorter_than_a_step_is_refused(model: HookedModel, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has \d+ tokens, fewer than one step takes \(9999\); give more text"):
        trained(model, tmp_path, replace(SCHEDULE, tokens=9999))
    assert list(tmp_path.iterdir()) == []
    enough = replace(SCHEDULE, tokens=n_counted(TEXT.training), steps=1)
    assert max(trained(model, tmp_path, enough).curve) == 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b"not one"), "is no training that can go on"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1000]), "is no training that can go on"),
        (lambda path: torch.save({"of": 1}, path), "is of another training; remove it"),
        (lambda path: torch.save(torch.load(path) | {"weight": torch.zeros(2)}, path), "is no training that can go on"),
    ],
)
def test_a_checkpoint_that_is_damaged_or_of_another_training_is_refused(
    model: HookedModel, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    trained(model, tmp_path, replace(SCHEDULE, steps=4))
    damage(tmp_path / "training.pt")
    with pytest.raises(InputError, match=message) as raised:
        trained(model, tmp_path, replace(SCHEDULE, steps=4))
    assert "\n" not in str(raised.value)


def test_a_checkpoint_of_another_text_or_schedule_is_refused(model: HookedModel, tmp_path: Path) -> None:
    short = replace(SCHEDULE, steps=4)
    trained(model, tmp_path, short)
    other = training_text(answer_sequences(random_answers(60, seed=1)), share=0.2, seed=0)
    for schedule, text in ((short, other), (replace(short, seed=1), TEXT)):
        with pytest.raises(InputError, match="is of another training; remove it"):
            trained(model, tmp_path, schedule, text)


def test_a_lens_is_of_any_form_of_a_model(family: Family, tmp_path: Path) -> None:
    """Families differ in their output path and in what they take of a prefix; the smallest training shows both."""
    found = trained(family.model, tmp_path, replace(SCHEDULE, steps=6, measure_every=6))
    assert all(after < before for before, after in zip(found.curve[BEFORE], found.curve[6], strict=True))
