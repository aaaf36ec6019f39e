"""Patched pairs against a direct computation: one forward pass of the whole sequence for every cell, by hooks alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float
from transformers import PreTrainedTokenizerFast

from interp.activations.batch_activations import site_activations
from interp.errors import InputError
from interp.examples import Answer, Span, TokenizedText
from interp.models.hooked_model import HookedModel
from interp.models.loading import load_model
from interp.models.model_sources import ModelSource
from interp.models.sites import HOOKS, hook_names
from interp.patching import pair_patching, patcher, patches, readouts
from interp.patching.attribution_patching import attributed_effects
from interp.patching.columns import Columns
from interp.patching.donors import Donors
from interp.patching.interventions import Intervention
from interp.patching.pair_runs import Noise as RunNoise
from interp.patching.pair_runs import Side, recorded_sides, trials_of
from interp.patching.pairs import Pair
from interp.patching.patched_pairs import NoValue, PatchedPairs, heads_as_columns
from interp.patching.patches import Job, Run, Target, units_of
from interp.patching.recordings import recorded
from interp.patching.text_pairs import text_pair
from tests.made_pairs import (
    AFTER,
    ENTERS,
    MADE,
    N_LAYERS,
    PAIRS,
    POSITIONS,
    Made,
    candidates_of,
    cells_of,
    made,
    patched,
)

MEAN = Intervention(corruption="mean")
TOLERANCE = 1e-4
CLEAR = 1e-3
"""An effect that no rounding makes, of subjects' tokens on the answer too."""
# The direct computation knows of the suite no more than the parts of which the answers were made.

Noise = Float[torch.Tensor, "pos d_model"]
Tokens = tuple[int, ...]
Reads = list[tuple[int, int, int]]
"""Places and tokens that are read, and the sign of each."""


def variants_of(
    readout: str, clean: Made, corrupt: Made, tokenizer: PreTrainedTokenizerFast
) -> list[tuple[Callable[[Made], Tokens], Callable[[Made], Reads]]]:
    """What is fed of either side, and what is read of it."""
    if readout == "answer":
        reads = [(0, clean.spelt[0], 1), (0, corrupt.spelt[0], -1)]
        return [(lambda made: made.before, lambda made: [(len(made.before) - 1, *rest) for _, *rest in reads])]
    if readout == "whole":
        return [
            (
                lambda made, spelt=spelt: (*made.before, *spelt[:-1]),
                lambda made, spelt=spelt, sign=sign: [
                    (len(made.before) - 1 + index, token, sign) for index, token in enumerate(spelt)
                ],
            )
            for spelt, sign in ((clean.spelt, 1), (corrupt.spelt, -1))
        ]
    asked = tokenizer(
        "<|im_end|>\n<|im_start|>user\nIs this answer correct? Answer with Yes or No.<|im_end|>\n"
        "<|im_start|>assistant\n",
        add_special_tokens=False,
    )["input_ids"]
    yes, no = (tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in ("Yes", "No"))

    def fed(made: Made) -> Tokens:
        return (*made.before, *made.spelt, *asked)

    return [(fed, lambda made: [(len(fed(made)) - 1, yes, 1), (len(fed(made)) - 1, no, -1)])]


def log_probabilities(
    model: HookedModel, tokens: Tokens, hooks: Sequence[tuple[str, Callable]] = ()
) -> Float[torch.Tensor, "pos vocab"]:
    with torch.inference_mode():
        logits = model.run_with_hooks(torch.tensor([tokens]), return_type="logits", fwd_hooks=list(hooks))
    found: torch.Tensor = logits[0].double().log_softmax(-1)
    return found


@lru_cache(maxsize=64)
def unpatched_log_probabilities(model: HookedModel, tokens: Tokens) -> Float[torch.Tensor, "pos vocab"]:
    return log_probabilities(model, tokens)


@lru_cache(maxsize=256)  # Of runs that many cells have in common.
def activations(model: HookedModel, tokens: Tokens, names: tuple[str, ...]) -> list[Float[torch.Tensor, "pos ..."]]:
    with torch.inference_mode():
        _, cache = model.run_with_cache(torch.tensor([tokens]))
    return [cache[name][0] for name in names]


def putting(place: int, vector: torch.Tensor) -> Callable:
    def put(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        activation = activation.clone()
        activation[0, place] = vector
        return activation

    return put


def adding(noise: Noise) -> Callable:
    def add(stream: torch.Tensor, hook: Any) -> torch.Tensor:
        return stream + noise

    return add


def read(
    logprobs: Float[torch.Tensor, "pos vocab"],
    reads: Reads,
    reference: Float[torch.Tensor, "pos vocab"] | None,
    place: int,
) -> Float[np.ndarray, " reading"]:
    """Score, log-probability of the clean answer, and divergence of the clean run's distribution at a place of it."""
    score = sum(sign * float(logprobs[at, token]) for at, token, sign in reads)
    clean = sum(float(logprobs[at, token]) for at, token, sign in reads if sign == 1)
    kl = 0.0
    if reference is not None:
        own = logprobs[reads[0][0]]
        kl = float((reference[place].exp() * (reference[place] - own)).sum())
    return np.array([score, clean, kl])


def direct(
    model: HookedModel,
    clean: Made,
    corrupt: Made,
    readout: str,
    *,
    receiver: Made,
    donor: Callable[[Tokens, str], Sequence[torch.Tensor]] | Made,
    cell: tuple[int, str] | None,
    site: str = "resid_post",
    noise: Noise | None = None,
    alone: bool = False,
) -> Float[np.ndarray, " reading"]:
    """What one patched run gives, or one that is not patched where there is no cell.

    The donor is another answer's run, or what gives the vectors of all layers for a position. `alone` reads the clean
    answer's tokens only.
    """
    total = np.zeros(3)
    for index, (fed, reads_of) in enumerate(variants_of(readout, clean, corrupt, model.tokenizer)):
        hooks: list[tuple[str, Callable]] = []
        if noise is not None:
            width = len(fed(receiver))
            hooks.append(("blocks.0.hook_resid_pre", adding(noise[:width])))
        if cell is not None:
            layer, position = cell
            name = f"blocks.{layer}.hook_{site}"
            if isinstance(donor, Made):
                (of_layer,) = activations(model, fed(donor), (name,))
                vector = of_layer[donor.places[position]]
            else:
                vector = donor(fed(receiver), position)[layer]
            hooks.append((name, putting(receiver.places[position], vector)))
        reads = [(at, token, max(sign, 0) if alone else sign) for at, token, sign in reads_of(receiver)]
        reference = unpatched_log_probabilities(model, fed(clean)) if index == 0 else None
        total += read(log_probabilities(model, fed(receiver), hooks), reads, reference, reads_of(clean)[0][0])
    return total


def is_read(made: Made, position: str, readout: str) -> bool:
    """Whether a position is not after what is read."""
    return readout == "verdict" or made.places[position] < len(made.before)


def why_not(receiver: Made, donor: Made | None, readout: str, layer: int, position: str, n_layers: int) -> NoValue:
    """Whether a cell can do anything, by its tokens and places alone; no donor is one that is unlike every run."""
    place, said = receiver.places[position], receiver.answer.token_ids
    if not all(is_read(each, position, readout) for each in (receiver, donor or receiver)):
        return NoValue.AFTER_THE_READ_OUT
    if donor and place == donor.places[position] and said[: place + 1] == donor.answer.token_ids[: place + 1]:
        return NoValue.CLEAN_AND_CORRUPT_ARE_THE_SAME
    if layer == n_layers - 1 and (readout == "verdict" or place != len(receiver.before) - 1):
        return NoValue.CANNOT_REACH_THE_READ_OUT
    return NoValue.HAS_VALUE


def assert_cell(
    found: PatchedPairs, cell: tuple[int, int, int], why: NoValue, computed: Callable[[], np.ndarray], own: np.ndarray
) -> float:
    """A cell has what was computed, or a reason to have nothing, and then the computation does nothing; its effect."""
    value = found.values[:, *cell]
    assert found.why_missing[cell] == why, cell
    if why is NoValue.HAS_VALUE:
        expected = computed()
        np.testing.assert_allclose(value, expected, atol=TOLERANCE)
        return float(abs(expected - own)[0])
    assert np.isnan(value).all(), cell
    if why is not NoValue.AFTER_THE_READ_OUT:
        np.testing.assert_allclose(computed(), own, atol=1e-5)
    return 0.0


def assert_as_computed(
    model: HookedModel, found: PatchedPairs, readout: str, *, receives_clean: bool, gives_clean: bool, alone: bool
) -> None:
    """Every cell of every pair is what a run with one hook gives, and does something."""
    effect = 0.0
    for row, (clean, corrupt) in enumerate(MADE):
        receiver, donor = (clean if receives_clean else corrupt), (clean if gives_clean else corrupt)
        own = direct(model, clean, corrupt, readout, receiver=receiver, donor=donor, cell=None, alone=alone)
        for column, position in enumerate((*POSITIONS, *AFTER)):
            for layer in range(N_LAYERS):
                why = why_not(receiver, donor, readout, layer, position, N_LAYERS)
                computed = partial(
                    direct,
                    model,
                    clean,
                    corrupt,
                    readout,
                    receiver=receiver,
                    donor=donor,
                    cell=(layer, position),
                    alone=alone,
                )
                effect = max(effect, assert_cell(found, (row, layer, column), why, computed, own))
        sides = ((clean, found.clean), *(() if alone else ((corrupt, found.corrupt),)))
        for side, values in sides:
            expected = direct(model, clean, corrupt, readout, receiver=side, donor=side, cell=None, alone=alone)
            np.testing.assert_allclose(values[:, row], expected, atol=TOLERANCE)
    assert effect > CLEAR


@pytest.mark.parametrize(
    ("readout", "direction"),
    [("answer", "denoise"), ("whole", "denoise"), ("verdict", "denoise"), ("verdict", "noise")],
)
def test_another_questions_run_is_patched_as_by_a_hook(model: HookedModel, readout: str, direction: str) -> None:
    found = patched(model, readout=readout, direction=direction)
    noising = direction == "noise"
    assert_as_computed(model, found, readout, receives_clean=noising, gives_clean=not noising, alone=False)


@pytest.mark.parametrize("readout", ["answer", "whole"])
def test_resampling_is_patched_as_by_a_hook(model: HookedModel, readout: str) -> None:
    found = patched(model, readout=readout, corruption="resample")
    assert np.isnan(found.corrupt).all(), "there is no corrupted run"
    assert_as_computed(model, found, readout, receives_clean=True, gives_clean=False, alone=True)


def test_every_family_is_patched_as_by_a_hook(family_model: HookedModel) -> None:
    clean, corrupt = MADE[1]
    positions, n_layers = ["subject_last", "exact_answer_before_first"], family_model.cfg.n_layers
    found = patched(family_model, [Pair(clean.answer, corrupt.answer)], positions=positions)
    whole = partial(direct, family_model, clean, corrupt, "answer", receiver=corrupt, donor=clean)
    own = whole(cell=None)
    for column, position in enumerate(positions):
        for layer in (0, n_layers - 1):
            why = why_not(corrupt, clean, "answer", layer, position, n_layers)
            assert_cell(found, (0, layer, column), why, partial(whole, cell=(layer, position)), own)


def test_in_front_of_the_first_block_the_same_token_is_the_same(family_model: HookedModel) -> None:
    """Where positions are embedded, at the same place only: cells are missing just where a hook does nothing."""
    found = patched(family_model, positions=["subject_last", "last_q"], site="resid_pre")
    for row, (clean, corrupt) in enumerate(MADE):
        whole = partial(direct, family_model, clean, corrupt, "answer", receiver=corrupt, donor=clean, site="resid_pre")
        own = whole(cell=None)
        for column, position in enumerate(["subject_last", "last_q"]):
            does_nothing = np.allclose(whole(cell=(0, position)), own, rtol=0, atol=1e-5)
            first, *others = found.why_missing[row, :, column].tolist()
            assert first == (NoValue.CLEAN_AND_CORRUPT_ARE_THE_SAME if does_nothing else NoValue.HAS_VALUE)
            assert not any(others)
    assert found.why_missing[0, 0].all(), "one length, one last token of the subject"
    assert not found.why_missing[1, 0, 0], "another last token"


def subject_noise(model: HookedModel, *, sigmas: float, draws: int, seed: int) -> list[list[Noise]]:
    """For each pair and draw what is added to its clean run, from the generators' seeds alone."""
    places = [clean.places for clean, _ in MADE]
    embedded = [activations(model, clean.before, ("blocks.0.hook_resid_pre",))[0] for clean, _ in MADE]
    at_subjects = torch.cat(
        [
            stream[place["subject_first"] : place["subject_last"] + 1]
            for stream, place in zip(embedded, places, strict=True)
        ]
    )
    deviation = float(at_subjects.std())
    found: list[list[Noise]] = []
    for number, candidate in enumerate(candidates_of(PAIRS, model)):
        first, last = places[number]["subject_first"], places[number]["subject_last"]
        of_pair = []
        for trial in trials_of(number, candidate, draws=draws, seed=seed):
            assert trial.corrupt.noise is not None
            noise = torch.zeros(20, model.cfg.d_model)
            generator = torch.Generator().manual_seed(trial.corrupt.noise.seed)
            noise[first : last + 1] = (
                sigmas * deviation * torch.randn(last - first + 1, model.cfg.d_model, generator=generator)
            )
            of_pair.append(noise)
        found.append(of_pair)
    return found


@pytest.mark.parametrize("readout", ["answer", "whole"])
def test_noise_on_the_subject_is_restored_as_by_hooks(model: HookedModel, readout: str) -> None:
    sigmas, draws, seed = 2.0, 2, 5
    found = patched(model, readout=readout, corruption="noise", sigmas=sigmas, draws=draws, seed=seed)
    noises = subject_noise(model, sigmas=sigmas, draws=draws, seed=seed)
    assert not torch.equal(noises[0][0], noises[0][1])
    effect = 0.0
    for row, (clean, corrupt) in enumerate(MADE):

        def mean_over_draws(
            cell: tuple[int, str] | None, row: int = row, clean: Made = clean, corrupt: Made = corrupt
        ) -> np.ndarray:
            runs = [
                direct(model, clean, corrupt, readout, receiver=clean, donor=clean, cell=cell, noise=each, alone=True)
                for each in noises[row]
            ]
            return np.asarray(np.mean(runs, axis=0))

        own = mean_over_draws(None)
        np.testing.assert_allclose(found.corrupt[:, row], own, atol=TOLERANCE)
        for column, position in enumerate((*POSITIONS, *AFTER)):
            for layer in range(N_LAYERS):
                why = why_not(clean, None, readout, layer, position, N_LAYERS)
                why = NoValue.CLEAN_AND_CORRUPT_ARE_THE_SAME if position == "0" else why
                computed = partial(mean_over_draws, (layer, position))
                effect = max(effect, assert_cell(found, (row, layer, column), why, computed, own))
    assert effect > CLEAR


def test_noise_is_on_the_runs_that_have_it_whatever_runs_beside_them(model: HookedModel) -> None:
    run, other = (Run(made_answer.before, (Target(5, 9),)) for made_answer in MADE[1])
    sides = [Side(run), Side(run, RunNoise(2, 3, seed=1)), Side(other), Side(run, RunNoise(2, 3, seed=2))]
    together = recorded_sides(model, sides, with_cache=False, deviation=2.0)
    for side in sides:
        alone = recorded_sides(model, [side], with_cache=False, deviation=2.0)[side]
        torch.testing.assert_close(together[side].last, alone.last, rtol=0, atol=1e-5)
        added = (
            together[side].stream[0]
            - recorded_sides(model, [Side(side.run)], with_cache=False)[Side(side.run)].stream[0]
        )
        assert added.abs().sum(1).nonzero().flatten().tolist() == ([] if side.noise is None else [2, 3])


def test_noise_is_as_large_as_the_first_pairs_subjects_say(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of as many as are held at a time, so that it is the same for every handful of them."""
    monkeypatch.setattr(patcher, "PAIRS_AT_ONCE", 2)
    settings = {"corruption": "noise", "draws": 1, "positions": ["last_q"]}
    of_two, of_four = patched(model, PAIRS[:2], **settings), patched(model, PAIRS, **settings)
    np.testing.assert_allclose(of_four.corrupt[:, :2], of_two.corrupt, atol=TOLERANCE)
    turned = patched(model, PAIRS[::-1], **settings)
    assert np.abs(turned.corrupt[0, ::-1][:2] - of_two.corrupt[0]).min() > CLEAR


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("steps", [1, 3])
def test_estimates_are_those_of_attribution_patching(model: HookedModel, direction: str, steps: int) -> None:
    """Of all columns of a run together, each from the donor's token to the receiver's, wherever these are."""
    positions = ["subject_last", "last_q", "exact_answer_before_first"]
    found = patched(model, positions=positions, direction=direction, screen_steps=steps)
    assert np.isnan(found.values[1:]).all(), "nothing but the score is estimated"
    units, first_stream = units_of(range(N_LAYERS), n_layers=N_LAYERS), ("blocks.0.hook_resid_pre",)
    names = tuple(hook_names(model, "resid_post"))
    for row, (clean, corrupt) in enumerate(MADE):
        receiver, donor = (corrupt, clean) if direction == "denoise" else (clean, corrupt)
        place = len(receiver.before) - 1
        run = Run(receiver.before, (Target(place, clean.spelt[0]), Target(place, corrupt.spelt[0])))
        streams, (embedded,) = (
            torch.stack(activations(model, donor.before, names)),
            activations(model, donor.before, first_stream),
        )
        effects = attributed_effects(
            model,
            "resid_post",
            units,
            recorded(model, [run], with_cache=False),
            [Job(0, receiver.places[name], streams[:, donor.places[name]]) for name in positions],
            torch.tensor([1.0, -1.0]),
            steps=steps,
            embeddings=[embedded[donor.places[name]] for name in positions],
        )
        own = direct(model, clean, corrupt, "answer", receiver=receiver, donor=donor, cell=None)[0]
        known = found.why_missing[row] == NoValue.HAS_VALUE
        assert known.sum() >= N_LAYERS
        np.testing.assert_array_equal(np.isfinite(found.values[0, row]), known)
        np.testing.assert_allclose(found.values[0, row][known], (own + effects.numpy().T)[known], atol=TOLERANCE)


@pytest.mark.parametrize(
    ("corruption", "readout", "site"),
    [
        ("zero", "answer", "resid_post"),
        ("zero", "whole", "attn_out"),
        ("mean", "whole", "resid_post"),
        ("mean", "answer", "attn_out"),
    ],
)
def test_ablations_are_those_of_a_hook(model: HookedModel, corruption: str, readout: str, site: str) -> None:
    found = patched(model, readout=readout, corruption=corruption, site=site)
    names = tuple(f"blocks.{layer}.hook_{site}" for layer in range(N_LAYERS))

    def mean(_: Tokens, position: str) -> list[torch.Tensor]:
        """Over the clean runs that have the position before they are read."""
        having = [clean for clean, _ in MADE if is_read(clean, position, readout)]
        of_runs = [
            [of_layer[clean.places[position]] for of_layer in activations(model, clean.before, names)]
            for clean in having
        ]
        return [torch.stack(of_layer).mean(0) for of_layer in zip(*of_runs, strict=True)]

    def zero(_: Tokens, position: str) -> list[torch.Tensor]:
        return [torch.zeros(model.cfg.d_model)] * N_LAYERS

    donor = {"zero": zero, "mean": mean}[corruption]
    for row, (clean, corrupt) in enumerate(MADE):
        whole = partial(direct, model, clean, corrupt, readout, receiver=clean, donor=donor, site=site, alone=True)
        own = whole(cell=None)
        for column, position in enumerate((*POSITIONS, *AFTER)):
            for layer in range(N_LAYERS):
                why = why_not(clean, None, readout, layer, position, N_LAYERS)
                assert_cell(found, (row, layer, column), why, partial(whole, cell=(layer, position)), own)


def test_the_mean_of_a_model_in_bfloat16_is_rounded_once(source: ModelSource) -> None:
    rounded = load_model(source, device="cpu", dtype="bfloat16")
    candidates, columns = (
        candidates_of(PAIRS[:3], rounded),
        Columns(cells_of(PAIRS[:3], ["last_q"]), [], MEAN, N_LAYERS),
    )
    found = Donors(rounded, candidates, columns).vectors(trials_of(0, candidates[0]), {})[:, 0, 0]
    each = site_activations(rounded, [clean.before for clean, _ in MADE[:3]], columns.cells[0])[:, 0]
    assert torch.equal(found, each.float().mean(1).bfloat16())


def test_a_head_is_patched_as_by_a_hook_and_is_a_column(model: HookedModel) -> None:
    n_heads, layers = model.cfg.n_heads, range(model.cfg.n_layers)
    units = units_of(layers, n_layers=N_LAYERS, n_heads=n_heads)
    positions = ["subject_last", "exact_answer_before_first"]
    clean, corrupt = MADE[1]
    pairs = [Pair(clean.answer, corrupt.answer)]
    found = pair_patching.patched_pairs(
        model,
        candidates_of(pairs, model),
        cells_of(pairs, positions),
        units,
        Intervention(site="head_z", **ENTERS),  # type: ignore[arg-type]
        n=1,
    )
    by_head = heads_as_columns(found, n_heads)
    first, second = clean.spelt[0], corrupt.spelt[0]
    for layer in layers:
        name = f"blocks.{layer}.attn.hook_z"
        (of_donor,), (of_receiver,) = (activations(model, made.before, (name,)) for made in (clean, corrupt))
        of_donor = of_donor.reshape(len(of_donor), n_heads, -1)
        for column, position in enumerate(positions):
            for head in range(n_heads):
                place = corrupt.places[position]
                vector = of_receiver[place].clone()
                vector.view(n_heads, -1)[head] = of_donor[clean.places[position], head]
                logprobs = log_probabilities(model, corrupt.before, [(name, putting(place, vector))])[-1]
                cell = (0, layer, column * n_heads + head)
                if why_not(corrupt, clean, "answer", layer, position, N_LAYERS):
                    assert by_head.why_missing[cell] == NoValue.CANNOT_REACH_THE_READ_OUT
                    continue
                assert by_head.values[0, *cell] == pytest.approx(
                    float(logprobs[first] - logprobs[second]), abs=TOLERANCE
                )


def turned_round(pairs: Sequence[Pair]) -> list[Pair]:
    return [Pair(pair.corrupt, pair.clean) for pair in pairs]


@pytest.mark.parametrize("readout", ["answer", "whole"])
def test_noising_is_denoising_of_the_pair_turned_round(model: HookedModel, readout: str) -> None:
    """The same vectors go into the same run; only which answer counts as the clean one differs, and so the sign."""
    denoised = patched(model, readout=readout)
    noised = patched(model, turned_round(PAIRS), readout=readout, direction="noise")
    np.testing.assert_allclose(denoised.values[0], -noised.values[0], atol=TOLERANCE)
    np.testing.assert_array_equal(denoised.why_missing, noised.why_missing)
    np.testing.assert_allclose(denoised.clean[0], -noised.corrupt[0], atol=TOLERANCE)


def test_resampling_is_noising_read_for_the_clean_answer_alone(model: HookedModel) -> None:
    noised, resampled = patched(model, direction="noise"), patched(model, corruption="resample")
    np.testing.assert_array_equal(resampled.values[1], noised.values[1])
    np.testing.assert_array_equal(resampled.values[0], noised.values[1])


def test_a_run_patched_into_itself_is_unchanged(model: HookedModel) -> None:
    """Noise of no deviation, so that cells are patched indeed and not known to be the same."""
    found = patched(model, corruption="noise", sigmas=0.0, draws=1)
    np.testing.assert_allclose(found.clean, found.corrupt, atol=1e-5)
    before = np.broadcast_to(found.clean[:, :, None, None], found.values.shape)
    known = np.isfinite(found.values)
    np.testing.assert_allclose(found.values[known], before[known], atol=1e-5)
    assert known[:, :, :-1, POSITIONS.index("subject_first")].all()


def test_the_last_layer_restores_the_clean_run_where_it_is_read_and_nowhere_else(model: HookedModel) -> None:
    found = patched(model)
    at = POSITIONS.index("exact_answer_before_first")
    np.testing.assert_allclose(found.values[:, :, -1, at], found.clean, atol=1e-5)
    for position in ("subject_first", "subject_last"):
        column = POSITIONS.index(position)
        assert (found.why_missing[:, -1, column] == NoValue.CANNOT_REACH_THE_READ_OUT).all()
        assert not found.why_missing[:, :-1, column].any()
        assert (abs(found.values[0, :, :-1, column] - found.corrupt[0][:, None]).max(1) > CLEAR).all()


@pytest.mark.parametrize(
    ("readout", "settings"), [("answer", {"direction": "noise"}), ("whole", {"corruption": "noise", "draws": 2})]
)
def test_the_plain_sweep_gives_the_same(model: HookedModel, settings: dict[str, Any], readout: str) -> None:
    positions = ["subject_last", "exact_answer_before_first"]
    fast, plain = (
        patched(model, PAIRS[1:3], readout=readout, positions=positions, plain=plain, **settings)
        for plain in (False, True)
    )
    np.testing.assert_allclose(fast.values, plain.values, atol=TOLERANCE)
    np.testing.assert_array_equal(fast.why_missing, plain.why_missing)


@pytest.mark.parametrize("site", HOOKS)
def test_a_site_is_the_same_by_transformer_lenss_name(family_model: HookedModel, site: str) -> None:
    if site == "head_z":
        pytest.skip("the name has no heads")
    try:
        hook_names(family_model, site)
    except InputError:
        pytest.skip("it has no such site")
    settings: dict[str, Any] = {"positions": ["subject_last", "last_q"], "readout": "verdict", "margin": -1000.0}
    by_name, by_hook = (patched(family_model, PAIRS[:1], site=name, **settings) for name in (site, HOOKS[site]))
    np.testing.assert_allclose(by_hook.values, by_name.values, atol=TOLERANCE)


@pytest.mark.parametrize("corruption", ["question", "noise", "mean"])
def test_how_many_pairs_are_held_at_a_time_changes_nothing(
    model: HookedModel, corruption: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = patched(model, corruption=corruption)
    monkeypatch.setattr("interp.patching.pair_runs.RUNS_AT_ONCE", 3)
    monkeypatch.setattr("interp.patching.donors.RUNS_AT_ONCE", 3)
    if corruption != "noise":  # Whose deviation is that of the first pairs, of as many as are held.
        monkeypatch.setattr(pair_patching, "PAIRS_AT_ONCE", 3)
    apart = patched(model, corruption=corruption)
    assert apart.ids == together.ids
    np.testing.assert_allclose(apart.values, together.values, atol=TOLERANCE)
    np.testing.assert_allclose(apart.clean, together.clean, atol=TOLERANCE)


def best_token(model: HookedModel, made: Made) -> int:
    return int(log_probabilities(model, made.before)[-1].argmax())


def pair_of(model: HookedModel, index: int, *, clean_said: bool, corrupt_said: bool) -> Pair:
    """One whose answers the model says, or not."""
    sides = []
    for name, said, shift in (("clean", clean_said, 0), ("corrupt", corrupt_said, 100)):
        draft = made(f"{name}{index}", [150 + index + shift, 151 + shift], [50, 51], [200])
        best = best_token(model, draft)
        exact = best if said else (best + 1) % 300 + 2
        sides.append(made(f"{name}{index}", [150 + index + shift, 151 + shift], [50, 51], [exact]).answer)
    return Pair(*sides)


def test_only_pairs_whose_answers_the_model_says_enter_and_the_others_are_counted(
    model: HookedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [(True, True), (True, False), (True, True), (False, True), (False, False), (True, True)]
    pairs = [pair_of(model, index, clean_said=first, corrupt_said=second) for index, (first, second) in enumerate(said)]
    settings = {"only_said": True, "positions": ["last_q"]}
    found = patched(model, pairs, **settings)
    assert found.ids == tuple(pairs[index].id for index in (0, 2, 5))
    assert found.dropped == {"the model says another answer": 3}

    two = patched(model, pairs, n=2, **settings)
    assert two.ids == found.ids[:2]
    assert two.dropped == {"the model says another answer": 1}, "of those that were tried"
    np.testing.assert_allclose(two.values, found.values[:, :2], atol=TOLERANCE)
    with monkeypatch.context() as held:
        held.setattr(pair_patching, "PAIRS_AT_ONCE", 3)
        assert patched(model, pairs, n=2, **settings).dropped == two.dropped, "no other handful is looked at"

    ablated = patched(model, pairs, corruption="zero", **settings)
    assert ablated.ids == tuple(pairs[index].id for index in (0, 1, 2, 5)), (
        "the other question's answer does not matter"
    )
    assert len(patched(model, pairs, only_said=False, positions=["last_q"]).ids) == len(pairs)


@pytest.mark.parametrize("first", ["best", "other"])
@pytest.mark.parametrize("side", ["clean", "corrupt"])
def test_a_whole_answer_is_said_if_its_first_token_is(model: HookedModel, side: str, first: str) -> None:
    """Of two tokens, of which the model says the one and, where it is put first, the other."""
    sides = {}
    for name, subject in (("clean", [150, 151]), ("corrupt", [250, 151])):
        best = best_token(model, made(name, subject, [50, 51], [200]))
        other = (best + 1) % 300 + 2
        spelt = [other, best] if name == side and first == "other" else [best, other]
        sides[name] = made(name, subject, [50, 51], spelt).answer
    settings = {"readout": "whole", "only_said": True, "positions": ["last_q"]}
    pair = Pair(sides["clean"], sides["corrupt"])
    if first == "best":
        assert patched(model, [pair], **settings).ids == (pair.id,)
    else:
        with pytest.raises(InputError, match=r"the model says another answer \(1\)"):
            patched(model, [pair], **settings)


@pytest.mark.parametrize("readout", ["answer", "whole"])
def test_only_pairs_whose_scores_differ_by_the_margin_enter(model: HookedModel, readout: str) -> None:
    every = patched(model, readout=readout, positions=["last_q"])
    gaps = every.clean[0] - every.corrupt[0]
    margin = float(np.sort(gaps)[1:3].mean())
    found = patched(model, readout=readout, positions=["last_q"], margin=margin)
    assert found.ids == tuple(pair.id for pair, gap in zip(PAIRS, gaps, strict=True) if gap >= margin)
    assert found.dropped == {f"the two runs differ by less than the margin of {margin:g}": 2}
    np.testing.assert_allclose(found.clean, every.clean[:, gaps >= margin], atol=TOLERANCE)

    ablated = patched(model, readout=readout, positions=["last_q"], margin=margin, corruption="resample")
    assert len(ablated.ids) == len(PAIRS), "there is no corrupted run to differ from"


def test_what_was_left_out_before_is_counted_with_what_does_not_enter(model: HookedModel) -> None:
    pairs = [pair_of(model, index, clean_said=said, corrupt_said=said) for index, said in enumerate((True, False))]
    found = pair_patching.patched_pairs(
        model,
        candidates_of(pairs, model),
        cells_of(pairs, ["last_q"]),
        units_of([0], n_layers=N_LAYERS),
        Intervention(margin=-float("inf")),
        n=2,
        left_out={"of no pair": 4},
    )
    assert found.ids == (pairs[0].id,)
    assert found.dropped == {"the model says another answer": 1, "of no pair": 4}


def test_where_no_pair_can_be_patched_the_reasons_are_told(model: HookedModel) -> None:
    with pytest.raises(InputError, match=r"less than the margin of 1000 \(4\); lower --margin"):
        patched(model, margin=1000.0)
    pairs = [pair_of(model, index, clean_said=False, corrupt_said=True) for index in range(3)]
    with pytest.raises(InputError, match=r"the model says another answer \(3\)"):
        patched(model, pairs, only_said=True)
    with pytest.raises(InputError, match="no pair of questions can be patched: there are none"):
        patched(model, [])


def test_a_run_that_is_longer_than_the_context_is_refused_by_name(
    model: HookedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    length = len(MADE[1][1].before)
    monkeypatch.setattr(model.cfg, "n_ctx", length - 1)
    told = f"pair c / d has a run of {length} tokens, and the model reads at most {length - 1}; shorten the questions"
    with pytest.raises(InputError, match=told):
        patched(model)


@pytest.mark.parametrize("readout", ["answer", "whole"])
@pytest.mark.parametrize("turned", [False, True], ids=["as-made", "turned-round"])
@pytest.mark.parametrize("index", range(len(PAIRS)))
def test_the_longest_of_a_pairs_runs_decides_whether_it_fits(
    model: HookedModel, index: int, turned: bool, readout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean, corrupt = MADE[index]
    pairs = turned_round(PAIRS[index : index + 1]) if turned else PAIRS[index : index + 1]
    spelt = max(len(clean.spelt), len(corrupt.spelt)) - 1 if readout == "whole" else 0
    longest = max(len(clean.before), len(corrupt.before)) + spelt
    monkeypatch.setattr(model.cfg, "n_ctx", longest)
    assert len(patched(model, pairs, readout=readout, positions=["last_q"]).ids) == 1
    monkeypatch.setattr(model.cfg, "n_ctx", longest - 1)
    with pytest.raises(InputError, match=f"has a run of {longest} tokens, and the model reads at most {longest - 1};"):
        patched(model, pairs, readout=readout, positions=["last_q"])


@pytest.mark.parametrize(("call", "what"), [(0, "its clean run"), (1, "its corrupted run"), (2, "a patched run")])
def test_what_is_no_number_is_refused_by_name(
    model: HookedModel, call: int, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The readings of clean runs come first, then those of corrupted ones, then those of patches."""
    whole, calls = patches.readings_of, itertools.count()

    def broken(*given: Any) -> patches.Readings:
        readings = whole(*given)
        return readings._replace(logprob=readings.logprob * torch.nan) if next(calls) == call else readings

    monkeypatch.setattr("interp.patching.pair_runs.readings_of", broken)
    monkeypatch.setattr("interp.patching.sweep.readings_of", broken)
    with pytest.raises(InputError, match=f"pair a / b: {what} gives nan; take --dtype float32"):
        patched(model)


def test_an_estimate_that_is_no_number_is_refused_by_name(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = patcher.attributed_effects
    monkeypatch.setattr(patcher, "attributed_effects", lambda *given, **flags: whole(*given, **flags) * torch.nan)
    with pytest.raises(InputError, match="pair a / b: an estimate gives nan; take --dtype float32"):
        patched(model, positions=["last_q"], screen_steps=1)


@pytest.mark.parametrize("screen_steps", [0, 1])
def test_where_no_cell_can_be_patched_pairs_have_none(model: HookedModel, screen_steps: int) -> None:
    found = patched(model, PAIRS[:1], positions=["exact_answer_first"], screen_steps=screen_steps)
    assert found.ids == (PAIRS[0].id,)
    assert np.isnan(found.values).all()
    assert (found.why_missing == NoValue.AFTER_THE_READ_OUT).all()


def test_noise_needs_a_subject(model: HookedModel) -> None:
    pair = Pair(replace(PAIRS[0].clean, spans={}), PAIRS[0].corrupt)
    with pytest.raises(InputError, match="a / b: the question marks no subject to put noise on"):
        patched(model, [pair], corruption="noise", positions=["last_q"])


def with_text(made_answer: Made, text: str) -> Answer:
    return replace(made_answer.answer, generated=made_answer.answer.generated._replace(text=text))


def test_answers_that_cannot_be_told_apart_are_no_pair() -> None:
    clean, corrupt = with_text(MADE[1][0], "abXYe"), with_text(MADE[1][1], "abcZe")
    assert readouts.misfit_of_answers(clean, corrupt) is None
    assert readouts.misfit_of_answers(clean, replace(corrupt, exact=None)) == "there is no exact answer"
    empty = replace(corrupt, exact=Span(2, 2))
    assert readouts.misfit_of_answers(clean, empty) == "an exact answer has no tokens"
    assert readouts.misfit_of_answers(empty, clean) == "an exact answer has no tokens"
    named = [replace(each, named=("France", name)) for each, name in ((clean, "a"), (corrupt, "b"))]
    assert readouts.misfit_of_answers(*named) == "the two answers are the same"
    assert readouts.misfit_of_answers(clean, with_text(MADE[1][0], "..XY.")) == "the two answers are the same"
    same_token = with_text(made("i", [100], [50], [202, 9]), "aPQb")
    assert readouts.misfit_of_answers(clean, same_token) == "the two answers begin with the same token"
    # Its exact answer's token begins with the space before it.
    spaced = replace(corrupt, generated=TokenizedText("ab Ze", (1, 2, 2, 4, 5), (1, 2, 2, 4, 5)))
    assert readouts.misfit_of_answers(clean, spaced) == "one answer begins with a space, the other does not"


def test_for_the_verdict_a_right_answer_goes_with_a_wrong_one() -> None:
    right, wrong = PAIRS[0].clean, replace(PAIRS[0].corrupt, correct=False)
    assert readouts.misfit_of_verdicts(right, wrong) is None
    for clean, corrupt in ((wrong, right), (right, right), (wrong, wrong), (right, replace(wrong, correct=None))):
        assert readouts.misfit_of_verdicts(clean, corrupt) == "it is not a right answer and a wrong one"


def test_what_the_model_says_is_told_from_what_it_does_not(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [pair_of(model, index, clean_said=index % 2 == 0, corrupt_said=True) for index in range(5)]
    answers = [pair.clean for pair in pairs]
    assert readouts.said(model, answers, most=10) == (answers[::2], 5)
    monkeypatch.setattr(readouts, "ANSWERS_AT_ONCE", 2)
    assert readouts.said(model, answers, most=2) == (answers[:3:2], 4), "no more are tried than are wanted"
    assert readouts.said(model, [replace(answers[0], exact=None)], most=1) == ([], 0)


def test_an_answer_led_by_another_text_is_cut_after_its_exact_part(model: HookedModel) -> None:
    answer = replace(PAIRS[0].clean, generated=TokenizedText("it is France.", (2, 5, 12, 13), (2, 5, 12, 13)))
    answer = replace(answer, exact=Span(6, 12))
    led = readouts.led(model.tokenizer, answer, "The city of Lyon is located in")
    assert led.exact_text == "France"
    assert led.text == "The city of Lyon is located in France"
    assert model.tokenizer.decode(led.token_ids[led.n_prompt :]) == led.text
    assert led.token_ids[: led.n_prompt] == answer.token_ids[: answer.n_prompt]
    (runs,) = readouts.answer_runs(Pair(led, PAIRS[0].corrupt))
    assert model.tokenizer.decode(runs.clean.tokens[led.n_prompt :]).rstrip() == "The city of Lyon is located in"
    assert model.tokenizer.decode([runs.clean.targets[0].token]).strip().startswith("F")


def test_texts_that_cannot_be_a_pair_are_refused(model: HookedModel) -> None:
    with pytest.raises(InputError, match="are the same tokens"):
        text_pair(model, (5, 6), (5, 6))


def test_texts_are_read_for_what_the_model_goes_on_with(model: HookedModel) -> None:
    clean, corrupt = MADE[1]
    pair = text_pair(model, clean.before, corrupt.before)
    (read_pair,) = pair.candidate.variants
    for made_answer, run in ((clean, read_pair.clean), (corrupt, read_pair.corrupt)):
        assert run.tokens == made_answer.before
        assert [target.token for target in run.targets] == [best_token(model, each) for each in (clean, corrupt)]
        assert {target.place for target in run.targets} == {len(made_answer.before) - 1}
    # One token of a subject against the last of three; of two and three tokens that lead to the answer both ends.
    places = list(zip(pair.clean_cells[0].tolist(), pair.corrupt_cells[0].tolist(), strict=True))
    assert places == [(0, 0), (1, 1), (2, 2), (3, 3), (7, 10)]
