"""How numbers are written in sentences and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

MINUS = "-"


def number(value: float, *, is_fine: bool = True) -> str:
    """A value in three to four digits, without the zero before the point: ``.850``, ``-.139``, ``10.6``, ``3,706``.

    One that three digits after the point do not show is ``1.2e-05``, or ``.000`` if it is not to be fine.
    """
    if not math.isfinite(value):
        return "no value" if math.isnan(value) else f"{MINUS if value < 0 else ''}infinity"
    size = abs(value)
    if value == int(value):
        return f"{int(value):,}"
    if size < 0.0005:
        return f"{value:.1e}" if is_fine else ".000"
    digits = next(digits for least, digits in ((999.95, 0), (9.995, 1), (0.9995, 2), (0, 3)) if size >= least)
    return f"{MINUS if value < 0 else ''}{f'{size:,.{digits}f}'.removeprefix('0')}"


def rounded(value: float, digits: int = 6) -> str:
    """A number that is round, or is to be rounded to so many digits after the point: ``.5``, ``50,000``, ``-.14``.

    What would be rounded to 0 is written as `number` writes it.
    """
    to_digits = round(value, digits)
    if to_digits == 0:
        return number(value)
    text = f"{to_digits:,}".removesuffix(".0")
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def correlation(value: float) -> str:
    """A correlation in two digits: ``.74``, ``-1.00``."""
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 0.995 else f"{value:.2f}"


def interval(low: float, high: float) -> str:
    """The ends of an interval: ``.803 to .887``."""
    return f"{number(low)} to {number(high)}"


def with_interval(value: float, low: float, high: float) -> str:
    """A value with the ends of its interval, if it has any: ``.850 (.803 to .887)``."""
    return number(value) if math.isnan(low) else f"{number(value)} ({interval(low, high)})"


def percent(share: float) -> str:
    """A share in whole per cent; what is not 0 or 1 is not rounded to it."""
    whole = round(100 * share)
    if whole == 0 and share > 0:
        return "less than 1 %"
    return "more than 99 %" if whole == 100 and share < 1 - 1e-9 else f"{whole} %"


def of_all(n: int, total: int, noun: str, verbs: tuple[str, str]) -> str:
    """``no cell is``, ``every cell is``, ``1 of 450 cells is``, or ``39 of 450 cells are``."""
    if n in (0, total):
        return f"{'no' if n == 0 else 'every'} {noun} {verbs[0]}"
    return f"{n:,} of {total:,} {noun}s {verbs[n > 1]}"


def counted(n: int, noun: str) -> str:
    """``1 cell``, ``39 cells``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def span(low: int, high: int) -> str:
    """``772``, or ``700 to 772``."""
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def listed(parts: Sequence[str], *, most: int | None = None, noun: str = "other") -> str:
    """Parts that are not empty in one list; of more than `most` those at its beginning, and how many more there are."""
    if most is not None and len(parts) > most:
        parts = [*parts[:most], f"and {counted(len(parts) - most, f'more {noun}')}"]
    return ", ".join(filter(None, parts))


def capitalised(sentence: str) -> str:
    """A sentence with its first letter as it begins one."""
    return sentence[:1].upper() + sentence[1:]
