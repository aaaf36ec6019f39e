"""Map where a linear probe can read off that an answer is wrong.

Asks the questions, captures the residual stream after every layer (or another site) at every position of the answers
that have an exact answer, and gives each (layer, token) the AUC of a cross-fitted probe for errors, with its interval;
marks the cells that are above chance, and maps what the probe knows beyond the strongest of its controls: the token's
identity, the answer's shape, the question's difficulty, and all of them; with --selectivity also what it knows beyond
which answers tend to be wrong. With --labels it does the same for any other column of the answers or of the question
file; for several classes and for numbers without the marks and the controls. Writes probe.*, probe-beyond.* and
probe-selectivity.* (.nc, .pdf, .png). An interrupted run goes on where it was.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from analyses.parts import flags, probing, procedures
from analyses.parts.command import execute
from analyses.parts.probe_summary import in_words
from analyses.parts.probing import Material, TwoClasses
from analyses.parts.runs import (
    Identity,
    provenance,
    publish,
    require_publishable,
    reusable,
)
from interp.errors import InputError
from interp.work.files import write_netcdf

if TYPE_CHECKING:
    from interp.probes.labels import Labels
    from interp.results.heatmap import Heatmap

BEYOND = "beyond.nc"
"""The map of what the probe knows beyond the controls."""
OF_MAPS = ("permutations", "bootstraps", "halvings", "controls")
"""Flags that decide what is made of the scores."""
FEWEST_PERMUTATIONS = 19
"""`interp.statistics.permutations.FEWEST_DRAWS`, which would take a second to import for --help."""
LEAST = {"permutations": 0, "bootstraps": 0, "halvings": 0, "selectivity_tasks": 2}
"""The smallest number that each of these flags takes."""


@dataclass(frozen=True)
class Config(probing.Config):
    """Map where a linear probe can read off that an answer is wrong."""

    permutations: int = 1000
    """Permutations of the labels, by which cells above chance are marked, and draws of signs, by which those beyond the
    controls are; both corrected for the number of cells."""
    bootstraps: int = 1000
    """Bootstrap samples of the groups, for a second interval beside DeLong's (low_bootstrap, high_bootstrap)."""
    halvings: int = 5
    """In how many ways the answers are halved, in each of 20 cells, to measure by how much both intervals of two
    classes must be widened for the refits; 0 widens them by what folds have in common (Nadeau & Bengio 2003)."""
    controls: bool = True
    """Also map what the probe knows beyond the strongest of its controls: the token's identity, the answer's shape, the
    question's difficulty, and all of them. These are weighed within folds: with --no-nested, --split paper or 2 folds
    there is no such map."""
    selectivity: bool = False
    """Also map the probe's selectivity: its AUC minus the one it has on control tasks, which give everything that is
    answered (such as a country) a random label (Hewitt & Liang 2019). Takes as long again for every two tasks or so."""
    selectivity_tasks: int = 3
    """How many control tasks, at least 2: the mean AUC over them is taken."""
    save_probes: bool = False
    """Also keep the probes themselves, for interp apply: of every cell one for each fold and one of all answers, in
    probes.safetensors beside the scores, whose path is printed."""
    figures: Path = Path("figures")
    """Folder of results: <model>/<dataset>/probe.{nc,pdf,png}, probe-beyond.*, probe-selectivity.*; probe-shuffled.*,
    probe-year.* for another column, probe-paper.* for the paper's policy, probe-attn_out.* for another site."""
    overwrite: bool = False
    """Replace the result of another run."""


def run(config: Config) -> None:
    """Answer, capture, probe, draw."""
    require_usable(config)
    setting = probing.setting_of(config)
    of_scores = probing.identity_of(setting)
    identity = of_scores | {name: getattr(config, name) for name in OF_MAPS} | procedures.PROBE_MAP
    identity |= procedures.WHITENED if config.probe == "mass-mean-whitened" else {}
    of_tasks = identity | {"selectivity_tasks": config.selectivity_tasks}

    name = name_of(config)
    work, parts = setting.work(name, identity), setting.work("scores", of_scores)
    results = {name: Planned(work / "probe.nc", identity)}
    if has_controls(config):
        results[f"{name}-beyond"] = Planned(work / BEYOND, identity | procedures.BEYOND_CONTROLS)
    if config.selectivity:
        results[f"{name}-selectivity"] = Planned(work / "selectivity.nc", of_tasks)
    folder = config.figures / setting.place
    for published, planned in results.items():
        require_publishable(folder / f"{published}.nc", planned.identity, overwrite=config.overwrite)

    material = cache(lambda: probing.material_of(setting, parts))
    classes = cache(lambda: probing.two_classes(config, material()))
    if not is_measured(config, work, identity):
        require_probed_for(config, material())
        for result, heatmap in measured_maps(config, material(), classes, work).items():
            of_result = identity | procedures.BEYOND_CONTROLS if result == BEYOND else identity
            heatmap.with_attributes(provenance(of_result)).save(work / result)
    if config.selectivity and reusable(work / "selectivity.nc", of_tasks) is None:
        selective = selectivity(config, material(), classes)
        selective.with_attributes(provenance(of_tasks)).save(work / "selectivity.nc")
    if config.save_probes:
        probing.kept_probes(material(), classes, of_scores)

    show(results, folder, overwrite=config.overwrite)
    if config.controls and not has_controls(config):
        print("no map beyond the controls: they are weighed within folds, of which --folds 3 or more, nested, has some")
    if config.save_probes:
        print(parts / probing.PROBES)


def name_of(config: Config) -> str:
    """What the map is called."""
    return "-".join(["probe", *probing.variants_of(config)])


class Planned(NamedTuple):
    """Where a result is to be, and what decides it."""

    path: Path
    identity: Identity


def show(results: Mapping[str, Planned], folder: Path, *, overwrite: bool) -> None:
    """Publish the results that were made, by their names, and say what they say."""
    made = {name: planned for name, planned in results.items() if planned.path.is_file()}
    for name, planned in made.items():
        print(*publish(planned.path, folder / f"{name}.nc", overwrite=overwrite), sep="\n")
    heatmaps = [reusable(*planned) for planned in made.values()]
    print("\n".join(in_words(heatmap) for heatmap in heatmaps if heatmap is not None))


def require_usable(config: Config) -> None:
    """Raise an `InputError` for a flag that cannot be used, before anything is loaded or written."""
    probing.require_usable(config)
    flags.require_least(config, LEAST)
    if 0 < config.permutations < FEWEST_PERMUTATIONS:
        raise InputError(
            f"--permutations is {config.permutations}, with which no cell could be marked; give {FEWEST_PERMUTATIONS} "
            "or more, or 0 to mark none"
        )
    if config.selectivity_tasks != Config.selectivity_tasks and not config.selectivity:
        raise InputError("--selectivity-tasks is of --selectivity; leave it out, or give that")
    if config.selectivity and config.group == "answer":
        raise InputError("--group answer leaves a probe no answer to memorise, which --selectivity is about; drop one")
    if config.save_probes and config.probe == "mlp":
        raise InputError("--probe mlp is not linear, and has no direction that --save-probes could keep; drop one")


def require_probed_for(config: Config, material: Material) -> None:
    """Raise an `InputError` for what is asked of labels that are not of two classes, before anything is probed."""
    for flag, is_given in (("--selectivity", config.selectivity), ("--save-probes", config.save_probes)):
        if is_given:
            probing.require_two_classes(material, flag)


def has_controls(config: Config) -> bool:
    """Whether there is a map of what the probe knows beyond the controls: it needs folds within folds."""
    folds = config.split == "folds" and config.folds >= probing.FOLDS_TO_NEST
    return config.controls and config.nested and folds


def is_measured(config: Config, work: Path, identity: Identity) -> bool:
    """Whether an earlier run made the maps; of what is not of two classes only the first is made."""
    first = reusable(work / "probe.nc", identity)
    beyond = reusable(work / BEYOND, {**identity, **procedures.BEYOND_CONTROLS})
    alone = first is not None and first.data.attrs.get("label_kind", "binary") != "binary"
    return first is not None and (alone or beyond is not None or not has_controls(config))


def measured_maps(
    config: Config, material: Material, classes: Callable[[], TwoClasses], work: Path
) -> dict[str, Heatmap]:
    """The maps of this configuration, by the name of their file; what is behind them is left in `work`."""
    write_netcdf(work / "positions.nc", material.table)
    if material.target.kind == "number":
        maps = {"probe.nc": number_map(config, material, work)}
    elif material.target.kind == "classes":
        maps = {"probe.nc": map_of_classes(config, material, work)}
    else:
        maps = binary_maps(config, material, classes(), work)
    return {name: heatmap.with_attributes(material.record) for name, heatmap in maps.items()}


def binary_maps(config: Config, material: Material, classes: TwoClasses, work: Path) -> dict[str, Heatmap]:
    """The AUC of one class against the other, with what chance gives, and what it has beyond the controls."""
    from interp.probes.chance import with_marks
    from interp.probes.controls import beyond_map, control_scores, control_values, controls_of
    from interp.probes.halves import measured_widening
    from interp.probes.metrics import with_metrics
    from interp.probes.probe_map import METRIC, best_cell, example_scores, probe_map
    from interp.results.example_values import FILE

    labels, scores = classes
    store, mask = material.store, material.mask
    examples = f"{name_of(config)}-examples.nc"
    example_scores(scores, labels, store, names_of_sides(labels, material.groups)).save(
        work / examples, also={"fold": labels.fold}
    )
    metric = METRIC if material.target.name == probing.CORRECTNESS else material.target.metric
    made_from, probing_as, seed, device = (scores, mask, labels, store), material.probing, config.seed, material.device
    widening = measured_widening(*made_from, probing_as, halvings=config.halvings, seed=seed, device=device)
    heatmap = probe_map(*made_from, draws=config.bootstraps, metric=metric, widening=widening)
    heatmap = heatmap.with_attributes({FILE: examples})
    heatmap = with_metrics(heatmap, scores, labels, kind=config.probe)
    if config.permutations:
        split, draws = material.split, config.permutations
        heatmap = with_marks(heatmap, *made_from, split, probing_as, draws=draws, seed=seed, device=device)
    best = best_cell(scores, labels, store) if config.nested else None
    of_best = {} if best is None else {"best_nested": json.dumps({"cells": best.cells, "auc": best.auc})}
    maps = {"probe.nc": heatmap}
    if has_controls(config):
        which, tokens = controls_of(material.target.name), material.table["token"].values
        controls = control_scores(material.answers, tokens, labels, material.probing, which)
        values = control_values(controls, labels, store.positions)
        signs = {"draws": config.permutations, "seed": seed}
        maps[BEYOND] = beyond_map(heatmap, scores, controls, labels, values, **signs)
    return {name: each.with_attributes(of_best) for name, each in maps.items()}


def names_of_sides(labels: Labels, groups: Sequence[str]) -> list[str]:
    """For each example the name of what it is kept together with: that of the first group of its side."""
    first: dict[int, str] = {}
    for side, group in zip(labels.side.tolist(), groups, strict=True):
        first[side] = min(group, first.get(side, group))
    return [first[side] for side in labels.side.tolist()]


def map_of_classes(config: Config, material: Material, work: Path) -> Heatmap:
    """The mean AUC of each class against the rest."""
    from interp.probes.class_probe import class_map, class_scores, example_class_scores

    store, mask = material.store, material.mask
    names, sides = [str(value) for value in material.target.values], probing.sides_of(config, material)
    classes = material.split.one_against_the_rest(names, material.groups, sides)
    scores = class_scores(store, mask, classes, material.probing, parts=material.parts, device=material.device)
    write_netcdf(work / "examples.nc", example_class_scores(scores, classes, store))
    return class_map(scores, mask, classes, store, metric=material.target.metric, draws=config.bootstraps)


def number_map(config: Config, material: Material, work: Path) -> Heatmap:
    """R² of ridge regression."""
    from interp.probes.number_probe import example_numbers, number_scores
    from interp.probes.number_probe import number_map as map_of_numbers

    store, mask = material.store, material.mask
    values, sides = [float(value) for value in material.target.values], probing.sides_of(config, material)
    numbers = material.split.numbers(values, material.groups, sides)
    scores = number_scores(
        store,
        mask,
        numbers,
        config.alpha,
        standardise=config.standardise,
        parts=material.parts,
        device=material.device,
    )
    write_netcdf(work / "examples.nc", example_numbers(scores, numbers, store))
    return map_of_numbers(scores, mask, numbers, store, metric=material.target.metric, draws=config.bootstraps)


def selectivity(config: Config, material: Material, classes: Callable[[], TwoClasses]) -> Heatmap:
    """What the probe's AUC has beyond that of the same probe on control tasks."""
    from interp.probes.probe_map import probe_map
    from interp.probes.selectivity import control_task_scores, control_tasks, selectivity_map

    probing.require_two_classes(material, "--selectivity")
    labels, scores = classes()
    controls = control_tasks(labels, material.named, config.selectivity_tasks, seed=config.seed)
    made_from = (material.store, material.mask, controls, material.probing)
    of_tasks = control_task_scores(*made_from, parts=material.parts, device=material.device)
    heatmap = probe_map(scores, material.mask, labels, material.store)
    selective = selectivity_map(heatmap, scores, of_tasks, material.mask, labels, controls)
    return selective.with_attributes(material.record)


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.probe"))
