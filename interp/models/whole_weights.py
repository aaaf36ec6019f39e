"""Models whose files hold all their weights: what files lack, transformers fills with random numbers and goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from interp.errors import InputError
from interp.models.original_output import OriginalOutput

NAMED = 3
"""So many of the weights and blocks that something is wrong with are named."""
COMPUTED = "inv_freq"
"""How the names end of what is in some files, and is computed where it is not."""
PREDICTING = "num_nextn_predict_layers"
"""In a configuration, how many blocks after the last one predict further tokens; no model is run with them."""
_NUMBERED = re.compile(r"(.+?)\.(\d+)\.")


@dataclass
class WholeModels:
    """A class of transformers' models, of which only models load whose files hold all weights."""

    models: Any
    device: str | None = None
    """Where models are to be; None leaves them where they are loaded."""
    output: OriginalOutput | None = field(default=None, init=False)
    """What the model that was loaded last says."""

    def from_pretrained(self, path: str | Path, **given: Any) -> Any:
        """What transformers loads; raises an `InputError` for what it would make up or leave out."""
        remedy = "copy or download the model again, or correct its config.json"
        model = loaded_whole(self.models, path, remedy, pretrained_model_name_or_path=path, **given)
        if self.device is not None:
            model.to(self.device)
        self.output = OriginalOutput.of(model)
        return model

    def require_same_output(self, model: Any) -> None:
        """Raise an `InputError` if a model with hooks says something else than the one that it was made from."""
        if self.output is not None:
            self.output.require_of(model)


def whole_models_of(folder: Path, device: str | None = None) -> WholeModels:
    """The class by which TransformerLens's bridge loads the model in a folder, for whole models."""
    from transformer_lens.model_bridge.sources.transformers import (
        determine_architecture_from_hf_config,
        get_hf_model_class_for_architecture,
    )

    # As JSON, which needs no code that comes with the model.
    config = SimpleNamespace(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
    return WholeModels(get_hf_model_class_for_architecture(determine_architecture_from_hf_config(config)), device)


def loaded_whole(models: Any, path: str | Path, remedy: str, **given: Any) -> Any:
    """A model, as a class of transformers' loads it from a path.

    Raises
    ------
    InputError
        If the files lack weights of the model, or have whole blocks that it has not.
    """
    model, found = models.from_pretrained(**given, output_loading_info=True)
    lacking = sorted(name for name in found["missing_keys"] if not name.endswith(COMPUTED))
    if lacking:
        raise InputError(f"{path} lacks {len(lacking)} of the model's weights ({_named(lacking)}); {remedy}")
    beyond = blocks_beyond(found["unexpected_keys"], model.state_dict())
    if len(beyond) > (getattr(model.config, PREDICTING, None) or 0):
        raise InputError(f"{path} has blocks that its configuration leaves out ({_named(beyond)}); {remedy}")
    return model


def blocks_beyond(unexpected: Iterable[str], names: Iterable[str]) -> list[str]:
    """The blocks of weights that a model has no place for, where it has others of their row."""
    rows: dict[str, set[int]] = {}
    for block, number in _blocks(names):
        rows.setdefault(block, set()).add(number)
    beyond = {
        (block, number)
        for block, number in _blocks(unexpected)
        # A file's names may lack the prefix of the model's, or have one more.
        for row, numbers in rows.items()
        if number not in numbers and f".{row}".endswith(f".{block}") | f".{block}".endswith(f".{row}")
    }
    return [f"{block}.{number}" for block, number in sorted(beyond)]


def _blocks(names: Iterable[str]) -> list[tuple[str, int]]:
    matches = map(_NUMBERED.match, names)
    return [(match[1], int(match[2])) for match in matches if match]


def _named(names: list[str]) -> str:
    return ", ".join([*names[:NAMED], *(["…"] if len(names) > NAMED else [])])
