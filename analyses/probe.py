"""Map where a linear probe can read off that an answer is wrong.

Asks the questions, captures the residual stream after every layer (or another site) at every position of the answers
that have an exact answer, and gives each (layer, token) the AUC of a cross-fitted probe for errors, with its interval.
Writes probe.nc, probe.pdf and probe.png. An interrupted run goes on where it was.
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
from analyses.runs import provenance, publish, require_publishable, reusable, run_folder, table_of_values

if TYPE_CHECKING:
    from interp.heatmap import Heatmap
    from interp.model_sources import ModelSource
    from interp.questions import QuestionSet


@dataclass(frozen=True)
class Config(capturing.Config):
    """Map where a linear probe can read off that an answer is wrong."""

    site: str = DEFAULT_SITE
    """What of a block to probe: resid_pre, resid_mid, resid_post, attn_out, mlp_out (what they add), mlp_hidden,
    head_z, or a block's hook by TransformerLens's name, such as attn.hook_q."""
    folds: int = 5
    """Folds of the cross-fitting."""
    c: float = 1.0
    """Inverse strength of the L2 regularisation."""
    labels: Literal["correctness", "shuffled"] = "correctness"
    """'shuffled' deals the labels out at random: the control, which must give .5."""
    figures: Path = Path("figures")
    """Folder of results: <model>/<dataset>/probe.{nc,pdf,png}; probe-shuffled.* for the control, probe-paper.* for
    the paper's policy, probe-attn_out.* for another site."""
    overwrite: bool = False
    """Replace the result of another run."""


def run(config: Config) -> None:
    """Answer, capture, probe, draw."""
    from interp.errors import InputError

    capturing.require_usable(config)
    if not config.c > 0:
        raise InputError(f"--c is {config.c}; give a number above 0")
    if config.folds < 2:
        raise InputError(f"--folds is {config.folds}; give a number from 2")
    questions = asking.questions_of(config)
    source = asking.source_of(config)
    settings = {"site": config.site, "folds": config.folds, "c": config.c, "labels": config.labels}
    identity = asking.identity_of(config, source, questions) | capturing.settings_of(config) | settings

    shuffled = [] if config.labels == "correctness" else [config.labels]
    name = "-".join(["probe", *shuffled, *capturing.variants_of(config, config.site)])
    published = config.figures / source.name / questions.name / f"{name}.nc"
    require_publishable(published, identity, overwrite=config.overwrite)
    work = run_folder(config.runs / source.name / questions.name, name, identity)
    heatmap = reusable(work / published.name, identity)
    if heatmap is None:
        heatmap = measured_map(config, source, questions, work).with_attributes(provenance(identity))
        heatmap.save(work / published.name)
    for path in publish(work / published.name, published):
        print(path)
    print(in_words(heatmap))


def measured_map(config: Config, source: ModelSource, questions: QuestionSet, work: Path) -> Heatmap:
    """The probe map of this configuration; every finished part of it is on disk in `work` and beside it."""
    import numpy as np

    from interp.files import whole_file
    from interp.positions import resolved_mask
    from interp.probe import Labels, example_scores, out_of_fold_scores, probe_map

    model = cache(lambda: asking.loaded(config, source))
    captured = capturing.captured(config, source, questions, model, [config.site])
    judged = [captured.answers[row] for row in captured.judged]
    correct = [answer.correct is True for answer in judged]
    if config.labels == "shuffled":
        correct = np.random.default_rng(config.seed).permutation(correct).tolist()
    labels = Labels.of(correct, [answer.question.group for answer in judged], folds=config.folds, seed=config.seed)

    table = captured.table.isel(example=captured.judged)
    with whole_file(work / "positions.nc") as temporary:
        table.to_netcdf(temporary, engine="h5netcdf")
    store = captured.of(config.site, captured.judged)
    mask = resolved_mask(table)
    scores = out_of_fold_scores(store, mask, labels, c=config.c, parts=work / "scores")
    with whole_file(work / "examples.nc") as temporary:
        example_scores(scores, labels, store).to_netcdf(temporary, engine="h5netcdf")
    record = capturing.record_of(config, source, questions, captured.answers, table, config.site)
    return probe_map(scores, mask, labels, store).with_attributes(record)


def in_words(heatmap: Heatmap) -> str:
    """The counts behind the map, and its values with their intervals, for every position at four depths."""
    counts = json.loads(heatmap.data.attrs["counts"])
    return "\n".join([*(f"{count:6d}  {label}" for label, count in counts.items()), "", table_of_values(heatmap)])


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.probe"))
