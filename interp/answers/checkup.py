"""What is wrong with a set of questions and answers before anything expensive is computed from them.

Judges a sample of answers, as the whole run would: the classes a probe needs, the exact answers that positions need,
the limits that cut answers short, the twins that would leak from training to test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interp.answers.grading import agrees
from interp.examples import Answer, Question
from interp.questions.answer_columns import MIN_PER_CLASS
from interp.questions.vocabulary import fold

MAX_CUT = 0.05
"""With more answers than this cut at the token limit, the last columns are not the ends of answers."""
MIN_FOUND = 0.5
"""With fewer exact answers than this, the map is one of a minority of the answers."""
MAX_BY_THE_WAY = 0.1
"""With more correct answers than this whose exact answer is another, the labels are not about the exact answer."""


OPEN = "for open questions have the exact answer copied by a model (--extraction prompted)"


@dataclass(frozen=True)
class Finding:
    """Something that a user should know before the run."""

    fatal: bool
    """Whether a run would be meaningless."""
    what: str
    remedy: str

    def __str__(self) -> str:
        """One line: how bad, what, and what to do."""
        return f"{'STOP' if self.fatal else 'warning'}: {self.what}; {self.remedy}"


def findings(answers: Sequence[Answer], questions: Sequence[Question], *, folds: int, tokenizer: Any) -> list[Finding]:
    """What a sample of answers, all questions and the tokenizer give cause to warn of, the fatal first.

    Parameters
    ----------
    answers
        The sample.
    questions
        All questions of the run that is planned.
    folds
        Folds of its cross-fitting.
    tokenizer
        The model's.
    """
    found = [
        *_of_classes(answers, len(questions)),
        *_of_exact_answers(answers),
        *_of_grading(answers),
        *_of_length(answers),
        *_of_groups(questions, folds),
        *_of_template(tokenizer, answers),
    ]
    return sorted(found, key=lambda finding: not finding.fatal)


def _of_classes(answers: Sequence[Answer], n_questions: int) -> list[Finding]:
    judged = [answer.correct for answer in answers if answer.correct is not None]
    if not judged:
        return []
    right = sum(judged)
    expected = min(right, len(judged) - right) / len(answers) * n_questions
    if right in (0, len(judged)):
        named = "correct" if right else "wrong"
        what = f"one class only: all {len(judged)} answers that were judged are {named}"
        return [Finding(True, what, "take harder or easier questions, or another model")]
    if expected < MIN_PER_CLASS:
        what = f"the rarer class would have about {expected:.0f} examples, and a cell needs {MIN_PER_CLASS}"
        return [Finding(True, what, "ask more questions with --n")]
    return []


def _of_exact_answers(answers: Sequence[Answer]) -> list[Finding]:
    found = sum(answer.exact is not None for answer in answers)
    prompted = any(answer.found_by == "prompted" for answer in answers)
    if found == 0:
        remedy = (
            "give a larger model to copy them, as --reader"
            if prompted
            else f"give their other names as aliases, {OPEN}"
        )
        what = f"no exact answer found in any of {len(answers)} answers"
        return [Finding(True, what, f"{remedy}, or look at what the model says above")]
    if found < MIN_FOUND * len(answers):
        remedy = "give a larger model as --reader" if prompted else f"give aliases, {OPEN}"
        what = f"an exact answer is found in {found} of {len(answers)} answers only: the map would show these alone"
        return [Finding(False, what, f"{remedy}, or raise --max-new-tokens if the answers are cut")]
    return []


def _of_grading(answers: Sequence[Answer]) -> list[Finding]:
    correct = [answer for answer in answers if answer.correct]
    by_the_way = sum(not agrees(answer) for answer in correct)
    if by_the_way <= MAX_BY_THE_WAY * len(correct):
        return []
    what = f"{by_the_way} of {len(correct)} correct answers are so by the rule only, and their exact answer is another"
    return [Finding(False, what, "judge the exact answer itself: --grading number, match or named")]


def _of_length(answers: Sequence[Answer]) -> list[Finding]:
    cut = sum(not answer.ended for answer in answers)
    if cut <= MAX_CUT * len(answers):
        return []
    what = f"{cut} of {len(answers)} answers are cut at the token limit: -1 is not the end of what they would say"
    return [Finding(False, what, "raise --max-new-tokens")]


def _of_groups(questions: Sequence[Question], folds: int) -> list[Finding]:
    groups = {question.group for question in questions}
    found = []
    if len(groups) < folds:
        what = f"{len(groups)} groups of questions cannot be dealt into {folds} folds"
        found.append(Finding(True, what, "give questions that are not twins groups of their own, or fewer --folds"))
    by_text: dict[str, set[str]] = defaultdict(set)
    for question in questions:
        by_text[" ".join(fold(f"{question.context or ''} {question.text}").split())].add(question.group)
    twins = sum(len(same) > 1 for same in by_text.values())
    if twins:
        what = f"{twins} questions stand in more than one group: a fold may be tested on what it was trained on"
        found.append(Finding(False, what, "give rows with the same question the same group"))
    return found


def _of_template(tokenizer: Any, answers: Sequence[Answer]) -> list[Finding]:
    found = []
    if tokenizer.chat_template is None:
        what = "the tokenizer has no chat template: questions are asked as 'Q: …' and the answer ends with its line"
        found.append(Finding(False, what, "for a chat model, give the folder of its instruct version"))
    else:
        turn = [{"role": "user", "content": "?"}]
        asked = tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
        if asked == tokenizer.apply_chat_template(turn, add_generation_prompt=False, tokenize=False):
            what = "the chat template has no generation prompt: last_q is the end of the user's turn"
            found.append(Finding(False, what, "mind that when you compare last_q with other models"))
    unaligned = sum(answer.prompt is None or "question" not in answer.spans for answer in answers)
    if unaligned:
        what = f"in {unaligned} of {len(answers)} prompts the question's own tokens cannot be told from the template's"
        found.append(Finding(False, what, "leave out columns such as first_q and subject_last, which would be missing"))
    return found
