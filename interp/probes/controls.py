"""What a probe may read off in place of what the model knows: controls on the same cells, examples and folds.

==============  ====================================================================================================
control         features
==============  ====================================================================================================
``token``       which token stands at the position, one-hot: all that layer 0 can know, if the model looks nowhere else
``shape``       how long prompt and answer are, where in the answer the position is, and whether the answer ended
``difficulty``  what the question set knows about how hard the question is, and whether it does
``all``         all of them
==============  ====================================================================================================

*Beyond the controls* is what a probe adds to the strongest of them at its position: the AUC of probe and control
together minus that of the control alone, or minus .5 where that is below it: what tells nothing is no handicap to make
up for. On few examples all controls together may tell less than one of them, since they are more features. The
strongest is chosen on the examples that are scored, so that what is left errs on the low side.

Together means a logistic regression on the two scores with weights that are not below 0 (stacking: Breiman 1996,
Machine Learning 24, 49-64), fitted for each fold on the other folds, to scores of probes that saw neither the example
nor the fold. Without the constraint two scores that tell nothing make one that is wrong: on 119 answers it had an AUC
of .35. Cells that add something are marked, corrected for how many were looked at: the sign of what every group of
examples adds to the difference is drawn anew, the same for all cells, and the largest difference of the map, in
deviations of its cell, is taken for each draw (`interp.statistics.permutations`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int

from interp.examples import Answer
from interp.positions import MISSING
from interp.probes.cell_probe import NoValue, Probing, Scores, both_classes, cell_scores
from interp.probes.few_features import non_negative_coefficients
from interp.probes.labels import Labels
from interp.probes.probe_map import METRIC
from interp.results.heatmap import Heatmap
from interp.results.scales import Scale
from interp.statistics.auc import Interval, auc_above_chance, auc_difference, auc_interval, refitting_factor
from interp.statistics.permutations import FAMILY_WISE_ERROR, Null, flipped_sums
from interp.work.threads import in_single_threads

CONTROLS = ("token", "shape", "difficulty", "all")
STRENGTHS = (1e-2, 1e-1, 1e0, 1e1)
"""The Cs among which one is chosen for controls, where one is for the probe: they have few features."""
WEAK = 1e4
"""The C of the regression on two scores: as good as none."""
OF_LABELS = {"n_prompt": "shape", "n_generated": "shape", "ended": "shape", "difficulty": "difficulty"}
"""Columns of the answers that are features of a control, or, with the place of a column, tell them."""
DIGITS = 3
"""Of a control's log-odds. Examples with the same features have the same score, but for the rounding of the fit, which
would decide in what order an AUC has them."""
BEYOND_SCALES = (Scale(-0.25, 0.25, centre=0.0), Scale(-0.5, 0.5, centre=0.0))
"""The second one if more than `OUTSIDE` of the cells would be off the first."""
OUTSIDE = 0.05


def controls_of(column: str) -> tuple[str, ...]:
    """The controls of a probe for a column of the answers: a control that has the label among its features is none."""
    return tuple(name for name in CONTROLS if name != OF_LABELS.get(column))


def control_features(
    answers: Sequence[Answer], tokens: Int[np.ndarray, " example"], which: Sequence[str] = CONTROLS
) -> dict[str, Float[np.ndarray, "example feature"]]:
    """The features of every control at one position; anything where an answer does not have it.

    Parameters
    ----------
    answers
        The examples.
    tokens
        For each the index of the position's token, or `MISSING`.
    which
        Some of `CONTROLS`; ``"all"`` are all of these together.
    """
    ids = [answer.token_ids[index] for answer, index in zip(answers, tokens.tolist(), strict=True)]
    names, number = np.unique(ids, return_inverse=True)
    one_hot = np.eye(len(names))[number.reshape(-1)]
    of_shape = [
        [answer.n_prompt, answer.n_generated, index - answer.n_prompt, answer.ended]
        for answer, index in zip(answers, tokens.tolist(), strict=True)
    ]
    given = np.array([np.nan if a.question.difficulty is None else a.question.difficulty for a in answers])
    known = np.isfinite(given)
    # On the scale of its ranks: a population is as good as its logarithm then.
    ranks = np.where(known, np.searchsorted(np.sort(given[known]), np.nan_to_num(given)), 0.0)
    features = {
        "token": one_hot,
        "shape": _standardised(np.array(of_shape, dtype=np.float64), tokens != MISSING),
        "difficulty": _standardised(np.stack([ranks, known], axis=1).astype(np.float64), tokens != MISSING),
    }
    kept = {name: each for name, each in features.items() if name in which}
    return kept | {"all": np.concatenate(list(kept.values()), axis=1)}


def control_scores(
    answers: Sequence[Answer],
    token: Int[np.ndarray, "example position"],
    labels: Labels,
    probing: Probing,
    which: Sequence[str] = CONTROLS,
) -> dict[str, list[Scores]]:
    """The scores at every position of these controls, by probes on the same folds."""
    strengths = STRENGTHS if len(probing.c) > 1 else probing.c
    plain = Probing(strengths, solver=probing.solver, standardise=False, nested=probing.nested)

    def of_position(tokens: Int[np.ndarray, " example"]) -> dict[str, Scores]:
        features = control_features(answers, tokens, which)
        return {
            name: _with_ties(cell_scores(torch.from_numpy(each), tokens != MISSING, labels, plain))
            for name, each in features.items()
        }

    of_positions = in_single_threads(of_position, token.T)
    return {name: [scores[name] for scores in of_positions] for name in which}


def _with_ties(scores: Scores) -> Scores:
    return Scores(scores.held_out.round(DIGITS), scores.inner.round(DIGITS))


def control_values(scores: Mapping[str, Sequence[Scores]], labels: Labels, positions: Sequence[str]) -> xr.Dataset:
    """The AUC of every control at every position, with its interval: ``control``, ``control_low``, ``control_high``."""
    values = np.full((3, len(scores), len(positions)), np.nan)
    factor = refitting_factor(labels.n_folds)
    for row, of_control in enumerate(scores.values()):
        for column, cell in enumerate(of_control):
            if np.isfinite(cell.held_out).any():
                interval = auc_interval(cell.held_out, labels.wrong, group=labels.side, variance_factor=factor)
                values[:, row, column] = interval
    names = ("control", "control_low", "control_high")
    variables = {name: (("which", "position"), array) for name, array in zip(names, values, strict=True)}
    return xr.Dataset(variables, coords={"which": list(scores), "position": list(positions)})


def beyond_map(
    heatmap: Heatmap,
    scores: Scores,
    controls: Mapping[str, Sequence[Scores]],
    labels: Labels,
    values: xr.Dataset,
    *,
    draws: int = 0,
    seed: int = 0,
) -> Heatmap:
    """By how much each cell's probe raises the AUC of the strongest control at its position, with a paired interval.

    It is of the first split: scores within its training folds say how the two go together. Which control it is, is
    ``strongest``. With draws also ``p``, ``p_corrected``, ``threshold`` and ``marked``
    (`interp.statistics.permutations.Null.marks`).

    Parameters
    ----------
    heatmap, scores
        The probe map and its scores, with those within the training folds.
    controls
        The scores of every control at every position.
    labels
        The labels and folds of all of them.
    values
        `control_values`, which the map will carry.
    draws
        Draws of signs by which cells are marked.
    seed
        Decides them.
    """
    shape, metric = heatmap.data["value"].shape, heatmap.data.attrs["metric"]
    value, low, high = (np.full(shape, np.nan) for _ in range(3))
    parts: dict[tuple[int, int], Float[np.ndarray, " group"]] = {}
    names = strongest_controls(values)
    for column, name in enumerate(names):
        control = controls[name or "all"][column]
        of_layers = Scores(scores.held_out[:, column], scores.inner[:, column])
        in_every_layer = Scores(*(np.broadcast_to(each, (shape[0], *each.shape)) for each in control))
        alone = _at_least_chance(control.held_out[0], labels)
        for layer, together in enumerate(_combined([of_layers, in_every_layer], labels)):
            difference = _beyond(together, alone, labels)
            if difference is not None:
                value[layer, column], low[layer, column], high[layer, column] = difference
                parts[layer, column] = _parts_beyond(together, alone, labels)
    why = heatmap.data["why_missing"].values
    lacking = np.isnan(value) & (why == NoValue.HAS_VALUE)
    beyond = Heatmap.of(
        (value, low, high, heatmap.data["n"].values),
        names=(heatmap.layers, heatmap.positions),
        kind="probe beyond controls",
        metric=f"{'AUC' if metric == METRIC else metric} beyond the strongest control ({_told(values)})",
        scale=beyond_scale(value),
        extra={
            f"n_{labels.called}": heatmap.data[f"n_{labels.called}"].values,
            "why_missing": np.where(lacking, NoValue.CONTROLS_CANNOT_BE_PROBED, why).astype(np.int8),
        },
        attributes={"why_missing_meanings": heatmap.data.attrs["why_missing_meanings"]},
    )
    if parts and draws:
        in_order = np.stack([parts[cell] for cell in sorted(parts)])
        beyond = _with_marks(beyond, in_order, labels, draws, np.random.default_rng(seed))
    return Heatmap(beyond.data.merge(values).assign(strongest=("position", names)))


def _told(values: xr.Dataset) -> str:
    """The controls that have a value somewhere: of questions that no one calls hard there is no `difficulty`."""
    has_value = values["control"].notnull().any("position")
    names = [str(name) for name in values["which"].values if name != "all" and bool(has_value.sel(which=name))]
    return ", ".join(names) or "none has a value"


def strongest_controls(values: xr.Dataset) -> list[str]:
    """For each position of `control_values` the control with the highest AUC; nothing where none has one."""
    of_positions = values["control"].transpose("position", "which")
    return [
        str(values["which"].values[np.nanargmax(each)]) if np.isfinite(each).any() else ""
        for each in of_positions.values
    ]


def beyond_scale(value: Float[np.ndarray, "layer position"]) -> Scale:
    """The narrower of two scales, so that maps can be compared by eye, unless many cells would be off it."""
    narrow, wide = BEYOND_SCALES
    n_off = (np.abs(value) > narrow.high).sum()
    return wide if n_off > OUTSIDE * np.isfinite(value).sum() else narrow


def _at_least_chance(scores: Float[np.ndarray, " example"], labels: Labels) -> Float[np.ndarray, " example"]:
    """Scores as they are, or all the same where they order the examples worse than that."""
    scored = np.isfinite(scores)
    if both_classes(scored, labels.wrong) and auc_interval(scores, labels.wrong).value < 0.5:
        return np.where(scored, 0.0, np.nan)
    return scores


def _beyond(
    together: Float[np.ndarray, " example"], alone: Float[np.ndarray, " example"], labels: Labels
) -> Interval | None:
    """What a probe adds to a control: the difference of two AUCs on the same examples; None if one has no scores."""
    if not both_classes(np.isfinite(together) & np.isfinite(alone), labels.wrong):
        return None
    factor = refitting_factor(labels.n_folds)
    return auc_difference(together, alone, labels.wrong, group=labels.side, variance_factor=factor)


def _parts_beyond(
    together: Float[np.ndarray, " example"], alone: Float[np.ndarray, " example"], labels: Labels
) -> Float[np.ndarray, " group"]:
    """What each group adds to the difference of the two AUCs: the sum is that."""
    more, less = (auc_above_chance(each[None], labels.wrong, labels.side)[1] for each in (together, alone))
    return more - less


def _with_marks(
    beyond: Heatmap, parts: Float[np.ndarray, "cell group"], labels: Labels, draws: int, rng: np.random.Generator
) -> Heatmap:
    """The map with what a probe that adds nothing would add by chance, widened for the refits as its intervals are."""
    null = Null(flipped_sums(parts, draws, rng), math.sqrt(refitting_factor(labels.n_folds)), expected=0.0)
    marks = null.marks(beyond.data["value"].values)
    data = beyond.data.assign({name: (("layer", "position"), array) for name, array in marks.items()})
    told = f"beyond the controls ({draws} sign flips, family-wise error {100 * FAMILY_WISE_ERROR:g} %)"
    return Heatmap(data).with_attributes({"mark": told})


def _combined(scores: Sequence[Scores], labels: Labels) -> Float[np.ndarray, "layer example"]:
    """One score of several, in each layer, for each fold by a regression on the scores within the other folds.

    No score counts the wrong way round: that it orders the others' examples so is chance. NaN where one of them is.
    """
    inner = np.stack([each.inner for each in scores], axis=-1)
    n_layers, n_folds, n, n_scores = inner.shape
    if not n_folds:  # With too few examples of a class for the folds there are none.
        return np.full((n_layers, n), np.nan)
    fitted = non_negative_coefficients(
        inner.reshape(-1, n, n_scores), labels.wrong, np.isfinite(inner).all(-1).reshape(-1, n), c=WEAK
    ).reshape(n_layers, n_folds, n_scores + 1)
    of_examples = fitted[:, labels.fold[0]]
    held_out = np.stack([each.held_out[:, 0] for each in scores], axis=-1)
    return (held_out * of_examples[..., :-1]).sum(-1) + of_examples[..., -1]


def _standardised(
    features: Float[np.ndarray, "example feature"], present: Bool[np.ndarray, " example"]
) -> Float[np.ndarray, "example feature"]:
    """By the mean and the deviation of the examples that are present; a constant feature is zero."""
    if not present.any():
        return features
    deviation = features[present].std(0)
    return (features - features[present].mean(0)) / np.where(deviation > 0, deviation, 1.0)
