"""The end of a conversion: the journal, put into the plan's order, becomes the dataset's files."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import IO, Any

import msgspec

from ...schema import layout
from ...schema.errors import ConversionStopped, RunError
from ...schema.jsonl import read_lines
from ...schema.layout import FORMAT_VERSION, Manifest, Quarantined, SplitRow, encode_manifest, records_name
from ...schema.progress import Progress, followed, silent
from ...schema.record import decode_record
from ...schema.shards import Sample, ShardWriter, sample_columns
from ...schema.wording import counted
from ...storage import Folder, LocalFolder
from . import fault_injection
from .header import RunHeader
from .image_files import ImageSizes, remove_orphans
from .journal import Journal
from .messages import Done, Failed, encode
from .plan import Plan, SplitPlan

# An object store answers many questions at once; a disk gains nothing by them.
_READERS_OF_A_STORE, _READ_AHEAD = 16, 64


def assemble(
    out: Folder,
    images: str,
    plan: Plan,
    journal: Journal,
    header: RunHeader,
    shard_size: int | None,
    progress: Progress = silent,
) -> Manifest:
    """Write every split's JSONL, quarantine.jsonl, the shards if asked for, and, last of all, the manifest.

    The images lie in the folder `images` of the dataset. A shard does not exceed `shard_size` bytes unless one sample
    alone does; None is for no shards.

    Raises:
        RunError: the conservation law does not hold; nothing is declared finished.
        ConversionStopped: an image is not there with the size it was written with.
    """
    rows, columns, failed = _write_records(out, images, plan, journal, header.source, progress)
    fault_injection.point("records-written")
    remove_orphans(out, images, failed, (line.data for row in rows for line in read_lines(out, row.file)))
    fault_injection.point("orphans-removed")
    if shard_size is not None:
        out.delete(layout.SHARDS)
        pack = partial(ShardWriter, out, header.source, size=shard_size, columns=sorted(columns))
        rows = [_packed(out, images, row, pack(row.split), progress) for row in rows]
        fault_injection.point("shards-written")
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        source=header.source,
        options=header.options,
        options_digest=hashlib.sha256(msgspec.json.encode(header.options, order="sorted")).hexdigest(),
        plan_digest=plan.digest,
        decoders=header.decoders,
        splits=rows,
    )
    with out.create(layout.MANIFEST) as stream:
        fault_injection.write(stream, encode_manifest(manifest), "manifest-half-written")
    fault_injection.point("manifest-written")
    return manifest


class _SplitFile:
    """One split's JSONL while it is written, and its counts."""

    def __init__(self, stream: IO[bytes], planned: SplitPlan) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.counts: dict[str, Any] = {"written": 0, "quarantined": 0, "images": 0, **vars(planned)}

    def add(self, record: bytes, images: int) -> None:
        line = record + b"\n"
        fault_injection.write(self._stream, line, "records-half-written")
        self._digest.update(line)
        self.counts["written"] += 1
        self.counts["images"] += images

    def row(self, split: str, name: str) -> SplitRow:
        """Return the split's row of the manifest; RunError where the conservation law does not hold."""
        row = SplitRow(
            split=split, file=name, sha256=self._digest.hexdigest(), records=self.counts["written"], **self.counts
        )
        if row.discovered != row.written + row.quarantined + row.skipped:
            raise RunError(
                f"split {split}: {row.discovered} discovered, but {row.written} written + {row.quarantined} "
                f"quarantined + {row.skipped} skipped; this is a bug in phi3v-data, nothing was declared finished"
            )
        return row


def _write_records(
    out: Folder, images: str, plan: Plan, journal: Journal, source: str, progress: Progress
) -> tuple[list[SplitRow], set[str], set[str]]:
    """Write every split's JSONL and quarantine.jsonl; they appear together, or not at all.

    Returns:
        The rows of the manifest; every column that an image has in shards; what failed items' image names start with.
    """
    columns: set[str] = set()
    failed: set[str] = set()
    changed: list[str] = []
    sizes = ImageSizes(out, images)
    names = {split: records_name(source, split) for split in plan.splits}
    quarantine: IO[bytes] | None = None
    with contextlib.ExitStack() as stack:
        files = {
            split: _SplitFile(stack.enter_context(out.create(names[split])), planned)
            for split, planned in plan.splits.items()
        }
        for index, planned in enumerate(followed(plan, progress, "Writing records", "items", len(plan))):
            item, failure = planned.item, planned.failure
            outcome = None if planned.skipped or failure else journal.outcome(index)
            if isinstance(outcome, Done):
                record = decode_record(bytes(outcome.record))
                if sizes.of(record) != outcome.sizes:
                    changed.append(item.path)
                columns.update(sample_columns(record))
                files[item.split].add(bytes(outcome.record), len(outcome.sizes))
            elif isinstance(outcome, Failed):
                failure = outcome.failure
                failed.add(item.images)
            if failure is not None:
                files[item.split].counts["quarantined"] += 1
                quarantine = quarantine or stack.enter_context(out.create(layout.QUARANTINE))
                line = Quarantined(id=item.id, split=item.split, path=item.path, **msgspec.structs.asdict(failure))
                fault_injection.write(quarantine, encode(line) + b"\n", "quarantine-half-written")
        rows = [file.row(split, names[split]) for split, file in files.items()]
        if changed:
            raise ConversionStopped(
                f"{out.address}: images were removed or changed while the conversion was at work (of "
                f"{counted(len(changed), 'item')}, the first {changed[0]}); rerun: progress is kept, they are made "
                "again"
            )
    if quarantine is None:
        out.delete(layout.QUARANTINE)
    return rows, columns, failed


def _packed(out: Folder, images: str, row: SplitRow, writer: ShardWriter, progress: Progress) -> SplitRow:
    """Put a split's records and images into shards, in the records' order; return its row with their names."""
    with writer:
        samples = _samples(out, images, (line.data for line in read_lines(out, row.file)))
        for sample in followed(samples, progress, f"Writing shards of {row.split}", "records", row.records):
            writer.add(sample)
            fault_injection.point("shard-half-written")
    return msgspec.structs.replace(row, shards=writer.names)


def _samples(out: Folder, images: str, records: Iterator[bytes]) -> Iterator[Sample]:
    def sample(record: bytes) -> Sample:
        return Sample(record, [out.read(f"{images}/{name}") for name in decode_record(record).images()])

    if isinstance(out, LocalFolder):
        yield from map(sample, records)
        return
    with ThreadPoolExecutor(_READERS_OF_A_STORE) as readers:
        while batch := list(islice(records, _READ_AHEAD)):
            yield from readers.map(sample, batch)
