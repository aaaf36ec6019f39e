"""Train a tuned lens for a model, on a question set's prompts and answers or on a text.

For each layer an affine function of the residual stream learns to foresee what the model will say (Belrose et al.
2023). A share of the text is set aside: half of it says when training stops, half of it how far the lens is from the
model's output in each layer, beside the logit lens. Writes lens.safetensors, for --lens tuned:PATH of other analyses,
and tuned-lens.nc, .pdf and .png. An interrupted training goes on where it was, and ends the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analyses.parts import asking, flags, loading
from analyses.parts.command import execute
from analyses.parts.runs import (
    Identity,
    cell_in_words,
    provenance,
    publish,
    require_publishable,
    reusable,
    run_folder,
)
from interp.errors import InputError
from interp.work.files import sha256

if TYPE_CHECKING:
    from interp.lenses.lens_training import Schedule, Trained
    from interp.lenses.training_text import TrainingText
    from interp.lenses.tuned_lens import TunedLens
    from interp.models.hooked_model import HookedModel
    from interp.models.model_sources import ModelSource
    from interp.questions.question_set import QuestionSet
    from interp.results.heatmap import Heatmap

LENS = "lens.safetensors"
CHECKPOINT = "training.pt"


@dataclass(frozen=True)
class Config(flags.Config):
    """Train a tuned lens for a model, on a question set's prompts and answers or on a text."""

    text: Path | None = None
    """A text file (UTF-8) to train on, in place of the question set and its answers."""
    length: int = 256
    """Of --text: tokens that the model reads together."""
    steps: int = 50
    """How many steps to train at most."""
    tokens: int = 512
    """Tokens of a step, about: it takes whole sequences. What they all begin with counts once."""
    learning_rate: float = 1e-3
    """Of the first step (Adam); it falls linearly to 0."""
    begin: Literal["least-squares", "identity"] = "least-squares"
    """Where translators begin: at least squares, which few steps suffice for, or at the identity (the logit lens)."""
    held_out: float = 0.2
    """The share of the text that is not trained on: half of it decides when to stop, half of it is what is mapped."""
    measure_every: int = 10
    """Steps between two measurements on the text that decides when to stop; the training is kept at each of them."""
    patience: int = 3
    """So many measurements without a gain end the training."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the matrix products with the unembedding while training; the lens itself is float32. auto: bfloat16 where the
    device multiplies it fast."""
    figures: Path = Path("figures")
    """Folder of results: <model>/<dataset>/tuned-lens.{nc,pdf,png}."""
    overwrite: bool = False
    """Replace the result of another run."""


def run(config: Config) -> None:
    """Answer or read, train, measure, draw."""
    require_usable(config)
    source = loading.source_of(config)
    questions = asking.questions_of(config) if config.text is None else None
    name = text_name(config, questions)
    identity = identity_of(config, source, questions)
    work = run_folder(config.runs / source.name / name, "tuned", identity)
    published = config.figures / source.name / name / "tuned-lens.nc"
    require_publishable(published, identity, overwrite=config.overwrite)
    heatmap = reusable(work / "tuned-lens.nc", identity)
    if heatmap is None or not (work / LENS).is_file():
        heatmap = trained_map(config, source, questions, identity, work)
    if (checkpoint := work / CHECKPOINT).is_file():
        checkpoint.unlink(missing_ok=True)  # Another process that trains the same may remove it too.
    print(work / LENS)
    print(*publish(work / "tuned-lens.nc", published, overwrite=config.overwrite), sep="\n")
    print(in_words(heatmap))


def require_usable(config: Config) -> None:
    """Raise an `InputError` for a flag that no run can use, before anything is loaded or written."""
    flags.require_usable(config)
    flags.require_least(config, {"length": 2, "steps": 1, "tokens": 1, "measure_every": 1, "patience": 1})
    if not config.learning_rate > 0:
        raise InputError(f"--learning-rate is {config.learning_rate}; give a number above 0")
    if not 0 < config.held_out < 1:
        raise InputError(f"--held-out is {config.held_out}; give a share between 0 and 1")
    if config.dtype == "float16":
        raise InputError("--dtype float16 has no room for the gradients of a lens; take bfloat16 or float32")
    if config.text is None and config.length != Config.length:
        raise InputError("--length is of a text file; give --text, or leave it out")
    if config.text is not None and not config.text.is_file():
        raise InputError(f"no text at {config.text}; give --text a text file, or leave it out")


def text_name(config: Config, questions: QuestionSet | None) -> str:
    """What the text goes by in folders: the question set's name, or the file's."""
    if questions is not None:
        return questions.name
    return "text" if config.text is None else config.text.stem.lower()


def identity_of(config: Config, source: ModelSource, questions: QuestionSet | None) -> dict[str, Any]:
    """All that decides the lens."""
    if questions is not None:
        of_text = asking.identity_of(asking.Setting(config, source, questions, loading.once_loaded(config, source)))
    else:
        of_text = loading.model_identity(config, source) | {"dataset": text_name(config, None), "length": config.length}
        of_text |= {} if config.text is None else {"text": sha256(config.text)}
    return of_text | {"training": schedule_of(config).record | {"held_out": config.held_out}}


def schedule_of(config: Config) -> Schedule:
    """How long is trained, on how much at a time."""
    from interp.lenses.lens_training import Schedule
    from interp.models.devices import has_fast_bfloat16, resolve_device

    fast = config.precision == "auto" and has_fast_bfloat16(resolve_device(config.device))
    return Schedule(
        steps=config.steps,
        tokens=config.tokens,
        learning_rate=config.learning_rate,
        measure_every=config.measure_every,
        patience=config.patience,
        seed=config.seed,
        precision="bfloat16" if fast or config.precision == "bfloat16" else "float32",
        begin=config.begin,
    )


def trained_map(
    config: Config, source: ModelSource, questions: QuestionSet | None, identity: Identity, work: Path
) -> Heatmap:
    """Train the lens into the folder of the run, and map how good it is on the text that is held out."""
    from interp.lenses.lens_training import trained_lens

    model = loading.once_loaded(config, source)
    text = text_of(config, source, questions, model)
    trained = trained_lens(model(), text, schedule_of(config), work / CHECKPOINT)
    record = loading.record_of(config, source)
    record |= {"dataset": text_name(config, questions), "credit": "" if questions is None else questions.credit}
    heatmap = quality_map(config, model(), text, trained.lens).with_attributes(record | provenance(identity))
    lens_record = record | described(model(), text, trained, heatmap) | {"identity": dict(identity)}
    replace(trained.lens, record=lens_record).save(work / LENS)
    heatmap.save(work / "tuned-lens.nc")
    return heatmap


def text_of(
    config: Config, source: ModelSource, questions: QuestionSet | None, model: Callable[[], HookedModel]
) -> TrainingText:
    """What is trained on, and what is set aside."""
    from interp.lenses.training_text import answer_sequences, file_sequences, training_text
    from interp.models.hooked_model import context_length

    if questions is not None:
        sequences = answer_sequences(asking.answers_of(asking.Setting(config, source, questions, model))[0])
    elif config.text is not None:
        most = context_length(model())
        if most is not None and config.length > most:
            raise InputError(f"--length is {config.length}, and the model reads at most {most} tokens; give so many")
        sequences = file_sequences(config.text, model().tokenizer, config.length)
    return training_text(sequences, share=config.held_out, seed=config.seed)


def quality_map(config: Config, model: HookedModel, text: TrainingText, tuned: TunedLens) -> Heatmap:
    """The divergence of either lens from the model's output, by layer, on the text that is held out."""
    import numpy as np

    from interp.lenses.held_out_kl import held_out_map
    from interp.lenses.lens import LogitLens
    from interp.lenses.lens_divergence import TextStreams
    from interp.lenses.lens_training import sequence_divergences

    streams = TextStreams.of(model, text.everything)
    at_once = schedule_of(config).sequences_at_once(text.training)
    sums = {
        f"{lens.name} lens": sequence_divergences(streams, lens, text.held_out, at_once=at_once)
        for lens in (LogitLens(), tuned)
    }
    n_tokens = np.array([each.n_counted for each in text.held_out], dtype=np.int64)
    return held_out_map(sums, n_tokens, [each.group for each in text.held_out])


def described(model: HookedModel, text: TrainingText, trained: Trained, heatmap: Heatmap) -> dict[str, Any]:
    """What the file of a lens says of it beside the model's name."""
    from interp.lenses.training_text import n_counted
    from interp.lenses.tuned_lens import SITE

    tokens = {"trained on": text.training, "stopping": text.stopping, "held out": text.held_out}
    return {
        "n_layers": model.cfg.n_layers,
        "d_model": model.cfg.d_model,
        "site": SITE,
        "text_sha256": text.sha256,
        "text_tokens": {name: n_counted(part) for name, part in tokens.items()},
        "steps": max(trained.curve),
        "best_step": trained.best_step,
        "stopping_kl": trained.curve,
        "held_out_kl": {name: heatmap.data["value"].sel(position=name).values.tolist() for name in heatmap.positions},
    }


def in_words(heatmap: Heatmap) -> str:
    """The divergence of both lenses in every layer."""
    data = heatmap.data
    names = heatmap.positions
    lines = [
        f"{data.attrs['metric']} [95 % interval], {int(data['n'].max())} sequences, {data.attrs['n_tokens']} tokens",
        f"{'layer':6}" + "".join(f"{name:>26}" for name in names),
    ]
    for layer in heatmap.layers:
        cells = [data.sel(layer=layer, position=name) for name in names]
        lines.append(f"{layer:<6}" + "".join(f"{cell_in_words(cell):>26}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.tune"))
