"""How often each rule found something, and nothing else."""

from __future__ import annotations

from ..rule import Finding
from ..validate import Summary
from .base import Write
from .text import summary_lines


class StatisticsReport:
    """A line a rule."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def begin(self) -> None:
        """Nothing stands before the end."""

    def add(self, finding: Finding) -> None:
        """Findings themselves are not shown."""

    def end(self, summary: Summary) -> None:
        """Write the table."""
        for line in summary_lines(summary):
            self._write(line)
