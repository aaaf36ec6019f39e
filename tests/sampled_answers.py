"""Sampled answers without a model: what they name, and whether that is correct."""

from __future__ import annotations

from interp.examples import Answer, Question, Span, TokenizedText

NO_ANSWER = ""
GOLD = "France"


def sampled(named: str, question: int = 0, *, group: str | None = None, judged: bool = True) -> Answer:
    """An answer that names something, or nothing; `GOLD` is correct."""
    asked = Question(f"q{question}", "?", GOLD, (), None, "test", group or f"q{question}")
    exact = Span(0, len(named)) if named else None
    return Answer(
        question=asked,
        token_ids=(7, 8, 9),
        n_prompt=2,
        generated=TokenizedText(named, (len(named),), (len(named),)),
        ended=True,
        exact=exact,
        named=(named,) if named else (),
        correct=named == GOLD if exact and judged else None,
    )


def sampled_all(names: list[str], question: int = 0) -> list[Answer]:
    """The samples of one question."""
    return [sampled(name, question) for name in names]
