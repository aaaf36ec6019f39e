"""Map the activations themselves: how large, how fast changing, how much along one direction.

Captures the residual stream after every layer (or another site) at every position of every answer, and draws four maps:
its norm, its growth from layer to layer, its cosine to the layer before (medians over the answers, with their
intervals) and the share of its variance in its top direction. No answer needs to be judged. Writes
activation-norm.nc, .pdf and .png, and the same for growth, cosine and top-direction.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from analyses.parts import asking, capturing
from analyses.parts.capturing import DEFAULT_SITE
from analyses.parts.command import execute
from analyses.parts.runs import kept_maps, publish, require_publishable, table_of_values

if TYPE_CHECKING:
    from interp.results.heatmap import Heatmap


@dataclass(frozen=True)
class Config(capturing.Config):
    """Map the activations themselves: how large, how fast changing, how much along one direction."""

    site: str = DEFAULT_SITE
    """What of a block to map: resid_pre, resid_mid, resid_post, attn_out, mlp_out (what they add), mlp_hidden,
    head_z, or a block's hook by TransformerLens's name, such as attn.hook_q."""
    figures: Path = Path("figures")
    """Folder of results: <model>/<dataset>/activation-norm.{nc,pdf,png}, -growth, -cosine, -top-direction;
    activation-norm-attn_out.* for another site."""
    overwrite: bool = False
    """Replace the results of another run."""


def run(config: Config) -> None:
    """Answer, capture, measure, draw."""
    from interp.activations.activation_map import QUANTITIES

    capturing.require_usable(config)
    setting = asking.setting_of(config)
    identity = asking.identity_of(setting) | capturing.settings_of(config) | {"site": config.site}

    variants = capturing.variants_of(config, config.site)
    work = setting.work("-".join(["activation", *variants]), identity)
    kept: dict[str, Path] = {
        quantity: work / ("-".join(["activation", quantity, *variants]) + ".nc") for quantity in QUANTITIES
    }
    published = {quantity: config.figures / setting.place / path.name for quantity, path in kept.items()}
    for path in published.values():
        require_publishable(path, identity, overwrite=config.overwrite)
    for quantity, heatmap in kept_maps(kept, identity, partial(measured_maps, setting)).items():
        print(*publish(kept[quantity], published[quantity], overwrite=config.overwrite), sep="\n")
        print(table_of_values(heatmap), end="\n\n")


def measured_maps(setting: asking.Setting[Config]) -> dict[str, Heatmap]:
    """The maps of this configuration, by quantity."""
    from interp.activations.activation_map import activation_maps
    from interp.positions import resolved_mask

    site = setting.config.site
    captured = capturing.captured(setting, [site])
    store = captured.stores[site]
    maps = activation_maps(store, resolved_mask(captured.table), site=site)
    record = capturing.record_of(setting, captured.answers, captured.table, store)
    return {quantity: heatmap.with_attributes(record) for quantity, heatmap in maps.items()}


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.activation"))
