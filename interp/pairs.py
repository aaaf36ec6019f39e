"""Pairs: two answered questions whose runs are patched into each other, alike in all but what they are about.

A pair is made of two questions of a set to which the model gives different answers. Questions need not have the same
number of tokens, since runs are aligned by the names of positions; partners whose subjects have the same number of
tokens come first. No question is in two pairs, so that pairs are independent of each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from interp.errors import InputError
from interp.examples import Answer
from interp.questions import seeded_order

BETWEEN = " / "
"""Stands between the ids of a pair's two questions."""
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


def clean_question(pair: str, known: Container[str]) -> str:
    """The id of a pair's clean question, which is among the known ones, as the corrupted run's is.

    Raises
    ------
    ValueError
        If the pair is of no two of them.
    """
    parts = pair.split(BETWEEN)
    for cut in range(1, len(parts)):
        clean, corrupt = BETWEEN.join(parts[:cut]), BETWEEN.join(parts[cut:])
        if clean in known and corrupt in known:
            return clean
    raise ValueError(f"{pair!r} is no pair of these questions")


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
    answers: Sequence[Answer], pair_of: Mapping[str, str], *, misfit: Misfit
) -> tuple[list[Pair], Counter[str]]:
    """The pairs that a column of the question file says, the first of two rows being the clean one.

    Parameters
    ----------
    answers
        In the order of the file.
    pair_of
        For each question's id what its pair is called; questions without are in none.
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
    members: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.question.id in pair_of:
            members[pair_of[answer.question.id]].append(answer)
    pairs: list[Pair] = []
    dropped: Counter[str] = Counter()
    for name, both in members.items():
        if len(both) > 2:
            raise InputError(f"pair {name!r} has {len(both)} rows; give each pair a clean row and a corrupted one")
        why = misfit(*both) if len(both) == 2 else "one of the two has no answer that is judged"
        if why is None:
            pairs.append(Pair(*both))
        else:
            dropped[why] += 1
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
