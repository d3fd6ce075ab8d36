"""What is looked at without being asked: before a training run begins, and behind a conversion."""

from __future__ import annotations

from collections.abc import Sequence

from ...storage import is_remote
from ..dataset import Dataset
from ..errors import DatasetError
from ..progress import Progress, silent
from ..wording import counted
from .registry import codes_for
from .reports.base import full_path
from .rule import Level
from .settings import Settings
from .validate import Summary, Validation

# What reads no pixels, and compares nothing but groups.
_CHEAP = ("R", "T", "F", "K", "S601")


def refuse_errors(datasets: Sequence[Dataset], progress: Progress = silent) -> None:
    """Make sure that datasets have no errors that a training run would end over.

    Args:
        datasets: what is trained on, all of it.
        progress: told how it goes.

    Raises:
        DatasetError: they have; names the first, and how many there are of each rule.
    """
    validation = _cheap(datasets, _CHEAP, progress, keep_facts=True)
    first = None
    for finding in validation.findings():
        if first is None and finding.severity == "error":
            first = finding
    if first is None:
        return
    addresses = " ".join(dict.fromkeys(dataset.folder.address for dataset in datasets))
    line = f":{first.line}" if first.line else ""
    raise DatasetError(
        f"{addresses}: {counted(validation.summary.errors, 'error')}, the first in {full_path(first)}{line}: "
        f"{first.message} ({first.rule} {first.name}); phi3v-data validate {addresses} shows them all: fix the data "
        "and rerun, or give --no-validate"
    )


def look_at_conversion(dataset: Dataset) -> Summary:
    """Validate what a conversion wrote."""
    # What a conversion leaves is the same to the byte, wherever and whenever it ran.
    validation = _cheap([dataset], (*_CHEAP, "D"), silent, keep_facts=False)
    for _ in validation.findings():
        pass
    return validation.summary


def _cheap(datasets: Sequence[Dataset], select: Sequence[str], progress: Progress, *, keep_facts: bool) -> Validation:
    # Each header on a store is a round trip; that an image is missing shows soon enough.
    remote = any(is_remote(dataset.folder.address) for dataset in datasets)
    level: Level = "records" if remote else "files"
    opened = [(dataset.folder.address, dataset) for dataset in datasets]
    return Validation(opened, Settings(level, codes_for(level, select), keep_facts=keep_facts), progress)


def summary_in_words(summary: Summary, address: str) -> str:
    """Describe in a few words what was found in a dataset, and where to see it."""
    if not summary.findings:
        return "clean"
    found = f"{counted(summary.errors, 'error')}, {counted(summary.warnings, 'warning')}"
    return f"{found}; phi3v-data validate {address} shows them"
