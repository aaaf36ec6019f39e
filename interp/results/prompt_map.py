"""The map of one prompt: what a lens says at every layer and token, to be read cell by cell."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from interp.errors import unknown_name
from interp.results.heatmap import Heatmap
from interp.results.scales import Scale, log_scale, share_scale

KIND = "prompt-lens"
MARK = "right about the next token"
NO_NUMBER = "NaN"
"""In place of the top token's text, where what the lens says is no number."""


class Colour(NamedTuple):
    """What the colours of the cells say."""

    metric: str
    value: Callable[[xr.Dataset], xr.DataArray]
    scale: Callable[[Float[np.ndarray, " cell"]], Scale]
    colours: str | None = None
    """A matplotlib colour map, where it is not the usual one."""


def _from_one(ranks: xr.DataArray) -> xr.DataArray:
    return ranks.where(ranks >= 0) + 1.0


def _scale_from_zero(values: Float[np.ndarray, " cell"]) -> Scale:
    return Scale(0.0, max(float(np.ceil(values.max(initial=0.0))), 1.0))


COLOURS = {
    "probability": Colour("probability of the top token", lambda data: data["top_probability"], share_scale),
    # From 1, as in the maps of question sets: dark where the token is high up.
    "rank": Colour("rank of the true next token", lambda data: _from_one(data["next_rank"]), log_scale, "Blues_r"),
    "entropy": Colour("entropy, nats", lambda data: data["entropy"], _scale_from_zero),
    "kl": Colour("KL from the model's output, nats", lambda data: data["kl"], _scale_from_zero),
}
DEFAULT_COLOUR = "probability"
OF_CELLS = ("top_token", "top_probability", "next_rank", "next_probability", "entropy", "kl", "marked")
OF_TOKENS = ("place", "token", "next_token")
OF_COLOURS = ("metric", "scale_low", "scale_high", "scale_kind", "centre", "colour", "colours")
"""Attributes that another colour does not keep."""


@dataclass(frozen=True)
class PromptMap(Heatmap):
    """A `Heatmap` of one prompt: its columns are tokens, its value is what the cells are coloured by.

    Variables of cells: ``top_token``, the most probable token, and ``top_probability``; ``next_rank`` (0 for the most
    probable one) and ``next_probability`` of the true next token; ``entropy`` and ``kl``, KL(the model's output ‖ the
    lens), in nats; ``marked``, where the top token is the true next one, which the prompt's last token does not have.
    Variables of columns: ``place`` in the prompt, ``token`` and ``next_token``, which at the prompt's last token is
    what the model itself says. Attributes: ``lens``; ``tokens``, the texts of all of these tokens as
    `interp.models.token_labels.token_text` gives them, as JSON; ``n_tokens`` of the prompt; ``colour``, one of
    `COLOURS`.
    """

    noun: ClassVar[str] = "map of a prompt"

    def _other_problems(self) -> list[str]:
        problems = [f"no variable {name!r}" for name in (*OF_CELLS, *OF_TOKENS) if name not in self.data]
        problems += [f"no attribute {name!r}" for name in ("lens", "tokens", "n_tokens") if name not in self.data.attrs]
        return [*super()._other_problems(), *problems]

    @property
    def texts(self) -> dict[int, str]:
        """The texts of the tokens of the cells and columns, by token."""
        known = {int(token): str(text) for token, text in json.loads(self.data.attrs["tokens"]).items()}
        shown = {int(token) for name in ("top_token", "token", "next_token") for token in self.data[name].values.flat}
        return {token: known[token] for token in sorted(shown)}

    @property
    def n_tokens(self) -> int:
        """How many tokens the whole prompt has."""
        return int(self.data.attrs["n_tokens"])

    @property
    def places(self) -> list[int]:
        """The numbers of the columns' tokens in the prompt, from 0."""
        return [int(place) for place in self.data["place"].values]

    @property
    def n_followed(self) -> int:
        """How many of the columns are of tokens that the prompt has a next one to: all but its last token's."""
        return sum(place < self.n_tokens - 1 for place in self.places)

    @property
    def facts(self) -> list[str]:
        """What a picture of it says beside its cells: the lens, which tokens, and what is not the prompt's."""
        places = self.places
        facts = [f"{self.data.attrs['lens']} lens"]
        if len(places) < self.n_tokens:
            steps = set(np.diff(places).tolist())
            every = f", one of every {min(steps)}" if steps and min(steps) > 1 else ""
            facts.append(f"tokens {places[0]} to {places[-1]} of 0 to {self.n_tokens - 1}{every}")
        if places[-1] == self.n_tokens - 1:
            facts.append("after the last token: what the model goes on with, not counted")
        if (self.data["top_token"] < 0).any():
            facts.append(f"{NO_NUMBER}: what the lens says is no number")
        return facts

    def columns(self, first: int, stop: int) -> PromptMap:
        """Some of the columns."""
        return PromptMap(self.data.isel(position=slice(first, stop)))

    def coloured(self, colour: str) -> PromptMap:
        """The same, coloured by one of `COLOURS`.

        Raises
        ------
        InputError
            If that is not one of them.
        """
        if colour not in COLOURS:
            raise unknown_name("colour", colour, COLOURS)
        metric, value_of, scale_of, colours = COLOURS[colour]
        value = value_of(self.data).astype(np.float64)
        data = self.data.assign(value=value)
        data.attrs = {name: each for name, each in self.data.attrs.items() if name not in OF_COLOURS}
        data.attrs |= scale_of(value.values[np.isfinite(value.values)]).attributes
        data.attrs |= {"metric": metric, "colour": colour} | ({} if colours is None else {"colours": colours})
        return PromptMap(data)
