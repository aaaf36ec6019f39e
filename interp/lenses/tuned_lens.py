"""The tuned lens: for each layer an affine function of its stream, learned to foresee what the blocks above will do.

The stream h after block l is taken for

    h + A_l h + b_l

(Belrose et al. 2023, arXiv 2303.08112, section 3; written as what is added to the stream, as in their package
tuned-lens, so that A = 0 and b = 0 is the logit lens). The last layer has no translator: nothing is above it.

==========================================  ==========================================================================
read from                                   what is there
==========================================  ==========================================================================
a file of this suite (safetensors)          ``layer.<l>.weight`` [d_model, d_model] and ``layer.<l>.bias`` [d_model]
                                            for every layer l but the last, float32; the header says of which model
                                            they are and what they were trained on
a folder as tuned-lens publishes them       ``config.json`` and ``params.pt``, with ``<i>.weight`` and ``<i>.bias`` of
                                            the stream *before* block i: that after block l is i = l + 1, and i = 0,
                                            the embeddings, has no layer here
==========================================  ==========================================================================
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float

from interp.errors import InputError, first_line
from interp.lenses.lens import Lens, LogitLens
from interp.models.hooked_model import HookedModel
from interp.models.model_sources import ModelSource
from interp.work.files import whole_file

HEADER = "interp"
SITE = "resid_post"
"""What the translators read."""
PUBLISHED_TYPE = "linear_tuned_lens"
"""What tuned-lens calls translators of this form."""


@dataclass(frozen=True, eq=False)
class TunedLens:
    """The translators of a model."""

    weight: Float[torch.Tensor, "translator d_model d_model"]
    """A of every layer but the last, as `torch.nn.Linear` has it: [out, in]."""
    bias: Float[torch.Tensor, "translator d_model"]
    """b of every layer but the last."""
    record: Mapping[str, Any]
    """Of which model they are (``model``, and ``revision`` and ``weights`` where that is known), and what they were
    trained on: JSON-able values."""
    name: str = "tuned"

    @classmethod
    def untrained(cls, n_layers: int, d_model: int, device: torch.device | str = "cpu") -> TunedLens:
        """Translators that add nothing: the logit lens."""
        shape = (n_layers - 1, d_model, d_model)
        return cls(torch.zeros(shape, device=device), torch.zeros(shape[:2], device=device), {})

    def translated(self, stream: Float[torch.Tensor, "row d_model"], layer: int) -> Float[torch.Tensor, "row d_model"]:
        """What a stream after block `layer` is taken for, computed in float32 or better; the last block's as it is."""
        if layer == len(self.weight):
            return stream
        exact = stream.to(torch.promote_types(stream.dtype, self.weight.dtype))
        return (exact + exact @ self.weight[layer].to(exact).T + self.bias[layer].to(exact)).to(stream.dtype)

    def on(self, device: torch.device | str) -> TunedLens:
        """The same on a device."""
        return replace(self, weight=self.weight.to(device), bias=self.bias.to(device))

    @cached_property
    def sha256(self) -> str:
        """A hash of all translators."""
        digest = hashlib.sha256()
        for array in (self.weight, self.bias):
            digest.update(array.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write a file."""
        from safetensors.torch import save_file

        parts = {"weight": self.weight, "bias": self.bias}
        tensors = {
            f"layer.{layer}.{name}": part[layer].detach().cpu().clone()
            for layer in range(len(self.weight))
            for name, part in parts.items()
        }
        sizes = {"n_layers": len(self.weight) + 1, "d_model": self.bias.shape[1]}
        header = dict(self.record) | sizes | {"sha256": self.sha256}
        with whole_file(path) as temporary:
            save_file(tensors, temporary, metadata={HEADER: json.dumps(header, ensure_ascii=False, sort_keys=True)})

    @classmethod
    def load(cls, path: Path) -> TunedLens:
        """Read a file that `save` wrote, or a folder as tuned-lens publishes them.

        Raises
        ------
        InputError
            If it is not there, is something else, or is damaged, or a translator is of values that are not finite.
        """
        if not path.exists():
            raise InputError(f"no tuned lens at {path}; train one with 'interp tune', which prints the path")
        lens = _published(path) if path.is_dir() else _saved(path)
        lens._require_finite(path)
        return lens

    def _require_finite(self, path: Path) -> None:
        finite = self.weight.isfinite().all(dim=(1, 2)) & self.bias.isfinite().all(dim=1)
        if not finite.all():
            layers = ", ".join(map(str, (~finite).nonzero().flatten().tolist()))
            raise InputError(f"{path} has translators that are no numbers, of layers {layers}; train it again")

    def require_of(self, model: HookedModel, source: ModelSource, weights: str = "raw") -> None:
        """Raise an `InputError` if the translators are not this model's.

        Parameters
        ----------
        model, source
            The model, and where its files are.
        weights
            In which form it is loaded, as `interp.models.loading.load_model` takes it: another form may have other
            streams.
        """
        here = (model.cfg.n_layers, model.cfg.d_model)
        there = (len(self.weight) + 1, self.bias.shape[1])
        if there != here:
            raise InputError(
                f"this tuned lens is of a model of {there[0]} layers of width {there[1]}, and {source.name} has "
                f"{here[0]} of width {here[1]}; train one with 'interp tune'"
            )
        self.require_named(source, weights)

    def require_named(self, source: ModelSource, weights: str = "raw") -> None:
        """Raise an `InputError` if the record is of another model, which can be told before the model is loaded."""
        own = {"revision": source.revision, "weights": weights}
        # What was published knows its model by name only.
        asked = own if "revision" in self.record else {"model": source.name, "weights": weights}
        for key, value in asked.items():
            found = self.record.get(key)
            if found != value:
                raise InputError(
                    f"this tuned lens is of {self.record.get('model')} with {key} {found}, and here it is {value}; "
                    "take the model that it is of, or train one with 'interp tune'"
                )


def named_lens(text: str) -> LogitLens | TunedLens:
    """The lens that a flag names: ``"logit"``, or ``"tuned:PATH"`` with what `TunedLens.load` reads.

    Raises
    ------
    InputError
        If it names no lens, or one that cannot be read.
    """
    if text == LogitLens.name:
        return LogitLens()
    kind, _, path = text.partition(":")
    if kind != TunedLens.name or not path:
        raise InputError(f"no lens {text!r}; write logit, or tuned:PATH with the path that 'interp tune' printed")
    return _loaded_once(place := Path(path).expanduser(), _written(place))


@lru_cache(maxsize=1)
def _loaded_once(path: Path, written: tuple[int, ...]) -> TunedLens:  # noqa: ARG001
    """What a command asks for several times, such as to hash it; it is read anew once it is written anew."""
    return TunedLens.load(path)


def _written(path: Path) -> tuple[int, ...]:
    """When a file, or a folder and what is in it, was written."""
    return tuple(each.stat().st_mtime_ns for each in (path, *sorted(path.glob("*"))) if each.exists())


def lens_of(text: str, model: HookedModel, source: ModelSource, weights: str = "raw") -> Lens:
    """The lens that a flag names, for a model and on its device; parameters as for `TunedLens.require_of`.

    Raises
    ------
    InputError
        As `named_lens`, and if the lens is of another model.
    """
    lens = named_lens(text)
    if isinstance(lens, LogitLens):
        return lens
    lens.require_of(model, source, weights)
    return lens.on(model.cfg.device)


def _saved(path: Path) -> TunedLens:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads(file.metadata()[HEADER])
            layers = range(int(record["n_layers"]) - 1)
            weight, bias = (
                torch.stack([file.get_tensor(f"layer.{layer}.{part}") for layer in layers])
                for part in ("weight", "bias")
            )
        digest = record.pop("sha256")
        lens = TunedLens(weight, bias, record)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} is no tuned lens ({first_line(error)}); train it again") from error
    if lens.sha256 != digest:
        raise InputError(f"{path} is damaged: its translators are not those that were written; train it again")
    return lens


def _published(folder: Path) -> TunedLens:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("its config.json is no object")
        if config.get("lens_type", PUBLISHED_TYPE) != PUBLISHED_TYPE:
            raise ValueError(f"its translators are of another type, {config['lens_type']}")
        n_layers, d_model = int(config["num_hidden_layers"]), int(config["d_model"])
        model = str(config["base_model_name_or_path"])
        # A pickle may hold code; this reads tensors and nothing else.
        state = torch.load(folder / "params.pt", map_location="cpu", weights_only=True)
        weight = _of_layers(state, "weight", n_layers)
        bias = _of_layers(state, "bias", n_layers) if config.get("bias", True) else torch.zeros(n_layers - 1, d_model)
        if weight.shape != (n_layers - 1, d_model, d_model) or bias.shape != (n_layers - 1, d_model):
            raise ValueError(f"its translators are of the shape {tuple(weight.shape)}")
    except (OSError, EOFError, pickle.UnpicklingError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{folder} is no tuned lens as tuned-lens publishes them ({first_line(error)}); give a folder with its "
            "config.json and params.pt, or a file of 'interp tune'"
        ) from error
    name = model.split("/")[-1].lower()
    record = {"model": name, "weights": "raw", "n_layers": n_layers, "d_model": d_model, "site": SITE}
    return TunedLens(weight, bias, record | {"published": config})


def _of_layers(state: Mapping[str, torch.Tensor], part: str, n_layers: int) -> Float[torch.Tensor, "translator ..."]:
    """The weights or the biases of all layers' translators; each is published under the number of the next block."""
    for index in range(1, n_layers):
        if f"{index}.{part}" not in state:
            raise ValueError(f"layer {index - 1} has no translator: params.pt has no {index}.{part}")
    return torch.stack([state[f"{index}.{part}"].float() for index in range(1, n_layers)])
