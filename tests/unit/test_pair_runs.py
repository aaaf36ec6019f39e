"""Trials of pairs: what is run of each, which noise is drawn, and what patched runs add to a pair's readings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.patching.pair_runs import Candidate, Side, Trial, trials_of
from interp.patching.patches import Readings, Run, Target
from interp.patching.readouts import ReadPair

CLEAN, CORRUPT = Run((3, 4, 5), (Target(2, 7), Target(2, 8))), Run((3, 6, 5), (Target(2, 7), Target(2, 8)))
SPELT = ReadPair(CLEAN, CORRUPT, (1, 1)), ReadPair(CLEAN, CORRUPT, (-1, -1))


def candidate(name: str, *variants: ReadPair) -> Candidate:
    return Candidate(name, variants, (1, 2))


@given(signs=st.lists(st.sampled_from([1, -1]), min_size=1, max_size=4), draws=st.integers(1, 4), first=st.booleans())
def test_a_trial_adds_its_part_of_what_is_read(signs: list[int], draws: int, first: bool) -> None:
    """Against a loop over tokens; a divergence is of the first variant alone, and every draw counts as much."""
    rng = np.random.default_rng(len(signs) + draws)
    read = Readings(*(torch.from_numpy(rng.normal(size=shape)) for shape in ((3, len(signs)), (3, len(signs)), (3,))))
    trial = Trial(0, Side(CLEAN), Side(CORRUPT), tuple(signs), 1 / draws, first)
    found = trial.readings(read)
    for row in range(3):
        score = clean = 0.0
        for sign, logprob in zip(signs, read.logprob[row].tolist(), strict=True):
            score += sign * logprob
            clean += logprob if sign == 1 else 0.0
        kl = float(read.kl[row]) if first else 0.0
        assert found[:, row].tolist() == pytest.approx([score / draws, clean / draws, kl / draws])


def test_without_noise_every_variant_is_one_trial_of_both_questions() -> None:
    found = trials_of(5, candidate("a", *SPELT))
    assert found == [
        Trial(5, Side(CLEAN), Side(CORRUPT), (1, 1), 1.0, is_first=True),
        Trial(5, Side(CLEAN), Side(CORRUPT), (-1, -1), 1.0, is_first=False),
    ]


def test_noise_is_on_the_clean_run_and_read_for_the_clean_answer() -> None:
    found = trials_of(5, candidate("a", *SPELT), draws=3)
    assert [trial.signs for trial in found] == [(1, 1), (0, 0)] * 3
    assert [trial.is_first for trial in found] == [True, False] * 3
    assert sum(trial.weight for trial in found) == pytest.approx(len(SPELT))
    for trial in found:
        assert trial.clean == Side(CLEAN)
        assert trial.corrupt.run == CLEAN
        assert trial.corrupt.noise is not None
        assert (trial.corrupt.noise.first, trial.corrupt.noise.last) == (1, 2)


def test_every_pair_draw_and_seed_has_noise_of_its_own_that_is_the_same_again() -> None:
    def seeds(name: str, seed: int) -> list[int]:
        """Of the draws; the variants of a pair have the same noise."""
        noises = [trial.corrupt.noise for trial in trials_of(0, candidate(name, *SPELT), draws=3, seed=seed)]
        assert noises[::2] == noises[1::2]
        return [noise.seed for noise in noises[::2] if noise is not None]

    cases = list(itertools.product(["a", "b"], [0, 1]))
    drawn = [seeds(*case) for case in cases]
    assert len(set(itertools.chain(*drawn))) == 3 * len(cases)
    assert [seeds(*case) for case in cases] == drawn
