"""Pairs: two answered questions whose runs are patched into each other, alike in all but what they are about.

A pair is made of two questions of a set to which the model gives different answers. Questions need not have the same
number of tokens, since runs are aligned by the names of positions; partners whose subjects have the same number of
tokens come first. No question is in two pairs; pairs whose questions share a group are drawn together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from interp.errors import InputError
from interp.examples import Answer
from interp.questions.question_set import seeded_order
from interp.results.example_values import BETWEEN

Misfit = Callable[[Answer, Answer], "str | None"]
"""Why two answers, clean and corrupt, cannot be a pair; None if they can."""


@dataclass(frozen=True)
class Pair:
    """The answer that is to be restored or broken, and the one that it is contrasted with."""

    clean: Answer
    corrupt: Answer

    @property
    def id(self) -> str:
        """Unique among the pairs of a set."""
        return f"{self.clean.question.id}{BETWEEN}{self.corrupt.question.id}"


def questions_of_pair(pair: str, known: Container[str]) -> tuple[str, str]:
    """The ids of a pair's clean and corrupted question, which are among the known ones.

    Raises
    ------
    ValueError
        If the pair is of no two of them.
    """
    parts = pair.split(BETWEEN)
    for cut in range(1, len(parts)):
        clean, corrupt = BETWEEN.join(parts[:cut]), BETWEEN.join(parts[cut:])
        if clean in known and corrupt in known:
            return clean, corrupt
    raise ValueError(f"{pair!r} is no pair of these questions")


def groups_of_pairs(pairs: Sequence[str], group_of: Mapping[str, str]) -> list[str]:
    """For each pair the name of what it is drawn together with: the first group of all that are tied by pairs.

    Pairs are independent of each other only if no question of the one is in a group with one of the other.

    Parameters
    ----------
    pairs
        Their ids.
    group_of
        For each question's id the name of its group.
    """
    both = np.array([[group_of[each] for each in questions_of_pair(pair, group_of)] for pair in pairs]).reshape(-1, 2)
    names, numbers = np.unique(both, return_inverse=True)
    numbers = numbers.reshape(both.shape)
    ties = coo_array((np.ones(len(both)), numbers.T), shape=(len(names), len(names)))
    component = connected_components(ties, directed=False)[1][numbers[:, 0]].tolist()
    first: dict[int, str] = {}
    for name, tied in zip(both[:, 0].tolist(), component, strict=True):
        first.setdefault(tied, name)
    return [first[tied] for tied in component]


def matched(
    clean: Sequence[Answer], corrupt: Sequence[Answer], *, misfit: Misfit, seed: int
) -> tuple[list[Pair], Counter[str]]:
    """Disjoint pairs of answers, in an order that `seed` decides.

    Parameters
    ----------
    clean, corrupt
        What either side is taken from; an answer may be in both.
    misfit
        Why two answers cannot be a pair.
    seed
        Decides the order and the partners.

    Returns
    -------
    tuple
        The pairs; and how many of `clean` found no partner, by the commonest of the reasons of those that were left.
    """

    def drawn(answers: Sequence[Answer]) -> dict[str, Answer]:
        ordered = sorted(answers, key=lambda answer: seeded_order(answer.question.id, seed))
        return {answer.question.id: answer for answer in ordered}

    left, taken = drawn(corrupt), set[str]()
    pairs: list[Pair] = []
    alone: Counter[str] = Counter()
    for identifier, answer in drawn(clean).items():
        if identifier in taken:
            continue
        others = [other for other in left.values() if other.question.id != identifier]
        why = {other.question.id: misfit(answer, other) for other in others}
        fitting = [other for other in others if why[other.question.id] is None]
        if not fitting:
            alone[_commonest(why.values())] += 1
            continue
        partner = min(fitting, key=lambda other: subject_tokens(other) != subject_tokens(answer))
        pairs.append(Pair(answer, partner))
        taken |= {identifier, partner.question.id}
        for used in (identifier, partner.question.id):
            left.pop(used, None)
    return pairs, alone


def given_pairs(
    answers: Mapping[str, Answer], pair_of: Mapping[str, str], *, misfit: Misfit
) -> tuple[list[Pair], Counter[str]]:
    """The pairs that a column of the question file says, the first of two rows being the clean one.

    Parameters
    ----------
    answers
        By the question's id.
    pair_of
        For each question's id what its pair is called, in the order of the file; questions without are in none.
    misfit
        Why two answers cannot be a pair.

    Returns
    -------
    tuple
        The pairs, and how many of those in the file cannot be patched, by reason.

    Raises
    ------
    InputError
        If a name is that of more than two rows.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for identifier, name in pair_of.items():
        members[name].append(identifier)
    pairs: list[Pair] = []
    dropped: Counter[str] = Counter()
    for name, identifiers in members.items():
        if len(identifiers) > 2:
            raise InputError(
                f"pair {name!r} has {len(identifiers)} rows; give each pair a clean row and a corrupted one"
            )
        both = [answers[identifier] for identifier in identifiers if identifier in answers]
        if len(identifiers) < 2:
            dropped["no other row that is asked has the pair's name"] += 1
        elif len(both) < 2:
            dropped["one of the two has no answer that is judged"] += 1
        elif (why := misfit(*both)) is not None:
            dropped[why] += 1
        else:
            pairs.append(Pair(*both))
    return pairs, dropped


def subject_tokens(answer: Answer) -> int | None:
    """How many tokens the subject has in the prompt; None where that is not known."""
    span = answer.spans.get("subject")
    if span is None or answer.prompt is None:
        return None
    return answer.prompt.last_token(span) - answer.prompt.first_token(span) + 1


def _commonest(reasons: Iterable[str | None]) -> str:
    counts = Counter(reason for reason in reasons if reason is not None)
    return counts.most_common(1)[0][0] if counts else "no other question was left"
