"""Answers of random tokens, which tell models nothing and positions all."""

from __future__ import annotations

import numpy as np

from interp.examples import Answer, Question, Span, TokenizedText

POSITIONS = ("first_q", "last_q", "exact_answer_first", "exact_answer_after_last", "-3", "-1")
BEGINNING = tuple(range(30, 42))
"""What all prompts begin with: more than a layer with a sliding window sees."""


def random_answers(n: int, seed: int = 0) -> list[Answer]:
    """Answers of different lengths, some without an exact answer, some too short for some positions."""
    rng = np.random.default_rng(seed)
    answers = []
    for index in range(n):
        n_own, n_generated = int(rng.integers(2, 9)), int(rng.integers(1, 9))
        ends = tuple(range(1, n_generated + 1))
        start = int(rng.integers(0, n_generated))
        answers.append(
            Answer(
                question=Question(f"q{index}", "?", "x", (), None, "test", f"q{index}"),
                token_ids=(*BEGINNING, *rng.integers(2, 380, n_own + n_generated).tolist()),
                n_prompt=len(BEGINNING) + n_own,
                generated=TokenizedText("x" * n_generated, ends, ends),
                ended=True,
                exact=Span(start, start + 1) if rng.random() < 0.8 else None,
            )
        )
    return answers
