"""Which cells are patched: what can be known of a cell by its tokens, its layers and its site."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.models.sites import AFTER_ATTENTION
from interp.patching.columns import Columns
from interp.patching.interventions import Intervention
from interp.patching.pair_runs import Noise, Side, Trial
from interp.patching.patched_pairs import NoValue
from interp.patching.patches import Run, Target, units_of
from interp.patching.recordings import Recording
from interp.positions import MISSING

N_LAYERS, READ = 4, 5
CLEAN, CORRUPT = (7, 8, 9, 3, 4, 5, 6), (7, 8, 2, 2, 3, 4, 5)
"""Of which both are read at their sixth token; the second has one token more before what they share again."""


def recording(tokens: tuple[int, ...]) -> Recording:
    run = Run(tokens, (Target(READ + 1, 1), Target(READ + 1, 2)))
    stream = torch.tensor(tokens, dtype=torch.float32)[None, :, None].expand(N_LAYERS, -1, 2)
    return Recording(run, stream, stream[0], (), ())


def reasons(
    places: tuple[int, int],
    *,
    window: int = 1,
    noise: Noise | None = None,
    **settings: str,
) -> list[NoValue]:
    """Of each unit at a position that is at these tokens of the clean and of the corrupt run."""
    clean, corrupt = recording(CLEAN), recording(CORRUPT)
    trial = Trial(0, Side(clean.run), Side(corrupt.run if noise is None else clean.run, noise), (1, -1), 1.0, True)
    cells = (np.array([[places[0]]]), np.array([[places[1]]]))
    units = units_of(range(N_LAYERS), n_layers=N_LAYERS, window=window)
    columns = Columns(cells, units, Intervention(**settings), N_LAYERS)  # type: ignore[arg-type]
    receiver = clean if columns.intervention.receives_clean or noise else corrupt
    return columns.why_missing(trial, receiver, 0, clean.stream[:, min(max(places[0], 0), len(CLEAN) - 1)])


def test_a_position_that_either_run_lacks_is_no_position() -> None:
    for places in ((MISSING, 2), (2, MISSING), (MISSING, MISSING)):
        assert set(reasons(places)) == {NoValue.NO_PAIR_HAS_THE_POSITION}


def test_after_the_read_out_of_either_run_there_is_nothing() -> None:
    assert not any(reasons((READ + 1, READ + 1)))
    for places in ((READ + 2, READ), (READ, READ + 2)):
        assert set(reasons(places)) == {NoValue.AFTER_THE_READ_OUT}


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("corruption", ["question", "resample"])
def test_before_the_first_difference_all_layers_are_the_same(direction: str, corruption: str) -> None:
    for place in range(READ):
        same = CLEAN[: place + 1] == CORRUPT[: place + 1]
        found = reasons((place, place), direction=direction, corruption=corruption, site="mlp_out")
        assert found[0] == (NoValue.CLEAN_AND_CORRUPT_ARE_THE_SAME if same else NoValue.HAS_VALUE)
        assert len(set(found)) == 1 or not same
    assert not any(reasons((0, 1), site="attn.hook_q")), "other tokens of what both begin with"


def test_before_the_noise_all_layers_are_the_same() -> None:
    for place in range(READ):
        found = reasons((place, place), corruption="noise", noise=Noise(2, 3, 0), site="attn.hook_k")
        assert set(found) == {NoValue.CLEAN_AND_CORRUPT_ARE_THE_SAME if place < 2 else NoValue.HAS_VALUE}


@pytest.mark.parametrize("corruption", ["zero", "mean"])
def test_what_is_put_in_by_an_ablation_is_no_runs(corruption: str) -> None:
    for site in ("resid_pre", "mlp_out"):
        assert not any(reasons((0, 0), corruption=corruption, site=site)[:-1])


def test_in_front_of_the_first_block_the_same_vector_is_the_same() -> None:
    for site in ("resid_pre", "hook_resid_pre"):
        same, *others = reasons((3, 4), site=site)
        assert CLEAN[3] == CORRUPT[4]
        assert same is NoValue.CLEAN_AND_CORRUPT_ARE_THE_SAME
        assert not any(others)
        assert not any(reasons((2, 2), site=site))
        assert not any(reasons((3, 4), site=site, window=2)[1:]), "the second layer is patched too"
    assert not any(reasons((3, 4), site="resid_post")[:-1])


@given(
    site=st.sampled_from([*AFTER_ATTENTION, "hook_mlp_out", "resid_pre", "attn.hook_k", "ln1.hook_normalized"]),
    window=st.integers(1, N_LAYERS),
    place=st.integers(3, READ + 1),
)
def test_after_the_last_attention_only_the_token_that_is_read_counts(site: str, window: int, place: int) -> None:
    units = units_of(range(N_LAYERS), n_layers=N_LAYERS, window=window)
    found = reasons((place, place), site=site, window=window)
    after = site in AFTER_ATTENTION or site == "hook_mlp_out"
    for unit, why in zip(units, found, strict=True):
        out_of_reach = after and unit.first == N_LAYERS - 1 and place != READ + 1
        assert why == (NoValue.CANNOT_REACH_THE_READ_OUT if out_of_reach else NoValue.HAS_VALUE)
