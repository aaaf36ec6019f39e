"""What estimates and matrices show, in sentences.

Their words are those of `interp.number_words` and `interp.wording.subject_words`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from interp.number_words import capitalised, counted, listed, number, of_all, span, with_interval
from interp.results.estimates import IN_GROUP
from interp.wording.list_description import Entry, Group, ListDescription
from interp.wording.subject_words import against_words, meaning_of, whose

GROUPS = {"all": "", "own": "tested out of fold on the set that was trained on", "other": "tested on another set"}


def list_sentences(description: ListDescription, length: str = "long") -> tuple[str, ...]:
    """Sentences that say what estimates or a matrix show, as `interp.wording.heatmap_wording.sentences`."""
    told = _short(description) if length == "short" else _long(description)
    return tuple(f"{capitalised(each)}." for each in told)


def _short(it: ListDescription) -> Iterator[str]:
    yield _about(it)
    parts = []
    for name, group in it.groups.items():
        if group.entries:
            first, last = group.entries[0], group.entries[-1]
            parts.append(f"{_led(name)}values go from {_valued(last)}, to {_valued(first)}")
            parts += [against_words(group.against)] if group.against else []
    yield "; ".join([*parts, *_missing(it)]) if parts else "; ".join(_missing(it))


def _long(it: ListDescription) -> Iterator[str]:
    yield _about(it)
    for name, group in it.groups.items():
        yield from _group(name, group)
    yield from _missing(it) or ["no value is missing"]
    if it.subject.variant:
        yield f"its own note: {it.subject.variant}"


def _about(it: ListDescription) -> str:
    subject = it.subject
    form = "matrix of training sets by test sets" if "own" in it.groups else "list of estimates"
    of_what = listed([subject.metric, whose(subject), f"at {subject.site}" if subject.site else ""])
    said = [subject.kind, meaning_of(subject.metric), counted(it.n_entries, "value"), _n(it)]
    return f"{form}: {of_what} ({'; '.join(filter(None, said))})"


def _n(it: ListDescription) -> str:
    n = [entry.n for group in it.groups.values() for entry in group.entries]
    return f"n = {span(min(n), max(n))}" if n else ""


def _group(name: str, group: Group) -> Iterator[str]:
    if not group.entries:
        return
    entries = [_valued(entry, with_ends=True) for entry in group.entries]
    yield f"{_led(name)}from the highest to the lowest: {listed(entries)}"
    if group.against:
        yield f"{_led(name)}{against_words(group.against)}; each is for its value alone, not corrected for their number"


def _led(name: str) -> str:
    return f"{GROUPS[name]}, " if GROUPS[name] else ""


def _valued(entry: Entry, *, with_ends: bool = False) -> str:
    """A value with what it is of."""
    said = with_interval(entry.value, entry.low, entry.high) if with_ends else number(entry.value)
    return f"{said} {_named(entry.name)}"


def _named(name: Sequence[str]) -> str:
    if len(name) == 1:
        return f"for {name[0]}"
    return f"for {name[0]}" if name[0] == name[1] else f"from {name[0]} to {name[1]}"


def _missing(it: ListDescription) -> list[str]:
    """What has no value; of estimates called ``group: name`` a group of which none has is named once."""
    if not it.missing:
        return []
    with_value = {_group_of(entry.name) for group in it.groups.values() for entry in group.entries}
    named = {name: _named(name).removeprefix("for ") for name in it.missing}
    names = dict.fromkeys(said if _group_of(name) in with_value else _group_of(name) for name, said in named.items())
    return [f"{of_all(len(it.missing), it.n_entries, 'value', ('is', 'are'))} missing: {'; '.join(names)}"]


def _group_of(name: tuple[str, ...]) -> str:
    return _named(name).removeprefix("for ").split(IN_GROUP)[0]
