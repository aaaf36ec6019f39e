"""What a probe is to predict, and on which examples it is trained and scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from interp.errors import InputError
from interp.questions.answer_columns import MIN_PER_CLASS
from interp.statistics.groups import connected, numbered

NEVER = -1
"""The fold of examples that are only ever trained on."""
PAPER_TEST_SHARE = 0.2
"""Of the published split; Orgad et al. 2024 (arXiv 2410.02707)."""


class Folded:
    """Examples that are split into folds, in one or several ways."""

    fold: Int[np.ndarray, "seed example"]
    """The fold that an example is scored in, by a probe that is trained on the others; or `NEVER`."""

    @property
    def n_folds(self) -> int:
        """How many folds are scored with each seed."""
        return int(self.fold.max()) + 1

    @property
    def scored(self) -> Bool[np.ndarray, "seed example"]:
        """Which examples are scored."""
        return self.fold != NEVER

    def require_of(self, present: Bool[np.ndarray, " example"]) -> None:
        """Raise an `InputError` if there is not one label for each example of a mask."""
        if self.fold.shape[1] != len(present):
            raise InputError(
                f"there are {self.fold.shape[1]} labels for {len(present)} examples; give one label, and one row of "
                "the mask, for each example of the store"
            )


@dataclass(frozen=True)
class Labels(Folded):
    """What is to be predicted for each example, and in how many ways the examples are split into folds."""

    wrong: Bool[np.ndarray, " example"]
    """The positive class: errors, or where something else is to be predicted, what `called` says."""
    fold: Int[np.ndarray, "seed example"]
    """The fold that an example is scored in, by a probe that is trained on the others; or `NEVER`."""
    group: Int[np.ndarray, " example"]
    """Examples of one group, such as twins, have the same number."""
    side: Int[np.ndarray, " example"]
    """Examples that are on one side of every split have the same number: those of a group, and maybe more. They are
    the units of intervals."""
    called: str = "wrong"
    """What the positive class is called in files."""


@dataclass(frozen=True)
class Numbers(Folded):
    """Numbers that are to be predicted; folds, groups and sides are as those of `Labels`."""

    value: Float[np.ndarray, " example"]
    fold: Int[np.ndarray, "seed example"]
    group: Int[np.ndarray, " example"]
    side: Int[np.ndarray, " example"]


@dataclass(frozen=True)
class Split:
    """How examples are split: into folds, stratified by the label, no group on two sides; or as published."""

    folds: int = 5
    seed: int = 0
    n_seeds: int = 1
    """In how many ways, with consecutive seeds."""
    as_published: bool = False
    """One random fifth is scored, by a probe trained on the rest, whatever the groups and the labels."""

    def labels(
        self, wrong: Sequence[bool], groups: Sequence[str], sides: Sequence[str] | None = None, called: str = "wrong"
    ) -> Labels:
        """Labels with their folds.

        Parameters
        ----------
        wrong
            What is to be predicted.
        groups
            Examples of one group are on one side of every split.
        sides
            What else is to be on one side, such as examples that are given the same answer.
        called
            What the positive class is called in files.

        Raises
        ------
        InputError
            If there are not enough groups for the folds, not as many groups or sides as labels, or labels that are not
            true or false: of answers that are not judged, which are None, no probe is trained.
        """
        # True and 1 are alike to Python; a text, even "no", would count as true.
        if other := [label for label in wrong if label not in (True, False)]:
            raise InputError(f"a label is {other[0]!r}; give true or false for each example, and leave others out")
        positive = np.array(wrong, dtype=bool)
        return Labels(positive, *self._folded(positive, groups, sides), called)

    def one_against_the_rest(
        self, classes: Sequence[str], groups: Sequence[str], sides: Sequence[str] | None = None
    ) -> dict[str, Labels]:
        """For each class, in alphabetical order, the labels that tell it from all others; folds as for `labels`.

        The folds are the same for every class, and stratified by all of them.
        """
        number = numbered(classes)
        folded = self._folded(number, groups, sides)
        names = sorted(set(classes))
        return {name: Labels(number == index, *folded, "positive") for index, name in enumerate(names)}

    def numbers(self, values: Sequence[float], groups: Sequence[str], sides: Sequence[str] | None = None) -> Numbers:
        """Numbers with their folds, as for `labels`; the folds are stratified by fifths of the numbers, or halves."""
        value = np.array(values, dtype=np.float64)
        rank = np.argsort(np.argsort(value, kind="stable"), kind="stable")
        n_strata = max(2, min(5, len(value) // self.folds))
        return Numbers(value, *self._folded(n_strata * rank // len(value), groups, sides))

    def _folded(
        self, stratum: Shaped[np.ndarray, " example"], groups: Sequence[str], sides: Sequence[str] | None
    ) -> tuple[Int[np.ndarray, "seed example"], Int[np.ndarray, " example"], Int[np.ndarray, " example"]]:
        """The folds, and the numbers of groups and sides."""
        if {len(groups), len(groups if sides is None else sides)} != {len(stratum)}:
            raise InputError(f"there are {len(stratum)} labels and {len(groups)} groups; give each example both")
        group = numbered(groups)
        side = group if sides is None or not len(group) else connected(group, numbered(sides))
        n_sides = len(set(side.tolist()))
        can_be_split = len(stratum) > 1 if self.as_published else n_sides >= self.folds
        if self.folds < 2 or not can_be_split:
            raise InputError(
                f"cannot split {len(stratum)} answers in {n_sides} groups into {self.folds} folds; "
                f"{self._remedy(len(stratum), n_sides)}"
            )
        seeds = range(self.seed, self.seed + self.n_seeds)
        if self.as_published:
            return np.stack([_one_fifth(len(stratum), seed) for seed in seeds]), group, side
        return np.stack([self._all_folds(stratum, side, seed) for seed in seeds]), group, side

    def _remedy(self, n: int, n_sides: int) -> str:
        """What to do where `n` answers in so many groups cannot be split."""
        if self.folds < 2:
            return "give --folds 2 or more"
        more = "ask more questions (--n)" if n == n_sides else "a group stays together: ask questions of more groups"
        return more if n_sides < 2 else f"{more}, or give --folds {n_sides}{' or fewer' if n_sides > 2 else ''}"

    def _all_folds(
        self, stratum: Shaped[np.ndarray, " example"], side: Int[np.ndarray, " example"], seed: int
    ) -> Int[np.ndarray, " example"]:
        from sklearn.model_selection import StratifiedGroupKFold

        fold: np.ndarray = np.zeros(len(stratum), dtype=np.int64)
        fewest = int(np.bincount(stratum, minlength=2).min())
        if MIN_PER_CLASS <= fewest < self.folds:
            raise InputError(f"--folds is {self.folds}, and there are {fewest} answers of the rarest label; give fewer")
        # With fewer examples of a class than that no cell will have a value, whatever the folds.
        if fewest >= self.folds:
            splitter = StratifiedGroupKFold(self.folds, shuffle=True, random_state=seed)
            for number, (_, test) in enumerate(splitter.split(stratum, stratum, side)):
                fold[test] = number
        return fold


def _one_fifth(n: int, seed: int) -> Int[np.ndarray, " example"]:
    from sklearn.model_selection import train_test_split

    fold: np.ndarray = np.full(n, NEVER, dtype=np.int64)
    _, test = train_test_split(np.arange(n), test_size=PAPER_TEST_SHARE, random_state=seed)
    fold[test] = 0
    return fold
