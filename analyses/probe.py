"""Map where a linear probe can read off that an answer is wrong.

Asks the questions, captures the residual stream after every layer (or another site) at every position of the answers
that have an exact answer, and gives each (layer, token) the AUC of a cross-fitted probe for errors, with its interval;
marks the cells that are above chance, and maps what the probe knows beyond the token's identity, the answer's shape and
the question's difficulty. With --labels it does the same for any other column of the answers or of the question file;
for several classes and for numbers without the marks and the controls. Writes probe.* and probe-beyond.* (.nc, .pdf,
.png). An interrupted run goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from analyses import asking, capturing, label_maps
from analyses.capturing import DEFAULT_SITE
from analyses.command import execute
from analyses.runs import (
    Identity,
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
PENALTIES = (1e1, 1e2, 1e3, 1e4, 1e5, 1e6)
"""`interp.number_probe.PENALTIES`, likewise not imported for --help."""
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
    labels: str = "correctness"
    """What to probe for: 'correctness' (of the judged answers), or a column of all answers: gold, group, difficulty,
    subject, n_prompt, n_generated, ended, exact_text, named, found_by, correct, why_missing, or one of the question
    file's own. 'shuffled' and 'shuffled:COLUMN' deal the labels out at random: the control, which must give .5, or
    for a number 0."""
    label_kind: Literal["auto", "binary", "classes", "number"] = "auto"
    """'binary': AUC of the value that says yes, or of the rarer one. 'classes': mean AUC of each against the rest, of
    2 to 30 that have 20 answers or more. 'number': R² of ridge regression. auto: as the values are; more than two that
    are all numbers are numbers."""
    alpha: tuple[float, ...] = PENALTIES
    """Penalty of the ridge regression of a number; of several one is chosen for each fold, within the other folds."""
    figures: Path = Path("figures")
    """Folder of results: <model>/<dataset>/probe.{nc,pdf,png}, probe-beyond.*; probe-shuffled.*, probe-year.*
    for another column, probe-paper.* for the paper's policy, probe-attn_out.* for another site."""
    overwrite: bool = False
    """Replace the result of another run."""


def run(config: Config) -> None:
    """Answer, capture, probe, draw."""
    capturing.require_usable(config)
    _require_usable(config)
    questions = asking.questions_of(config, label_maps.columns_to_keep(config.labels))
    source = asking.source_of(config)
    settings = {name: getattr(config, name) for name in (*OF_SCORES, *OF_MAPS)} | {"c": list(config.c)}
    settings |= label_settings(config, questions)
    identity = asking.identity_of(config, source, questions) | capturing.settings_of(config) | settings

    name = "-".join(["probe", *_variants_of(config), *capturing.variants_of(config, config.site)])
    folder = config.figures / source.name / questions.name
    work = run_folder(config.runs / source.name / questions.name, name, identity)
    results = {name: work / "probe.nc"}
    if has_controls(config):
        results[f"{name}-beyond"] = work / "beyond.nc"
    for published in results:
        require_publishable(folder / f"{published}.nc", identity, overwrite=config.overwrite)
    heatmaps = finished(results.values(), identity)
    if not heatmaps:
        of_scores = {key: value for key, value in identity.items() if key not in OF_MAPS}
        scores = run_folder(work.parent, "scores", of_scores)
        made = measured_maps(config, source, questions, work, scores)
        heatmaps = [heatmap.with_attributes(provenance(identity)) for heatmap in made]
        for heatmap, result in zip(heatmaps, results.values(), strict=False):
            heatmap.save(result)
    for (published, result), _ in zip(results.items(), heatmaps, strict=False):
        for path in publish(result, folder / f"{published}.nc"):
            print(path)
    print("\n".join(map(in_words, heatmaps)))


def finished(results: Iterable[Path], identity: Identity) -> list[Heatmap]:
    """The heatmaps that an earlier run made, if it made all; of what is not of two classes only the first is made."""
    known = [reusable(result, identity) for result in results]
    heatmaps = [heatmap for heatmap in known if heatmap is not None]
    alone = known[0] is not None and known[0].data.attrs.get("label_kind", "binary") != "binary"
    return heatmaps if len(heatmaps) == len(known) or alone else []


def label_settings(config: Config, questions: QuestionSet) -> dict[str, object]:
    """What the flags of the labels add to the identity of a map, with the values of a column of the user's file.

    What is as it is by default is left out: results from before there was a choice keep their identity.
    """
    values = json.dumps({name: dict(column) for name, column in questions.columns.items()}, sort_keys=True)
    chosen: dict[str, tuple[object, object]] = {
        "label_kind": (config.label_kind, "auto"),
        "alpha": (list(config.alpha), list(PENALTIES)),
        "label_values": (hashlib.sha256(values.encode()).hexdigest() if questions.columns else None, None),
    }
    return {name: value for name, (value, default) in chosen.items() if value != default}


def has_controls(config: Config) -> bool:
    """Whether there is a map of what the probe knows beyond the controls: it needs folds within folds."""
    return config.controls and config.nested and config.splitting == "folds" and config.folds >= FOLDS_TO_NEST


def _variants_of(config: Config) -> list[str]:
    """What in the name of a map tells it from the map of correctness with the default split and solver."""
    chosen = [
        (re.sub(r"[^\w.-]+", "-", config.labels), "correctness"),
        (config.label_kind, "auto"),
        (f"{config.splitting}_split", "folds_split"),
        (config.solver, "newton"),
        (f"group_{config.group}", "group_question"),
        (config.probe, "logistic"),
    ]
    return [value for value, default in chosen if value != default]


def _variant_in_words(config: Config) -> str:
    """What a figure must say of how its probes were fitted, for it not to be taken for another; empty by default."""
    told = {
        "labels: shuffled": label_maps.column_of(config.labels)[1],
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
    if not config.alpha or min(config.alpha) <= 0:
        raise InputError(f"--alpha is {' '.join(map(str, config.alpha)) or 'empty'}; give numbers above 0")
    if label_maps.column_of(config.labels)[0] == label_maps.CORRECTNESS and config.label_kind not in ("auto", "binary"):
        raise InputError(f"--label-kind {config.label_kind} is not that of correctness; leave it out, or give --labels")
    if config.label_kind == "number":
        _require_usable_for_numbers(config)
    for flag, least in (("folds", 2), ("seeds", 1), ("permutations", 0), ("bootstraps", 0)):
        if getattr(config, flag) < least:
            raise InputError(f"--{flag} is {getattr(config, flag)}; give a number from {least}")
    if len(config.c) > 1 and config.splitting == "paper":
        raise InputError("--splitting paper has no folds within which to choose among several --c; give one")
    if len(config.c) > 1 and config.folds < FOLDS_TO_NEST:
        raise InputError(f"--folds {config.folds} leaves nothing to choose among several --c on; give 3 folds or more")


def _require_usable_for_numbers(config: Config) -> None:
    """Raise an `InputError` for a flag that ridge regression cannot use."""
    from interp.errors import InputError

    if (config.probe, config.solver, config.c) != ("logistic", "newton", (1.0,)):
        raise InputError("a number is probed by ridge regression, with --alpha; leave --probe, --solver and --c out")
    if len(config.alpha) > 1 and (config.splitting == "paper" or config.folds < FOLDS_TO_NEST):
        raise InputError("there are no folds within which to choose among several --alpha; give one, or --folds 3")


def measured_maps(
    config: Config, source: ModelSource, questions: QuestionSet, work: Path, parts: Path
) -> list[Heatmap]:
    """The probe map of this configuration, and what it knows beyond the controls, if that is wanted.

    Every finished part of them is on disk in `work`, in `parts` (the scores) and beside them (answers, activations).
    """
    from interp.devices import resolve_device
    from interp.files import whole_file
    from interp.labels import Split
    from interp.positions import resolved_mask
    from interp.probe import Probing

    model = cache(lambda: asking.loaded(config, source))
    captured = capturing.captured(config, source, questions, model, [config.site])
    target = label_maps.labelled(config.labels, config.label_kind, captured.answers, questions, config.seed)
    answers = [captured.answers[row] for row in target.rows]
    table = captured.table.isel(example=list(target.rows))
    with whole_file(work / "positions.nc") as temporary:
        table.to_netcdf(temporary, engine="h5netcdf")
    probed = label_maps.Probed(
        target=target,
        answers=answers,
        groups=[answer.question.group for answer in answers],
        sides=label_maps.sides_of(answers) if config.group == "answer" else None,
        split=Split(config.folds, config.seed, config.seeds, as_published=config.splitting == "paper"),
        store=captured.of(config.site, target.rows),
        table=table,
        mask=resolved_mask(table),
        work=work,
        parts=parts,
        device=resolve_device(config.device),
        bootstraps=config.bootstraps,
    )
    probing = Probing(config.c, config.probe, config.solver, config.standardise, config.nested)
    if target.kind == "number":
        _require_usable_for_numbers(config)
        heatmaps = label_maps.number_maps(probed, config.alpha, standardise=config.standardise)
    elif target.kind == "classes":
        heatmaps = label_maps.class_maps(probed, probing)
    else:
        wanted = label_maps.ForTwoClasses(config.permutations, config.nested, has_controls(config), config.seed)
        heatmaps = label_maps.binary_maps(probed, probing, wanted)
    record = capturing.record_of(config, source, questions, captured.answers, table, config.site)
    record |= {"variant": _variant_in_words(config)}
    if target.name != label_maps.CORRECTNESS:
        counts = json.loads(record["counts"]) | target.counts
        record |= {"labels": target.name, "label_kind": target.kind, "counts": json.dumps(counts)}
    return [each.with_attributes(record) for each in heatmaps]


def in_words(heatmap: Heatmap) -> str:
    """The values at four depths, and of a probe map the counts, the best cell, and how many cells are above chance."""
    if "control" in heatmap.data:
        return "\n".join(["", *_controls_in_words(heatmap), "", table_of_values(heatmap)])
    counts = json.loads(heatmap.data.attrs["counts"])
    lines = [*(f"{count:6d}  {label}" for label, count in counts.items()), "", table_of_values(heatmap), ""]
    return "\n".join([*lines, *_classes_in_words(heatmap), *_best_in_words(heatmap), *_marks_in_words(heatmap)])


def _controls_in_words(heatmap: Heatmap) -> list[str]:
    data = heatmap.data
    lines = ["AUC of the controls [95 % interval]", " " * 26 + "".join(f"{name:>22}" for name in data["which"].values)]
    for name in data["position"].values:
        row = data.sel(position=name)
        cells = zip(row["control"].values, row["control_low"].values, row["control_high"].values, strict=True)
        lines.append(f"{name:26}" + "".join(f"{value_in_words(*map(float, cell)):>22}" for cell in cells))
    return lines


def _classes_in_words(heatmap: Heatmap) -> list[str]:
    """The columns that some class has too few answers in."""
    if "n_classes" not in heatmap.data:
        return []
    n_classes, of = heatmap.data["n_classes"].max("layer"), heatmap.data.sizes["class"]
    return [
        f"{name}: of {int(n)} of {of} classes, the others have too few answers there"
        for name, n in zip(heatmap.data["position"].values, n_classes.values, strict=True)
        if 0 < n < of
    ]


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
    if (kind := heatmap.data.attrs.get("label_kind", "binary")) != "binary":
        what = "a number has" if kind == "number" else "several classes have"
        shuffled = f"--labels shuffled:{heatmap.data.attrs['labels']} shows what chance gives"
        return [f"{what} no cells marked above chance, no controls and no best cell chosen apart; {shuffled}"]
    if "marked" not in heatmap.data:
        return []
    marked, threshold = heatmap.data["marked"], heatmap.data["threshold"]
    ends = f"{float(threshold.min()):.3f} to {float(threshold.max()):.3f}"
    spread = f"refits to permuted labels spread {heatmap.data.attrs['refits_spread']:.2f} times as wide"
    of = int(heatmap.data["value"].notnull().sum())
    return [f"{int(marked.sum())} of {of} cells {heatmap.data.attrs['mark']}: AUC above {ends}; {spread}"]


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.probe"))
