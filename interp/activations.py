"""Activations of a site at just the wanted cells, captured inside the forward pass and kept on disk.

A store is a folder: ``store.json`` says what it holds, ``block-NNNN.safetensors`` hold blocks of examples as
``[layer, position, example, width]`` in the model's own dtype, and ``manifest.jsonl`` has a line with the SHA-256
of every block that is complete. A block is written under a temporary name, flushed, renamed, and only then entered:
the line is the commit. A run that resumes checks the contents of what it finds.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from einops import rearrange
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.torch import save_file

from interp.batches import batched, in_halves_if_need_be
from interp.errors import InputError
from interp.examples import Answer
from interp.files import sha256, whole_file
from interp.models import HookedModel, run_until
from interp.positions import MISSING
from interp.progress import progress
from interp.sites import hook_names

log = logging.getLogger(__name__)

BLOCK_EXAMPLES = 128
"""Examples in one block: enough that a cell of a block is a long contiguous read, few enough to hold in memory."""
TENSOR = "activations"
HEADER = "store.json"
MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class ActivationStore:
    """Activations on disk: written block by block, read cell by cell."""

    folder: Path
    identity: Mapping[str, Any]
    """All that decides what the store holds, as JSON-able values."""
    layers: int
    positions: tuple[str, ...]
    examples: tuple[str, ...]
    blocks: tuple[tuple[int, ...], ...]
    """For each block, which examples it holds, as indices into `examples`."""

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
            header = json.loads(path.read_text())
            return cls(
                folder=folder,
                identity=header["identity"],
                layers=int(header["layers"]),
                positions=tuple(header["positions"]),
                examples=tuple(header["examples"]),
                blocks=tuple(map(tuple, header["blocks"])),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"corrupt store of activations: {path} ({error}); remove the folder {folder}") from error

    def create(self) -> ActivationStore:
        """Write the header, or check that the folder's header says the same.

        Raises
        ------
        InputError
            If the folder holds another store.
        """
        known = ActivationStore.read(self.folder)
        if known is None:
            header = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "folder"}
            with whole_file(self.folder / HEADER) as temporary:
                temporary.write_text(json.dumps(header) + "\n")
            return self
        differing = [field.name for field in fields(self) if getattr(known, field.name) != getattr(self, field.name)]
        if differing:
            raise InputError(
                f"{self.folder} holds activations of another run (it differs in {', '.join(differing)}); remove it, "
                "or choose another folder"
            )
        return known

    def write(self, block: int, activations: Float[torch.Tensor, "layer position example width"]) -> None:
        """Write one block and, once it is on the disk, enter it in the manifest."""
        with whole_file(self._path(block)) as temporary:
            save_file({TENSOR: activations}, temporary)
            digest = sha256(temporary)
        with (self.folder / MANIFEST).open("a") as manifest:
            # The leading newline ends a line that a kill may have cut short.
            manifest.write("\n" + json.dumps({"block": block, "sha256": digest}) + "\n")
            manifest.flush()
            os.fsync(manifest.fileno())

    def verified_blocks(self) -> set[int]:
        """The blocks that are entered in the manifest and whose contents match it."""
        digests = {}
        manifest = self.folder / MANIFEST
        for line in manifest.read_text().splitlines() if manifest.is_file() else []:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue  # Cut short by a kill: it was never a commit.
            digests[int(row["block"])] = row["sha256"]
        return {
            block
            for block, digest in digests.items()
            if self._path(block).is_file() and sha256(self._path(block)) == digest
        }

    def cell(self, layer: int, position: str) -> Float[torch.Tensor, "example width"]:
        """One (layer, position) of every example, in the order of `examples`; NaN where the position is missing."""
        column = self.positions.index(position)
        rows = torch.cat([file.get_slice(TENSOR)[layer, column] for file in self._files])
        cell = torch.empty_like(rows)
        cell[torch.tensor([example for block in self.blocks for example in block])] = rows
        return cell

    @cached_property
    def _files(self) -> list[Any]:
        paths = [self._path(block) for block in range(len(self.blocks))]
        return [safe_open(path, framework="pt") for path in paths]

    def _path(self, block: int) -> Path:
        return self.folder / f"block-{block:04d}.safetensors"


def capture(
    model: Callable[[], HookedModel],
    answers: Sequence[Answer],
    table: xr.Dataset,
    folder: Path,
    *,
    identity: Mapping[str, Any],
    batch_size: int,
    site: str = "resid_post",
) -> ActivationStore:
    """Run the model over answers it gave and keep a site of every layer at the cells of a position table.

    Parameters
    ----------
    model
        Gives the model that gave the answers; called only if something is left to capture.
    answers
        The examples, as in `table`.
    table
        What `positions.position_table` returns for them.
    folder
        Where the store is, or is to be.
    identity
        All that decides what the store holds, as JSON-able values. A folder with another identity is refused.
    batch_size
        Examples in one forward pass. Examples are sorted by length and padded on the right, where padding cannot
        reach a real token of a causal model.
    site
        One of `interp.sites.SITES`, or a block's hook by TransformerLens's name.

    Returns
    -------
    ActivationStore
        Complete. Blocks that an earlier run finished are kept, after a check of their contents.

    Raises
    ------
    InputError
        If the folder holds a store of another identity, or the model has no such site.
    """
    order = sorted(range(len(answers)), key=lambda index: (len(answers[index].token_ids), index))
    known = ActivationStore.read(folder)
    store = ActivationStore(
        folder=folder,
        identity=dict(identity),
        layers=known.layers if known else model().cfg.n_layers,
        positions=tuple(table["position"].values.tolist()),
        examples=tuple(answer.question.id for answer in answers),
        blocks=tuple(batched(order, BLOCK_EXAMPLES)),
    ).create()
    verified = store.verified_blocks()
    cells = table["token"].values
    done = sum(len(store.blocks[block]) for block in verified)

    def gathered(indices: tuple[int, ...]) -> list[torch.Tensor]:
        return [site_activations(model(), [answers[i].token_ids for i in indices], cells[list(indices)], site)]

    with progress("activations", total=len(answers), done=done, unit="examples") as shown:
        for block, indices in enumerate(store.blocks):
            if block in verified:
                continue
            parts: list[torch.Tensor] = []
            for batch in batched(indices, batch_size):
                parts += in_halves_if_need_be(gathered, batch)
                shown.update(len(batch))
            store.write(block, torch.cat(parts, dim=2))
    return store


def site_activations(
    model: HookedModel,
    sequences: Sequence[Sequence[int]],
    cells: Int[np.ndarray, "example position"],
    site: str = "resid_post",
) -> Float[torch.Tensor, "layer position example width"]:
    """A site of every layer at one token of each sequence for each position, from one forward pass.

    Gathered on the model's device and copied to the CPU once. NaN where a cell is `MISSING`.

    Parameters
    ----------
    model
        The model.
    sequences
        Tokens, of any lengths.
    cells
        For each sequence and position an index into its tokens, or `MISSING`.
    site
        One of `interp.sites.SITES`, or a block's hook by TransformerLens's name. What has more than one axis for a
        token (``head_z``: head and d_head) is laid out in a row.

    Raises
    ------
    InputError
        If the model has no such site.
    """
    device = model.cfg.device
    lengths = [len(sequence) for sequence in sequences]
    tokens = torch.zeros(len(sequences), max(lengths), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        tokens[row, : lengths[row]] = torch.tensor(sequence)
    index = torch.from_numpy(np.where(cells == MISSING, 0, cells)).to(device)
    rows = torch.arange(len(sequences), device=device)[:, None]
    layers: list[Float[torch.Tensor, "example position width"]] = []
    run_until(model, tokens.to(device), {name: _gather_into(layers, rows, index) for name in hook_names(model, site)})
    gathered = torch.stack(_on_one_device(layers)).cpu()
    gathered[:, torch.from_numpy(cells == MISSING)] = float("nan")
    return rearrange(gathered, "layer example position width -> layer position example width").contiguous()


def _gather_into(layers: list[torch.Tensor], rows: torch.Tensor, index: torch.Tensor) -> Any:
    def gather(activation: Float[torch.Tensor, "example pos ..."]) -> None:
        # The blocks of a model that is split over devices are on several.
        layers.append(activation[rows.to(activation.device), index.to(activation.device)].flatten(start_dim=2))

    return gather


def _on_one_device(parts: list[torch.Tensor]) -> list[torch.Tensor]:
    return parts if len({part.device for part in parts}) == 1 else [part.cpu() for part in parts]
