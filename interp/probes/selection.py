"""Answer selection: which of the answers sampled for a question to give, and how often that one is correct.

====================  =================================================================================================
choice                gives
====================  =================================================================================================
``greedy``            the answer that was decoded greedily, which is none of the samples
``random``            any of the samples
``random answering``  any of the samples that have an exact answer, or any at all if none has
``majority``          one of the largest cluster of samples with an exact answer (`error_types.cluster_of`)
``name``              the sample whose name, of all that it names, is most likely correct: a control
``probe``             the sample that the probe calls most likely correct
``oracle``            a correct sample, if there is one
====================  =================================================================================================

(Orgad et al. 2024, arXiv 2410.02707, section 6; github.com/technion-cs-nlp/LLMsKnow, ``src/probe_choose_answer.py``.)
What is left to chance is not drawn: ties, and random choices, count with their expected value. Samples without an exact
answer are chosen only where there are no others; they cast no vote and are never correct, so that it is ``random
answering`` and ``majority`` that the probe is to be held against, not ``random``. In the published code NO ANSWER is an
answer like others: it may be drawn, or chosen by the probe, and it votes. Only samples of which no words could be
copied are out, and questions whose greedy answer is such a one. A random answer is drawn there, once, and a tie of the
correct cluster with another is a lost majority.

The probe is trained on the greedy answers of other folds: it has seen no question of the group whose samples it scores.
``name`` is trained likewise, on nothing but what the greedy answers name: what
the probe has beyond it is not only that some answers are more often correct than others, whatever the question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int

from interp.answers.grading import names_in
from interp.examples import Answer
from interp.probes.error_types import cluster_of
from interp.probes.labels import Labels
from interp.probes.linear_probes import CellProbes
from interp.statistics.auc import NO_INTERVAL, Interval
from interp.statistics.means import group_draws, percentile_interval

CHOICES = ("greedy", "random", "random answering", "majority", "name", "probe", "oracle")
COMPARED = ("greedy", "random", "random answering", "majority", "name")
"""What the probe's choice is held against."""
FEWEST = 20
"""An accuracy over fewer questions has no value."""
DRAWS = 5000
"""Of the bootstrap."""


def accuracies(
    greedy: Sequence[Answer],
    samples: Sequence[Sequence[Answer]],
    scores: Mapping[str, Float[np.ndarray, "question sample"]],
) -> dict[str, Float[np.ndarray, " question"]]:
    """For each question the probability that a choice gives a correct answer, by the name of the choice.

    Parameters
    ----------
    greedy
        The greedy answer to each question.
    samples
        All samples of each question, as many of every one.
    scores
        By the name of a choice (``probe``, ``name``) how likely correct it calls each sample, on any scale; NaN where
        a sample has no score.
    """
    correct = np.array([[float(answer.correct is True) for answer in row] for row in samples])
    answering = np.array([[answer.exact is not None for answer in row] for row in samples])
    votes = np.array([_votes(row) for row in samples], dtype=np.float64)
    chosen = {
        "greedy": np.array([float(answer.correct is True) for answer in greedy]),
        "random": correct.mean(1),
        "random answering": expected_of_best(correct, answering.astype(np.float64)),
        "majority": expected_of_best(correct, np.where(answering, votes, 0.0)),
        "oracle": correct.max(1),
    }
    for name, score in scores.items():
        usable = np.where(answering & np.isfinite(score), score, -np.inf)
        # Of samples that have an exact answer and no score any may be the one, before any that has none.
        fallback = np.where(np.isfinite(usable).any(1, keepdims=True), usable, answering.astype(np.float64))
        chosen[name] = expected_of_best(correct, fallback)
    return {name: chosen[name] for name in CHOICES if name in chosen}


def expected_of_best(
    correct: Float[np.ndarray, "question sample"], score: Float[np.ndarray, "question sample"]
) -> Float[np.ndarray, " question"]:
    """The share of correct samples among those of the highest score: what choosing one of them is expected to give."""
    best = score == score.max(1, keepdims=True)
    return (correct * best).sum(1) / best.sum(1)


def _votes(samples: Sequence[Answer]) -> list[int]:
    """For each sample the size of its cluster."""
    clusters = [cluster_of(sample) for sample in samples]
    sizes = Counter(clusters)
    return [sizes[cluster] for cluster in clusters]


def scoring_fold(groups: Sequence[str], trained: Sequence[str], labels: Labels) -> Int[np.ndarray, " question"]:
    """For each question the number of the probe that has seen no question of its group (`CellProbes`).

    That is the probe of the group's fold; of a group that no probe has seen, that of all examples.

    Parameters
    ----------
    groups
        The groups of the questions that are to be scored.
    trained
        The groups of the questions that the probes were trained on, in the order of `labels`.
    labels
        With their folds; the first seed's count.
    """
    fold = dict(zip(trained, labels.fold[0].tolist(), strict=True))
    return np.array([fold.get(group, labels.n_folds) for group in groups], dtype=np.int64)


def scores_of_samples(
    probes: CellProbes,
    activations: Sequence[Float[torch.Tensor, "question d_model"]],
    probe: Int[np.ndarray, " question"],
) -> Float[np.ndarray, "question sample"]:
    """The log-odds of being correct of every sample; NaN where it lacks the position.

    Parameters
    ----------
    probes
        Of the cell, trained on greedy answers.
    activations
        For each of the draws the activations of its answers, in the order of the questions.
    probe
        Which of the probes scores the samples of each question, as `scoring_fold` gives it.
    """
    return np.stack([-probes.scores(of_draw, probe) for of_draw in activations], axis=1)


def name_features(answers: Sequence[Answer], known: Sequence[Answer]) -> Float[torch.Tensor, "answer name"]:
    """What each answer names, one-hot over what the `known` answers name; zeros where it is none of that."""
    names = sorted({names_in(answer) for answer in known if answer.exact is not None})
    column = {name: index for index, name in enumerate(names)}
    features = torch.zeros(len(answers), len(names))
    for row, answer in enumerate(answers):
        if answer.exact is not None and names_in(answer) in column:
            features[row, column[names_in(answer)]] = 1.0
    return features


def mean_interval(values: Float[np.ndarray, " question"], group: Int[np.ndarray, " question"]) -> Interval:
    """The mean over questions with the 95 % percentile interval of a bootstrap of their groups, always the same draws.

    Of paired differences it is the paired interval. It is for the sampling of questions: probes and samples are taken
    as they are. Where questions share groups, which may be few, the percentiles are farther out (see
    `interp.statistics.means.percentile_interval`): of 4 groups the interval holds the mean in 92 % of draws, of 3 in
    80. Where all questions have the same value, as in types that are defined so, the bootstrap has nothing to say and
    the ends are NaN, as with a single group; with fewer than `FEWEST` questions the value is, too.
    """
    if len(values) < FEWEST:
        return NO_INTERVAL
    n_groups = len(set(group.tolist()))
    if np.ptp(values) == 0 or n_groups < 2:
        return Interval(float(values.mean()), np.nan, np.nan)
    weights = group_draws(group, DRAWS, np.random.default_rng(0)).astype(np.float64)
    drawn = weights @ values / weights.sum(1)
    low, high = percentile_interval(drawn, None if n_groups == len(values) else np.array(n_groups))
    return Interval(float(values.mean()), float(low), float(high))


def gains(chosen: Mapping[str, Float[np.ndarray, " question"]]) -> dict[str, Float[np.ndarray, " question"]]:
    """For each question by how much the probe's choice is more likely correct than each other one."""
    return {f"probe − {name}": chosen["probe"] - chosen[name] for name in COMPARED if name in chosen}
