"""A pair of texts, patched token by token: the classic single-prompt map, for texts of any two lengths.

Tokens that both texts begin with are aligned from the beginning, tokens that both end with from the end. What differs
between them is aligned token by token where it is of one length, else by its first and its last token.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from interp.errors import InputError
from interp.models.hooked_model import HookedModel
from interp.models.output_path import output_logits
from interp.models.token_labels import token_label
from interp.patching.framing import require_same_framing
from interp.patching.pair_runs import Candidate
from interp.patching.patches import Run, Target
from interp.patching.readouts import ReadPair
from interp.patching.recordings import recorded


@dataclass(frozen=True)
class TextPair:
    """Two texts as they are run."""

    candidate: Candidate
    columns: tuple[str, ...]
    """The clean text's tokens, with their numbers."""
    clean_cells: Int[np.ndarray, "one position"]
    corrupt_cells: Int[np.ndarray, "one position"]
    answers: tuple[str, str]
    """What is read: the token that goes on from the clean text, and the one that goes on from the corrupted one."""


def text_pair(
    model: HookedModel,
    clean: tuple[int, ...],
    corrupt: tuple[int, ...],
    answers: tuple[int | None, int | None] = (None, None),
) -> TextPair:
    """Two texts, read at their ends.

    Parameters
    ----------
    model
        The model.
    clean, corrupt
        The tokens of the texts, no more than the model reads.
    answers
        The token that is to go on from either; None is what the model goes on with.

    Raises
    ------
    InputError
        If the texts are the same, do not have the same special tokens, or go on with the same token.
    """
    if clean == corrupt:
        raise InputError(
            "--clean and --corrupt are the same tokens: there is nothing to patch; give two texts that differ"
        )
    require_same_framing(model.tokenizer, clean, corrupt)
    first, second = (
        _next_token(model, tokens) if answer is None else answer
        for tokens, answer in zip((clean, corrupt), answers, strict=True)
    )
    if first == second:
        remedy = (
            "give --clean-answer and --corrupt-answer, or texts that go on differently"
            if None in answers
            else "of --clean-answer and --corrupt-answer the first token alone is read: give two that differ in it"
        )
        raise InputError(f"both texts go on with the same token, {model.tokenizer.decode([first])!r}; {remedy}")

    def run(tokens: tuple[int, ...]) -> Run:
        return Run(tokens, (Target(len(tokens) - 1, first), Target(len(tokens) - 1, second)))

    aligned = aligned_tokens(clean, corrupt)
    return TextPair(
        candidate=Candidate("clean / corrupt", (ReadPair(run(clean), run(corrupt), (1, -1)),)),
        columns=tuple(f"{place} {token_label(model.tokenizer, clean[place])}" for place, _ in aligned),
        clean_cells=np.array([[place for place, _ in aligned]]),
        corrupt_cells=np.array([[place for _, place in aligned]]),
        answers=(token_label(model.tokenizer, first), token_label(model.tokenizer, second)),
    )


def aligned_tokens(clean: tuple[int, ...], corrupt: tuple[int, ...]) -> list[tuple[int, int]]:
    """The places of tokens that stand for each other, in the clean text's order."""
    shorter = min(len(clean), len(corrupt))
    before = next((place for place in range(shorter) if clean[place] != corrupt[place]), shorter)
    most = shorter - before
    after = next((k for k in range(most) if clean[-1 - k] != corrupt[-1 - k]), most)
    lengths = len(clean) - before - after, len(corrupt) - before - after
    within = [(before + k, before + k) for k in range(min(lengths))]
    if lengths[0] != lengths[1] and within:
        ends = (before + lengths[0] - 1, before + lengths[1] - 1)
        within = [within[0], ends] if min(lengths) > 1 else [ends]
    return [
        *((place, place) for place in range(before)),
        *within,
        *((len(clean) - k, len(corrupt) - k) for k in range(after, 0, -1)),
    ]


def _next_token(model: HookedModel, tokens: tuple[int, ...]) -> int:
    (recording,) = recorded(model, [Run(tokens, (Target(len(tokens) - 1, 0),))], with_cache=False)
    return int(output_logits(model, recording.final)[0].argmax())
