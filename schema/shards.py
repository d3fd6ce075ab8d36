"""WebDataset shards: tar files of records with their images, each with an index of where everything lies.

The indexes lie in a folder `.offsets` beside the tars: `datasets.load_dataset` passes over hidden folders, and takes
every other .jsonl file for data.

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
from typing import IO, Annotated, NamedTuple, TypeAlias
from urllib.parse import quote

import msgspec
from msgspec import Meta

from ..storage import Folder
from ..storage.outage import one_line
from .errors import DatasetError
from .layout import shard_name
from .record import Record, decode_record

__all__ = [
    "Sample",
    "Shard",
    "ShardEntry",
    "ShardWriter",
    "index_name",
    "index_names",
    "read_index",
    "sample_columns",
    "sample_key",
]

_BLOCK = 512
_END = bytes(2 * _BLOCK)
# How many samples `datasets` looks at for its columns.
_LEADING = 5


class Sample(NamedTuple):
    """One record, encoded, and the bytes of the images it shows, in order."""

    record: bytes
    images: Sequence[bytes]


# A header precedes every member, and no tar is larger than 2**53 bytes.
_Start: TypeAlias = Annotated[int, Meta(ge=_BLOCK, le=1 << 53)]
_Size: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 53)]
_Place: TypeAlias = tuple[_Start, _Size]


class ShardEntry(msgspec.Struct, frozen=True):
    """Where a sample lies in its tar: offset and size of the record, and of each image it shows.

    Args:
        id: the record's.
        record: offset and size of its JSON.
        images: offset and size of each image.
    """

    id: str
    record: _Place
    images: list[_Place]


def index_name(shard: str) -> str:
    """Name the index of a tar: a JSON object a sample, see `ShardEntry`."""
    folder, slash, name = shard.rpartition("/")
    return f"{folder}{slash}.offsets/{name}.index.jsonl"


def index_names(folder: Folder, shards: Sequence[str]) -> list[str]:
    """Name the indexes that tars have, here or, as earlier versions wrote them, beside the tars.

    Args:
        folder: the dataset folder.
        shards: the names of its tars, all in one folder.
    """
    expected = [index_name(shard) for shard in shards]
    try:
        here = {entry.name for entry in folder.list(expected[0].rpartition("/")[0])} if expected else set()
    except (FileNotFoundError, NotADirectoryError):
        here = set()
    return [name if name in here else _earlier_index_name(shard) for shard, name in zip(shards, expected, strict=True)]


def _earlier_index_name(shard: str) -> str:
    return f"{shard}.index.jsonl"


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


def read_index(folder: Folder, shard: str) -> list[ShardEntry]:
    """Return where each sample of a tar lies, as its index says.

    Args:
        folder: the dataset folder.
        shard: the tar's name in it.

    Raises:
        DatasetError: the index is missing or damaged.
    """
    where = f"{folder.address}/{shard}"
    try:
        try:
            data = folder.read(index_name(shard))
        except FileNotFoundError:
            data = folder.read(_earlier_index_name(shard))
    except OSError as error:
        raise _unreadable(where, error) from error
    try:
        return [_entries.decode(line) for line in data.splitlines()]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DatasetError(
            f"{where}: its index is damaged ({one_line(error)[:300]}); write the shards again"
        ) from error


def read_whole_index(folder: Folder, shard: str) -> list[ShardEntry]:
    """Return where each sample of a tar lies, all of them within the tar; see `read_index`.

    Raises:
        DatasetError: the tar or its index is missing, damaged or cut short.
    """
    entries, where = read_index(folder, shard), f"{folder.address}/{shard}"
    try:
        size = folder.size(shard)
    except OSError as error:
        raise _unreadable(where, error) from error
    if any(start + length > size for entry in entries for start, length in (entry.record, *entry.images)):
        raise DatasetError(f"{where}: ends before its index says; write the shards again")
    return entries


def _unreadable(where: str, error: OSError) -> DatasetError:
    return DatasetError(f"{where}: cannot be read with its index ({one_line(error)})")


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
            raise _unreadable(self._where, error) from error

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


_entries = msgspec.json.Decoder(ShardEntry)
