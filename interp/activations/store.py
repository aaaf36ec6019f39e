"""A store of activations on disk: written shard by shard, read cell by cell, and never half there.

A store is a folder. ``store.json`` says what it holds, with a hash of its own. ``shard-NNNN.safetensors`` hold examples
as ``[layer, position, example, width]`` in the model's own dtype, so that a cell of a shard is one contiguous read.
``manifest.jsonl`` has a line with the SHA-256 of every shard that is complete. A shard is written under a temporary
name, flushed to the disk, renamed, flushed again, and only then entered: the line is the commit. A kill at any instant
leaves at most a temporary file, a shard that is not entered or a line cut short; `ActivationStore.writing` clears them
away. Once every shard is there the lines are put in order, so that the same activations are the same bytes, whoever
wrote them in whatever order.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from filelock import Timeout
from jaxtyping import Float
from safetensors import safe_open

from interp.errors import InputError
from interp.work.files import cannot_write, lock_of, make_folder, sha256, whole_file, written_sha256
from interp.work.plan import Batch, Plan, examples_of

log = logging.getLogger(__name__)

TENSOR = "activations"
HEADER = "store.json"
MANIFEST = "manifest.jsonl"
SHARDS = "shard-*.safetensors"
"""What the files of shards are called."""
DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
"""What safetensors calls the dtypes that models have."""
KEPT_OPEN = 256
"""A store of more shards than this is opened anew for every read: processes have a limit of open files."""


@runtime_checkable
class Cells(Protocol):
    """Activations of examples that are read cell by cell."""

    @property
    def layers(self) -> tuple[int, ...]:
        """The numbers of the layers that there are, ascending."""

    @property
    def positions(self) -> tuple[str, ...]:
        """The names of the positions."""

    @property
    def examples(self) -> tuple[str, ...]:
        """The ids of the examples, in the order of every cell."""

    def cell(self, layer: int, position: str) -> Float[torch.Tensor, "example width"]:
        """One (layer, position) of every example, in the model's dtype; NaN where the position is missing."""


@dataclass(frozen=True)
class ActivationStore:
    """Activations of one site at some cells of some examples."""

    folder: Path
    identity: Mapping[str, Any]
    """All that decides what the store holds, as JSON-able values."""
    layers: tuple[int, ...]
    positions: tuple[str, ...]
    examples: tuple[str, ...]
    plan: Plan
    """In which shards and batches the examples, as indices into `examples`, are captured."""

    @classmethod
    def read(cls, folder: Path) -> ActivationStore | None:
        """The store in a folder, complete or not; None if there is none.

        Raises
        ------
        InputError
            If the folder has a header that cannot be read.
        """
        path = folder / HEADER
        if not path.is_file():
            return None
        try:
            digest, _, text = path.read_text(encoding="utf-8").partition("\n")
            if digest != hashlib.sha256(text.encode()).hexdigest():
                raise ValueError("its hash is another")
            header = json.loads(text)
            return cls(
                folder=folder,
                identity=header["identity"],
                layers=tuple(header["layers"]),
                positions=tuple(header["positions"]),
                examples=tuple(header["examples"]),
                plan=tuple(tuple(Batch(tuple(rows), shared) for rows, shared in shard) for shard in header["plan"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"corrupt store of activations: {path} ({error}); remove the folder {folder}") from error

    @contextmanager
    def taken_alone(self) -> Iterator[None]:
        """Let nobody else write to the folder; raises an `InputError` if another process does."""
        make_folder(self.folder.parent)
        # Beside the folder, which then holds the same files however often it was taken up.
        lock = lock_of(self.folder)
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise InputError(
                f"another process is writing to {self.folder}; wait for it, stop it, or give each its own --shard"
            ) from error
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def writing(self) -> Iterator[ActivationStore]:
        """Make the store, or take up the one that is there, for as long as nobody else writes to it.

        Gives the store that is to be written: of a store that is there its plan is kept, so that a run that goes on
        with another token budget ends it as it was begun.

        Raises
        ------
        InputError
            If another process writes to it, or the folder holds another store.
        """
        with self.taken_alone():
            store = self._taken_up()
            store._clear_away()
            yield store

    def write(self, shard: int, activations: Float[torch.Tensor, "layer position example width"]) -> str:
        """Write one shard and return its SHA-256, with which it is to be entered; until then it does not count."""
        with whole_file(self._path(shard)) as temporary:
            data = activations.contiguous().view(torch.uint8).numpy()
            return written_sha256(temporary, [_tensor_header(activations), data.reshape(-1).data])

    def enter(self, shard: int, digest: str) -> None:
        """Put a shard that is written into the manifest."""
        try:
            with (self.folder / MANIFEST).open("a") as manifest:
                # The leading newline ends a line that a kill may have cut short.
                manifest.write("\n" + _line(shard, digest))
                manifest.flush()
                os.fsync(manifest.fileno())
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def put_in_order(self) -> None:
        """Leave a header, the shards that are entered, and a manifest in the order of the plan; nothing else."""
        entered = self.entered()
        for path in self._files_but_for(entered):
            path.unlink()
        self._write_manifest(entered)

    def entered(self) -> dict[int, str]:
        """The SHA-256 of every shard that the manifest has, by its number."""
        manifest = self.folder / MANIFEST
        digests = {}
        for line in manifest.read_bytes().splitlines() if manifest.is_file() else []:
            try:
                row = json.loads(line)
                digests[int(row["shard"])] = str(row["sha256"])
            except (ValueError, KeyError, TypeError):
                continue  # Cut short by a kill, or damaged: it vouches for nothing.
        return {shard: digests[shard] for shard in sorted(digests) if shard < len(self.plan)}

    def verified_shards(self) -> set[int]:
        """The shards that are entered in the manifest and whose contents match it; all of them are read."""
        return {shard for shard, digest in self.entered().items() if self._holds(shard, digest)}

    def is_whole(self) -> bool:
        """Whether every shard is there with the contents that are entered, and the manifest is in order."""
        return self._manifest_is(self.entered()) and len(self.verified_shards()) == len(self.plan)

    def cell(self, layer: int, position: str) -> Float[torch.Tensor, "example width"]:
        """One (layer, position) of every example, in the order of `examples`; NaN where the position is missing."""
        row, column = self.layers.index(layer), self.positions.index(position)
        rows = torch.cat([file.get_slice(TENSOR)[row, column] for file in self._files()])
        cell = torch.empty_like(rows)
        cell[self._order] = rows
        return cell

    def shard(self, number: int) -> Float[torch.Tensor, "layer position example width"]:
        """Every cell of the examples of one shard, in the order of the plan."""
        with safe_open(self._path(number), framework="pt") as file:
            return file.get_tensor(TENSOR)

    def of_examples(self, examples: Sequence[str]) -> ExamplesOfStore:
        """The same cells of some of the examples, in the order given.

        Raises
        ------
        InputError
            If the store does not have one of them.
        """
        number = {example: index for index, example in enumerate(self.examples)}
        absent = [example for example in examples if example not in number]
        if absent:
            raise InputError(f"{self.folder} has no example {absent[0]!r}; it is a store of other questions")
        return ExamplesOfStore(self, tuple(number[example] for example in examples))

    def add(self, shard: int, other: ActivationStore) -> None:
        """Copy a shard from another store of the same plan, and enter it.

        Raises
        ------
        InputError
            If the shard is not what was entered in the other store.
        """
        digest = other.entered()[shard]
        with whole_file(self._path(shard)) as temporary:
            shutil.copyfile(other._path(shard), temporary)
            if sha256(temporary) != digest:
                raise InputError(f"{other._path(shard)} is damaged; capture it again, with the same --shard")
        self.enter(shard, digest)

    def difference(self, other: ActivationStore) -> str:
        """What two stores differ in, in words; empty if they are the same but for their folders."""
        names = [field.name for field in fields(self) if field.name != "folder"]
        return ", ".join(name for name in names if getattr(self, name) != getattr(other, name))

    def is_same_but_for_plan(self, other: ActivationStore) -> bool:
        """Whether two stores hold the same but for their batches."""
        return not replace(self, plan=other.plan).difference(other)

    def has_file(self, shard: int) -> bool:
        """Whether a shard is written, whether entered or not."""
        return self._path(shard).is_file()

    def _taken_up(self) -> ActivationStore:
        known = ActivationStore.read(self.folder)
        if known is None:
            # Shards whose header is lost may be of other batches; without a line each they are captured again.
            if (manifest := self.folder / MANIFEST).is_file():
                manifest.unlink()
            with whole_file(self.folder / HEADER) as temporary:
                temporary.write_text(self._header(), encoding="utf-8")
            return self
        differing = replace(self, plan=known.plan).difference(known)
        if differing:
            raise InputError(
                f"{self.folder} holds activations of another run (it differs in {differing}); remove it, or choose "
                "another folder"
            )
        if known.plan != self.plan:
            log.info("going on in the batches of the run that began %s", self.folder)
        return known

    def _header(self) -> str:
        plan = [[[batch.examples, batch.shared] for batch in shard] for shard in self.plan]
        content = {
            "identity": self.identity,
            "layers": self.layers,
            "positions": self.positions,
            "examples": self.examples,
        }
        text = json.dumps(content | {"plan": plan}, ensure_ascii=False, sort_keys=True) + "\n"
        return f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}"

    def leftovers(self) -> list[Path]:
        """What a killed run left: temporary files, shards that are not entered or not what was entered."""
        return self._files_but_for(self.verified_shards())

    def _clear_away(self) -> None:
        """Remove what a killed run left, and what the manifest says of it."""
        entered = self.entered()
        for path in self.leftovers():
            path.unlink()
        kept = {shard: digest for shard, digest in entered.items() if self.has_file(shard)}
        if damaged := sorted(entered.keys() - kept):
            log.warning("%s: %s damaged or gone; to be captured again", self.folder, shards_in_words(damaged))
        self._write_manifest(kept)

    def _files_but_for(self, shards: Collection[int]) -> list[Path]:
        kept = {HEADER, MANIFEST, *(self._path(shard).name for shard in shards)}
        return sorted(path for path in self.folder.iterdir() if path.is_file() and path.name not in kept)

    def _write_manifest(self, digests: Mapping[int, str]) -> None:
        if not self._manifest_is(digests):
            with whole_file(self.folder / MANIFEST) as temporary:
                temporary.write_text(_lines(digests))

    def _manifest_is(self, digests: Mapping[int, str]) -> bool:
        manifest = self.folder / MANIFEST
        return manifest.is_file() and manifest.read_text(errors="replace") == _lines(digests)

    def _holds(self, shard: int, digest: str) -> bool:
        return self._path(shard).is_file() and sha256(self._path(shard)) == digest

    def _files(self) -> Iterator[Any]:
        if len(self.plan) <= KEPT_OPEN:
            yield from self._open_files
        else:
            for shard in range(len(self.plan)):
                with safe_open(self._path(shard), framework="pt") as file:
                    yield file

    @cached_property
    def _open_files(self) -> list[Any]:
        return [safe_open(self._path(shard), framework="pt") for shard in range(len(self.plan))]

    @cached_property
    def _order(self) -> torch.Tensor:
        return torch.tensor([example for shard in self.plan for example in examples_of(shard)])

    def _path(self, shard: int) -> Path:
        return self.folder / f"shard-{shard:04d}.safetensors"


@dataclass(frozen=True)
class ExamplesOfStore:
    """Some of the examples of a store."""

    store: ActivationStore
    rows: tuple[int, ...]
    """Indices into the store's examples."""

    @property
    def layers(self) -> tuple[int, ...]:
        """As in the store."""
        return self.store.layers

    @property
    def positions(self) -> tuple[str, ...]:
        """As in the store."""
        return self.store.positions

    @property
    def examples(self) -> tuple[str, ...]:
        """The examples that are taken, in order."""
        return tuple(self.store.examples[row] for row in self.rows)

    def cell(self, layer: int, position: str) -> Float[torch.Tensor, "example width"]:
        """One (layer, position) of every example that is taken; NaN where the position is missing."""
        return self.store.cell(layer, position)[list(self.rows)]


def _tensor_header(tensor: torch.Tensor) -> bytes:
    """What a safetensors file of one tensor has before the tensor's bytes.

    As ``safetensors.torch.save_file`` writes it, which would have the file read again for its hash.
    """
    entry = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [0, tensor.nbytes]}
    header = json.dumps({TENSOR: entry}, separators=(",", ":")).encode()
    padded = header + b" " * (-len(header) % 8)
    return len(padded).to_bytes(8, "little") + padded


def _line(shard: int, digest: str) -> str:
    return json.dumps({"shard": shard, "sha256": digest}) + "\n"


def _lines(digests: Mapping[int, str]) -> str:
    return "".join(_line(shard, digests[shard]) for shard in sorted(digests))


def shards_in_words(numbers: Collection[int]) -> str:
    """Numbers of shards, the first few of them."""
    shown = ", ".join(map(str, sorted(numbers)[:8])) + (", …" if len(numbers) > 8 else "")
    return f"{'shard' if len(numbers) == 1 else 'shards'} {shown}"
