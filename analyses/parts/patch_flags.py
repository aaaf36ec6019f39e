"""What interp patch refuses before anything is loaded: flags that no run can use, or that would do nothing."""

from __future__ import annotations

import math

from analyses.parts import flags, patching
from analyses.parts.capturing import layer_numbers
from analyses.parts.patching import Config, metric_of, positions_of
from interp.errors import InputError
from interp.patching.interventions import ABLATIONS

OF_QUESTIONS = ("positions", "pairs", "pair_column", "only_said", "sigmas", "draws", "bootstraps")
"""Flags of this analysis that say nothing of one pair of texts."""


def require_usable(config: Config) -> None:
    """Raise an `InputError` for flags that no run can use, before anything is loaded or written."""
    from interp.positions import require_known

    flags.require_usable(config)
    require_known(positions_of(config))
    layer_numbers(config.layers, n_layers=None)
    flags.require_least(config, dict.fromkeys(("steps", "pairs", "window", "draws", "bootstraps"), 1))
    if not math.isfinite(config.margin):
        raise InputError(f"--margin is {config.margin}; give a number of nats, below 0 for any pair to enter")
    if not (config.sigmas > 0 and math.isfinite(config.sigmas)):
        raise InputError(f"--sigmas is {config.sigmas}; give a number above 0")
    if config.lead == "":
        raise InputError("--lead is empty; give a text, or leave it out")
    _require_of_use(config)
    _require_usable_texts(config)
    n_verified(config)
    if config.screen:
        _require_screenable(config)
    if config.corruption in ABLATIONS and config.metric == "recovery":
        raise InputError(f"--corruption {config.corruption} has no corrupted run to recover from; leave --metric out")
    if config.corruption == "noise" and config.direction == "noise":
        raise InputError("noise on the embeddings is denoised only; leave --direction out, or --corruption")
    if config.readout == "verdict" and (config.corruption != "question" or config.lead is not None):
        raise InputError("--readout verdict contrasts right answers with wrong ones; leave --corruption and --lead out")


def _require_of_use(config: Config) -> None:
    """Raise an `InputError` for a flag that would do nothing beside the others."""
    of_noise = config.corruption == "noise" or config.clean is not None  # Of a pair of texts it is refused as such.
    for flag, is_taken, why in (
        ("steps", config.screen, "is of --screen"),
        ("plain", not config.screen, "sweeps cells, and --screen does not"),
        ("sigmas", of_noise, "is of --corruption noise"),
        ("draws", of_noise, "is of --corruption noise"),
        (
            "direction",
            config.corruption not in ABLATIONS,
            f"is of two runs, and --corruption {config.corruption} has one",
        ),
    ):
        if not is_taken and getattr(config, flag) != getattr(patching.Config(), flag):
            raise InputError(f"--{flag} {why}; leave it out")


def n_verified(config: Config) -> float:
    """How many cells of a screened map are patched exactly; infinity for all of them.

    Raises
    ------
    InputError
        If the flag says something else, nothing is screened, or too few pairs are asked for.
    """
    from interp.patching.patch_map import MIN_PAIRS

    if config.verify is None:
        return 0
    if not config.screen:
        raise InputError("--verify says which cells of a screened map are patched exactly; give --screen with it")
    if config.pairs < MIN_PAIRS:
        raise InputError(
            f"--verify compares means over pairs, of {MIN_PAIRS} or more, and --pairs is {config.pairs}; give it "
            f"{MIN_PAIRS}, or leave --verify out"
        )
    if config.verify == "all":
        return math.inf
    number = config.verify.removeprefix("top:")
    if not (number.isdecimal() and int(number)):
        raise InputError(f"--verify is {config.verify!r}; give top:K, with a number K from 1, or all")
    return int(number)


def _require_screenable(config: Config) -> None:
    """Raise an `InputError` for what attribution patching cannot estimate: it is the gradient of a logit difference."""
    if config.readout == "whole" or config.corruption != "question" or metric_of(config) not in ("recovery", "score"):
        raise InputError("--screen estimates logit differences of two questions; leave --corruption and --metric out")
    if config.window > 1 or config.site == "head_z" or config.clean is not None:
        raise InputError(
            "--screen estimates single layers of pairs of questions; leave --window, head_z and --clean out"
        )


def _require_usable_texts(config: Config) -> None:
    """Raise an `InputError` for flags of one pair of texts, or of questions, that do not go together."""
    from interp.answers.prompts import require_text

    answers = (config.clean_answer, config.corrupt_answer)
    for flag in ("clean", "corrupt", "clean_answer", "corrupt_answer"):
        text = getattr(config, flag)
        if text:  # What is empty has an error of its own.
            require_text(text, flag=f"--{flag.replace('_', '-')}")
    if (config.clean is None) != (config.corrupt is None):
        raise InputError("one pair of texts needs both --clean and --corrupt")
    if "" in answers:
        raise InputError("an answer of no tokens cannot be read; leave --clean-answer and --corrupt-answer out")
    if config.clean is None and answers != (None, None):
        raise InputError(
            "--clean-answer and --corrupt-answer go with --clean and --corrupt; give them, or leave it out"
        )
    if None not in answers and len({str(answer)[0].isspace() for answer in answers}) > 1:
        raise InputError(
            "one of --clean-answer and --corrupt-answer begins with a space, the other does not, so that the space is "
            "read and not the answer; begin both alike"
        )
    if config.clean is not None:
        flags.require_no_questions(config, OF_QUESTIONS, of="a pair of texts")
    if config.clean is not None and (config.readout != "answer" or config.lead is not None):
        raise InputError("one pair of texts is read at its end; leave --readout and --lead out")
    if config.clean is not None and config.corruption in ("noise", "mean"):
        # It has no subject to put noise on, and is the mean of itself.
        raise InputError(f"--corruption {config.corruption} is for sets of questions; leave it out for a pair of texts")
