"""Whether maps are of the same things, so that their cells mean the same: model, questions, positions, examples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from interp.comparisons.compare import Operand
from interp.errors import InputError

PUBLISHED = "published"
"""The kind of a map that says nothing of what it was made of."""
MODEL, DATASET = "model", "dataset"
"""What the maps may differ in, beside the method."""


class Trait(NamedTuple):
    """Something that decides what a cell means."""

    words: str
    attribute: str
    in_identity: bool
    may_differ: str | None
    """`MODEL` or `DATASET`, by which comparison it may; None if it must not in any."""


TRAITS = (
    Trait("the model", "revision", in_identity=False, may_differ=MODEL),
    Trait("the questions", "questions", in_identity=True, may_differ=DATASET),
    Trait("how many questions were asked", "n", in_identity=True, may_differ=DATASET),
    Trait("the policy of the positions", "policy", in_identity=False, may_differ=None),
)
TOLD = ("site", "dtype", "backend", "weights", "variant")
"""Attributes in which maps may differ without being of other cells; where they do, it is said."""
ASKED = ("prompt", "template", "shots", "max_new_tokens", "extraction", "grading", "reader", "tries")
"""What in their identities decides the answers, said likewise."""


def require_comparable(operands: Sequence[Operand], by: str) -> None:
    """Raise an `InputError` if cells of two maps do not mean the same, but for what they are compared by."""
    for first, second in combinations(operands, 2):
        for trait in TRAITS:
            values = [_trait(each, trait) for each in (first, second)]
            if None in values or values[0] == values[1] or trait.may_differ == by:
                continue
            remedy = f"give --by {trait.may_differ}" if trait.may_differ else "make them with the same --policy"
            raise InputError(
                f"{first.name} and {second.name} differ in {trait.words} ({values[0]}, {values[1]}): their cells are "
                f"not the same; {remedy}"
            )
        if by != DATASET and first.examples is not None and second.examples is not None:
            _require_shared_groups(first, second)


def _require_shared_groups(first: Operand, second: Operand) -> None:
    # Of a map of no examples no cell has a value, which is said elsewhere.
    if not (first.examples and second.examples and first.examples.ids and second.examples.ids):
        return
    if not set(first.examples.groups) & set(second.examples.groups):
        raise InputError(
            f"{first.name} and {second.name} are of different examples, such as {first.examples.ids[0]!r} and "
            f"{second.examples.ids[0]!r}: none is in both; make them of the same questions, or give --by dataset"
        )


def layers_differ(operands: Sequence[Operand]) -> bool:
    """Whether a published map, which is of another model, has other layers."""
    published = any(each.heatmap.data.attrs["kind"] == PUBLISHED for each in operands)
    return published and len({tuple(each.heatmap.layers) for each in operands}) > 1


def differences(operands: Sequence[Operand], *, by_depth: bool = False) -> list[str]:
    """What else tells the maps apart, a line each: cells that not all have, and how many examples are behind them."""
    lines = [line for noun in ("positions", *([] if by_depth else ["layers"])) if (line := _left_out(operands, noun))]
    made_here = [each for each in operands if each.heatmap.data.attrs["kind"] != PUBLISHED]
    for name in (*TOLD, *ASKED):
        values = {each.name: str(_told(each, name)) for each in made_here}
        if len(set(values.values())) > 1:
            lines.append(
                f"{name}: " + "; ".join(f"{value or 'as usual'} in {of_map}" for of_map, value in values.items())
            )
    known = {each.name: each.examples for each in operands if each.examples is not None}
    if known:
        told = ", ".join(f"{len(examples.ids)} in {name}" for name, examples in known.items())
        groups = set.intersection(*(set(examples.groups) for examples in known.values()))
        lines.append(f"examples: {told}" + (f"; groups of questions in all: {len(groups)}" if len(known) > 1 else ""))
    silent = [each.name for each in operands if each.examples is None]
    if silent:
        lines.append(f"examples not known, values taken as given: {', '.join(silent)}")
    return lines


def _told(operand: Operand, name: str) -> object:
    """What a map says of itself; empty where it says nothing."""
    source = operand.heatmap.identity if name in ASKED else operand.heatmap.data.attrs
    return source.get(name, "")


def _left_out(operands: Sequence[Operand], noun: str) -> str:
    """The positions, or layers, that are compared, and those of each map that are not; empty if all are."""
    of_maps = {each.name: [str(name) for name in getattr(each.heatmap, noun)] for each in operands}
    common = [name for name in next(iter(of_maps.values())) if all(name in each for each in of_maps.values())]
    others = {name: [each for each in names if each not in common] for name, names in of_maps.items()}
    told = [f"{', '.join(left)} of {name}" for name, left in others.items() if left]
    return f"{noun}: compared are {', '.join(common)}; left out are {'; '.join(told)}" if told else ""


def _trait(operand: Operand, trait: Trait) -> object:
    """None if the map does not say."""
    if operand.heatmap.data.attrs["kind"] == PUBLISHED:
        return None
    source = operand.heatmap.identity if trait.in_identity else operand.heatmap.data.attrs
    return source.get(trait.attribute)
