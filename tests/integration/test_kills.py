from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "kills.py"


@pytest.mark.slow
def test_conversions_killed_at_random_moments_end_in_the_same_bytes() -> None:
    command = [sys.executable, str(BENCHMARK), "--kills", "3", "--sources", "table"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "3 kills, seed 0: all trees identical"
