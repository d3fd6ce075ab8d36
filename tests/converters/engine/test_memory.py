from __future__ import annotations

import subprocess
import sys

import pytest
from conversions import Bench, Pages

_MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _peak(bench: Bench, out: str) -> int:
    """The peak memory of the largest process of a conversion, in KiB."""
    command = [sys.executable, "-c", _MEASURED, *bench.line(out)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def _ask(pages: Pages, questions: int) -> None:
    """So many questions, a hundred a page; every tenth is no question."""
    for number in range(questions // 100):
        pages.page(f"p{number}")
    pages.ask(*({"page": f"p{number // 100}"} if number % 10 else "no question" for number in range(questions)))


@pytest.mark.soak
def test_peak_memory_does_not_grow_with_the_number_of_items(pages: Pages) -> None:
    _ask(pages, 1_000)
    few = _peak(pages.bench, "few")
    _ask(pages, 50_000)
    many = _peak(pages.bench, "many")
    assert many - few < 8_000  # KiB, of which the place of each item in the journal takes 9 bytes an item
