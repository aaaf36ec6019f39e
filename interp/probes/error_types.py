"""Error types: what the sampled answers to a question have in common, and whether a probe can tell it from one answer.

The answers that a model gives to one question, drawn again and again, fall into clusters: the correct ones, each wrong
one, and those without an exact answer. Their sizes say how it errs (Orgad et al. 2024, arXiv 2410.02707, section 5):

=============================  ========================================================================================
type                           of n samples, by the published code
=============================  ========================================================================================
``no answer``                  no exact answer is the largest cluster that is not correct, and larger than the correct
``two competing``              the correct cluster and the largest other one differ by at most ⌊n/6⌋, both are larger
``consistently correct``       always: all samples; mostly: at least ⌊n/2⌋ are correct, and there is another cluster
``consistently incorrect``     the largest other cluster has at least ⌊n/2⌋, and the question is not of the first type;
                               a correct sample never occurs, or it does
``many answers``               at least ⌊n/3⌋ other clusters, or one less where a correct sample occurs
=============================  ========================================================================================

``"code"``, the default, is that: github.com/technion-cs-nlp/LLMsKnow, ``src/resamples_utils.py``. NO ANSWER is one of
the other clusters. Types overlap, there as here. ``"paper"`` is how the article words them for 30 samples, scaled: no
answer, at least half have no exact one; competing, both clusters have a sixth or more and differ by a sixth at most;
many, more than a third of n different answers, the correct one included; NO ANSWER is no answer there. The halves and
the third (over 10 of 30) are the article's as it is quoted (github.com/SalvatoreRa/tutorial); the numbers of two
competing answers were in no quotation that was found, and are to be checked against the article.

Clusters go by what exact answers name (`Answer.named`), not by one text standing in another, as in the published code:
"Niger" is not "Nigeria", and "the US" is "America". All correct samples are one cluster. Whatever has no exact answer
is in the cluster NO ANSWER here, also where a reader copied no words of it, which the published code leaves out. The
article's name for the first type is that the model refuses to answer. Here it may also have named what is no answer of
the set, such as a country that there is not.

Disjoint types give each question the first that it has in the order of `TYPES`. The order is ours; the published code
has none. No answer comes first, since it leaves little to compare; two competing before the consistent types, which ask
less (with halves of equal size all three hold); many answers last, since they say nothing of which answer prevails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from interp.answers.grading import names_in
from interp.errors import unknown_name
from interp.examples import Answer
from interp.probes.cell_probe import NoValue, Probing, cell_scores, why_no_value, why_not_usable
from interp.probes.labels import Split
from interp.statistics.auc import NO_INTERVAL, Interval, auc_interval, refitting_factor

FEWEST_SAMPLES = 9
"""With fewer, two different answers would be many."""
RULES = ("code", "paper")


class Kind(StrEnum):
    """What is known of a sampled answer."""

    CORRECT = "correct"
    WRONG = "wrong"
    NO_ANSWER = "no answer"
    UNJUDGED = "not judged"


class Cluster(NamedTuple):
    """What makes two sampled answers to a question the same."""

    kind: Kind
    named: tuple[str, ...] = ()
    """What the exact answer names, in one spelling; nothing for correct answers, which are all the same."""


class Counts(NamedTuple):
    """How many of the samples of a question are in each cluster."""

    correct: int
    wrong: tuple[int, ...]
    """The sizes of the clusters of wrong answers, the largest first."""
    no_answer: int
    samples: int
    """All of them, with those that have an exact answer and no verdict, which are in no cluster."""


class ErrorType(StrEnum):
    """How a model errs on a question, in the order in which disjoint types are given."""

    NO_ANSWER = "no answer"
    COMPETING = "two competing"
    ALWAYS_CORRECT = "consistently correct: always"
    MOSTLY_CORRECT = "consistently correct: mostly"
    NEVER_CORRECT = "consistently incorrect: never correct"
    MOSTLY_INCORRECT = "consistently incorrect: correct at times"
    MANY_WITHOUT_CORRECT = "many answers: never correct"
    MANY_WITH_CORRECT = "many answers: correct at times"


TYPES = tuple(ErrorType)
"""The columns of matrices of types."""


def cluster_of(answer: Answer) -> Cluster:
    """The cluster of a sampled answer among those to its question."""
    if answer.exact is None:
        return Cluster(Kind.NO_ANSWER)
    if answer.correct:
        return Cluster(Kind.CORRECT)
    kind = Kind.UNJUDGED if answer.correct is None else Kind.WRONG
    return Cluster(kind, names_in(answer))


def counts_of(samples: Sequence[Answer]) -> Counts:
    """The sizes of the clusters of the samples of one question."""
    sizes = Counter(cluster_of(sample) for sample in samples)
    wrong = sorted((size for cluster, size in sizes.items() if cluster.kind is Kind.WRONG), reverse=True)
    return Counts(sizes[Cluster(Kind.CORRECT)], tuple(wrong), sizes[Cluster(Kind.NO_ANSWER)], len(samples))


def types_of(counts: Counts, rules: str = "code") -> frozenset[ErrorType]:
    """All types that a question has, by one of `RULES`.

    Raises
    ------
    InputError
        If there are no such rules.
    ValueError
        If there are fewer than `FEWEST_SAMPLES` samples.
    """
    if rules not in RULES:
        raise unknown_name("rules", rules, RULES)
    if counts.samples < FEWEST_SAMPLES:
        raise ValueError(f"{counts.samples} samples are too few for types of errors")
    holds = _by_code(counts) if rules == "code" else _by_paper(counts)
    return frozenset(each for each, held in holds.items() if held)


def _by_code(counts: Counts) -> dict[ErrorType, bool]:
    correct, n = counts.correct, counts.samples
    others = [size for size in (*counts.wrong, counts.no_answer) if size]
    largest, ever = max(others, default=0), correct > 0
    unanswered = counts.no_answer == largest and counts.no_answer > correct
    incorrect = largest >= n // 2 and not unanswered
    return {
        ErrorType.NO_ANSWER: unanswered,
        ErrorType.COMPETING: abs(correct - largest) <= n // 6 and min(correct, largest) > n // 6,
        ErrorType.ALWAYS_CORRECT: correct == n,
        ErrorType.MOSTLY_CORRECT: correct >= n // 2 and bool(others),
        ErrorType.NEVER_CORRECT: incorrect and not ever,
        ErrorType.MOSTLY_INCORRECT: incorrect and ever,
        ErrorType.MANY_WITHOUT_CORRECT: len(others) >= n // 3 and not ever,
        ErrorType.MANY_WITH_CORRECT: len(others) >= n // 3 - 1 and ever,
    }


def _by_paper(counts: Counts) -> dict[ErrorType, bool]:
    correct, n = counts.correct, counts.samples
    largest, ever = max(counts.wrong, default=0), correct > 0
    incorrect, many = 2 * largest >= n, 3 * (len(counts.wrong) + ever) > n
    return {
        ErrorType.NO_ANSWER: 2 * counts.no_answer >= n,
        ErrorType.COMPETING: 6 * abs(correct - largest) <= n <= 6 * min(correct, largest),
        ErrorType.ALWAYS_CORRECT: correct == n,
        ErrorType.MOSTLY_CORRECT: n <= 2 * correct < 2 * n,
        ErrorType.NEVER_CORRECT: incorrect and not ever,
        ErrorType.MOSTLY_INCORRECT: incorrect and ever,
        ErrorType.MANY_WITHOUT_CORRECT: many and not ever,
        ErrorType.MANY_WITH_CORRECT: many and ever,
    }


def overlapping_types(counts: Sequence[Counts], rules: str = "code") -> Bool[np.ndarray, "question type"]:
    """Which questions have which types; a question may have several, or none."""
    held = [types_of(of_question, rules) for of_question in counts]
    return np.array([[each in of_question for each in TYPES] for of_question in held], dtype=bool).reshape(
        -1, len(TYPES)
    )


def disjoint_types(overlapping: Bool[np.ndarray, "question type"]) -> Bool[np.ndarray, "question type"]:
    """Of the types that each question has the first, in the order of `TYPES`; none where it has none."""
    first = overlapping.cumsum(1) == 1
    return overlapping & first


def by_name(types: Bool[np.ndarray, "question type"]) -> dict[str, Bool[np.ndarray, " question"]]:
    """Which questions have each type, by name: every type, and before those that are halves of one the whole."""
    named: dict[str, Bool[np.ndarray, " question"]] = {}
    for column, each in enumerate(TYPES):
        whole, colon, _ = each.value.partition(":")
        if colon:
            halves = [other.value.startswith(f"{whole}:") for other in TYPES]
            named[whole] = np.asarray(types[:, halves].any(1))
        named[each.value] = types[:, column]
    return named


class TypeProbe(NamedTuple):
    """How well a probe tells the questions of one type from the others."""

    auc: Interval
    """NaN where there is a reason for no value."""
    n: int
    """Questions whose answer has the position."""
    n_of_type: int
    """How many of them are of the type."""
    why_missing: NoValue


def type_probe(
    activations: Float[torch.Tensor, "question d_model"],
    present: Bool[np.ndarray, " question"],
    of_type: Bool[np.ndarray, " question"],
    groups: Sequence[str],
    split: Split,
    probing: Probing,
) -> TypeProbe:
    """The AUC of a cross-fitted probe for one type against all other questions, in one cell.

    Parameters
    ----------
    activations
        Of the one answer to each question that is probed, such as the greedy one, which is none of the samples.
    present
        Which of these answers have the position.
    of_type
        What is to be told.
    groups
        Questions of one group are on one side of every split.
    split, probing
        How folds are made (stratified by the type), and how probes are fitted.
    """
    labels = split.labels(of_type.tolist(), groups)
    n, n_of_type = int(present.sum()), int((present & of_type).sum())
    why = why_no_value(labels, present) or why_not_usable(activations[torch.from_numpy(present)])
    if why:
        return TypeProbe(NO_INTERVAL, n, n_of_type, why)
    scores = cell_scores(activations, present, labels, probing).held_out
    factor = refitting_factor(labels.n_folds)
    return TypeProbe(
        auc_interval(scores, of_type, group=labels.side, variance_factor=factor), n, n_of_type, NoValue.HAS_VALUE
    )
