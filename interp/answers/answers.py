"""A model's own answers to questions: generated, read and judged.

1. Each question becomes a prompt: a turn of the model's chat template, or for a base model a text to continue.
2. The model continues it, or the answer is the one that the user already has.
3. The exact answer is looked for in each text, without a look at the correct one (`interp.answers.extraction`).
4. Only then is the answer judged (`interp.answers.grading`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from interp.answers.extraction import COLUMN, NO_EXACT, with_exact_answers
from interp.answers.generation import Respondent
from interp.answers.grading import agrees, graded
from interp.answers.prompts import Prompt, Prompting, newline_tokens, prompt_of
from interp.answers.replies import Reader
from interp.errors import InputError
from interp.examples import Answer, GivenAnswer, Question, Span, TokenizedText
from interp.models.hooked_model import HookedModel, Sampling, context_length, stop_tokens
from interp.models.tokens import decoded_text, encoded_after
from interp.questions.question_set import QuestionSet

GENERATED = "answers"
"""The name of the journal."""
TRIES = 5
"""How often a model is asked to copy an exact answer, or for a verdict, as in Orgad et al. 2024."""


def answer_questions(
    respondent: Respondent,
    questions: QuestionSet,
    *,
    max_new_tokens: int,
    prompting: Prompting | None = None,
    reader: Respondent | None = None,
    tries: int = TRIES,
    sampling: Sampling | None = None,
    name: str = GENERATED,
) -> list[Answer]:
    """Ask a model every question, and read and judge what it says.

    Parameters
    ----------
    respondent
        The model, with the folder of its journals, from which an interrupted run goes on.
    questions
        What to ask, the answers that count, the rules by which they are read and judged, and the answers that the
        user already has: these are used and not generated.
    max_new_tokens
        Where an answer is cut if the model does not end it.
    prompting
        How the questions are put; None is as the tokenizer has it.
    reader
        The model that copies exact answers and judges, where the rules ask for one; None is the respondent.
    tries
        How often it is asked at most, for each answer.
    sampling
        How answers are drawn; None is greedy.
    name
        Of the journal, and of what the reader is asked about: one for each sample.

    Raises
    ------
    InputError
        If the model cannot be asked that way, or the tokenizer cannot spell an answer that the user has; or if a
        question with its answer is longer than what the model reads.
    """
    prompting = prompting or Prompting()
    tokenizer = respondent.model.tokenizer
    style = prompting.style_for(tokenizer)
    ends = answer_ends(respondent.model, style)
    shots = prompting.shots_for(style, questions.left)
    prompts = {question.id: prompt_of(tokenizer, question, prompting, shots) for question in questions.questions}
    asked = {
        identifier: prompt.token_ids for identifier, prompt in prompts.items() if identifier not in questions.given
    }
    generated = respondent.continuations(name, asked, ends=ends, max_new_tokens=max_new_tokens, sampling=sampling)
    answers = [
        unread_answer(tokenizer, question, prompts[question.id], generated[question.id], ends)
        if question.id in generated
        else given_answer(tokenizer, question, prompts[question.id], questions.given[question.id], ends, style=style)
        for question in questions.questions
    ]
    _require_read_whole(respondent.model, answers)
    reading = Reader(reader or respondent, name, tries, sampling.seed if sampling else 0)
    read = with_exact_answers(answers, questions, reading)
    return graded(read, questions.grading, reading)


def answer_ends(model: HookedModel, style: str) -> set[int]:
    """The tokens that end an answer: the model's own, and for a base model every token with a line break."""
    return {*stop_tokens(model), *(newline_tokens(model.tokenizer) if style == "base" else ())}


def unread_answer(
    tokenizer: Any, question: Question, prompt: Prompt, generated: Sequence[int], ends: Collection[int]
) -> Answer:
    """What a model generated, as a text whose tokens are known; not yet read or judged."""
    said = decoded_text(tokenizer, generated)
    ended = bool(generated) and generated[-1] in ends
    return _answer(question, prompt, generated, said, ended=ended)


def given_answer(
    tokenizer: Any, question: Question, prompt: Prompt, given: GivenAnswer, ends: Collection[int], *, style: str
) -> Answer:
    """An answer that the user has, in the tokens that the model would have spelt it in, its end included.

    A base model's answer goes on in the line of the prompt, after a space, and ends with the line; a chat model's
    begins after the prompt's line break, if it has one at its end, and ends with its end token.

    Raises
    ------
    InputError
        If the tokenizer does not tell which token stands where in it.
    """
    text = _without_end(tokenizer, given.text, style)
    space = " " if style == "base" and not text[:1].isspace() else ""
    last = prompt.tokens.text[-1:] if prompt.tokens is not None else ""
    before = last if style == "base" or last.isspace() else ""
    token_ids, tokens = encoded_after(tokenizer, before, space + text)
    if tokens is None:
        raise InputError(
            f"question {question.id}: the tokenizer cannot tell which token stands where in the answer "
            f"{text[:60]!r}; leave out the characters that it does not know"
        )
    end = _end_token(tokenizer, ends, style)
    reached = (len(tokens.text),) * len(end)
    said = TokenizedText(tokens.text, (*tokens.begun, *reached), (*tokens.complete, *reached))
    answer = _answer(question, prompt, (*token_ids, *end), said, ended=True)
    if given.exact is None and not given.no_exact:
        return answer
    # It may reach over the end that was taken off.
    start, stop = (0, 0) if given.exact is None else (min(place, len(text)) for place in given.exact)
    if start == stop:
        return replace(answer, found_by=COLUMN, why_missing=NO_EXACT)
    return replace(answer, exact=Span(len(space) + start, len(space) + stop), found_by=COLUMN)


def _require_read_whole(model: HookedModel, answers: Sequence[Answer]) -> None:
    most = context_length(model)
    longest = max(answers, key=lambda answer: len(answer.token_ids), default=None)
    if most is not None and longest is not None and len(longest.token_ids) > most:
        raise InputError(
            f"question {longest.question.id} and its answer have {len(longest.token_ids)} tokens, and the model reads "
            f"at most {most}; shorten them, or leave the row out"
        )


def summary(answers: Sequence[Answer], questions: QuestionSet) -> dict[str, int]:
    """The counts that a reader needs to judge the set: asked, named, correct, cut, and what fell out and why."""
    missing = Counter(answer.why_missing for answer in answers if answer.why_missing)
    correct = [answer for answer in answers if answer.correct]
    by_the_way = sum(not agrees(answer) for answer in correct)
    given = sum(answer.question.id in questions.given for answer in answers)
    return {
        "asked": len(answers),
        **({"given by the user, not generated": given} if given else {}),
        "answered": sum(answer.correct is not None for answer in answers),
        "correct": len(correct),
        **({"correct by the rule, though the exact answer is another": by_the_way} if by_the_way else {}),
        "cut at the token limit": sum(not answer.ended for answer in answers),
        **{f"not judged: {reason}": count for reason, count in sorted(missing.items())},
        **{f"not asked: {reason}": count for reason, count in sorted(questions.dropped.items())},
    }


def _answer(
    question: Question, prompt: Prompt, token_ids: Sequence[int], said: TokenizedText, *, ended: bool
) -> Answer:
    return Answer(
        question=question,
        token_ids=(*prompt.token_ids, *token_ids),
        n_prompt=len(prompt.token_ids),
        generated=said,
        ended=ended,
        prompt=prompt.tokens,
        spans=prompt.spans,
    )


def _end_token(tokenizer: Any, ends: Collection[int], style: str) -> tuple[int, ...]:
    """The token that ends an answer, if any does: the line's for a base model, else the tokenizer's own."""
    line = tokenizer("\n", add_special_tokens=False)["input_ids"][-1:] if style == "base" else []
    candidates = [*line, tokenizer.eos_token_id, *sorted(ends)]
    return next(((token,) for token in candidates if token in ends), ())


def _without_end(tokenizer: Any, text: str, style: str) -> str:
    """A text without the special tokens at its end, which many programs leave there, and without its line's."""
    if style == "base":
        text = text.rstrip("\r\n")
    while ends := [token for token in tokenizer.all_special_tokens if token and text.rstrip().endswith(token)]:
        text = text.rstrip().removesuffix(max(ends, key=len))
    return text
