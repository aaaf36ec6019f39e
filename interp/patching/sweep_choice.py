"""Which sweep a model is patched by: the wavefront, or, where that cannot hold, the plain sweep.

What a family's blocks are given besides the stream is not known of every family. Before the first sweep some cells are
patched both ways, once for each model and site: in as many rows as the model has heads, so that what a block is given
for each head is not taken for what it is given for each row.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from interp.activations.batch_activations import site_activations
from interp.errors import InputError, first_line
from interp.models.hooked_model import HookedModel, takes_prefixes
from interp.models.output_path import TOLERANCES, largest_difference, output_logits
from interp.patching.patches import Job, Run, Target, Unit
from interp.patching.plain_patching import plain_patches
from interp.patching.recordings import recorded
from interp.patching.wavefront import wavefront

LENGTHS = (7, 6)
"""Of the runs that are patched both ways."""
PLACES = (2, 3, 4)
"""Where they are patched."""
_WHY_PLAIN: WeakKeyDictionary[Any, dict[str, str | None]] = WeakKeyDictionary()
"""What is found out once for each model and site."""


def takes_wavefronts(model: HookedModel, site: str = "resid_post") -> bool:
    """Whether a site is patched in a wavefront: if the blocks can be entered, and it gives what plain patches give."""
    return why_plain(model, site) is None


def why_plain(model: HookedModel, site: str = "resid_post") -> str | None:
    """Why a site of a model is patched by a forward pass for every cell; None if it is patched in a wavefront."""
    found = _WHY_PLAIN.setdefault(model, {})
    if site not in found:
        found[site] = _why_not_entered(model) or _why_not_the_same(model, site)
    return found[site]


def _why_not_entered(model: HookedModel) -> str | None:
    """Why blocks cannot be entered with frozen keys and values, and more rows than came out of the one before."""
    if not hasattr(model, "original_model"):
        return "the blocks of a HookedTransformer cannot be entered"
    if not takes_prefixes(model) or not hasattr(model, "blocks"):
        return "not all of its blocks have keys and values"
    config: Any = model.original_model.config
    if config.model_type == "bloom" or getattr(config, "alibi", False):
        return "it is told places by biases of all heads of all rows (ALiBi)"
    return None


def _why_not_the_same(model: HookedModel, site: str) -> str | None:
    """Why a wavefront over a few cells does not give what plain patches give; None if it does."""
    try:
        difference = _difference(model, site)
    except InputError:  # What no sweep can patch.
        raise
    except Exception as error:
        # Whatever a family's blocks raise at what they do not expect; the plain sweep does not ask it of them.
        return f"a wavefront over it fails ({first_line(error)})"
    tolerance = TOLERANCES[next(iter(model.original_model.parameters())).dtype]  # type: ignore[attr-defined]
    if difference <= tolerance:
        return None
    return f"a wavefront over it is off by {difference:.2g} in log-probability, where rounding explains {tolerance:g}"


def _difference(model: HookedModel, site: str) -> float:
    """By how much log-probabilities of some cells differ between a wavefront and plain patches, at most."""
    drawn = torch.randint(model.cfg.d_vocab, (3, max(LENGTHS)), generator=torch.Generator().manual_seed(0)).tolist()
    *texts, donor = (tuple(tokens) for tokens in drawn)
    runs = [Run(text[:length], (Target(length - 1, 0),)) for text, length in zip(texts, LENGTHS, strict=True)]
    receivers = recorded(model, runs, with_cache=True)
    vectors = site_activations(model, [donor], np.array([PLACES]), site)[:, :, 0]
    jobs = [
        Job(number % len(runs), PLACES[number % len(PLACES)], vectors[:, number % len(PLACES)])
        for number in range(model.cfg.n_heads)
    ]
    layers = sorted({0, model.cfg.n_layers // 2})
    given = (model, site, [Unit(layer, layer) for layer in layers], receivers, jobs)
    streams = wavefront(*given), plain_patches(*given, token_budget=len(layers) * len(jobs) * max(LENGTHS))
    with torch.inference_mode():
        ours, plain = (output_logits(model, stream.flatten(0, 2)) for stream in streams)
    return largest_difference(ours, plain)
