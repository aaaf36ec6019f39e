"""Let a probe choose among sampled answers, and compare it with the greedy answer, a random one and the majority.

Samples several answers to each question, captures one cell of each, and scores them by a probe that was trained on the
greedy answers of other folds. Says how often the answer that the probe calls most likely correct is correct, and by how
much that is more than what else might be chosen, with paired intervals; also by type of error. Writes selection.nc and
selection-gain.nc.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyses.parts import sampled
from analyses.parts.command import execute
from analyses.parts.runs import require_publishable
from interp.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from analyses.parts.capturing import Captured
    from interp.examples import Answer
    from interp.statistics.auc import Interval

EVERYTHING = "all questions"
METRICS = ("accuracy of the chosen answer", "accuracy gained by the probe's choice")


@dataclass(frozen=True)
class Config(sampled.Config):
    """Let a probe choose among sampled answers."""


def run(config: Config) -> None:
    """Sample, capture, train on the greedy answers, choose, compare."""
    from interp.probes.selection import accuracies, gains
    from interp.results.estimates import Estimates
    from interp.results.scales import Scale

    setting = sampled.setting_of(config)
    identity = setting.identity()
    paths = [setting.folder / f"{name}.nc" for name in ("selection", "selection-gain")]
    for path in paths:
        require_publishable(path, identity, overwrite=config.overwrite)

    draws = setting.samples()
    captured = setting.greedy()
    samples = [list(of_question) for of_question in zip(*draws, strict=True)]
    chosen = accuracies(captured.answers, samples, scores_of(setting, captured, draws))
    groups = [answer.question.group for answer in captured.answers]
    subsets = subsets_of(samples)
    results = [means_of(values, subsets, groups) for values in (chosen, gains(chosen))]

    record = sampled.record_of(setting, captured, identity)
    about: dict[str, Any] = {"kind": "answer selection", "attributes": record}
    estimates = [
        Estimates.named(results[0], metric=METRICS[0], scale=(0.0, 1.0), **about),
        Estimates.named(results[1], metric=METRICS[1], scale=Scale(-0.5, 0.5, centre=0.0), reference=0.0, **about),
    ]
    for path, each in zip(paths, estimates, strict=True):
        print(*sampled.published(path, each), sep="\n")
    can_matter = (chosen["oracle"] == 1) & (chosen["random answering"] < 1)
    print(f"{len(samples):6d}  asked, {config.samples} samples each at temperature {config.temperature:g}")
    print(f"{int(can_matter.sum()):6d}  where it matters which sample with an exact answer is chosen")
    print(f"        probed: {config.site}, layer {setting.layer}, {config.position}")
    for result in results:
        print("\n".join(["", *in_words(result)]))


def scores_of(setting: sampled.Setting, captured: Captured, draws: list[list[Answer]]) -> dict[str, np.ndarray]:
    """By what the probe knows, and by what names alone tell, how likely correct each sample is (question × sample)."""
    from interp.positions import resolved_mask
    from interp.probes.cell_probe import Probing, why_no_value
    from interp.probes.controls import STRENGTHS
    from interp.probes.labels import Split
    from interp.probes.linear_probes import cell_probes
    from interp.probes.selection import name_features, scores_of_samples, scoring_fold

    config = setting.config
    judged = [captured.answers[row] for row in captured.judged]
    groups = [answer.question.group for answer in judged]
    labels = Split(config.folds, config.seed).labels([answer.correct is False for answer in judged], groups)
    present = resolved_mask(captured.table)[captured.judged, 0]
    probe = scoring_fold([answer.question.group for answer in captured.answers], groups, labels)

    def scored(trained: torch.Tensor, of_draws: list[torch.Tensor], probing: Probing) -> np.ndarray:
        probes = cell_probes(trained, present, labels, probing)
        if probes is None:
            why = why_no_value(labels, present).name.lower().replace("_", " ")
            raise InputError(
                f"no probe can be trained on the greedy answers at layer {setting.layer}, {config.position} "
                f"({why}); ask more questions (--n) or take another cell"
            )
        return scores_of_samples(probes, of_draws, probe)

    store = captured.of(config.site, captured.judged)
    activations = store.cell(setting.layer, config.position)
    return {
        "name": scored(
            name_features(judged, judged),
            [name_features(draw, judged) for draw in draws],
            Probing(STRENGTHS if len(config.c) > 1 else config.c, standardise=False, nested=False),
        ),
        "probe": scored(activations, [setting.activations(draw) for draw in draws], Probing(config.c, nested=False)),
    }


def subsets_of(samples: list[list[Answer]]) -> dict[str, np.ndarray]:
    """All questions, and those of each type of error if there are samples enough to tell.

    Types are told by the samples that are chosen among, so that how often a random one is correct is in part what they
    are defined by. Choices can be compared within a type, and not one choice across types.
    """
    import numpy as np

    from interp.probes.error_types import FEWEST_SAMPLES, by_name, counts_of, overlapping_types

    subsets: dict[str, np.ndarray] = {EVERYTHING: np.ones(len(samples), dtype=bool)}
    if len(samples[0]) >= FEWEST_SAMPLES:
        types = by_name(overlapping_types([counts_of(of_question) for of_question in samples]))
        subsets |= {name.replace(":", ","): rows for name, rows in types.items()}
    return subsets


def means_of(
    values: Mapping[str, np.ndarray], subsets: Mapping[str, np.ndarray], groups: list[str]
) -> dict[str, tuple[Interval, int]]:
    """The mean of each value over the questions of each subset, with its interval and their number."""
    from interp.probes.selection import mean_interval
    from interp.results.estimates import IN_GROUP
    from interp.statistics.groups import numbered

    group = numbered(groups)
    return {
        f"{subset}{IN_GROUP}{name}": (mean_interval(each[rows], group[rows]), int(rows.sum()))
        for subset, rows in subsets.items()
        for name, each in values.items()
    }


def in_words(values: Mapping[str, tuple[Interval, int]]) -> list[str]:
    """A line for each value that there is; of what has too few questions, that it has."""
    from interp.results.estimates import IN_GROUP

    lines = []
    for name, (interval, n) in values.items():
        subset, _, choice = name.partition(IN_GROUP)
        if interval.value == interval.value:
            lines.append(f"{subset:44}{choice:26}{sampled.interval_in_words(interval):>24}   n {n}")
        elif choice in ("greedy", "probe − greedy"):
            lines.append(f"{subset:44}{'–':26}{'too few questions':>24}   n {n}")
    return lines


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.selection"))
