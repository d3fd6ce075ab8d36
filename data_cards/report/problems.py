"""What is wrong with a dataset: findings of `validate` by record, and what was quarantined."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ...schema.dataset import Dataset
from ...schema.index import Counting
from ...schema.jsonl import read_lines
from ...schema.layout import QUARANTINE
from ...schema.progress import Progress, silent
from ...schema.rules.registry import codes_for
from ...schema.rules.settings import Limits, Settings
from ...schema.rules.validate import Validation


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One finding, as a page shows it.

    Args:
        rule: its rule.
        severity: error or warning.
        message: what is wrong, and what to do.
        place: file and line.
        id: of the record it is about; "" where it is about none.
    """

    rule: str
    severity: str
    message: str
    place: str
    id: str


def findings_of(
    dataset: Dataset, limits: Limits, counting: Counting | None, workers: int, progress: Progress = silent
) -> list[Problem]:
    """Run the validator over the records and the pixels of their images; what is found out of images is kept.

    Args:
        dataset: what to look at.
        limits: from where on something is too much.
        counting: counts the tokens of texts; without it those of images alone are known.
        workers: processes.
        progress: shows how far it is.
    """
    settings = Settings("pixels", codes_for("pixels", ()), limits, workers, counting)
    return [
        Problem(
            rule=finding.rule,
            severity=finding.severity,
            message=finding.message,
            place=finding.place,
            id=finding.id,
        )
        for finding in Validation([(dataset.folder.address, dataset)], settings, progress).findings()
    ]


def quarantined_items(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield each line of quarantine.jsonl; one that is damaged as its plain text."""
    if not dataset.folder.exists(QUARANTINE):
        return
    for line in read_lines(dataset.folder, QUARANTINE):
        try:
            yield msgspec.json.decode(line.data, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            yield {"id": f"line {line.number}", "stage": "unreadable", "message": f"not valid JSON: {error}"}
