"""Positions by name: which token of each answer a name stands for.

Pure arithmetic on `Answer` values: no tokenizer, no model.

==============================================  ==================================================================
name                                            token
==============================================  ==================================================================
``first_q``, ``question_last``                  first and last token of the question's own text
``subject_first``, ``subject_last``             of the question's subject, where the set marks one
``last_q``                                      last token of the prompt, with what the chat template adds
``first_answer``, ``second_answer``             first and second generated token
``exact_answer_first``, ``exact_answer_last``   of the exact answer in what was generated
``exact_answer_before_first``,                  their neighbours
``exact_answer_after_last``
``-k``                                          k-th generated token from the end, the end token included
``k``                                           k-th token of the prompt and the answer, from 0
``SPAN:first``, ``:last``                       of a named span: question, subject, context, exact_answer, answer
``SPAN:before``, ``:after``                     the tokens before its first and after its last
``SPAN:k``, ``SPAN:-k``                         its k-th token, from 0, or from its end
==============================================  ==================================================================

A span's first token is the first that has a part in it, its last the one that completes it. A position that an
answer does not have is missing, with its reason; it is never clamped and never another position in disguise. (The
policy ``"paper"`` does clamp, to replicate published maps, and the table says where.) Two names may stand for the same
token (the exact answer's ``before_first`` is ``last_q`` where the answer opens with it): both are kept, and
`coincidence` tells how often that happens.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from interp.errors import InputError, unknown_name
from interp.examples import Answer, Span, TokenizedText

if TYPE_CHECKING:
    from jaxtyping import Bool

PAPER_POSITIONS = (
    "last_q",
    "first_answer",
    "second_answer",
    "exact_answer_before_first",
    "exact_answer_first",
    "exact_answer_last",
    "exact_answer_after_last",
    *(f"-{k}" for k in range(8, 0, -1)),
)
"""The columns of Orgad et al. 2024 (arXiv 2410.02707), in their order."""

MISSING = -1
"""Stands in the table where a position is missing."""


POLICIES = ("strict", "paper")


class Reason(IntEnum):
    """Why a position has no token in an answer."""

    RESOLVED = 0
    NO_EXACT_ANSWER = 1
    AFTER_THE_END = 2
    INTO_THE_PROMPT = 3
    NO_SUCH_SPAN = 4
    OUTSIDE_THE_SPAN = 5
    BEFORE_THE_START = 6
    PROMPT_NOT_ALIGNED = 7


Resolver = Callable[[Answer], "int | Reason"]


def position_table(
    answers: Sequence[Answer], names: Sequence[str] = PAPER_POSITIONS, *, policy: str = "strict"
) -> xr.Dataset:
    """Resolve every position of every answer.

    Parameters
    ----------
    answers
        What the model said.
    names
        Positions: those of `PAPER_POSITIONS`, or any other of the module's table.
    policy
        ``"strict"``: what an answer does not have is missing. ``"paper"``: as in the published code of Orgad et al.
        2024 (github.com/technion-cs-nlp/LLMsKnow, ``get_token_index``): the exact answer is looked for again, as the
        first occurrence of its characters, be it inside a longer word; without one, its positions fall back to
        ``last_q``; ``exact_answer_after_last`` stops at the last token; ``-k`` counts on into the prompt.

    Returns
    -------
    xarray.Dataset
        On ``(example, position)``: ``token``, an index into `Answer.token_ids` or `MISSING`; ``reason``, a
        `Reason` code, which is 0 exactly where ``token`` is not `MISSING`; ``replaced``, whether the policy put
        another token than ``"strict"`` has, or one where it has none. The attribute ``policy`` is the policy.

    Raises
    ------
    InputError
        If a name is not a position's or is there twice, no answer has a span of that name, or the policy is not
        known.
    """
    require_known(names)
    _require_spans(answers, names)
    if policy not in POLICIES:
        raise unknown_name("policy", policy, POLICIES)
    token, reason = _resolved(answers, names, _strict_resolver)
    strict = token
    if policy == "paper":
        token, reason = _resolved(answers, names, _paper_resolver)
    codes = {"flag_values": [*map(int, Reason)], "flag_meanings": " ".join(each.name.lower() for each in Reason)}
    cells = ("example", "position")
    return xr.Dataset(
        {
            "token": (cells, token),
            "reason": (cells, reason, codes),
            "replaced": (cells, token != strict),
        },
        coords={"example": [answer.question.id for answer in answers], "position": list(names)},
        attrs={"policy": policy},
    )


def missing_by_reason(table: xr.Dataset) -> dict[str, dict[str, int]]:
    """For each position that some answer lacks: how many lack it, by reason."""
    counts: dict[str, dict[str, int]] = {}
    for name in table["position"].values.tolist():
        reasons = Counter(Reason(code) for code in table["reason"].sel(position=name).values.tolist())
        absent = {reason.name.lower(): n for reason, n in sorted(reasons.items()) if reason is not Reason.RESOLVED}
        if absent:
            counts[name] = absent
    return counts


def replaced_shares(table: xr.Dataset) -> dict[str, float]:
    """For each position where the policy put another token than ``"strict"`` has: in which share of the answers."""
    shares = table["replaced"].mean("example")
    names = table["position"].values.tolist()
    return {name: round(float(share), 4) for name, share in zip(names, shares.values, strict=True) if share > 0}


def coincidence(table: xr.Dataset) -> xr.DataArray:
    """How often two positions are the same token, as a share of the answers that have both; NaN where none has."""
    token = table["token"]
    other = token.rename(position="other_position")
    both = (token != MISSING) & (other != MISSING)
    return ((token == other) & both).sum("example") / both.sum("example").where(lambda n: n > 0)


def coinciding_pairs(table: xr.Dataset) -> dict[str, float]:
    """The pairs of positions that are ever the same token, as ``"first = second"``, with how often."""
    rates = coincidence(table)
    names = table["position"].values.tolist()
    return {
        f"{first} = {second}": round(float(rates[row, row + 1 + offset]), 4)
        for row, first in enumerate(names)
        for offset, second in enumerate(names[row + 1 :])
        if rates[row, row + 1 + offset] > 0
    }


def resolved_mask(table: xr.Dataset) -> Bool[np.ndarray, "example position"]:
    """Where the table has a token."""
    return table["token"].values != MISSING


def require_known(names: Sequence[str]) -> None:
    """Raise an `InputError` for the first name that is not a position's, or that is there twice."""
    for index, name in enumerate(names):
        _strict_resolver(name)
        if name in names[:index]:
            raise InputError(f"position {name!r} is given twice; a map has one column for each")


def _require_spans(answers: Sequence[Answer], names: Sequence[str]) -> None:
    """Raise an `InputError` for a span that no answer has: its name is likely misspelt."""
    known = {
        "exact_answer",
        "answer",
        "question",
        "subject",
        "context",
        *(span for answer in answers for span in answer.spans),
    }
    for name in names:
        span, colon, _ = name.partition(":")
        if colon and span not in known:
            raise unknown_name("span", span, known)


def _resolved(
    answers: Sequence[Answer], names: Sequence[str], resolver: Callable[[str], Resolver]
) -> tuple[np.ndarray, np.ndarray]:
    """The tokens, `MISSING` where there is none, and the reasons."""
    resolvers = [resolver(name) for name in names]
    found = [resolve(answer) for answer in answers for resolve in resolvers]
    shape = (len(answers), len(names))
    token = [MISSING if isinstance(value, Reason) else value for value in found]
    reason = [value if isinstance(value, Reason) else Reason.RESOLVED for value in found]
    return np.array(token, dtype=np.int64).reshape(shape), np.array(reason, dtype=np.int8).reshape(shape)


def _last_of_prompt(answer: Answer) -> int | Reason:
    return answer.n_prompt - 1


def _generated(answer: Answer, *, index: int) -> int | Reason:
    """The token at `index` of what was generated."""
    return answer.n_prompt + index if index < answer.n_generated else Reason.AFTER_THE_END


def _from_end(answer: Answer, *, k: int) -> int | Reason:
    """The `k`-th generated token from the end, 1 being the last."""
    return len(answer.token_ids) - k if k <= answer.n_generated else Reason.INTO_THE_PROMPT


def _absolute(answer: Answer, *, index: int) -> int | Reason:
    return index if index < len(answer.token_ids) else Reason.AFTER_THE_END


def _in_span(answer: Answer, *, span: str, where: str) -> int | Reason:
    """The token that `where` names of a named span."""
    ends = _ends_of_span(answer, span)
    if isinstance(ends, Reason):
        return ends
    first, last = ends
    if where in ("first", "last"):
        return first if where == "first" else last
    if where == "before":
        return first - 1 if first > 0 else Reason.BEFORE_THE_START
    if where == "after":
        return last + 1 if last + 1 < len(answer.token_ids) else Reason.AFTER_THE_END
    k = int(where)
    token = first + k if k >= 0 else last + 1 + k
    return token if first <= token <= last else Reason.OUTSIDE_THE_SPAN


def _ends_of_span(answer: Answer, name: str) -> tuple[int, int] | Reason:
    """The first and the last token of a named span."""
    if name == "answer":
        return (answer.n_prompt, len(answer.token_ids) - 1) if answer.n_generated else Reason.NO_SUCH_SPAN
    if name == "exact_answer":
        if answer.exact is None:
            return Reason.NO_EXACT_ANSWER
        return _tokens_of(answer.generated, answer.exact, answer.n_prompt)
    if answer.prompt is None:
        return Reason.PROMPT_NOT_ALIGNED
    span = answer.spans.get(name)
    return Reason.NO_SUCH_SPAN if span is None else _tokens_of(answer.prompt, span, 0)


def _tokens_of(text: TokenizedText, span: Span, offset: int) -> tuple[int, int]:
    return offset + text.first_token(span), offset + text.last_token(span)


def _paper_exact(answer: Answer, *, where: str) -> int | Reason:
    """As published: the exact answer's first occurrence as characters, `last_q` without one, never past the end."""
    words = _lower(answer.exact.of(answer.text).strip()) if answer.exact else ""
    start = _lower(answer.text).find(words) if words else -1
    if start < 0:
        return _last_of_prompt(answer)
    first, last = _tokens_of(answer.generated, Span(start, start + len(words)), answer.n_prompt)
    tokens = {"first": first, "last": last, "before": first - 1, "after": last + 1}
    return min(tokens[where], len(answer.token_ids) - 1)


def _lower(text: str) -> str:
    """A text in small letters, as long as it was: İ is two in Python."""
    return "".join(small if len(small := character.lower()) == 1 else character for character in text)


def _paper_from_end(answer: Answer, *, k: int) -> int | Reason:
    """As published: counts on into the prompt."""
    return len(answer.token_ids) - k if k <= len(answer.token_ids) else Reason.BEFORE_THE_START


_RESOLVERS: dict[str, Resolver] = {
    "first_q": partial(_in_span, span="question", where="first"),
    "question_last": partial(_in_span, span="question", where="last"),
    "subject_first": partial(_in_span, span="subject", where="first"),
    "subject_last": partial(_in_span, span="subject", where="last"),
    "last_q": _last_of_prompt,
    "first_answer": partial(_generated, index=0),
    "second_answer": partial(_generated, index=1),
    "exact_answer_before_first": partial(_in_span, span="exact_answer", where="before"),
    "exact_answer_first": partial(_in_span, span="exact_answer", where="first"),
    "exact_answer_last": partial(_in_span, span="exact_answer", where="last"),
    "exact_answer_after_last": partial(_in_span, span="exact_answer", where="after"),
}
_PAPER_RESOLVERS: dict[str, Resolver] = {
    "exact_answer_before_first": partial(_paper_exact, where="before"),
    "exact_answer_first": partial(_paper_exact, where="first"),
    "exact_answer_last": partial(_paper_exact, where="last"),
    "exact_answer_after_last": partial(_paper_exact, where="after"),
}
_FROM_END = re.compile(r"-([1-9]\d*)")
_ABSOLUTE = re.compile(r"0|[1-9]\d*")
_IN_SPAN = re.compile(r"(\w+):(first|last|before|after|0|-?[1-9]\d*)")


def _strict_resolver(name: str) -> Resolver:
    if name in _RESOLVERS:
        return _RESOLVERS[name]
    if match := _FROM_END.fullmatch(name):
        return partial(_from_end, k=int(match[1]))
    if _ABSOLUTE.fullmatch(name):
        return partial(_absolute, index=int(name))
    if match := _IN_SPAN.fullmatch(name):
        return partial(_in_span, span=match[1], where=match[2])
    raise unknown_name(
        "position", name, (*_RESOLVERS, "-1"), "Or give -k, an index, or SPAN:first, :last, :before, :after or :k."
    )


def _paper_resolver(name: str) -> Resolver:
    if match := _FROM_END.fullmatch(name):
        return partial(_paper_from_end, k=int(match[1]))
    return _PAPER_RESOLVERS.get(name) or _strict_resolver(name)
