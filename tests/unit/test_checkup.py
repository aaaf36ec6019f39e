from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from interp.answers.checkup import findings
from interp.examples import Answer, Question, Span, TokenizedText


def template(turns: list[dict[str, str]], *, add_generation_prompt: bool, tokenize: bool) -> str:
    return turns[0]["content"] + ("<model>" if add_generation_prompt else "")


CHAT = SimpleNamespace(chat_template="…", apply_chat_template=template)
SILENT = SimpleNamespace(chat_template="…", apply_chat_template=lambda turns, **_: turns[0]["content"])
BASE = SimpleNamespace(chat_template=None)


def answer(index: int, correct: bool | None, *, ended: bool = True, n_tokens: int = 5) -> Answer:
    question = Question(f"{index}", f"Who {index}?", "x", (), None, "test", f"{index}")
    return Answer(
        question=question,
        token_ids=tuple(range(n_tokens)),
        n_prompt=3,
        generated=TokenizedText("x.", (1, 2), (1, 2)),
        ended=ended,
        exact=None if correct is None else Span(0, 1),
        correct=correct,
        prompt=TokenizedText("Who", (1, 2, 3), (1, 2, 3)),
        spans={"question": Span(0, 3)},
    )


GOOD = [answer(index, index % 2 == 0) for index in range(40)]


def told(answers: list[Answer], *, tokenizer: object = CHAT, folds: int = 5) -> list[str]:
    questions = [answer.question for answer in answers]
    return [str(one) for one in findings(answers, questions, folds=folds, tokenizer=tokenizer)]


def test_a_sound_set_gives_no_cause_for_warning() -> None:
    assert told(GOOD) == []


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([answer(i, True) for i in range(40)], "STOP: one class only: all 40 answers that were judged are correct"),
        ([answer(i, False) for i in range(40)], "STOP: one class only: all 40 answers that were judged are wrong"),
        ([answer(i, i < 2) for i in range(40)], "STOP: the rarer class would have about 2 examples"),
        ([answer(i, None) for i in range(40)], "STOP: no exact answer found in any of 40 answers"),
        ([*GOOD, *(answer(i, None) for i in range(40, 84))], "warning: an exact answer is found in 40 of 84"),
        ([*GOOD[:37], *(replace(a, ended=False) for a in GOOD[37:])], "warning: 3 of 40 answers are cut"),
        ([*GOOD[:39], replace(GOOD[39], prompt=None)], "warning: in 1 of 40 prompts the question's own tokens"),
    ],
)
def test_each_defect_is_told_with_its_remedy(answers: list[Answer], message: str) -> None:
    (line,) = told(answers)
    assert line.startswith(message)
    assert "; " in line


def test_answers_that_are_correct_by_the_rule_only_are_told() -> None:
    """Their exact answer is another: "9" in "19"."""
    named = [replace(a, named=("x",)) for a in GOOD]
    assert told(named) == []
    by_the_way = [replace(a, named=(), generated=TokenizedText("y.", (1, 2), (1, 2))) for a in GOOD[:6]]
    (line,) = told([*by_the_way, *named[6:]])
    assert line.startswith("warning: 3 of 20 correct answers are so by the rule only")
    assert line.endswith("--grading number, match or named")


def test_a_reader_that_copies_too_little_is_to_be_a_larger_model() -> None:
    unread = [replace(answer(i, None), found_by="prompted") for i in range(40, 84)]
    assert "; give a larger model to copy them, as --reader" in told(unread)[0]
    assert "; give a larger model as --reader" in told([*GOOD, *unread])[0]


def test_the_same_question_about_other_contexts_is_no_twin() -> None:
    twins = [replace(a, question=replace(a.question, text="Who?", context=f"Of {i}.")) for i, a in enumerate(GOOD)]
    assert told(twins) == []
    same = [replace(a, question=replace(a.question, context="Of one.")) for a in twins]
    assert told(same)[0].startswith("warning: 1 questions stand in more than one group")


def test_two_of_forty_cut_answers_are_within_the_limit() -> None:
    assert told([*GOOD[:38], *(replace(a, ended=False) for a in GOOD[38:])]) == []


def test_twins_in_different_groups_are_told() -> None:
    twin = replace(GOOD[1], question=replace(GOOD[1].question, text=" WHO  0?"))
    (line,) = told([GOOD[0], twin, *GOOD[2:]])
    assert line.startswith("warning: 1 questions stand in more than one group")
    grouped = replace(twin, question=replace(twin.question, group="0"))
    assert told([GOOD[0], grouped, *GOOD[2:]]) == []


def test_fewer_groups_than_folds_stop_the_run() -> None:
    one_group = [replace(a, question=replace(a.question, group="g")) for a in GOOD]
    assert told(one_group)[0].startswith("STOP: 1 groups of questions cannot be dealt into 5 folds")


def test_templates_are_judged() -> None:
    assert told(GOOD, tokenizer=SILENT)[0].startswith("warning: the chat template has no generation prompt")
    assert told(GOOD, tokenizer=BASE)[0].startswith("warning: the tokenizer has no chat template")


def test_what_makes_a_run_meaningless_comes_first() -> None:
    lines = told([answer(i, True, ended=False) for i in range(40)], tokenizer=SILENT)
    assert [line.split(":")[0] for line in lines] == ["STOP", "warning", "warning"]
