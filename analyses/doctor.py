"""Look before an expensive run: a few real answers, what the positions fall on, and what would go wrong.

Asks the model the first questions of the set, shows five answers token by token, says how many answers have each
position and why the others lack it, and tells what the whole run would write and about how long it would take. Exits
with status 1 if that run would be meaningless.
"""

from __future__ import annotations

import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from analyses.parts import asking, flags
from analyses.parts.capturing import DEFAULT_POSITIONS
from analyses.parts.command import execute

if TYPE_CHECKING:
    import xarray as xr

    from interp.examples import Answer
    from interp.models.hooked_model import HookedModel

SHOWN = 5
SHOWN_CONTEXT = 200
BOLD, DIM, GREEN, RED, RESET = "\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m"
STOPPED = 1


@dataclass(frozen=True)
class Config(flags.Config):
    """Look before an expensive run: a few real answers, what the positions fall on, and what would go wrong."""

    sample: int = 40
    """How many of the questions to ask for the check-up."""
    positions: str = DEFAULT_POSITIONS
    """Columns of the planned map, separated by commas."""
    folds: int = 5
    """Folds of the planned cross-fitting."""


def run(config: Config) -> int:
    """Ask the sample, show it, judge it; 1 if the run would be meaningless."""
    from interp.answers.answers import summary
    from interp.answers.checkup import findings
    from interp.positions import position_table, require_known

    flags.require_usable(config)
    positions = flags.listed(config.positions)
    require_known(positions)
    flags.require_least(config, {"sample": 1})
    setting = asking.setting_of(config)
    questions, sample = setting.questions, setting.questions.first(config.sample)
    model = setting.model()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        answers = asking.asked(replace(setting, questions=sample), Path(scratch))
    answering = (time.monotonic() - started) / len(answers)
    table = position_table(answers, positions)
    _show_examples(answers[:SHOWN], table, model)
    _show_coverage(table)
    print(f"\nThe sample: {len(answers)} of {len(questions.questions)} questions")
    for label, count in summary(answers, sample).items():
        print(f"{count:6d}  {label}")
    _show_cost(config, model, answers, table, answering)
    found = findings(answers, questions.questions, folds=config.folds, tokenizer=model.tokenizer)
    print("", *(map(str, found) if found else ["nothing to warn of"]), sep="\n")
    return STOPPED if any(finding.fatal for finding in found) else 0


def _show_examples(answers: Sequence[Answer], table: xr.Dataset, model: HookedModel) -> None:
    """Every token of some answers on a line of its own, with the positions that fall on it."""
    colour = sys.stdout.isatty()

    def in_colour(text: str, *codes: str) -> str:
        return f"{''.join(codes)}{text}{RESET}" if colour else text

    for row, answer in enumerate(answers):
        verdict = {True: "correct", False: "wrong", None: f"not judged: {answer.why_missing}"}[answer.correct]
        tint = {True: GREEN, False: RED, None: DIM}[answer.correct]
        print(in_colour(f"\n{_asked(answer)!r}  gold: {answer.question.gold}", BOLD))
        print(in_colour(f"{answer.text!r}  {verdict}", tint))
        names: dict[int, list[str]] = {}
        for name, token in zip(table["position"].values.tolist(), table["token"].values[row].tolist(), strict=True):
            names.setdefault(token, []).append(name)
        exact = range(0)
        if answer.exact is not None:
            first, last = (end(answer.exact) for end in (answer.generated.first_token, answer.generated.last_token))
            exact = range(answer.n_prompt + first, answer.n_prompt + last + 1)
        for index, token_id in enumerate(answer.token_ids):
            token = repr(model.tokenizer.decode([token_id]))
            mark = "█" if index in exact else "│" if index >= answer.n_prompt else " "
            line = f"{index:5d} {mark} {token:18} {', '.join(names.get(index, []))}".rstrip()
            print(in_colour(line, tint, BOLD) if index in exact else line if index in names else in_colour(line, DIM))


def _asked(answer: Answer) -> str:
    """The question, after the beginning of its context."""
    context, text = answer.question.context, answer.question.text
    return text if context is None else f"{textwrap.shorten(context, SHOWN_CONTEXT, placeholder=' …')} {text}"


def _show_coverage(table: xr.Dataset) -> None:
    """For every position: how many answers have it, why the others lack it, and what it most often coincides with."""
    from interp.positions import coincidence, missing_by_reason, resolved_mask

    missing, rates = missing_by_reason(table), coincidence(table)
    n_resolved = resolved_mask(table).sum(axis=0)
    print(f"\n{'position':26}{'n':>5}  {'missing':34}same token as")
    for name, n in zip(table["position"].values.tolist(), n_resolved.tolist(), strict=True):
        reasons = ", ".join(f"{count} {reason}" for reason, count in missing.get(name, {}).items())
        others = rates.sel(position=name).drop_sel(other_position=name)
        shared = [(float(rate), str(rate["other_position"].item())) for rate in others if rate > 0]
        told = ", ".join(f"{other} {rate:.0%}" for rate, other in sorted(shared, reverse=True)[:2])
        print(f"{name:26}{n:5d}  {reasons:33} {told}")


def _show_cost(
    config: Config, model: HookedModel, answers: Sequence[Answer], table: xr.Dataset, answering: float
) -> None:
    """What the whole run would write, and how long it would ask and capture at the sample's speed."""
    from interp.activations.batch_activations import site_activations
    from interp.work.batches import batched

    started = time.monotonic()
    n_bytes = 0
    cells = table["token"].values
    for batch in batched(range(len(answers)), config.batch_size):
        streams = site_activations(model, [answers[index].token_ids for index in batch], cells[list(batch)])
        n_bytes += streams.numel() * streams.element_size()
    capturing = (time.monotonic() - started) / len(answers)
    scale = config.n / len(answers)
    print(
        f"\nThe whole run: about {n_bytes * scale / 1e6:,.0f} MB of activations in {config.runs}, "
        f"up to {answering * config.n:,.0f} s to answer and {capturing * config.n:,.0f} s to capture (less in larger "
        "batches than the sample's; probing comes on top)"
    )


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.doctor"))
