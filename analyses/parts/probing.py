"""What every probe begins with: how the answers are split and probed, and the scores of all of them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from analyses.parts import asking, capturing, flags, procedures
from analyses.parts.capturing import DEFAULT_SITE
from analyses.parts.runs import Identity
from interp.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import xarray as xr

    from interp.activations.store import ExamplesOfStore
    from interp.examples import Answer
    from interp.probes.cell_probe import Probing, Scores
    from interp.probes.labels import Labels, Split
    from interp.probes.linear_probes import LinearProbes
    from interp.questions.answer_columns import Target
    from interp.questions.question_set import QuestionSet

C = TypeVar("C", bound="Config")

OF_SCORES = ("site", "group", "folds", "seeds", "c", "probe", "solver", "standardise", "nested", "labels")
"""Flags that decide the scores of the examples, in the identity of every map; those below are in it if they are not as
they are by default."""
PROBES = "probes.safetensors"
CORRECTNESS, SHUFFLED = "correctness", "shuffled"
# What follows is defined in modules that would take a second to import for --help.
DEFAULT_K = 16
"""`interp.probes.classifiers.K`."""
STRENGTHS = (1e-3, 1e-2, 1e-1)
"""`interp.probes.cell_probe.STRENGTHS`."""
PENALTIES = (1e1, 1e2, 1e3, 1e4, 1e5, 1e6)
"""`interp.probes.number_probe.PENALTIES`."""
FOLDS_TO_NEST = 3
"""`interp.probes.cell_probe.MIN_FOLDS_TO_NEST`."""
LEAST = {"folds": 2, "seeds": 1, "k": 1}
"""The smallest number that each of these flags takes."""


@dataclass(frozen=True)
class Config(capturing.Config):
    """How answers are split and probed."""

    site: str = DEFAULT_SITE
    """What of a block to probe: resid_pre, resid_mid, resid_post, attn_out, mlp_out (what they add), mlp_hidden,
    head_z, or a block's hook by TransformerLens's name, such as attn.hook_q."""
    folds: int = 5
    """Folds of the cross-fitting."""
    seeds: int = 1
    """In how many ways the answers are split into folds; the value is the mean. What is chosen within folds, such as
    the weights of the map beyond the controls, is of the first."""
    split: Literal["folds", "paper"] = "folds"
    """'paper' scores one random fifth by a probe trained on the rest, whatever the groups, to replicate it."""
    group: Literal["question", "answer"] = "question"
    """What is kept on one side of a split: related questions, or with 'answer' also all that are given one answer, so
    that a probe cannot learn which answers tend to be wrong."""
    c: tuple[float, ...] | None = None
    """Inverse strength of the L2 regularisation, with mass-mean and lda of the controls alone; of several one is chosen
    for each fold, within the other folds. By default of .001, .01 and .1 for logistic regression in 3 folds or more;
    else 1, as in scikit-learn."""
    probe: Literal["logistic", "mass-mean", "mass-mean-whitened", "lda", "mlp", "sparse"] = "logistic"
    """What is fitted, to features around their means and divided by their deviations (with --no-standardise not
    divided): logistic regression; the direction between the classes' means, by itself or tilted by the inverse of the
    covariance (mass-mean; Marks & Tegmark 2024 do not divide); linear discriminant analysis; one hidden layer; or
    TransformerLens's own k-sparse probe, which reads --k coordinates (Gurnee et al. 2023)."""
    k: int = DEFAULT_K
    """Coordinates of the sparse probe."""
    solver: Literal["newton", "sklearn"] = "newton"
    """'sklearn' fits with scikit-learn's LogisticRegression: the same optimum, several times slower."""
    standardise: bool = True
    """Divide features by their deviations over all answers; of whatever probe, they are around their means."""
    nested: bool = True
    """Choose the best cell also without the answers that it is scored on, and weigh the controls so, without which
    there is no map beyond them."""
    labels: str = CORRECTNESS
    """What to probe for: 'correctness' (of the judged answers), or a column of all answers: gold, group, difficulty,
    subject, n_prompt, n_generated, ended, exact_text, named, found_by, correct, why_missing, or one of the question
    file's own. 'shuffled' and 'shuffled:COLUMN' deal the labels out at random: the control, which must give .5, or
    for a number 0."""
    label_kind: Literal["auto", "binary", "classes", "number"] = "auto"
    """'binary': AUC of the value that says yes, or of the rarer one. 'classes': mean AUC of each against the rest, of
    2 to 30 that have 20 answers or more. 'number': R² of ridge regression. auto: as the values are; more than two that
    are all numbers are numbers, but for group and id, which are names."""
    alpha: tuple[float, ...] = PENALTIES
    """Penalty of the ridge regression of a number; of several one is chosen for each fold, within the other folds."""


def require_usable(config: Config) -> None:
    """Raise an `InputError` for a flag that no probe can use, before anything is loaded or written."""
    capturing.require_usable(config)
    for flag, values in (("c", strengths_of(config)), ("alpha", config.alpha)):
        if not values or not all(math.isfinite(value) and value > 0 for value in values):
            raise InputError(f"--{flag} is {' '.join(map(str, values)) or 'empty'}; give numbers above 0")
    if column_of(config.labels)[0] == CORRECTNESS and config.label_kind not in ("auto", "binary"):
        raise InputError(f"--label-kind {config.label_kind} is not that of correctness; leave it out, or give --labels")
    if config.label_kind == "number":
        require_usable_for_numbers(config)
    flags.require_least(config, LEAST)
    if len(strengths_of(config)) > 1 and config.split == "paper":
        raise InputError("--split paper has no folds within which to choose among several --c; give one")
    if len(strengths_of(config)) > 1 and config.folds < FOLDS_TO_NEST:
        raise InputError(f"--folds {config.folds} leaves nothing to choose among several --c on; give 3 folds or more")
    if config.split == "paper" and config.group == "answer":
        raise InputError("--split paper keeps nothing together, as published; leave --group out, or --split")
    _require_of_probe(config)


def _require_of_probe(config: Config) -> None:
    """Raise an `InputError` for a flag of another probe, or a probe that cannot be fitted here."""
    from interp.probes.classifiers import fit_sparse_probe

    if config.probe == "sparse":
        fit_sparse_probe()
    elif config.k != DEFAULT_K:
        raise InputError(f"--k {config.k} is of --probe sparse, and --probe is {config.probe}; drop --k or give that")
    if config.solver != "newton" and config.probe != "logistic":
        raise InputError(f"--solver is of --probe logistic, and --probe is {config.probe}; drop --solver")


def require_usable_for_numbers(config: Config) -> None:
    """Raise an `InputError` for a flag that ridge regression cannot use."""
    if (config.probe, config.solver, config.c) != ("logistic", "newton", None):
        raise InputError("a number is probed by ridge regression, with --alpha; leave --probe, --solver and --c out")
    if len(config.alpha) > 1 and (config.split == "paper" or config.folds < FOLDS_TO_NEST):
        raise InputError("there are no folds within which to choose among several --alpha; give one, or --folds 3")


def strengths_of(config: Config) -> tuple[float, ...]:
    """The inverse strengths of the regularisation among which one is chosen, or the only one."""
    if config.c is not None:
        return config.c
    is_chosen = config.probe == "logistic" and config.split == "folds" and config.folds >= FOLDS_TO_NEST
    return STRENGTHS if is_chosen else (1.0,)


def questions_of(config: Config) -> QuestionSet:
    """The questions, with the column of their file that is to be predicted, if it is one of these."""
    from interp.questions.answer_columns import COLUMNS

    name, _ = column_of(config.labels)
    return asking.questions_of(config, () if name in (CORRECTNESS, *COLUMNS) else (name,))


def column_of(labels: str) -> tuple[str, bool]:
    """The column that a flag names, and whether its values are to be shuffled: ``shuffled``, ``shuffled:year``."""
    word, _, name = labels.partition(":")
    return (name or CORRECTNESS, True) if word == SHUFFLED else (labels, False)


def setting_of(config: C) -> asking.Setting[C]:
    """What a run with these flags is about."""
    return asking.setting_of(config, questions_of(config))


def identity_of(setting: asking.Setting[Config]) -> dict[str, Any]:
    """All that decides the scores of the examples."""
    config, questions = setting.config, setting.questions
    # A split was called a splitting once, and the results of then keep their identity.
    settings: dict[str, Any] = {name: getattr(config, name) for name in OF_SCORES} | {"splitting": config.split}
    settings |= {"c": list(strengths_of(config))}
    values = json.dumps({name: dict(column) for name, column in questions.columns.items()}, sort_keys=True)
    # What is as it is by default is left out: results from before there was a choice keep their identity.
    chosen: dict[str, tuple[object, object]] = {
        "k": (config.k if config.probe == "sparse" else None, None),
        "label_kind": (config.label_kind, "auto"),
        "alpha": (list(config.alpha), list(PENALTIES)),
        "r_squared": (procedures.FEW_GROUPS if _may_be_numbers(config) else None, None),
        "named": (procedures.NAMED if config.group == "answer" and questions.extraction != "names" else None, None),
        "label_values": (hashlib.sha256(values.encode()).hexdigest() if questions.columns else None, None),
    }
    settings |= {name: value for name, (value, default) in chosen.items() if value != default}
    of_activations = asking.identity_of(setting) | capturing.settings_of(config)
    return of_activations | settings | procedures.SCORES


def _may_be_numbers(config: Config) -> bool:
    return config.label_kind == "number" or (config.label_kind == "auto" and column_of(config.labels)[0] != CORRECTNESS)


def variants_of(config: Config) -> list[str]:
    """What in the name of a map tells it from the map of correctness with the default split and solver."""
    chosen = [
        (re.sub(r"[^\w.-]+", "-", config.labels), CORRECTNESS),
        (config.label_kind, "auto"),
        (f"{config.split}_split", "folds_split"),
        (config.solver, "newton"),
        (f"group_{config.group}", "group_question"),
        (config.probe, "logistic"),
        (f"k{config.k}", f"k{DEFAULT_K}"),
    ]
    return [value for value, default in chosen if value != default] + capturing.variants_of(config, config.site)


def variant_in_words(config: Config) -> str:
    """What a figure must say of how its probes were fitted, for it not to be taken for another; empty by default."""
    told = {
        "labels: shuffled": column_of(config.labels)[1],
        "no answer is on both sides of a split": config.group == "answer",
        "split: one fifth, as published": config.split == "paper",
        f"probe: {config.probe}": config.probe not in ("logistic", "sparse"),
        f"probe: {config.k} coordinates": config.probe == "sparse",
    }
    return ", ".join(words for words, holds in told.items() if holds)


@dataclass(frozen=True)
class Material:
    """What is to be predicted, of which answers, from which activations."""

    target: Target
    answers: list[Answer]
    named: list[str]
    """What each answer names: "the US" and "America" are one."""
    split: Split
    probing: Probing
    store: ExamplesOfStore
    table: xr.Dataset
    mask: np.ndarray
    parts: Path
    """Receives the scores of every layer."""
    device: str
    record: dict[str, str]
    """The attributes of every map of it."""

    @property
    def groups(self) -> list[str]:
        """What questions are kept together by."""
        return [answer.question.group for answer in self.answers]


class TwoClasses(NamedTuple):
    """Labels of two classes, and the scores that probes give for them."""

    labels: Labels
    scores: Scores


def material_of(setting: asking.Setting[Config], parts: Path) -> Material:
    """Answer and capture, as far as that has not been done; `parts` is a folder that belongs to this identity."""
    from interp.models.devices import fitting_device
    from interp.positions import resolved_mask
    from interp.probes.cell_probe import Probing
    from interp.probes.labels import Split

    config = setting.config
    captured = capturing.captured(setting, [config.site])
    target = labelled(config, captured.answers, setting.questions)
    if target.kind == "number":
        require_usable_for_numbers(config)
    elif config.alpha != PENALTIES:
        raise InputError(f"--alpha is of numbers, and {target.name} is not; leave it out, or give --label-kind number")
    answers = [captured.answers[row] for row in target.rows]
    table = captured.table.isel(example=list(target.rows))
    record = capturing.record_of(setting, captured.answers, table, captured.stores[config.site])
    record |= {"variant": variant_in_words(config)}
    if target.name != CORRECTNESS:
        counts = json.loads(record["counts"]) | target.counts
        record |= {"labels": target.name, "label_kind": target.kind, "counts": json.dumps(counts)}
    return Material(
        target=target,
        answers=answers,
        named=names_of(answers),
        split=Split(config.folds, config.seed, config.seeds, as_published=config.split == "paper"),
        probing=Probing(strengths_of(config), config.probe, config.solver, config.standardise, config.nested, config.k),
        store=captured.of(config.site, target.rows),
        table=table,
        mask=resolved_mask(table),
        parts=parts,
        device=fitting_device(config.device),
        record=record,
    )


def labelled(config: Config, answers: Sequence[Answer], questions: QuestionSet) -> Target:
    """What is to be predicted, of which answers."""
    import numpy as np

    from interp.questions.answer_columns import Target, answer_column, target_of

    name, shuffled = column_of(config.labels)
    if name == CORRECTNESS:
        judged = {row: answer.correct for row, answer in enumerate(answers) if answer.correct is not None}
        said = tuple("right" if correct else "wrong" for correct in judged.values())
        target = Target(name, "binary", tuple(judged), said, "wrong")
    else:
        asked = [answer.question.id for answer in answers]
        target = target_of(name, answer_column(name, answers, questions.columns), config.label_kind, asked)
    if not shuffled:
        return target
    order = np.random.default_rng(config.seed).permutation(len(target.rows)).tolist()
    return replace(target, values=tuple(target.values[index] for index in order))


def names_of(answers: Sequence[Answer]) -> list[str]:
    """What each answer goes by, where answers that are alike are kept together: what it names ("the US", "America")."""
    from interp.answers.grading import names_in

    return ["|".join(names_in(answer)) or f"no exact answer to {answer.question.id}" for answer in answers]


def two_classes(config: Config, material: Material) -> TwoClasses:
    """The labels of two classes and the scores of every answer; every finished layer is on disk."""
    from interp.probes.probe_map import out_of_fold_scores

    target, sides = material.target, sides_of(config, material)
    positive = [value == target.positive for value in target.values]
    called = "wrong" if target.name == CORRECTNESS else "positive"
    labels = material.split.labels(positive, material.groups, sides, called)
    made_from = (material.store, material.mask, labels, material.probing)
    return TwoClasses(labels, out_of_fold_scores(*made_from, parts=material.parts, device=material.device))


def sides_of(config: Config, material: Material) -> list[str] | None:
    """What else than groups is kept on one side of a split."""
    return material.named if config.group == "answer" else None


def kept_probes(material: Material, classes: Callable[[], TwoClasses], identity: Identity) -> LinearProbes:
    """The probes that gave the scores, from their file beside these, or fitted again and kept there."""
    from interp.probes.linear_probes import LinearProbes

    require_two_classes(material, "--save-probes")
    path = material.parts / PROBES
    if not path.is_file():
        _fitted_probes(material, classes(), identity).save(path)
    return LinearProbes.load(path)


def probes_of_cell(
    material: Material, classes: Callable[[], TwoClasses], identity: Identity, layer: int, position: str
) -> LinearProbes:
    """The probes that gave one cell's scores: from the file of all, if that has been kept, or fitted again."""
    from interp.probes.linear_probes import LinearProbes

    path = material.parts / PROBES
    if path.is_file():
        return LinearProbes.load(path)
    return _fitted_probes(material, classes(), identity, cell=(layer, position))


def _fitted_probes(
    material: Material, classes: TwoClasses, identity: Identity, cell: tuple[int, str] | None = None
) -> LinearProbes:
    """Those of every cell, or of one."""
    from interp.probes.linear_probes import fitted_probes, trained_on

    store, labels = material.store, classes.labels
    record = {"identity": dict(identity), "store": store.store.identity, "labels": material.target.name}
    record |= trained_on([answer.question for answer in material.answers], labels)
    return fitted_probes(store, material.mask, labels, material.probing, record, cell=cell)


def require_two_classes(material: Material, flag: str) -> None:
    """Raise an `InputError` if what is predicted is not one of two classes."""
    if material.target.kind != "binary":
        raise InputError(f"{flag} is for labels of two classes, and {material.target.name} is not one; leave it out")
