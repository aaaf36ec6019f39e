"""Baselines: what a model's own probabilities tell of an answer's correctness, without a probe.

=====================================  ===============================================================================
baseline                               confidence in an answer
=====================================  ===============================================================================
``logprob-mean``, ``-min``, ``-max``,  of the log-probabilities of its generated tokens, the end token included
``-last``
``logit-mean``, …                      of their logits
``logprob-mean-exact``, …              of the tokens of the exact answer alone
``p-true``                             the model's probability that the answer is true, asked for it as a choice
                                       between (A) True and (B) False (Kadavath et al. 2022, arXiv 2207.05221)
``p-true-reversed``                    the same with (A) False and (B) True
``p-true-exact``, …                    about the exact answer in place of the whole one
=====================================  ===============================================================================

They are those of Orgad et al. 2024 (arXiv 2410.02707, section 3). An answer scores as wrong by how little confident the
model is in it, so that a baseline below .5 is worse than chance, and is not turned around.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from interp.activations.batch_activations import Prefix, hooks_of_sites, prefix_of
from interp.answers.prompts import reply_prompt
from interp.examples import Answer
from interp.models.hooked_model import HookedModel, padded, takes_prefixes
from interp.models.tokens import encoded_text
from interp.probes.cell_probe import both_classes
from interp.probes.probe_map import METRIC
from interp.questions.answer_columns import MIN_PER_CLASS
from interp.results.estimates import Estimates
from interp.statistics.auc import NO_INTERVAL, Interval, auc_interval
from interp.work.batches import in_halves_if_need_be
from interp.work.plan import capture_plan
from interp.work.progress import progress

R = TypeVar("R")

SCALE = (0.5, 1.0)
LOGIT_TOKENS = 2048
"""At most this many tokens in one forward pass: each has a logit for every word of the vocabulary."""
READINGS = ("logprob", "logit")
AGGREGATES: Mapping[str, Callable[[np.ndarray], float]] = {
    "mean": np.mean,
    "min": np.min,
    "max": np.max,
    "last": lambda values: values[-1],
}
REQUEST = """\
{question}
Proposed answer: {answer}
Is the proposed answer true or false?
(A) {first}
(B) {second}
The proposed answer is:"""
CHOICES = ("(A", "(B")
"""What the model may go on with: up to the letter, which is what is read."""
ORDERS = {"p-true": ("True", "False"), "p-true-reversed": ("False", "True")}


class Readings(NamedTuple):
    """What the model gave each generated token of an answer when it was its turn."""

    logprob: Float[np.ndarray, " generated"]
    logit: Float[np.ndarray, " generated"]


def readings_of(model: HookedModel, answers: Sequence[Answer], *, token_budget: int = LOGIT_TOKENS) -> list[Readings]:
    """The log-probability and the logit of every generated token of answers, from one forward pass over each.

    Parameters
    ----------
    model
        The model that gave the answers, or another that is to judge them.
    answers
        What was said.
    token_budget
        Tokens in one forward pass, padding included.
    """
    sequences, before = [answer.token_ids for answer in answers], [answer.n_prompt - 1 for answer in answers]
    return _read(
        model, sequences, before, partial(_readings, answers), token_budget=token_budget, about="log-probabilities"
    )


def probability_scores(
    answers: Sequence[Answer], readings: Sequence[Readings]
) -> dict[str, Float[np.ndarray, " example"]]:
    """The confidence that each baseline of probabilities has in each answer; NaN where it has no such tokens."""
    scores: dict[str, np.ndarray] = {}
    for suffix, tokens_of in (("", _all_tokens), ("-exact", _exact_tokens)):
        for reading in READINGS:
            values = [getattr(each, reading)[tokens_of(answer)] for answer, each in zip(answers, readings, strict=True)]
            for name, aggregate in AGGREGATES.items():
                aggregated = [aggregate(of_tokens) if len(of_tokens) else np.nan for of_tokens in values]
                scores[f"{reading}-{name}{suffix}"] = np.array(aggregated, dtype=np.float64)
    return scores


def p_true(
    model: HookedModel,
    answers: Sequence[Answer],
    order: str,
    *,
    exact: bool,
    token_budget: int = LOGIT_TOKENS,
) -> Float[np.ndarray, " example"]:
    """The probability that the model gives to an answer's being true, of that of its being true or false.

    Parameters
    ----------
    model
        Who is asked, in its chat template if it has one.
    answers
        What it is asked about.
    order
        One of `ORDERS`: which of the two choices comes first.
    exact
        Whether it is asked about the exact answer alone; NaN where there is none.
    token_budget
        Tokens in one forward pass, padding included.
    """
    first, second = ORDERS[order]
    lead, letters = _letters(model)
    asked = [row for row, answer in enumerate(answers) if not exact or answer.exact is not None]
    prompts = [
        (*reply_prompt(model.tokenizer, (), _request(answers[row], first, second, exact=exact)), *lead) for row in asked
    ]

    def true_of_both(_: int, logits: Float[torch.Tensor, "1 vocab"]) -> float:
        return float(logits[0, list(letters)].float().softmax(0)[(first, second).index("True")])

    about = f"{order}{'-exact' if exact else ''}"
    last = [len(prompt) - 1 for prompt in prompts]
    probability: np.ndarray = np.full(len(answers), np.nan)
    probability[asked] = _read(model, prompts, last, true_of_both, token_budget=token_budget, about=about)
    return probability


def baseline_estimates(
    scores: Mapping[str, Float[np.ndarray, " example"]],
    wrong: Bool[np.ndarray, " example"],
    group: Int[np.ndarray, " example"],
) -> Estimates:
    """How well each baseline tells wrong answers from right ones: its AUC with its interval over groups.

    Parameters
    ----------
    scores
        The confidence in each answer, by baseline; NaN where there is none.
    wrong
        Which answers are wrong.
    group
        Examples of one group, such as twins, have the same number.

    Returns
    -------
    Estimates
        By baseline. One over fewer than `interp.questions.answer_columns.MIN_PER_CLASS` examples of either class has no
        value, as a cell of a probe map.
    """
    found: dict[str, tuple[Interval, int]] = {}
    for name, confidence in scores.items():
        known = np.isfinite(confidence)
        enough = both_classes(known, wrong, MIN_PER_CLASS)
        interval = auc_interval(-confidence, wrong, group=group) if enough else NO_INTERVAL
        found[name] = (interval, int(known.sum()))
    return Estimates.named(found, kind="baselines", metric=METRIC, scale=SCALE, reference=0.5)


def _readings(answers: Sequence[Answer], row: int, logits: Float[torch.Tensor, "pos vocab"]) -> Readings:
    """Of each generated token, from what was computed at the token before it, the first of these logits on."""
    answer = answers[row]
    rows = logits[:-1].float()
    chosen = torch.tensor(answer.token_ids[answer.n_prompt :], device=rows.device)[:, None]
    logit = rows.gather(1, chosen)[:, 0]
    logprob = logit - rows.logsumexp(1)
    return Readings(logprob.cpu().double().numpy(), logit.cpu().double().numpy())


def _all_tokens(answer: Answer) -> slice:
    return slice(0, answer.n_generated)


def _exact_tokens(answer: Answer) -> slice:
    if answer.exact is None:
        return slice(0, 0)
    return slice(answer.generated.first_token(answer.exact), answer.generated.last_token(answer.exact) + 1)


def _request(answer: Answer, first: str, second: str, *, exact: bool) -> str:
    question = answer.question
    asked = (
        f"Question: {question.text}" if question.context is None else f"{question.context}\nQuestion: {question.text}"
    )
    said = str(answer.exact_text) if exact else " ".join(answer.text.split())
    return REQUEST.format(question=asked, answer=said, first=first, second=second)


def _letters(model: HookedModel) -> tuple[tuple[int, ...], tuple[int, int]]:
    """The tokens that both choices begin with, which are fed, and those in which they first differ, which are read."""
    these, those = (encoded_text(model.tokenizer, choice, add_special_tokens=False)[0] for choice in CHOICES)
    n_shared = next(place for place, (a, b) in enumerate(zip(these, those, strict=False)) if a != b)
    return these[:n_shared], (these[n_shared], those[n_shared])


def _read(
    model: HookedModel,
    sequences: Sequence[Sequence[int]],
    first: Sequence[int],
    reading: Callable[[int, Float[torch.Tensor, "pos vocab"]], R],
    *,
    token_budget: int,
    about: str,
) -> list[R]:
    """What `reading` makes of each sequence, by its index and its logits from the token `first` on.

    What the sequences of a batch begin with, up to there, is run once.
    """
    found: dict[int, R] = {}
    prefix: Prefix | None = None
    plan = capture_plan(sequences, token_budget=token_budget, reuse_prefixes=takes_prefixes(model))
    with progress(about, total=len(sequences), unit="answers") as shown:
        for batch in (batch for shard in plan for batch in shard):
            shared = min(batch.shared, *(first[row] for row in batch.examples))
            prefix = _beginning(model, sequences[batch.examples[0]][:shared], prefix)
            of_rows = partial(_read_batch, model, sequences, first, reading, prefix)
            found |= zip(batch.examples, in_halves_if_need_be(of_rows, batch.examples), strict=True)
            shown.update(len(batch.examples))
    return [found[row] for row in range(len(sequences))]


def _read_batch(
    model: HookedModel,
    sequences: Sequence[Sequence[int]],
    first: Sequence[int],
    reading: Callable[[int, Float[torch.Tensor, "pos vocab"]], R],
    prefix: Prefix | None,
    rows: tuple[int, ...],
) -> list[R]:
    start = len(prefix.tokens) if prefix else 0
    passed = {"past_key_values": prefix.cache_for(len(rows))} if prefix else {}
    with torch.inference_mode():
        tokens = padded([sequences[row][start:] for row in rows]).to(model.cfg.device)
        logits: Float[torch.Tensor, "row pos vocab"] = model(tokens, return_type="logits", **passed)
    return [
        reading(row, of_row[first[row] - start : len(sequences[row]) - start])
        for row, of_row in zip(rows, logits, strict=True)
    ]


def _beginning(model: HookedModel, tokens: Sequence[int], last: Prefix | None) -> Prefix | None:
    """What a batch begins with; that of the batch before if it is the same."""
    if not tokens:
        return None
    if last is not None and last.tokens == tuple(tokens):
        return last
    top = hooks_of_sites(model, ["resid_post"], [model.cfg.n_layers - 1])
    return prefix_of(model, tokens, np.empty(0, dtype=np.int64), top)
