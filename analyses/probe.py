"""Map where a linear probe can read off that an answer is wrong.

Asks the questions, captures the residual stream after every layer (or another site) at every position of the answers
that have an exact answer, and gives each (layer, token) the AUC of a cross-fitted probe for errors, with its interval;
marks the cells that are above chance, and maps what the probe knows beyond the token's identity, the answer's shape and
the question's difficulty; with --selectivity also what it knows beyond which answers tend to be wrong. Writes probe.*,
probe-beyond.* and probe-selectivity.* (.nc, .pdf, .png). An interrupted run goes on where it was.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analyses import asking, capturing
from analyses.capturing import DEFAULT_SITE
from analyses.command import execute
from analyses.probe_summary import in_words
from analyses.runs import (
    provenance,
    publish,
    require_publishable,
    reusable,
    run_folder,
)

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from interp.examples import Answer
    from interp.heatmap import Heatmap
    from interp.labels import Labels, Split
    from interp.model_sources import ModelSource
    from interp.probe import Probing, Scores
    from interp.questions import QuestionSet
    from interp.store import ExamplesOfStore


OF_SCORES = ("site", "group", "folds", "seeds", "splitting", "c", "probe", "solver", "standardise", "nested", "labels")
"""Flags that decide the scores of the examples,"""
OF_MAPS = ("permutations", "bootstraps", "controls")
"""and flags that decide what is made of them."""
LEAST = {"folds": 2, "seeds": 1, "permutations": 0, "bootstraps": 0, "selectivity_tasks": 2, "k": 1}
"""The smallest number that each of these flags takes."""
FOLDS_TO_NEST = 3
"""`interp.probe.MIN_FOLDS_TO_NEST`, which would take a second to import for --help."""


@dataclass(frozen=True)
class Config(capturing.Config):
    """Map where a linear probe can read off that an answer is wrong."""

    site: str = DEFAULT_SITE
    """What of a block to probe: resid_pre, resid_mid, resid_post, attn_out, mlp_out (what they add), mlp_hidden,
    head_z, or a block's hook by TransformerLens's name, such as attn.hook_q."""
    folds: int = 5
    """Folds of the cross-fitting."""
    seeds: int = 1
    """In how many ways the answers are split into folds; the value is the mean."""
    splitting: Literal["folds", "paper"] = "folds"
    """'paper' scores one random fifth by a probe trained on the rest, whatever the groups, to replicate it."""
    group: Literal["question", "answer"] = "question"
    """What is kept on one side of a split: related questions, or with 'answer' also all that are given one answer, so
    that a probe cannot learn which answers tend to be wrong."""
    c: tuple[float, ...] = (1.0,)
    """Inverse strength of the L2 regularisation; of several one is chosen for each fold, within the other folds."""
    probe: Literal["logistic", "mass-mean", "mass-mean-whitened", "lda", "mlp", "sparse"] = "logistic"
    """What is fitted: logistic regression; the direction between the classes' means (Marks & Tegmark 2024), as it is
    or tilted by the covariance; linear discriminant analysis; one hidden layer; or, 'sparse', logistic regression on
    --k coordinates (TransformerLens 4's own sparse probe)."""
    k: int = 16
    """Coordinates of the sparse probe: those whose means differ most between the classes it is trained on."""
    solver: Literal["newton", "sklearn"] = "newton"
    """'sklearn' fits with scikit-learn's LogisticRegression: the same optimum, several times slower."""
    standardise: bool = True
    """Divide features by their deviation."""
    permutations: int = 1000
    """Permutations of the labels, by which cells above chance are marked, corrected for the number of cells."""
    bootstraps: int = 1000
    """Bootstrap samples of the groups, for a second interval beside DeLong's (low_bootstrap, high_bootstrap)."""
    controls: bool = True
    """Also map what the probe knows beyond the token's identity, the answer's shape and the question's difficulty."""
    selectivity: bool = False
    """Also map the probe's selectivity: its AUC minus the one it has on control tasks, which give everything that is
    answered (such as a country) a random label (Hewitt & Liang 2019). Takes as long again for every two tasks or so."""
    selectivity_tasks: int = 3
    """How many control tasks, at least 2: the mean AUC over them is taken."""
    nested: bool = True
    """Choose the best cell also without the answers that it is scored on."""
    labels: Literal["correctness", "shuffled"] = "correctness"
    """'shuffled' deals the labels out at random: the control, which must give .5."""
    figures: Path = Path("figures")
    """Folder of results: <model>/<dataset>/probe.{nc,pdf,png}, probe-beyond.*, probe-selectivity.*; probe-shuffled.*,
    probe-paper.* for the paper's policy, probe-attn_out.* for another site."""
    overwrite: bool = False
    """Replace the result of another run."""


def run(config: Config) -> None:
    """Answer, capture, probe, draw."""
    capturing.require_usable(config)
    _require_usable(config)
    questions = asking.questions_of(config)
    source = asking.source_of(config)
    identity = asking.identity_of(config, source, questions) | capturing.settings_of(config) | settings_of(config)
    of_tasks = identity | {"selectivity_tasks": config.selectivity_tasks}

    name = "-".join(["probe", *_variants_of(config), *capturing.variants_of(config, config.site)])
    folder = config.figures / source.name / questions.name
    work = run_folder(config.runs / source.name / questions.name, name, identity)
    results = {name: (work / "probe.nc", identity)}
    if has_controls(config):
        results[f"{name}-beyond"] = (work / "beyond.nc", identity)
    measured = [result for result, _ in results.values()]
    if config.selectivity:
        results[f"{name}-selectivity"] = (work / "selectivity.nc", of_tasks)
    for published, (_, of_result) in results.items():
        require_publishable(folder / f"{published}.nc", of_result, overwrite=config.overwrite)

    probed = cache(lambda: probed_cells(config, source, questions, work, identity))
    if any(reusable(result, identity) is None for result in measured):
        for result, heatmap in zip(measured, measured_maps(config, probed()), strict=True):
            heatmap.with_attributes(provenance(identity)).save(result)
    if config.selectivity and reusable(work / "selectivity.nc", of_tasks) is None:
        selective = measured_selectivity(config, probed())
        selective.with_attributes(provenance(of_tasks)).save(work / "selectivity.nc")

    for published, (result, _) in results.items():
        for path in publish(result, folder / f"{published}.nc"):
            print(path)
    heatmaps = [reusable(result, of_result) for result, of_result in results.values()]
    print("\n".join(in_words(heatmap) for heatmap in heatmaps if heatmap is not None))


def settings_of(config: Config) -> dict[str, Any]:
    """What the flags of this analysis add to the identity of its maps."""
    settings = {name: getattr(config, name) for name in (*OF_SCORES, *OF_MAPS)} | {"c": list(config.c)}
    return settings | ({"k": config.k} if config.probe == "sparse" else {})


def has_controls(config: Config) -> bool:
    """Whether there is a map of what the probe knows beyond the controls: it needs folds within folds."""
    return config.controls and config.nested and config.splitting == "folds" and config.folds >= FOLDS_TO_NEST


def _variants_of(config: Config) -> list[str]:
    """What in the name of a map tells it from the map of correctness with the default split and solver."""
    chosen = {config.labels: "correctness", f"{config.splitting}_split": "folds_split", config.solver: "newton"}
    chosen |= {f"group_{config.group}": "group_question", config.probe: "logistic"}
    chosen |= {f"k{config.k}": "k16"} if config.probe == "sparse" else {}
    return [value for value, default in chosen.items() if value != default]


def _variant_in_words(config: Config) -> str:
    """What a figure must say of how its probes were fitted, for it not to be taken for another; empty by default."""
    told = {
        "labels: shuffled": config.labels == "shuffled",
        "no answer is on both sides of a split": config.group == "answer",
        "split: one fifth, as published": config.splitting == "paper",
        f"probe: {config.probe}": config.probe not in ("logistic", "sparse"),
        f"probe: {config.k} coordinates": config.probe == "sparse",
    }
    return ", ".join(words for words, holds in told.items() if holds)


def _require_usable(config: Config) -> None:
    """Raise an `InputError` for a flag that no probe can use."""
    from interp.classifiers import fit_sparse_probe
    from interp.errors import InputError

    if not config.c or min(config.c) <= 0:
        raise InputError(f"--c is {' '.join(map(str, config.c)) or 'empty'}; give numbers above 0")
    for flag, least in LEAST.items():
        if getattr(config, flag) < least:
            raise InputError(f"--{flag.replace('_', '-')} is {getattr(config, flag)}; give a number from {least}")
    if len(config.c) > 1 and config.splitting == "paper":
        raise InputError("--splitting paper has no folds within which to choose among several --c; give one")
    if len(config.c) > 1 and config.folds < FOLDS_TO_NEST:
        raise InputError(f"--folds {config.folds} leaves nothing to choose among several --c on; give 3 folds or more")
    if config.selectivity and config.group == "answer":
        raise InputError("--group answer leaves a probe no answer to memorise, which --selectivity is about; drop one")
    if config.probe == "sparse":
        fit_sparse_probe()
    elif config.k != Config.k:
        raise InputError(f"--k {config.k} is of --probe sparse, and --probe is {config.probe}; drop --k or give that")


@dataclass(frozen=True)
class Probed:
    """The scores of every answer at every cell, and what they were made from."""

    answers: list[Answer]
    table: xr.Dataset
    store: ExamplesOfStore
    mask: np.ndarray
    split: Split
    labels: Labels
    named: list[str]
    """What each answer names: "the US" and "America" are one."""
    probing: Probing
    device: str
    parts: Path
    scores: Scores
    record: dict[str, str]
    """The attributes of every map of them."""


def probed_cells(
    config: Config, source: ModelSource, questions: QuestionSet, work: Path, identity: dict[str, Any]
) -> Probed:
    """Answer, capture and probe.

    Every finished part is on disk in `work` and beside it (answers, activations, scores).
    """
    import numpy as np

    from interp.devices import resolve_device
    from interp.files import whole_file
    from interp.labels import Split
    from interp.positions import resolved_mask
    from interp.probe import Probing, example_scores, out_of_fold_scores

    model = cache(lambda: asking.loaded(config, source))
    captured = capturing.captured(config, source, questions, model, [config.site])
    judged = [captured.answers[row] for row in captured.judged]
    wrong = [answer.correct is False for answer in judged]
    if config.labels == "shuffled":
        wrong = np.random.default_rng(config.seed).permutation(wrong).tolist()
    split = Split(config.folds, config.seed, config.seeds, as_published=config.splitting == "paper")
    named = ["|".join(answer.named) or str(answer.exact_text) for answer in judged]
    groups = [answer.question.group for answer in judged]
    labels = split.labels(wrong, groups, named if config.group == "answer" else None)

    table = captured.table.isel(example=captured.judged)
    with whole_file(work / "positions.nc") as temporary:
        table.to_netcdf(temporary, engine="h5netcdf")
    store = captured.of(config.site, captured.judged)
    mask = resolved_mask(table)
    probing = Probing(config.c, config.probe, config.solver, config.standardise, config.nested, config.k)
    device = resolve_device(config.device)
    of_scores = {key: value for key, value in identity.items() if key not in OF_MAPS}
    parts = run_folder(work.parent, "scores", of_scores)
    scores = out_of_fold_scores(store, mask, labels, probing, parts=parts, device=device)
    with whole_file(work / "examples.nc") as temporary:
        example_scores(scores, labels, store).to_netcdf(temporary, engine="h5netcdf")
    record = capturing.record_of(config, source, questions, captured.answers, table, config.site)
    record |= {"variant": _variant_in_words(config)}
    return Probed(judged, table, store, mask, split, labels, named, probing, device, parts, scores, record)


def measured_maps(config: Config, probed: Probed) -> list[Heatmap]:
    """The probe map of this configuration, and what it knows beyond the controls, if that is wanted."""
    from interp.chance import with_marks
    from interp.controls import beyond_map, control_scores, control_values
    from interp.metrics import with_metrics
    from interp.probe import best_cell, probe_map

    made_from = (probed.scores, probed.mask, probed.labels, probed.store)
    heatmap = probe_map(*made_from, draws=config.bootstraps)
    heatmap = with_metrics(heatmap, probed.scores, probed.labels, kind=config.probe)
    if config.permutations:
        how = (probed.split, probed.probing)
        heatmap = with_marks(heatmap, *made_from, *how, draws=config.permutations, seed=config.seed)
    record = dict(probed.record)
    best = best_cell(probed.scores, probed.labels, probed.store) if config.nested else None
    if best is not None:
        record |= {"best_nested": json.dumps({"cells": best.cells, "auc": best.auc})}
    heatmaps = [heatmap]
    if has_controls(config):
        controls = control_scores(probed.answers, probed.table["token"].values, probed.labels, probed.probing)
        values = control_values(controls, probed.labels, probed.store.positions)
        heatmaps.append(beyond_map(heatmap, probed.scores, controls["all"], probed.labels, values))
    return [each.with_attributes(record) for each in heatmaps]


def measured_selectivity(config: Config, probed: Probed) -> Heatmap:
    """What the probe's AUC has beyond that of the same probe on control tasks."""
    from interp.probe import probe_map
    from interp.selectivity import control_task_scores, control_tasks, selectivity_map

    scores, mask, labels, store = probed.scores, probed.mask, probed.labels, probed.store
    controls = control_tasks(labels, probed.named, config.selectivity_tasks, seed=config.seed)
    of_tasks = control_task_scores(store, mask, controls, probed.probing, parts=probed.parts, device=probed.device)
    heatmap = probe_map(scores, mask, labels, store)
    return selectivity_map(heatmap, scores, of_tasks, mask, labels, controls).with_attributes(probed.record)


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.probe"))
