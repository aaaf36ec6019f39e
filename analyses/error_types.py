"""Count in which ways a model errs on questions, and probe one answer for them.

Samples several answers to each question, sorts the questions by what their samples have in common (always the same
wrong answer, two that compete, many different ones …), and gives each type the AUC with which a cross-fitted probe of
the greedy answer's activations, in one cell, tells its questions from all others. Writes error-types.nc.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from analyses.parts import sampled
from analyses.parts.command import execute
from analyses.parts.runs import require_publishable
from interp.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from analyses.parts.capturing import Captured
    from interp.probes.error_types import TypeProbe
    from interp.results.estimates import Estimates


@dataclass(frozen=True)
class Config(sampled.Config):
    """Count in which ways a model errs on questions, and probe one answer for them."""

    rules: Literal["code", "paper"] = "code"
    """When a question is of a type: as the published code of Orgad et al. 2024 has it, or as the article words it; the
    thresholds are shares of the samples, of which the article had 30."""


def run(config: Config) -> None:
    """Sample, count, probe."""
    from interp.probes.error_types import FEWEST_SAMPLES, by_name, counts_of, disjoint_types, overlapping_types

    setting = sampled.setting_of(config)
    if config.samples < FEWEST_SAMPLES:
        raise InputError(
            f"--samples is {config.samples}; types of errors are told by a half, a third and a sixth of the samples: "
            f"give {FEWEST_SAMPLES} or more"
        )
    identity = setting.identity() | {"rules": config.rules}
    path = setting.folder / "error-types.nc"
    require_publishable(path, identity, overwrite=config.overwrite)

    counts = [counts_of(samples) for samples in zip(*setting.samples(), strict=True)]
    overlapping = overlapping_types(counts, config.rules)
    questions, disjoint = by_name(overlapping), by_name(disjoint_types(overlapping))
    captured = setting.greedy()
    probes = probes_of(setting, captured, questions)
    record = sampled.record_of(setting, captured, identity)
    print(*sampled.published(path, estimates_of(questions, disjoint, probes, record)), sep="\n")
    print(f"{len(counts):6d}  asked, {config.samples} samples each at temperature {config.temperature:g}")
    print(f"{int((~overlapping.any(1)).sum()):6d}  of no type by the rules of the {config.rules}")
    print(f"        {thresholds_in_words(config.samples, config.rules)}")
    print(f"        probed: {config.site}, layer {setting.layer}, {config.position} of the greedy answer\n")
    print("\n".join(in_words(questions, disjoint, probes)))


def probes_of(
    setting: sampled.Setting, captured: Captured, questions: Mapping[str, np.ndarray]
) -> dict[str, TypeProbe]:
    """For each type a probe of the greedy answers; of all that have the position, whether judged or not."""
    from interp.positions import resolved_mask
    from interp.probes.cell_probe import Probing
    from interp.probes.error_types import type_probe
    from interp.probes.labels import Split

    config = setting.config
    activations = captured.stores[config.site].cell(setting.layer, config.position)
    present = resolved_mask(captured.table)[:, 0]
    groups = [answer.question.group for answer in captured.answers]
    split, probing = Split(config.folds, config.seed), Probing(config.c, nested=False)
    return {
        name: type_probe(activations, present, of_type, groups, split, probing) for name, of_type in questions.items()
    }


def estimates_of(
    questions: Mapping[str, np.ndarray],
    disjoint: Mapping[str, np.ndarray],
    probes: Mapping[str, TypeProbe],
    record: Mapping[str, str],
) -> Estimates:
    """The AUCs, with how many questions are of each type, and why an AUC is missing."""
    from interp.probes.cell_probe import NoValue
    from interp.results.estimates import Estimates
    from interp.results.result import meanings_of

    return Estimates.named(
        {name: (probe.auc, probe.n) for name, probe in probes.items()},
        kind="error types",
        metric="AUC of a probe for questions of the type",
        scale=(0.5, 1.0),
        reference=0.5,
        attributes={**record, **meanings_of(NoValue)},
        extra={
            "n_of_type": [probe.n_of_type for probe in probes.values()],
            "questions": [int(of_type.sum()) for of_type in questions.values()],
            "questions_disjoint": [int(of_type.sum()) for of_type in disjoint.values()],
            "why_missing": [int(probe.why_missing) for probe in probes.values()],
        },
    )


def thresholds_in_words(samples: int, rules: str) -> str:
    """What the shares of the samples come to, which with few samples is little."""
    if rules == "code":
        half, third, sixth = samples // 2, samples // 3, samples // 6
        return (
            f"consistent: {half} samples or more; many: {third} other clusters, or {third - 1} beside a correct one; "
            f"competing: more than {sixth} each, and at most {sixth} apart"
        )
    return (
        f"consistent: {samples / 2:g} samples or more; many: more than {samples / 3:.3g} answers; "
        f"competing: {samples / 6:.3g} or more each, and at most {samples / 6:.3g} apart"
    )


def in_words(
    questions: Mapping[str, np.ndarray], disjoint: Mapping[str, np.ndarray], probes: Mapping[str, TypeProbe]
) -> list[str]:
    """A line for each type: its questions, those that have it first of all types, and the AUC of its probe."""
    lines = [f"{'':44}{'questions':>10}{'disjoint':>10}{'probed':>12}   AUC [95 % interval]"]
    for name, probe in probes.items():
        indented = f"  {name}" if ":" in name else name
        told = sampled.interval_in_words(probe.auc)
        why = f"  ({probe.why_missing.name.lower().replace('_', ' ')})" if probe.why_missing else ""
        counts = f"{int(questions[name].sum()):10d}{int(disjoint[name].sum()):10d}"
        lines.append(f"{indented:44}{counts}{f'{probe.n_of_type} of {probe.n}':>12}   {told}{why}")
    return lines


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.error_types"))
