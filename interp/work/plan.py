"""Which examples run through the model together: shards of batches, decided by their tokens and a budget alone.

1. Examples that begin with the same tokens, such as a system prompt, few-shot examples or one context for many
   questions, form a group whose shared tokens are run once. A group within a group stands on its own only if that
   spares clearly more tokens than running its longer beginning costs.
2. Within a group, the longest first, consecutive examples fill a batch until its padded tokens would exceed the budget.
3. Consecutive batches fill a shard, the unit that is written, resumed and handed to a worker.

Nothing else enters, so that the same plan gives the same bytes whoever carries it out, and however often it is
interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

TokenIds = Sequence[int]

SHARD_EXAMPLES = 128
"""A shard is closed once it has so many examples: a cell of it is a long read, and little is lost with it."""
BATCH_EXAMPLES = 512
"""No batch has more examples than this, however short they are."""
MIN_SHARED = 8
"""Fewer shared tokens than this are not worth a pass of their own."""
SPARED_SHARE = 8
"""A group is split if that spares more than the budget divided by this, about what one more half-empty batch costs."""


@dataclass(frozen=True)
class Batch:
    """Examples that run together."""

    examples: tuple[int, ...]
    shared: int = 0
    """How many tokens all of them begin with that are run once; each example has at least one more."""


Shard = tuple[Batch, ...]
Plan = tuple[Shard, ...]


def capture_plan(sequences: Sequence[TokenIds], *, token_budget: int, reuse_prefixes: bool = True) -> Plan:
    """Group sequences into shards of batches, each sequence once.

    Parameters
    ----------
    sequences
        The tokens of every example.
    token_budget
        How many tokens, padding included, one forward pass takes; an example that is longer runs alone.
    reuse_prefixes
        Whether tokens that many examples begin with are run once.
    """
    everything = list(range(len(sequences)))
    groups = _groups_by_prefix(sequences, token_budget) if reuse_prefixes else [(0, everything)]
    batches = [batch for shared, members in groups for batch in _batches(sequences, members, shared, token_budget)]
    shards: list[Shard] = []
    filling: list[Batch] = []
    for batch in batches:
        filling.append(batch)
        if sum(len(each.examples) for each in filling) >= SHARD_EXAMPLES:
            shards.append(tuple(filling))
            filling = []
    return tuple([*shards, tuple(filling)] if filling else shards)


def examples_of(shard: Shard) -> tuple[int, ...]:
    """The examples of a shard in the order in which they are kept."""
    return tuple(example for batch in shard for example in batch.examples)


def planned_tokens(sequences: Sequence[TokenIds], shard: Shard) -> int:
    """How many tokens the model runs for a shard, padding and shared tokens included."""
    return sum(
        batch.shared + len(batch.examples) * (max(len(sequences[index]) for index in batch.examples) - batch.shared)
        for batch in shard
    )


def _batches(sequences: Sequence[TokenIds], members: Sequence[int], shared: int, budget: int) -> Iterator[Batch]:
    """Batches of the longest first, so that memory runs out at once if it does."""
    longest_first = sorted(members, key=lambda index: (-len(sequences[index]), index))
    start = 0
    while start < len(longest_first):
        width = len(sequences[longest_first[start]]) - shared
        size = min(max(budget // width, 1), BATCH_EXAMPLES)
        yield Batch(tuple(longest_first[start : start + size]), shared)
        start += size


def _groups_by_prefix(sequences: Sequence[TokenIds], budget: int) -> list[tuple[int, list[int]]]:
    """Groups of examples with the number of tokens that each group shares, zero where that is too few."""
    ordered = sorted(range(len(sequences)), key=lambda index: (tuple(sequences[index]), index))
    groups: list[tuple[int, list[int]]] = []
    waiting = [ordered] if ordered else []
    while waiting:
        members = waiting.pop()
        shared = n_shared(sequences, members)
        staying: list[int] = []
        for _, branch in groupby(members, key=lambda index: sequences[index][shared]):
            branching = list(branch)
            longer = n_shared(sequences, branching)
            spared = (longer - shared) * len(branching) - longer
            if longer > shared and spared > budget // SPARED_SHARE:
                waiting.append(branching)
            else:
                staying += branching
        if staying:
            groups.append((shared if shared >= MIN_SHARED and len(staying) > 1 else 0, staying))
    return sorted(groups, key=lambda group: (-group[0], group[1]))


def n_shared(sequences: Sequence[TokenIds], ordered: Sequence[int]) -> int:
    """How many tokens all of these sequences, in lexicographic order, begin with; each keeps one for itself."""
    first, last = sequences[ordered[0]], sequences[ordered[-1]]
    most = min(len(sequences[index]) for index in ordered) - 1
    return next((place for place in range(most) if first[place] != last[place]), most)
