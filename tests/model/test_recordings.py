"""Recordings in every family: what runs begin with is run once, and what is left of each is as if it ran alone."""

from __future__ import annotations

import pytest
import torch

from interp.models.hooked_model import HookedModel, takes_prefixes
from interp.patching import patches, recordings
from interp.patching.patches import Run
from interp.patching.recordings import Recording, recorded
from tests.patched_runs import assert_near, noise, read_at, tokens_of
from tests.tiny_models import WINDOW

SHARED = tokens_of(2 * WINDOW, seed=1)
"""Longer than a sliding window."""
RUNS = [read_at((*SHARED, *tokens_of(length, seed=length)), len(SHARED) + length - 1, 3) for length in (5, 1, 8)]
"""Of different lengths; one goes on for a single token, and all are read within what they share too."""


class Passes:
    """How many tokens each pass runs, padding included."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[int] = []
        whole = recordings.run_until

        def counted(model: HookedModel, tokens: torch.Tensor, *given: object, **passed: object) -> None:
            self.seen.append(tokens.numel())
            whole(model, tokens, *given, **passed)  # type: ignore[arg-type]

        monkeypatch.setattr(recordings, "run_until", counted)


def assert_same(found: Recording, expected: Recording) -> None:
    assert found.run == expected.run
    for ours, own in (
        (found.stream, expected.stream),
        (found.last, expected.last),
        (found.final, expected.final),
        *zip((*found.keys, *found.values), (*expected.keys, *expected.values), strict=True),
    ):
        assert_near(ours, own)


@pytest.mark.parametrize("with_cache", [True, False])
def test_what_runs_begin_with_is_run_once(
    family_model: HookedModel, with_cache: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if with_cache and not takes_prefixes(family_model):
        pytest.skip("it has no cache of keys and values")
    alone = [recorded(family_model, [run], with_cache=with_cache)[0] for run in RUNS]
    passes = Passes(monkeypatch)
    monkeypatch.setitem(patches.PASS_TOKENS, "cpu", 0.0)
    for found, expected in zip(recorded(family_model, RUNS, with_cache=with_cache), alone, strict=True):
        assert_same(found, expected)
    whole = [3 * (len(SHARED) + 8)]
    assert passes.seen == ([len(SHARED), 3 * 8] if takes_prefixes(family_model) else whole)


def test_it_is_not_where_that_costs_more_or_cannot_be(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes(monkeypatch)
    with_cache = takes_prefixes(model)
    monkeypatch.setitem(patches.PASS_TOKENS, "cpu", 0.0)
    recorded(model, RUNS, with_cache=with_cache, corruption=noise([14]))
    recorded(model, RUNS[:1], with_cache=with_cache)
    other = Run((9, *RUNS[0].tokens[1:]), RUNS[0].targets)
    recorded(model, [RUNS[0], other, *RUNS[1:]], with_cache=with_cache)
    monkeypatch.setitem(patches.PASS_TOKENS, "cpu", 2.0 * len(SHARED))
    recorded(model, RUNS, with_cache=with_cache)
    assert len(passes.seen) == 4, (
        "one pass each: noise on the first stream, a single run, nothing shared, little spared"
    )
