"""Look for truth without labels: Contrast-Consistent Search over the model's own verdict on its answers.

Asks the model after each answer whether that is correct, and lets the conversation end with Yes and with No. To the
activations at the end of both, layer by layer, CCS is fitted, which knows no labels (Burns et al. 2023), and beside it
the top principal component of their differences, logistic regression on them, CCS of shuffled pairs, and random
directions, all on the same folds; the AUC for errors of each is a column of the map. The model's own Yes or No has an
AUC too. Writes ccs.nc, .pdf and .png. An interrupted run goes on where it was.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from analyses.parts import asking, capturing, flags, probing, procedures
from analyses.parts.capturing import DEFAULT_SITE
from analyses.parts.command import execute
from analyses.parts.runs import (
    cell_in_words,
    kept_arrays,
    provenance,
    publish,
    require_publishable,
    reusable,
    table_of_values,
    value_in_words,
)
from interp.errors import InputError
from interp.work.files import make_folder

if TYPE_CHECKING:
    from interp.examples import Answer
    from interp.models.hooked_model import HookedModel
    from interp.patching.patches import Run
    from interp.probes.contrast_pairs import ContrastPair
    from interp.probes.contrast_probes import ContrastCells
    from interp.probes.labels import Labels
    from interp.results.heatmap import Heatmap

SETTINGS = ("site", "group", "folds", "seeds", "starts", "directions")
"""Flags that decide the map, beside those of the answers and of the capture."""
LEAST = {"folds": 2, "seeds": 1, "starts": 1, "directions": 1}
"""The smallest number that each of these flags takes."""


@dataclass(frozen=True)
class Config(capturing.Config):
    """Look for truth without labels: Contrast-Consistent Search over the model's own verdict on its answers."""

    site: str = DEFAULT_SITE
    """What of a block to probe: resid_pre, resid_mid, resid_post, attn_out, mlp_out (what they add), mlp_hidden,
    head_z, or a block's hook by TransformerLens's name, such as attn.hook_q."""
    folds: int = 5
    """Folds of the cross-fitting."""
    seeds: int = 1
    """In how many ways the answers are split into folds; the value is the mean."""
    group: Literal["question", "answer"] = "question"
    """What is kept on one side of a split: related questions, or with 'answer' also all that are given one answer."""
    starts: int = 10
    """From how many random starts CCS is fitted, of which the one that loses least is taken."""
    directions: int = 200
    """How many random directions there are in each layer."""
    figures: Path = Path("figures")
    """Folder of results: <model>/<dataset>/ccs.{nc,pdf,png}; ccs-attn_out.* for another site."""
    overwrite: bool = False
    """Replace the result of another run."""
    positions: tyro.conf.Suppress[str] = "-1"
    policy: tyro.conf.Suppress[Literal["strict", "paper"]] = "strict"


def run(config: Config) -> None:
    """Answer, ask for a verdict, capture, fit, draw."""
    require_usable(config)
    setting = asking.setting_of(config)
    settings = {name: getattr(config, name) for name in SETTINGS}
    identity = asking.identity_of(setting) | capturing.settings_of(config) | settings | procedures.CCS
    name = "-".join(["ccs", *variants_of(config)])
    work = setting.work(name, identity)
    published = config.figures / setting.place / f"{name}.nc"
    require_publishable(published, identity, overwrite=config.overwrite)
    heatmap = reusable(work / "ccs.nc", identity)
    if heatmap is None:
        heatmap = measured_map(setting, work).with_attributes(provenance(identity))
        heatmap.save(work / "ccs.nc")
    print(*publish(work / "ccs.nc", published, overwrite=config.overwrite), sep="\n")
    print(in_words(heatmap))


def require_usable(config: Config) -> None:
    """Raise an `InputError` for a flag that cannot be used, before anything is loaded or written."""
    capturing.require_usable(config)
    flags.require_least(config, LEAST)


def variants_of(config: Config) -> list[str]:
    """What in the name of a map tells it from the map of the default site, layers and split."""
    by_answer = ["group_answer"] if config.group == "answer" else []
    return by_answer + capturing.variants_of(config, config.site)


def measured_map(setting: asking.Setting[Config], work: Path) -> Heatmap:
    """The map of this configuration; every finished part is on disk."""
    from interp.answers.answers import answer_ends
    from interp.probes.contrast_map import contrast_map
    from interp.probes.contrast_pairs import contrast_pairs
    from interp.probes.contrast_probes import Contrasting, contrast_scores

    config, model = setting.config, setting.model
    answers, _ = asking.answers_of(setting)
    judged = [answer for answer in answers if answer.correct is not None]
    labels = labels_of(config, judged)
    style = asking.prompting_of(config, setting.questions).style_for(model().tokenizer)
    pairs = contrast_pairs(model().tokenizer, judged, answer_ends(model(), style), style)
    verdict = own_verdict(labels, model, [pair.asked for pair in pairs], work)
    cells, record = contrasted(setting, answers, pairs)
    contrasting = Contrasting(config.starts, config.directions, config.seed)
    scores = contrast_scores(cells, labels, contrasting, parts=make_folder(work))
    told = verdict | {"variant": variant_in_words(config, verdict)}
    return contrast_map(scores, labels, cells).with_attributes(record | told)


def labels_of(config: Config, judged: Sequence[Answer]) -> Labels:
    """Which answers are wrong, and their folds."""
    from interp.probes.labels import Split
    from interp.questions.answer_columns import MIN_PER_CLASS

    wrong = [answer.correct is False for answer in judged]
    if min(sum(wrong), len(wrong) - sum(wrong)) < MIN_PER_CLASS:
        raise InputError(
            f"{len(wrong) - sum(wrong)} answers are right and {sum(wrong)} are wrong, and a probe needs "
            f"{MIN_PER_CLASS} of either; ask more questions (--n), or others"
        )
    sides = probing.names_of(judged) if config.group == "answer" else None
    split = Split(config.folds, config.seed, config.seeds)
    return split.labels(wrong, [answer.question.group for answer in judged], sides)


def contrasted(
    setting: asking.Setting[Config], answers: Sequence[Answer], pairs: Sequence[ContrastPair]
) -> tuple[ContrastCells, dict[str, str]]:
    """The activations at the end of both halves of each pair, and the attributes of a map of them."""
    from interp.probes.contrast_probes import ContrastCells

    captured = [
        capturing.captured_at(setting, [setting.config.site], half)
        for half in ([pair.yes for pair in pairs], [pair.no for pair in pairs])
    ]
    store = captured[0].stores[setting.config.site]
    record = capturing.record_of(setting, answers, captured[0].table, store)
    return ContrastCells(*(half.stores[setting.config.site] for half in captured)), record


def own_verdict(
    labels: Labels, model: Callable[[], HookedModel], asked: Sequence[Run], work: Path
) -> dict[str, str | float]:
    """How well the model's own Yes or No tells right answers from wrong ones, and how often it says Yes."""
    from interp.probes.contrast_pairs import verdict_logits
    from interp.statistics.auc import auc_interval

    logit = kept_arrays(work / "verdict.npz", lambda: {"logit": verdict_logits(model(), asked)})["logit"]
    interval = auc_interval(-logit, labels.wrong, group=labels.side)
    return {"verdict": json.dumps(list(interval)), "says_yes": float((logit > 0).mean())}


def variant_in_words(config: Config, verdict: dict[str, Any]) -> str:
    """What the figure says beside the values."""
    by_answer = "no answer is on both sides of a split; " if config.group == "answer" else ""
    return f"{by_answer}the model's own Yes or No: {value_in_words(*json.loads(verdict['verdict']))}"


def in_words(heatmap: Heatmap) -> str:
    """The values at some depths, where each method is highest, and what the model itself says."""
    data = heatmap.data
    own, n = value_in_words(*json.loads(data.attrs["verdict"])), int(data["n"].max())
    return "\n".join(
        [
            table_of_values(heatmap),
            "",
            f"{'highest, and so too high':26}{'':24}{'':10}  with the other sign   layers {data.attrs['mark']}",
            *(highest_in_words(heatmap, name) for name in heatmap.positions),
            "",
            f"{'its own Yes or No':26}{own:>24}   Yes to {data.attrs['says_yes']:.0%} of {n} answers",
            f"{'loss of CCS out of fold':26}{range_in_words(heatmap, 'ccs'):>24}   of shuffled pairs "
            f"{range_in_words(heatmap, 'ccs-shuffled-pairs')}; a probe that knows nothing has 0.25",
            "signs are set by the labels of the training folds; without labels no fit knows which side is right",
        ]
    )


def highest_in_words(heatmap: Heatmap, name: str) -> str:
    """The highest value of a method, with what it would be with the other sign, and how many layers are marked."""
    import numpy as np

    column = heatmap.data.sel(position=name)
    if not np.isfinite(column["value"]).any():
        return f"{name:26}{'–':>24}"
    cell = column.isel(layer=int(np.nanargmax(column["value"])))
    place, other, n_marked = f"layer {int(cell.layer)}", 1 - float(cell.value), int(column["marked"].sum())
    return f"{name:26}{cell_in_words(cell):>24}{place:>10}{other:21.3f}{n_marked:9d} of {len(heatmap.layers)}"


def range_in_words(heatmap: Heatmap, name: str) -> str:
    """The least and the largest loss that a method has in any layer; a dash where it has none."""
    loss = heatmap.data["loss"].sel(position=name)
    if loss.isnull().all():
        return "–"
    return f"{float(loss.min()):.3f} to {float(loss.max()):.3f}"


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.ccs"))
