"""Findings as annotations of GitHub Actions: they show beside the lines that a change touches."""

from __future__ import annotations

from ...wording import counted
from ..rule import Finding
from ..validate import Summary
from .base import Write, full_path


class GithubReport:
    """A workflow command a finding, `::error file=...,line=...,title=...::message`."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def begin(self) -> None:
        """Nothing stands before the first finding."""

    def add(self, finding: Finding) -> None:
        """Write the annotation."""
        place = [f"file={_property(full_path(finding))}", *([f"line={finding.line}"] if finding.line else [])]
        title = f"title={_property(f'{finding.rule} {finding.name}')}"
        identity = f"{finding.id}: " if finding.id else ""
        self._write(f"::{finding.severity} {','.join([*place, title])}::{_data(identity + finding.message)}")

    def end(self, summary: Summary) -> None:
        """Write what was not looked at, and how many findings there were."""
        for note in summary.notes:
            self._write(f"::notice title=phi3v-data validate::{_data(note)}")
        said = f"{counted(summary.errors, 'error')}, {counted(summary.warnings, 'warning')}"
        self._write(f"::notice title=phi3v-data validate::{said}")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
