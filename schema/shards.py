"""WebDataset shards: tar files of records with their images, each with an index (`shard_index`).

A sample's members share a key and follow one another, sorted::

    train-0000000000.0.jpg   train-0000000000.1.jpg   train-0000000000.json

The key is the record's id; characters that mean something to a path or to WebDataset (which cuts names at their first
dot) are percent-encoded. Image k is the k-th that the record shows. The same samples give the same bytes: members
carry no times, owners or permissions of their own.

`datasets.load_dataset("webdataset", ...)` learns its columns from the first five samples of a shard and takes a later
sample's missing column for an empty one, but fails on a new one. So the first five samples of every shard are given
every column: what they lack is filled with an image of one black pixel, which no record shows and no index lists.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from types import TracebackType
from typing import IO, NamedTuple
from urllib.parse import quote

import msgspec

from ..storage import Folder
from ..storage.outage import one_line
from .errors import DatasetError
from .layout import shard_name
from .record import Record, decode_record
from .shard_index import ShardEntry, index_name, read_whole_index

_BLOCK = 512
_END = bytes(2 * _BLOCK)
# How many samples `datasets` looks at for its columns.
_LEADING = 5


class Sample(NamedTuple):
    """One record, encoded, and the bytes of the images it shows, in order."""

    record: bytes
    images: Sequence[bytes]


def sample_key(identity: str) -> str:
    """Return the key of a record's members: its id, percent-encoded where a name must not hold it."""
    return quote(identity, safe=" ").replace(".", "%2E")


def sample_columns(record: Record) -> list[str]:
    """Name the columns of a record's images: `0.jpg`, `1.png` ..."""
    return [f"{number}{PurePosixPath(name).suffix}" for number, name in enumerate(record.images())]


class ShardWriter:
    """Writes the samples of one split into a series of tars. A context manager.

    Args:
        folder: the dataset folder.
        source: the converter's name.
        split: the split.
        size: bytes that a tar does not exceed unless one sample alone does.
        columns: every column that an image of the dataset has.
    """

    def __init__(self, folder: Folder, source: str, split: str, *, size: int, columns: Sequence[str]) -> None:
        self._folder = folder
        self._source, self._split = source, split
        self._size = size
        self._columns = sorted(columns)
        self._open = contextlib.ExitStack()
        self._tar: IO[bytes] | None = None
        self._offset = 0
        self._entries: list[bytes] = []
        self.names: list[str] = []

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
        else:
            self._open.__exit__(kind, error, trace)

    def add(self, sample: Sample) -> None:
        """Append a sample, in a new tar where the present one is full."""
        record = decode_record(sample.record)
        columns = sample_columns(record)
        members = {**dict(zip(columns, sample.images, strict=True)), "json": sample.record}
        needed = sum(_padded(len(data)) + _BLOCK for data in members.values())
        if self._tar is None or self._offset + needed + len(_END) > self._size:
            self._finish()
            self._begin()
        if len(self._entries) < _LEADING:
            members = {**{column: _black_pixel(column) for column in self._columns}, **members}
        key = sample_key(record.id)
        places = {column: self._write(f"{key}.{column}", members[column]) for column in sorted(members)}
        entry = ShardEntry(record.id, places["json"], [places[column] for column in columns])
        self._entries.append(msgspec.json.encode(entry) + b"\n")

    def _begin(self) -> None:
        name = shard_name(self._source, self._split, len(self.names))
        self._tar = self._open.enter_context(self._folder.create(name))
        self.names.append(name)
        self._offset = 0

    def _write(self, name: str, data: bytes) -> tuple[int, int]:
        if self._tar is None:
            raise DatasetError(f"{name}: no shard is open")
        info = tarfile.TarInfo(name)
        info.size = len(data)
        header = info.tobuf(tarfile.PAX_FORMAT)
        self._tar.write(header)
        self._tar.write(data)
        self._tar.write(bytes(_padded(len(data)) - len(data)))
        start = self._offset + len(header)
        self._offset = start + _padded(len(data))
        return start, len(data)

    def _finish(self) -> None:
        if self._tar is None:
            return
        self._tar.write(_END)
        # A tar is there only with its index.
        self._folder.write(index_name(self.names[-1]), b"".join(self._entries))
        self._open.close()
        self._entries.clear()
        self._tar = None


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _black_pixel(column: str) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG" if column.endswith(".png") else "JPEG")
    return buffer.getvalue()


class Shard:
    """One tar, read at any place by its index. A context manager.

    Args:
        folder: the dataset folder.
        name: the tar's name in it.

    Raises:
        DatasetError: the tar or its index is missing or damaged.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self._where = f"{folder.address}/{name}"
        self.entries = read_whole_index(folder, name)
        try:
            self._stream = folder.open(name)
        except OSError as error:
            raise DatasetError(f"{self._where}: cannot be read with its index ({one_line(error)})") from error

    def __enter__(self) -> Shard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def __len__(self) -> int:
        return len(self.entries)

    def sample(self, number: int) -> Sample:
        """Return a sample by its place in the tar, counted from 0."""
        entry = self.entries[number]
        return Sample(self._read(entry.record), [self._read(place) for place in entry.images])

    def data(self, number: int) -> bytes:
        """Return the bytes of a sample's record alone."""
        return self._read(self.entries[number].record)

    def record(self, number: int) -> Record:
        """Return a sample's record alone."""
        return decode_record(self.data(number))

    def image(self, number: int, which: int) -> bytes:
        """Return one of a sample's images, in the order the record shows them."""
        return self._read(self.entries[number].images[which])

    def __iter__(self) -> Iterator[Sample]:
        return map(self.sample, range(len(self)))

    def _read(self, place: tuple[int, int]) -> bytes:
        offset, size = place
        self._stream.seek(offset)
        data = self._stream.read(size)
        if len(data) < size:
            raise DatasetError(f"{self._where}: ends before its index says; write the shards again")
        return data
