"""Brings a manifest up to date after a file of records was edited by hand."""

from __future__ import annotations

from msgspec.structs import replace

from ..dataset import Dataset
from ..errors import DatasetError
from ..jsonl import read_records
from ..layout import MANIFEST, SplitRow, encode_manifest
from ..wording import counted


def adopt(dataset: Dataset) -> list[str]:
    """Write the manifest anew, so that it describes the files as they are.

    The conservation law holds: records that were taken out count as skipped, and records that were added as discovered.

    Returns:
        A line for each split that has changed.

    Raises:
        DatasetError: there is no manifest, or a file holds lines that are not records.
    """
    manifest = dataset.manifest
    if manifest is None:
        raise DatasetError(f"{dataset.folder.address}: no {MANIFEST} to bring up to date; nothing was changed")
    rows = [_adopted(dataset, row) for row in manifest.splits]
    said = [
        f"{new.split}: {counted(old.records, 'record')}, now {new.records:,}; "
        f"{counted(old.images, 'image')}, now {new.images:,}"
        for old, new in zip(manifest.splits, rows, strict=True)
        if old != new
    ]
    if said:
        dataset.folder.write(MANIFEST, encode_manifest(replace(manifest, splits=rows)))
    return said


def _adopted(dataset: Dataset, row: SplitRow) -> SplitRow:
    if row.split not in dataset.files:
        return row
    records = images = 0
    for record in read_records(dataset.folder, row.file):
        records += 1
        images += sum(1 for _ in record.images())
    removed = row.written - records
    skipped = max(0, row.skipped + removed)
    return replace(
        row,
        sha256=dataset.folder.sha256(row.file),
        records=records,
        images=images,
        written=records,
        skipped=skipped,
        discovered=records + row.quarantined + skipped,
    )
