"""Greedy answers against TransformerLens's `generate`: the same tokens, and how fast.

Prompts are those of SmolLM2-135M's city questions, in batches of one length as the suite asks them. In turn, each batch
is continued by `interp.continuations.continued`, and by the model's `generate` of the same batch, up to the same end
tokens. What is compared is every continuation.

    python -m benchmarks.generation      about 12 minutes on 2 cores
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import tyro

from benchmarks.city_answers import alternating_seconds, city_answers, device_name, median_ratio, spread
from interp.batches import batched
from interp.continuations import continued
from interp.devices import resolve_device
from interp.models import HookedModel, load_model, stop_tokens

OURS, USUAL = "the suite", "TransformerLens's generate"
TOKENS = 48
"""At most, as for the cities."""
Words = list[tuple[int, ...]]


@dataclass(frozen=True)
class Config:
    """Compare greedy answers with TransformerLens's."""

    n: int = 128
    """Questions."""
    batch_size: int = 128
    """Prompts in a batch, at most."""
    repeats: int = 3
    """Turns."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: str = "auto"
    runs: Path = Path("runs")
    """Where the answers are, or are to be."""


def main(config: Config) -> int:
    """Compare, print a table, and one JSON object as the last line."""
    source, answers = city_answers(config.runs, config.n)
    device = resolve_device(config.device)
    model = load_model(source, dtype=config.dtype, device=device, backend="bridge")
    by_length: dict[int, list[tuple[int, ...]]] = {}
    for answer in answers:
        by_length.setdefault(answer.n_prompt, []).append(answer.token_ids[: answer.n_prompt])
    batches = [batch for _, prompts in sorted(by_length.items()) for batch in batched(prompts, config.batch_size)]
    ends = stop_tokens(model)
    said: dict[str, Words] = {}

    def asked(name: str) -> None:
        words = _continued if name == OURS else _generated
        said[name] = [row for batch in batches for row in words(model, batch, ends)]

    times = alternating_seconds({name: partial(asked, name) for name in (OURS, USUAL)}, config.repeats)
    n_same = sum(ours == theirs for ours, theirs in zip(said[OURS], said[USUAL], strict=True))
    print(f"{source.name} in {config.dtype} on {device_name(device)}, {len(answers)} prompts in {len(batches)} batches")
    for name, seconds in times.items():
        print(f"{name:30} {spread(seconds)}")
    print(f"the same tokens: {n_same} of {len(answers)}")
    summary = {
        "benchmark": "generation",
        "ratio": round(median_ratio(times[USUAL], times[OURS]), 2),
        "same": n_same,
        "n": len(answers),
        "dtype": config.dtype,
        "device": device_name(device),
    }
    print(json.dumps(summary))
    return 0


def _continued(model: HookedModel, prompts: Sequence[tuple[int, ...]], ends: list[int]) -> Words:
    return continued(model, prompts, max_new_tokens=TOKENS, ends=ends)


def _generated(model: HookedModel, prompts: Sequence[tuple[int, ...]], ends: list[int]) -> Words:
    tokens = torch.tensor(prompts, device=model.cfg.device)
    with torch.inference_mode():
        output = model.generate(
            tokens, max_new_tokens=TOKENS, do_sample=False, eos_token_id=ends, return_type="tokens", verbose=False
        )
    words: list[list[int]] = output[:, tokens.shape[1] :].tolist()
    until = [next((i + 1 for i, token in enumerate(row) if token in ends), TOKENS) for row in words]
    return [tuple(row[:n]) for row, n in zip(words, until, strict=True)]


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
