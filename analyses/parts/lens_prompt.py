"""A lens over one prompt, with the top token of every layer and token: interp lens --prompt TEXT."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from analyses.parts import capturing, flags, loading, procedures
from analyses.parts.capturing import layer_numbers
from analyses.parts.runs import (
    Identity,
    prompt_name,
    provenance,
    publish,
    require_publishable,
    reusable_result,
    run_folder,
)
from interp.errors import InputError

if TYPE_CHECKING:
    from interp.lenses.lens import Lens
    from interp.models.hooked_model import HookedModel
    from interp.models.model_sources import ModelSource
    from interp.results.prompt_map import PromptMap

DEFAULT_COLOUR: Final = "probability"
COLUMNS = 16
"""How many tokens are shown by default: at the widest, a figure whose text can be read on a page."""
MOST_COLUMNS = 240
"""A figure of more is larger than what can be drawn."""
PRINTED_COLUMNS = 120
"""How wide what is printed may be where no terminal says how wide it is."""
WINDOW = re.compile(r"(-?\d+)(-(-?\d+)?)?")


LOGIT = "logit"


@dataclass(frozen=True)
class Config(capturing.Config):
    """What a lens says over one prompt."""

    prompt: str | None = None
    """One prompt in place of a data set: the picture of it has the lens's top token at every layer and token. In a chat
    turn with --prompt-style chat, else as it stands, after the token that begins texts (bos): TransformerLens loads
    tokenizers so, also where by itself one would not put it there (SmolLM2)."""
    tokens: str | None = None
    """Of --prompt: which tokens are the columns, such as 0-40, 12- or --tokens=-20- (from the 20th before the end); by
    default as many of the last ones as can be read on a page."""
    stride: int = 1
    """Of --prompt: only every so many tokens, counted back from the last one that is shown."""
    colour: Literal["probability", "rank", "entropy", "kl"] = DEFAULT_COLOUR
    """Of --prompt: what the colours say: the top token's probability, the true next token's rank, the entropy, or the
    divergence from the model's output."""
    lens: str = LOGIT
    """'logit' reads every layer's stream as if it were the last one's; 'tuned:PATH' through the translators of a file
    that 'interp tune' made, or of a folder in the format of the tuned-lens package."""
    figures: Path = Path("figures")
    """Folder of results: <model>/<dataset>/lens-<quantity>.{nc,pdf,png}, and -correct, -wrong, -difference;
    <model>/texts/lens-<its first words and a hash>.* for --prompt."""
    overwrite: bool = False
    """Replace the results of another run."""


def require_usable(config: Config) -> None:
    """Raise an `InputError` for flags that no prompt can be shown with, before anything is loaded or written."""
    from interp.answers.prompts import require_text

    flags.require_usable(config)
    layer_numbers(config.layers, n_layers=None)
    if config.prompt is None and (config.tokens, config.stride, config.colour) != (None, 1, DEFAULT_COLOUR):
        raise InputError("--tokens, --stride and --colour are of one prompt; give --prompt, or leave them out")
    if config.prompt is not None:
        require_text(config.prompt, flag="--prompt")
    flags.require_least(config, {"stride": 1})
    if config.tokens is not None:
        window_of(config.tokens)


def lens_of(config: Config, source: ModelSource, model: HookedModel) -> Lens:
    """The lens that is read through."""
    from interp.lenses import tuned_lens

    return tuned_lens.lens_of(config.lens, model, source, config.weights)


def require_lens_of(config: Config, source: ModelSource) -> None:
    """Raise an `InputError` if the lens is of another model, whether or not what it would read is there already."""
    from interp.lenses.tuned_lens import TunedLens, named_lens

    lens = named_lens(config.lens)
    if isinstance(lens, TunedLens):
        lens.require_named(source, config.weights)


def lens_name(config: Config) -> str:
    """What kind of lens it is."""
    return config.lens.partition(":")[0]


def lens_identity(config: Config) -> str:
    """What tells one lens from another: of a tuned lens its translators, wherever they are kept."""
    from interp.lenses.lens import LogitLens
    from interp.lenses.tuned_lens import named_lens

    lens = named_lens(config.lens)
    return lens.name if isinstance(lens, LogitLens) else f"{lens.name}:{lens.sha256}"


def run(config: Config, source: ModelSource, model: Callable[[], HookedModel]) -> None:
    """Read one prompt, draw it, print it."""
    from interp.figures.prompt_lens_text import prompt_lens_text
    from interp.figures.terminals import depth_of
    from interp.results.prompt_map import PromptMap

    of_values = identity_of(config, source)
    identity = of_values | {"colour": config.colour}
    name = "-".join(["lens", prompt_name(str(config.prompt)), *variants_of(config)])
    parent = config.runs / source.name / "texts"
    path, published = run_folder(parent, "lens", identity) / "lens.nc", config.figures / source.name / "texts"
    require_publishable(published / f"{name}.nc", identity, overwrite=config.overwrite)
    shown = reusable_result(PromptMap, path, identity)
    if shown is None:
        values = values_of(config, source, model, of_values)
        shown = values.coloured(config.colour).with_attributes(provenance(identity))
        shown.save(path)
    print(*publish(path, published / f"{name}.nc", overwrite=config.overwrite), sep="\n")
    depth = depth_of(os.environ, is_terminal=sys.stdout.isatty())
    width = shutil.get_terminal_size((PRINTED_COLUMNS, 0)).columns
    print("", prompt_lens_text(shown, width=width, depth=depth), sep="\n")


def values_of(config: Config, source: ModelSource, model: Callable[[], HookedModel], identity: Identity) -> PromptMap:
    """What the lens says, whatever it is coloured by: from its file, or from the model."""
    from interp.answers.prompts import text_tokens
    from interp.lenses.prompt_lens import prompt_map
    from interp.models.hooked_model import context_length
    from interp.results.prompt_map import PromptMap

    path = run_folder(config.runs / source.name / "texts", "lens-values", identity) / "values.nc"
    if reusable_result(PromptMap, path, identity) is None:
        layers = layer_numbers(config.layers, loading.n_layers_of(source, model))
        most, tokenizer = context_length(model()), model().tokenizer
        tokens = text_tokens(tokenizer, str(config.prompt), flag="--prompt", style=config.prompt_style, most=most)
        values = prompt_map(model(), lens_of(config, source, model()), tokens, places_of(config, len(tokens)), layers)
        record = loading.record_of(config, source)
        values = values.with_attributes(record | {"text": str(config.prompt)} | provenance(identity))
        values.save(path)
    # Always as it was read: what is made of it is to be the same bytes, whether a run was interrupted here or not.
    return PromptMap.load(path)


def identity_of(config: Config, source: ModelSource) -> dict[str, Any]:
    """All that decides what is read of a prompt."""
    # The columns by default are here too: another number of them is another picture.
    tokens = {"tokens": config.tokens or f"the last {COLUMNS}", "stride": config.stride, "layers": config.layers}
    of_text = {"text": config.prompt, "prompt": config.prompt_style, "lens": lens_identity(config)}
    return loading.model_identity(config, source) | of_text | tokens | procedures.LENS_READINGS


def variants_of(config: Config) -> list[str]:
    """What in the name of a picture tells it from that of the logit lens by default, of the same text."""
    chosen = [
        (lens_name(config), LOGIT),
        (config.colour, DEFAULT_COLOUR),
        (f"tokens{config.tokens}", "tokensNone"),
        (f"stride{config.stride}", "stride1"),
        (config.layers.replace(",", "_"), "all"),
    ]
    return [value for value, default in chosen if value != default]


def places_of(config: Config, n_tokens: int) -> list[int]:
    """The tokens that are the columns, by their number from 0."""
    if config.tokens is None:
        last = n_tokens - 1
        first = max(last - (COLUMNS - 1) * config.stride, 0)
    else:
        first, last = (end % n_tokens if -n_tokens <= end < 0 else end for end in window_of(config.tokens))
        if not (0 <= first < n_tokens and 0 <= last < n_tokens):
            raise InputError(f"--tokens has {config.tokens!r}, and the prompt has the tokens 0 to {n_tokens - 1}")
        if first > last:
            raise InputError(f"--tokens has {config.tokens!r}, from {first} to {last}; give the first token first")
    places = list(range(last, first - 1, -config.stride))[::-1]
    if len(places) > MOST_COLUMNS:
        raise InputError(
            f"{len(places)} tokens are to be shown, and a picture has room for {MOST_COLUMNS}; give fewer --tokens, or "
            "a larger --stride"
        )
    return places


def window_of(text: str) -> tuple[int, int]:
    """The first and the last token that a flag names; below 0 from the end."""
    window = WINDOW.fullmatch(text.strip())
    if window is None:
        raise InputError(f"--tokens has {text!r}; write a range such as 0-40 or 12-, or --tokens=-20- for the last 20")
    first, to, last = window.groups()
    return int(first), int(first) if to is None else -1 if last is None else int(last)
