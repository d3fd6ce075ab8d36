"""What is asked of a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from ..rule import Finding
from ..validate import Summary

Write: TypeAlias = Callable[[str], object]


class Report(Protocol):
    """Is told of one finding after another, and of the end."""

    def begin(self) -> None:
        """Write what stands before the first finding."""

    def add(self, finding: Finding) -> None:
        """Report one finding, now or at the end."""

    def end(self, summary: Summary) -> None:
        """Write what stands behind the last."""


def full_path(finding: Finding) -> str:
    """Return the path of a finding's file, from where the command was given."""
    if not finding.file:
        return finding.dataset
    folder = finding.dataset
    if folder.endswith((".jsonl", ".jsonl.gz", ".jsonl.zst", ".tar")):
        folder = folder.rpartition("/")[0]
    return f"{folder}/{finding.file}" if folder else finding.file
