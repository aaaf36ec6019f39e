"""What every map begins with: the answers, their positions, and the activations there, kept for the next map."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from analyses.parts import asking, flags, loading
from interp.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from interp.activations.store import ActivationStore, ExamplesOfStore
    from interp.examples import Answer
    from interp.models.hooked_model import HookedModel
    from interp.models.model_sources import ModelSource
    from interp.work.executors import Executor

DEFAULT_POSITIONS = (
    "last_q,first_answer,second_answer,"
    "exact_answer_before_first,exact_answer_first,exact_answer_last,exact_answer_after_last,-8,-7,-6,-5,-4,-3,-2,-1"
)
DEFAULT_SITE = "resid_post"


OF_RAY = ("ray_address", "workers", "cpus_per_worker", "gpus_per_worker")
"""Flags that say nothing of a capture by this process."""


@dataclass(frozen=True)
class Config(flags.Config):
    """Which activations are captured, and by whom."""

    positions: str = DEFAULT_POSITIONS
    """Columns of the map, separated by commas; -k counts from the end of the answer (write --positions=-2,-1)."""
    policy: Literal["strict", "paper"] = "strict"
    """'strict' leaves missing what is missing; 'paper' clamps and falls back as the published code, to replicate it."""
    layers: str = "all"
    """Rows of the map: all, or numbers and ranges such as 0,4,8 or 0-10; nothing above the last one is computed. A lens
    needs the model's last layer too, and attribution all of them."""
    token_budget: int | None = None
    """Tokens in one forward pass of the capture, padding included; by default what suits the device (CPU 2048, MPS
    4096, CUDA 16384). Give it where parts that are captured on different devices are to be merged."""
    executor: Literal["local", "ray"] = "local"
    """Who captures: this process, or Ray workers that each load the model (pip install -e '.[ray]' in the clone)."""
    ray_address: str | None = None
    """Address of a Ray cluster (host:port, ray://host:port, auto); by default one is started on this machine."""
    workers: int | None = None
    """How many Ray workers; by default as many as fit."""
    cpus_per_worker: float = 1.0
    """CPUs of a Ray worker."""
    gpus_per_worker: float | None = None
    """GPUs of a Ray worker; by default one, if the cluster has any."""


@dataclass(frozen=True)
class Captured:
    """Answers, their positions, and the activations there; every answer that was given, in one order."""

    answers: list[Answer]
    table: xr.Dataset
    stores: dict[str, ActivationStore]
    """By site."""

    @cached_property
    def judged(self) -> list[int]:
        """Which of the answers are judged, as indices."""
        return [index for index, answer in enumerate(self.answers) if answer.correct is not None]

    def of(self, site: str, rows: Sequence[int]) -> ExamplesOfStore:
        """The activations of a site for some of the answers."""
        return self.stores[site].of_examples([self.answers[row].question.id for row in rows])


def require_usable(config: Config) -> None:
    """Raise an `InputError` for a flag that no run can use, before anything is loaded or written."""
    from interp.positions import require_known

    flags.require_usable(config)
    require_known(positions_of(config))
    flags.require_least(config, {"token_budget": 1})
    unused = [flag for flag in OF_RAY if getattr(config, flag) != getattr(Config, flag)]
    if unused and config.executor != "ray":
        raise InputError(f"--{unused[0].replace('_', '-')} is of --executor ray; leave it out, or give that")
    layer_numbers(config.layers, n_layers=None)


def positions_of(config: Config) -> list[str]:
    """The columns."""
    return flags.listed(config.positions)


def settings_of(config: Config) -> dict[str, Any]:
    """What the flags of the capture add to the identity of a map; what is as it is by default is left out."""
    chosen = {"policy": (config.policy, "strict"), "layers": (config.layers, "all")}
    return {"positions": positions_of(config)} | {
        name: value for name, (value, default) in chosen.items() if value != default
    }


def variants_of(config: Config, site: str) -> list[str]:
    """What in the name of a map tells it from the map of the default site, policy and layers."""
    chosen = ((site, DEFAULT_SITE), (config.policy, "strict"), (config.layers, "all"))
    return [value.replace(".", "_").replace(",", "_") for value, default in chosen if value != default]


def record_of(
    setting: asking.Setting[Config], answers: Sequence[Answer], table: xr.Dataset, store: ActivationStore
) -> dict[str, str]:
    """The attributes by which every map says what it is of.

    `table` is of the answers that the map is made from, and `store` where its activations are kept.
    """
    from interp.answers.answers import summary
    from interp.positions import coinciding_pairs, missing_by_reason, replaced_shares

    return {
        **loading.record_of(setting.config, setting.source),
        "dataset": setting.questions.name,
        "credit": setting.questions.credit,
        "site": str(store.identity["site"]),
        "store": store.folder.name,
        "policy": setting.config.policy,
        "counts": json.dumps(summary(answers, setting.questions)),
        "missing": json.dumps(missing_by_reason(table)),
        "replaced": json.dumps(replaced_shares(table)),
        "coinciding": json.dumps(coinciding_pairs(table)),
    }


def captured(setting: asking.Setting[Config], sites: Sequence[str], *, share: str | None = None) -> Captured:
    """The activations of some sites at the positions of all answers, from their stores or from the model.

    With a `share` such as ``"3/16"`` only that part of the shards is captured, into stores of its own.
    """
    if share is not None:
        asking.require_answers(setting)
    _require_cells(setting, sites)
    answers, _ = asking.answers_of(setting)
    return captured_at(setting, sites, answers, share=share)


def _require_cells(setting: asking.Setting[Config], sites: Sequence[str]) -> None:
    """Raise an `InputError` for layers and sites that the model does not have, before it is asked anything."""
    from interp.models.model_sources import n_layers_of
    from interp.models.sites import require_by_token

    layer_numbers(setting.config.layers, n_layers_of(setting.source))
    if not asking.answers_path(setting).is_file():
        for site in sites:
            require_by_token(setting.model(), site)


def captured_at(
    setting: asking.Setting[Config], sites: Sequence[str], answers: list[Answer], *, share: str | None = None
) -> Captured:
    """The activations of some sites at the positions of the given answers, such as sampled ones, as for `captured`."""
    from interp.activations.capture import capture, examples_to_capture
    from interp.positions import position_table
    from interp.work.executors import parse_share

    config = setting.config
    table = position_table(answers, positions_of(config), policy=config.policy)
    examples = examples_to_capture(answers, table)
    stores = _stores(setting, answers, table, sites, share, examples.sha256())
    shards = None if share is None else parse_share(share).tasks(len(next(iter(stores.values())).plan))
    model = setting.model if config.executor == "local" else _Loaded(config, setting.source)
    capture(model, stores, examples, executor=_executor(config), shards=shards)
    return Captured(answers, table, stores)


@dataclass(frozen=True)
class _Loaded:
    """Loads the model where it is called, such as in a worker on another machine."""

    config: Config
    source: ModelSource

    def __call__(self) -> HookedModel:
        return loading.loaded(self.config, self.source)


def _stores(
    setting: asking.Setting[Config],
    answers: Sequence[Answer],
    table: xr.Dataset,
    sites: Sequence[str],
    share: str | None,
    cells: str,
) -> dict[str, ActivationStore]:
    from interp.activations.capture import default_token_budget, planned_stores
    from interp.activations.stores import part_folder
    from interp.models.devices import resolve_device
    from interp.models.sites import require_by_token

    config = setting.config
    identities = {
        site: loading.model_identity(config, setting.source)
        | settings_of(config)
        | {"dataset": setting.questions.name, "site": site, "cells": cells}
        for site in sites
    }
    folders = {site: setting.work("activations", identity) for site, identity in identities.items()}
    if share is not None:
        folders = {site: part_folder(folder, share) for site, folder in folders.items()}
    for site, folder in folders.items():
        # The model is needed then in any case, but for the one that starts Ray workers.
        if not folder.is_dir() and config.executor == "local":
            require_by_token(setting.model(), site)
    return planned_stores(
        folders,
        identities,
        answers,
        table,
        layers=layer_numbers(config.layers, loading.n_layers_of(setting.source, setting.model)),
        token_budget=config.token_budget or default_token_budget(resolve_device(config.device)),
    )


def _executor(config: Config) -> Executor:
    from interp.work.executors import Local
    from interp.work.ray_executor import Ray

    if config.executor == "local":
        return Local()
    return Ray(
        address=config.ray_address,
        workers=config.workers,
        cpus_per_worker=config.cpus_per_worker,
        gpus_per_worker=config.gpus_per_worker,
    )


def layer_numbers(text: str, n_layers: int | None) -> tuple[int, ...]:
    """The layers that a flag names, ascending; without the number of layers only its form is checked."""
    if text == "all":
        return tuple(range(n_layers or 0))
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise InputError(f"--layers has {part!r}; write all, or numbers and ranges such as 0,4,8 or 0-10")
        numbers |= set(range(int(first), int(last if dash else first) + 1))
    if n_layers is not None and max(numbers) >= n_layers:
        raise InputError(f"--layers has {max(numbers)}, and the model has the layers 0 to {n_layers - 1}")
    return tuple(sorted(numbers))
