"""Linear probes that are kept: of every cell one for each fold, trained on the others, and one trained on all examples.

A probe's score of an activation x is the log-odds of being wrong,

    w · (x - mean) / scale + b

with the cell's mean and scale, which are those of the examples it was fitted to, whatever they are scored on. On other
questions the probe of all examples scores; on questions that were trained on, such as other answers to them, and on
those of their groups, the probe of their fold, which has not seen them. Which questions these are goes by their text,
whatever their set is called. What every probe was trained on, as four fifths are in the published split, has no score.

In a file (safetensors) there are ``mean`` and ``scale`` [layer, position, d_model], ``weight`` [layer, position, probe,
d_model] and ``intercept`` [layer, position, probe], in single precision, the last probe being that of all examples; NaN
where a cell has no probe. Its header has the layers, the positions, the folds of the examples, and what they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from interp.activations.store import Cells
from interp.errors import InputError
from interp.examples import Question
from interp.probes.cell_probe import (
    CellFits,
    Probing,
    best_cost,
    deviations,
    present_features,
    scaled_features,
    why_no_value,
    why_not_usable,
)
from interp.probes.cross_fitting import chosen_costs
from interp.probes.labels import NEVER, Labels
from interp.work.files import whole_file
from interp.work.threads import in_single_threads

ARRAYS = ("mean", "scale", "weight", "intercept")
HEADER = "interp"


class CellProbes(NamedTuple):
    """The probes of one cell; the last one is that of all examples."""

    mean: Float[np.ndarray, " d_model"]
    scale: Float[np.ndarray, " d_model"]
    weight: Float[np.ndarray, "probe d_model"]
    intercept: Float[np.ndarray, " probe"]

    def scores(
        self, activations: Float[torch.Tensor, "example d_model"], probe: Int[np.ndarray, " example"]
    ) -> Float[np.ndarray, " example"]:
        """The log-odds of being wrong; `probe` says which of them scores each example, NaN where it is `NEVER`."""
        features = (activations.cpu().double().numpy() - self.mean) / self.scale
        scores = (features * self.weight[probe]).sum(1) + self.intercept[probe]
        return np.where(probe == NEVER, np.nan, scores)


@dataclass(frozen=True)
class LinearProbes:
    """The probes of a map."""

    layers: tuple[int, ...]
    positions: tuple[str, ...]
    fold: Mapping[str, int]
    """For each example that they were trained on its fold, which is the number of the probe that has not seen it; or
    `NEVER`."""
    arrays: Mapping[str, Float[np.ndarray, "layer position ..."]]
    """As in the file, by `ARRAYS`."""
    record: Mapping[str, Any]
    """What they were trained on: JSON-able values."""

    @property
    def n_folds(self) -> int:
        """How many probes a cell has beside that of all examples."""
        return int(self.arrays["intercept"].shape[2]) - 1

    def cell(self, layer: int, position: str) -> CellProbes:
        """The probes of a cell.

        Raises
        ------
        InputError
            If there is no such cell, or it has no probe.
        """
        self.require_cell(layer, position)
        place = self.layers.index(layer), self.positions.index(position)
        cell = CellProbes(*[self.arrays[name][place].astype(np.float64) for name in ARRAYS])
        if np.isnan(cell.intercept).any():
            raise InputError(f"layer {layer}, {position} had no value when it was probed, and has no probe")
        return cell

    def require_cell(self, layer: int, position: str) -> None:
        """Raise an `InputError` if there is no such cell."""
        if layer not in self.layers or position not in self.positions:
            raise InputError(
                f"no probe at layer {layer}, {position}; these are of the layers {_listed(self.layers)} at "
                f"{_listed(self.positions)}"
            )

    def has_cell(self, layer: int, position: str) -> bool:
        """Whether there is such a cell, and it has a probe."""
        if layer not in self.layers or position not in self.positions:
            return False
        place = self.layers.index(layer), self.positions.index(position)
        return not bool(np.isnan(self.arrays["intercept"][place]).any())

    def scoring(self, examples: Sequence[str]) -> Int[np.ndarray, " example"]:
        """For each example the number of the probe that may score it: of its fold, or of all examples; or `NEVER`."""
        return np.array([self.fold.get(example, self.n_folds) for example in examples], dtype=np.int64)

    def for_questions(self, questions: Mapping[str, Question], dataset: str) -> LinearProbes:
        """The same, for examples that ask these questions, by their ids, of a set of this name.

        Raises
        ------
        InputError
            If the file does not say which questions they were trained on.
        """
        if not {"questions", "groups"} <= self.record.keys():
            raise InputError(
                "these probes do not say which questions they were trained on, as older ones do not; delete their file "
                "and make them again with interp probe --save-probes"
            )
        of_texts: Mapping[str, int] = self.record["questions"]
        of_groups: Mapping[str, int] = self.record["groups"] if dataset == self.record["identity"]["dataset"] else {}
        folds = {
            example: of_texts.get(key_of(question), of_groups.get(question.group))
            for example, question in questions.items()
        }
        return replace(self, fold={example: fold for example, fold in folds.items() if fold is not None})

    def save(self, path: Path) -> None:
        """Write a file."""
        from safetensors.numpy import save_file

        header = {"layers": self.layers, "positions": self.positions, "fold": dict(self.fold), "record": self.record}
        arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in self.arrays.items()}
        with whole_file(path) as temporary:
            save_file(arrays, temporary, metadata={HEADER: json.dumps(header, ensure_ascii=False, sort_keys=True)})

    @classmethod
    def load(cls, path: Path) -> LinearProbes:
        """Read a file that `save` wrote.

        Raises
        ------
        InputError
            If it is not there, or not such a file.
        """
        from safetensors import SafetensorError, safe_open

        if not path.is_file():
            raise InputError(f"no probes at {path}; make them with interp probe --save-probes, which prints the path")
        try:
            with safe_open(path, framework="numpy") as file:
                header = json.loads(file.metadata()[HEADER])
                arrays = {name: file.get_tensor(name) for name in ARRAYS}
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is not a file of probes ({error}); make it again") from error
        return cls(tuple(header["layers"]), tuple(header["positions"]), header["fold"], arrays, header["record"])


def trained_on(questions: Sequence[Question], labels: Labels) -> dict[str, dict[str, int]]:
    """What probes of these questions are to remember: the folds, with the first seed, of questions and of groups."""
    of_questions: dict[str, int] = {}
    of_groups: dict[str, int] = {}
    for question, fold in zip(questions, labels.fold[0].tolist(), strict=True):
        for folds, key in ((of_questions, key_of(question)), (of_groups, question.group)):
            # Of what stands in two folds, or on both sides of the published split, every probe has seen something.
            folds[key] = fold if folds.get(key, fold) == fold else NEVER
    return {"questions": of_questions, "groups": of_groups}


def key_of(question: Question) -> str:
    """What tells a question from others, whatever its id and its set are called."""
    return hashlib.sha256(json.dumps([question.text, question.context]).encode()).hexdigest()[:16]


def fitted_probes(
    store: Cells,
    mask: Bool[np.ndarray, "example position"],
    labels: Labels,
    probing: Probing,
    record: Mapping[str, Any],
    *,
    cell: tuple[int, str] | None = None,
) -> LinearProbes:
    """Fit the probes with which `interp.probes.probe_map.out_of_fold_scores` scores again, and keep them.

    With several seeds those of the first.

    Parameters
    ----------
    store, mask, labels, probing
        What the map was made from.
    record
        What they are trained on, as JSON-able values; kept with them.
    cell
        The layer and position whose probes alone are fitted; None: those of every cell.

    Raises
    ------
    InputError
        If the probes are not linear.
    """
    layers, positions = (store.layers, store.positions) if cell is None else ((cell[0],), (cell[1],))
    places = list(np.ndindex(len(layers), len(positions)))

    def of_place(place: tuple[int, ...]) -> CellProbes | None:
        layer, position = layers[place[0]], positions[place[1]]
        return cell_probes(store.cell(layer, position), mask[:, store.positions.index(position)], labels, probing)

    fitted = in_single_threads(of_place, places)
    width = store.cell(layers[0], positions[0]).shape[1]
    n_probes, shape = labels.n_folds + 1, (len(layers), len(positions))
    sizes = {"mean": (width,), "scale": (width,), "weight": (n_probes, width), "intercept": (n_probes,)}
    arrays = {name: np.full(shape + size, np.nan, dtype=np.float32) for name, size in sizes.items()}
    for place, of_cell in zip(places, fitted, strict=True):
        if of_cell is not None:
            for name in ARRAYS:
                arrays[name][place] = getattr(of_cell, name)
    fold = {example: int(number) for example, number in zip(store.examples, labels.fold[0], strict=True)}
    return LinearProbes(tuple(layers), tuple(positions), fold, arrays, record)


def cell_probes(
    activations: Float[torch.Tensor, "example d_model"],
    present: Bool[np.ndarray, " example"],
    labels: Labels,
    probing: Probing,
) -> CellProbes | None:
    """The probes of one cell; None if it cannot have a value."""
    features = present_features(activations, present)
    if why_no_value(labels, present) or why_not_usable(features):
        return None
    fold = labels.fold[0, present]
    cell = CellFits(scaled_features(features, by_deviation=probing.standardise), labels.wrong[present], probing)
    costs = chosen_costs(cell, fold[None], labels.n_folds, probing.c)[0]
    trained_on = [cost * (fold != number) for number, cost in enumerate(costs)]
    of_all = np.full(len(fold), best_cost(cell, fold, labels.n_folds, probing.c))
    weight, intercept = cell.directions(np.stack([*trained_on, of_all]))
    mean, scale = features.mean(0).cpu().numpy(), np.ones(features.shape[1])
    if probing.standardise:
        scale = deviations(features).cpu().numpy()
    return CellProbes(mean, scale, weight, intercept)


def _listed(names: Sequence[object]) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown if len(shown) <= 16 else [*shown[:15], f"… ({len(shown)})"])
