"""A lens over one prompt: what it says at every layer and token (nostalgebraist 2020).

1. The residual stream after every block, at the wanted tokens.
2. The lens at the last layer is held to the model's own output.
3. Every layer's stream is read as in a question set (`interp.lenses.lens_values`): the top token with its probability,
   rank and probability of the true next token, entropy, and KL from the model's output. The true next token is the
   prompt's own; after its last token it is what the model itself goes on with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int

from interp.activations.batch_activations import batch_activations, hooks_of_sites
from interp.lenses.lens import Lens, lens_logits
from interp.lenses.lens_values import SITE, block_of, block_readings
from interp.models.hooked_model import HookedModel
from interp.models.logit_readings import NOT_FINITE
from interp.models.output_path import require_own_logits
from interp.models.token_labels import token_text, whole_label
from interp.results.prompt_map import DEFAULT_COLOUR, KIND, MARK, NO_NUMBER, PromptMap
from interp.work.batches import batched


def prompt_map(
    model: HookedModel,
    lens: Lens,
    tokens: Sequence[int],
    places: Sequence[int],
    layers: Sequence[int],
) -> PromptMap:
    """What a lens says at some layers and tokens of a prompt.

    Parameters
    ----------
    model
        The model.
    lens
        What a stream is taken for.
    tokens
        The whole prompt; no more than the model reads.
    places
        The tokens that are the columns, by their number from 0, ascending.
    layers
        The rows, ascending.

    Raises
    ------
    InputError
        If the lens at the last layer is not the model's own output, or the model has no such layer.
    """
    # The last layer's streams come last, shown or not: the others are held against them.
    read = [*layers, *({model.cfg.n_layers - 1} - set(layers))]
    hooks = hooks_of_sites(model, [SITE], read)
    streams = batch_activations(model, [list(tokens)], np.array([places]), hooks)[SITE][:, :, 0]
    own = own_logits(model, lens, tokens, places, streams[-1])
    followed = [*tokens[1:], int(own[-1].argmax())]
    columns = {
        "place": np.array(places),
        "token": np.array([tokens[place] for place in places]),
        "next_token": np.array([followed[place] for place in places]),
    }
    cells = readings(model, lens, read, streams, columns["next_token"])
    shown = {name: each[: len(layers)] for name, each in cells.items()}
    # After the last token the prompt has no next one to be right about.
    known = columns["place"] < len(tokens) - 1
    shown["marked"] = ((shown["top_token"] == columns["next_token"]) & known).astype(np.int8)
    attributes: dict[str, str | int] = {"lens": lens.name, "n_tokens": len(tokens)}
    return assembled(model.tokenizer, layers, shown, columns, attributes).coloured(DEFAULT_COLOUR)


def own_logits(
    model: HookedModel,
    lens: Lens,
    tokens: Sequence[int],
    places: Sequence[int],
    streams: Float[torch.Tensor, "column d_model"],
) -> Float[torch.Tensor, "column vocab"]:
    """The model's own logits at some tokens, to which the lens is held that reads the last block's streams."""
    with torch.inference_mode():
        own: torch.Tensor = model(torch.tensor([list(tokens)], device=model.cfg.device))[0, list(places)]
        require_own_logits(lens_logits(model, lens, streams.to(own.device), model.cfg.n_layers - 1), own)
    return own


def readings(
    model: HookedModel,
    lens: Lens,
    layers: Sequence[int],
    streams: Float[torch.Tensor, "layer column d_model"],
    following: Int[np.ndarray, " column"],
) -> dict[str, np.ndarray]:
    """What the lens says of cells, by the names of `interp.results.prompt_map.OF_CELLS`."""
    blocks: list[dict[str, np.ndarray]] = []
    for part in batched(range(len(following)), block_of(model)):
        columns = slice(part[0], part[-1] + 1)
        found = block_readings(model, lens, layers, streams[:, columns], torch.from_numpy(following[None, columns]))
        blocks.append(
            {
                "top_token": found["top"],
                "top_probability": np.exp(found["top_log_probability"]),
                "next_rank": found["rank"][0],
                "next_probability": np.exp(found["log_probability"][0]),
                "entropy": found["entropy"],
                "kl": found["divergence"],
            }
        )
    return {name: np.concatenate([block[name] for block in blocks], axis=1) for name in blocks[0]}


def assembled(
    tokenizer: Any,
    layers: Sequence[int],
    cells: Mapping[str, np.ndarray],
    columns: Mapping[str, np.ndarray],
    attributes: Mapping[str, str | int],
) -> PromptMap:
    """The map of what was read, with the texts of its tokens, before it is coloured."""
    shown = np.unique([*cells["top_token"].flat, *columns["token"], *columns["next_token"]]).tolist()
    texts = {token: token_text(tokenizer, token) if token != NOT_FINITE else NO_NUMBER for token in shown}
    named = zip(columns["place"].tolist(), columns["token"].tolist(), strict=True)
    nothing = np.full(cells["top_token"].shape, np.nan)
    return PromptMap.of(
        (nothing, nothing, nothing, np.ones(nothing.shape, dtype=np.int64)),
        names=(layers, [f"{place} {whole_label(token, texts[token])}" for place, token in named]),
        kind=KIND,
        metric="",
        scale=(0.0, 1.0),
        extra=dict(cells) | {name: xr.DataArray(each, dims="position") for name, each in columns.items()},
        attributes=dict(attributes) | {"tokens": json.dumps(texts), "mark": MARK},
    )
