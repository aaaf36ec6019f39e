"""What every example gives in every cell of a map, in a file beside the map: to draw the examples anew, or look at one.

A map says what examples give together: an AUC, a mean, a median. How far two maps agree depends on which examples they
happen to be of, and neighbouring cells of a map, which share their examples, cannot say how much. So each example's
values are kept, and `ExampleValues.drawn` makes the map again of any draw of the examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from interp.errors import InputError
from interp.statistics.auc import drawn_aucs
from interp.statistics.groups import connected
from interp.statistics.means import drawn_means, drawn_medians, group_draws
from interp.work.files import write_netcdf

AUC, MEAN, MEDIAN = "auc", "mean", "median"
STATISTICS = (AUC, MEAN, MEDIAN)
FILE = "examples"
"""The attribute of a map that names the file of its examples' values, which lies beside it."""
SUBSET = "subset"
"""The attribute of a map that is of some of the examples of its file: of those for which this variable holds."""
EVERYONE = "all"
BETWEEN = " / "
"""What stands between the two questions' ids in that of a pair."""
TOLERANCE = 1e-3
"""Of a map's values and those that its examples, which are kept in single precision, give."""


@dataclass(frozen=True)
class ExampleValues:
    """What every example gives in every cell.

    Attributes
    ----------
    values
        NaN where an example does not have a cell. Of more than one way in which the examples were scored, such as
        several splits into folds, the map is the mean.
    statistic
        What the map is of them, one of `STATISTICS`.
    ids, groups
        Of the examples, and of what is drawn together; questions have the same ones in every map.
    layers, positions
        Of the rows and the columns.
    positive
        Of an AUC: which examples are of the class that has the higher scores.
    """

    values: Float[np.ndarray, "scoring example layer position"]
    statistic: str
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    layers: tuple[int, ...]
    positions: tuple[str, ...]
    positive: Bool[np.ndarray, " example"] | None = None

    def __post_init__(self) -> None:
        if self.statistic not in STATISTICS or (self.statistic == AUC) != (self.positive is not None):
            raise ValueError(f"{self.statistic!r} is not one of {', '.join(STATISTICS)}, or an AUC of no two classes")

    def drawn(self, weights: Float[np.ndarray, "draw example"]) -> Float[np.ndarray, "draw layer position"]:
        """The map of each draw of the examples; NaN where a draw leaves a cell without a value."""
        if self.positive is not None:
            maps = [_drawn_auc_maps(each, self.positive, weights) for each in self.values]
        else:
            drawn = {MEAN: drawn_means, MEDIAN: drawn_medians}[self.statistic]
            maps = [drawn(each, weights) for each in self.values]
        return np.mean(maps, axis=0)

    def gives(self, values: Float[np.ndarray, "layer position"]) -> bool:
        """Whether a map's values are those that all examples give, so that these are the map's own."""
        if values.shape != self.values.shape[2:]:
            return False
        everyone: np.ndarray = np.ones((1, len(self.ids)), dtype=np.float32)
        (least,) = most = self.drawn(everyone)
        if self.statistic == MEDIAN:
            # Of an even number a draw's median is the lower of the two in the middle; a map's is between them.
            most = -replace(self, values=-self.values).drawn(everyone)
        room = TOLERANCE * np.maximum(1.0, np.abs(values))
        outside = (values < least - room) | (values > most[0] + room)
        return not bool(outside.any())  # What is missing is outside of nothing.

    def save(self, path: Path, *, also: Mapping[str, np.ndarray] | None = None) -> None:
        """Write netCDF, with more variables on the examples, or on the scorings and the examples.

        Those that are true or false say which examples the map of a subset is of.
        """
        others = dict(also or {}) | ({} if self.positive is None else {"positive": self.positive})
        dataset = xr.Dataset(
            {
                "value": (("scoring", "example", "layer", "position"), self.values.astype(np.float32)),
                "group": ("example", list(self.groups)),
            }
            | {name: (("scoring", "example")[-each.ndim :], each) for name, each in others.items()},
            coords={"example": list(self.ids), "layer": list(self.layers), "position": list(self.positions)},
            attrs={"statistic": self.statistic},
        )
        write_netcdf(path, dataset, {"value": {"zlib": True, "shuffle": True}})

    @classmethod
    def load(cls, path: Path, subset: str = EVERYONE) -> ExampleValues:
        """Read what `save` wrote, of all examples or of a subset.

        Raises
        ------
        InputError
            If the file is something else, or has no such subset.
        """
        try:
            with xr.open_dataset(path, engine="h5netcdf") as data:
                some = np.ones(data.sizes["example"], bool) if subset == EVERYONE else data[subset].values.astype(bool)
                return cls(
                    values=data["value"].values[:, some].astype(np.float64),
                    statistic=str(data.attrs["statistic"]),
                    ids=tuple(map(str, data["example"].values[some])),
                    groups=tuple(map(str, data["group"].values[some])),
                    layers=tuple(map(int, data["layer"].values)),
                    positions=tuple(map(str, data["position"].values)),
                    positive=data["positive"].values[some].astype(bool) if "positive" in data else None,
                )
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise InputError(f"{path} is not a file of examples' values: {error}; make the map again") from error


def joint_draws(
    of_maps: Sequence[ExampleValues], n_draws: int, rng: np.random.Generator, sets: Sequence[str] | None = None
) -> list[Float[np.ndarray, "draw _"]]:
    """How often each draw has each example of each map: a group that is in several maps as often in all of them.

    Where maps keep other examples together, all that any of them does; a pair, whose id is those of its two questions,
    goes with both of them. `sets` says of each map which questions it is of, all the same if left out: an id is that of
    a question within its set, and may be only the number of its row.
    """
    names_of_sets = sets or [""] * len(of_maps)
    examples = [
        (of_set, name, group)
        for of_set, each in zip(names_of_sets, of_maps, strict=True)
        for name, group in zip(each.ids, each.groups, strict=True)
    ]
    tied = [
        (row, tag)
        for row, (of_set, name, group) in enumerate(examples)
        for tag in (f"group {group}", *(f"example {part} of {of_set}" for part in name.split(BETWEEN)))
    ]
    rows, tags = (np.unique(each, return_inverse=True)[1].reshape(-1) for each in zip(*tied, strict=True))
    components = connected(rows.astype(np.int64), tags.astype(np.int64))
    weights = group_draws(components[np.unique(rows, return_index=True)[1]], n_draws, rng)
    return np.split(weights, np.cumsum([len(each.ids) for each in of_maps])[:-1], axis=1)


def _drawn_auc_maps(
    scores: Float[np.ndarray, "example layer position"],
    positive: Bool[np.ndarray, " example"],
    weights: Float[np.ndarray, "draw example"],
) -> Float[np.ndarray, "draw layer position"]:
    flat = scores.reshape(len(scores), -1)
    return np.stack([drawn_aucs(cell[None], positive, weights) for cell in flat.T], axis=1).reshape(
        -1, *scores.shape[1:]
    )
