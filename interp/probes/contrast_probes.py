"""Probes of contrast pairs: what tells right answers from wrong ones once the model has been made to say Yes, and No.

After its answer the model is asked whether that is correct, and both replies are put into its mouth. The activations at
the end of the two are a pair. For every layer, with the same folds as a probe map:

1. Of the examples that are trained on, both halves are normalised, each by itself: around its mean, and by its
   deviation. Else every pair would differ by the word Yes alone.
2. Each method gives every example a confidence:

   ======================  =============================================================================================
   ``ccs``                 `interp.probes.ccs`, which knows no labels
   ``crc-tpc``             the top principal component of the differences of the halves, which knows none either
                           (contrastive representation clustering, Burns et al. 2023, arXiv 2212.03827)
   ``logistic``            logistic regression on the differences, with labels: what a linear probe could reach
   ``ccs-shuffled-pairs``  CCS fitted to halves of different examples: what it finds without contrast
   ``random-direction``    the differences along directions drawn at random
   ======================  =============================================================================================

3. The sign of a confidence, which only the labels can say, is the one whose AUC on the examples that are trained on is
   at least .5. Examples are scored out of fold. So chance is .5: whoever turns an AUC around on the very examples that
   it is of, as the published code of CCS does with its accuracy, never finds less than .5.

What becomes of the scores is in `interp.probes.contrast_map`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.linalg import eigh

from interp.activations.store import Cells
from interp.probes.ccs import STARTS, fit_ccs
from interp.probes.cell_probe import deviations, gram_matrix, why_no_value, why_not_usable
from interp.probes.labels import Labels
from interp.probes.logistic import fit_each
from interp.statistics.permutations import null_aucs, ranks_of
from interp.work.files import whole_file
from interp.work.progress import progress
from interp.work.threads import in_single_threads

METHODS = ("ccs", "crc-tpc", "logistic", "ccs-shuffled-pairs")
RANDOM = "random-direction"
C = 1e-2
"""Inverse strength of the regularisation: the middle of `interp.probes.cell_probe.STRENGTHS`."""


class Pairs(NamedTuple):
    """Activations after Yes and after No, of the same examples."""

    yes: Float[torch.Tensor, "n d_model"]
    no: Float[torch.Tensor, "n d_model"]


@dataclass(frozen=True)
class Contrasting:
    """How pairs are probed."""

    starts: int = STARTS
    """Of CCS."""
    directions: int = 200
    """That are drawn at random in each layer."""
    seed: int = 0


@dataclass(frozen=True)
class ContrastCells:
    """Activations of pairs: of each layer one cell, which every method is fitted to."""

    yes: Cells
    no: Cells

    @property
    def layers(self) -> tuple[int, ...]:
        """The numbers of the layers that there are."""
        return self.yes.layers

    @property
    def positions(self) -> tuple[str, ...]:
        """The methods."""
        return METHODS

    @property
    def examples(self) -> tuple[str, ...]:
        """The ids of the examples."""
        return self.yes.examples

    def pairs(self, layer: int) -> Pairs:
        """Both halves of every example, in double precision."""
        halves = [cells.cell(layer, *cells.positions).double() for cells in (self.yes, self.no)]
        return Pairs(*halves)

    def cell(self, layer: int, position: str) -> Float[torch.Tensor, "example width"]:  # noqa: ARG002
        """Both halves of every example side by side, whatever the method."""
        return torch.cat(self.pairs(layer), dim=1)


class Confidences(NamedTuple):
    """What each of `METHODS` makes of examples."""

    value: Float[np.ndarray, "method n"]
    """How right the answer is, or how wrong; 0 is neither."""
    loss: Float[np.ndarray, " method"]
    """That of CCS on the examples that were not trained on; NaN for methods that have another, or none."""


class LayerScores(NamedTuple):
    """Scores of being wrong of one layer: a row for each of `METHODS`, then one for each random direction."""

    held_out: Float[np.ndarray, "row seed example"]
    """By a fit that was not made on the example; NaN where there is none."""
    trained: Float[np.ndarray, " row"]
    """The AUC on the examples that were trained on, which the sign was set by: the mean over folds and seeds."""
    loss: Float[np.ndarray, " row"]
    """That of CCS on the examples that were not trained on, the mean over folds and seeds; NaN for all else."""


def normalised(pairs: Pairs, trained: Bool[np.ndarray, " n"]) -> Pairs:
    """Each half around its mean and by its deviation, those of the examples that are trained on."""
    rows = torch.from_numpy(trained)
    return Pairs(*[(half - half[rows].mean(0)) / deviations(half[rows]) for half in pairs])


def layer_scores(pairs: Pairs, labels: Labels, contrasting: Contrasting, layer: int = 0) -> LayerScores:
    """The out-of-fold scores of every method and random direction in one layer; NaN if it cannot have a value."""
    n_rows = len(METHODS) + contrasting.directions
    held_out, unknown = np.full((n_rows, *labels.fold.shape), np.nan), np.full(n_rows, np.nan)
    if why_no_value(labels, np.ones(len(labels.wrong), dtype=bool)) or why_not_usable(torch.cat(pairs, dim=1)):
        return LayerScores(held_out, unknown, unknown)
    on_trained, losses = [], []
    rng = np.random.default_rng([contrasting.seed, layer])
    directions = torch.from_numpy(rng.normal(size=(pairs.yes.shape[1], contrasting.directions)))
    for seed, fold in enumerate(labels.fold):
        for number in range(labels.n_folds):
            trained = fold != number
            of_fold = normalised(pairs, trained)
            found = confidences(of_fold, trained, labels.wrong, contrasting.starts, rng)
            along = ((of_fold.yes - of_fold.no) @ directions).T.numpy()
            rows, aucs = turned(np.vstack([found.value, along]), labels.wrong, trained)
            held_out[:, seed, ~trained] = rows[:, ~trained]
            on_trained.append(aucs)
            losses.append(found.loss)
    unknown[: len(METHODS)] = np.mean(losses, axis=0)
    return LayerScores(held_out, np.mean(on_trained, axis=0), unknown)


def confidences(
    pairs: Pairs, trained: Bool[np.ndarray, " n"], wrong: Bool[np.ndarray, " n"], starts: int, rng: np.random.Generator
) -> Confidences:
    """What each of `METHODS`, fitted to the examples that are trained on, makes of all; with any sign.

    Only logistic regression is told which examples are `wrong`.
    """
    yes, no = (half.numpy() for half in pairs)
    shuffled = rng.permutation(np.flatnonzero(trained))
    contrasted, uncontrasted = (
        fit_ccs(yes[trained], no[partners], rng, starts=starts) for partners in (np.flatnonzero(trained), shuffled)
    )
    gram = gram_matrix(pairs.yes - pairs.no)
    value = {
        "ccs": contrasted.confidence(yes, no) - 0.5,
        "crc-tpc": top_component(gram.numpy(), trained),
        "logistic": _log_odds(gram, trained, wrong),
        "ccs-shuffled-pairs": uncontrasted.confidence(yes, no) - 0.5,
    }
    loss = {
        "ccs": contrasted.loss_on(yes[~trained], no[~trained]),
        "ccs-shuffled-pairs": uncontrasted.loss_on(yes[~trained], no[~trained]),
    }
    return Confidences(
        np.stack([value[name] for name in METHODS]), np.array([loss.get(name, np.nan) for name in METHODS])
    )


def top_component(gram: Float[np.ndarray, "n n"], trained: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Where all examples lie on the top principal component of those that are trained on, whose mean is 0.

    `gram` has the inner products of all of them.
    """
    last = int(trained.sum()) - 1
    (largest,), vectors = eigh(gram[np.ix_(trained, trained)], subset_by_index=[last, last])
    return gram[:, trained] @ vectors[:, 0] / np.sqrt(max(largest, np.finfo(float).tiny))


def _log_odds(
    gram: Float[torch.Tensor, "n n"], trained: Bool[np.ndarray, " n"], wrong: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    fits = fit_each(gram, torch.from_numpy(wrong)[None], C * torch.from_numpy(trained)[None].double())
    if not bool(fits.converged.all()):
        raise RuntimeError(f"a logistic regression did not converge in {fits.steps} steps (n {len(wrong)})")
    return fits.scores(gram)[0].numpy()


def turned(
    confidence: Float[np.ndarray, "row n"], wrong: Bool[np.ndarray, " n"], trained: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "row n"], Float[np.ndarray, " row"]]:
    """Confidences as scores of being wrong, with the sign by which they are so on the training examples.

    Also their AUC on these, which the sign was chosen by.
    """
    aucs = null_aucs(ranks_of(confidence[None, :, trained]), wrong[None, trained])[0]
    return np.where(aucs[:, None] >= 0.5, confidence, -confidence), np.maximum(aucs, 1 - aucs)


def contrast_scores(cells: ContrastCells, labels: Labels, contrasting: Contrasting, *, parts: Path) -> LayerScores:
    """The scores of all layers, with an axis of layers before the others.

    Parameters
    ----------
    cells
        The activations, of the examples of `labels`.
    labels
        Which examples are wrong, and the folds.
    contrasting
        How to fit.
    parts
        A folder that receives each layer's scores, and from which an interrupted run goes on. It must belong to
        exactly these activations, labels and ways of fitting.
    """
    left = [layer for layer in cells.layers if not _part(parts, layer).is_file()]
    with progress("contrast", total=len(cells.layers), done=len(cells.layers) - len(left), unit="layers") as shown:

        def keep(layer: int) -> None:
            scores = layer_scores(cells.pairs(layer), labels, contrasting, layer)
            with whole_file(_part(parts, layer)) as temporary:
                np.savez(temporary, **scores._asdict())
            shown.update()

        in_single_threads(keep, left)
    layers = []
    for layer in cells.layers:
        with np.load(_part(parts, layer)) as saved:
            layers.append(LayerScores(**saved))
    return LayerScores(*[np.stack(each) for each in zip(*layers, strict=True)])


def _part(parts: Path, layer: int) -> Path:
    return parts / f"layer-{layer:03d}.npz"
