"""Findings as SARIF 2.1.0, which code hosts show as alerts; written as they come, so that there may be any number."""

from __future__ import annotations

from typing import Any

import msgspec

from ..registry import all_rules
from ..rule import Finding
from ..validate import Summary
from .base import Write, full_path

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


class SarifReport:
    """One document: the rules, then a result a finding."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._count = 0
        self._numbers = {code: number for number, code in enumerate(all_rules())}

    def begin(self) -> None:
        """Write the document's head, with every rule."""
        rules = [
            {
                "id": rule.code,
                "name": rule.name,
                "shortDescription": {"text": rule.sentence},
                "help": {"text": rule.remedy},
                "defaultConfiguration": {"level": rule.severity},
            }
            for rule in all_rules().values()
        ]
        driver = _json({"name": "phi3v-data", "rules": rules})
        self._write(f'{{"$schema":"{_SCHEMA}","version":"2.1.0","runs":[{{"tool":{{"driver":{driver}}},"results":[')

    def add(self, finding: Finding) -> None:
        """Write the result."""
        location: dict[str, Any] = {"artifactLocation": {"uri": full_path(finding)}}
        if finding.line:
            location["region"] = {"startLine": finding.line}
        identity = f"{finding.id}: " if finding.id else ""
        result = {
            "ruleId": finding.rule,
            "ruleIndex": self._numbers[finding.rule],
            "level": finding.severity,
            "message": {"text": identity + finding.message},
            "locations": [{"physicalLocation": location}],
        }
        self._write(("," if self._count else "") + _json(result))
        self._count += 1

    def end(self, summary: Summary) -> None:
        """Write the document's end, with what was not looked at."""
        notes = [{"level": "note", "message": {"text": note}} for note in summary.notes]
        done = {"executionSuccessful": True, "toolExecutionNotifications": notes}
        self._write(f'],"invocations":[{_json(done)}]}}]}}')


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
