"""A finished dataset, looked at again: is everything there that its manifest names, and what is settled if not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import msgspec

from ...schema.errors import DatasetError
from ...schema.jsonl import read_lines
from ...schema.layout import IMAGES, MANIFEST, QUARANTINE, Manifest, Quarantined
from ...schema.record import decode_record
from ...schema.shard_index import read_whole_index
from ...schema.wording import counted
from ...storage import Folder
from .image_files import ImageSizes
from .messages import PLANNED, Done, Failed, Failure, encode
from .pack import unpack
from .plan import Plan

__all__ = ["missing_files", "outcomes"]

Kept = TypeVar("Kept")


def missing_files(out: Folder, manifest: Manifest, images: str) -> str:
    """Describe in a few words what a finished dataset lacks, "" where nothing is missing.

    The JSONL files must be those of the manifest; every image that they name must be there and not empty, or, where
    images lie in shards alone, every shard, as long as its index says. What an image holds is not looked at.

    Args:
        out: the dataset folder.
        manifest: its manifest.
        images: the folder in it that images go to while it is made.

    Raises:
        DatasetError: a JSONL file was changed.
    """
    _check_unchanged(out, manifest)
    files = [row.file for row in manifest.splits if not out.exists(row.file)]
    if files:
        return files[0]
    shards = [shard for row in manifest.splits for shard in row.shards if not _is_whole(out, shard)]
    if shards:
        return f"{counted(len(shards), 'shard')}, the first {shards[0]}"
    if images != IMAGES:
        return ""
    sizes, lost, first = ImageSizes(out, IMAGES), 0, ""
    for line in (line for row in manifest.splits for line in read_lines(out, row.file)):
        record = decode_record(line.data)
        for name, size in zip(record.images(), sizes.of(record), strict=True):
            if not size:
                lost, first = lost + 1, first or name
    return f"{counted(lost, 'image')}, the first {IMAGES}/{first}" if lost else ""


def _is_whole(out: Folder, shard: str) -> bool:
    try:
        read_whole_index(out, shard)
    except DatasetError:
        return False
    return True


def _check_unchanged(out: Folder, manifest: Manifest) -> None:
    """Make sure that the JSONL files that are there are the manifest's."""
    for row in manifest.splits:
        if out.exists(row.file) and out.sha256(row.file) != row.sha256:
            raise DatasetError(
                f"{out.address}/{row.file}: not as {MANIFEST} says; put it back, keep it with `phi3v-data validate "
                f"{out.address} --adopt`, or --restart to convert all again"
            )


def outcomes(out: Folder, manifest: Manifest, images: str, plan: Plan, *, retry: bool) -> Iterator[bytes]:
    """Yield an outcome for each item of a finished dataset that is settled: all but those whose files are missing.

    Records and quarantined items lie in the plan's order, so one pass over each file is enough.

    Args:
        out: the dataset folder, which `missing_files` has looked through.
        manifest: its manifest.
        images: the folder in it that images go to while it is made.
        plan: every item.
        retry: quarantined items are not settled.
    """
    if images != IMAGES:
        unpack(out, [shard for row in manifest.splits for shard in row.shards if _is_whole(out, shard)], images)
    records = {row.split: _Heads(_records(out, row.file)) for row in manifest.splits}
    quarantined = _Heads(() if retry else _quarantined(out))
    sizes = ImageSizes(out, images)
    for index, planned in enumerate(plan):
        item = planned.item
        if planned.skipped or planned.failure is not None or item.split not in records:
            continue
        record = records[item.split].take(item.id)
        if record is not None:
            found = sizes.of(decode_record(record))
            if all(found):  # an image that was removed since is made again
                yield encode(Done(index, msgspec.Raw(record), found))
        elif (line := quarantined.take(item.id)) is not None:
            failure = Failure(stage=line.stage, exception=line.exception, message=line.message)
            yield encode(Failed(index, item.path, failure, item.shared))


class _Heads(Generic[Kept]):
    """What was kept of items, pairs with their ids in the plan's order, in which they are asked for."""

    def __init__(self, kept: Iterable[tuple[str, Kept]]) -> None:
        self._rest = iter(kept)
        self._head = next(self._rest, None)

    def take(self, identity: str) -> Kept | None:
        """Return what was kept of an item if it is the next one; None where it is not."""
        if self._head is None or self._head[0] != identity:
            return None
        (_, found), self._head = self._head, next(self._rest, None)
        return found


def _records(out: Folder, name: str) -> Iterator[tuple[str, bytes]]:
    if out.exists(name):
        for line in read_lines(out, name):
            yield decode_record(line.data).id, line.data


def _quarantined(out: Folder) -> Iterator[tuple[str, Quarantined]]:
    """Yield what failed in conversion; the plan itself knows of the other lines. A damaged file is done again."""
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        for line in read_lines(out, QUARANTINE) if out.exists(QUARANTINE) else ():
            found = msgspec.json.decode(line.data, type=Quarantined)
            if found.stage not in PLANNED:
                yield found.id, found
