"""A folder that the tuned-lens package writes, read by the suite: the log-probabilities of both, on the same streams.

Needs the package beside what the suite installs: ``pip install --no-deps tuned-lens==0.2.0``. Translators of random
numbers, which move every layer's output far, are written by its own `TunedLens.save`; of one prompt, every layer's
stream is then read by its `TunedLens`, on Hugging Face's hidden states, and by the suite, on those of the bridge.

    python -m benchmarks.published_lens           about 30 seconds
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import tyro
from transformers import AutoModelForCausalLM

from benchmarks.city_answers import MODEL
from interp.lenses.tuned_lens import SITE, lens_of
from interp.models.loading import load_model
from interp.models.model_sources import ModelSource, resolve_model
from interp.models.output_path import output_logits
from interp.models.sites import hook_names


@dataclass(frozen=True)
class Config:
    """Compare what a published lens says through its own package and through the suite."""

    text: str = "The Eiffel Tower is in the city of"
    """The prompt."""
    deviation: float = 0.02
    """Of the translators' entries."""


def main(config: Config) -> int:
    """Write, read, compare, and end with one JSON object."""
    source = resolve_model(MODEL)
    model = load_model(source, dtype="float32", device="cpu", backend="bridge")
    tokens = model.tokenizer(config.text, return_tensors="pt").input_ids
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        theirs = published_log_p(source, tokens, Path(folder), config.deviation)
        lens = lens_of(f"tuned:{folder}", model, source)
        _, cache = model.run_with_cache(tokens)
        streams = [cache[name][0] for name in hook_names(model, SITE)[:-1]]
        translated = [lens.translated(stream, layer) for layer, stream in enumerate(streams)]
        ours, plain = ([output_logits(model, each).log_softmax(-1) for each in some] for some in (translated, streams))
    apart = max(float((one - other).abs().max()) for one, other in zip(ours, theirs, strict=True))
    moved = min(float((one - other).abs().max()) for one, other in zip(plain, theirs, strict=True))
    print(f"{MODEL} in float32, {len(ours)} layers x {tokens.shape[1]} tokens x {ours[0].shape[-1]} of the vocabulary")
    print(f"  largest difference of a log-probability, tuned-lens against the suite  {apart:.1e}")
    print(f"  by how much the translators move some log-probability in every layer   {moved:.1e}")
    print(json.dumps({"benchmark": "published_lens", "max_abs_diff": apart, "moved": moved}))
    return 0


def published_log_p(source: ModelSource, tokens: torch.Tensor, folder: Path, deviation: float) -> list[torch.Tensor]:
    """Write a lens as tuned-lens does, and what that lens says after every block but the last."""
    from tuned_lens import model_surgery
    from tuned_lens.nn import lenses, unembed

    network: Any = AutoModelForCausalLM.from_pretrained(source.folder, dtype=torch.float32).eval()
    # It asks whether the model is a HookedTransformer, which TransformerLens 4 has no longer.
    with (
        mock.patch.object(model_surgery, "_transformer_lens_available", False),
        mock.patch.object(unembed, "_transformer_lens_available", False),
    ):
        lens = lenses.TunedLens.from_model(network)
    generator = torch.Generator().manual_seed(0)
    for parameter in lens.layer_translators.parameters():
        parameter.copy_(deviation * torch.randn(parameter.shape, generator=generator))
    lens.save(folder)
    hidden = network(tokens, output_hidden_states=True).hidden_states
    return [lens(hidden[index], idx=index)[0].log_softmax(-1) for index in range(1, len(hidden) - 1)]


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config)))
