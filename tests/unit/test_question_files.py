from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interp.errors import InputError
from interp.questions.cells import MAX_CHARACTERS
from interp.questions.datasets import load_questions
from interp.questions.question_set import QuestionSet
from interp.questions.tables import FILE_SUFFIXES

ROWS: list[dict[str, Any]] = [
    {
        "id": "a",
        "question": "Who painted 'Guernica'?",
        "answer": "Picasso",
        "aliases": "Pablo|P.",
        "subject": "Guernica",
    },
    {"id": "b", "question": "Who painted 'The Scream'?", "answer": "Munch", "group": "munch", "difficulty": "3"},
    {"id": "c", "question": 'Who wrote "Ada"?\nName one.', "answer": "Vladimir Nabokov"},
    {"id": "d", "question": "How much is 2 + 2, in Köln?", "answer": "4", "subject": "2 + 2"},
]
GOOD = {"id": "good", "question": "Who?", "answer": "me"}
LAST = {"id": "last", "question": "Why?", "answer": "so"}
EVERYWHERE = [
    ({"question": "", "answer": "me"}, "no question", "no 'question'"),
    ({"question": "Where?", "answer": "  "}, "no answer", "no 'answer'"),
    ({"question": "Where?", "answer": "me", "subject": "Guernica"}, "bad subject", "the subject 'Guernica' does not"),
    ({"question": "Where?", "answer": "me", "difficulty": "hard"}, "bad difficulty", "'difficulty' is 'hard'"),
    ({"question": "Where?", "answer": "me", "difficulty": "inf"}, "bad difficulty", "'difficulty' is 'inf'"),
    ({"question": "Where?", "answer": "me", "id": "good"}, "duplicate id", "the id 'good' occurs more than once"),
    ({"question": "W" * (MAX_CHARACTERS + 1), "answer": "me"}, "question too long", "has 100,001 characters"),
    ({"question": "W" * 2_000_000, "answer": "me"}, "question too long", "has 2,000,000 characters"),
]
TYPED = [
    ({"question": ["a"], "answer": "b"}, "bad question", "'question' is ['a']"),
    ({"question": "Where?", "answer": True}, "bad answer", "'answer' has True"),
    ({"question": "Where?", "answer": []}, "no answer", "no 'answer'"),
    ({"question": "Where?", "answer": ["", None]}, "no answer", "no 'answer'"),
    ({"question": "Where?", "answer": "me", "aliases": 3}, "bad aliases", "'aliases' is 3"),
    ({"question": "Where?", "answer": "me", "difficulty": [1]}, "bad difficulty", "'difficulty' is [1]"),
    ({"question": "Where?", "answer": "me", "subject": [2, 2]}, "bad subject", "the subject [2, 2] marks no text"),
    ({"question": "Where?", "answer": "me", "subject": [2, 7]}, "bad subject", "the subject [2, 7] marks no text"),
    ({"question": "Where?", "answer": "me", "subject": [-2, 3]}, "bad subject", "the subject [-2, 3] marks no text"),
    ({"question": "Where?", "answer": "me", "subject": [2]}, "bad subject", "the subject [2] marks no text"),
    (
        {"question": "Where is it?", "answer": "me", "subject": [5, 6]},
        "bad subject",
        "the subject [5, 6] marks no text",
    ),
]


def question_file(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """The rows in the format of the path's suffix."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        path.write_bytes(text.getvalue().encode())
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(list(rows)), encoding="utf-8")
    else:
        pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in columns}), path)
    return path


def loaded(path: Path, n: int = 1, *, strict: bool = False) -> QuestionSet:
    return load_questions(str(path), n=n, seed=0, strict=strict)


def require_left_out(path: Path, where: str, reason: str, message: str) -> None:
    """One row is bad: it is counted and described, the others are there, and `strict` says the same."""
    questions = loaded(path, 2)
    assert {question.gold for question in questions.questions} == {"me", "so"}
    assert questions.dropped == {reason: 1}
    (line,) = questions.excluded
    assert line.startswith(f"{path}, {where}: ")
    assert message in line
    assert ";" in line
    assert "\n" not in line
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        loaded(path, 2, strict=True)


@pytest.mark.parametrize("suffix", FILE_SUFFIXES)
@pytest.mark.parametrize(("row", "reason", "message"), EVERYWHERE, ids=lambda value: str(value)[:40])
def test_a_bad_row_is_left_out(tmp_path: Path, suffix: str, row: dict[str, Any], reason: str, message: str) -> None:
    path = question_file(tmp_path / f"q{suffix}", [GOOD, row, LAST])
    where = {".csv": "line 3", ".jsonl": "line 2", ".json": "row 2", ".parquet": "row 2"}[suffix]
    require_left_out(path, where, reason, message)


@pytest.mark.parametrize(("row", "reason", "message"), TYPED)
def test_a_bad_value_in_jsonl_is_left_out(tmp_path: Path, row: dict[str, Any], reason: str, message: str) -> None:
    require_left_out(question_file(tmp_path / "q.jsonl", [GOOD, row, LAST]), "line 2", reason, message)


@pytest.mark.parametrize("offsets", [[2, 2], [1, 5], [-1, 2], [0]])
def test_bad_offsets_in_parquet_are_left_out(tmp_path: Path, offsets: list[int]) -> None:
    rows = [GOOD | {"subject": [0, 3]}, {"question": "Who?", "answer": "x", "subject": offsets}, LAST]
    path = question_file(tmp_path / "q.parquet", rows)
    require_left_out(path, "row 2", "bad subject", f"the subject {offsets} marks no text")


@pytest.mark.parametrize(
    ("line", "reason", "message"),
    [
        (b"{", "not JSON", "not JSON (Expecting property name"),
        (b"[" * 100_000, "not JSON", "not JSON (RecursionError)"),
        (b'{"difficulty": ' + b"1" * 5000 + b"}", "not JSON", "not JSON (ValueError)"),
        (b"[1]", "not an object", "not an object"),
        ('{"question": "Köln?", "answer": "x"}'.encode("latin-1"), "not UTF-8", "not UTF-8"),
        (rb'{"question": "\ud800", "answer": "x"}', "not UTF-8", "'question' has half a character"),
        (rb'{"question": "a", "answer": "x", "id": "\udc80"}', "not UTF-8", "'id' has half a character"),
    ],
    ids=["brace", "nested", "digits", "array", "latin-1", "surrogate", "surrogate id"],
)
def test_a_bad_line_of_jsonl_is_left_out(tmp_path: Path, line: bytes, reason: str, message: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_bytes(b"\n".join([json.dumps(GOOD).encode(), b"", line, json.dumps(LAST).encode()]))
    require_left_out(path, "line 3", reason, message)


@pytest.mark.parametrize(
    ("line", "reason", "message"),
    [
        (b"Where, when?,me", "more fields than the header", "3 fields, and the header has 2"),
        ("Köln?,x".encode("latin-1"), "not UTF-8", "not UTF-8"),
        (b'"Where" is it?,x', "not CSV", "not CSV ("),
        (b"Where?", "no answer", "no 'answer'"),
    ],
)
def test_a_bad_line_of_csv_is_left_out(tmp_path: Path, line: bytes, reason: str, message: str) -> None:
    path = tmp_path / "q.csv"
    path.write_bytes(b"\n".join([b"question,answer", b'"Who\nis it?",me', line, b"Why?,so"]))
    require_left_out(path, "line 4", reason, message)


def test_a_bad_text_in_parquet_is_left_out(tmp_path: Path) -> None:
    texts = pa.array([b"Who?", "Köln?".encode("latin-1"), b"Why?"]).view(pa.string())
    pq.write_table(pa.table({"question": texts, "answer": ["me", "x", "so"]}), tmp_path / "q.parquet")
    require_left_out(tmp_path / "q.parquet", "row 2", "not UTF-8", "not UTF-8")


@pytest.mark.parametrize("precision", [pa.float16(), pa.float32(), pa.float64()])
def test_numbers_of_parquet_are_those_that_were_written(tmp_path: Path, precision: pa.DataType) -> None:
    """.1 in single precision is .10000000149 in double."""
    table = {"question": ["Pi?", "More?"], "answer": pa.array([0.1, 3.14], precision)}
    pq.write_table(pa.table(table | {"difficulty": pa.array([0.3, None], precision)}), tmp_path / "q.parquet")
    questions = loaded(tmp_path / "q.parquet", n=2).questions
    assert {question.gold: question.difficulty for question in questions} == {"0.1": 0.3, "3.14": None}


def test_the_limit_of_csv_fields_is_as_it_was(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    loaded(question_file(tmp_path / "q.csv", [GOOD, GOOD | {"question": "W" * 2_000_000}]))
    assert csv.field_size_limit() == before


def test_a_question_of_the_greatest_length_is_read(tmp_path: Path) -> None:
    path = question_file(tmp_path / "q.csv", [{"question": "W" * MAX_CHARACTERS, "answer": "me"}])
    assert len(loaded(path).questions[0].text) == MAX_CHARACTERS


def test_the_formats_give_the_same_questions(tmp_path: Path) -> None:
    sets = [loaded(question_file(tmp_path / f"art{suffix}", ROWS), 4) for suffix in FILE_SUFFIXES]
    assert len({questions.sha256 for questions in sets}) == 1
    by_id = {question.id: question for question in sets[0].questions}
    guernica, scream = by_id["a"], by_id["b"]
    assert (guernica.gold, guernica.aliases, guernica.subject_text) == ("Picasso", ("Pablo", "P."), "Guernica")
    assert (scream.gold, scream.group, scream.difficulty) == ("Munch", "munch", 3.0)
    assert by_id["c"].text == 'Who wrote "Ada"?\nName one.'
    assert by_id["c"].group == 'who wrote "ada"? name one.'
    naming = sets[0].vocabulary.first_named("By Pablo, I think.")
    assert naming is not None
    assert naming.answers == ("Picasso",)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ASKED = TEXTS.filter(str.strip)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries({"question": ASKED, "answer": ASKED, "aliases": TEXTS, "group": TEXTS})))
def test_any_texts_survive_every_format(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    rows = [{"id": f"{index}", **row} for index, row in enumerate([*rows, GOOD | {"aliases": "", "group": ""}])]
    rows[-1]["id"] = f"{len(rows)}"
    sets = [loaded(question_file(tmp_path / f"q{suffix}", rows), len(rows)) for suffix in FILE_SUFFIXES]
    for other in sets[1:]:
        assert replace(other, credit=sets[0].credit) == sets[0]
    for question in sets[0].questions:
        assert question.text == rows[int(question.id) - (question.id == f"{len(rows)}")]["question"].strip()


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_list_of_answers_is_the_gold_name_and_its_aliases(tmp_path: Path, suffix: str) -> None:
    row = {"question": "Who?", "answer": ["Picasso", "Pablo", " "], "aliases": ["P.", "Pablo", "Picasso"]}
    question = loaded(question_file(tmp_path / f"q{suffix}", [row])).questions[0]
    assert (question.gold, question.aliases) == ("Picasso", ("Pablo", "P."))


@pytest.mark.parametrize(
    ("answer", "gold"), [(9, "9"), (1912.0, "1912"), (9.5, "9.5"), ([9, 10], "9"), ("[9, 10]", "[9, 10]")]
)
def test_numbers_are_answers(tmp_path: Path, answer: object, gold: str) -> None:
    for suffix in (".jsonl", ".parquet"):
        assert loaded(question_file(tmp_path / f"q{suffix}", [GOOD | {"answer": answer}])).questions[0].gold == gold


def test_whole_numbers_of_a_table_with_gaps_are_whole(tmp_path: Path) -> None:
    """pandas makes them floats."""
    rows = [
        {"id": 7.0, "question": f"{year}?", "answer": year, "exact_answer": year, "model_answer": f"In {year:.0f}."}
        for year in (1912.0, 2001.0)
    ]
    rows[1] |= {"id": None}
    questions = loaded(question_file(tmp_path / "q.parquet", rows), n=2)
    assert {question.id: question.gold for question in questions.questions} == {"7": "1912", "2": "2001"}
    exact = {name: given.text[slice(*given.exact)] for name, given in questions.given.items() if given.exact}
    assert exact == {"7": "1912", "2": "2001"}


def test_a_rows_number_is_not_anothers_id(tmp_path: Path) -> None:
    rows = [{"question": "A?", "answer": "a"}, {"id": "2", "question": "B?", "answer": "b"}]
    questions = loaded(question_file(tmp_path / "q.csv", rows), n=2)
    assert {question.id: question.text for question in questions.questions} == {"line 2": "A?", "2": "B?"}


def test_a_row_of_several_lines_is_told_by_all_of_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "q.csv"
    path.write_text('question,answer\nWho?,me\n"Where?,me\nWhen?,"me"\nWhy?,so\n')
    with pytest.raises(InputError, match=r"lines 3 to 4: "):
        load_questions(str(path), n=1, seed=0, strict=True)


def test_surplus_fields_may_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text("question,answer\nWho?,me,\nWhy?,so,, \n")
    assert {question.gold for question in loaded(path, n=2).questions} == {"me", "so"}


def test_a_header_may_be_composed_or_not(tmp_path: Path) -> None:
    rows = [{unicodedata.normalize("NFD", "é"): "Who?", "answer": "me"}]
    path = question_file(tmp_path / "q.csv", rows)
    assert load_questions(str(path), n=1, seed=0, columns={"question": "é"}).questions[0].text == "Who?"


def test_a_list_in_csv_is_one_answer(tmp_path: Path) -> None:
    assert loaded(question_file(tmp_path / "q.csv", [GOOD | {"answer": "[9.0]"}])).questions[0].gold == "[9.0]"


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_offsets_count_in_the_text_as_it_stands(tmp_path: Path, suffix: str) -> None:
    row = {"question": "  Who painted Guernica? ", "answer": "Picasso", "subject": [13, 22]}
    question = loaded(question_file(tmp_path / f"q{suffix}", [row])).questions[0]
    assert question.text == "Who painted Guernica?"
    assert question.subject_text == "Guernica"


def test_a_subject_as_text_stands_in_the_stripped_question(tmp_path: Path) -> None:
    row = {"question": "  Who painted Guernica? ", "answer": "Picasso", "subject": " Guernica "}
    assert loaded(question_file(tmp_path / "q.csv", [row])).questions[0].subject_text == "Guernica"


def test_an_empty_number_of_pandas_is_no_value(tmp_path: Path) -> None:
    table = pa.table({"question": ["Who?", "Why?"], "answer": ["me", "so"], "difficulty": [float("nan"), 2.0]})
    pq.write_table(table, tmp_path / "q.parquet")
    assert {q.difficulty for q in loaded(tmp_path / "q.parquet", 2, strict=True).questions} == {None, 2.0}


def test_repeated_questions_share_a_group(tmp_path: Path) -> None:
    texts = ("Who  wrote Émile?", "who wrote\nEmile? ", "Who wrote Candide?")
    path = question_file(tmp_path / "q.jsonl", [{"question": text, "answer": "x"} for text in texts])
    groups = {question.text: question.group for question in loaded(path, 3).questions}
    assert set(groups.values()) == {"who wrote emile?", "who wrote candide?"}


def test_column_names_may_have_capitals_spaces_and_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("\ufeffQuestion, ANSWER ,other\nWho?, me ,1\n", encoding="utf-8")
    assert loaded(tmp_path / "q.csv").questions[0].gold == "me"


def test_drawing_from_a_file_is_seeded(tmp_path: Path) -> None:
    path = question_file(tmp_path / "q.csv", [{"question": f"{i}?", "answer": f"answer {i}"} for i in range(50)])
    first = load_questions(str(path), n=10, seed=0)
    assert load_questions(str(path), n=10, seed=0) == first
    assert load_questions(str(path), n=10, seed=1) != first
    assert len(first.vocabulary.names) == 50, "answers that were not drawn still count"


def test_the_rows_left_out_are_no_part_of_the_hash(tmp_path: Path) -> None:
    questions = loaded(question_file(tmp_path / "q.jsonl", [GOOD, LAST, {"question": "Where?"}]), 2)
    assert questions.excluded
    assert questions.sha256 == replace(questions, excluded=(), dropped={}).sha256
    assert questions.sha256 == loaded(question_file(tmp_path / "q.jsonl", [GOOD, LAST]), 2).sha256


def test_the_first_bad_rows_are_logged_with_the_total(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = question_file(tmp_path / "q.csv", [GOOD, *({"question": f"{i}?", "answer": ""} for i in range(7))])
    questions = loaded(path)
    assert questions.dropped == {"no answer": 7}
    assert caplog.messages == [*questions.excluded[:5], f"{path}: 7 of 8 rows are bad and were left out"]


@pytest.mark.parametrize("suffix", FILE_SUFFIXES)
@pytest.mark.parametrize(
    ("rows", "n", "message"),
    [
        ([{"question": "Who?", "reply": "me"}], 1, "no column 'answer' .found: 'question', 'reply'.; name"),
        ([{"q": "Who?"}], 1, "no column 'question' and no column 'answer' .found: 'q'.; name"),
        ([{"question": "Who?", "answer": ""}] * 2, 1, "no usable row, 2 were left out; the first: .*no 'answer'"),
        ([GOOD, LAST], 3, "has 2 questions, 3 were asked for; give --n 2 or less"),
        ([GOOD, GOOD, LAST], 3, r"has 2 questions \(1 bad rows were left out\), 3 were asked for"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    tmp_path: Path, suffix: str, rows: list[dict[str, Any]], n: int, message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        loaded(question_file(tmp_path / f"q{suffix}", rows), n)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.csv", b"", "is empty"),
        ("q.jsonl", b"\n\n", "is empty"),
        ("q.parquet", b"", "is empty"),
        ("q.csv", b"question,answer\n", "has no rows"),
        ("q.csv", b"question,Question,answer\nWho?,Who?,me", "more than one column 'question'"),
        ("q.csv", b'question,answer\nWho?,me\n"Why?,so\nWhere?,there\n', "line 3: a quoted text begins"),
        ("q.csv", b'"question"s,answer\nWho?,me', "the header is not CSV"),
        ("q.csv", "question,answer\nWho?,me".encode("utf-16"), "no column 'question'.*save it as UTF-8"),
        ("q.parquet", b"question,answer", "not a readable Parquet file"),
    ],
)
def test_a_file_that_is_not_a_table_says_why(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        loaded(tmp_path / name)
    assert "\n" not in str(error.value)


def test_an_empty_parquet_table_has_no_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"question": pa.array([], pa.string()), "answer": []}), tmp_path / "q.parquet")
    with pytest.raises(InputError, match="has no rows"):
        loaded(tmp_path / "q.parquet")


def require_loads_or_is_refused(path: Path, *, strict: bool = False) -> None:
    try:
        questions = loaded(path, strict=strict)
    except InputError as error:
        lines = [str(error)]
    else:
        assert questions.sha256
        lines = list(questions.excluded)
        assert sum(questions.dropped.values()) == len(lines)
    assert all(len(line.splitlines()) == 1 and line.encode() for line in lines)


BYTES = st.binary() | st.lists(
    st.sampled_from([b"question,answer", b"\n", b"\r", b'"', b",", b"Who?", b"\xff", b"\0", b'{"question": "a", '])
    | st.sampled_from([b'"answer": ', b'["b"]', b"NaN", b"1e999", b"}", b"[", b"\xef\xbb\xbf", b'"\\ud800"']),
    max_size=30,
).map(b"".join)


@pytest.mark.parametrize("head", [b"", b"question,answer\n", b'{"question": "a", "answer": '])
@pytest.mark.parametrize("suffix", FILE_SUFFIXES)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=BYTES, strict=st.booleans())
def test_any_bytes_load_or_are_refused(tmp_path: Path, suffix: str, head: bytes, content: bytes, strict: bool) -> None:
    path = tmp_path / f"q{suffix}"
    path.write_bytes(head + content)
    require_loads_or_is_refused(path, strict=strict)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_a_damaged_parquet_file_loads_or_is_refused(tmp_path: Path, position: float, byte: int) -> None:
    path = question_file(tmp_path / "q.parquet", ROWS)
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] = byte
    path.write_bytes(content)
    require_loads_or_is_refused(path)


SAID = {"question": "How old?", "answer": "9", "model_answer": "At 19 she was 9 inches taller than at 9."}


@pytest.mark.parametrize("suffix", FILE_SUFFIXES)
def test_answers_that_the_user_has_are_kept(tmp_path: Path, suffix: str) -> None:
    path = question_file(tmp_path / f"q{suffix}", [SAID | {"exact_answer": "9"}, {**SAID, "exact_answer": "NO ANSWER"}])
    questions = loaded(path, 2)
    first, second = (questions.given[question.id] for question in sorted(questions.questions, key=lambda q: q.id))
    assert first.text == second.text == SAID["model_answer"]
    assert first.exact == (14, 15), "whole words: not the 9 of 19"
    assert (second.exact, second.no_exact) == (None, True)
    assert questions.grading == "match", "a user's exact answer need not be a name that the file has"
    assert questions.sha256 != loaded(question_file(tmp_path / f"p{suffix}", [SAID, SAID]), 2).sha256


def test_only_the_answers_of_questions_that_are_drawn_are_given(tmp_path: Path) -> None:
    rows = [SAID | {"question": f"How old is {i}?"} for i in range(9)]
    questions = loaded(question_file(tmp_path / "q.csv", rows), 3)
    assert set(questions.given) == {question.id for question in questions.questions}
    assert all(answer.exact is None and not answer.no_exact for answer in questions.given.values())
    assert questions.grading == "named"


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet"])
def test_the_place_of_the_exact_answer_may_be_given(tmp_path: Path, suffix: str) -> None:
    path = question_file(tmp_path / f"q{suffix}", [SAID | {"exact_answer": [37, 39]}])
    assert loaded(path).given["1"].exact == (38, 39), "without the spaces around it"


@pytest.mark.parametrize(
    ("rows", "reason", "message"),
    [
        ([SAID, GOOD], "no model answer", "no 'model_answer', which other rows have"),
        (
            [SAID | {"exact_answer": "9"}, SAID | {"exact_answer": "ten"}],
            "bad exact answer",
            "the exact answer 'ten' does not stand in the model's",
        ),
        ([SAID, SAID | {"choices": "8|10"}], "answer not offered", "the answer '9' is not among the choices"),
        (
            [GOOD, LAST | {"context": "c" * (MAX_CHARACTERS + 1)}],
            "context too long",
            "the context has 100,001 characters",
        ),
    ],
)
def test_what_a_user_has_that_does_not_fit_is_left_out(
    tmp_path: Path, rows: list[dict[str, Any]], reason: str, message: str
) -> None:
    path = question_file(tmp_path / "q.csv", rows)
    questions = loaded(path)
    assert questions.dropped == {reason: 1}
    assert message in questions.excluded[0]


def test_an_exact_answer_needs_the_answer_that_it_stands_in(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no usable row, .* an 'exact_answer' and no 'model_answer' that it stands in"
    ):
        loaded(question_file(tmp_path / "q.csv", [GOOD | {"exact_answer": "me"}]))


def test_a_row_without_its_exact_answer_has_none(tmp_path: Path) -> None:
    rows = [SAID | {"id": "1", "exact_answer": "9"}, SAID | {"id": "2", "exact_answer": ""}]
    questions = loaded(question_file(tmp_path / "q.csv", rows), 2)
    assert [questions.given[identifier].no_exact for identifier in ("1", "2")] == [False, True]


def test_context_choices_and_completion(tmp_path: Path) -> None:
    row = {"question": "Who?", "answer": "nurse", "context": " She came. ", "choices": "nurse| cook |nurse"}
    question = loaded(question_file(tmp_path / "q.csv", [row | {"completion": "She is the"}])).questions[0]
    assert (question.context, question.completion) == (" She came. ", "She is the")
    assert question.choices == ("cook", "nurse"), "in an order that does not tell the answer"


def test_the_same_question_about_another_context_is_another_question(tmp_path: Path) -> None:
    rows = [{"question": "Who?", "answer": "x", "context": context} for context in ("One.", "Two.", "ONE. ")]
    questions = loaded(question_file(tmp_path / "q.jsonl", rows), 3)
    groups = {question.id: question.group for question in questions.questions}
    assert groups["1"] == groups["3"] != groups["2"]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet"])
def test_rows_that_share_any_of_their_groups_are_one_group(tmp_path: Path, suffix: str) -> None:
    shared = [["a", "b"], ["c", "b"], ["c", "d"], ["e"], ["f", "e"], ["g"]]
    rows = [{"question": f"{i}?", "answer": "x", "group": names} for i, names in enumerate(shared)]
    questions = loaded(question_file(tmp_path / f"q{suffix}", rows), 6)
    groups = {question.id: question.group for question in questions.questions}
    assert [groups[f"{i}"] for i in range(1, 7)] == ["a", "a", "a", "e", "e", "g"]


def test_questions_that_are_left_are_of_other_groups(tmp_path: Path) -> None:
    rows = [{"question": f"{i}?", "answer": "x", "group": f"g{i % 5}"} for i in range(40)]
    for n in (1, 2, 3, 20):
        questions = loaded(question_file(tmp_path / "q.csv", rows), n)
        asked = {question.group for question in questions.questions}
        assert not asked & {question.group for question in questions.left}
        assert len(questions.left) <= 8


def test_columns_may_be_called_something_else(tmp_path: Path) -> None:
    rows = [{"Query": "Who?", "reply": {"value": "me", "others": ["I"]}, "answer": "not this", "id": "7"}]
    path = question_file(tmp_path / "q.jsonl", rows)
    columns = {"question": "query", "answer": "reply.value", "aliases": "reply.others"}
    question = load_questions(str(path), n=1, seed=0, columns=columns).questions[0]
    assert (question.id, question.names) == ("7", ("me", "I"))
    with pytest.raises(InputError, match="no column 'asked'"):
        load_questions(str(path), n=1, seed=0, columns=columns | {"question": "asked"})
    with pytest.raises(InputError, match="unknown column 'answers'; nearest: answer"):
        load_questions(str(path), n=1, seed=0, columns={"answers": "reply"})


def test_a_column_with_a_point_in_its_name_is_that_column(tmp_path: Path) -> None:
    path = question_file(tmp_path / "q.csv", [{"question": "Who?", "a.b": "me"}])
    assert load_questions(str(path), n=1, seed=0, columns={"answer": "a.b"}).questions[0].gold == "me"


@pytest.mark.parametrize("content", ["[1, 2", '{"a": [], "b": []}', '"text"', "{}", "[" * 100_000])
def test_json_that_is_no_list_of_rows_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "q.json").write_text(content)
    with pytest.raises(InputError, match=r"is not JSON|has no list of rows") as error:
        loaded(tmp_path / "q.json")
    assert "\n" not in str(error.value)


def test_a_difficulty_of_0_is_another_question_than_one_of_none(tmp_path: Path) -> None:
    with_0, without = (
        loaded(question_file(tmp_path / f"{len(more)}.jsonl", [GOOD | more, LAST])) for more in ({"difficulty": 0}, {})
    )
    assert with_0.sha256 != without.sha256
