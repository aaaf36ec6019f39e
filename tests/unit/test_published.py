"""The ten sets of the paper, from small files in the forms in which they come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interp.errors import InputError
from interp.questions.datasets import load_questions
from interp.questions.published import PUBLISHED
from interp.questions.question_set import QuestionSet
from tests.row_files import Rows, written

TRIVIA_REPOSITORY = {
    "Domain": "unfiltered",
    "Data": [
        {
            "Question": "Which river flows through Vienna?",
            "QuestionId": "tc_1",
            "Answer": {"Value": "Danube", "Aliases": ["Donau", "Danube", "Duna"], "Type": "WikipediaEntity"},
        },
        {"Question": "Who?", "QuestionId": "tc_2", "Answer": "Danube"},
    ],
}
TRIVIA_HUB = [
    {
        "question": "Which river flows through Vienna?",
        "question_id": "tc_1",
        "answer": {"value": "Danube", "aliases": ["Donau", "Danube", "Duna"]},
    }
]
HOTPOT_HUB = [
    {
        "id": "5a",
        "question": "Which of the two rivers is longer?",
        "answer": "the Danube",
        "context": {"title": ["Danube", "Rhine"], "sentences": [["It is long.", " Very."], ["It is shorter."]]},
    }
]
HOTPOT_OWN = [
    {
        "_id": "5a",
        "question": "Which of the two rivers is longer?",
        "answer": "the Danube",
        "context": [["Danube", ["It is long.", " Very."]], ["Rhine", ["It is shorter."]]],
    },
    {"_id": "5b", "question": "Which?", "answer": "it", "context": "none"},
]
MOVIES = [
    {"Question": "Who acted as Ada in the movie 'River's Edge'?", "Answer": " Anna Ash"},
    {"Question": "Who acted as Bea in the movie 'River's Edge'?", "Answer": "Bob Birch"},
    {"Question": "Who acted as Cid in the movie 'Other'?", "Answer": "Bob Birch"},
    {"Question": "Who acted as Dee in the movie 'Alone'?", "Answer": "Dan Dew"},
]
WINOBIAS = [
    {
        "type": "1",
        "stereotype": kind,
        "pronoun": pronoun,
        "sentence": f"The baker thanked the nurse because {pronoun} was kind.",
        "answer": "nurse",
        "incorrect_answer": "baker",
        "q": f"The pronoun '{pronoun}' refers to the",
        "q_instruct": f"Who does the pronoun '{pronoun}' refer to?",
    }
    for kind, pronoun in (("pro", "she"), ("anti", "he"))
]
WINOGRANDE_REPOSITORY = [
    {
        "Question": f"The cup fits the bag because the _ is {size}. What does the blank refer to in the sentence?",
        "Answer": right,
        "Wrong_Answer": wrong,
    }
    for size, right, wrong in (("small", "cup", "bag"), ("large", "bag", "cup"))
]
WINOGRANDE_HUB = [
    {"sentence": "Ann thanked Eve, for _ was kind.", "option1": "Ann", "option2": "Eve", "answer": "2"},
    {"sentence": "Ann thanked Eve, for _ was here.", "option1": "Ann", "option2": "Eve", "answer": ""},
]
MNLI_REPOSITORY = [
    {
        "Question": f'For the statement, "It rains", does the hypothesis "{hypothesis}" represent entailment, '
        "contradiction, or neutrality?",
        "Answer": answer,
        "Origin": "mnli",
    }
    for hypothesis, answer in (("It is wet", "entailment"), ("It is dry", "contradiction"), ("It is May", "neutral"))
]
MNLI_HUB = [
    {"premise": "It rains.", "hypothesis": "It is wet.", "label": 0},
    {"premise": "It rains.", "hypothesis": "It is May.", "label": 1},
    {"premise": "It rains.", "hypothesis": "It is dry.", "label": 2},
    {"premise": "It rains.", "hypothesis": "It is so.", "label": -1},
]
MATH = [
    {"id": "7", "question": " How much is 5 + 4? ", "answer": "[9.0]", "answerable": "True"},
    {"id": "8", "question": "How much is 1 / 8?", "answer": "[0.125]", "answerable": "True"},
    *(
        {"id": f"{i}", "question": "How much?", "answer": answer, "answerable": "True"}
        for i, answer in enumerate(("much", "[]", "[NaN]", "[1e400]", "[true"), start=9)
    ),
]
IMDB = [{"text": "A delight.", "label": 1}, {"text": "A bore.", "label": 0}]
PASSAGES = [
    {"Question": "who wrote it", "Answer": "Ann Ash", "Context": "It was written by Ann Ash."},
    {"Question": "Who wrote it", "Answer": "Bob", "Context": "Bob wrote it."},
]


def loaded(name: str, path: Path, n: int, **how: Any) -> QuestionSet:
    return load_questions(f"{name}:{path}", n=n, seed=0, **how)


@pytest.mark.parametrize(
    ("file", "rows"), [("unfiltered-web-train.json", TRIVIA_REPOSITORY), ("trivia.parquet", TRIVIA_HUB)]
)
def test_triviaqa(tmp_path: Path, file: str, rows: Any) -> None:
    questions = loaded("triviaqa", written(tmp_path / file, rows), 1)
    (question,) = questions.questions
    assert (question.id, question.text) == ("tc_1", "Which river flows through Vienna?")
    assert question.names == ("Danube", "Donau", "Duna")
    assert (questions.extraction, questions.grading, questions.max_new_tokens) == ("prompted", "contains", 100)
    assert questions.dropped == ({"bad answer": 1} if "Domain" in rows else {})


def test_triviaqa_is_found_in_the_papers_folder(tmp_path: Path) -> None:
    written(tmp_path / "triviaqa-unfiltered" / "unfiltered-web-dev.json", TRIVIA_REPOSITORY)
    questions = loaded("triviaqa", tmp_path, 1, split="test")
    assert questions.name == "triviaqa-test"
    with pytest.raises(InputError, match=r"has not the train split of triviaqa: .*unfiltered-web-train\.json"):
        loaded("triviaqa", tmp_path, 1)


def test_hotpotqa_without_context(tmp_path: Path) -> None:
    (question,) = loaded("hotpotqa", written(tmp_path / "hotpot.parquet", HOTPOT_HUB), 1).questions
    assert (question.id, question.gold, question.context) == ("5a", "the Danube", None)


@pytest.mark.parametrize(("file", "rows"), [("hotpot.parquet", HOTPOT_HUB), ("hotpot.json", HOTPOT_OWN)])
def test_hotpotqa_with_context(tmp_path: Path, file: str, rows: Rows) -> None:
    questions = loaded("hotpotqa-with-context", written(tmp_path / file, rows), 1)
    assert questions.questions[0].context == "It is long.\n Very.\nIt is shorter."
    assert questions.templates["chat"] == "{context}\n{question}"
    assert questions.dropped == ({"bad context": 1} if len(rows) > 1 else {})


def test_films_and_actors_that_are_there_again_are_one_group(tmp_path: Path) -> None:
    written(tmp_path / "movie_qa_train.csv", MOVIES)
    questions = loaded("movies", tmp_path, 4)
    groups = {question.gold: question.group for question in questions.questions}
    by_text = {question.text: question.group for question in questions.questions}
    assert len(set(by_text.values())) == 2
    assert by_text["Who acted as Ada in the movie 'River's Edge'?"] == by_text["Who acted as Cid in the movie 'Other'?"]
    assert groups["Dan Dew"] != groups["Anna Ash"]
    assert (questions.extraction, questions.grading) == ("prompted", "contains")


def test_winobias_twins_are_one_group_and_offer_both_occupations(tmp_path: Path) -> None:
    written(tmp_path / "winobias_dev.csv", WINOBIAS)
    questions = loaded("winobias", tmp_path, 2)
    first, second = sorted(questions.questions, key=lambda question: question.text)
    assert first.group == second.group
    assert first.choices == ("baker", "nurse")
    assert first.context == "The baker thanked the nurse because he was kind."
    assert (first.text, first.completion) == ("Who does the pronoun 'he' refer to?", "The pronoun 'he' refers to the")
    assert (questions.extraction, questions.grading) == ("names", "named")


def test_a_row_that_offers_one_occupation_would_tell_its_label(tmp_path: Path) -> None:
    alone = [row | {"incorrect_answer": offered} for row, offered in zip(WINOBIAS, ("", "nurse"), strict=True)]
    written(tmp_path / "winobias_dev.csv", [*WINOBIAS, *alone])
    assert loaded("winobias", tmp_path, 2).dropped == {"no two choices": 2}


def test_winogrande_of_the_repository(tmp_path: Path) -> None:
    odd = {"Question": "What is it?", "Answer": "cup", "Wrong_Answer": "bag"}
    written(tmp_path / "winogrande_train.csv", [*WINOGRANDE_REPOSITORY, odd])
    questions = loaded("winogrande", tmp_path, 2)
    small = next(question for question in questions.questions if question.gold == "cup")
    assert small.context == "The cup fits the bag because the _ is small."
    assert (small.text, small.choices) == ("What does the blank refer to in the sentence?", ("bag", "cup"))
    assert len({question.group for question in questions.questions}) == 1
    assert questions.dropped == {"no blank asked for": 1}


def test_winogrande_of_the_hub(tmp_path: Path) -> None:
    questions = loaded("winogrande", written(tmp_path / "train.parquet", WINOGRANDE_HUB), 1)
    (question,) = questions.questions
    assert (question.text, question.gold) == ("Who does the blank refer to in the sentence?", "Eve")
    assert questions.dropped == {"no answer": 1}


@pytest.mark.parametrize(("file", "rows"), [("mnli_train.csv", MNLI_REPOSITORY), ("mnli.parquet", MNLI_HUB)])
def test_mnli(tmp_path: Path, file: str, rows: Rows) -> None:
    questions = loaded("mnli", written(tmp_path / file, rows), 3)
    by_gold = {question.gold: question for question in questions.questions}
    assert by_gold["entailment"].text == MNLI_REPOSITORY[0]["Question"]
    assert len({question.group for question in questions.questions}) == 1, "one premise"
    for text, named in (
        ("It entails it.", "entailment"),
        ("It is contradictory", "contradiction"),
        ("Neutral.", "neutral"),
    ):
        naming = questions.vocabulary.first_named(text)
        assert naming is not None
        assert naming.answers == (named,)
        assert named in by_gold


def test_math(tmp_path: Path) -> None:
    written(tmp_path / "AnswerableMath.csv", MATH)
    questions = loaded("math", tmp_path, 2)
    by_id = {question.id: question for question in questions.questions}
    assert (by_id["7"].text, by_id["7"].names) == ("How much is 5 + 4?", ("9", "9.0"))
    assert by_id["8"].names == ("0.125",)
    assert questions.dropped == {"bad answer": 5}
    assert (questions.extraction, questions.grading, questions.max_new_tokens) == ("number", "contains", 200)


def test_imdb(tmp_path: Path) -> None:
    questions = loaded("imdb", written(tmp_path / "imdb.parquet", IMDB), 2)
    assert {question.text: question.gold for question in questions.questions} == {
        "A delight.": "positive",
        "A bore.": "negative",
    }
    assert set(questions.vocabulary.names) == {"positive", "negative"}


def test_natural_questions(tmp_path: Path) -> None:
    written(tmp_path / "nq_wc_dataset.csv", PASSAGES)
    questions = loaded("natural-questions-with-context", tmp_path, 2)
    assert {question.context for question in questions.questions} == {row["Context"] for row in PASSAGES}
    assert questions.grading == "judged"
    assert len({question.group.lower() for question in questions.questions}) == 1


def test_every_set_says_where_it_comes_from_and_whose_it_is() -> None:
    assert len(PUBLISHED) == 10
    for name, known in PUBLISHED.items():
        assert known.files or known.hub, name
        assert known.credit
        for template in known.options.get("templates", {}).values():
            assert template.count("{question}") == 1


def test_what_is_not_at_the_hub_says_which_file_is_needed() -> None:
    with pytest.raises(
        InputError, match=r"movies is not on the hub; .*--dataset movies:PATH.*data/movie_qa_train\.csv"
    ):
        load_questions("movies", n=1, seed=0)


def test_the_file_of_another_set_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "winobias_dev.csv", MATH)
    with pytest.raises(InputError, match=r"has not the columns of this set .found: 'id', .*needed: 'sentence'"):
        loaded("winobias", path, 1)


def test_the_bare_file_of_a_set_says_how_to_read_it(tmp_path: Path) -> None:
    path = written(tmp_path / "winobias_dev.csv", WINOBIAS)
    with pytest.raises(InputError, match=r"no column 'question' .* read it as --dataset winobias:"):
        load_questions(str(path), n=1, seed=0)


def test_another_split_or_flag_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "winobias_dev.csv", WINOBIAS)
    with pytest.raises(InputError, match="winobias has the splits train, test, not 'dev'"):
        loaded("winobias", path, 1, split="dev")
    with pytest.raises(InputError, match="takes no --columns"):
        loaded("winobias", path, 1, columns={"question": "q"})


@pytest.mark.parametrize("content", ["", "sentence,q,q_instruct,answer,incorrect_answer\n"])
def test_an_empty_file_of_a_set_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "winobias_dev.csv").write_text(content)
    with pytest.raises(InputError, match=r"is empty|has no rows"):
        loaded("winobias", tmp_path, 1)


VALUES = st.none() | st.text(max_size=6) | st.integers(-1, 3) | st.floats() | st.booleans()
NESTED = VALUES | st.lists(VALUES | st.lists(VALUES, max_size=2), max_size=3) | st.dictionaries(st.text(), VALUES)


@pytest.mark.parametrize("name", PUBLISHED)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_row_is_a_question_or_has_a_fault(tmp_path: Path, name: str, data: st.DataObject) -> None:
    needed, _ = data.draw(st.sampled_from(PUBLISHED[name].forms))
    rows = data.draw(st.lists(st.dictionaries(st.sampled_from(needed), NESTED), max_size=4))
    whole = {**dict.fromkeys(needed, "x"), "answer": "[1.0]"}
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, whole]))
    try:
        questions = loaded(name, path, 1)
    except InputError as error:
        lines = [str(error)]
    else:
        lines = list(questions.excluded)
        assert sum(questions.dropped.values()) == len(lines) <= len(rows) + 1
    assert all(len(line.splitlines()) == 1 for line in lines)
