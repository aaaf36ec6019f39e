"""Map where a linear probe can read off that an answer is wrong.

Asks the questions, captures the residual stream after every layer (or another site) at every position of the answers
that have an exact answer, and gives each (layer, token) the AUC of a cross-fitted probe for errors, with its interval.
Writes probe.nc, probe.pdf and probe.png. An interrupted run goes on where it was.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analyses import asking
from analyses.command import execute
from analyses.runs import digest, provenance, publish, require_publishable, reusable, run_folder

if TYPE_CHECKING:
    from interp.heatmap import Heatmap
    from interp.model_sources import ModelSource
    from interp.questions import QuestionSet

DEFAULT_POSITIONS = (
    "last_q,first_answer,second_answer,"
    "exact_answer_before_first,exact_answer_first,exact_answer_last,exact_answer_after_last,-8,-7,-6,-5,-4,-3,-2,-1"
)
DEFAULT_SITE = "resid_post"


@dataclass(frozen=True)
class Config(asking.Config):
    """Map where a linear probe can read off that an answer is wrong."""

    positions: str = DEFAULT_POSITIONS
    """Columns of the map, separated by commas; -k counts from the end of the answer (write --positions=-2,-1)."""
    policy: Literal["strict", "paper"] = "strict"
    """'strict' leaves missing what is missing; 'paper' clamps and falls back as the published code, to replicate it."""
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
    from interp.positions import require_known

    asking.require_usable(config)
    if not config.c > 0:
        raise InputError(f"--c is {config.c}; give a number above 0")
    if config.folds < 2:
        raise InputError(f"--folds is {config.folds}; give a number from 2")
    positions = config.positions.split(",")
    require_known(positions)
    questions = asking.questions_of(config)
    source = asking.source_of(config)
    settings = {"positions": positions, "folds": config.folds, "c": config.c, "labels": config.labels}
    settings |= policy_of(config)
    identity = asking.identity_of(config, source, questions) | {"site": config.site} | settings

    chosen = ((config.site, DEFAULT_SITE), (config.labels, "correctness"), (config.policy, "strict"))
    variants = [value.replace(".", "_") for value, default in chosen if value != default]
    name = "-".join(["probe", *variants])
    published = config.figures / source.name / questions.name / f"{name}.nc"
    require_publishable(published, identity, overwrite=config.overwrite)
    work = run_folder(config.runs / source.name / questions.name, name, identity)
    heatmap = reusable(work / published.name, identity)
    if heatmap is None:
        heatmap = measured_map(config, source, questions, positions, work).with_attributes(provenance(identity))
        heatmap.save(work / published.name)
    for path in publish(work / published.name, published):
        print(path)
    print(in_words(heatmap))


def policy_of(config: Config) -> dict[str, str]:
    """What the policy adds to an identity: nothing where it is strict."""
    return {} if config.policy == "strict" else {"policy": config.policy}


def measured_map(
    config: Config, source: ModelSource, questions: QuestionSet, positions: Sequence[str], work: Path
) -> Heatmap:
    """The probe map of this configuration; every finished part of it is on disk in `work` and beside it."""
    import numpy as np

    from interp.activations import capture
    from interp.answers import summary
    from interp.files import whole_file
    from interp.positions import coinciding_pairs, missing_by_reason, position_table, replaced_shares, resolved_mask
    from interp.probe import Labels, example_scores, out_of_fold_scores, probe_map

    model = cache(lambda: asking.loaded(config, source))
    answers, folder = asking.answers_of(config, source, questions, model)
    judged = [answer for answer in answers if answer.correct is not None]
    correct = [answer.correct is True for answer in judged]
    if config.labels == "shuffled":
        correct = np.random.default_rng(config.seed).permutation(correct).tolist()
    labels = Labels.of(correct, [answer.question.group for answer in judged], folds=config.folds, seed=config.seed)

    table = position_table(judged, positions, policy=config.policy)
    with whole_file(work / "positions.nc") as temporary:
        table.to_netcdf(temporary, engine="h5netcdf")
    cells: dict[str, Any] = {"answers": folder.name, "site": config.site, "positions": list(positions)}
    cells |= policy_of(config)
    store = capture(
        model,
        judged,
        table,
        folder.parent / f"activations-{digest(cells)}",
        identity=cells,
        batch_size=config.batch_size,
        site=config.site,
    )
    mask = resolved_mask(table)
    scores = out_of_fold_scores(store, mask, labels, c=config.c, parts=work / "scores")
    with whole_file(work / "examples.nc") as temporary:
        examples = example_scores(scores, labels, examples=store.examples, positions=positions)
        examples.to_netcdf(temporary, engine="h5netcdf")
    return probe_map(scores, mask, labels, positions).with_attributes(
        {
            "model": source.name,
            "revision": source.revision,
            **asking.form_of(config, source),
            "dataset": questions.name,
            "credit": questions.credit,
            "site": config.site,
            "policy": config.policy,
            "counts": json.dumps(summary(answers, questions)),
            "missing": json.dumps(missing_by_reason(table)),
            "replaced": json.dumps(replaced_shares(table)),
            "coinciding": json.dumps(coinciding_pairs(table)),
        }
    )


def in_words(heatmap: Heatmap) -> str:
    """The counts behind the map, and its values with their intervals, for every position at four depths."""
    data = heatmap.data
    n_layers = data.sizes["layer"]
    layers = sorted({0, n_layers // 3, 2 * n_layers // 3, n_layers - 1})
    lines = [
        *(f"{count:6d}  {label}" for label, count in json.loads(data.attrs["counts"]).items()),
        "",
        f"{data.attrs['metric']} [95 % interval]",
        f"{'':26}{'n':>5}" + "".join(f"{f'layer {layer}':>22}" for layer in layers),
    ]
    for name in data["position"].values:
        column = data.sel(position=name)
        values = [column.sel(layer=layer) for layer in layers]
        shown = [f"{float(v.value):.3f} [{float(v.low):.3f}, {float(v.high):.3f}]" for v in values]
        lines.append(f"{name:26}{int(column.n.max()):5d}" + "".join(f"{cell:>22}" for cell in shown))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.probe"))
