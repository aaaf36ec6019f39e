"""The `capitals`, `currencies` and `continents` question sets: one question about each country, from GeoNames.

Only the 193 member states of the United Nations are asked about. A country is left out, and counted by reason, where
the question has no one answer (`data/country_facts.csv`) or gives it away. No answer has its share capped: in these
sets every country is there once, so that 51 of the 179 continents are Africa and 23 of the 168 currencies the euro.

What a model may say counts under all its usual names:

- A capital or another large city: a wrong answer is mostly a city that is no capital ("Sydney").
- A currency, with whose it is or without: "Canadian dollar" is one, "dollar" any of that name. Words that mean
  something else ("won", "real", "mark", "colón", "crown", "sum") count only after an adjective, and "won" and "colón"
  also after "the". Former currencies ("Greek drachma") count as the wrong answers that they are.
- A continent: also "African continent", and "Central America" as the part of North America that it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import product

from interp.errors import TooFewQuestions
from interp.examples import Question, Span
from interp.questions.geonames import CREDIT, Country, cities, counted, countries, listed, rows
from interp.questions.question_set import MAX_SHOTS, QuestionSet, seeded_order
from interp.questions.vocabulary import Vocabulary, fold

CAPITALS = "What city is the capital of {}?"
CURRENCIES = "What is the official currency of {}?"
CONTINENTS = "Which continent does {} belong to?"

MAX_NEW_TOKENS = 100
"""An answer about a country is often a paragraph."""

LARGE_CITY = 500_000
"""From this population on, a city that is no capital counts as an answer to `capitals`."""
LARGEST_CITIES = 2
"""So many cities of every country count in any case, if they have `CITY` inhabitants."""
CITY = 100_000
WORDS_IN_CITIES = frozenset(
    (
        *("bender", "bimbo", "bo", "carrefour", "charlotte", "columbus", "constantine", "cork", "erode", "essen"),
        *("golfe", "kara", "kira", "loni", "male", "mary", "natal", "perm", "pest", "queens", "seeb", "split"),
        *("tamale", "tyre", "van"),
    )
)
"""Names of cities that are also other words or names; they do not count."""
CAPITAL_DECOYS = (
    *("Washington State", "State of Washington", "George Washington", "Washington Post", "Lake Victoria"),
    *("Queen Victoria", "Victoria Falls", "Victoria Island", "Victoria, British Columbia", "Georgetown University"),
    *("Santiago de Compostela", "Nassau County", "Kingston upon Hull", "London, Ontario", "Paris, Texas"),
    *("Athens, Georgia", "Rome, Georgia", "San Jose, California", "Panama City Beach", "Lima bean", "Lima beans"),
    *("Duke of Wellington", "East London", "New London", "Treaty of Rome", "Treaty of Paris", "Old Delhi"),
)

CODES_WITH_OTHER_MEANINGS = frozenset(
    ["ALL", "AMD", "BAM", "BOB", "CAD", "COP", "CUP", "GEL", "MAD", "MOP", "PEN", "RON", "SAR", "SOS", "TOP", "TRY"]
)
"""Codes of currencies that are also English words, names or abbreviations; they do not count."""
CURRENCY_DECOYS = (
    *("Sierra Leone", "Simón Bolívar", "Núñez de Balboa", "Ayn Rand", "Rand Corporation", "sterling silver"),
    *("Costa del Sol", "Puerta del Sol", "pounds of", "pound of"),
    # What a currency is measured by is not the currency that was asked for.
    *(
        f"{relation} the {currency}"
        for relation in ("based on", "pegged to", "tied to", "equivalent to", "equivalent of")
        for currency in ("euro", "dollar", "US dollar", "U.S. dollar", "American dollar", "French franc", "CFA franc")
    ),
)

CONTINENT_NAMES = {
    "AF": ("Africa", "African continent"),
    "AN": ("Antarctica", "Antarctic continent"),
    "AS": ("Asia", "Asian continent"),
    "EU": ("Europe", "European continent"),
    "NA": ("North America", "North American continent", "Central America"),
    "OC": ("Oceania", "Australasia", "Australian continent", "continent of Australia"),
    "SA": ("South America", "South American continent"),
}
CONTINENT_DECOYS = (
    *("South Africa", "Asia-Pacific", "Asia Pacific", "Asia Minor", "Council of Europe"),
    *("Middle East and North Africa",),
    # A neighbour: "bordered by Africa to the south".
    *(f"{names[0]} to the {side}" for names in CONTINENT_NAMES.values() for side in ("north", "south", "east", "west")),
)


def capital_questions(n: int, seed: int) -> QuestionSet:
    """`n` questions for the capitals of countries, in an order that `seed` decides.

    Raises
    ------
    TooFewQuestions
        If `n` is larger than the number of countries that can be asked about.
    """
    names = _capital_names()
    golds = {iso: _capital(country) for iso, country in _members().items()}
    vocabulary = Vocabulary(names | _other_cities(names), (*CAPITAL_DECOYS, *_countries_not_capitals(names)))
    return _questions("capitals", CAPITALS, "no_capital_question", golds, golds, vocabulary, n, seed)


def currency_questions(n: int, seed: int) -> QuestionSet:
    """`n` questions for the currencies of countries, in an order that `seed` decides.

    Raises
    ------
    TooFewQuestions
        If `n` is larger than the number of countries that can be asked about.
    """
    by_code = {row["code"]: row for row in rows("currencies.csv") if row["code"]}
    golds = {iso: by_code[country.currency]["name"] for iso, country in _members().items()}
    words = {iso: by_code[country.currency]["words"] for iso, country in _members().items()}
    vocabulary = Vocabulary(_currency_names(), CURRENCY_DECOYS)
    return _questions("currencies", CURRENCIES, "no_currency_question", golds, words, vocabulary, n, seed)


def continent_questions(n: int, seed: int) -> QuestionSet:
    """`n` questions for the continents of countries, in an order that `seed` decides.

    Raises
    ------
    TooFewQuestions
        If `n` is larger than the number of countries that can be asked about.
    """
    golds = {iso: CONTINENT_NAMES[country.continent][0] for iso, country in _members().items()}
    hints = {iso: " ".join(CONTINENT_NAMES[country.continent]) for iso, country in _members().items()}
    vocabulary = Vocabulary({names[0]: names for names in CONTINENT_NAMES.values()}, CONTINENT_DECOYS)
    return _questions("continents", CONTINENTS, "no_continent_question", golds, hints, vocabulary, n, seed)


def _questions(
    dataset: str,
    wording: str,
    unclear: str,
    golds: Mapping[str, str],
    hints: Mapping[str, str],
    vocabulary: Vocabulary,
    n: int,
    seed: int,
) -> QuestionSet:
    """The question set, of the countries whose answer is clear and whose name does not begin as a word of `hints`."""
    dropped: Counter[str] = Counter()
    reasons = _with_reasons(unclear, hints)
    kept = [country for country, reason in reasons if not counted(reason, dropped)]
    if len(kept) < n:
        message = f"{dataset} has {len(kept)} questions, {n} were asked for; give --n {len(kept)} or less"
        raise TooFewQuestions(message, len(kept))
    kept.sort(key=lambda country: seeded_order(country.iso, seed))
    questions = tuple(_question(dataset, wording, country, golds[country.iso], vocabulary) for country in kept)
    dropped["not drawn"] = len(kept) - n
    return QuestionSet(
        name=dataset,
        questions=questions[:n],
        vocabulary=vocabulary,
        credit=CREDIT,
        dropped={reason: count for reason, count in dropped.items() if count},
        left=questions[n : n + MAX_SHOTS],
        max_new_tokens=MAX_NEW_TOKENS,
    )


def _question(dataset: str, wording: str, country: Country, gold: str, vocabulary: Vocabulary) -> Question:
    article = "the " if _facts(country)["the"] else ""
    name = country.name.removeprefix("The ")
    start = wording.index("{") + len(article)
    return Question(
        id=country.iso,
        text=wording.format(article + name),
        gold=gold,
        aliases=tuple(alias for alias in vocabulary.names[gold] if alias != gold),
        subject=Span(start, start + len(name)),
        dataset=dataset,
        group=country.iso,
        difficulty=float(country.population),
    )


def _with_reasons(unclear: str, hints: Mapping[str, str]) -> Iterator[tuple[Country, str | None]]:
    """Each country with the reason for which it cannot be asked about, if there is one."""
    for country in countries().values():
        if not country.un_member:
            yield country, "not a member state of the United Nations"
        elif _gives_away(country.name, hints[country.iso]):
            yield country, "country's name is like the answer"
        else:
            yield country, _facts(country)[unclear] or None


def _gives_away(name: str, answer: str) -> bool:
    """Whether a word of each begins with the same three letters: Algeria and Algiers, Belize and Belmopan."""
    return bool(_beginnings(name) & _beginnings(answer))


def _beginnings(text: str) -> set[str]:
    ordinary = {"the", "saint", "new", "south", "north", "city", "central", "republic", "continent"}
    return {word[:3] for word in re.findall(r"\w{3,}", fold(text)) if word not in ordinary}


def _members() -> dict[str, Country]:
    return {iso: country for iso, country in countries().items() if country.un_member}


def _facts(country: Country) -> Mapping[str, str]:
    """The country's row of `data/country_facts.csv`; empty cells if it has none."""
    table = _facts_by_country()
    return table.get(country.iso, dict.fromkeys(next(iter(table.values())), ""))


@cache
def _facts_by_country() -> dict[str, dict[str, str]]:
    return {row["iso"]: row for row in rows("country_facts.csv")}


def _capital(country: Country) -> str:
    return _facts(country)["capital"] or country.capital


def _capital_names() -> dict[str, tuple[str, ...]]:
    return {
        _capital(country): _distinct((_capital(country), *listed(_facts(country)["capital_other_names"])))
        for country in _members().values()
    }


def _other_cities(capitals: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Large cities that are no capital; those of one name are one answer."""
    taken = {fold(name) for names in capitals.values() for name in names} | WORDS_IN_CITIES
    seen: Counter[str] = Counter()
    others: dict[str, str] = {}
    for city in sorted(cities(), key=lambda city: (-city.population, city.id)):
        if fold(city.name) in taken or city.population < CITY or re.search(r"\d|/", city.name):
            continue
        seen[city.country] += 1
        if city.population >= LARGE_CITY or seen[city.country] <= LARGEST_CITIES:
            others.setdefault(fold(city.name), city.name)
    other_names = {row["name"]: listed(row["other_names"]) for row in rows("city_names.csv")}
    return {name: (name, *other_names.get(name, ())) for name in others.values()}


def _countries_not_capitals(capitals: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The names of countries, which may contain a city's: El Salvador, Guinea-Bissau."""
    taken = {fold(name) for names in capitals.values() for name in names}
    names = (name for country in countries().values() for name in country.names)
    return tuple(name for name in names if fold(name) not in taken)


def _currency_names() -> dict[str, tuple[str, ...]]:
    words = {row["word"]: row for row in rows("currency_words.csv")}
    return {row["name"]: _names_of_currency(row, words) for row in rows("currencies.csv")}


def _names_of_currency(row: Mapping[str, str], words: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """The currency's name, its words after each adjective, those that count alone, other names, and its code."""
    own = [words[word] for word in listed(row["words"])]
    alone = [form for word in own for form in listed(word["alone"])]
    after_adjective = [form for word in own for form in listed(word["only_after_an_adjective"])]
    phrases = (f"{adjective} {form}" for adjective, form in product(listed(row["adjectives"]), alone + after_adjective))
    code = {row["code"]} - CODES_WITH_OTHER_MEANINGS - {""}
    return _distinct((row["name"], *phrases, *alone, *listed(row["other_names"]), *code))


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    """The names without those that are the same but for case and accents."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(name if name.isupper() else fold(name), name)
    return tuple(first.values())
