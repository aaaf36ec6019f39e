"""The `us-cities` question set: "In which U.S. state is the city of X?", from GeoNames.

A state counts under its name and its postal abbreviation, which must stand in capitals. Abbreviations that mean
something else in capitals (`OTHER_MEANINGS`) are not looked for. The District of Columbia may be named by a model,
and is never the correct answer.
"""

from __future__ import annotations

from collections import Counter

from interp.questions.geonames import CREDIT, City, CityTask, cities, giveaway_pattern, us_states
from interp.questions.question_set import MAX_SHOTS, QuestionSet
from interp.questions.vocabulary import Vocabulary

MIN_POPULATION = 50_000
"""Smaller places are not asked about: many a model knows none of them."""
MAX_SHARE = 0.05
"""No state is the gold answer of more than this share of the questions."""
DISTRICT = "DC"
DISTRICT_NAMES = ("Washington, D.C.", "Washington, DC", "Washington D.C.", "Washington DC", "D.C.", "DC")
OTHER_MEANINGS = frozenset(["AL", "CO", "DE", "HI", "ID", "IN", "LA", "MA", "MD", "ME", "MS", "OH", "OK", "OR", "PA"])
"""Also words, Los Angeles, degrees, titles: "OK, it lies in LA"."""
PARTS_OF_NAMES = ("Carolina", "Dakota", "Hampshire", "Jersey", "Virginia", "Texark")
"""Words of a city's name that hint at the state, though they are no state's whole name ("Jersey City")."""
FEATURES = ("County", "River", "Street", "Avenue", "Beach", "Bay")
"""What a state's name is often part of without meaning it: Delaware County is in Ohio too."""
SUPERLATIVES = ("most residents is", "most people is", "highest population is", "largest population is")
"""What goes before a state that is said to be the largest, in texts that say that and not where the city is."""
DECOYS = (
    *("New York City", "Kansas City", "Iowa City", "Oklahoma City", "Texas City", "Michigan City", "Oregon City"),
    *("Virginia City", "Nevada City", "Colorado Springs", "Colorado City"),
    *("Baja California", "Gulf of California", "Lake Michigan", "Republic of Georgia", "Country of Georgia"),
    *("Washington University", "Washington Heights", "George Washington", "Lake Washington", "Port Washington"),
    *("Fort Washington", "Mount Washington", "Martha Washington", "Booker T. Washington", "Miami University"),
    *("Indiana University of Pennsylvania", "Wyoming Valley", "Delaware Valley", "Mississippi Delta"),
)


def us_city_questions(n: int, seed: int) -> QuestionSet:
    """`n` questions about cities of the United States, in an order that `seed` decides.

    Cities of at least `MIN_POPULATION` enter in a seeded order, at most ``MAX_SHARE * n`` of one state. What is left
    out is counted by reason.

    Raises
    ------
    TooFewQuestions
        If fewer than `n` cities pass.
    """
    task = _task()
    dropped: Counter[str] = Counter()
    candidates = [city for city in cities() if city.country == "US"]
    drawn = task.drawn(candidates, n, seed, MAX_SHARE, dropped)
    names = _names()
    golds = [us_states()[city.region] for city in drawn]
    questions = [task.question(city, gold, names[gold][1:]) for city, gold in zip(drawn, golds, strict=True)]
    return QuestionSet(
        name="us-cities",
        questions=tuple(questions[:n]),
        vocabulary=Vocabulary(names, _decoys()),
        credit=CREDIT,
        dropped={reason: count for reason, count in dropped.items() if count},
        left=tuple(questions[n : n + MAX_SHOTS]),
    )


def _task() -> CityTask:
    return CityTask(
        dataset="us-cities",
        before="In which U.S. state is the city of ",
        area="state",
        area_of=lambda city: city.region,
        min_population=MIN_POPULATION,
        barred=_barred,
        gives_away=giveaway_pattern((*us_states().values(), *PARTS_OF_NAMES)),
        giveaways="a state",
    )


def _barred(city: City) -> str | None:
    if city.region == DISTRICT:
        return "not in a state"
    return "several places in one entry" if "/" in city.name else None


def _names() -> dict[str, tuple[str, ...]]:
    """Every state under its names: "Washington" is the state, and "Washington, D.C." is not."""
    return {
        name: (name, *DISTRICT_NAMES) if code == DISTRICT else (name, *({code} - OTHER_MEANINGS))
        for code, name in us_states().items()
    }


def _decoys() -> tuple[str, ...]:
    states = [name for code, name in us_states().items() if code != DISTRICT]
    superlatives = (f"{words} {state}" for state in states for words in SUPERLATIVES)
    return (*DECOYS, *(f"{state} {feature}" for state in states for feature in FEATURES), *superlatives)
