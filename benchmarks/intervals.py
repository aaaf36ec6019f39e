"""How often the probe map's intervals cover, and how often its marks are of nothing.

Coverage: draws the examples of whole maps whose cells differ in how well a probe can tell errors from right answers,
makes each map's intervals as `interp probe` does, with the widening that it measures on halves of the examples, and
counts how often the 95 % interval of a cell contains the AUC that the procedure has on average over draws (.5 where
there is nothing to tell). Once with questions apart; once with answers apart, which are of very unequal size, and whose
examples are alike in their features and in whether they are wrong. The peers are DeLong's interval, which takes the
scores as given, and the widening by what folds have in common (Nadeau & Bengio 2003).

Family-wise error: draws whole maps of noise, cells that resemble each other as those of a model do, and counts how many
maps have any cell that is marked as above chance. Once with questions apart, by permutations; once with answers apart,
by sign flips, where the answers are of very unequal size and each has its own direction and its own share of errors.
The peer is the same p-values without correction for the number of cells.

    python -m benchmarks.intervals --draws 60 --maps 500
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    import numpy as np

    from interp.probes.halves import Widening


@dataclass(frozen=True)
class Config:
    """Coverage of the intervals, and errors of the marks, by simulation."""

    draws: int = 60
    """Maps drawn for each way to keep examples apart and each number of features; 0 leaves coverage out."""
    n: int = 300
    """Examples in a draw."""
    wrong: int = 172
    """How many of them are errors, with questions apart."""
    halvings: int = 5
    """In how many ways the examples are halved in each of 20 cells, as `interp probe` has it."""
    maps: int = 500
    """Maps of noise for each case; 0 leaves the family-wise error out."""
    n_of_map: int = 120
    """Examples behind a map of noise; 80 at least, for all cells to have a value."""
    answers: int = 40
    """Answers that are kept apart; the k-th is given 1 / k times as often as the first."""
    permutations: int = 1000
    """Permutations, or sign flips, for each map."""


APART = ("questions", "answers")
"""What is kept on one side of a split."""
FEATURES = (20, 225)
"""Of a map whose coverage is counted: few for so many examples, and as many as SmolLM2 has for the cities."""
SIGNALS = (0.0, 1.0, 2.0, 3.5)
"""By how many deviations one feature differs between errors and right answers, for each of the map's positions."""
WIDENED = ("halves", "nadeau_bengio", "delong")
CELLS_OF_A_SIGNAL = 5
"""The layers of such a map; all its cells have features of their own."""
LAYERS, POSITIONS, WIDTH = 4, 5, 20
"""Of a map of noise."""
SHARED = 0.7
"""The share of the variance that all cells of a map of noise have in common; half of the rest is the layer's."""
OF_AN_ANSWER = 0.5
"""The share of the variance of features that is the answer's, where answers are kept apart."""
FEWEST = 1 / 4
"""The least share of either class in a map of noise."""


def main(config: Config) -> int:
    """Simulate, print tables, and one JSON object as the last line."""
    told: dict[str, object] = {"benchmark": "intervals", "draws": config.draws, "maps": config.maps}
    if config.draws:
        told["coverage"] = coverage(config)
    if config.maps:
        told["family_wise_error"] = family_wise_errors(config)
    print(json.dumps(told))
    return 0


def coverage(config: Config) -> dict[str, dict[str, list[dict[str, float]]]]:
    """For each way to keep examples apart, number of features and signal how often intervals cover, ours and peers'."""
    return {apart: {str(d): _coverage(config, apart, d) for d in FEATURES} for apart in APART}


def _coverage(config: Config, apart: str, d: int) -> list[dict[str, float]]:
    import numpy as np

    maps = [_intervals(config, d, seed, answers_apart=apart == "answers") for seed in range(config.draws)]
    at_chance, at_best = (_spread([widening.factor(auc) for widening, _ in maps]) for auc in (0.5, 1.0))
    print(f"\n{apart} apart, {d} features of {config.n} examples; factor at .5 {at_chance}, at 1 {at_best}")
    peers = f"{'halves':>6} {'Nadeau & Bengio':>15} {'DeLong':>6}"
    print(f"{'signal':>6} {'AUC':>5}  {peers}  of {config.draws * CELLS_OF_A_SIGNAL}")
    covered = []
    for position, signal in enumerate(SIGNALS):
        cells = {name: np.stack([of_map[name][:, position] for _, of_map in maps]) for name in WIDENED}
        # Where an answer's examples are wrong together, folds that are stratified are not quite at .5 by chance.
        truth = float(np.nanmean(cells["delong"][..., 0])) if signal or apart == "answers" else 0.5
        shares = {
            name: float(np.mean((each[..., 1] <= truth) & (truth <= each[..., 2]))) for name, each in cells.items()
        }
        covered.append({"signal": signal, "auc": truth} | shares)
        print(
            f"{signal:6.1f} {truth:5.2f}  {shares['halves']:6.3f} {shares['nadeau_bengio']:15.3f} "
            f"{shares['delong']:6.3f}",
            flush=True,
        )
    return covered


def _spread(values: list[float]) -> str:
    import numpy as np

    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return f"{middle:.2f} ({low:.2f} to {high:.2f} in nine of ten maps)"


def _intervals(config: Config, d: int, seed: int, *, answers_apart: bool) -> tuple[Widening, dict[str, np.ndarray]]:
    """The measured widening of one drawn map, and its intervals ``[layer, position, end]`` widened in each way."""
    import numpy as np
    import torch

    from interp.activations.in_memory import InMemory
    from interp.probes.cell_probe import STRENGTHS, Probing
    from interp.probes.halves import measured_widening, widening_of
    from interp.probes.labels import Split
    from interp.probes.probe_map import out_of_fold_scores, probe_map
    from interp.statistics.auc import refitting_factor

    rng = np.random.default_rng([seed, answers_apart])
    features = rng.normal(size=(CELLS_OF_A_SIGNAL, len(SIGNALS), config.n, d))
    if answers_apart:
        answer, wrong = _drawn_answers(config, config.n, rng, alike=True)
        of_answers = rng.normal(size=(CELLS_OF_A_SIGNAL, len(SIGNALS), config.answers, d))[:, :, answer]
        features = np.sqrt(1 - OF_AN_ANSWER) * features + np.sqrt(OF_AN_ANSWER) * of_answers
    else:
        wrong = rng.permutation(config.n) < config.wrong
    features[..., 0] += np.array(SIGNALS)[:, None] * wrong
    examples = tuple(str(index) for index in range(config.n))
    sides = [str(each) for each in answer] if answers_apart else None
    labels, probing = Split(5, seed).labels(wrong.tolist(), examples, sides), Probing(STRENGTHS, nested=False)
    positions = tuple(str(signal) for signal in SIGNALS)
    store = InMemory(torch.from_numpy(features), tuple(range(CELLS_OF_A_SIGNAL)), positions, examples)
    mask = np.ones((config.n, len(SIGNALS)), dtype=bool)
    with tempfile.TemporaryDirectory() as parts:
        scores = out_of_fold_scores(store, mask, labels, probing, parts=Path(parts))
    made_from = (scores, mask, labels, store)
    measured = measured_widening(*made_from, probing, halvings=config.halvings, seed=seed)
    if measured is None:
        raise RuntimeError(f"no cell of the map of seed {seed} could be halved")
    widenings = dict(zip(WIDENED, (measured, widening_of(refitting_factor(5)), widening_of(1.0)), strict=True))
    maps = {name: probe_map(*made_from, widening=widening).data for name, widening in widenings.items()}
    ends = ("value", "low", "high")
    return measured, {name: np.stack([data[end].values for end in ends], axis=-1) for name, data in maps.items()}


def family_wise_errors(config: Config) -> dict[str, dict[str, tuple[float, float, float]]]:
    """For each way to keep examples apart, the share of maps of noise with a marked cell, with its 95 % interval."""
    from scipy.stats import binomtest

    print(f"\n{'kept apart':<12} {'maps':>5}  {'any cell marked':<22}  any cell, not corrected")
    errors: dict[str, dict[str, tuple[float, float, float]]] = {}
    for apart in APART:
        marked = [_marked(config, seed, answers_apart=apart == "answers") for seed in range(config.maps)]
        errors[apart] = {}
        for name, found in zip(("corrected", "not_corrected"), zip(*marked, strict=True), strict=True):
            test = binomtest(sum(found), config.maps)
            ends = test.proportion_ci(method="exact")
            errors[apart][name] = (sum(found) / config.maps, float(ends.low), float(ends.high))
        shown = ["{:.3f} [{:.3f}, {:.3f}]".format(*error) for error in errors[apart].values()]
        print(f"{apart:<12} {config.maps:5d}  {shown[0]:<22}  {shown[1]}", flush=True)
    return errors


def _marked(config: Config, seed: int, *, answers_apart: bool) -> tuple[bool, bool]:
    """Whether a map of noise has any marked cell, with and without correction for the number of cells."""
    import numpy as np
    import torch

    from interp.activations.in_memory import InMemory
    from interp.probes.cell_probe import STRENGTHS, Probing
    from interp.probes.chance import with_marks
    from interp.probes.labels import Split
    from interp.probes.probe_map import out_of_fold_scores, probe_map
    from interp.statistics.permutations import FAMILY_WISE_ERROR

    rng = np.random.default_rng([seed, answers_apart])
    answer, wrong = _drawn_answers(config, config.n_of_map, rng, alike=answers_apart)
    activations = _noise(rng, config.n_of_map)
    if answers_apart:
        of_answers = _noise(rng, config.answers)[:, :, answer]
        activations = np.sqrt(1 - OF_AN_ANSWER) * activations + np.sqrt(OF_AN_ANSWER) * of_answers
    questions = tuple(str(number) for number in range(config.n_of_map))
    split, probing = Split(5, seed), Probing(STRENGTHS, nested=False)
    labels = split.labels(wrong.tolist(), questions, [str(each) for each in answer] if answers_apart else None)
    positions = tuple(str(column) for column in range(POSITIONS))
    store = InMemory(torch.from_numpy(activations), tuple(range(LAYERS)), positions, questions)
    mask = np.ones((config.n_of_map, POSITIONS), dtype=bool)
    with tempfile.TemporaryDirectory() as parts:
        scores = out_of_fold_scores(store, mask, labels, probing, parts=Path(parts))
    made_from = (scores, mask, labels, store)
    data = with_marks(probe_map(*made_from), *made_from, split, probing, draws=config.permutations, seed=seed).data
    return bool(data["marked"].any()), bool((data["p"] <= FAMILY_WISE_ERROR).any())


def _drawn_answers(config: Config, n: int, rng: np.random.Generator, *, alike: bool) -> tuple[np.ndarray, np.ndarray]:
    """For each example the number of its answer and whether it is wrong, which may be alike within an answer."""
    import numpy as np

    frequency = 1 / np.arange(1, config.answers + 1)
    while True:
        answer = rng.choice(config.answers, size=n, p=frequency / frequency.sum())
        likely = rng.beta(0.5, 0.5, size=config.answers) if alike else np.full(config.answers, 0.5)
        wrong = rng.random(n) < likely[answer]
        if min(wrong.sum(), (~wrong).sum()) >= FEWEST * n:
            return answer, wrong


def _noise(rng: np.random.Generator, n: int) -> np.ndarray:
    """Activations ``[layer, position, example, width]``, a part of them common to all cells, a part to a layer's."""
    import numpy as np

    own = (1 - SHARED) / 2
    shares = ((1, 1, SHARED), (LAYERS, 1, own), (LAYERS, POSITIONS, own))
    parts = [np.sqrt(share) * rng.normal(size=(rows, columns, n, WIDTH)) for rows, columns, share in shares]
    return np.asarray(sum(parts))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
