"""List, verify, tidy, merge and export stores of activations.

A store is a folder that a capture made; PATHS are stores, or folders with stores somewhere below them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from analyses.parts.command import execute
from interp.errors import InputError

if TYPE_CHECKING:
    from interp.activations.store import ActivationStore

Paths = Annotated[tuple[Path, ...], tyro.conf.Positional]
RUNS = (Path("runs"),)


@dataclass(frozen=True)
class List:
    """What is there: model, site, dtype, cells, examples, shards and size of every store.

    Status 1 if the header of one is lost or damaged.
    """

    paths: Paths = RUNS
    """Stores, or folders with stores below them."""


@dataclass(frozen=True)
class Verify:
    """Read every byte and compare it with what was entered; status 1 if anything is damaged or missing."""

    paths: Paths = RUNS
    """Stores, or folders with stores below them."""


@dataclass(frozen=True)
class Prune:
    """Remove what no map needs: leftovers of killed runs, damaged shards, parts that are merged. Or whole stores.

    A store whose header is lost or damaged is told of and left; the status is 1 then.
    """

    paths: Paths = RUNS
    """Stores, or folders with stores below them."""
    stores: bool = False
    """Remove the stores themselves; they can be captured again."""
    yes: bool = False
    """Do it; without this flag only what would go is listed."""


@dataclass(frozen=True)
class Merge:
    """Make one store of the parts that the jobs of an array captured ('interp capture --shard i/n')."""

    parts: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """The parts, from one machine or copied from several; or one store's folder, whose parts are beside it."""
    into: Path | None = None
    """The store to make or go on with; by default the parts' own name, beside the first of them."""


@dataclass(frozen=True)
class Export:
    """Write a store as one file or folder that other tools read."""

    path: Annotated[Path, tyro.conf.Positional]
    """The store."""
    to: Literal["npz", "zarr"]
    """npz: NumPy's archive. zarr: chunked, a chunk for each cell. Both have neither bfloat16, which becomes float32."""
    out: Path | None = None
    """Where; by default beside the store."""


Config: Any = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Prune, tyro.conf.subcommand("prune")]
    | Annotated[Merge, tyro.conf.subcommand("merge")]
    | Annotated[Export, tyro.conf.subcommand("export")]
)


def run(config: List | Verify | Prune | Merge | Export) -> int:
    """Do what was asked."""
    if isinstance(config, List):
        return _list(config)
    if isinstance(config, Verify):
        return _verify(config)
    if isinstance(config, Prune):
        return _prune(config)
    if isinstance(config, Merge):
        return _merge(config)
    return _export(config)


def _list(config: List) -> int:
    from interp.activations.stores import shards_due

    counted = f"{'layers':>7}{'columns':>8}{'examples':>9}{'shards':>10}"
    print(f"{'model':24}{'site':12}{'dtype':10}{counted}{'size':>10}  folder")
    stores, damaged = _stores(config.paths)
    for store in stores:
        model, site, dtype = (str(store.identity.get(name, "–")) for name in ("model", "site", "dtype"))
        counts = f"{len(store.layers):>7}{len(store.positions):>8}{len(store.examples):>9}"
        shards = f"{len(store.entered())}/{len(shards_due(store))}"
        print(f"{model:24}{site:12}{dtype:10}{counts}{shards:>10}{_megabytes(store.folder):>10}  {store.folder}")
    return _told(damaged)


def _verify(config: Verify) -> int:
    from interp.activations.stores import shards_due

    found, unreadable = _stores(config.paths)
    damaged = False
    for store in found:
        entered, verified = store.entered().keys(), store.verified_shards()
        due = shards_due(store)
        lost, absent = sorted(entered - verified), len(set(due) - entered)
        told = [f"damaged: {', '.join(f'shard {shard}' for shard in lost)}"] if lost else []
        told += [f"{absent} of {len(due)} shards not captured"] if absent else []
        damaged = damaged or bool(told)
        print(f"{store.folder}: {'; '.join(told) or 'whole'}")
    return _told(unreadable) or int(damaged)


def _prune(config: Prune) -> int:
    from interp.activations.stores import merged_parts

    stores, damaged = _stores(config.paths)
    merged = {store.folder for store in merged_parts(stores)}
    for store in stores:
        with store.taken_alone():
            if not store.folder.is_dir():
                continue  # Another prune has removed it first.
            whole = config.stores or store.folder in merged
            going = sorted(store.folder.iterdir()) if whole else store.leftovers()
            for path in going:
                print(path if config.yes else f"would remove {path}")
            if config.yes:
                _remove(store, going)
    return _told(damaged)


def _remove(store: ActivationStore, going: Sequence[Path]) -> None:
    from interp.activations.store import HEADER

    # The header last: what a kill leaves is still a store that can be pruned.
    for path in sorted(going, key=lambda path: path.name == HEADER):
        path.unlink()
    if not any(store.folder.iterdir()):
        store.folder.rmdir()


def _merge(config: Merge) -> int:
    from interp.activations.store import ActivationStore
    from interp.activations.stores import merged, named, parts_beside, whole_folder

    parts = [part for path in map(named, config.parts) for part in (parts_beside(path) or [path])]
    stores = []
    for path in parts:
        store = ActivationStore.read(path)
        if store is None:
            raise InputError(
                f"no store of activations at {path}; give the folders that 'interp capture --shard' printed"
            )
        stores.append(store)
    if not parts:
        raise InputError("there is nothing to merge; give the folders that 'interp capture --shard' printed")
    store = merged(stores, named(config.into) if config.into else whole_folder(parts[0]))
    print(store.folder)
    return 0


def _export(config: Export) -> int:
    from interp.activations.export import export
    from interp.activations.store import ActivationStore
    from interp.activations.stores import named

    path = named(config.path)
    store = ActivationStore.read(path)
    if store is None:
        raise InputError(f"no store of activations at {path}; 'interp store list' says where there are some")
    print(export(store, config.to, config.out or path.with_name(f"{path.name}.{config.to}")))
    return 0


def _stores(paths: Sequence[Path]) -> tuple[list[ActivationStore], list[InputError]]:
    """The stores that can be read, and what is wrong with the others."""
    from interp.activations.stores import stores_below

    stores: list[ActivationStore] = []
    damaged: list[InputError] = []
    for path in paths:
        readable, unreadable = stores_below(path)
        stores += readable
        damaged += unreadable
    if not stores and not damaged:
        raise InputError(f"no store of activations below {', '.join(map(str, paths))}; 'interp capture' makes one")
    return stores, damaged


def _told(damaged: Sequence[InputError]) -> int:
    """The status of a command that goes on after stores that cannot be read, which are told of."""
    for error in damaged:
        print(error)
    return int(bool(damaged))


def _megabytes(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) / 1e6:,.0f} MB"


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.store"))
