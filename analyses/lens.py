"""Map what the model would say if it stopped there: the logit lens or a tuned lens, layer by token.

Reads every captured cell of the residual stream through the model's own final norm and unembedding: the log-probability
and the rank of the answer's first token, of the correct answer's and of the model's own next token, the entropy, and
how far the lens is from the model's output. Over all answers, right and wrong ones apart, and their difference. The
model is not run again where the activations are there. Writes lens-answer-logprob.nc, .pdf and .png, and so on. With
--prompt it shows what the lens says at every layer and token of one text: as text, and in files that have its first
words in their names.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses.parts import asking, capturing, flags, lens_missing, lens_prompt, lens_summary, loading, procedures
from analyses.parts.command import execute
from analyses.parts.lens_summary import SETTLED
from analyses.parts.runs import provenance, publish, require_publishable, reusable
from interp.errors import InputError, unknown_name
from interp.work.files import make_folder, write_netcdf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import xarray as xr

    from interp.activations.store import ExamplesOfStore
    from interp.examples import Answer
    from interp.lenses.lens import Lens
    from interp.lenses.lens_map import Examples
    from interp.models.hooked_model import HookedModel
    from interp.results.heatmap import Heatmap

SITE = "resid_post"
OF_QUESTIONS = ("quantities", "of", "first", "bootstraps", "positions", "policy")
"""Flags of this analysis that say nothing of one prompt."""
EVERY_QUANTITY = (
    "answer-logprob,answer-rank,answer-settled,gold-logprob,gold-rank,next-logprob,next-rank,entropy,kl,agreement"
)


@dataclass(frozen=True)
class Config(lens_prompt.Config):
    """Map what the model would say if it stopped there: the logit lens or a tuned lens, layer by token."""

    quantities: str = EVERY_QUANTITY
    """Which maps are drawn, separated by commas: log-probability and rank of the answer's first token, of the correct
    answer's, of the next token; entropy, KL from the output, whether the top token is the output's, and whether it is
    the answer here and in all layers above ('settled', for which --layers may leave out none above the first)."""
    of: str = "all,correct,wrong,difference"
    """Over which answers, separated by commas: all, correct, wrong, and difference, correct against wrong."""
    first: int | None = None
    """Read only the first so many of the answers, 20 or more: the time that reading takes is in proportion to their
    number. The activations of all answers are captured, unless they are there."""
    bootstraps: int = 1_000
    """Bootstrap draws of the intervals."""


def run(config: Config) -> None:
    """Answer, capture, read, draw."""
    from interp.results.heatmap import Heatmap

    require_usable(config)
    source = loading.source_of(config)
    lens_prompt.require_lens_of(config, source)
    model = loading.once_loaded(config, source)
    if config.prompt is not None:
        lens_prompt.run(config, source, model)
        return
    require_layers(config, loading.n_layers_of(source, model))
    setting = asking.Setting(config, source, asking.questions_of(config), model)
    of_values = identity_of(setting)
    identity = of_values | {"bootstraps": config.bootstraps}
    maps = setting.work("-".join(["lens", *variants_of(config)]), identity)
    names = names_of_maps(config)
    published = {name: config.figures / setting.place / f"{name}.nc" for name in names}
    of_maps = {name: identity | identity_of_quantity(quantity) for name, (quantity, _) in names.items()}
    for name, path in published.items():
        require_publishable(path, of_maps[name], overwrite=config.overwrite)
    missing = [name for name in names if reusable(maps / f"{name}.nc", of_maps[name]) is None]
    if missing:
        made = measured_maps(setting, setting.work("lens-values", of_values), maps, missing)
        for name, heatmap in made.items():
            heatmap.with_attributes(provenance(of_maps[name])).save(maps / f"{name}.nc")
    for name, path in published.items():
        print(*publish(maps / f"{name}.nc", path, overwrite=config.overwrite), sep="\n")
    shown = {name: Heatmap.load(maps / f"{name}.nc") for name in names}
    print(lens_summary.in_words(shown, maps, draws=config.bootstraps, seed=config.seed))


def require_usable(config: Config) -> None:
    """Raise an `InputError` for a flag that no run can use, before anything is loaded or written."""
    from interp.lenses.lens_map import MIN_EXAMPLES, QUANTITIES, SUBSETS

    capturing.require_usable(config)
    lens_prompt.require_usable(config)
    if config.prompt is not None:
        flags.require_no_questions(config, OF_QUESTIONS, of="one --prompt")
    flags.require_least(config, {"bootstraps": 1, "first": MIN_EXAMPLES})
    for kind, text, known in (("quantity", config.quantities, QUANTITIES), ("subset", config.of, SUBSETS)):
        for name in flags.listed(text):
            if name not in known:
                raise unknown_name(kind, name, known)


def require_layers(config: Config, n_layers: int) -> None:
    """Raise an `InputError` for layers that a map cannot be made of, before anything is asked or captured."""
    layers = capturing.layer_numbers(config.layers, n_layers)
    if layers[-1] != n_layers - 1:
        raise InputError(
            f"a lens is held against the model's output, and --layers ends at {layers[-1]}, not {n_layers - 1}; take "
            "--layers with the last one"
        )
    if SETTLED in flags.listed(config.quantities) and len(layers) != n_layers - layers[0]:
        raise InputError(
            f"{SETTLED} is of a layer and all above it, and --layers {config.layers} leaves some of these out; give "
            f"--layers {layers[0]}-{n_layers - 1}, or --quantities without it"
        )


def identity_of(setting: asking.Setting[Config]) -> dict[str, Any]:
    """All that decides what the lens reads."""
    config = setting.config
    return (
        asking.identity_of(setting)
        | capturing.settings_of(config)
        | {"lens": lens_prompt.lens_identity(config)}
        | procedures.LENS_READINGS
        | (procedures.GOLD_TOKENS if setting.questions.grading in ("contains", "judged") else {})
        | ({} if config.first is None else {"first": config.first})
    )


def identity_of_quantity(quantity: str) -> dict[str, str]:
    """What decides the maps of some quantities alone."""
    from interp.lenses.lens_map import QUANTITIES

    return procedures.SHARES if QUANTITIES[quantity].statistic == "share" else {}


def variants_of(config: Config) -> list[str]:
    """What in the name of a map tells it from that of the logit lens at the default positions."""
    kind = lens_prompt.lens_name(config)
    chosen = [(kind, lens_prompt.LOGIT), (f"first{config.first}", "firstNone")]
    return [value for value, default in chosen if value != default] + capturing.variants_of(config, SITE)


def names_of_maps(config: Config) -> dict[str, tuple[str, str]]:
    """The quantity and the subset of each map, by its name."""
    return {
        "-".join(["lens", quantity, *([subset] if subset != "all" else []), *variants_of(config)]): (quantity, subset)
        for quantity in flags.listed(config.quantities)
        for subset in flags.listed(config.of)
    }


def measured_maps(
    setting: asking.Setting[Config], folder: Path, work: Path, names: Sequence[str]
) -> dict[str, Heatmap]:
    """Maps of this configuration, by name; what the lens reads is kept in `folder`, what of it is mapped in `work`."""
    from interp.lenses.lens_map import SUBSETS, lens_map

    config, model = setting.config, setting.model
    captured = capturing.captured(setting, [SITE])
    rows = range(len(captured.answers))[: config.first]
    answers, table = [captured.answers[row] for row in rows], captured.table.isel(example=list(rows))
    made_from = (answers, captured.of(SITE, rows), table["token"].values)
    values = values_of(*made_from, model, lambda: lens_prompt.lens_of(config, setting.source, model()), folder)
    lens_missing.require_targets(flags.listed(config.quantities), values)
    record = capturing.record_of(setting, answers, table, captured.stores[SITE])
    examples = examples_of(answers)
    maps = {}
    for name in names:
        quantity, subset = names_of_maps(config)[name]
        # A contrast of two sides is no statistic of one set of examples.
        kept = {} if subset == "difference" else kept_examples(config, quantity, values, answers, work)
        said = ", ".join(words for words in (SUBSETS[subset], *variants_in_words(config)) if words)
        heatmap = lens_map(values, quantity, subset, examples, draws=config.bootstraps, seed=config.seed)
        said_of = {
            "lens": lens_prompt.lens_name(config),
            "variant": said,
            "missing": lens_missing.missing_of(record, values, quantity),
        }
        maps[name] = heatmap.with_attributes(record | said_of | kept)
    return maps


def kept_examples(
    config: Config, quantity: str, values: xr.Dataset, answers: Sequence[Answer], work: Path
) -> dict[str, str]:
    """Keep what every answer gives in the maps of a quantity; the attribute by which a map names the file."""
    from interp.lenses.lens_map import lens_examples
    from interp.results.example_values import FILE

    path = work / ("-".join(["lens", quantity, *variants_of(config)]) + "-examples.nc")
    if not path.is_file():
        of_answers, groups = examples_of(answers), [answer.question.group for answer in answers]
        sides = {"correct": of_answers.correct, "wrong": of_answers.wrong}
        lens_examples(values, quantity, groups).save(path, also=sides)
    return {FILE: path.name}


def variants_in_words(config: Config) -> tuple[str, str]:
    """What a figure must say of the lens, unless it is the logit lens, and of the answers, unless all are read."""
    lens = "" if config.lens == lens_prompt.LOGIT else f"{lens_prompt.lens_name(config)} lens"
    return lens, "" if config.first is None else f"the first {config.first} answers"


def values_of(
    answers: Sequence[Answer],
    store: ExamplesOfStore,
    tokens: np.ndarray,
    model: Callable[[], HookedModel],
    lens: Callable[[], Lens],
    folder: Path,
) -> xr.Dataset:
    """What the lens reads off every cell of every answer: from its file, or from the activations."""
    from interp.lenses.lens_targets import target_tokens, without_token
    from interp.lenses.lens_values import finished, lens_values, require_own_output

    path = folder / "values.nc"
    values = finished(path)
    if values is None:
        require_own_output(model(), answers, tokens, store)
        targets = target_tokens(model().tokenizer, answers, tokens)
        make_folder(folder)
        values = lens_values(model(), lens(), store, tokens, targets, parts=folder)
        values = values.assign_attrs({lens_missing.UNTOLD: json.dumps(without_token(targets))})
        write_netcdf(path, values)
    for part in folder.glob("position-*.nc"):
        part.unlink(missing_ok=True)  # Another process that reads the same may remove them too.
    return values


def examples_of(answers: Sequence[Answer]) -> Examples:
    """What the answers are to the maps."""
    import numpy as np

    from interp.lenses.lens_map import Examples
    from interp.statistics.groups import numbered

    correct = np.array([answer.correct is True for answer in answers])
    wrong = np.array([answer.correct is False for answer in answers])
    return Examples(numbered([answer.question.group for answer in answers]), correct, wrong)


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.lens"))
