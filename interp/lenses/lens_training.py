"""Training a tuned lens: every translator by itself, to what the model will make of its layer's stream.

1. Every translator begins where least squares takes the stream to the last one (`interp.lenses.least_squares_lens`), or
   at the logit lens where that is closer to the output; if that is asked for, all begin at the logit lens, which is the
   identity, as in Belrose et al. 2023.
2. A step takes some sequences of the text, in a seeded order that depends on the number of the step alone, and all
   tokens of them that are counted.
3. The gradient of every translator's mean divergence (`interp.lenses.lens_divergence`) goes into Adam, with a learning
   rate that falls linearly to 0.
4. Every so many steps the divergence is measured on the text that is set aside for it. Of every layer the translator
   with the smallest is kept: each is a problem of its own. Training stops when they no longer get better.
5. Then all that the next step depends on is written. A training that is killed goes on from there, and ends with the
   same translators to the last bit.

Measured on SmolLM2-135M, layers 1 and 15, 24 steps of 192 tokens of answers about cities, nats on 320 tokens of the
stopping text: the logit lens is 20.8 from the output. From there Adam (learning rate 1e-3) comes to 5.4, and SGD as
tuned-lens sets it (Nesterov momentum .9, rate 1, gradients clipped to a norm of 1, here for each layer) to 3.4. Least
squares alone is at 2.0, and Adam from there at 1.65; with a rate of 3e-4, in 12 steps of 256 tokens, at 1.78. SGD from
least squares was not tried. A rate of 1e-3 is too high for the last layers in so short a training: after 12 steps of
256 tokens those from 23 on were further away than least squares, which they kept.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from interp.errors import InputError, first_line
from interp.lenses.least_squares_lens import least_squares_lens
from interp.lenses.lens import Lens
from interp.lenses.lens_divergence import TextStreams, divergences, gradients
from interp.lenses.training_text import Text, TrainingText, n_counted
from interp.lenses.tuned_lens import TunedLens
from interp.models.hooked_model import HookedModel
from interp.patching.gradient_passes import frozen_parameters
from interp.work.batches import batched
from interp.work.files import whole_file
from interp.work.progress import progress

log = logging.getLogger(__name__)

BEFORE = -1
"""In place of a step: the logit lens, before the training has begun."""
BEGINNINGS = LEAST_SQUARES, IDENTITY = "least-squares", "identity"
LEAST_GAIN = 1e-3
"""If the mean divergence falls by a smaller share than this, it is no gain."""


@dataclass(frozen=True)
class Schedule:
    """How long a lens is trained, and on how much at a time."""

    steps: int
    tokens: int
    """Of a step, about: it takes whole sequences."""
    learning_rate: float
    """At the first step."""
    measure_every: int
    """Steps from one measurement to the next."""
    patience: int
    """So many measurements without a gain end the training."""
    seed: int
    precision: str = "float32"
    """Of the output path's matrix products, as for `interp.lenses.lens_divergence.divergences`."""
    begin: str = LEAST_SQUARES
    """Where translators begin, one of `BEGINNINGS`."""

    @property
    def record(self) -> dict[str, Any]:
        """All of it that decides a lens; the beginning only if it is not the usual one, which was the only one once."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("begin", LEAST_SQUARES)}

    def sequences(self, text: Text, step: int) -> Text:
        """What a step takes: the next sequences of a text that is gone through again and again, in another order."""
        size = self.sequences_at_once(text)
        places = range(step * size, (step + 1) * size)
        return tuple(text[_order(self.seed, place // len(text), len(text))[place % len(text)]] for place in places)

    def sequences_at_once(self, text: Text) -> int:
        """How many sequences of a text have about so many tokens as a step takes."""
        return max(round(self.tokens * len(text) / n_counted(text)), 1)


@dataclass
class _Training:
    """All that the next step depends on."""

    lens: TunedLens
    optimiser: torch.optim.Adam
    best: TunedLens
    best_kl: Float[torch.Tensor, " translator"]
    best_step: Int[torch.Tensor, " translator"]
    curve: dict[int, list[float]]
    """For each step at which they were measured the divergence of every layer."""
    step: int = 0
    stale: int = 0
    """Measurements since the last gain."""

    @classmethod
    def begun(cls, model: HookedModel) -> _Training:
        lens, best = (TunedLens.untrained(model.cfg.n_layers, model.cfg.d_model, model.cfg.device) for _ in range(2))
        n = len(lens.weight)
        optimiser = torch.optim.Adam([lens.weight, lens.bias])
        return cls(lens, optimiser, best, torch.full((n,), torch.inf), torch.zeros(n, dtype=torch.int64), {})

    def stand_at(self, lens: TunedLens) -> None:
        """Take the translators of another lens."""
        self.lens.weight[:], self.lens.bias[:] = lens.weight, lens.bias

    def advance(self, model: HookedModel, streams: Float[torch.Tensor, "layer token d_model"], by: Schedule) -> None:
        """Take a step."""
        found = gradients(model, self.lens, streams, precision=by.precision)
        self.lens.weight.grad, self.lens.bias.grad = found.weight, found.bias
        for group in self.optimiser.param_groups:
            group["lr"] = by.learning_rate * (1 - self.step / by.steps)
        self.optimiser.step()
        self.step += 1

    def measured(self, kl: Float[torch.Tensor, " translator"]) -> None:
        """Keep the translators that are better than those kept before."""
        before, better = self.best_kl.clone(), kl < self.best_kl
        self.best.weight[better], self.best.bias[better] = self.lens.weight[better], self.lens.bias[better]
        self.best_kl[better], self.best_step[better] = kl[better], self.step
        self.curve[self.step] = kl.tolist()
        # A layer whose streams are no numbers has no divergence that could fall; the others' may.
        known = self.best_kl.isfinite()
        has_gained = float(self.best_kl[known].mean()) < (1 - LEAST_GAIN) * float(before[known].mean())
        self.stale = 0 if has_gained else self.stale + 1

    @property
    def contents(self) -> dict[str, Any]:
        """What a file of it holds."""
        tensors = {"weight": self.lens.weight, "bias": self.lens.bias}
        tensors |= {"best_weight": self.best.weight, "best_bias": self.best.bias}
        tensors |= {"best_kl": self.best_kl, "best_step": self.best_step}
        numbers = {"step": self.step, "stale": self.stale, "curve": self.curve}
        return tensors | numbers | {"optimiser": self.optimiser.state_dict()}

    def restore(self, contents: dict[str, Any]) -> None:
        """Go on from what a file holds."""
        for name, tensor in self.contents.items():
            if isinstance(tensor, torch.Tensor):
                tensor.copy_(contents[name])
        self.step, self.stale, self.curve = contents["step"], contents["stale"], contents["curve"]
        self.optimiser.load_state_dict(contents["optimiser"])


@dataclass(frozen=True, eq=False)
class Trained:
    """A lens, and how it came about."""

    lens: TunedLens
    """Of every layer the best translator."""
    best_step: list[int]
    """The step that each is of; 0 is where it began, and `BEFORE` the logit lens."""
    curve: dict[int, list[float]]
    """For each step at which it was measured the divergence of every layer on the stopping text, in nats."""


def trained_lens(model: HookedModel, text: TrainingText, schedule: Schedule, checkpoint: Path) -> Trained:
    """Train a lens, or go on training it.

    Parameters
    ----------
    model
        The model; it is not changed.
    text
        What it is trained on.
    schedule
        How long.
    checkpoint
        A file that is written at every measurement, and that a training that was interrupted goes on from.

    Raises
    ------
    InputError
        If the model has one layer or an output path of which a part is not known here, the text is shorter than a step,
        or the checkpoint is of another training or damaged.
    """
    if model.cfg.n_layers < 2:
        raise InputError("the model has one layer, above which there is nothing that a tuned lens could foresee")
    if n_counted(text.training) < schedule.tokens:
        raise InputError(
            f"the text to train on has {n_counted(text.training)} tokens, fewer than one step takes "
            f"({schedule.tokens}); give more text, or fewer tokens a step"
        )
    training = _Training.begun(model)
    of = schedule.record | {"text": text.sha256}
    _resume(training, checkpoint, of)
    streams = TextStreams.of(model, text.everything)
    streams.require_own_output(text.training[0])
    shown = progress("training the tuned lens", total=schedule.steps, done=training.step, unit="steps")
    with frozen_parameters(model), shown as bar:
        if not training.curve:
            _begin(training, streams, text, schedule)
            _save(training, checkpoint, of)
        while training.step < schedule.steps and training.stale < schedule.patience:
            sequences = schedule.sequences(text.training, training.step)
            training.advance(model, streams.after_blocks(sequences), schedule)
            if training.step % schedule.measure_every == 0 or training.step == schedule.steps:
                _measure(training, streams, text, schedule)
                _save(training, checkpoint, of)
            bar.update()
    return Trained(training.best, training.best_step.tolist(), training.curve)


def sequence_divergences(
    streams: TextStreams, lens: Lens, text: Text, *, at_once: int, precision: str = "float32"
) -> Float[np.ndarray, "shallower sequence"]:
    """The divergence of every layer but the last, summed over the counted tokens of each sequence.

    Parameters
    ----------
    streams, lens, precision
        As for `interp.lenses.lens_divergence.divergences`.
    text
        The sequences.
    at_once
        How many of them run together.
    """
    sums = []
    for batch in batched(text, at_once):
        kl = divergences(streams.model, lens, streams.after_blocks(batch), precision=precision).double()
        sums += [part.sum(1) for part in torch.split(kl, [each.n_counted for each in batch], dim=1)]
    return torch.stack(sums, dim=1).numpy()


def _begin(training: _Training, streams: TextStreams, text: TrainingText, schedule: Schedule) -> None:
    """Begin at the logit lens, or at least squares in the layers where that is closer to the output."""
    training.step = BEFORE
    _measure(training, streams, text, schedule)
    training.step = 0
    if schedule.begin == LEAST_SQUARES:
        at_once = schedule.sequences_at_once(text.training)
        training.stand_at(least_squares_lens(streams, text.training, at_once=at_once))
    _measure(training, streams, text, schedule)
    training.stand_at(training.best)
    training.stale = 0


def _save(training: _Training, checkpoint: Path, of: dict[str, Any]) -> None:
    # Through a file of Python's: of one that it opens itself torch does not tell why it cannot be written.
    with whole_file(checkpoint) as temporary, temporary.open("wb") as file:
        torch.save(training.contents | {"of": of}, file)


def _measure(training: _Training, streams: TextStreams, text: TrainingText, schedule: Schedule) -> None:
    at_once = schedule.sequences_at_once(text.training)
    precision = schedule.precision
    sums = sequence_divergences(streams, training.lens, text.stopping, at_once=at_once, precision=precision)
    kl = torch.from_numpy(sums.sum(1) / n_counted(text.stopping)).float()
    training.measured(kl)
    log.info("step %d: %.4f nats on the stopping text, mean over layers", training.step, float(kl.mean()))


def _resume(training: _Training, checkpoint: Path, of: dict[str, Any]) -> None:
    if not checkpoint.is_file():
        return
    remedy = "remove it and run again"
    try:
        contents = torch.load(checkpoint, map_location="cpu", weights_only=True)
        if contents["of"] != of:
            raise InputError(f"{checkpoint} is of another training; {remedy}")
        training.restore(contents)
    except (OSError, EOFError, pickle.UnpicklingError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{checkpoint} is no training that can go on ({first_line(error)}); {remedy}") from error


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, n: int) -> Sequence[int]:
    return np.random.default_rng([seed, epoch]).permutation(n).tolist()
