"""Read-outs: where the output of two paired runs is read, and for which tokens.

===========  =========================================================================================================
read-out     what is read
===========  =========================================================================================================
``answer``   at the token before the exact answer, the first tokens of the two answers: which one the model is about to
             name. Each run is cut there.
``whole``    the log-probabilities of the two whole exact answers, each spelt out after either run
``verdict``  after the whole answer the model is asked whether it is correct; ``Yes`` and ``No`` are read, so that
             cells within and after the answer have something that they can cause
===========  =========================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from interp.activations.batch_activations import batch_activations, hooks_of_sites
from interp.answers.prompts import STAND_IN, rendered
from interp.errors import InputError
from interp.examples import Answer, Span
from interp.models.hooked_model import HookedModel
from interp.models.output_path import output_logits
from interp.models.tokens import encoded_after, encoded_text
from interp.patching.pairs import Pair
from interp.patching.patches import Run, Target
from interp.work.batches import batched

ANSWERS_AT_ONCE = 32
VERDICT_QUESTION = "Is this answer correct? Answer with Yes or No."
ASKED = f"\nQ: {VERDICT_QUESTION}\nA:"
"""Of a base model, after an answer."""
VERDICTS = ("Yes", "No")


class ReadPair(NamedTuple):
    """A pair as it is run: clean and corrupt, each read for the same tokens.

    A read-out of whole answers has two of them, one with either answer spelt out.
    """

    clean: Run
    corrupt: Run
    signs: tuple[int, ...]
    """1 for targets of the clean answer, -1 for those of the corrupt one: the score of a run is the log-probability of
    the former less that of the latter. At one token that is the difference of their logits."""

    @property
    def of_clean_answer(self) -> ReadPair:
        """The same read for the clean answer alone: its score is the answer's log-probability."""
        return self._replace(signs=tuple(max(sign, 0) for sign in self.signs))


Reader = Callable[[Pair], "list[ReadPair]"]


def misfit_of_answers(clean: Answer, corrupt: Answer) -> str | None:
    """Why the exact answers of two questions cannot be told apart by their first tokens; None if they can."""
    if clean.exact is None or corrupt.exact is None:
        return "there is no exact answer"
    if not (_exact_tokens(clean) and _exact_tokens(corrupt)):
        return "an exact answer has no tokens"
    if set(clean.named) & set(corrupt.named) or clean.exact_text == corrupt.exact_text:
        return "the two answers are the same"
    if before_exact(clean) != before_exact(corrupt):
        return "one answer begins with a space, the other does not"
    if _exact_tokens(clean)[0] == _exact_tokens(corrupt)[0]:
        return "the two answers begin with the same token"
    return None


def misfit_of_verdicts(clean: Answer, corrupt: Answer) -> str | None:
    """Why two answers cannot be a pair for the verdict: one that is correct is contrasted with one that is not."""
    return None if clean.correct is True and corrupt.correct is False else "it is not a right answer and a wrong one"


def answer_runs(pair: Pair) -> list[ReadPair]:
    """The runs of a pair up to the exact answer, read for the first tokens of both."""
    first, second = _exact_tokens(pair.clean)[0], _exact_tokens(pair.corrupt)[0]

    def run(answer: Answer) -> Run:
        tokens = _before(answer)
        return Run(tokens, (Target(len(tokens) - 1, first), Target(len(tokens) - 1, second)))

    return [ReadPair(run(pair.clean), run(pair.corrupt), (1, -1))]


def whole_answer_runs(pair: Pair) -> list[ReadPair]:
    """The runs of a pair with the clean answer spelt out in both, then with the corrupt one."""

    def run(answer: Answer, spelt: Sequence[int]) -> Run:
        tokens = _before(answer)
        places = range(len(tokens) - 1, len(tokens) - 1 + len(spelt))
        return Run(
            (*tokens, *spelt[:-1]), tuple(Target(place, token) for place, token in zip(places, spelt, strict=True))
        )

    return [
        ReadPair(run(pair.clean, spelt), run(pair.corrupt, spelt), (sign,) * len(spelt))
        for spelt, sign in ((_exact_tokens(pair.clean), 1), (_exact_tokens(pair.corrupt), -1))
    ]


def verdict_reader(tokenizer: Any, ends: Collection[int], style: str) -> Reader:
    """What gives the runs of a pair with the verdict question after each answer, read for ``Yes`` and ``No``.

    The parameters are those of `verdict_run`.
    """
    run = verdict_run(tokenizer, ends, style)
    return lambda pair: [ReadPair(run(pair.clean), run(pair.corrupt), (1, -1))]


def verdict_run(tokenizer: Any, ends: Collection[int], style: str) -> Callable[[Answer], Run]:
    """What gives the run of an answer with the verdict question after it, read for ``Yes`` and ``No``.

    Parameters
    ----------
    tokenizer
        Of the model.
    ends
        Tokens that end an answer.
    style
        ``"chat"``: asked in a turn of its own. ``"base"``: on a line of its own, as the question was.
    """
    asked = _verdict_question(tokenizer, style)
    yes, no = (tokens[0] for tokens in spelt_verdicts(tokenizer, style))

    def run(answer: Answer) -> Run:
        # The end of the answer is the beginning of what follows it.
        said = answer.token_ids[:-1] if answer.token_ids[-1] in ends else answer.token_ids
        tokens = (*said, *asked)
        return Run(tokens, (Target(len(tokens) - 1, yes), Target(len(tokens) - 1, no)))

    return run


def spelt_verdicts(tokenizer: Any, style: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tokens of ``Yes`` and of ``No``, as they would follow the verdict question.

    Raises
    ------
    InputError
        If both begin with the same token.
    """
    before, space = (ASKED[-1], " ") if style == "base" else ("", "")
    yes, no = (encoded_after(tokenizer, before, space + word)[0] for word in VERDICTS)
    if yes[0] == no[0]:
        raise InputError(f"this tokenizer spells {VERDICTS[0]} and {VERDICTS[1]} with the same first token")
    return yes, no


def _verdict_question(tokenizer: Any, style: str) -> tuple[int, ...]:
    """The tokens from the end of an answer to where the verdict is to be given."""
    if style == "base":
        return encoded_after(tokenizer, ".", ASKED)[0]
    _, _, text = rendered(tokenizer, [("", STAND_IN)], VERDICT_QUESTION).partition(STAND_IN)
    return encoded_text(tokenizer, text, add_special_tokens=False)[0]


def _before(answer: Answer) -> tuple[int, ...]:
    """The tokens before the exact answer's first."""
    return answer.token_ids[: answer.n_prompt + answer.generated.first_token(_exact(answer))]


def _exact_tokens(answer: Answer) -> tuple[int, ...]:
    first, last = answer.generated.first_token(_exact(answer)), answer.generated.last_token(_exact(answer))
    return answer.token_ids[answer.n_prompt + first : answer.n_prompt + last + 1]


def before_exact(answer: Answer) -> str:
    """What the exact answer's first token has of the text before it, such as a space."""
    first = answer.generated.first_token(_exact(answer))
    begun = answer.generated.begun[first - 1] if first else 0
    return answer.text[begun : _exact(answer).start]


def _exact(answer: Answer) -> Span:
    if answer.exact is None:
        raise ValueError(f"the answer to {answer.question.id} has no exact answer to be read for")
    return answer.exact


def led(tokenizer: Any, answer: Answer, lead: str) -> Answer:
    """The answer with another text before its exact answer, up to which it is cut.

    Where what leads to an answer repeats the question's subject, or hints at the answer, a run has that from its own
    words too; after one text for all questions it has it from the question alone.

    Raises
    ------
    InputError
        If the tokenizer does not tell which token stands where in the text.
    """
    exact = answer.exact_text or ""
    said = f"{lead} {exact}" if lead else exact
    # Of a base model's the space in front is that of its line; a chat model begins anew.
    before = answer.prompt.text[-1:] if answer.prompt is not None and lead.startswith(" ") else ""
    ids, tokens = encoded_after(tokenizer, before, said)
    if tokens is None:
        raise InputError(
            f"the tokenizer cannot tell which token stands where in {lead!r}; take a --lead that it can spell"
        )
    span = Span(len(tokens.text) - len(exact), len(tokens.text))
    return replace(
        answer,
        token_ids=(*answer.token_ids[: answer.n_prompt], *ids),
        generated=tokens,
        exact=span if answer.exact is not None else None,
        ended=False,
    )


def said(model: HookedModel, answers: Sequence[Answer], *, most: int) -> tuple[list[Answer], int]:
    """The first answers whose exact part the model says itself, after what stands before it, and how many were tried.

    No more are tried once there are `most`.
    """
    hooks = hooks_of_sites(model, ["resid_post"], [model.cfg.n_layers - 1])
    found: list[Answer] = []
    n_tried = 0
    for batch in batched([answer for answer in answers if answer.exact is not None], ANSWERS_AT_ONCE):
        before = [_before(answer) for answer in batch]
        last = np.array([[len(tokens) - 1] for tokens in before])
        stream = batch_activations(model, before, last, hooks)["resid_post"][0, 0].to(model.cfg.device)
        with torch.inference_mode():
            tokens = output_logits(model, stream).argmax(1).tolist()
        found += [answer for answer, token in zip(batch, tokens, strict=True) if token == _exact_tokens(answer)[0]]
        n_tried += len(batch)
        if len(found) >= most:
            break
    return found, n_tried
