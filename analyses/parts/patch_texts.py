"""One pair of texts, patched token by token: interp patch --clean TEXT --corrupt TEXT."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from analyses.parts import loading, patching, procedures
from analyses.parts.runs import (
    prompt_name,
    provenance,
    publish,
    require_publishable,
    reusable,
    run_folder,
    table_of_values,
)
from interp.errors import InputError

if TYPE_CHECKING:
    from interp.models.hooked_model import HookedModel
    from interp.models.model_sources import ModelSource
    from interp.patching.text_pairs import TextPair

WIDEST_TEXTS = 110
"""Characters of both texts that fit below a figure."""


def run(config: patching.Config, source: ModelSource, model: Callable[[], HookedModel]) -> None:
    """Patch one pair of texts, token by token, and draw it."""
    from interp.patching.pair_patching import patched_pairs
    from interp.patching.patch_map import pair_map

    identity = identity_of(config, source)
    folder = run_folder(config.runs / source.name / "texts", "patch", identity)
    name = "-".join(["patch", prompt_name(str(config.clean), str(config.corrupt)), *patching.variants_of(config)])
    published = config.figures / source.name / "texts" / f"{name}.nc"
    require_publishable(published, identity, overwrite=config.overwrite)
    heatmap = reusable(folder / "patch.nc", identity)
    if heatmap is None:
        pair = text_pair_of(config, model())
        layers, units = patching.units_of_rows(config, source, model())
        cells = (pair.clean_cells, pair.corrupt_cells)
        # Which tokens are read is the user's choice, whatever the model says.
        intervention = replace(patching.intervention_of(config), only_said=False)
        patched = patched_pairs(model(), [pair.candidate], cells, units, intervention, n=1, of="texts")
        record = loading.record_of(config, source)
        record |= {"clean": config.clean or "", "corrupt": config.corrupt or "", "answers": json.dumps(pair.answers)}
        record |= {"site": config.site, "variant": variant_in_words(config, pair.answers)}
        patched, columns = patching.with_heads(config, patched, list(pair.columns), model)
        heatmap = pair_map(patched, patching.effects(config, patched), layers=layers, positions=columns)
        heatmap = heatmap.with_attributes(record | provenance(identity))
        heatmap.save(folder / "patch.nc")
    print(*publish(folder / "patch.nc", published, overwrite=config.overwrite), sep="\n")
    print(table_of_values(heatmap))
    print(f"read at the end: {read_in_words(config, json.loads(heatmap.data.attrs['answers']))}")


def variant_in_words(config: patching.Config, answers: Sequence[str]) -> str:
    """What is read, how, and of which texts, if they are short."""
    texts = {"clean": config.clean, "corrupt": config.corrupt if config.corruption != "zero" else None}
    told = ", ".join(f"{name}: '{' '.join(text.split())}'" for name, text in texts.items() if text is not None)
    fits = len(told) <= WIDEST_TEXTS
    return ", ".join(
        filter(None, [read_in_words(config, answers), patching.variant_in_words(config), told if fits else ""])
    )


def read_in_words(config: patching.Config, answers: Sequence[str]) -> str:
    """The tokens whose logits are read: of an ablation the clean text's alone."""
    return f"{answers[0]} against {answers[1]}" if config.corruption == "question" else f"{answers[0]} alone"


def identity_of(config: patching.Config, source: ModelSource) -> dict[str, Any]:
    """All that decides the map of one pair of texts."""
    names = ("clean", "corrupt", "clean_answer", "corrupt_answer", "site", "window", "layers", "direction")
    settings = {name: getattr(config, name) for name in (*names, "margin")} | {"prompt": config.prompt_style}
    # What is as it is by default is left out: results from before it was in here keep their identity.
    settings |= {"corruption": config.corruption} if config.corruption != "question" else {}
    settings |= {"metric": patching.metric_of(config)} | procedures.PATCHED_CELLS
    return loading.model_identity(config, source) | settings


def text_pair_of(config: patching.Config, model: HookedModel) -> TextPair:
    """The pair of texts, as it is run."""
    from interp.answers.prompts import text_tokens
    from interp.models.hooked_model import context_length
    from interp.models.tokens import encoded_text
    from interp.patching.text_pairs import text_pair

    def tokens(flag: str, text: str | None) -> tuple[int, ...]:
        most = context_length(model)
        return text_tokens(model.tokenizer, str(text), flag=flag, style=config.prompt_style, most=most)

    def first_token(flag: str, text: str | None) -> int | None:
        if text is None:
            return None
        spelt = encoded_text(model.tokenizer, text, add_special_tokens=False)[0]
        if not spelt:
            raise InputError(f"{flag} {text!r} has no tokens for this tokenizer; give another answer, or leave it out")
        return spelt[0]

    answers = (
        first_token("--clean-answer", config.clean_answer),
        first_token("--corrupt-answer", config.corrupt_answer),
    )
    return text_pair(model, tokens("--clean", config.clean), tokens("--corrupt", config.corrupt), answers)
