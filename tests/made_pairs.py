"""Answers made of known tokens, with the places of their positions, and pairs of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interp.examples import Answer, Question, Span, TokenizedText
from interp.models.hooked_model import HookedModel
from interp.patching import pair_patching, readouts
from interp.patching.interventions import Intervention
from interp.patching.pair_runs import Candidate, candidate_of
from interp.patching.pairs import Pair
from interp.patching.patched_pairs import PatchedPairs
from interp.patching.patched_parts import PatchedParts
from interp.patching.patches import units_of
from interp.positions import position_table

BEGINNING, MIDDLE = (30, 31, 32), (40, 41)
"""What all prompts begin with, and what stands between a subject and the answer."""
POSITIONS = ("0", "subject_first", "subject_last", "last_q", "second_answer", "exact_answer_before_first")
AFTER = ("exact_answer_first", "-1")
ENTERS = {"margin": -float("inf"), "only_said": False}
"""Any pair may be patched."""
END = 1


@dataclass(frozen=True)
class Made:
    """An answer, with the parts that it was made of and the places of its positions."""

    answer: Answer
    before: tuple[int, ...]
    spelt: tuple[int, ...]
    places: dict[str, int]


def made(name: str, subject: Sequence[int], lead: Sequence[int], spelt: Sequence[int]) -> Made:
    """An answer to a question about a subject; in its texts every character is a token."""
    prompt, said = (*BEGINNING, *subject, *MIDDLE), (*lead, *spelt, END)
    characters = tuple(range(1, 20))
    first = len(BEGINNING)
    answer = Answer(
        question=Question(name, "?", "x", (), None, "test", name),
        token_ids=(*prompt, *said),
        n_prompt=len(prompt),
        generated=TokenizedText("x" * len(said), characters[: len(said)], characters[: len(said)]),
        ended=True,
        exact=Span(len(lead), len(lead) + len(spelt)),
        correct=True,
        prompt=TokenizedText("x" * len(prompt), characters[: len(prompt)], characters[: len(prompt)]),
        spans={"subject": Span(first, first + len(subject))},
    )
    exact = len(prompt) + len(lead)
    places = {
        "0": 0,
        "subject_first": first,
        "subject_last": first + len(subject) - 1,
        "last_q": len(prompt) - 1,
        "second_answer": len(prompt) + 1,
        "exact_answer_before_first": exact - 1,
        "exact_answer_first": exact,
        "-1": len(prompt) + len(said) - 1,
    }
    return Made(answer, (*prompt, *lead), tuple(spelt), places)


MADE = [
    # Of one length; the subject's second token is the same.
    (made("a", [100, 101], [50, 51], [200]), made("b", [102, 101], [50, 51], [201])),
    # Of different lengths: subjects, answers, and what leads to them.
    (made("c", [103], [50, 51], [202, 203]), made("d", [104, 105, 106], [50, 51, 52], [204])),
    # Of which the corrupted run is read before its second generated token.
    (made("e", [107, 108], [50, 51], [205, 206]), made("f", [109], [53], [207])),
    # And the clean one.
    (made("g", [110], [], [208, 211, 212]), made("h", [111, 112], [54, 55], [209, 210])),
]
PAIRS = [Pair(clean.answer, corrupt.answer) for clean, corrupt in MADE]
N_LAYERS = 3


def cells_of(pairs: Sequence[Pair], positions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    sides = [pair.clean for pair in pairs], [pair.corrupt for pair in pairs]
    clean, corrupt = (position_table(side, positions)["token"].values for side in sides)
    return clean, corrupt


def reader_of(readout: str, tokenizer: Any) -> readouts.Reader:
    if readout == "verdict":
        return readouts.verdict_reader(tokenizer, {END}, "chat")
    return readouts.answer_runs if readout == "answer" else readouts.whole_answer_runs


def candidates_of(pairs: Sequence[Pair], model: HookedModel, readout: str = "answer") -> list[Candidate]:
    return [candidate_of(pair, reader_of(readout, model.tokenizer)) for pair in pairs]


def patched(
    model: HookedModel,
    pairs: Sequence[Pair] = PAIRS,
    *,
    readout: str = "answer",
    positions: Sequence[str] = (*POSITIONS, *AFTER),
    n: int = 100,
    kept: PatchedParts | None = None,
    **settings: Any,
) -> PatchedPairs:
    candidates, cells = candidates_of(pairs, model, readout), cells_of(pairs, positions)
    units = units_of(range(model.cfg.n_layers), n_layers=model.cfg.n_layers)
    return pair_patching.patched_pairs(
        model, candidates, cells, units, Intervention(**ENTERS | settings), n=n, kept=kept
    )
