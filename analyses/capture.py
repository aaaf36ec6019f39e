"""Capture activations, here, on Ray workers, or as one job of an array.

Asks the questions (or takes the answers that are there) and keeps sites of a model at every position of every answer,
in stores from which the maps are made. `interp probe` and `interp activation` do the same first; this command is for
doing it elsewhere, for several sites in one pass, and in parts. An interrupted capture goes on where it was.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from analyses.parts import asking, capturing, flags
from analyses.parts.capturing import DEFAULT_SITE
from analyses.parts.command import execute


@dataclass(frozen=True)
class Config(capturing.Config):
    """Capture activations, here, on Ray workers, or as one job of an array."""

    sites: str = DEFAULT_SITE
    """What of a block to keep, separated by commas and captured in one pass: resid_pre, resid_mid, resid_post,
    attn_out, mlp_out, mlp_hidden, head_z, or hooks of a block by TransformerLens's names. A store for each."""
    share: Annotated[str | None, tyro.conf.arg(name="shard")] = None
    """i/n: capture the i-th of n parts only, into a store of its own ('interp store merge' makes them one). For the
    jobs of an array; the answers must be there ('interp answers')."""


def run(config: Config) -> None:
    """Capture, and say where the stores are."""
    from interp.work.executors import parse_share

    capturing.require_usable(config)
    if config.share is not None:
        parse_share(config.share)
    setting = asking.setting_of(config)
    captured = capturing.captured(setting, flags.listed(config.sites), share=config.share)
    for store in captured.stores.values():
        print(store.folder)


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.capture"))
