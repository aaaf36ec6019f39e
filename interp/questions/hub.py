"""Data sets of the Hugging Face Hub as tables of rows."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.errors import InputError, first_line
from interp.questions.tables import Choice, Row, Table, column_key

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubSource:
    """One split of a data set."""

    id: str
    """``org/name``, or a folder that `datasets.load_dataset` can open."""
    subset: str | None = None
    """The data set's configuration, where it has several."""
    split: str | None = None
    """None takes the only one there is."""

    @property
    def name(self) -> str:
        """What the set goes by in folders: its name, subset and split."""
        return "-".join(filter(None, (Path(self.id).name, self.subset, self.split)))


def hub_table(source: HubSource, choice: Choice) -> Table:
    """The rows of a split, with the columns that `choice` wants; class labels by their names.

    Raises
    ------
    InputError
        If the data set cannot be fetched, the split is not one of its splits, or `choice` refuses the columns.
    """
    whole = _loaded(source)
    dataset = whole.select_columns(list(choice(whole.column_names)))
    classes = {name: feature for name, feature in dataset.features.items() if hasattr(feature, "int2str")}
    rows = [
        Row(number, {column_key(name): _named(classes.get(name), value) for name, value in row.items()})
        for number, row in enumerate(dataset, start=1)
    ]
    return Table(source.id, whole.column_names, "row", rows)


def _loaded(source: HubSource) -> Any:
    import datasets

    datasets.disable_progress_bars()
    if not datasets.config.HF_HUB_OFFLINE:
        log.info("asking the hub for %s; if that hangs, HF_HUB_OFFLINE=1 takes what is in your cache", source.id)
    try:
        splits = datasets.get_dataset_split_names(source.id, source.subset)
        split = splits[0] if source.split is None and len(splits) == 1 else source.split
        if split in splits:
            return datasets.load_dataset(source.id, source.subset, split=split)
    except Exception as error:
        # The reason is in what the user named, or in the network.
        what = first_line(error)
        raise InputError(
            f"cannot fetch the data set {source.id} from the hub: {what}; check the name, --subset, the network and, "
            "for a gated data set, the token"
        ) from error
    given = "no --dataset-split is given" if split is None else f"{split!r} is none of them"
    raise InputError(f"{source.id} has the splits {', '.join(splits)}, and {given}; give --dataset-split one of them")


def _named(classes: Any, value: object) -> object:
    """The name of a class; -1 stands for none."""
    if classes is None or not isinstance(value, int):
        return value
    return classes.int2str(value) if value >= 0 else None
