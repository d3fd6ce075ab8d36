"""What the validator found: findings, and their report as text or JSON."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec

from ..wording import counted

__all__ = ["Finding", "Report", "Severity"]

Severity = Literal["error", "warning"]


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is not as it should be.

    Args:
        rule: the rule's name.
        severity: an error makes the dataset unfit for training; a warning does not.
        message: what is wrong and what to do.
        file: where, relative to the dataset folder.
        line: line of that file, counted from 1.
        id: the record's id.
    """

    rule: str
    severity: Severity
    message: str
    file: str = ""
    line: int = 0
    id: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        shown = f" [{self.id}]" if self.id else ""
        return f"{self.severity}: {place}{shown}: {self.message} ({self.rule})"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything found in one dataset.

    Args:
        dataset: its address.
        level: how deep it was looked at.
        records: records read, a split.
        images: images the records show.
        findings: in the order of files and lines.
    """

    dataset: str
    level: str
    records: dict[str, int]
    images: int
    findings: list[Finding]

    @property
    def errors(self) -> int:
        """Number of findings of severity error."""
        return sum(finding.severity == "error" for finding in self.findings)

    def as_json(self) -> bytes:
        """Return the report as one JSON object."""
        return msgspec.json.encode(self)

    def as_text(self, most: int = 20) -> str:
        """Return the report for people: at most `most` findings of each rule, then how many more there are."""
        shown: Counter[str] = Counter()
        lines = []
        for finding in self.findings:
            shown[finding.rule] += 1
            if shown[finding.rule] <= most:
                lines.append(str(finding))
        lines += [f"... and {count - most} more of {rule}" for rule, count in shown.items() if count > most]
        splits = ", ".join(f"{split} {count}" for split, count in self.records.items())
        warnings = len(self.findings) - self.errors
        verdict = "clean" if not self.findings else f"{counted(self.errors, 'error')}, {counted(warnings, 'warning')}"
        lines.append(f"{self.dataset}: {verdict}; records: {splits}; images: {self.images}; level: {self.level}")
        return "\n".join(lines)
