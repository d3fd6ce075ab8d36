"""Findings for people: grouped by rule, a few of each, what to do, and a table."""

from __future__ import annotations

from ...wording import counted
from ..registry import all_rules
from ..rule import Finding
from ..validate import Summary
from .base import Write, full_path

_SHOWN = 5


class TextReport:
    """Keeps a few findings of each rule, and shows them at the end, errors first.

    Args:
        write: takes one line after another.
        shown: findings of a rule that are shown.
    """

    def __init__(self, write: Write, shown: int = _SHOWN) -> None:
        self._write = write
        self._shown = shown
        self._kept: dict[str, list[Finding]] = {}

    def begin(self) -> None:
        """Nothing is written before the end."""

    def add(self, finding: Finding) -> None:
        """Keep a finding, if there are not enough of its rule yet."""
        kept = self._kept.setdefault(finding.rule, [])
        if len(kept) < self._shown:
            kept.append(finding)

    def end(self, summary: Summary) -> None:
        """Write the groups, the table and the summary."""
        rules = all_rules()
        order = sorted(self._kept, key=lambda code: (rules[code].severity != "error", list(rules).index(code)))
        for code in order:
            rule = rules[code]
            self._write(f"{rule.severity} {code} {rule.name}: {rule.sentence}")
            for finding in self._kept[code]:
                place = full_path(finding) + (f":{finding.line}" if finding.line else "")
                identity = f" [{finding.id}]" if finding.id else ""
                self._write(f"  {place}{identity}: {finding.message}")
            more = summary.findings[code] - len(self._kept[code])
            if more > 0:
                self._write(f"  ... and {more:,} more")
            self._write(f"  -> {rule.remedy}")
            self._write("")
        for line in summary_lines(summary):
            self._write(line)


def summary_lines(summary: Summary) -> list[str]:
    """Return a table of the rules that found something, and a line on what was looked at."""
    rules = all_rules()
    lines = []
    found = [code for code in rules if summary.findings[code]]
    if len(found) > 1:
        width = max(len(rules[code].name) for code in found)
        lines += [
            f"{code}  {rules[code].name:<{width}}  {rules[code].severity:<7}  {summary.findings[code]:>9,}"
            f"{'  fixable' if rules[code].fixable else ''}"
            for code in found
        ]
        lines.append("")
    lines += [f"note: {note}" for note in summary.notes]
    state = "clean" if not found else f"{counted(summary.errors, 'error')}, {counted(summary.warnings, 'warning')}"
    for address, splits in summary.records.items():
        counts = ", ".join(f"{split} {count:,}" for split, count in splits.items())
        lines.append(f"{address}: records: {counts or 'none'}")
    lines.append(f"{state}; images: {summary.images:,}; level: {summary.level}")
    return lines
