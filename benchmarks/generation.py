"""Answers, greedy and drawn, against TransformerLens's `generate`: the same tokens, and how fast.

Prompts are those of SmolLM2-135M's city questions. In turn they are continued as the suite continues them, and by the
model's `generate` in batches of one length, up to the same end tokens. Every greedy continuation is compared; of drawn
ones, which are of other random numbers, how many tokens they have.

    python -m benchmarks.generation      about 15 minutes on 2 cores
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import tyro

from benchmarks.city_answers import alternating_seconds, city_answers, device_name, median_ratio, spread
from interp.answers.generation import Respondent
from interp.models.devices import resolve_device
from interp.models.hooked_model import HookedModel, Sampling, stop_tokens
from interp.models.loading import load_model
from interp.work.batches import batched

OURS, USUAL = "the suite", "TransformerLens's generate"
KINDS = {"greedy": None, "drawn": Sampling(1.0, 0)}
TOKENS = 48
"""At most, as for the cities."""
Prompts = Sequence[tuple[int, ...]]
Words = dict[int, tuple[int, ...]]
"""What follows each prompt, by its number."""


@dataclass(frozen=True)
class Config:
    """Compare answers with TransformerLens's."""

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
    prompts = [answer.token_ids[: answer.n_prompt] for answer in answers]
    ends = stop_tokens(model)
    said: dict[tuple[str, str], Words] = {}

    def asked(kind: str, name: str) -> None:
        continued = _continued if name == OURS else _generated
        said[kind, name] = continued(model, prompts, ends, config.batch_size, KINDS[kind])

    print(f"{source.name} in {config.dtype} on {device_name(device)}", end=", ")
    print(f"{len(prompts)} prompts of {len(set(map(len, prompts)))} lengths")
    ratios = {}
    for kind in KINDS:
        runs = {name: partial(asked, kind, name) for name in (OURS, USUAL)}
        times = alternating_seconds(runs, config.repeats)
        for name, seconds in times.items():
            n_tokens = sum(map(len, said[kind, name].values()))
            print(f"{kind:7} {name:30} {spread(seconds)}   {n_tokens} tokens", flush=True)
        ratios[kind] = round(median_ratio(times[USUAL], times[OURS]), 2)
    n_same = sum(said["greedy", OURS][row] == words for row, words in said["greedy", USUAL].items())
    print(f"the same tokens: {n_same} of {len(answers)}")
    summary = {
        "benchmark": "generation",
        "ratio": ratios["greedy"],
        "ratio_drawn": ratios["drawn"],
        "same": n_same,
        "n": len(answers),
        "dtype": config.dtype,
        "device": device_name(device),
    }
    print(json.dumps(summary))
    return 0


def _continued(
    model: HookedModel, prompts: Prompts, ends: list[int], batch_size: int, sampling: Sampling | None
) -> Words:
    with tempfile.TemporaryDirectory() as journals:
        words = Respondent(model, batch_size, Path(journals)).continuations(
            "answers",
            {f"{row}": prompt for row, prompt in enumerate(prompts)},
            ends=ends,
            max_new_tokens=TOKENS,
            sampling=sampling,
        )
    return {int(row): tokens for row, tokens in words.items()}


def _generated(
    model: HookedModel, prompts: Prompts, ends: list[int], batch_size: int, sampling: Sampling | None
) -> Words:
    words: Words = {}
    for length in sorted(set(map(len, prompts))):
        rows = [row for row, prompt in enumerate(prompts) if len(prompt) == length]
        for batch in batched(rows, batch_size):
            tokens = torch.tensor([prompts[row] for row in batch], device=model.cfg.device)
            with torch.inference_mode():
                output = model.generate(
                    tokens,
                    max_new_tokens=TOKENS,
                    do_sample=sampling is not None,
                    temperature=1.0 if sampling is None else sampling.temperature,
                    eos_token_id=ends,
                    return_type="tokens",
                    verbose=False,
                )
            for row, tokens_of_row in zip(batch, output[:, length:].tolist(), strict=True):
                n = next((i + 1 for i, token in enumerate(tokens_of_row) if token in ends), TOKENS)
                words[row] = tuple(tokens_of_row[:n])
    return words


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
