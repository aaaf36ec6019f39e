"""The pairs of a question set, as they are run: who goes with whom, and what of their answers is read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from analyses.parts import asking, patching

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from interp.examples import Answer
    from interp.models.hooked_model import HookedModel
    from interp.patching.pair_runs import Candidate
    from interp.patching.pairs import Misfit, Pair
    from interp.patching.readouts import Reader
    from interp.questions.question_set import QuestionSet

SPARE = 1.25
"""So many times the answers that make up the pairs are looked for, since not every answer finds a partner."""


def candidates_of(
    config: patching.Config, questions: QuestionSet, model: HookedModel, answers: Sequence[Answer]
) -> tuple[list[Candidate], tuple[np.ndarray, np.ndarray], Counter[str]]:
    """Pairs of answers as they are run, the tokens of their positions on either side, and how many are in no pair."""
    from interp.patching.framing import misfit_of_framing
    from interp.patching.pair_runs import candidate_of
    from interp.positions import position_table

    judged = [answer for answer in answers if answer.correct is not None]
    usable, unsaid = usable_answers(config, questions, model, judged)
    pairs, alone = pairs_of(config, questions, usable, misfit_of_framing(model.tokenizer, usable))
    reader, names = reader_of(config, questions, model), patching.positions_of(config)
    clean, corrupt = (
        position_table(side, names)["token"].values
        for side in ([pair.clean for pair in pairs], [pair.corrupt for pair in pairs])
    )
    return [candidate_of(pair, reader) for pair in pairs], (clean, corrupt), alone + unsaid


def usable_answers(
    config: patching.Config, questions: QuestionSet, model: HookedModel, judged: Sequence[Answer]
) -> tuple[Sequence[Answer], Counter[str]]:
    """The answers with their lead, if there is one, and how many the model does not say after it."""
    from interp.patching import readouts
    from interp.questions.question_set import seeded_order

    if config.lead is None:
        return judged, Counter()
    # A base model's answer goes on in the line of the prompt.
    style = asking.prompting_of(config, questions).style_for(model.tokenizer)
    lead = f" {config.lead}" if style == "base" else config.lead
    led = [readouts.led(model.tokenizer, answer, lead) for answer in judged]
    if config.pair_column is not None or not config.only_said:
        return led, Counter()
    # In the order in which they are paired: no more of those that the model says are looked for than are used.
    led.sort(key=lambda answer: seeded_order(answer.question.id, config.seed))
    said, n_tried = readouts.said(model, led, most=int(SPARE * 2 * config.pairs))
    return said, Counter({"the model says another answer after the lead": n_tried - len(said)})


def pairs_of(
    config: patching.Config, questions: QuestionSet, answers: Sequence[Answer], misfit_of_framing: Misfit
) -> tuple[list[Pair], Counter[str]]:
    """Pairs of answers, and how many are in none, by reason."""
    from interp.patching import readouts
    from interp.patching.pairs import given_pairs, matched

    verdict = config.readout == "verdict"
    misfit_of_words = readouts.misfit_of_verdicts if verdict else readouts.misfit_of_answers

    def misfit(clean: Answer, corrupt: Answer) -> str | None:
        return misfit_of_framing(clean, corrupt) or misfit_of_words(clean, corrupt)

    if config.pair_column is not None:
        names = {identifier: str(name).strip() for identifier, name in questions.columns[config.pair_column].items()}
        return given_pairs({answer.question.id: answer for answer in answers}, names, misfit=misfit)
    right = [answer for answer in answers if answer.correct or not verdict]
    wrong = [answer for answer in answers if not answer.correct or not verdict]
    return matched(right, wrong, misfit=misfit, seed=config.seed)


def reader_of(config: patching.Config, questions: QuestionSet, model: HookedModel) -> Reader:
    """What gives the runs of a pair."""
    from interp.answers.answers import answer_ends
    from interp.patching import readouts

    if config.readout == "verdict":
        style = asking.prompting_of(config, questions).style_for(model.tokenizer)
        return readouts.verdict_reader(model.tokenizer, answer_ends(model, style), style)
    return readouts.answer_runs if config.readout == "answer" else readouts.whole_answer_runs
