"""The maps of one column of the answers: of two classes, of several, or of a number; and what to predict from where."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from interp.answer_columns import Target
    from interp.examples import Answer
    from interp.heatmap import Heatmap
    from interp.labels import Labels, Split
    from interp.probe import Probing
    from interp.questions import QuestionSet
    from interp.store import ExamplesOfStore

CORRECTNESS = "correctness"
SHUFFLED = "shuffled"


@dataclass(frozen=True)
class Probed:
    """What the maps are made from."""

    target: Target
    answers: Sequence[Answer]
    groups: Sequence[str]
    sides: Sequence[str] | None
    split: Split
    store: ExamplesOfStore
    table: xr.Dataset
    mask: np.ndarray
    work: Path
    """Receives the scores of every example."""
    parts: Path
    """Receives the scores of every layer."""
    device: str
    bootstraps: int


@dataclass(frozen=True)
class ForTwoClasses:
    """What is made of two classes only."""

    permutations: int
    nested: bool
    controls: bool
    seed: int


def column_of(labels: str) -> tuple[str, bool]:
    """The column that a flag names, and whether its values are to be shuffled: ``shuffled``, ``shuffled:year``."""
    word, _, name = labels.partition(":")
    return (name or CORRECTNESS, True) if word == SHUFFLED else (labels, False)


def columns_to_keep(labels: str) -> list[str]:
    """The columns that the questions' file must have for these labels: none if answers themselves have them."""
    from interp.answer_columns import COLUMNS

    name, _ = column_of(labels)
    return [] if name in (CORRECTNESS, *COLUMNS) else [name]


def labelled(labels: str, kind: str, answers: Sequence[Answer], questions: QuestionSet, seed: int) -> Target:
    """What is to be predicted, of which answers."""
    from dataclasses import replace

    import numpy as np

    from interp.answer_columns import Target, answer_column, target_of

    name, shuffled = column_of(labels)
    if name == CORRECTNESS:
        judged = {row: answer.correct for row, answer in enumerate(answers) if answer.correct is not None}
        said = tuple("right" if correct else "wrong" for correct in judged.values())
        target = Target(name, "binary", tuple(judged), said, "wrong")
    else:
        target = target_of(name, answer_column(name, answers, questions.columns), kind)
    if not shuffled:
        return target
    order = np.random.default_rng(seed).permutation(len(target.rows)).tolist()
    return replace(target, values=tuple(target.values[index] for index in order))


def sides_of(answers: Sequence[Answer]) -> list[str]:
    """What an answer goes by, where answers that are alike are kept together: what it names ("the US" is "America")."""
    return [
        "|".join(answer.named) or answer.exact_text or f"no exact answer to {answer.question.id}" for answer in answers
    ]


def binary_maps(probed: Probed, probing: Probing, wanted: ForTwoClasses) -> list[Heatmap]:
    """The AUC of one class against the other, with what chance gives, and what it has beyond the controls."""
    from interp.chance import with_marks
    from interp.controls import beyond_map, control_scores, control_values
    from interp.files import whole_file
    from interp.metrics import with_metrics
    from interp.probe import METRIC, best_cell, example_scores, out_of_fold_scores, probe_map

    target, store, mask = probed.target, probed.store, probed.mask
    of_errors = target.name == CORRECTNESS
    positive = [value == target.positive for value in target.values]
    labels = probed.split.labels(positive, probed.groups, probed.sides, "wrong" if of_errors else "positive")
    scores = out_of_fold_scores(store, mask, labels, probing, parts=probed.parts, device=probed.device)
    with whole_file(probed.work / "examples.nc") as temporary:
        example_scores(scores, labels, store).to_netcdf(temporary, engine="h5netcdf")
    metric = METRIC if of_errors else target.metric
    heatmap = probe_map(scores, mask, labels, store, draws=probed.bootstraps, metric=metric)
    heatmap = with_metrics(heatmap, scores, labels, kind=probing.kind)
    if wanted.permutations:
        made_from = (scores, mask, labels, store, probed.split, probing)
        heatmap = with_marks(heatmap, *made_from, draws=wanted.permutations, seed=wanted.seed)
    best = best_cell(scores, labels, store) if wanted.nested else None
    of_best = {} if best is None else {"best_nested": json.dumps({"cells": best.cells, "auc": best.auc})}
    heatmaps = [heatmap]
    if wanted.controls:
        controls = control_scores(probed.answers, probed.table["token"].values, labels, probing)
        values = control_values(controls, labels, store.positions)
        heatmaps.append(beyond_map(heatmap, scores, controls["all"], labels, values))
    return [each.with_attributes(of_best) for each in heatmaps]


def class_maps(probed: Probed, probing: Probing) -> list[Heatmap]:
    """The mean AUC of each class against the rest."""
    from interp.class_probe import class_map, class_scores, example_class_scores
    from interp.files import whole_file

    store, mask = probed.store, probed.mask
    names = [str(value) for value in probed.target.values]
    classes: dict[str, Labels] = probed.split.one_against_the_rest(names, probed.groups, probed.sides)
    scores = class_scores(store, mask, classes, probing, parts=probed.parts, device=probed.device)
    with whole_file(probed.work / "examples.nc") as temporary:
        example_class_scores(scores, classes, store).to_netcdf(temporary, engine="h5netcdf")
    return [class_map(scores, mask, classes, store, metric=probed.target.metric, draws=probed.bootstraps)]


def number_maps(probed: Probed, penalties: Sequence[float], *, standardise: bool) -> list[Heatmap]:
    """R² of ridge regression."""
    from interp.files import whole_file
    from interp.number_probe import example_numbers, number_map, number_scores

    store, mask = probed.store, probed.mask
    numbers = probed.split.numbers([float(value) for value in probed.target.values], probed.groups, probed.sides)
    scores = number_scores(
        store, mask, numbers, penalties, standardise=standardise, parts=probed.parts, device=probed.device
    )
    with whole_file(probed.work / "examples.nc") as temporary:
        example_numbers(scores, numbers, store).to_netcdf(temporary, engine="h5netcdf")
    return [number_map(scores, mask, numbers, store, metric=probed.target.metric, draws=probed.bootstraps)]
