"""Several stores of activations: those below a folder, and the parts of one that were captured apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from interp.activations.store import HEADER, SHARDS, ActivationStore, shards_in_words
from interp.errors import InputError
from interp.work.executors import parse_share

PART = ".part-"
"""Between the name of a store and that of a part of it."""


def part_folder(folder: Path, share: str) -> Path:
    """Where a share, such as ``"3/16"``, of the shards of the store of a folder is kept."""
    return folder.with_name(f"{folder.name}{PART}{share.replace('/', '-of-')}")


def shards_due(store: ActivationStore) -> list[int]:
    """The shards that a store is to have: all, or, if it is a part by its folder's name, those of its share."""
    n_shards = len(store.plan)
    try:
        return parse_share(store.folder.name.partition(PART)[2].replace("-of-", "/")).tasks(n_shards)
    except InputError:  # It has another name.
        return list(range(n_shards))


def whole_folder(part: Path) -> Path:
    """Where the store is, or is to be, that a folder is a part of."""
    return part.with_name(part.name.partition(PART)[0])


def parts_beside(folder: Path) -> list[Path]:
    """The parts of a store that are in the same folder as it."""
    return sorted(path.parent for path in folder.parent.glob(f"{folder.name}{PART}*/{HEADER}"))


def named(folder: Path) -> Path:
    """The folder by a path that ends in its name, as ``.`` does not: what is beside a store has its name."""
    return folder.resolve() if folder.name in ("", "..") else folder


def stores_below(path: Path) -> tuple[list[ActivationStore], list[InputError]]:
    """The store in a folder and all below it, and what is wrong with those whose headers are lost or damaged."""
    stores: list[ActivationStore] = []
    damaged: list[InputError] = []
    for folder in sorted({file.parent for pattern in (HEADER, SHARDS) for file in path.rglob(pattern)}):
        try:
            store = ActivationStore.read(named(folder))
        except InputError as error:
            damaged.append(error)
        else:
            stores += [store] if store is not None else []
            damaged += [_headless(folder)] if store is None else []
    return stores, damaged


def _headless(folder: Path) -> InputError:
    return InputError(
        f"corrupt store of activations: {folder} has shards and no {HEADER}, which says of what they are; copy that "
        "file there too, or remove the folder and capture again"
    )


def merged_parts(stores: Sequence[ActivationStore]) -> list[ActivationStore]:
    """Those of some stores that are parts of one that is whole; each whole one is read once."""
    parts: dict[Path, list[ActivationStore]] = {}
    for store in stores:
        if PART in store.folder.name:
            parts.setdefault(whole_folder(store.folder), []).append(store)
    found = []
    for folder, of_folder in parts.items():
        whole = _readable(folder)
        alike = [part for part in of_folder if whole is not None and not part.difference(whole)]
        if whole is not None and alike and whole.is_whole():
            found += alike
    return found


def _readable(folder: Path) -> ActivationStore | None:
    try:
        return ActivationStore.read(folder)
    except InputError:
        return None


def merged(parts: Sequence[ActivationStore], folder: Path) -> ActivationStore:
    """One store of the shards of several that were captured apart, such as by the jobs of an array.

    What `folder` holds already is kept; a shard that several parts have is taken once.

    Raises
    ------
    InputError
        If the parts are not of one run and one plan, a shard is damaged, or some are in none of them.
    """
    if not parts:
        raise InputError("nothing to merge; give the folders of the parts")
    for part in parts[1:]:
        if differing := parts[0].difference(part):
            raise InputError(
                f"{part.folder} and {parts[0].folder} are parts of different runs (they differ in {differing}); give "
                "every part the same flags, --token-budget included"
            )
    with replace(parts[0], folder=folder).writing() as store:
        if store.plan != parts[0].plan:
            raise InputError(f"{folder} was begun in other batches than {parts[0].folder}; remove it, or end it alone")
        for part in parts:
            for shard in sorted(part.entered().keys() - store.entered().keys()):
                store.add(shard, part)
        store.put_in_order()
        if absent := sorted(set(range(len(store.plan))) - store.entered().keys()):
            raise InputError(
                f"{folder} lacks {shards_in_words(absent)} of {len(store.plan)}, which no part has; run the missing "
                "--shard, then merge again"
            )
    return store
