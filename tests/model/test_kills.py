"""A capture, or a sweep of patches, that is killed at any instant ends as one that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

KILLS = 60


def test_what_is_killed_again_and_again_ends_as_what_is_undisturbed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.kills", str(tmp_path), "--random", str(KILLS)]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["steps"] > 30
    assert found["same_after_step"] == found["steps"]
    assert found["killed"] >= KILLS
    assert found["ended"] == found["same"] >= 1
    assert found["steps_of_patching"] >= 20, "three parts, and what they are parts of"
    assert found["same_after_step_of_patching"] == found["steps_of_patching"]
