"""Map where a linear probe can read off that an answer is wrong.

Asks the questions, captures the residual stream after every layer (or another site) at every position of the answers
that have an exact answer, and gives each (layer, token) the AUC of a cross-fitted probe for errors, with its interval;
marks the cells that are above chance, and maps what the probe knows beyond the token's identity, the answer's shape and
the question's difficulty. Writes probe.* and probe-beyond.* (.nc, .pdf, .png). An interrupted run goes on where it was.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from analyses import asking, capturing
from analyses.capturing import DEFAULT_SITE
from analyses.command import execute
from analyses.runs import (
    provenance,
    publish,
    require_publishable,
    reusable,
    run_folder,
    table_of_values,
    value_in_words,
)

if TYPE_CHECKING:
    from interp.heatmap import Heatmap
    from interp.model_sources import ModelSource
    from interp.questions import QuestionSet


OF_SCORES = ("site", "group", "folds", "seeds", "splitting", "c", "probe", "solver", "standardise", "nested", "labels")
"""Flags that decide the scores of the examples,"""
OF_MAPS = ("permutations", "bootstraps", "controls")
"""and flags that decide what is made of them."""
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
    probe: Literal["logistic", "mass-mean", "mass-mean-whitened", "lda", "mlp"] = "logistic"
    """What is fitted: logistic regression; the direction between the classes' means (Marks & Tegmark 2024), as it is
    or tilted by the covariance; linear discriminant analysis; or one hidden layer."""
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
    nested: bool = True
    """Choose the best cell also without the answers that it is scored on."""
    labels: Literal["correctness", "shuffled"] = "correctness"
    """'shuffled' deals the labels out at random: the control, which must give .5."""
    figures: Path = Path("figures")
    """Folder of results: <model>/<dataset>/probe.{nc,pdf,png}, probe-beyond.*; probe-shuffled.*, probe-paper.* for
    the paper's policy, probe-attn_out.* for another site."""
    overwrite: bool = False
    """Replace the result of another run."""


def run(config: Config) -> None:
    """Answer, capture, probe, draw."""
    capturing.require_usable(config)
    _require_usable(config)
    questions = asking.questions_of(config)
    source = asking.source_of(config)
    settings = {name: getattr(config, name) for name in (*OF_SCORES, *OF_MAPS)} | {"c": list(config.c)}
    identity = asking.identity_of(config, source, questions) | capturing.settings_of(config) | settings

    name = "-".join(["probe", *_variants_of(config), *capturing.variants_of(config, config.site)])
    folder = config.figures / source.name / questions.name
    work = run_folder(config.runs / source.name / questions.name, name, identity)
    results = {name: work / "probe.nc"}
    if has_controls(config):
        results[f"{name}-beyond"] = work / "beyond.nc"
    for published in results:
        require_publishable(folder / f"{published}.nc", identity, overwrite=config.overwrite)
    known = [reusable(result, identity) for result in results.values()]
    heatmaps = [heatmap for heatmap in known if heatmap is not None]
    if len(heatmaps) < len(results):
        of_scores = {key: value for key, value in identity.items() if key not in OF_MAPS}
        scores = run_folder(work.parent, "scores", of_scores)
        made = measured_maps(config, source, questions, work, scores)
        heatmaps = [heatmap.with_attributes(provenance(identity)) for heatmap in made]
        for heatmap, result in zip(heatmaps, results.values(), strict=True):
            heatmap.save(result)
    for published, result in results.items():
        for path in publish(result, folder / f"{published}.nc"):
            print(path)
    print("\n".join(map(in_words, heatmaps)))


def has_controls(config: Config) -> bool:
    """Whether there is a map of what the probe knows beyond the controls: it needs folds within folds."""
    return config.controls and config.nested and config.splitting == "folds" and config.folds >= FOLDS_TO_NEST


def _variants_of(config: Config) -> list[str]:
    """What in the name of a map tells it from the map of correctness with the default split and solver."""
    chosen = {config.labels: "correctness", f"{config.splitting}_split": "folds_split", config.solver: "newton"}
    chosen |= {f"group_{config.group}": "group_question", config.probe: "logistic"}
    return [value for value, default in chosen.items() if value != default]


def _variant_in_words(config: Config) -> str:
    """What a figure must say of how its probes were fitted, for it not to be taken for another; empty by default."""
    told = {
        "labels: shuffled": config.labels == "shuffled",
        "no answer is on both sides of a split": config.group == "answer",
        "split: one fifth, as published": config.splitting == "paper",
        f"probe: {config.probe}": config.probe != "logistic",
    }
    return ", ".join(words for words, holds in told.items() if holds)


def _require_usable(config: Config) -> None:
    """Raise an `InputError` for a flag that no probe can use."""
    from interp.errors import InputError

    if not config.c or min(config.c) <= 0:
        raise InputError(f"--c is {' '.join(map(str, config.c)) or 'empty'}; give numbers above 0")
    for flag, least in (("folds", 2), ("seeds", 1), ("permutations", 0), ("bootstraps", 0)):
        if getattr(config, flag) < least:
            raise InputError(f"--{flag} is {getattr(config, flag)}; give a number from {least}")
    if len(config.c) > 1 and config.splitting == "paper":
        raise InputError("--splitting paper has no folds within which to choose among several --c; give one")
    if len(config.c) > 1 and config.folds < FOLDS_TO_NEST:
        raise InputError(f"--folds {config.folds} leaves nothing to choose among several --c on; give 3 folds or more")


def measured_maps(
    config: Config, source: ModelSource, questions: QuestionSet, work: Path, parts: Path
) -> list[Heatmap]:
    """The probe map of this configuration, and what it knows beyond the controls, if that is wanted.

    Every finished part of them is on disk in `work`, in `parts` (the scores) and beside them (answers, activations).
    """
    import numpy as np

    from interp.chance import with_marks
    from interp.controls import beyond_map, control_scores, control_values
    from interp.devices import resolve_device
    from interp.files import whole_file
    from interp.labels import Split
    from interp.metrics import with_metrics
    from interp.positions import resolved_mask
    from interp.probe import Probing, best_cell, example_scores, out_of_fold_scores, probe_map

    model = cache(lambda: asking.loaded(config, source))
    captured = capturing.captured(config, source, questions, model, [config.site])
    judged = [captured.answers[row] for row in captured.judged]
    wrong = [answer.correct is False for answer in judged]
    if config.labels == "shuffled":
        wrong = np.random.default_rng(config.seed).permutation(wrong).tolist()
    split = Split(config.folds, config.seed, config.seeds, as_published=config.splitting == "paper")
    # An answer goes by what it names: "the US" and "America" are one.
    named = ["|".join(answer.named) or str(answer.exact_text) for answer in judged]
    groups = [answer.question.group for answer in judged]
    labels = split.labels(wrong, groups, named if config.group == "answer" else None)

    table = captured.table.isel(example=captured.judged)
    with whole_file(work / "positions.nc") as temporary:
        table.to_netcdf(temporary, engine="h5netcdf")
    store = captured.of(config.site, captured.judged)
    mask = resolved_mask(table)
    probing = Probing(config.c, config.probe, config.solver, config.standardise, config.nested)
    device = resolve_device(config.device)
    scores = out_of_fold_scores(store, mask, labels, probing, parts=parts, device=device)
    with whole_file(work / "examples.nc") as temporary:
        example_scores(scores, labels, store).to_netcdf(temporary, engine="h5netcdf")
    heatmap = probe_map(scores, mask, labels, store, draws=config.bootstraps)
    heatmap = with_metrics(heatmap, scores, labels, kind=config.probe)
    if config.permutations:
        made_from = (scores, mask, labels, store, split, probing)
        heatmap = with_marks(heatmap, *made_from, draws=config.permutations, seed=config.seed)
    best = best_cell(scores, labels, store) if config.nested else None
    record = capturing.record_of(config, source, questions, captured.answers, table, config.site)
    record |= {"variant": _variant_in_words(config)}
    if best is not None:
        record |= {"best_nested": json.dumps({"cells": best.cells, "auc": best.auc})}
    heatmaps = [heatmap]
    if has_controls(config):
        controls = control_scores(judged, table["token"].values, labels, probing)
        values = control_values(controls, labels, store.positions)
        heatmaps.append(beyond_map(heatmap, scores, controls["all"], labels, values))
    return [each.with_attributes(record) for each in heatmaps]


def in_words(heatmap: Heatmap) -> str:
    """The values at four depths, and of a probe map the counts, the best cell, and how many cells are above chance."""
    if "control" in heatmap.data:
        return "\n".join(["", *_controls_in_words(heatmap), "", table_of_values(heatmap)])
    counts = json.loads(heatmap.data.attrs["counts"])
    lines = [*(f"{count:6d}  {label}" for label, count in counts.items()), "", table_of_values(heatmap), ""]
    return "\n".join([*lines, *_best_in_words(heatmap), *_marks_in_words(heatmap)])


def _controls_in_words(heatmap: Heatmap) -> list[str]:
    data = heatmap.data
    lines = ["AUC of the controls [95 % interval]", " " * 26 + "".join(f"{name:>22}" for name in data["which"].values)]
    for name in data["position"].values:
        row = data.sel(position=name)
        cells = zip(row["control"].values, row["control_low"].values, row["control_high"].values, strict=True)
        lines.append(f"{name:26}" + "".join(f"{value_in_words(*map(float, cell)):>22}" for cell in cells))
    return lines


def _best_in_words(heatmap: Heatmap) -> list[str]:
    best = heatmap.data.where(heatmap.data["value"] == heatmap.data["value"].max(), drop=True)
    if not best["value"].size:
        return []
    best = best.isel(layer=0, position=0)
    where = f"layer {int(best.layer)}, {best.position.item()}"
    interval = value_in_words(float(best.value), float(best.low), float(best.high))
    lines = [f"best cell: {where}: {interval}, chosen on the answers that it is scored on"]
    if "best_nested" in heatmap.data.attrs:
        nested = json.loads(heatmap.data.attrs["best_nested"])
        chosen = ", ".join(sorted({f"layer {layer} {position}" for layer, position in nested["cells"]}))
        lines.append(f"chosen without them: {value_in_words(*nested['auc'])} ({chosen})")
    return lines


def _marks_in_words(heatmap: Heatmap) -> list[str]:
    if "marked" not in heatmap.data:
        return []
    marked, threshold = heatmap.data["marked"], heatmap.data["threshold"]
    ends = f"{float(threshold.min()):.3f} to {float(threshold.max()):.3f}"
    spread = f"refits to permuted labels spread {heatmap.data.attrs['refits_spread']:.2f} times as wide"
    of = int(heatmap.data["value"].notnull().sum())
    return [f"{int(marked.sum())} of {of} cells {heatmap.data.attrs['mark']}: AUC above {ends}; {spread}"]


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.probe"))
