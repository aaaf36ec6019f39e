"""Capture: a model is run over answers it gave, and sites are kept at the cells of a position table, in stores.

1. A plan (`interp.work.plan`) says which examples run together and which batches are written together, as a shard.
2. An executor (`interp.work.executors`) hands the shards that are missing to workers. Each loads the model once, runs a
   shard's batches and writes it while the next one is computed; only hashes come back.
3. What comes back is entered in the manifests of the stores (`interp.activations.store`).

What is stored does not depend on who did which shard, when, or how often it was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int

from interp.activations.batch_activations import HooksOfSites, Prefix, batch_activations, hooks_of_sites, prefix_of
from interp.activations.store import ActivationStore
from interp.errors import InputError
from interp.examples import Answer
from interp.models.hooked_model import HookedModel, takes_prefixes
from interp.models.norms import norms_run_once
from interp.work.batches import in_halves_if_need_be
from interp.work.executors import Executor, Local
from interp.work.plan import Batch, Plan, Shard, capture_plan, examples_of, planned_tokens
from interp.work.progress import progress

log = logging.getLogger(__name__)

TOKEN_BUDGETS = {"cpu": 2048, "mps": 4096, "cuda": 16384}
"""Tokens in one forward pass by kind of device: enough to keep it busy, few enough to fit beside a model.

An H200 captures 1,000 answers of SmolLM2 in bfloat16 in 1.0 s with 16,384 of them, in 1.3 with 4,096, in 1.1 with
65,536."""
ROOM = 64e6
"""Bytes that are to stay free on the disk."""

SiteActivations = dict[str, Float[torch.Tensor, "layer position example width"]]


@dataclass(frozen=True)
class Examples:
    """What is run, and what of it is wanted."""

    sequences: tuple[tuple[int, ...], ...]
    cells: Int[np.ndarray, "example position"]
    """For each sequence and position an index into its tokens, or `MISSING`."""

    def sha256(self) -> str:
        """A hash of every token and every cell."""
        lines = [json.dumps([tokens, cells.tolist()]) for tokens, cells in zip(self.sequences, self.cells, strict=True)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def examples_to_capture(answers: Sequence[Answer], table: xr.Dataset) -> Examples:
    """The tokens of answers with their prompts, and the cells of their position table."""
    return Examples(tuple(tuple(answer.token_ids) for answer in answers), table["token"].values)


def default_token_budget(device: str) -> int:
    """How many tokens one forward pass takes on a device, if nothing else is said."""
    return TOKEN_BUDGETS.get(torch.device(device).type, TOKEN_BUDGETS["cpu"])


def planned_stores(
    folders: Mapping[str, Path],
    identities: Mapping[str, Mapping[str, Any]],
    answers: Sequence[Answer],
    table: xr.Dataset,
    *,
    layers: Sequence[int],
    token_budget: int,
    reuse_prefixes: bool = True,
) -> dict[str, ActivationStore]:
    """The stores of some sites, to be captured in one pass; nothing is written yet.

    A store that is there, finished or begun, keeps the batches in which it was begun: they say which row of a shard is
    which example.

    Parameters
    ----------
    folders
        For each site (one of `interp.models.sites.SITES`, or a hook by TransformerLens's name) where its store is to
        be.
    identities
        For each site all that decides what its store holds, as JSON-able values.
    answers
        The examples, as in `table`.
    table
        What `positions.position_table` returns for them.
    layers
        The layers to keep, ascending.
    token_budget
        How many tokens one forward pass takes.
    reuse_prefixes
        Whether tokens that many examples begin with are run once.
    """
    sequences = [answer.token_ids for answer in answers]
    plan = capture_plan(sequences, token_budget=token_budget, reuse_prefixes=reuse_prefixes)
    positions, ids = tuple(table["position"].values.tolist()), tuple(answer.question.id for answer in answers)
    return {
        site: _as_begun(ActivationStore(folder, dict(identities[site]), tuple(layers), positions, ids, plan))
        for site, folder in folders.items()
    }


def _as_begun(store: ActivationStore) -> ActivationStore:
    """The store, or the same in the batches of an earlier run if it is in its folder."""
    known = ActivationStore.read(store.folder)
    return known if known is not None and known.is_same_but_for_plan(store) else store


def capture(
    model: Callable[[], HookedModel],
    stores: Mapping[str, ActivationStore],
    examples: Examples,
    *,
    executor: Executor | None = None,
    shards: Sequence[int] | None = None,
) -> None:
    """Run the model over examples, and complete stores of sites.

    Parameters
    ----------
    model
        Gives the model that gave the answers; called once in every worker, and only if something is left to capture.
    stores
        By site, as `planned_stores` gives them. Shards that an earlier run finished are kept, after a check of their
        contents.
    examples
        What the stores' examples are.
    executor
        Who does the work; by default this process.
    shards
        Numbers of the shards to capture, such as a share of them; None means all.

    Raises
    ------
    InputError
        If a folder holds another store or another process writes to it, the model lacks a site or a layer, or the disk
        or the memory does not suffice. What was finished is kept.
    """
    unfinished = {site: store for site, store in stores.items() if not _is_there(store)}
    if not unfinished:
        return
    with ExitStack() as writers:
        begun = {site: writers.enter_context(store.writing()) for site, store in unfinished.items()}
        # Stores that earlier runs began in other batches are completed in those.
        for plan in dict.fromkeys(store.plan for store in begun.values()):
            same = {site: store for site, store in begun.items() if store.plan == plan}
            wanted = range(len(plan)) if shards is None else [shard for shard in shards if shard < len(plan)]
            _capture_shards(model, same, examples, executor or Local(), wanted)
        for store in begun.values():
            store.put_in_order()


def _is_there(store: ActivationStore) -> bool:
    known = ActivationStore.read(store.folder)
    return known is not None and known.is_same_but_for_plan(store) and known.is_whole()


def _capture_shards(
    model: Callable[[], HookedModel],
    stores: Mapping[str, ActivationStore],
    examples: Examples,
    executor: Executor,
    shards: Sequence[int],
) -> None:
    (plan,) = {store.plan for store in stores.values()}
    entered = {site: store.entered() for site, store in stores.items()}
    missing = {shard: tuple(site for site in stores if shard not in entered[site]) for shard in shards}
    todo = {shard: sites for shard, sites in missing.items() if sites}
    total = sum(len(examples_of(plan[shard])) for shard in shards)
    left = sum(len(examples_of(plan[shard])) for shard in todo)
    job = CaptureJob(model, dict(stores), examples, todo, executor.n_workers)
    with progress("activations", total=total, done=total - left, unit="examples") as shown:
        for shard, digests in executor.results(job, list(todo)):
            for site, digest in digests.items():
                stores[site].enter(shard, digest)
            shown.update(len(examples_of(plan[shard])))


@dataclass(frozen=True)
class CaptureJob:
    """What is to be captured; called where it is to be done, it gives a worker."""

    model: Callable[[], HookedModel]
    stores: Mapping[str, ActivationStore]
    """By site; all of one plan."""
    examples: Examples
    todo: Mapping[int, tuple[str, ...]]
    """For each shard that is to be captured, the sites that are wanted of it."""
    n_workers: int = 1

    def __call__(self) -> CaptureWorker:
        """A worker with a model of its own."""
        return CaptureWorker(self, self.model())

    @property
    def plan(self) -> Plan:
        """Which examples run together."""
        return next(iter(self.stores.values())).plan

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers to keep."""
        return next(iter(self.stores.values())).layers


class CaptureWorker:
    """Captures shards: runs their batches, and writes what is wanted of them."""

    def __init__(self, job: CaptureJob, model: HookedModel) -> None:
        self.job, self.model = job, model
        self.takes_prefixes = takes_prefixes(model)
        self._prefix: tuple[Any, Prefix] | None = None
        self._bytes_of_example: dict[str, float] = {}

    def computed(self, task: int) -> SiteActivations:
        """Every site that is wanted of a shard, its examples in the order of the plan."""
        shard, sites = self.job.plan[task], self.job.todo[task]
        hooks = hooks_of_sites(self.model, sites, self.job.layers)
        activations: SiteActivations = {}
        start = 0
        with norms_run_once(self.model, [name for names in hooks.values() for name in names]):
            for batch in shard:
                began = time.monotonic()
                for part in in_halves_if_need_be(partial(self.batch, shard, batch.shared, hooks), batch.examples):
                    start += _put(activations, part, start, len(examples_of(shard)))
                # Once more where a shard has a site that those before it did not lack.
                if not activations.keys() <= self._bytes_of_example.keys():
                    self._foretell(activations, batch, time.monotonic() - began)
        return activations

    def written(self, task: int, computed: SiteActivations) -> dict[str, str]:
        """The SHA-256 of the shard of each site, once it is on the disk."""
        return {site: self.job.stores[site].write(task, activations) for site, activations in computed.items()}

    def batch(self, shard: Shard, shared: int, hooks: HooksOfSites, rows: tuple[int, ...]) -> list[SiteActivations]:
        """Every hook at the wanted cells of some examples, whose first `shared` tokens are those of all of them."""
        sequences = [self.job.examples.sequences[row] for row in rows]
        prefix = self._prefix_of(shard, sequences[0][:shared], hooks) if shared and self.takes_prefixes else None
        return [batch_activations(self.model, sequences, self.job.examples.cells[list(rows)], hooks, prefix)]

    def _prefix_of(self, shard: Shard, tokens: tuple[int, ...], hooks: HooksOfSites) -> Prefix:
        """What the shard's sequences with this beginning begin with; run once for the shard's batches of them."""
        key = (shard, tokens, tuple(hooks))
        if self._prefix is None or self._prefix[0] != key:
            self._prefix = None  # Frees the memory of the last one before the next is run.
            cells = self.job.examples.cells[list(examples_of(shard))]
            self._prefix = (key, prefix_of(self.model, tokens, cells, hooks))
        return self._prefix[1]

    def _foretell(self, activations: SiteActivations, batch: Batch, seconds: float) -> None:
        """Say what is to come, from one batch, and check that the disk has room for it."""
        self._bytes_of_example |= {site: each.nbytes / each.shape[2] for site, each in activations.items()}
        left = [shard for shard in self.job.todo if not self._is_written(shard)]
        sequences = self.job.examples.sequences
        tokens = sum(planned_tokens(sequences, self.job.plan[shard]) for shard in left)
        duration = seconds * tokens / planned_tokens(sequences, (batch,)) / self.job.n_workers
        needed = sum(
            self._bytes_of_example.get(site, 0.0) * len(examples_of(self.job.plan[shard]))
            for shard in left
            for site in self.job.todo[shard]
        )
        folder = next(iter(self.job.stores.values())).folder
        free = shutil.disk_usage(folder).free
        log.info("activations: about %s to write and %.0f s to go", _size(needed), duration)
        if needed + ROOM > free:
            raise InputError(
                f"the activations need {_size(needed)} and the disk of {folder} has {_size(free)} free; make room, "
                "choose another --runs, or capture less (--n, --positions, --layers)"
            )

    def _is_written(self, shard: int) -> bool:
        return all(self.job.stores[site].has_file(shard) for site in self.job.todo[shard])


def _put(
    whole: dict[str, Float[torch.Tensor, "layer position n width"]], part: SiteActivations, start: int, n: int
) -> int:
    """Put the activations of some examples into place among those of `n`, and return of how many they were."""
    for site, captured in part.items():
        if site not in whole:
            whole[site] = captured.new_empty(*captured.shape[:2], n, captured.shape[3])
        whole[site][:, :, start : start + captured.shape[2]] = captured
    return next(iter(part.values())).shape[2]


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.0f} MB"
