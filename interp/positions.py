"""Positions by name: which token of each answer a name stands for.

Pure arithmetic on `Answer` values: no tokenizer, no model. A position that an answer does not have is missing, with
its reason; it is never clamped and never another position in disguise. Two names may stand for the same token (the
exact answer's `before_first` is `last_q` where the answer opens with it): both are kept, and `coincidence` tells how
often that happens.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from interp.errors import InputError, unknown_name
from interp.examples import Answer

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


class Reason(IntEnum):
    """Why a position has no token in an answer."""

    RESOLVED = 0
    NO_EXACT_ANSWER = 1
    AFTER_THE_END = 2
    INTO_THE_PROMPT = 3


Resolver = Callable[[Answer], "int | Reason"]


def position_table(answers: Sequence[Answer], names: Sequence[str] = PAPER_POSITIONS) -> xr.Dataset:
    """Resolve every position of every answer.

    Parameters
    ----------
    answers
        What the model said.
    names
        Positions: those of `PAPER_POSITIONS`, or any ``-k``, the k-th token from the end of what was generated, the
        end token included.

    Returns
    -------
    xarray.Dataset
        On ``(example, position)``: ``token``, an index into `Answer.token_ids` or `MISSING`, and ``reason``, a
        `Reason` code, which is 0 exactly where ``token`` is not `MISSING`.

    Raises
    ------
    InputError
        If a name is not a position's, or is there twice.
    """
    require_known(names)
    resolvers = [_resolver(name) for name in names]
    resolved = np.array([[resolve(answer) for resolve in resolvers] for answer in answers], dtype=object)
    resolved = resolved.reshape(len(answers), len(names))
    missing = np.vectorize(lambda value: isinstance(value, Reason), otypes=[bool])(resolved)
    return xr.Dataset(
        {
            "token": (("example", "position"), np.where(missing, MISSING, resolved).astype(np.int64)),
            "reason": (
                ("example", "position"),
                np.where(missing, resolved, Reason.RESOLVED).astype(np.int8),
                {"flag_values": [int(reason) for reason in Reason], "flag_meanings": " ".join(_meanings())},
            ),
        },
        coords={"example": [answer.question.id for answer in answers], "position": list(names)},
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


def coincidence(table: xr.Dataset) -> xr.DataArray:
    """How often two positions are the same token, as a share of the answers that have both; NaN where none has."""
    token = table["token"]
    other = token.rename(position="other_position")
    both = (token != MISSING) & (other != MISSING)
    same: xr.DataArray = ((token == other) & both).sum("example") / both.sum("example").where(lambda n: n > 0)
    return same


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
    mask: Bool[np.ndarray, "example position"] = table["token"].values != MISSING
    return mask


def require_known(names: Sequence[str]) -> None:
    """Raise an `InputError` for the first name that is not a position's, or that is there twice."""
    for index, name in enumerate(names):
        _resolver(name)
        if name in names[:index]:
            raise InputError(f"position {name!r} is given twice; a map has one column for each")


def _last_of_prompt(answer: Answer) -> int | Reason:
    return answer.n_prompt - 1


def _generated(index: int) -> Resolver:
    """The token at `index` of what was generated."""

    def resolve(answer: Answer) -> int | Reason:
        return answer.n_prompt + index if index < answer.n_generated else Reason.AFTER_THE_END

    return resolve


def _from_end(k: int) -> Resolver:
    """The `k`-th generated token from the end, 1 being the last."""

    def resolve(answer: Answer) -> int | Reason:
        return len(answer.token_ids) - k if k <= answer.n_generated else Reason.INTO_THE_PROMPT

    return resolve


def _exact_first(answer: Answer) -> int | Reason:
    """The token that completes the exact answer's first character."""
    return Reason.NO_EXACT_ANSWER if answer.exact is None else _token_of_character(answer, answer.exact.start)


def _exact_last(answer: Answer) -> int | Reason:
    """The token that completes the exact answer's last character."""
    return Reason.NO_EXACT_ANSWER if answer.exact is None else _token_of_character(answer, answer.exact.stop - 1)


def _exact_before_first(answer: Answer) -> int | Reason:
    first = _exact_first(answer)
    return first if isinstance(first, Reason) else first - 1


def _exact_after_last(answer: Answer) -> int | Reason:
    last = _exact_last(answer)
    if isinstance(last, Reason):
        return last
    return last + 1 if last + 1 < len(answer.token_ids) else Reason.AFTER_THE_END


def _token_of_character(answer: Answer, character: int) -> int:
    """The first token after which more than `character` characters of the text are complete."""
    return answer.n_prompt + int(np.searchsorted(answer.char_ends, character, side="right"))


_RESOLVERS: dict[str, Resolver] = {
    "last_q": _last_of_prompt,
    "first_answer": _generated(0),
    "second_answer": _generated(1),
    "exact_answer_before_first": _exact_before_first,
    "exact_answer_first": _exact_first,
    "exact_answer_last": _exact_last,
    "exact_answer_after_last": _exact_after_last,
}


def _resolver(name: str) -> Resolver:
    from_end = re.fullmatch(r"-([1-9]\d*)", name)
    if from_end:
        return _from_end(int(from_end[1]))
    if name not in _RESOLVERS:
        raise unknown_name("position", name, PAPER_POSITIONS)
    return _RESOLVERS[name]


def _meanings() -> list[str]:
    return [reason.name.lower() for reason in Reason]
