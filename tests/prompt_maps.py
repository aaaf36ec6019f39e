"""Maps of prompts made by hand, for what needs no model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain

import numpy as np
import xarray as xr

from interp.results.prompt_map import KIND, MARK, PromptMap


def prompt_map_of(
    cells: Sequence[Sequence[str]],
    tokens: Sequence[str],
    following: Sequence[str],
    *,
    probability: np.ndarray | None = None,
    places: Sequence[int] | None = None,
    n_tokens: int | None = None,
    layers: Sequence[int] | None = None,
    colour: str = "probability",
) -> PromptMap:
    """A map whose tokens are given by their texts; each text is one token."""
    shape = (len(cells), len(tokens))
    written = [*chain.from_iterable(cells), *tokens, *following]
    known = {text: number for number, text in enumerate(dict.fromkeys(written))}
    top = np.array([[known[text] for text in row] for row in cells])
    after = np.array([known[text] for text in following])
    shown = np.arange(shape[1]) if places is None else np.array(places)
    n = int(shown[-1]) if n_tokens is None else n_tokens - 1
    generator = np.random.default_rng(0)
    of_cells = {
        "top_token": top,
        "top_probability": generator.uniform(size=shape) if probability is None else probability,
        "next_rank": np.where(top == after, 0, generator.integers(1, 40_000, shape)),
        "next_probability": generator.uniform(size=shape),
        "entropy": generator.uniform(0, 9, shape),
        "kl": generator.uniform(0, 20, shape),
        "marked": ((top == after) & (shown < n)).astype(np.int8),
    }
    of_columns = {"place": shown, "token": np.array([known[text] for text in tokens]), "next_token": after}
    nothing = np.full(shape, np.nan)
    return PromptMap.of(
        (nothing, nothing, nothing, np.ones(shape, dtype=np.int64)),
        names=(np.arange(shape[0]) if layers is None else np.array(layers), [f"{place} …" for place in shown]),
        kind=KIND,
        metric="",
        scale=(0.0, 1.0),
        extra=of_cells | {name: xr.DataArray(each, dims="position") for name, each in of_columns.items()},
        attributes={
            "lens": "logit",
            "n_tokens": n + 1,
            "tokens": json.dumps({number: text for text, number in known.items()}),
            "mark": MARK,
        },
    ).coloured(colour)


CELLS = [[" and", " (", "\n", "中"], [" the", ".", " a", "\udce4\udcb8"], [" Tower", " is", "\t", " Paris"]]
TOKENS = ["The", " Tower", " is", " in"]
FOLLOWING = [" Tower", " is", " in", " Paris"]
