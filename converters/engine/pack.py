"""Shards: the records and images of a finished conversion, put into tars in the plan's order."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from ...schema.layout import SHARDS
from ...schema.record import decode_record
from ...schema.shards import Sample, Shard, ShardWriter, sample_columns
from ...storage import Folder, LocalFolder
from . import faults
from .outcomes import Outcomes

__all__ = ["Packing", "pack", "unpack"]

# An object store answers many questions at once; a disk gains nothing by them.
_READERS_OF_A_STORE = 16


@dataclass(frozen=True)
class Packing:
    """How shards are made.

    Args:
        size: bytes that a tar does not exceed unless one sample alone does.
        images: the folder in the dataset that the images lie in.
    """

    size: int
    images: str


def pack(out: Folder, packing: Packing, outcomes: Outcomes, source: str) -> dict[str, list[str]]:
    """Write the shards of every split.

    Args:
        out: the dataset folder.
        packing: how.
        outcomes: what became of every item.
        source: the converter's name.

    Returns:
        The names of each split's shards.
    """
    out.delete(SHARDS)
    columns = sorted({column for _, record in outcomes.records() for column in sample_columns(decode_record(record))})
    with contextlib.ExitStack() as stack:
        writers: dict[str, ShardWriter] = {}
        for split, sample in _samples(out, packing.images, outcomes.records()):
            if split not in writers:
                writer = ShardWriter(out, source, split, size=packing.size, columns=columns)
                writers[split] = stack.enter_context(writer)
            writers[split].add(sample)
            faults.point("shard-half-written")
    faults.point("shards-written")
    return {split: writer.names for split, writer in writers.items()}


def _samples(out: Folder, images: str, records: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, Sample]]:
    def sample(record: bytes) -> Sample:
        return Sample(record, [out.read(f"{images}/{name}") for name in decode_record(record).images()])

    if isinstance(out, LocalFolder):
        for split, record in records:
            yield split, sample(record)
        return
    with ThreadPoolExecutor(_READERS_OF_A_STORE) as readers:
        ahead: deque[tuple[str, Future[Sample]]] = deque()
        for split, record in records:
            ahead.append((split, readers.submit(sample, record)))
            if len(ahead) > _READERS_OF_A_STORE:
                first, future = ahead.popleft()
                yield first, future.result()
        for last, future in ahead:
            yield last, future.result()


def unpack(out: Folder, shards: Iterable[str], images: str) -> None:
    """Put the images of finished shards back into a folder of the dataset, so that they can be packed again."""
    for name in shards:
        with Shard(out, name) as shard:
            for sample in shard:
                for path, data in zip(decode_record(sample.record).images(), sample.images, strict=True):
                    out.write(f"{images}/{path}", data)
