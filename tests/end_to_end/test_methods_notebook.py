"""The notebook that goes from a model to its maps: it runs, and its numbers are those that it was saved with."""

from __future__ import annotations

import re

import numpy as np

from tests.notebooks import kinds, saved_and_again

TOLERANCE = 0.05
"""Of an AUC of 71 answers; other processors round otherwise, and another word in one answer is another label."""


def numbers_of(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e[+-]\d+)?", text)]


def test_it_runs_and_gives_the_numbers_that_it_was_saved_with() -> None:
    saved, again = saved_and_again("methods.ipynb")
    assert all(saved)
    assert kinds(again) == kinds(saved)
    for before, now in zip(saved, again, strict=True):
        for texts in zip(before, now, strict=True):
            one, other = map(numbers_of, texts)
            np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE)
