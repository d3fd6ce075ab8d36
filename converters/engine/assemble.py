"""The end of a conversion: the journal, put into the plan's order, becomes the dataset's files."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import IO

import msgspec

from ...schema.errors import ConversionStopped, RunError
from ...schema.jsonl import read_lines
from ...schema.layout import (
    FORMAT_VERSION,
    MANIFEST,
    QUARANTINE,
    Manifest,
    Quarantined,
    SplitRow,
    encode_manifest,
    records_name,
)
from ...schema.progress import Progress, followed, silent
from ...schema.record import decode_record
from ...schema.shards import sample_columns
from ...schema.wording import counted
from ...storage import Folder
from ..base import Item
from . import fault_injection
from .image_files import ImageSizes, remove_orphans
from .journal import Journal
from .messages import PLANNED, Done, Failed, Failure, encode
from .pack import Packing, pack
from .plan import Plan, SplitPlan
from .settings import Settings

__all__ = ["assemble"]


class _SplitFile:
    """One split's JSONL while it is written, and its counts."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.written = self.images = self.quarantined = 0

    def add(self, record: bytes, images: int) -> None:
        line = record + b"\n"
        fault_injection.write(self._stream, line, "records-half-written")
        self._digest.update(line)
        self.written += 1
        self.images += images

    def row(self, source: str, split: str, planned: SplitPlan) -> SplitRow:
        return SplitRow(
            split=split,
            file=records_name(source, split),
            sha256=self._digest.hexdigest(),
            records=self.written,
            images=self.images,
            discovered=planned.discovered,
            written=self.written,
            quarantined=self.quarantined,
            skipped=planned.skipped,
        )


class _Assembly:
    """One pass over what became of every item: records and failures into their files, and what follows from them."""

    def __init__(self, out: Folder, images: str, plan: Plan, source: str) -> None:
        self._out, self._plan, self._source = out, plan, source
        self._sizes = ImageSizes(out, images)
        self._changed: list[str] = []
        self.columns: set[str] = set()
        self.failed: dict[str, bool] = {}  # what their images' names start with: whether others may show these, too
        self.rows: list[SplitRow] = []

    def write(self, journal: Journal, progress: Progress) -> None:
        """Write every split's JSONL and quarantine.jsonl; they appear together, or not at all."""
        with contextlib.ExitStack() as stack:
            files = {
                split: _SplitFile(stack.enter_context(self._out.create(records_name(self._source, split))))
                for split in self._plan.splits
            }
            quarantine: IO[bytes] | None = None
            whole = followed(self._plan, progress, "Writing records", "items", len(self._plan))
            for index, planned in enumerate(whole):
                outcome = None if planned.skipped or planned.failure else journal.outcome(index)
                failure = outcome.failure if isinstance(outcome, Failed) else planned.failure
                if isinstance(outcome, Done):
                    self._add_record(files[planned.item.split], planned.item, outcome)
                elif failure is not None:
                    quarantine = quarantine or stack.enter_context(self._out.create(QUARANTINE))
                    self._add_failure(files[planned.item.split], planned.item, failure, quarantine)
            self.rows = [files[split].row(self._source, split, counts) for split, counts in self._plan.splits.items()]
            _check_conservation(self.rows)
            self._check_images()
        if quarantine is None:
            self._out.delete(QUARANTINE)

    def _add_record(self, file: _SplitFile, item: Item, outcome: Done) -> None:
        record = decode_record(bytes(outcome.record))
        if not self._sizes.are(record, outcome.sizes):
            self._changed.append(item.path)
        columns = sample_columns(record)
        self.columns.update(columns)
        file.add(bytes(outcome.record), len(columns))

    def _add_failure(self, file: _SplitFile, item: Item, failure: Failure, quarantine: IO[bytes]) -> None:
        file.quarantined += 1
        if failure.stage not in PLANNED:
            self.failed[item.images] = self.failed.get(item.images, False) or bool(item.shared)
        line = Quarantined(id=item.id, split=item.split, path=item.path, **msgspec.structs.asdict(failure))
        fault_injection.write(quarantine, encode(line) + b"\n", "quarantine-half-written")

    def _check_images(self) -> None:
        if self._changed:
            raise ConversionStopped(
                f"{self._out.address}: images were removed or changed while the conversion was at work (of "
                f"{counted(len(self._changed), 'item')}, the first {self._changed[0]}); rerun: progress is kept, they "
                "are made again"
            )

    def records(self) -> Iterator[bytes]:
        """Yield every record as it was written."""
        return (line.data for row in self.rows for line in read_lines(self._out, row.file))


def assemble(
    out: Folder,
    images: str,
    plan: Plan,
    journal: Journal,
    settings: Settings,
    packing: Packing | None,
    progress: Progress = silent,
) -> Manifest:
    """Write every split's JSONL, quarantine.jsonl, the shards if asked for, and, last of all, the manifest.

    Args:
        out: the dataset folder.
        images: the folder in it that the images lie in.
        plan: every item.
        journal: what became of it.
        settings: what made the records.
        packing: how shards are made; None for no shards.
        progress: shows how far it is.

    Raises:
        RunError: the conservation law does not hold; nothing is declared finished.
        ConversionStopped: an image is not there with the size it was written with.
    """
    assembly = _Assembly(out, images, plan, settings.source)
    assembly.write(journal, progress)
    fault_injection.point("records-written")
    remove_orphans(out, images, assembly.failed, assembly.records)
    fault_injection.point("orphans-removed")
    shards: dict[str, list[str]] = {}
    if packing is not None:
        shards = pack(out, packing, assembly.rows, settings.source, sorted(assembly.columns), progress)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        source=settings.source,
        options=settings.options,
        options_digest=settings.digest,
        plan_digest=plan.digest,
        decoders=settings.decoders,
        splits=[msgspec.structs.replace(row, shards=shards.get(row.split, [])) for row in assembly.rows],
    )
    with out.create(MANIFEST) as stream:
        fault_injection.write(stream, encode_manifest(manifest), "manifest-half-written")
    fault_injection.point("manifest-written")
    return manifest


def _check_conservation(rows: list[SplitRow]) -> None:
    for row in rows:
        if row.discovered != row.written + row.quarantined + row.skipped:
            raise RunError(
                f"split {row.split}: {row.discovered} discovered, but {row.written} written + {row.quarantined} "
                f"quarantined + {row.skipped} skipped; this is a bug in phi3v-data, nothing was declared finished"
            )
