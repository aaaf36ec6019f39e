"""Question sets of all kinds on the real small model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analyses import cli
from interp.answers.answer_files import load_answers
from interp.positions import position_table
from interp.questions.datasets import BUILT_IN
from tests.row_files import written


def run(*arguments: str, status: int = 0) -> None:
    assert cli.main(list(arguments)) == status


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_answers_given_back_are_the_answers_that_were_generated(folder: Path) -> None:
    """Asked, written to a file as a user would have them, read from there: the same tokens at the same positions."""
    run("answers", "--n", "16", "--dtype", "float32")
    (generated,) = folder.rglob("answers.parquet")
    ended = [answer for answer in load_answers(generated)[0] if answer.ended]
    rows = [
        {
            "id": answer.question.id,
            "question": answer.question.text,
            "subject": answer.question.subject_text,
            "answer": answer.question.gold,
            "model_answer": answer.text,
            "exact_answer": answer.exact_text or "NO ANSWER",
        }
        for answer in ended
    ]
    run("answers", "--dataset", str(written(folder / "said.csv", rows)), "--n", f"{len(rows)}", "--dtype", "float32")
    (given,) = set(folder.rglob("answers.parquet")) - {generated}
    by_id = {answer.question.id: answer for answer in load_answers(given)[0]}
    again = [by_id[answer.question.id] for answer in ended]
    assert [answer.text for answer in again] == [answer.text for answer in ended]
    # The model may spell a text in other tokens than the tokenizer would; it hardly ever does.
    same = [old.token_ids == new.token_ids for old, new in zip(ended, again, strict=True)]
    assert sum(same) >= 0.95 * len(same)
    kept = [pair for pair, is_same in zip(zip(ended, again, strict=True), same, strict=True) if is_same]
    old, new = (position_table(answers)["token"].values for answers in zip(*kept, strict=True))
    assert (old == new).all()


def test_winobias_is_asked_and_read_by_its_two_occupations(folder: Path, capsys: pytest.CaptureFixture) -> None:
    rows = [
        {
            "sentence": f"The {one} argued with the {other} because {pronoun} did not like the {thing}.",
            "answer": one,
            "incorrect_answer": other,
            "q": f"The pronoun '{pronoun}' refers to the",
            "q_instruct": f"Who does the pronoun '{pronoun}' refer to?",
        }
        for one, other in (("developer", "designer"), ("mechanic", "clerk"), ("cook", "nurse"))
        for thing in ("plan", "food", "place", "idea", "work", "song", "game", "tool", "book", "road")
        for pronoun in ("he", "she")
    ]
    written(folder / "winobias_dev.csv", rows)
    run("doctor", "--dataset", f"winobias:{folder}", "--n", "60", "--sample", "12", "--dtype", "float32")
    printed = capsys.readouterr().out
    assert re.search(r"^'The \w+ argued .* Who does the pronoun '", printed.replace('"', "'"), flags=re.MULTILINE)
    marked = re.findall(r"^ +\d+ █ ' ?(\w+)'", printed, flags=re.MULTILINE)
    assert len(marked) >= 4, "of five answers shown"
    assert set(marked) <= {"developer", "designer", "mechanic", "clerk", "cook", "nurse"}
    counts = {label: int(n) for n, label in re.findall(r"^ +(\d+)  (answered|correct)$", printed, flags=re.MULTILINE)}
    assert 8 <= counts["answered"] <= 12
    assert "more than one group" not in printed, "twins share theirs"


def test_the_models_own_copies_are_words_of_its_answers(folder: Path) -> None:
    names = ["Vienna", "Paris", "Rome", "Cairo"]
    rows = [{"question": f"In which country is {name}?", "answer": "Xanadu"} for name in names]
    path = written(folder / "open.csv", rows)
    run("answers", "--dataset", str(path), "--n", "4", "--extraction", "prompted", "--tries", "2", "--dtype", "float32")
    (saved,) = folder.rglob("answers.parquet")
    answers, metadata = load_answers(saved)
    assert metadata["identity"]["extraction"] == "prompted"
    assert {answer.found_by for answer in answers} == {"prompted"}
    for answer in answers:
        assert (answer.exact is None) == (answer.why_missing is not None) == (answer.correct is None)
        if answer.exact_text is not None:
            assert re.search(rf"(?<!\w){re.escape(answer.exact_text)}(?!\w)", answer.text)
    assert any(answer.exact for answer in answers), "this much even a small model can copy"


def test_the_table_of_the_sets_that_come_with_the_suite(capsys: pytest.CaptureFixture) -> None:
    run("data", "--n", "4", "--max-new-tokens", "16")
    printed = capsys.readouterr().out
    for name in BUILT_IN:
        assert re.search(rf"^{name} +4 +\d+ .*→", printed, flags=re.MULTILINE)
