"""Plans: every example once, within the budget, and what is shared is shared."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from interp.work.plan import BATCH_EXAMPLES, MIN_SHARED, SHARD_EXAMPLES, capture_plan, examples_of, planned_tokens

TOKENS = st.integers(0, 3)
BEGINNINGS = st.lists(TOKENS, max_size=40)
SEQUENCES = st.lists(
    st.tuples(st.sampled_from(range(4)), st.lists(TOKENS, min_size=1, max_size=12)), min_size=1, max_size=60
)


def sequences_of(beginnings: list[list[int]], rest: list[tuple[int, list[int]]]) -> list[tuple[int, ...]]:
    return [tuple(beginnings[number] + tokens) for number, tokens in rest]


@settings(max_examples=200)
@given(
    beginnings=st.lists(BEGINNINGS, min_size=4, max_size=4),
    rest=SEQUENCES,
    budget=st.integers(1, 300),
    reuse=st.booleans(),
)
def test_every_example_runs_once_within_the_budget_with_what_it_shares(
    beginnings: list[list[int]], rest: list[tuple[int, list[int]]], budget: int, reuse: bool
) -> None:
    sequences = sequences_of(beginnings, rest)
    plan = capture_plan(sequences, token_budget=budget, reuse_prefixes=reuse)
    assert sorted(example for shard in plan for example in examples_of(shard)) == list(range(len(sequences)))
    for batch in (batch for shard in plan for batch in shard):
        members = [sequences[example] for example in batch.examples]
        lengths = [len(sequence) for sequence in members]
        assert list(batch.examples) == sorted(batch.examples, key=lambda each: (-len(sequences[each]), each))
        assert len({sequence[: batch.shared] for sequence in members}) == 1
        assert batch.shared < min(lengths)
        assert batch.shared == 0 or (reuse and batch.shared >= MIN_SHARED)
        assert batch.shared == 0 or sum(each[: batch.shared] == members[0][: batch.shared] for each in sequences) > 1
        assert len(members) == 1 or len(members) * (max(lengths) - batch.shared) <= budget
    assert plan == capture_plan(sequences, token_budget=budget, reuse_prefixes=reuse)


@settings(max_examples=100)
@given(beginnings=st.lists(BEGINNINGS, min_size=4, max_size=4), rest=SEQUENCES, budget=st.integers(50, 300))
def test_reuse_costs_no_more_than_a_few_half_empty_batches(
    beginnings: list[list[int]], rest: list[tuple[int, list[int]]], budget: int
) -> None:
    sequences = sequences_of(beginnings, rest)
    plain, reusing = (capture_plan(sequences, token_budget=budget, reuse_prefixes=reuse) for reuse in (False, True))
    spent = [sum(planned_tokens(sequences, shard) for shard in plan) for plan in (plain, reusing)]
    assert spent[1] <= spent[0] + 2 * budget


def test_a_system_prompt_is_run_once_and_contexts_within_it_once_each() -> None:
    system, contexts = list(range(100)), [[200 + k] * 300 for k in range(3)]
    sequences = [(*system, *context, 1000 + q, 7) for context in contexts for q in range(40)]
    plan = capture_plan(sequences, token_budget=512)
    batches = [batch for shard in plan for batch in shard]
    assert {batch.shared for batch in batches} == {400}
    assert len(batches) == 3
    spent = sum(planned_tokens(sequences, shard) for shard in plan)
    assert spent == 3 * (400 + 40 * 2)


def test_what_few_share_is_left_to_the_many() -> None:
    """Two cities that begin alike do not make a group of their own beside the prompt that all share."""
    prompt = list(range(30))
    sequences = [(*prompt, 50 + k % 20, k, 3) for k in range(200)]
    plan = capture_plan(sequences, token_budget=1024)
    assert {batch.shared for shard in plan for batch in shard} == {30}


def test_shards_are_closed_at_their_size_and_equal_sequences_are_no_prefix_of_themselves() -> None:
    sequences = [tuple(range(20))] * (3 * SHARD_EXAMPLES)
    plan = capture_plan(sequences, token_budget=16)
    assert [len(examples_of(shard)) for shard in plan] == [SHARD_EXAMPLES] * 3
    assert {batch.shared for shard in plan for batch in shard} == {19}


def test_a_group_within_a_group_spares_more_than_its_beginning_costs() -> None:
    """Two sequences share 20 tokens more, or 70, than the 30 that all do, and would run all of these again."""
    prompt = range(30)
    for n_more, shared in ((20, {30}), (70, {30, 100})):
        sequences = [(*prompt, 200 + k, 7) for k in range(40)]
        sequences += [(*prompt, *range(1000, 1000 + n_more), 200 + k, 7) for k in range(2)]
        plan = capture_plan(sequences, token_budget=256)
        assert {batch.shared for shard in plan for batch in shard} == shared


def test_what_is_just_worth_a_pass_of_its_own_has_one() -> None:
    for n_shared, expected in ((MIN_SHARED - 1, 0), (MIN_SHARED, MIN_SHARED)):
        sequences = [(*range(n_shared), 100 + k, 7) for k in range(50)]
        assert {batch.shared for shard in capture_plan(sequences, token_budget=512) for batch in shard} == {expected}


def test_no_batch_has_more_examples_than_it_may() -> None:
    (shard,) = capture_plan([(number,) for number in range(BATCH_EXAMPLES)], token_budget=10**6)
    assert [len(batch.examples) for batch in shard] == [BATCH_EXAMPLES]
    first, *_ = capture_plan([(number,) for number in range(BATCH_EXAMPLES + 1)], token_budget=10**6)
    assert [len(batch.examples) for batch in first] == [BATCH_EXAMPLES]


def test_no_sequences_no_shards() -> None:
    assert capture_plan([], token_budget=10) == ()
