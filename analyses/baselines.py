"""What the model's own probabilities tell of its answers' correctness, without a probe.

Reads the log-probabilities and the logits of the generated tokens (mean, min, max, last; of the whole answer and of the
exact answer), and asks the model whether each answer is true, in both orders of the choices. Gives each of these
baselines its AUC for errors with its interval, on the answers of the probe map, and draws them beside it if it is
there. Writes baselines.nc, .pdf and .png. An interrupted run goes on where it was.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses.parts import asking, flags, loading
from analyses.parts.command import execute
from analyses.parts.runs import (
    Identity,
    kept_arrays,
    provenance,
    publish,
    require_publishable,
    reusable_result,
    value_in_words,
)

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from interp.examples import Answer
    from interp.models.hooked_model import HookedModel
    from interp.results.estimates import Estimates


@dataclass(frozen=True)
class Config(flags.Config):
    """What the model's own probabilities tell of its answers' correctness, without a probe."""

    p_true: bool = True
    """Also ask the model whether each answer is true, four times: the whole and the exact answer, in both orders."""
    figures: Path = Path("figures")
    """Folder of results: <model>/<dataset>/baselines.{nc,pdf,png}."""
    overwrite: bool = False
    """Replace the result of another run."""


def run(config: Config) -> None:
    """Answer, read the probabilities, ask, draw."""
    from interp.results.estimates import Estimates

    flags.require_usable(config)
    setting = asking.setting_of(config)
    identity = identity_of(setting, p_true=config.p_true)
    work, folder = work_folder(setting, identity), config.figures / setting.place
    require_publishable(folder / "baselines.nc", identity, overwrite=config.overwrite)
    estimates = reusable_result(Estimates, work / "baselines.nc", identity)
    if estimates is None:
        made = measured(setting, work)
        estimates = made.with_attributes(provenance(identity) | {"beside": "probe.nc"})
        estimates.save(work / "baselines.nc")
    print(*publish(work / "baselines.nc", folder / "baselines.nc", overwrite=config.overwrite), sep="\n")
    print(in_words(estimates))


def identity_of(setting: asking.Setting[flags.Config], *, p_true: bool) -> dict[str, Any]:
    """All that decides the baselines."""
    return asking.identity_of(setting) | {"p_true": p_true}


def work_folder(setting: asking.Setting[flags.Config], identity: Identity) -> Path:
    """Where what is computed for them is kept."""
    return setting.work("baselines", identity)


def measured(setting: asking.Setting[Config], work: Path) -> Estimates:
    """The baselines of this configuration; every finished part is on disk in `work`."""
    import numpy as np

    from interp.answers.answers import summary
    from interp.probes.baselines import baseline_estimates
    from interp.statistics.groups import numbered

    questions = setting.questions
    answers, _ = asking.answers_of(setting)
    judged = [answer for answer in answers if answer.correct is not None]
    wrong = np.array([answer.correct is False for answer in judged], dtype=bool)
    group = numbered([answer.question.group for answer in judged])
    scores = baseline_scores(judged, setting.model, work, p_true=setting.config.p_true)
    estimates = baseline_estimates(scores, wrong, group)
    record = loading.record_of(setting.config, setting.source)
    record |= {"dataset": questions.name, "credit": questions.credit}
    return estimates.with_attributes(record | {"counts": json.dumps(summary(answers, questions))})


def baseline_scores(
    answers: Sequence[Answer], model: Callable[[], HookedModel], work: Path, *, p_true: bool
) -> dict[str, Float[np.ndarray, " example"]]:
    """The confidence of every baseline in every answer, by its name."""
    from interp.probes.baselines import ORDERS, probability_scores, readings_of
    from interp.probes.baselines import p_true as asked_whether_true

    def of_probabilities() -> dict[str, np.ndarray]:
        return probability_scores(answers, readings_of(model(), answers))

    def asked(order: str, exact: bool) -> dict[str, np.ndarray]:
        return {_name(order, exact): asked_whether_true(model(), answers, order, exact=exact)}

    scores = kept_arrays(work / "probabilities.npz", of_probabilities)
    for exact, order in product((False, True), ORDERS if p_true else ()):
        scores |= kept_arrays(work / f"{_name(order, exact)}.npz", partial(asked, order, exact))
    return scores


def _name(order: str, exact: bool) -> str:
    return f"{order}-exact" if exact else order


def in_words(estimates: Estimates) -> str:
    """Every baseline with its interval and its n, and what those without a value lack."""
    from interp.questions.answer_columns import MIN_PER_CLASS

    data = estimates.data
    columns = zip(estimates.names, *(data[name].values.tolist() for name in ("value", "low", "high", "n")), strict=True)
    lines = [f"{name:24}{value_in_words(*interval):>24}{n:6d}" for name, *interval, n in columns]
    lacking = f"–: fewer than {MIN_PER_CLASS} judged answers of either class, right or wrong, have it"
    return "\n".join(
        ["", f"{data.attrs['metric']} [95 % interval], n", *lines, *([lacking] if data["value"].isnull().any() else [])]
    )


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.baselines"))
