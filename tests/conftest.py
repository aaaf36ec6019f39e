"""Nothing in the tests depends on how fast the machine is."""

from __future__ import annotations

from hypothesis import settings

# On top of what is loaded: on a CI machine hypothesis draws the same cases each time.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")
