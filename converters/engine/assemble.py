"""The end of a conversion: the journal, put into the plan's order, becomes the dataset's files."""

from __future__ import annotations

import contextlib
import hashlib
from typing import IO

import msgspec
from msgspec.structs import replace

from ...schema.errors import RunError
from ...schema.layout import FORMAT_VERSION, MANIFEST, QUARANTINE, Manifest, SplitRow, encode_manifest, records_name
from ...schema.record import decode_record
from ...storage import Folder
from ..base import Item
from . import faults
from .leftovers import discard_unshown
from .messages import Failure, encode
from .outcomes import Outcomes
from .pack import Packing, pack
from .plan import SplitPlan
from .settings import Settings

__all__ = ["Quarantined", "assemble"]


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """One line of quarantine.jsonl: the item, and why it has no record (see `Failure`)."""

    id: str
    split: str
    path: str
    stage: str
    exception: str
    message: str


class _SplitFile:
    """One split's JSONL on its way, and its counts."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.written = self.images = self.quarantined = 0

    def add(self, record: bytes) -> None:
        line = record + b"\n"
        faults.write(self._stream, line, "records-half-written")
        self._digest.update(line)
        self.written += 1
        self.images += sum(1 for _ in decode_record(record).images())

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


def assemble(out: Folder, images: str, outcomes: Outcomes, settings: Settings, packing: Packing | None) -> Manifest:
    """Write every split's JSONL, quarantine.jsonl, the shards if asked for, and, last of all, the manifest.

    Args:
        out: the dataset folder.
        images: the folder in it that the images lie in.
        outcomes: what became of every item.
        settings: what made the records.
        packing: how shards are made; None for no shards.

    Raises:
        RunError: the conservation law does not hold; nothing is declared finished.
    """
    with contextlib.ExitStack() as stack:
        files = {
            split: _SplitFile(stack.enter_context(out.create(records_name(settings.source, split))))
            for split in outcomes.plan.splits
        }
        for settled in outcomes:
            file = files[settled.item.split]
            if isinstance(settled.result, Failure):
                file.quarantined += 1
            else:
                file.add(settled.result)
        rows = [files[split].row(settings.source, split, counts) for split, counts in outcomes.plan.splits.items()]
        _check_conservation(rows)
    faults.point("records-written")
    has_failures = any(row.quarantined for row in rows)
    if has_failures:
        _write_quarantine(out, outcomes)
    else:
        out.delete(QUARANTINE)
    faults.point("quarantine-written")
    if has_failures:
        discard_unshown(out, images, outcomes)
    shards = pack(out, packing, outcomes, settings.source) if packing is not None else {}
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        source=settings.source,
        options=settings.options,
        options_digest=settings.digest,
        plan_digest=outcomes.plan.digest,
        decoders=settings.decoders,
        splits=[replace(row, shards=shards.get(row.split, [])) for row in rows],
    )
    with out.create(MANIFEST) as stream:
        faults.write(stream, encode_manifest(manifest), "manifest-half-written")
    faults.point("manifest-written")
    return manifest


def _write_quarantine(out: Folder, outcomes: Outcomes) -> None:
    with out.create(QUARANTINE) as stream:
        for settled in outcomes:
            if isinstance(settled.result, Failure):
                line = encode(_quarantined(settled.item, settled.result)) + b"\n"
                faults.write(stream, line, "quarantine-half-written")


def _quarantined(item: Item, failure: Failure) -> Quarantined:
    return Quarantined(
        id=item.id,
        split=item.split,
        path=item.path,
        stage=failure.stage,
        exception=failure.exception,
        message=failure.message,
    )


def _check_conservation(rows: list[SplitRow]) -> None:
    for row in rows:
        if row.discovered != row.written + row.quarantined + row.skipped:
            raise RunError(
                f"split {row.split}: {row.discovered} discovered, but {row.written} written + {row.quarantined} "
                f"quarantined + {row.skipped} skipped; this is a fault in phi3v-data, nothing was declared finished"
            )
