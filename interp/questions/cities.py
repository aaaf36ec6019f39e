"""The `cities` question set: "In which country is the city of X?", from GeoNames.

Gold countries are the 193 member states of the United Nations; other territories may be named by a model and then
count as the answer that it gave.
"""

from __future__ import annotations

from collections import Counter

from interp.questions.geonames import CREDIT, City, CityTask, cities, countries, giveaway_pattern
from interp.questions.question_set import MAX_SHOTS, QuestionSet
from interp.questions.vocabulary import Vocabulary

MIN_POPULATION = 100_000
"""Smaller places are not asked about: a model that knows none of them has no errors to tell from knowledge."""
MAX_SHARE = 0.05
"""No country is the gold answer of more than this share of the questions."""
DECOYS = (
    *("New Mexico", "Gulf of Mexico", "New Jersey", "Jersey City", "Jersey Shore", "New South Wales", "New Guinea"),
    *("Gulf of Guinea", "Inner Mongolia", "South China Sea", "East China Sea", "China Sea", "Sea of Japan"),
    *("Gulf of Oman", "Jordan River", "Lake Chad", "Prince of Wales", "New England", "New Britain"),
)


def city_questions(n: int, seed: int) -> QuestionSet:
    """`n` questions about cities, in an order that `seed` decides.

    Cities of at least `MIN_POPULATION` enter in a seeded order, at most ``MAX_SHARE * n`` of one country. What is
    left out is counted by reason.

    Raises
    ------
    TooFewQuestions
        If fewer than `n` cities pass.
    """
    task = _task()
    dropped: Counter[str] = Counter()
    drawn = task.drawn(cities(), n, seed, MAX_SHARE, dropped)
    answers = countries()
    questions = [task.question(city, answers[city.country].name, answers[city.country].names[1:]) for city in drawn]
    return QuestionSet(
        name="cities",
        questions=tuple(questions[:n]),
        vocabulary=Vocabulary({country.name: country.names for country in answers.values()}, DECOYS),
        credit=CREDIT,
        dropped=dict(dropped),
        left=tuple(questions[n : n + MAX_SHOTS]),
    )


def _task() -> CityTask:
    answers = countries().values()
    return CityTask(
        dataset="cities",
        before="In which country is the city of ",
        area="country",
        area_of=lambda city: city.country,
        min_population=MIN_POPULATION,
        barred=_barred,
        gives_away=giveaway_pattern(name for country in answers for name in (*country.names, *country.demonyms)),
        giveaways="a country or demonym",
    )


def _barred(city: City) -> str | None:
    member = countries()[city.country].un_member
    return None if member else "not in a member state of the United Nations"
