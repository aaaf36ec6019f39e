"""Interventions: what is patched into what.

============  ============================  ===============  ==========================================================
corruption    receiver                      donor            source
============  ============================  ===============  ==========================================================
``question``  another question's run        the clean run    Vig et al. 2020 (arXiv 2004.12265); ``noise`` turns it
                                                             round
``noise``     the clean prompt with noise   the clean run    Meng et al. 2022 (arXiv 2202.05262), causal tracing
              on the subject's embeddings
``zero``      the clean run                 zeros
``mean``      the clean run                 all pairs' mean  Wang et al. 2023 (arXiv 2211.00593)
``resample``  the clean run                 another          Chan et al. 2022, causal scrubbing
                                            question's run
============  ============================  ===============  ==========================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from interp.errors import unknown_name

Direction = Literal["denoise", "noise"]
Corruption = Literal["question", "noise", "zero", "mean", "resample"]
ABLATIONS = ("zero", "mean", "resample")


@dataclass(frozen=True)
class Intervention:
    """What is patched into what."""

    site: str = "resid_post"
    direction: Direction = "denoise"
    """Clean vectors into a corrupted run, or corrupted ones into a clean run."""
    corruption: Corruption = "question"
    sigmas: float = 3.0
    """Of the noise, in deviations of the components of the stream before the first block at subjects' tokens."""
    draws: int = 3
    """Of the noise; what is read is the mean over them."""
    seed: int = 0
    """Of the noise."""
    margin: float = 1.0
    """By how much the score of the clean run must be above that of the corrupted one, in nats."""
    only_said: bool = True
    """Whether both answers must be what the model says first in its own run."""
    plain: bool = False
    """Run every patch as a whole forward pass."""
    screen_steps: int = 0
    """Estimate scores by attribution patching with so many steps, in place of patching; 0 patches."""

    def __post_init__(self) -> None:
        for kind, name, known in (
            ("direction", self.direction, get_args(Direction)),
            ("corruption", self.corruption, get_args(Corruption)),
        ):
            if name not in known:
                raise unknown_name(kind, name, known)

    @property
    def receives_clean(self) -> bool:
        """Whether it is the clean run that is patched."""
        return self.is_ablation or self.direction == "noise"

    @property
    def is_ablation(self) -> bool:
        """Whether there is no corrupted run."""
        return self.corruption in ABLATIONS

    @property
    def gives_other(self) -> bool:
        """Whether vectors are taken from the other question's run."""
        return self.corruption == "resample" or (self.corruption == "question" and self.direction == "noise")
