"""List the models that are here, and how to load another.

Models by a short name, GGUF files that have been converted, and models of the hub in its cache, each with its family,
layers, width, size on the disk and licence. Nothing is loaded or fetched.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyses.parts.command import execute

if TYPE_CHECKING:
    from interp.models.model_sources import KnownModel

ANOTHER = """\
Another model is given to --model as
  org/name       a model of the hub; --revision takes a branch, tag or commit
  gpt2-small     a name of TransformerLens's own ({n_official} models)
  ./folder       in Hugging Face's layout: config.json, tokenizer, *.safetensors
  ./model.gguf   a GGUF file: de-quantised and converted once, into {cache}"""


@dataclass(frozen=True)
class Config:
    """List the models that are here, and how to load another."""


def run(config: Config) -> None:  # noqa: ARG001 (there is nothing to choose)
    """Print what is known, what is cached, and what else can be given."""
    from interp.models.gguf import cache_folder
    from interp.models.model_sources import known_models, official_names

    print(_table(known_models()))
    print()
    print(ANOTHER.format(n_official=len(official_names()), cache=cache_folder() / "models"))


def _table(models: Iterable[KnownModel]) -> str:
    lines = [f"{'model':32}{'family':12}{'layers':>7}{'width':>7}{'size':>10}  {'licence':14}where"]
    for model in models:
        cells = [f"{'–' if value is None else value:>7}" for value in (model.layers, model.width)]
        licence = model.licence or "–"
        size = "not here" if model.megabytes is None else f"{model.megabytes:,.0f} MB"
        lines.append(
            f"{model.name:32}{model.family or '–':12}{cells[0]}{cells[1]}{size:>10}  {licence:14}{model.where}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.models"))
