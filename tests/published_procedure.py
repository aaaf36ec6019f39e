"""Positions as the code of Orgad et al. 2024 finds them, restated: what ours are compared with."""

from __future__ import annotations

from typing import Any

from interp.examples import Answer


def published_positions(tokenizer: Any, answer: Answer) -> dict[str, int]:
    """The rules of the code of Orgad et al. 2024, restated: where it finds the exact answer, and what is around it.

    The last token is the first one up to which the decoded answer contains the exact answer, the first token is the
    last one from which it still does. After the last comes the next, or the last again at the end.
    """
    assert answer.exact is not None
    ids, words = answer.token_ids, answer.exact.of(answer.text)
    last = next(i for i in range(answer.n_prompt, len(ids)) if words in tokenizer.decode(ids[answer.n_prompt : i + 1]))
    first = next(i for i in range(last, -1, -1) if words in tokenizer.decode(ids[i : last + 1]))
    return {
        "last_q": answer.n_prompt - 1,
        "first_answer": answer.n_prompt,
        "second_answer": answer.n_prompt + 1,
        "exact_answer_before_first": first - 1,
        "exact_answer_first": first,
        "exact_answer_last": last,
        "exact_answer_after_last": min(last + 1, len(ids) - 1),
    } | {f"-{k}": len(ids) - k for k in range(1, 9)}
