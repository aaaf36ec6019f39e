"""How much of a probe's AUC it would also reach by memorising types (Hewitt & Liang 2019, arXiv 1909.03368).

A *type* is what an exact answer names, such as a country. A control task gives every type a label at random, the same
for all its examples. Nothing but the type tells these labels, so that the AUC of the same probe on them, at the same
cell and on the same folds, says how well it memorises which type goes with which label. Selectivity is

    AUC on the real task - mean AUC on the control tasks

1. *Labels.* Each type's label is drawn for itself, with the real share of errors, as Hewitt & Liang draw from the real
   labels. Types are few and of unequal size, so that a single draw can be far from that share, and a probe with fewer
   positives to train on is another probe. Of `TRIES` draws the one whose share is nearest the real one is taken.
2. *Several tasks.* Which types are together decides how hard a control task is: the AUC is averaged over several, and
   how far they are from each other enters the interval.
3. *Folds.* They are the real task's, so that both AUCs are of the same examples, scored by probes that were trained on
   the same ones. They keep questions apart and not types: a type that is scored has been trained on with its label.
   That is what can be memorised. Where no type is on two sides there is nothing to memorise and no selectivity.
4. *Interval.* Both AUCs are sums over the same units (`Labels.side`), with different positives: the influence of a unit
   on the difference is its influence on the one minus its mean influence on the others. The sum of their squares,
   widened for the refits as for the probe map, is the variance from the sampling of questions for given types and
   tasks. To it comes the variance of the mean over the tasks, s² / T. Examples differ between tasks too, so that s² has
   a part of the former in it: the interval errs on the wide side. Of few tasks s² is itself uncertain: quantiles are
   of Student's t with the degrees of freedom of Welch and Satterthwaite. In simulations (300 questions, 30 types of
   unequal size, 2 to 10 tasks, control AUCs of .75 to .995) it covers 92 to 100 % at 95 %, at 1.1 to 1.4 times the
   width that would do; that of the control AUC covers 98 to 99 %, and 90 % where that AUC is .995.

What it says: whether an AUC is higher than this probe could come by memorising alone, in a task that memorising solves
altogether. Errors are told by the type only in part, since answers of one type are right and wrong. So where a probe
tells types apart well, as at the exact answer itself, selectivity is negative, whatever else the probe may know: what
is beyond the types is then asked by keeping them apart (``--group answer``) and by `interp.probes.controls`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit, logit
from scipy.stats import t

from interp.activations.store import Cells
from interp.probes.cell_probe import NoValue, Probing, Scores
from interp.probes.labels import NEVER, Labels
from interp.probes.probe_map import out_of_fold_scores
from interp.results.heatmap import Heatmap
from interp.results.result import meanings_of
from interp.results.scales import Scale
from interp.statistics.auc import Interval, auc_and_influence, auc_interval, refitting_factor
from interp.statistics.groups import numbered
from interp.statistics.means import LEVEL

log = logging.getLogger(__name__)

TRIES = 1000
"""Draws of a control task's labels, of which one is taken."""
MIN_TASKS = 2
"""Of one control task nobody can say how far it is from others."""
SELECTIVITY_SCALE = Scale(-0.4, 0.4, centre=0.0)


class NoSelectivity(IntEnum):
    """Why a cell with an AUC has no selectivity; the codes go on from those of `interp.probes.cell_probe.NoValue`."""

    ONE_TYPE_ONLY = len(NoValue)
    NO_TYPE_IS_TRAINED_AND_SCORED = len(NoValue) + 1
    A_CONTROL_TASK_CANNOT_BE_PROBED = len(NoValue) + 2


@dataclass(frozen=True)
class ControlTasks:
    """Tasks that only the type of an example tells anything of, on the folds of a real one."""

    type_of: Int[np.ndarray, " example"]
    """Examples of one type have the same number."""
    tasks: tuple[Labels, ...]

    @property
    def n_types(self) -> int:
        """How many types there are."""
        return len(set(self.type_of.tolist()))


class CellSelectivity(NamedTuple):
    """What one cell's probe has beyond the memorising of types."""

    selectivity: Interval
    control: Interval
    """The mean AUC over the control tasks; its interval is on the logit scale."""
    sd_of_tasks: float
    """The deviation of an AUC from one control task to another."""


def control_tasks(labels: Labels, types: Sequence[str], n_tasks: int, *, seed: int) -> ControlTasks:
    """Control tasks for a real one.

    Parameters
    ----------
    labels
        The real task.
    types
        For each example the name of its type.
    n_tasks
        How many; at least `MIN_TASKS`.
    seed
        Decides the labels, for each task apart: a task is the same however many others there are.

    Raises
    ------
    ValueError
        If there are too few tasks to tell how far they differ.
    """
    if n_tasks < MIN_TASKS:
        raise ValueError(f"{n_tasks} control tasks do not tell how far they differ; give {MIN_TASKS} or more")
    type_of = numbered(types)
    drawn = [_random_labels(labels.wrong, type_of, np.random.default_rng([seed, task])) for task in range(n_tasks)]
    return ControlTasks(type_of, tuple(replace(labels, wrong=wrong) for wrong in drawn))


def _random_labels(
    wrong: Bool[np.ndarray, " example"], type_of: Int[np.ndarray, " example"], rng: np.random.Generator
) -> Bool[np.ndarray, " example"]:
    """One label for each type, such that about as many examples are positive as in the real task."""
    sizes = np.bincount(type_of)
    draws = rng.random((TRIES, len(sizes))) < wrong.mean()
    nearest = np.abs(draws @ sizes - wrong.sum()).argmin()
    return draws[nearest][type_of]


def control_task_scores(
    store: Cells,
    mask: Bool[np.ndarray, "example position"],
    controls: ControlTasks,
    probing: Probing,
    *,
    parts: Path,
    device: str = "cpu",
) -> list[Scores]:
    """The scores of every cell on every control task, by probes that are fitted as those of the real task are.

    Parameters
    ----------
    store, mask, device
        As for `interp.probes.probe_map.out_of_fold_scores`.
    controls
        The tasks.
    probing
        How the real task's probes were fitted; nothing is chosen among cells here.
    parts
        A folder that belongs to exactly these activations, labels, types, folds and seed; each task has one in it.
    """
    once, scores = replace(probing, nested=False), []
    for number, task in enumerate(controls.tasks):
        log.info("control task %d of %d", number + 1, len(controls.tasks))
        of_task = parts / f"control-task-{number}"
        scores.append(out_of_fold_scores(store, mask, task, once, parts=of_task, device=device))
    return scores


def cell_selectivity(
    scores: Float[np.ndarray, "seed example"],
    of_tasks: Float[np.ndarray, "task seed example"],
    labels: Labels,
    controls: ControlTasks,
) -> CellSelectivity:
    """The selectivity of one cell, from held-out scores on the real task and on each control task.

    Both classes must be scored in all of them.
    """
    value, influence = auc_and_influence(scores, labels.wrong, labels.side)
    of_each = [
        auc_and_influence(each, task.wrong, task.side) for each, task in zip(of_tasks, controls.tasks, strict=True)
    ]
    aucs = np.array([auc for auc, _ in of_each])
    of_controls = np.mean([each for _, each in of_each], axis=0)
    factor = refitting_factor(labels.n_folds)
    between = float(aucs.var(ddof=1)) / len(aucs)

    half, half_of_controls = (
        _half_width(factor * float((of_units**2).sum()), between, len(aucs))
        for of_units in (influence - of_controls, of_controls)
    )
    mean = float(aucs.mean())
    if mean in (0.0, 1.0):  # Which has no deviation: the bound of a perfect order, the same for all tasks.
        control = auc_interval(of_tasks[0], controls.tasks[0].wrong, group=labels.side)
    else:
        low, high = expit(logit(mean) + np.array([-1, 1]) * half_of_controls / (mean * (1 - mean))).tolist()
        control = Interval(mean, low, high)
    selectivity = Interval(value - mean, value - mean - half, value - mean + half)
    return CellSelectivity(selectivity, control, float(aucs.std(ddof=1)))


def _half_width(sampling: float, between: float, n_tasks: int) -> float:
    """Half an interval's width: `sampling` is a variance that is known well, `between` one of `n_tasks` tasks' mean."""
    variance = sampling + between
    freedom = (n_tasks - 1) * (variance / between) ** 2 if between > 0 else np.inf
    return float(t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(variance))


def selectivity_map(
    heatmap: Heatmap,
    scores: Scores,
    of_tasks: Sequence[Scores],
    mask: Bool[np.ndarray, "example position"],
    labels: Labels,
    controls: ControlTasks,
) -> Heatmap:
    """The selectivity of every cell, with its paired interval.

    Beside it are ``control_auc`` with ``control_auc_low`` and ``control_auc_high``, the mean AUC over the control
    tasks; ``sd_of_tasks``, by how much one task's AUC deviates from another's; and ``type_trained``, the share of the
    scored examples whose type is also among those that their probe was trained on, without which nothing can be
    memorised. The AUC of the real task is ``value + control_auc``.

    Parameters
    ----------
    heatmap, scores, mask, labels
        The probe map and what it was made from.
    of_tasks
        `control_task_scores`.
    controls
        The control tasks.
    """
    shape = heatmap.data["value"].shape
    value, low, high, control, control_low, control_high, spread = (np.full(shape, np.nan) for _ in range(7))
    reason = heatmap.data["why_missing"].values.astype(np.int8)
    trained = np.broadcast_to([_share_trained(labels, controls.type_of, present) for present in mask.T], shape)
    for layer, column in np.argwhere(reason == NoValue.HAS_VALUE).tolist():
        held_out = np.stack([task.held_out[layer, column] for task in of_tasks])
        reason[layer, column] = _no_selectivity(held_out, controls.type_of[mask[:, column]], trained[layer, column])
        if reason[layer, column] == NoValue.HAS_VALUE:
            cell = cell_selectivity(scores.held_out[layer, column], held_out, labels, controls)
            value[layer, column], low[layer, column], high[layer, column] = cell.selectivity
            control[layer, column], control_low[layer, column], control_high[layer, column] = cell.control
            spread[layer, column] = cell.sd_of_tasks
    return Heatmap.of(
        (value, low, high, heatmap.data["n"].values),
        names=(heatmap.layers, heatmap.positions),
        kind="probe selectivity",
        metric="AUC minus that of control tasks (types with random labels)",
        scale=SELECTIVITY_SCALE,
        extra={
            f"n_{labels.called}": heatmap.data[f"n_{labels.called}"].values,
            "why_missing": reason,
            "control_auc": control,
            "control_auc_low": control_low,
            "control_auc_high": control_high,
            "sd_of_tasks": spread,
            "type_trained": trained,
        },
        attributes={
            **meanings_of((*NoValue, *NoSelectivity)),
            "n_types": controls.n_types,
            "share_wrong": float(labels.wrong.mean()),
            "shares_positive_of_tasks": json.dumps([float(task.wrong.mean()) for task in controls.tasks]),
        },
    )


def _no_selectivity(
    of_tasks: Float[np.ndarray, "task seed example"], types: Int[np.ndarray, " n"], trained: float
) -> NoValue | NoSelectivity:
    """Why a cell with an AUC has no selectivity; ``HAS_VALUE`` if it has one."""
    if len(set(types.tolist())) == 1:
        return NoSelectivity.ONE_TYPE_ONLY
    if trained == 0:
        return NoSelectivity.NO_TYPE_IS_TRAINED_AND_SCORED
    if not np.isfinite(of_tasks).any(-1).all():
        return NoSelectivity.A_CONTROL_TASK_CANNOT_BE_PROBED
    return NoValue.HAS_VALUE


def _share_trained(
    labels: Labels, type_of: Int[np.ndarray, " example"], present: Bool[np.ndarray, " example"]
) -> float:
    """Of the scored examples that are present, the share whose type is in another fold too; NaN if there are none."""
    scored = labels.scored & present
    if not scored.any():
        return float("nan")
    elsewhere: np.ndarray = np.zeros(scored.shape, dtype=bool)
    for row, fold in enumerate(labels.fold):
        # Of each type how many examples are in each fold; those that are never scored are in the first column.
        counts = np.zeros((type_of.max() + 1, labels.n_folds + 1), dtype=np.int64)
        np.add.at(counts, (type_of[present], fold[present] - NEVER), 1)
        elsewhere[row] = counts.sum(1)[type_of] > counts[type_of, fold - NEVER]
    return float(elsewhere[scored].mean())
