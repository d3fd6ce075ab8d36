from __future__ import annotations

from pathlib import Path

import pytest
from conversions import Bench, Pages


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def pages(bench: Bench) -> Pages:
    """The bench with another source: questions, several of which show one page."""
    return Pages(bench)
