"""A few kills of what `benchmarks/kills.py` and `benchmarks/kills_training.py` do by the dozen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.soak


def last_line(script: str, *options: str) -> str:
    command = [sys.executable, str(BENCHMARKS / script), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def test_conversions_killed_at_random_moments_end_in_the_same_bytes() -> None:
    line = last_line("kills.py", "--kills", "2", "--sources", "table", "--forms", "shards alone")
    assert line == "2 kills, seed 0: all trees identical"


def test_training_killed_at_random_moments_ends_in_the_same_weights() -> None:
    assert (
        last_line("kills_training.py", "--kills", "2", "--strategies", "lora") == "2 kills, seed 0: all weights equal"
    )
