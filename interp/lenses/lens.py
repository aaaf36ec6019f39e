"""Lenses: what a residual stream within the model is taken for, before the model's own output path reads it.

==================  =================================================================================================
lens                the stream after block l is read as
==================  =================================================================================================
logit lens          the stream after the last block (nostalgebraist 2020)
tuned lens          an affine function of it, learned for each l, that foresees what the blocks above will do to it
                    (Belrose et al. 2023, arXiv 2303.08112)
==================  =================================================================================================

Either goes on through the final norm, the unembedding and whatever else the family does to its logits, and at the last
block is the model's own output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float

from interp.models.hooked_model import HookedModel
from interp.models.output_path import output_logits


@runtime_checkable
class Lens(Protocol):
    """Takes streams within the model to where its last block leaves off."""

    @property
    def name(self) -> str:
        """What the lens goes by in names of files and on figures."""

    def translated(self, stream: Float[torch.Tensor, "row d_model"], layer: int) -> Float[torch.Tensor, "row d_model"]:
        """What a stream after block `layer` is taken for; the last block's is left as it is."""


@dataclass(frozen=True)
class LogitLens:
    """Reads every stream as if it were the last one."""

    name: str = "logit"

    def translated(self, stream: Float[torch.Tensor, "row d_model"], layer: int) -> Float[torch.Tensor, "row d_model"]:  # noqa: ARG002
        """The stream as it is."""
        return stream


def lens_logits(
    model: HookedModel, lens: Lens, stream: Float[torch.Tensor, "row d_model"], layer: int
) -> Float[torch.Tensor, "row vocab"]:
    """The logits that a lens reads off streams after block `layer`."""
    return output_logits(model, lens.translated(stream, layer))
