"""What analyses of sampled answers begin with: greedy and sampled answers, one cell of them, where results go."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses.parts import asking, capturing, flags, loading, probing, procedures, sampling
from analyses.parts.capturing import DEFAULT_SITE
from analyses.parts.runs import Identity, draw, provenance
from interp.errors import InputError

if TYPE_CHECKING:
    import torch

    from interp.examples import Answer
    from interp.results.estimates import Estimates
    from interp.statistics.auc import Interval


@dataclass(frozen=True)
class Config(flags.Config):
    """Which answers are sampled, and which cell of them is probed."""

    samples: int = 10
    """So many sampled answers to each question beside the greedy one ('interp answers --samples' draws the same)."""
    temperature: float = 1.0
    """Of the samples."""
    site: str = DEFAULT_SITE
    """What of a block to probe, as for 'interp probe'."""
    layer: int | None = None
    """The layer to probe; by default two thirds of the way up (20 of the layers 0 to 29). Take one that was not chosen
    on the same questions, or say that it was."""
    position: str = "exact_answer_last"
    """The token to probe, by one of the names that 'interp probe --positions' takes (write --position=-1)."""
    folds: int = 5
    """Folds of the cross-fitting."""
    c: tuple[float, ...] = probing.STRENGTHS
    """Inverse strength of the L2 regularisation; of several one is chosen for each fold, within the other folds."""
    token_budget: int | None = None
    """Tokens in one forward pass of the capture, padding included; by default what suits the device."""
    figures: Path = Path("figures")
    """Folder of results: <model>/<dataset>/."""
    overwrite: bool = False
    """Replace the result of another run."""


@dataclass(frozen=True)
class Setting(asking.Setting[Config]):
    """What a run about samples is about, and the one cell that is probed."""

    @property
    def cell(self) -> asking.Setting[capturing.Config]:
        """The same, with the flags of a capture of nothing but the cell."""
        shared = {each.name: getattr(self.config, each.name) for each in fields(flags.Config)}
        of_cell = capturing.Config(
            **shared, positions=self.config.position, layers=str(self.layer), token_budget=self.config.token_budget
        )
        return asking.Setting(of_cell, self.source, self.questions, self.model)

    @property
    def layer(self) -> int:
        """The layer that is probed; raises an `InputError` if the model does not have it."""
        n_layers = loading.n_layers_of(self.source, self.model)
        layer = 2 * n_layers // 3 if self.config.layer is None else self.config.layer
        if not 0 <= layer < n_layers:
            raise InputError(f"--layer is {layer}, and the model has the layers 0 to {n_layers - 1}")
        return layer

    @property
    def folder(self) -> Path:
        """Where results go."""
        return self.config.figures / self.place

    def identity(self) -> dict[str, Any]:
        """All that decides the samples, the activations and the probe."""
        names = ("samples", "temperature", "batch_size", "site", "position", "folds")
        chosen = {name: getattr(self.config, name) for name in names}
        chosen |= {"c": list(self.config.c), "layer": self.layer} | procedures.SAMPLES
        return asking.identity_of(self) | chosen

    def greedy(self) -> capturing.Captured:
        """The greedy answers, with the activations of the cell."""
        return capturing.captured(self.cell, [self.config.site])

    def samples(self) -> list[list[Answer]]:
        """For each draw the sampled answers, in the order of the questions."""
        from interp.answers.answer_files import load_answers
        from interp.models.hooked_model import Sampling

        drawn = Sampling(self.config.temperature, self.config.seed)
        files = sampling.sample_files(self, drawn, n=self.config.samples)
        draws = [{answer.question.id: answer for answer in load_answers(path)[0]} for path in files]
        return [[draw[question.id] for question in self.questions.questions] for draw in draws]

    def activations(self, answers: list[Answer]) -> torch.Tensor:
        """The cell of some answers, from the store of exactly these, or from the model; NaN where one lacks it."""
        captured = capturing.captured_at(self.cell, [self.config.site], answers)
        return captured.stores[self.config.site].cell(self.layer, self.config.position)


def setting_of(config: Config) -> Setting:
    """What a run is about; raises an `InputError` for a flag that it cannot use, before anything is written."""
    from interp.models.hooked_model import Sampling
    from interp.positions import require_known

    flags.require_usable(config)
    flags.require_least(config, {"samples": 1, "folds": 2})
    if not config.c or not all(math.isfinite(c) and c > 0 for c in config.c):
        raise InputError(f"--c is {' '.join(map(str, config.c)) or 'empty'}; give numbers above 0")
    if len(config.c) > 1 and config.folds < probing.FOLDS_TO_NEST:
        raise InputError(f"--folds {config.folds} leaves nothing to choose among several --c on; give 3 folds or more")
    Sampling(config.temperature, config.seed)
    require_known([config.position])
    questions, source = asking.questions_of(config), loading.source_of(config)
    return Setting(config, source, questions, loading.once_loaded(config, source))


def record_of(setting: Setting, captured: capturing.Captured, identity: Identity) -> dict[str, str]:
    """The attributes by which a result says what it is of."""
    store = captured.stores[setting.config.site]
    record = capturing.record_of(setting.cell, captured.answers, captured.table, store)
    return record | {"layer": str(setting.layer), "position": setting.config.position} | provenance(identity)


def published(path: Path, estimates: Estimates) -> list[Path]:
    """Write estimates and draw them; the paths of what was written."""
    estimates.save(path)
    return [path, *draw(path, path)]


def interval_in_words(interval: Interval) -> str:
    """A value with its interval, a value without one, or a dash."""
    value, low, high = interval
    if value != value:
        return "–"
    return f"{value:.3f} [no interval]" if low != low else f"{value:.3f} [{low:.3f}, {high:.3f}]"
