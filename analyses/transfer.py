"""Train probes on each of several question sets, and test them on each other.

Probes every set, takes for each the cell that is best on it (or the one that is given), and scores the answers to every
other set there; those to questions that both sets have, by the probe that has not seen them. Writes a matrix of AUCs,
and one of what they are above the test set's best baseline, the model's own probabilities: transfer.* and
transfer-beyond-baseline.* (.nc, .pdf, .png). An interrupted run goes on where it was.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from analyses import baselines
from analyses.parts import asking, capturing, loading, probing
from analyses.parts.command import execute
from analyses.parts.runs import cell_in_words, draw, provenance, require_publishable
from interp.errors import InputError

if TYPE_CHECKING:
    from interp.probes.transfer import Probed
    from interp.results.matrix import Matrix

NAMES = ("transfer", "transfer-beyond-baseline")


@dataclass(frozen=True)
class Config(probing.Config):
    """Train probes on each of several question sets, and test them on each other."""

    datasets: tuple[str, ...] = ("cities", "us-cities", "capitals", "currencies", "continents")
    """The question sets, as for --dataset of the other analyses; of a set or file with fewer questions than --n,
    all."""
    layer: int | None = None
    """The cell of all probes, with --position; by default the best cell of each training set, chosen on it alone."""
    position: str | None = None
    """Its token."""
    p_true: bool = False
    """Also take the model's own verdict (p-true, see interp baselines) for a baseline; it takes a few minutes a set."""
    dataset: tyro.conf.Suppress[str] = "cities"
    figures: Path = Path("figures")
    """Folder of results: <model>/transfer/transfer.{nc,pdf,png}, transfer-beyond-baseline.*."""
    overwrite: bool = False
    """Replace the result of another run."""


def run(config: Config) -> None:
    """Probe every set, test every pair, draw."""
    from interp.probes.transfer import transfer_matrices

    require_usable(config)
    source = loading.source_of(config)
    model = loading.once_loaded(config, source)
    if config.layer is not None:
        require_layer(config, loading.n_layers_of(source, model))
    sets = [asking.at_most(replace(config, dataset=dataset), probing.questions_of) for dataset in config.datasets]
    settings = [asking.Setting(each, source, questions, model) for each, questions in sets]
    require_unlike_names([setting.questions.name for setting in settings])
    for setting in settings:
        if setting.config.n < config.n:
            print(f"{setting.questions.name} has {setting.config.n} questions, and all of them are asked")
    identity = {
        "sets": [probing.identity_of(setting) for setting in settings],
        "cell": None if config.layer is None else [config.layer, config.position],
        "p_true": config.p_true,
    }
    paths = [config.figures / source.name / "transfer" / f"{name}.nc" for name in NAMES]
    for path in paths:
        require_publishable(path, identity, overwrite=config.overwrite)
    probed = [probed_set(setting, p_true=config.p_true) for setting in settings]
    place = None if config.layer is None or config.position is None else (config.layer, config.position)
    matrices = transfer_matrices(probed, place)
    record = provenance(identity) | loading.record_of(config, source) | {"site": config.site}
    for path, matrix in zip(paths, matrices, strict=True):
        matrix.with_attributes(record).save(path)
        print(path, *draw(path, path), sep="\n")
    print("\n".join(map(in_words, matrices)))


def require_usable(config: Config) -> None:
    """Raise an `InputError` for a flag that cannot be used, before anything is loaded or written."""
    from interp.positions import require_known

    probing.require_usable(config)
    if len(config.datasets) < 2 or len(set(config.datasets)) < len(config.datasets):
        raise InputError(f"--datasets is {' '.join(config.datasets) or 'empty'}; give two sets or more, each once")
    if (config.layer is None) != (config.position is None):
        raise InputError("a cell has a layer and a token; give both --layer and --position, or neither")
    if config.position is not None:
        require_known([config.position])
        if config.position not in capturing.positions_of(config):
            raise InputError(f"--position {config.position} is not among --positions; add it there")
    require_layer(config, n_layers=None)
    if config.labels != probing.CORRECTNESS or config.split != "folds" or not config.nested:
        raise InputError(
            "transfer is of correctness, over folds, with nested choice; leave --labels, --split, --no-nested out"
        )
    if config.folds < probing.FOLDS_TO_NEST:
        raise InputError(f"--folds {config.folds} leaves nothing to choose a cell on; give 3 folds or more")
    if config.probe == "mlp":
        raise InputError("--probe mlp is not linear, and has no direction that could be kept; take another --probe")


def require_layer(config: Config, n_layers: int | None) -> None:
    """Raise an `InputError` if the layer that is given is none of those that are probed, as far as these are known."""
    if config.layer is None or (n_layers is None and config.layers == "all"):
        return
    if config.layer not in capturing.layer_numbers(config.layers, n_layers):
        of_model = "" if n_layers is None else f" of this model, which are 0 to {n_layers - 1}"
        raise InputError(f"--layer {config.layer} is not among --layers {config.layers}{of_model}; give one of these")


def require_unlike_names(names: Sequence[str]) -> None:
    """Raise an `InputError` if two sets go by one name, as files of two folders may."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two of --datasets go by the name {twice}; rename one of the files")


def probed_set(setting: asking.Setting[Config], *, p_true: bool) -> Probed:
    """A set with the scores and the probes of its answers, and its baselines; every finished part is on disk."""
    from interp.probes.transfer import Probed

    identity = probing.identity_of(setting)
    material = probing.material_of(setting, setting.work("scores", identity))
    classes = cache(partial(probing.two_classes, setting.config, material))
    work = baselines.work_folder(setting, baselines.identity_of(setting, p_true=p_true))
    return Probed(
        name=setting.questions.name,
        store=material.store,
        mask=material.mask,
        labels=classes().labels,
        scores=classes().scores,
        probes=partial(probing.probes_of_cell, material, classes, identity),
        baselines=baselines.baseline_scores(material.answers, setting.model, work, p_true=p_true),
        questions={answer.question.id: answer.question for answer in material.answers},
    )


def in_words(matrix: Matrix) -> str:
    """A line for each pair: trained on, in which cell, tested on, and what came of it."""
    data, reasons = matrix.data, matrix.reasons
    lines = ["", f"{data.attrs['metric']} [95 % interval]"]
    for of_row, train in zip(reasons, data["train"].values, strict=True):
        row = data.sel(train=train)
        place = row["train_position"].item()
        lines.append(f"{train}: layer {int(row['train_layer'])}, {place}" if place else f"{train}: no cell has a value")
        for why, test in zip(of_row, data["test"].values, strict=True):
            cell = row.sel(test=test)
            has_baseline = "baseline" in cell and cell["baseline"].item()
            beyond = f"   {cell['baseline'].item()} {float(cell['baseline_auc']):.3f}" if has_baseline else ""
            n, n_of_fold = int(cell["n"]), int(cell["n_of_fold"])
            seen = f", {n_of_fold} by the probe that has not seen them" if n_of_fold and train != test else ""
            lines.append(f"    {test:28}{cell_in_words(cell):>24}   n {n}{seen}{beyond}{f'   ({why})' if why else ''}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.transfer"))
