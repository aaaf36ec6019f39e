"""Map what writes the answer: direct logit attribution, layer by token.

At every position the logit of the answer's first token, less that of a foil, is a sum: of what the embedding, every
layer's attention and every layer's MLP have written to the residual stream, read through the final norm with its scale
frozen. Draws the mean of each layer's part over the answers, with its interval, and prints the largest. What a layer
writes directly is not what it causes: 'interp patch' asks that. Writes attribution-attn.nc, .pdf and .png, and
attribution-mlp.*.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from analyses.parts import asking, capturing, flags
from analyses.parts.capturing import DEFAULT_SITE
from analyses.parts.command import execute
from analyses.parts.runs import cell_in_words, kept_maps, publish, require_publishable, value_in_words
from interp.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interp.examples import Answer
    from interp.lenses.direct_attribution import Contributions
    from interp.lenses.logit_contrasts import Contrasts
    from interp.models.hooked_model import HookedModel
    from interp.results.heatmap import Heatmap

SITES_OF_MAPS = {"attn": "attn_out", "mlp": "mlp_out"}
READ_AT = "exact_answer_before_first"
"""Where the model is about to name the answer: of this position the largest parts are printed, if it is there."""
N_PRINTED = 12
N_TRIED = 4
"""Of how many answers what is read is held to the model's own output."""


@dataclass(frozen=True)
class Config(capturing.Config):
    """Map what writes the answer: direct logit attribution, layer by token."""

    foil: Literal["mean", "gold"] = "mean"
    """What the logit of the answer's first token is less: 'mean', the mean logit of the first tokens of the exact
    answers to the other questions; 'gold', that of the correct answer's, of wrong answers only."""
    bootstraps: int = 2000
    """Bootstrap samples of the questions."""
    figures: Path = Path("figures")
    """Folder of results: <model>/<dataset>/attribution-attn.{nc,pdf,png} and attribution-mlp.*; attribution-attn-gold.*
    for another foil."""
    overwrite: bool = False
    """Replace the results of another run."""


def run(config: Config) -> None:
    """Answer, capture, attribute, draw."""
    require_usable(config)
    setting = asking.setting_of(config)
    settings = capturing.settings_of(config) | {"foil": config.foil, "bootstraps": config.bootstraps}
    identity = asking.identity_of(setting) | settings

    variants = [*([config.foil] if config.foil != "mean" else []), *capturing.variants_of(config, DEFAULT_SITE)]
    work = setting.work("-".join(["attribution", *variants]), identity)
    kept = {writer: work / ("-".join(["attribution", writer, *variants]) + ".nc") for writer in SITES_OF_MAPS}
    published = {writer: config.figures / setting.place / path.name for writer, path in kept.items()}
    for path in published.values():
        require_publishable(path, identity, overwrite=config.overwrite)
    maps = kept_maps(kept, identity, partial(measured_maps, setting))
    for writer, path in kept.items():
        print(*publish(path, published[writer], overwrite=config.overwrite), sep="\n")
    print(in_words(maps))


def require_usable(config: Config) -> None:
    """Raise an `InputError` for a flag that no run can use, before anything is loaded or written."""
    capturing.require_usable(config)
    flags.require_least(config, {"bootstraps": 1})
    if config.layers != "all":
        raise InputError("the parts of a logit difference are of all layers; leave --layers out")


def measured_maps(setting: asking.Setting[Config]) -> dict[str, Heatmap]:
    """The maps of this configuration, by what writes."""
    from interp.answers.answers import summary
    from interp.lenses.attribution_map import attribution_maps
    from interp.lenses.direct_attribution import SITES
    from interp.positions import resolved_mask
    from interp.statistics.groups import numbered

    config = setting.config
    captured = capturing.captured(setting, list(SITES))
    contrasts = contrasts_of(config, setting.model(), captured.answers)
    table = captured.table.isel(example=list(contrasts.rows))
    groups = [captured.answers[row].question.group for row in contrasts.rows]
    maps = attribution_maps(
        contributions_of(setting.model(), captured, contrasts),
        resolved_mask(table),
        numbered(groups),
        positions=capturing.positions_of(config),
        foil=config.foil,
        draws=config.bootstraps,
        seed=config.seed,
    )
    counts = summary(captured.answers, setting.questions) | {"attributed": len(contrasts.rows)}
    counts |= {f"not attributed: {why}": n for why, n in sorted(contrasts.dropped.items())}
    records = {
        writer: capturing.record_of(setting, captured.answers, table, captured.stores[site])
        for writer, site in SITES_OF_MAPS.items()
    }
    return {
        writer: heatmap.with_attributes(records[writer] | {"counts": json.dumps(counts)})
        for writer, heatmap in maps.items()
    }


def contributions_of(model: HookedModel, captured: capturing.Captured, contrasts: Contrasts) -> Contributions:
    """What every cell contributes, once it is held to the model's own output."""
    from interp.lenses.direct_attribution import SITES, contributions, reading_of, require_own_differences
    from interp.positions import resolved_mask

    rows = list(contrasts.rows)
    attn_out, mlp_out, resid_post = (captured.of(site, rows) for site in SITES)
    table = captured.table.isel(example=rows)
    found = contributions(attn_out, mlp_out, resid_post, resolved_mask(table), reading_of(model, contrasts))
    tried = [captured.answers[row].token_ids for row in rows[:N_TRIED]]
    places = table["token"].values[:N_TRIED]
    require_own_differences(model, contrasts, resid_post, tried, places, found.difference[:N_TRIED])
    return found


def contrasts_of(config: Config, model: HookedModel, answers: Sequence[Answer]) -> Contrasts:
    """What is read of each answer."""
    from interp.lenses import logit_contrasts

    against = logit_contrasts.against_the_gold if config.foil == "gold" else logit_contrasts.against_the_mean
    return logit_contrasts.contrasts_of(against(model.tokenizer, answers))


def in_words(maps: Mapping[str, Heatmap]) -> str:
    """What the logit difference is made of at each position, and the layers that write most of it where it is read."""
    any_map = next(iter(maps.values()))
    counts = json.loads(any_map.data.attrs["counts"])
    dropped = {why: n for why, n in counts.items() if why.startswith("not attributed")}
    return "\n".join(
        [
            parts_in_words(any_map),
            "",
            largest_in_words(maps),
            "",
            f"{counts['attributed']} answers",
            *(f"{why}: {n}" for why, n in dropped.items()),
        ]
    )


def parts_in_words(heatmap: Heatmap) -> str:
    """The mean logit difference at each position, and the parts that it is the sum of, with their shares."""
    parts = heatmap.data["parts"]
    total, *names = parts["part"].values.tolist()
    lines = [
        f"mean {total} [95 % interval], and the parts that add up to it, in logits and in % of it",
        f"{'':26}{'n':>5}{total:>25}" + "".join(f"{name:>18}" for name in names),
    ]
    for position in parts["position"].values.tolist():
        column = heatmap.data.sel(position=position)
        whole = column.sel(part=total)
        value, *ends = (float(whole[name]) for name in ("parts", "parts_low", "parts_high"))
        # A difference that may be none has no shares.
        divisor = value if min(ends) > 0 or max(ends) < 0 else math.nan
        each = [share_in_words(float(column["parts"].sel(part=name)), divisor) for name in names]
        shown = value_in_words(value, *ends)
        lines.append(f"{position:26}{int(column.n.max()):5d}{shown:>25}" + "".join(f"{part:>18}" for part in each))
    return "\n".join(lines)


def share_in_words(part: float, whole: float) -> str:
    """A part, with its share of the whole where there is one."""
    if math.isnan(part):
        return "–"
    return f"{part:.3f}" + ("" if math.isnan(whole) else f" ({round(100 * part / whole)} %)")


def largest_in_words(maps: Mapping[str, Heatmap]) -> str:
    """The largest parts where the answer is read, whichever way they write, with their intervals."""
    positions = next(iter(maps.values())).positions
    position = READ_AT if READ_AT in positions else positions[0]
    parts = [
        (writer, layer, heatmap.data.sel(position=position, layer=layer))
        for writer, heatmap in maps.items()
        for layer in heatmap.layers
    ]
    told = sorted(
        (part for part in parts if not math.isnan(part[2].value)), key=lambda part: -abs(float(part[2].value))
    )
    lines = [f"the largest parts at {position}, in logits [95 % interval]"]
    for writer, layer, cell in told[:N_PRINTED]:
        lines.append(f"{writer:>6} {layer:<4}{cell_in_words(cell):>24}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.attribution"))
