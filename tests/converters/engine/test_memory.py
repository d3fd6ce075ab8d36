from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

_MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _peak(bench: Any, out: str) -> int:
    """The peak memory of the largest process of a conversion, in KiB."""
    command = [sys.executable, "-c", _MEASURED, *bench.line(out)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_items(bench: Any) -> None:
    bench.write({"train": 100})
    few = _peak(bench, "few")
    bench.write({"train": 5000}, pictures=1)
    many = _peak(bench, "many")
    assert many < 1.15 * few
