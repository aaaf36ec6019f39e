"""Map where a model's answer is caused: activation patching, layer by token.

Pairs questions to which the model gives different answers, and puts the activation of one run at one layer and token
into the other run: how far does the answer follow? Every cell is an exact intervention; values are means over the pairs
with their intervals, and cells that do anything at all are marked, corrected for their number. Pairs enter if the model
says both answers and their runs differ by a margin. Cells in which a patch can do nothing, whatever the model, are
missing and hatched. Writes patch.nc, .pdf and .png, and patch-pairs.nc with the values of every pair. Interrupted, the
same command goes on where it was. With --clean and --corrupt it patches one pair of texts, with tokens as columns.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from analyses.parts import (
    asking,
    loading,
    patch_flags,
    patch_pairs,
    patch_screen,
    patch_summary,
    patch_texts,
    patching,
    procedures,
)
from analyses.parts.command import execute
from analyses.parts.runs import (
    provenance,
    publish,
    require_publishable,
    reusable,
)
from interp.work.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interp.examples import Answer
    from interp.patching.patched_pairs import PatchedPairs
    from interp.results.heatmap import Heatmap


@dataclass(frozen=True)
class Config(patching.Config):
    """Map where a model's answer is caused: activation patching, layer by token."""


def run(config: Config) -> None:
    """Answer, pair, patch, draw."""
    from interp.patching.patch_files import load_patched

    patch_flags.require_usable(config)
    source = loading.source_of(config)
    model = loading.once_loaded(config, source)
    if config.clean is not None or config.corrupt is not None:
        patch_texts.run(config, source, model)
        return
    questions = asking.questions_of(config, () if config.pair_column is None else (config.pair_column,))
    setting = asking.Setting(config, source, questions, model)
    identity = patching.identity_of(setting)
    identity |= {"metric": patching.metric_of(config), "bootstraps": config.bootstraps} | procedures.PATCH_MAP
    identity |= {"verify": config.verify} if config.screen else {}
    name = "-".join(["patch", *patching.variants_of(config)])
    work, values = setting.work(name, identity), values_of(setting)
    published = config.figures / setting.place / f"{name}.nc"
    require_publishable(published, identity, overwrite=config.overwrite)
    heatmap = reusable(work / "patch.nc", identity)
    if heatmap is None or not values.is_file():
        heatmap = measured_map(setting, work / f"{name}-examples.nc").with_attributes(provenance(identity))
        heatmap.save(work / "patch.nc")
    written = publish(work / "patch.nc", published, overwrite=config.overwrite)
    print(*written, copied(values, published.with_name(f"{name}-pairs.nc")), sep="\n")
    n_layers = loading.n_layers_of(source, model)
    print(patch_summary.in_words(config, heatmap, n_layers, lambda: load_patched(values)))
    if config.screen:
        print(patch_screen.agreement_in_words(heatmap, config.verify))


def values_of(setting: asking.Setting[Config]) -> Path:
    """Where what every patch gives is kept, for other maps of it."""
    return setting.work("patched", patching.identity_of(setting)) / "pairs.nc"


def measured_map(setting: asking.Setting[Config], kept: Path) -> Heatmap:
    """The map of this configuration; what every pair gives in it is kept in a file."""
    from interp.answers.answers import summary
    from interp.patching.pairs import groups_of_pairs
    from interp.patching.patch_map import pair_examples, patch_map
    from interp.results.example_values import FILE

    config, questions, model = setting.config, setting.questions, setting.model
    answers, _ = asking.answers_of(setting)
    layers = patching.layers_of(config, setting.source, model)
    patched, columns = patching.with_heads(config, patched_of(setting, answers), patching.positions_of(config), model)
    effects = patching.effects(config, patched)
    groups = groups_of_pairs(patched.ids, {each.id: each.group for each in questions.questions})
    draws, seed = config.bootstraps, config.seed
    heatmap = patch_map(patched, effects, layers=layers, positions=columns, draws=draws, seed=seed, groups=groups)
    if not config.screen:  # Of a screened map some cells are patched exactly, which their pairs' estimates are not.
        pair_examples(effects, patched.ids, groups, layers=layers, positions=columns).save(kept)
        heatmap = heatmap.with_attributes({FILE: kept.name})
    if config.verify == "all" and patch_screen.has_estimates(heatmap):
        exactly = replace(config, screen=False, verify=None)
        exact = patched_of(replace(setting, config=exactly), answers)
        heatmap = patch_screen.with_exact_values(heatmap, patch_screen.mean_effects(exactly, exact))
    elif config.verify and patch_screen.has_estimates(heatmap):
        candidates, cells, _ = patch_pairs.candidates_of(config, questions, model(), answers)
        heatmap = patch_screen.with_best_exact(config, heatmap, model(), candidates, cells)
    counts = summary(answers, questions) | {f"pairs dropped: {why}": n for why, n in sorted(patched.dropped.items())}
    record = loading.record_of(config, setting.source)
    record |= {"dataset": questions.name, "credit": questions.credit, "site": config.site}
    return heatmap.with_attributes(
        record
        | {"counts": json.dumps(counts | {"pairs": len(patched.ids)}), "variant": patching.variant_in_words(config)}
    )


def patched_of(setting: asking.Setting[Config], answers: Sequence[Answer]) -> PatchedPairs:
    """What every patch gives, from its file if it is there."""
    from interp.patching.patch_files import load_patched

    path = values_of(setting)
    if not path.is_file():
        patch_into(path, setting, answers)
    shutil.rmtree(parts_of(path), ignore_errors=True)
    return load_patched(path)


def patch_into(path: Path, setting: asking.Setting[Config], answers: Sequence[Answer]) -> None:
    """Patch pairs of questions, and keep what every patch gives; on the way in parts, from which a next run goes on."""
    from interp.patching.pair_patching import patched_pairs
    from interp.patching.patch_files import save_patched
    from interp.patching.patched_parts import PatchedParts

    config, model = setting.config, setting.model()
    candidates, cells, alone = patch_pairs.candidates_of(config, setting.questions, model, answers)
    _, units = patching.units_of_rows(config, setting.source, model)
    made_by = provenance(patching.identity_of(setting))
    patched = patched_pairs(
        model,
        candidates,
        cells,
        units,
        patching.intervention_of(config),
        n=config.pairs,
        left_out=alone,
        kept=PatchedParts(parts_of(path), made_by["identity"]),
    )
    rows = [f"{unit.first}-{unit.last}" + ("" if unit.head is None else f" head {unit.head}") for unit in units]
    save_patched(patched, path, rows=rows, positions=patching.positions_of(config), attributes=made_by)


def parts_of(values: Path) -> Path:
    """Where the parts of a file of pairs are until it is there."""
    return values.with_suffix(".parts")


def copied(path: Path, published: Path) -> Path:
    """A run's file of pairs, beside its map."""
    with whole_file(published) as temporary:
        shutil.copyfile(path, temporary)
    return published


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.patch"))
