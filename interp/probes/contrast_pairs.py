"""Contrast pairs: a model's answer with its own verdict on it, once Yes and once No.

No question comes with a statement and its negation. But after every answer the model can be asked whether that is
correct, as for the read-out ``verdict`` of `interp.patching.readouts`; the conversation up to there, with either reply,
is a pair in the sense of Burns et al. 2023 (arXiv 2212.03827).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from interp.activations.batch_activations import batch_activations, hooks_of_sites
from interp.examples import Answer
from interp.models.hooked_model import HookedModel
from interp.models.tokens import decoded_text
from interp.patching.patches import Run, readings_of
from interp.patching.readouts import spelt_verdicts, verdict_run
from interp.work.batches import batched, in_halves_if_need_be
from interp.work.progress import progress

RUNS_AT_ONCE = 16


class ContrastPair(NamedTuple):
    """An answer that its model is asked about."""

    asked: Run
    """The conversation to where the verdict is due, read for Yes and No."""
    yes: Answer
    """What was asked, answered with Yes."""
    no: Answer


def contrast_pairs(tokenizer: Any, answers: Sequence[Answer], ends: Collection[int], style: str) -> list[ContrastPair]:
    """The contrast pair of each answer; the parameters are those of `interp.patching.readouts.verdict_run`."""
    run = verdict_run(tokenizer, ends, style)
    verdicts = [(tokens, decoded_text(tokenizer, tokens)) for tokens in spelt_verdicts(tokenizer, style)]

    def pair(answer: Answer) -> ContrastPair:
        asked = run(answer)
        replied = (
            replace(
                answer,
                token_ids=(*asked.tokens, *tokens),
                n_prompt=len(asked.tokens),
                generated=text,
                ended=False,
                exact=None,
                prompt=None,
                spans={},
            )
            for tokens, text in verdicts
        )
        return ContrastPair(asked, *replied)

    return [pair(answer) for answer in answers]


def verdict_logits(model: HookedModel, asked: Sequence[Run]) -> Float[np.ndarray, " run"]:
    """The model's own verdict: by how much the logit of Yes exceeds that of No."""
    hooks = hooks_of_sites(model, ["resid_post"], [model.cfg.n_layers - 1])

    def of_batch(runs: tuple[Run, ...]) -> list[float]:
        last = np.array([run.places for run in runs])
        stream = batch_activations(model, [run.tokens for run in runs], last, hooks)["resid_post"][0]
        logit = readings_of(model, stream.swapaxes(0, 1).to(model.cfg.device), runs).logit
        return (logit[:, 0] - logit[:, 1]).tolist()

    found: list[float] = []
    with progress("verdicts", total=len(asked), unit="answers") as shown:
        for batch in batched(asked, RUNS_AT_ONCE):
            found += in_halves_if_need_be(of_batch, batch)
            shown.update(len(batch))
    return np.array(found)
