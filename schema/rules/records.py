"""Rules on the records alone: every line is one, ids are unique, and the manifest tells the truth about them."""

from __future__ import annotations

from collections.abc import Iterator

from ..dataset import Dataset
from ..errors import RecordError
from ..jsonl import read_lines
from ..layout import QUARANTINE, SplitRow
from ..record import Record, decode_record
from ..shards import Shard
from .report import Finding

__all__ = ["RecordRules"]


class RecordRules:
    """Reads every split once, and collects findings on the way.

    Args:
        dataset: what to look at.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.findings: list[Finding] = []
        self.records: dict[str, int] = {}
        self.images = 0
        self._first_seen: dict[str, str] = {}

    def read(self) -> Iterator[tuple[str, int, Record]]:
        """Yield every record that can be read, as (file, line, record); when it ends, `findings` is complete."""
        for split in self.dataset.splits:
            yield from self._read_split(split)
        if self.dataset.manifest is not None:
            self._check_quarantine([row.quarantined for row in self.dataset.manifest.splits])

    def _read_split(self, split: str) -> Iterator[tuple[str, int, Record]]:
        count = images = 0
        for file, number, data in self._lines(split):
            count += 1
            try:
                record = decode_record(data)
            except RecordError as error:
                self._error("record", str(error), file, number)
                continue
            images += sum(1 for _ in record.images())
            place = f"{file}:{number}"
            first = self._first_seen.setdefault(record.id, place)
            if first != place:
                self._error("unique-id", f"the id was seen before, at {first}", file, number, record.id)
            yield file, number, record
        self.records[split] = count
        self.images += images
        if count == 0:
            file = self.dataset.files.get(split, split)
            self.findings.append(Finding(rule="empty-split", severity="warning", message="no records", file=file))
        for row in self.dataset.manifest.splits if self.dataset.manifest else []:
            if row.split == split:
                self._check_row(row, count, images)

    def _lines(self, split: str) -> Iterator[tuple[str, int, bytes]]:
        """Yield a split's records, encoded, with the file and the line (in a tar, the sample) of each, from 1."""
        if split in self.dataset.files:
            file = self.dataset.files[split]
            yield from ((file, line.number, line.data) for line in read_lines(self.dataset.folder, file))
            return
        for name in self.dataset.shards[split]:
            with Shard(self.dataset.folder, name) as shard:
                yield from ((name, number, sample.record) for number, sample in enumerate(shard, 1))

    def _check_row(self, row: SplitRow, count: int, images: int) -> None:
        if row.sha256 != self.dataset.folder.sha256(row.file):
            self._error("manifest", "not the file that dataset.json describes (its sha256 differs)", row.file)
        if row.records != count or row.images != images:
            told, found = f"{row.records} records, {row.images} images", f"{count} records, {images} images"
            self._error("manifest", f"dataset.json says {told}; found {found}", row.file)
        if row.discovered != row.written + row.quarantined + row.skipped:
            parts = f"{row.written} written + {row.quarantined} quarantined + {row.skipped} skipped"
            message = f"split {row.split}: {row.discovered} discovered, but {parts}"
            self._error("conservation", message, row.file)
        if row.written != row.records:
            self._error("conservation", f"{row.written} written, but {row.records} records in the file", row.file)

    def _check_quarantine(self, counts: list[int]) -> None:
        listed = 0
        if self.dataset.folder.exists(QUARANTINE):
            listed = sum(1 for _ in read_lines(self.dataset.folder, QUARANTINE))
        if listed != sum(counts):
            message = f"dataset.json counts {sum(counts)} quarantined samples; {listed} are listed"
            self._error("conservation", message, QUARANTINE)

    def _error(self, rule: str, message: str, file: str, line: int = 0, record: str = "") -> None:
        self.findings.append(Finding(rule=rule, severity="error", message=message, file=file, line=line, id=record))
