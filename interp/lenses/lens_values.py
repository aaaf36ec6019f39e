"""A lens over a question set: what every stored cell of the residual stream says, through the model's own output path.

1. The streams of one position are read from the store, for every layer.
2. Row by row, the last layer's give the model's own distribution, which every other layer's is held against.
3. Every layer's are translated by the lens, normed, unembedded and reduced to a few numbers
   (`interp.models.logit_readings`).

No second pass over the model is needed. Two positions that are the same token of an answer are read once. A position
that is finished is on disk, from where an interrupted run goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int

from interp.activations.batch_activations import batch_activations, hooks_of_sites
from interp.activations.store import Cells
from interp.errors import InputError
from interp.examples import Answer
from interp.lenses.lens import Lens, lens_logits
from interp.lenses.lens_targets import TARGETS
from interp.models.hooked_model import HookedModel
from interp.models.logit_readings import UNASKED, Output, Readings, output_of, readings_of
from interp.models.output_path import TOLERANCES, largest_difference, output_logits, require_own_logits
from interp.positions import MISSING
from interp.work.files import write_netcdf
from interp.work.progress import progress

log = logging.getLogger(__name__)

SITE = "resid_post"
BLOCK_BYTES = {"cuda": 512 * 2**20}
CPU_BLOCK_BYTES = 64 * 2**20
"""How large the logits of the rows that are unembedded at once may be, in float32: for fewer the unembedding is read
from memory as often as it is used."""
CACHE_BYTES = 6 * 2**20
"""How large those of the rows that are then reduced at once may be on a CPU: what stays in its cache."""
CHECKED = 4
"""So many answers are run through the model before a sweep, to hold the lens at the last layer to its output."""
OF_CELLS = ("entropy", "divergence", "top", "top_log_probability")
"""What there is of a cell whatever token is asked about."""


def lens_values(
    model: HookedModel,
    lens: Lens,
    store: Cells,
    tokens: Int[np.ndarray, "example position"],
    targets: Int[np.ndarray, "target example position"],
    *,
    parts: Path | None = None,
) -> xr.Dataset:
    """What a lens reads off every cell of every example.

    Parameters
    ----------
    model
        Whose output path is gone.
    lens
        What a stream is taken for.
    store
        Streams after the blocks (``resid_post``); the last block's are among them.
    tokens
        The place of each position in each example's tokens, `MISSING` where it has none.
    targets
        The tokens that are asked about, as `interp.lenses.lens_targets.target_tokens` gives them.
    parts
        Receives a file for every position that is finished, and is the folder of this identity; None keeps none.

    Returns
    -------
    xarray.Dataset
        ``log_probability``, ``rank`` on ``(target, layer, position, example)``, ``entropy``, ``divergence``, ``top`` on
        ``(layer, position, example)``, as in `Readings`; NaN and `UNASKED` where there is nothing.

    Raises
    ------
    InputError
        If the store is not of such streams.
    """
    require_streams(model, store)
    first = first_columns(tokens)
    columns: list[xr.Dataset] = []
    with progress(f"{lens.name} lens", total=len(store.positions), unit="positions") as shown:
        for number in range(len(store.positions)):
            path = None if parts is None else parts / f"position-{number:02d}.nc"
            column = finished(path)
            if column is None:
                rows = (first[:, number] == number) & (tokens[:, number] != MISSING)
                column = _with_copies(column_values(model, lens, store, number, rows, targets), columns, first, number)
                if path is not None:
                    write_netcdf(path, column)
            columns.append(column)
            shown.update()
    return xr.concat(columns, dim="position", join="exact")


def require_streams(model: HookedModel, store: Cells) -> None:
    """Raise an `InputError` if a store does not have the model's streams after its last block."""
    last = model.cfg.n_layers - 1
    if store.layers[-1] != last:
        raise InputError(
            f"a lens is held against the model's output, and the store ends at layer {store.layers[-1]}, not {last}; "
            "take --layers with the last one"
        )
    width = store.cell(last, store.positions[0]).shape[1]
    if width != model.cfg.d_model:
        raise InputError(
            f"the store's activations are {width} wide, the model's residual stream {model.cfg.d_model}; a lens reads "
            "resid_post of the same model"
        )


def require_own_output(
    model: HookedModel, answers: Sequence[Answer], tokens: Int[np.ndarray, "example position"], store: Cells
) -> None:
    """Hold the lens at the last layer to the model's own output, for some of the answers.

    Raises
    ------
    InputError
        If the model's output path has a part that is not known here, or the store is not of this model.
    """
    require_streams(model, store)
    last = model.cfg.n_layers - 1
    with_some = np.flatnonzero((tokens != MISSING).any(1)).tolist()
    for row in with_some[:: max(1, len(with_some) // CHECKED)]:
        known = np.flatnonzero(tokens[row] != MISSING)
        ids = list(answers[row].token_ids)
        fresh = batch_activations(model, [ids], tokens[row : row + 1, known], hooks_of_sites(model, [SITE], [last]))
        stored = torch.stack([store.cell(last, store.positions[column])[row] for column in known])
        with torch.inference_mode():
            own = model(torch.tensor([ids], device=model.cfg.device))[0, tokens[row, known]]
            require_own_logits(output_logits(model, fresh[SITE][0, :, 0].to(own.device)), own)
            if not largest_difference(output_logits(model, stored.to(own.device)), own) <= TOLERANCES[own.dtype]:
                raise InputError(
                    f"the stored activations of {answers[row].question.id} do not give this model's output; they are "
                    "of another model or other answers: remove the store, and capture again"
                )


def first_columns(tokens: Int[np.ndarray, "example position"]) -> Int[np.ndarray, "example position"]:
    """For each position the first one of the same example that is the same token."""
    same = tokens[:, :, None] == tokens[:, None, :]
    return same.argmax(2)


def column_values(
    model: HookedModel,
    lens: Lens,
    store: Cells,
    number: int,
    rows: Bool[np.ndarray, " example"],
    targets: Int[np.ndarray, "target example position"],
) -> xr.Dataset:
    """What a lens reads off one position of some of the examples, in every layer."""
    position, chosen = store.positions[number], torch.from_numpy(np.flatnonzero(rows))
    streams = torch.stack([store.cell(layer, position)[chosen] for layer in store.layers])
    asked = torch.from_numpy(targets[:, rows, number])
    values = _nothing(store, position)
    block = block_of(model)
    for start in range(0, len(chosen), block):
        part = slice(start, start + block)
        of_layers = block_readings(model, lens, store.layers, streams[:, part], asked[:, part])
        # From (layer, [target,] row) to (target, layer, position, example) or (layer, position, example).
        for name in values.data_vars:
            values[name].values[..., 0, chosen[part].numpy()] = of_layers[str(name)]
    return values


def block_readings(
    model: HookedModel,
    lens: Lens,
    layers: Sequence[int],
    streams: Float[torch.Tensor, "layer row d_model"],
    targets: Int[torch.Tensor, "target row"],
) -> dict[str, np.ndarray]:
    """What a lens reads off a few rows in every layer, by name: ``(target, layer, row)`` or ``(layer, row)``."""
    on_device = streams.to(model.cfg.device)
    with torch.inference_mode():
        output = output_of(output_logits(model, on_device[-1]))
        asked = targets.to(output.entropy.device)  # Where a model that is split over devices has its unembedding.
        readings = [
            _readings_in_cache(lens_logits(model, lens, stream, layer), output, asked)
            for layer, stream in zip(layers, on_device, strict=True)
        ]
    found = {name: torch.stack([getattr(of_layer, name) for of_layer in readings]) for name in Readings._fields}
    return {name: (array if name in OF_CELLS else array.transpose(0, 1)).cpu().numpy() for name, array in found.items()}


def _readings_in_cache(
    logits: Float[torch.Tensor, "row vocab"], output: Output, targets: Int[torch.Tensor, "target row"]
) -> Readings:
    """The readings of some rows; on a CPU of a few of them at a time, since every row is gone over several times."""
    n_rows = len(logits) if logits.device.type == "cuda" else max(1, CACHE_BYTES // (4 * logits.shape[1]))
    slices = [slice(start, start + n_rows) for start in range(0, len(logits), n_rows)]
    parts = [
        readings_of(logits[rows], Output(output.probabilities[rows], output.entropy[rows]), targets[:, rows])
        for rows in slices
    ]
    return Readings(*(torch.cat(values, dim=-1) for values in zip(*parts, strict=True)))


def block_of(model: HookedModel) -> int:
    """How many rows are unembedded at once."""
    n_bytes = BLOCK_BYTES.get(torch.device(model.cfg.device).type, CPU_BLOCK_BYTES)
    return max(1, n_bytes // (4 * int(model.cfg.d_vocab)))


def finished(path: Path | None) -> xr.Dataset | None:
    """Values that an earlier run finished; None if there are none, or they cannot be read."""
    if path is None or not path.is_file():
        return None
    try:
        # Without what says how it lay in its file: a file that it is written to is to be the same bytes.
        return xr.load_dataset(path, engine="h5netcdf").drop_encoding()
    except (OSError, ValueError, KeyError):
        log.warning("%s is damaged, and is made again", path)
        return None


def _nothing(store: Cells, position: str) -> xr.Dataset:
    """The values of one position before anything is read."""
    shape = (len(store.layers), 1, len(store.examples))
    dims = ("layer", "position", "example")
    asked = ("target", *dims)
    return xr.Dataset(
        {
            "log_probability": (asked, np.full((len(TARGETS), *shape), np.nan, dtype=np.float32)),
            "rank": (asked, np.full((len(TARGETS), *shape), UNASKED, dtype=np.int32)),
            "entropy": (dims, np.full(shape, np.nan, dtype=np.float32)),
            "divergence": (dims, np.full(shape, np.nan, dtype=np.float32)),
            "top": (dims, np.full(shape, UNASKED, dtype=np.int32)),
        },
        coords={
            "target": list(TARGETS),
            "layer": list(store.layers),
            "position": [position],
            "example": list(store.examples),
        },
    )


def _with_copies(
    column: xr.Dataset, before: Sequence[xr.Dataset], first: Int[np.ndarray, "example position"], number: int
) -> xr.Dataset:
    """A position with what is read at the same token under the name of an earlier one."""
    for earlier, values in enumerate(before):
        rows = first[:, number] == earlier
        for name in column.data_vars:
            column[name].values[..., 0, rows] = values[name].values[..., 0, rows]
    return column
