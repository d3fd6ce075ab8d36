"""Shards: the records and images of a finished conversion, put into tars in the records' order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from ...schema.jsonl import read_lines
from ...schema.layout import SHARDS, SplitRow
from ...schema.progress import Progress, followed, silent
from ...schema.record import decode_record
from ...schema.shards import Sample, Shard, ShardWriter
from ...storage import Folder, LocalFolder
from . import fault_injection

__all__ = ["Packing", "pack", "unpack"]

# An object store answers many questions at once; a disk gains nothing by them.
_READERS_OF_A_STORE = 16


class Packing(NamedTuple):
    """How shards are made: at most `size` bytes each but for one sample's, of images in the folder `images`."""

    size: int
    images: str


def pack(
    out: Folder,
    packing: Packing,
    splits: Sequence[SplitRow],
    source: str,
    columns: Sequence[str],
    progress: Progress = silent,
) -> dict[str, list[str]]:
    """Write the shards of every split.

    Args:
        out: the dataset folder.
        packing: how.
        splits: the splits, whose JSONL files are written.
        source: the converter's name.
        columns: every column that an image of the dataset has, see `sample_columns`.
        progress: shows how far it is.

    Returns:
        The names of each split's shards.
    """
    out.delete(SHARDS)
    names = {}
    for row in splits:
        with ShardWriter(out, source, row.split, size=packing.size, columns=columns) as writer:
            samples = _samples(out, packing.images, (line.data for line in read_lines(out, row.file)))
            for sample in followed(samples, progress, f"Writing shards of {row.split}", "records", row.records):
                writer.add(sample)
                fault_injection.point("shard-half-written")
        names[row.split] = writer.names
    fault_injection.point("shards-written")
    return names


def _samples(out: Folder, images: str, records: Iterable[bytes]) -> Iterator[Sample]:
    def sample(record: bytes) -> Sample:
        return Sample(record, [out.read(f"{images}/{name}") for name in decode_record(record).images()])

    if isinstance(out, LocalFolder):
        yield from map(sample, records)
        return
    with ThreadPoolExecutor(_READERS_OF_A_STORE) as readers:
        ahead: deque[Future[Sample]] = deque()
        for record in records:
            ahead.append(readers.submit(sample, record))
            if len(ahead) > _READERS_OF_A_STORE:
                yield ahead.popleft().result()
        for future in ahead:
            yield future.result()


def unpack(out: Folder, shards: Iterable[str], images: str) -> None:
    """Put the images of finished shards back into a folder of the dataset, so that they can be packed again."""
    for name in shards:
        with Shard(out, name) as shard:
            for sample in shard:
                for path, data in zip(decode_record(sample.record).images(), sample.images, strict=True):
                    out.write(f"{images}/{path}", data)
