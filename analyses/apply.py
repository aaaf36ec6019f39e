"""Score answers by probes that were trained on others, and see how well they tell errors there.

Takes the probes that 'interp probe --save-probes' kept, asks the model another question set (or takes other answers to
the same one: --dataset with a model_answer column), captures the same cells, and gives every answer the log-odds of
being wrong at each of them. Where answers are judged, maps the AUC; its interval takes the probe as it is, but that of
answers that were trained on, which the probe of their fold scores, is a probe map's. Writes probe-from-<set>.nc, .pdf
and .png, and the scores of every answer.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from analyses.parts import asking, capturing, loading, procedures
from analyses.parts.capturing import DEFAULT_POSITIONS
from analyses.parts.command import execute
from analyses.parts.probing import CORRECTNESS
from analyses.parts.runs import (
    Identity,
    provenance,
    publish,
    require_publishable,
    reusable,
    table_of_values,
)
from interp.errors import InputError
from interp.work.files import sha256, write_netcdf

if TYPE_CHECKING:
    from interp.models.model_sources import ModelSource
    from interp.probes.linear_probes import LinearProbes
    from interp.results.heatmap import Heatmap

SCORES = "scores.nc"


@dataclass(frozen=True)
class Config(capturing.Config):
    """Score answers by probes that were trained on others."""

    probes: Annotated[Path, tyro.conf.Positional] = Path("probes.safetensors")
    """The file that 'interp probe --save-probes' printed. Its site and policy are taken, and its cells, or those of
    them that --layers and --positions name."""
    figures: Path = Path("figures")
    """Folder of results: <model>/<dataset>/probe-from-<set>.{nc,pdf,png}."""
    overwrite: bool = False
    """Replace the result of another run."""


def run(config: Config) -> None:
    """Answer, capture, score, draw."""
    from interp.probes.linear_probes import LinearProbes

    probes = LinearProbes.load(config.probes)
    require_of_errors(config, probes)
    config = with_cells_of(config, probes)
    capturing.require_usable(config)
    setting = asking.setting_of(config)
    require_same_model(config, setting.source, probes)
    trained_on = str(probes.record["identity"]["dataset"])
    identity = asking.identity_of(setting) | capturing.settings_of(config)
    identity |= {"probes": sha256(config.probes), "trained_on": trained_on}
    identity |= procedures.REFITS
    name = f"probe-from-{trained_on}"
    work = setting.work(name, identity)
    published = config.figures / setting.place / f"{name}.nc"
    require_publishable(published, identity, overwrite=config.overwrite)
    heatmap = reusable(work / "probe.nc", identity)
    if heatmap is None or not (work / SCORES).is_file():
        heatmap = applied(setting, probes, work).with_attributes(provenance(identity))
        heatmap.save(work / "probe.nc")
    print(work / SCORES)
    if bool(heatmap.data["value"].isnull().all()):
        print("no cell has 20 judged answers of either class: the answers are scored, and there is no AUC to map")
        return
    print(*publish(work / "probe.nc", published, overwrite=config.overwrite), sep="\n")
    print("", table_of_values(heatmap), sep="\n")


def with_cells_of(config: Config, probes: LinearProbes) -> Config:
    """The same flags, with the cells of the probes, or those of them that the flags name."""
    positions = probes.positions if config.positions == DEFAULT_POSITIONS else tuple(capturing.positions_of(config))
    layers = probes.layers if config.layers == "all" else capturing.layer_numbers(config.layers, None)
    for layer in layers:
        for position in positions:
            probes.require_cell(layer, position)
    policy = probes.record["identity"].get("policy", "strict")
    return replace(config, positions=",".join(positions), layers=",".join(map(str, layers)), policy=policy)


def require_of_errors(config: Config, probes: LinearProbes) -> None:
    """Raise an `InputError` if the probes were trained to tell something else than errors."""
    labels = probes.record["identity"]["labels"]
    if labels != CORRECTNESS:
        raise InputError(
            f"{config.probes} has probes of {labels}, not of errors; give those of interp probe without --labels"
        )


def require_same_model(config: Config, source: ModelSource, probes: LinearProbes) -> None:
    """Raise an `InputError` if the probes are of another model, or of the same one run otherwise."""
    trained: Identity = probes.record["identity"]
    here = loading.model_identity(config, source)
    keys = ("model", "revision", "backend", "weights")
    differing = [key for key in keys if trained.get(key) != here.get(key)]
    if differing:
        told = "; ".join(f"{key}: {trained.get(key)} there, {here.get(key)} here" for key in differing)
        raise InputError(f"{config.probes} has probes of another model ({told}); give that model, or other probes")


def applied(setting: asking.Setting[Config], probes: LinearProbes, work: Path) -> Heatmap:
    """The map of AUCs over the judged answers; the scores of all answers are left in `work`."""
    import numpy as np
    import xarray as xr

    from interp.positions import resolved_mask
    from interp.probes.transfer import transferred_map
    from interp.statistics.groups import numbered

    site = str(probes.record["identity"]["site"])
    captured = capturing.captured(setting, [site])
    answers = captured.answers
    store, mask = captured.of(site, range(len(answers))), resolved_mask(captured.table)
    wrong = np.array([answer.correct is False for answer in answers], dtype=bool)
    judged = np.array([answer.correct is not None for answer in answers], dtype=bool)
    group = numbered([answer.question.group for answer in answers])
    used = probes.for_questions({answer.question.id: answer.question for answer in answers}, setting.questions.name)
    heatmap, scores = transferred_map(used, store, mask, wrong, group, judged=judged)
    of_examples = xr.Dataset(
        {
            "score": (("layer", "position", "example"), scores.astype(np.float32)),
            "wrong": ("example", wrong),
            "judged": ("example", judged),
        },
        coords={"layer": list(store.layers), "position": list(store.positions), "example": list(store.examples)},
        attrs={"score": f"log-odds of being wrong, by probes of {probes.record['identity']['dataset']}"},
    )
    write_netcdf(work / SCORES, of_examples)
    record = capturing.record_of(setting, answers, captured.table, captured.stores[site])
    return heatmap.with_attributes(record | {"variant": f"probes trained on {probes.record['identity']['dataset']}"})


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.apply"))
