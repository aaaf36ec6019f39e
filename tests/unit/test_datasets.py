from __future__ import annotations

import json
from pathlib import Path

import pytest

from interp.datasets import load_questions
from interp.errors import InputError

ROWS = [
    {"question": "Who painted 'Guernica'?", "answer": "Pablo Picasso", "aliases": "Picasso", "subject": "Guernica"},
    {"question": "Who painted 'The Scream'?", "answer": "Edvard Munch", "group": "munch", "difficulty": "3"},
    {"question": 'Who wrote "Ada"?\nName one.', "answer": "Vladimir Nabokov"},
]


def csv_file(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_csv_and_jsonl_give_the_same_questions(tmp_path: Path) -> None:
    table = csv_file(
        tmp_path / "art.csv",
        "\ufeffQuestion,answer,aliases,subject,group,difficulty",
        "Who painted 'Guernica'?,Pablo Picasso,Picasso,Guernica,,",
        "Who painted 'The Scream'?, Edvard Munch,,,munch,3",
        '"Who wrote ""Ada""?\nName one.",Vladimir Nabokov,,,,',
    )
    (tmp_path / "lines").mkdir()
    lines = tmp_path / "lines" / "art.jsonl"
    lines.write_text("\n".join(json.dumps(row) for row in ROWS))
    from_csv, from_lines = (load_questions(str(path), n=3, seed=0) for path in (table, lines))
    assert from_csv.vocabulary == from_lines.vocabulary
    by_text = {q.prompt_parts.text: q for q in from_csv.questions}
    guernica = by_text["Who painted 'Guernica'?"]
    assert (guernica.gold, guernica.aliases, guernica.subject_text) == ("Pablo Picasso", ("Picasso",), "Guernica")
    assert guernica.group == guernica.prompt_parts.text
    scream = by_text["Who painted 'The Scream'?"]
    assert (scream.gold, scream.group, scream.difficulty) == ("Edvard Munch", "munch", 3.0)
    assert by_text['Who wrote "Ada"?\nName one.'].gold == "Vladimir Nabokov"
    naming = from_csv.vocabulary.first_named("By Picasso, I think.")
    assert naming is not None
    assert naming.answers == ("Pablo Picasso",)


def test_drawing_from_a_file_is_seeded(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "q.csv", "question,answer", *(f"Question {i}?,answer {i}" for i in range(50)))
    first = load_questions(str(path), n=10, seed=0)
    assert load_questions(str(path), n=10, seed=0) == first
    assert load_questions(str(path), n=10, seed=1) != first
    assert len(first.vocabulary.names) == 50, "answers that were not drawn still count"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("question,answer", "Who?,"), "line 2: no 'answer'"),
        (("question,reply", "Who?,me"), "line 2: no 'answer'.*found: question, reply"),
        (("question,answer,subject", "Who?,me,Guernica"), "line 2: the subject 'Guernica' does not stand"),
        (("question,answer,difficulty", "Who?,me,hard"), "line 2: 'difficulty' is 'hard'"),
        (("id,question,answer", "1,Who?,me", "1,What?,it"), "the id '1' occurs more than once"),
        (("question,answer", "Who?,me"), "has 1 questions, 3 were asked for"),
    ],
)
def test_a_malformed_csv_says_where(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_questions(str(csv_file(tmp_path / "q.csv", *lines)), n=3, seed=0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: not an object"),
        ('{"question": ["a"], "answer": "b"}', "line 2: 'question' is"),
        ('{"question": "a", "answer": "b", "aliases": 3}', "line 2: 'aliases' is 3"),
    ],
)
def test_a_malformed_jsonl_says_where(tmp_path: Path, line: str, message: str) -> None:
    path = csv_file(tmp_path / "q.jsonl", '{"question": "Who?", "answer": "me"}', line)
    with pytest.raises(InputError, match=message):
        load_questions(str(path), n=1, seed=0)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_bytes("question,answer\nWo?,Köln".encode("latin-1"))
    with pytest.raises(InputError, match="not a readable UTF-8"):
        load_questions(str(tmp_path / "q.csv"), n=1, seed=0)


def test_unknown_sets_and_absent_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown dataset 'citys'; nearest: cities"):
        load_questions("citys", n=1, seed=0)
    with pytest.raises(InputError, match="no question file"):
        load_questions(str(tmp_path / "absent.csv"), n=1, seed=0)
