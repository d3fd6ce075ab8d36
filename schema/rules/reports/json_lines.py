"""Findings as JSON lines, each written when it is found, and the summary as the last."""

from __future__ import annotations

from typing import Any

import msgspec

from ..rule import Finding
from ..validate import Summary
from .base import Write


class JsonReport:
    """An object a line: findings as they come, then `{"summary": ...}`."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def begin(self) -> None:
        """Nothing stands before the first finding."""

    def add(self, finding: Finding) -> None:
        """Write the finding."""
        self._write(msgspec.json.encode(finding).decode())

    def end(self, summary: Summary) -> None:
        """Write the summary."""
        found: dict[str, Any] = {
            "records": {address: dict(splits) for address, splits in summary.records.items()},
            "images": summary.images,
            "errors": summary.errors,
            "warnings": summary.warnings,
            "findings": dict(summary.findings),
            "notes": summary.notes,
        }
        self._write(msgspec.json.encode({"summary": found}).decode())
