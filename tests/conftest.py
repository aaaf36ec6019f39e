"""Nothing in the tests depends on how fast the machine is, or on which of them runs first."""

from __future__ import annotations

from hypothesis import settings

from tests.stand_in_gpu import known_to_torch

known_to_torch()

# On top of what is loaded: on a CI machine hypothesis draws the same cases each time.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")
