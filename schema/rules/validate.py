"""Run the rules of a level over a dataset."""

from __future__ import annotations

from typing import Literal

from ..dataset import Dataset
from .files import FileRules
from .records import RecordRules
from .report import Finding, Report

__all__ = ["Level", "validate"]

Level = Literal["records", "files"]


def validate(dataset: Dataset, level: Level = "files") -> Report:
    """Look at a whole dataset, one record in memory at a time.

    Args:
        dataset: what to look at.
        level: `records` reads the JSONL and the manifest; `files` opens the header of every image, too.

    Raises:
        DatasetError: a file of records cannot be read at all.
    """
    records, files = RecordRules(dataset), FileRules(dataset)
    findings: list[Finding] = []
    for file, line, record in records.read():
        if level == "files":
            findings += files.check(file, line, record)
    # Without a manifest the folder may hold other people's images, and one JSONL need not show them all.
    if level == "files" and dataset.manifest is not None:
        findings += files.unshown()
    findings += records.findings
    findings.sort(key=lambda finding: (finding.file, finding.line))
    return Report(
        dataset=dataset.folder.address,
        level=level,
        records=records.records,
        images=records.images,
        findings=findings,
    )
