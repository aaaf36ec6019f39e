"""Exact activation patching in a wavefront, against a forward pass for every cell: time, passes, and the same values.

    python -m benchmarks.patching                 about 35 minutes on 2 cores
    python -m benchmarks.patching --part pair     one pair, all layers and tokens, against TransformerLens's own sweep

1. ``pair``: two city questions in a chat turn, every layer and token, in turn with
   `transformer_lens.patching.get_act_patch_resid_pre`: seconds, forward passes, block-tokens (tokens times blocks), and
   the least that exact patches need of these.
2. ``cities``: pairs of city questions, the columns of the probe map that precede the answer, in the model's own words
   and after one lead for all; the plain sweep (each cell its own forward pass with one hook) runs on a sample of cells.
3. ``scaling``: time against layers, tokens after the first difference, and pairs, with the exponents.
4. ``identities``: the largest error of each identity that exact patching has, on every tiny family and on SmolLM2.

The last line is JSON.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import numpy as np
import torch
import tyro
from jaxtyping import Float

from analyses.parts import patch_pairs, patching
from benchmarks.city_answers import (
    MODEL,
    all_done,
    alternating_seconds,
    city_answers,
    device_name,
    exponent,
    median_ratio,
    spread,
)
from interp.activations.batch_activations import site_activations
from interp.answers.prompts import rendered
from interp.models.devices import resolve_device
from interp.models.hooked_model import HookedModel
from interp.models.loading import load_model
from interp.models.tokens import encoded_text
from interp.patching.attribution_patching import attributed_effects
from interp.patching.interventions import Intervention
from interp.patching.pair_patching import patched_pairs
from interp.patching.pair_runs import Candidate
from interp.patching.patched_pairs import PatchedPairs
from interp.patching.patches import Job, Run, Target, Unit, units_of
from interp.patching.recordings import Recording, recorded
from interp.patching.sweep import patched_readings
from interp.patching.sweep_choice import takes_wavefronts
from interp.patching.text_pairs import TextPair, text_pair

PARTS = ("pair", "cities", "scaling", "identities")
QUESTION = "In which country is the city of {}?"
CITIES = ("Krasnoyarsk", "Ouagadougou")
"""Of as many tokens each."""
COUNTRIES = ("Russia", "Burkina")
READ = (31, 37)
"""The tokens whose logits are compared where identities are checked."""
STRENGTH, SLOPES_SITE = 0.005, "resid_pre"
"""Of the patches whose differences are held to their derivative at 0."""
LEAD = "The city is located in the country of"
BEFORE_ANSWER = "last_q,first_answer,second_answer,exact_answer_before_first"


@dataclass(frozen=True)
class Config:
    """Compare patching in a wavefront with a forward pass for every cell."""

    part: Literal["all", "pair", "cities", "scaling", "identities"] = "all"
    """What to measure."""
    repeats: int = 3
    """Turns."""
    pairs: int = 100
    """Pairs of city questions."""
    sample: int = 60
    """Cells of the pairs that the plain sweep patches in each turn."""
    device: str = "auto"
    """As in interp patch."""
    runs: Path = Path("runs")
    """Where the answers are, or are to be."""


def main(config: Config) -> int:
    """Measure, print, and end with one JSON object."""
    device = resolve_device(config.device)
    model = load_model(MODEL, dtype="float32", device=device, backend="bridge")
    print(f"{MODEL} in float32 on {device_name(device)}")
    found: dict[str, Any] = {"benchmark": "patching", "device": device_name(device)}
    for part, measure in (
        ("pair", one_pair),
        ("cities", city_pairs),
        ("scaling", scaling),
        ("identities", identities),
    ):
        if config.part in ("all", part):
            found |= measure(model, config)
    print(json.dumps(found))
    return 0


def one_pair(model: HookedModel, config: Config) -> dict[str, Any]:
    """One pair, every layer and token, against TransformerLens's own sweep."""
    from transformer_lens import patching as peer

    pair = city_pair(model)
    (read,) = pair.candidate.variants
    first, second = (target.token for target in read.clean.targets)
    clean, corrupt = (torch.tensor([run.tokens], device=model.cfg.device) for run in (read.clean, read.corrupt))
    values: dict[str, Any] = {}

    def ours() -> None:
        patched = patched_pair(model, pair)
        # Cells that are missing, since a patch can do nothing there, have what is read without one.
        values["ours"] = torch.from_numpy(patched.values[0, 0]).nan_to_num(float(patched.corrupt[0, 0]))

    def theirs() -> None:
        with torch.inference_mode():
            _, cache = model.run_with_cache(clean)
            score = lambda logits: logits[0, -1, first] - logits[0, -1, second]  # noqa: E731
            # Its progress bar would run through what is printed here.
            with mock.patch.object(peer, "tqdm", partial(peer.tqdm, disable=True)):
                values["theirs"] = peer.get_act_patch_resid_pre(model, corrupt, cache, score)

    with counted_block_tokens(model) as counts:
        ours()
    times: dict[str, list[float]] = {"ours": [], "TransformerLens": []}
    for _ in range(config.repeats):
        times["ours"].append(seconds_of(ours))
        times["TransformerLens"].append(seconds_of(theirs))
    n_layers, n_tokens = model.cfg.n_layers, clean.shape[1]
    after = n_tokens - int((clean != corrupt).nonzero()[0, 1])
    least = n_layers * (n_layers + 1) // 2 * after * (after + 1) // 2
    difference = float((values["ours"] - values["theirs"].cpu()).abs().max())
    print(f"one pair, {n_layers} layers x {n_tokens} tokens, {after} of them from the first difference on")
    for name, each in times.items():
        print(f"  {name:20}{spread(each)}")
    print(
        f"  block-tokens: ours {counts.tokens:,} in {counts.passes} passes, least {least:,}; TransformerLens", end=" "
    )
    print(f"{n_layers * n_tokens * n_tokens * n_layers:,} in {n_layers * n_tokens:,} passes")
    print(f"  largest difference of the logit difference: {difference:.1e}")
    return {
        "ratio": round(median_ratio(times["TransformerLens"], times["ours"]), 1),
        "max_abs_diff": difference,
        "block_tokens": counts.tokens,
        "passes": counts.passes,
        "least_block_tokens": least,
    }


def city_pairs(model: HookedModel, config: Config) -> dict[str, Any]:
    """Pairs of city questions, against a forward pass for every cell of a sample."""
    own = patching.Config(dtype="float32", runs=config.runs, positions=BEFORE_ANSWER, pairs=config.pairs)
    return {
        f"ratio, {name}": ratio_of_cities(model, config, replace(own, lead=lead), name)
        for name, lead in (("own words", None), ("one lead", LEAD))
    }


def ratio_of_cities(model: HookedModel, config: Config, flags: patching.Config, name: str) -> float:
    """How many times faster the pairs are patched than by a forward pass for every cell."""
    candidates, cells = city_candidates(model, flags)
    units = units_of(range(model.cfg.n_layers), n_layers=model.cfg.n_layers)
    intervention = patching.intervention_of(flags)
    patched: list[PatchedPairs] = []

    def sweep() -> None:
        patched.append(patched_pairs(model, candidates, cells, units, intervention, n=config.pairs))

    ours, plain = [], []
    for turn in range(config.repeats):
        ours.append(seconds_of(sweep))
        plain.append(plain_seconds_a_cell(model, candidates, cells, config.sample, seed=turn))
    n_pairs = len(patched[0].ids)
    n_cells = n_pairs * len(units) * cells[0].shape[1]
    total = [each * n_cells for each in plain]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"{n_pairs} city pairs, {name}: {n_cells:,} cells")
    print(f"  wavefront           {spread(ours)}, {60 * n_pairs / statistics.median(ours):.0f} pairs a minute")
    print(f"  plain, by {config.sample} cells   {spread(total)}")
    print(f"  peak memory of the process so far {peak:,.0f} MB")
    return round(median_ratio(total, ours), 1)


def scaling(model: HookedModel, config: Config) -> dict[str, Any]:
    """Time against layers, tokens after the first difference, and pairs."""
    flags = patching.Config(dtype="float32", runs=config.runs, positions="last_q", lead=LEAD)
    candidates, _ = city_candidates(model, flags)
    n_layers = model.cfg.n_layers
    intervention = replace(patching.intervention_of(flags), only_said=False)

    def seconds(rows: int, behind: int, pairs: int) -> float:
        # A single column, so many tokens before the one that is read.
        chosen, units = candidates[:pairs], units_of(range(n_layers - rows, n_layers), n_layers=n_layers)
        clean, corrupt = (
            np.array([[side.places[0] - behind] for side in sides])
            for sides in ([each.variants[0].clean for each in chosen], [each.variants[0].corrupt for each in chosen])
        )

        def measure() -> PatchedPairs:
            return patched_pairs(model, chosen, (clean, corrupt), units, intervention, n=pairs)

        return statistics.median(alternating_seconds({"": measure}, config.repeats)[""])

    print("one column of patches, seconds")
    found: dict[str, float] = {}
    against: Any = (
        ("layers", (5, 10, 20, 30), lambda size: seconds(size, 15, 16)),
        ("tokens", (2, 4, 8, 16), lambda size: seconds(30, size - 1, 16)),
        ("pairs", (4, 8, 16, 32), lambda size: seconds(30, 15, size)),
    )
    for name, sizes, run in against:
        times = [run(size) for size in sizes]
        slope = exponent(sizes, times)
        told = ", ".join(f"{size}: {each:.2f}" for size, each in zip(sizes, times, strict=True))
        print(f"  against {name:8} {told}; exponent {slope:.2f}")
        found[f"exponent of {name}"] = round(slope, 2)
    return found


def identities(model: HookedModel, config: Config) -> dict[str, Any]:  # noqa: ARG001
    """The largest error of each identity, by model."""
    errors = {MODEL: identity_errors(model)}
    with tempfile.TemporaryDirectory() as folder:
        from tests.tiny_models import CONFIGS, saved_model, trained_tokenizer

        tokenizer = trained_tokenizer()
        for family in CONFIGS:
            source = saved_model(family, tokenizer, Path(folder))
            tiny = load_model(source, dtype="float32", device=str(model.cfg.device), backend="bridge")
            errors[family] = identity_errors(tiny)
    names = list(errors[MODEL])
    print("largest error of each identity, in logits; of recovery, in its own unit; of slopes, of the largest one")
    print(f"{'':14}" + "".join(f"{name:>22}" for name in names))
    for family, each in errors.items():
        print(f"{family:14}" + "".join(f"{each[name]:22.1e}" for name in names))
    return {"identities": {name: max(each[name] for each in errors.values()) for name in names}}


def identity_errors(model: HookedModel) -> dict[str, float]:
    """How far the identities of exact patching are from holding, for two runs that differ in their last two tokens."""
    shared = np.random.default_rng(0).integers(2, 300, size=9).tolist()
    clean, corrupt = (*shared, 7, 11), (*shared, 19, 23)
    end, of = len(clean) - 1, PatchedRuns(model, len(clean) - 1)
    pre, post = (of.scores(site, clean, corrupt, [end - 1, end]) for site in ("resid_pre", "resid_post"))
    noised = of.scores("resid_pre", corrupt, clean, [end - 1, end])
    before, itself = (of.scores("resid_pre", *runs) for runs in ((clean, corrupt, [3, 8]), (corrupt, corrupt, [end])))
    own_clean, own_corrupt = of.own(clean), of.own(corrupt)
    recovered = max(np.abs(before - own_corrupt).max(), abs(post[-1, 1] - own_clean))
    return {
        "layer 0 = swapped": abs(pre[0, 0] - of.own((*shared, clean[-2], corrupt[-1]))),
        "itself = nothing": float(np.abs(itself - own_corrupt).max()),
        "before = nothing": float(np.abs(before - own_corrupt).max()),
        "post[l] = pre[l+1]": float(np.abs(post[:-1] - pre[1:]).max()),
        "last = clean": abs(post[-1, 1] - own_clean),
        "beside = nothing": abs(post[-1, 0] - own_corrupt),
        "denoise = noise rest": float(np.abs(pre - noised[:, ::-1]).max()),
        "recovery 0 and 1": float(recovered / abs(own_clean - own_corrupt)),
        "attribution = slope": of.slope_error(clean, corrupt, [end - 1, end]),
    }


@dataclass(frozen=True)
class PatchedRuns:
    """Runs of one length that are patched in every layer, and read at their end: the difference of two logits."""

    model: HookedModel
    end: int

    @property
    def units(self) -> list[Unit]:
        """Every layer by itself."""
        return units_of(range(self.model.cfg.n_layers), n_layers=self.model.cfg.n_layers)

    def own(self, tokens: Sequence[int]) -> float:
        """What a run gives that nothing is patched in."""
        with torch.inference_mode():
            ids = torch.tensor([list(tokens)], device=self.model.cfg.device)
            logits = self.model(ids, return_type="logits")[0, -1]
        return float(logits[READ[0]] - logits[READ[1]])

    def scores(
        self, site: str, donor: tuple[int, ...], receiver: tuple[int, ...], places: Sequence[int]
    ) -> Float[np.ndarray, "layer place"]:
        """What each patch from a donor's token into the same one of a receiver gives."""
        return self.scores_of(site, self.vectors(site, donor, places), receiver, places)

    def scores_of(
        self,
        site: str,
        vectors: Float[torch.Tensor, "layer place width"],
        receiver: tuple[int, ...],
        places: Sequence[int],
    ) -> Float[np.ndarray, "layer place"]:
        """What each patch of these vectors gives."""
        readings = patched_readings(self.model, site, self.units, self.recorded(receiver), jobs_of(vectors, places))
        return torch.stack([each.logit[:, 0] - each.logit[:, 1] for each in readings], 1).double().cpu().numpy()

    def slope_error(self, donor: tuple[int, ...], receiver: tuple[int, ...], places: Sequence[int]) -> float:
        """By how much attribution patching is off from central differences of weak patches, of the largest of these."""
        own, moved = (self.vectors(SLOPES_SITE, tokens, places) for tokens in (receiver, donor))
        near = [self.scores_of(SLOPES_SITE, own + by * (moved - own), receiver, places) for by in (STRENGTH, -STRENGTH)]
        slopes = (near[0] - near[1]) / (2 * STRENGTH)
        given = self.units, self.recorded(receiver), jobs_of(moved, places), torch.tensor([1.0, -1.0])
        found = attributed_effects(self.model, SLOPES_SITE, *given).numpy().T
        return float(np.abs(found - slopes).max() / np.abs(slopes).max())

    def vectors(
        self, site: str, tokens: tuple[int, ...], places: Sequence[int]
    ) -> Float[torch.Tensor, "layer place width"]:
        """A run's activations at some of its tokens."""
        return site_activations(self.model, [tokens], np.array([list(places)]), site)[:, :, 0]

    def recorded(self, tokens: tuple[int, ...]) -> list[Recording]:
        """The run that is patched."""
        run = Run(tokens, tuple(Target(self.end, token) for token in READ))
        return recorded(self.model, [run], with_cache=takes_wavefronts(self.model))


def jobs_of(vectors: Float[torch.Tensor, "layer place width"], places: Sequence[int]) -> list[Job]:
    """Patches of the first receiver, one for each place."""
    return [Job(0, place, vectors[:, column]) for column, place in enumerate(places)]


def city_pair(model: HookedModel) -> TextPair:
    """Two questions about cities in a chat turn, with names of as many tokens."""

    def tokens(city: str) -> tuple[int, ...]:
        text = rendered(model.tokenizer, [], QUESTION.format(city))
        return encoded_text(model.tokenizer, text, add_special_tokens=False)[0]

    first, second = (encoded_text(model.tokenizer, name, add_special_tokens=False)[0][0] for name in COUNTRIES)
    return text_pair(model, tokens(CITIES[0]), tokens(CITIES[1]), (first, second))


def patched_pair(model: HookedModel, pair: TextPair) -> PatchedPairs:
    """Every layer and token of a pair of texts."""
    units = units_of(range(model.cfg.n_layers), n_layers=model.cfg.n_layers)
    intervention = Intervention(site="resid_pre", margin=-np.inf, only_said=False)
    return patched_pairs(model, [pair.candidate], (pair.clean_cells, pair.corrupt_cells), units, intervention, n=1)


def city_candidates(
    model: HookedModel, flags: patching.Config
) -> tuple[list[Candidate], tuple[np.ndarray, np.ndarray]]:
    """Pairs of city questions as they are run, and the tokens of their positions."""
    from analyses.parts import asking

    _, answers = city_answers(flags.runs, 1000)
    candidates, cells, _ = patch_pairs.candidates_of(flags, asking.questions_of(flags), model, answers)
    return candidates, cells


def plain_seconds_a_cell(
    model: HookedModel,
    candidates: Sequence[Candidate],
    cells: tuple[np.ndarray, np.ndarray],
    sample: int,
    *,
    seed: int,
) -> float:
    """How long a forward pass of a whole run with one hook takes, on average over a sample of cells."""
    rng = np.random.default_rng(seed)
    seconds: list[float] = []
    while len(seconds) < sample:
        number, position, layer = (
            int(rng.integers(n)) for n in (len(candidates), cells[0].shape[1], model.cfg.n_layers)
        )
        clean, corrupt, _ = candidates[number].variants[0]
        place, donor_place = int(cells[1][number, position]), int(cells[0][number, position])
        if not (0 <= place < len(corrupt.tokens) and 0 <= donor_place < len(clean.tokens)):
            continue
        donor = site_activations(model, [clean.tokens], np.array([[donor_place]]))[layer, 0, 0].to(model.cfg.device)

        def hook(activation: torch.Tensor, hook: Any, place: int = place, donor: torch.Tensor = donor) -> torch.Tensor:  # noqa: ARG001
            activation[:, place] = donor
            return activation

        def run(tokens: tuple[int, ...] = corrupt.tokens, layer: int = layer) -> None:
            ids = torch.tensor([tokens], device=model.cfg.device)
            with torch.inference_mode():
                model.run_with_hooks(ids, fwd_hooks=[(f"blocks.{layer}.hook_resid_post", hook)])

        seconds.append(seconds_of(run))
    return statistics.mean(seconds)


@dataclass
class Counts:
    """What went through a model."""

    passes: int = 0
    tokens: int = 0
    """Through blocks: each token once for every block."""


@contextmanager
def counted_block_tokens(model: HookedModel) -> Iterator[Counts]:
    """Count the passes over a model and the tokens through its blocks."""
    counts = Counts()

    def count(block: int, output: Any) -> None:
        stream = output[0] if isinstance(output, tuple) else output
        counts.tokens += stream.shape[0] * stream.shape[1]
        counts.passes += block == 0

    blocks: Any = model.blocks  # type: ignore[attr-defined]
    handles = [
        block.register_forward_hook(lambda _module, _args, output, number=number: count(number, output))
        for number, block in enumerate(blocks)
    ]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


def seconds_of(function: Any) -> float:
    """How long a call takes."""
    all_done()
    started = time.perf_counter()
    function()
    all_done()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config)))
