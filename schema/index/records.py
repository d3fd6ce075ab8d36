"""Where each record of a split lies, so that any of them is read without the others."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import IO, Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..dataset import Dataset
from ..errors import DatasetError, RecordError
from ..jsonl import read_lines
from ..layout import IMAGES
from ..progress import Progress, followed, silent
from ..record import Record, decode_record
from ..shard_index import ShardEntry, read_index
from .cache import TableCache
from .table import numbers

_ROWS = 1 << 16
_PLACE = [("id", pa.string()), ("offset", pa.int64()), ("size", pa.int64())]
_IN_LINES = pa.schema(_PLACE)
_PARTS = pa.list_(pa.int64())
_IN_SHARDS = pa.schema(
    [*_PLACE, ("shard", pa.int64()), ("image_offsets", _PARTS), ("image_sizes", _PARTS)],
)


class RecordIndex:
    """The records of one split, by number, in the order of its JSONL file or of its shards.

    It is built by one pass over the file, or over the shards' own indexes, and kept beside the data (see `TableCache`);
    from then on it is mapped into memory, and takes next to none.

    Args:
        dataset: where they lie.
        split: which of them.
        progress: shows how far the pass is.

    Raises:
        DatasetError: there is no such split, it is empty, or a shard's index is missing or damaged.
        RecordError: a line is not valid JSON object with an id; names the file and the line.
        OutputError: the index can be kept nowhere.
    """

    def __init__(self, dataset: Dataset, split: str, progress: Progress = silent) -> None:
        if split not in dataset.splits:
            raise DatasetError(f"{dataset.folder.address}: no split {split!r}; there are: {', '.join(dataset.splits)}")
        self.dataset = dataset
        self.split = split
        self.shards = dataset.shards.get(split, [])
        """The names of the tars that hold the split; empty where its images are files."""
        self.files = self.shards or [dataset.files[split]]
        """What the records are read from."""
        self.cache = TableCache(dataset, split)
        if self.shards:
            self._table = self.cache.table("shards-1", "", _IN_SHARDS, partial(self._read_shards, progress))
        else:
            self._table = self.cache.table("lines-1", "", _IN_LINES, partial(self._read_lines, progress))
        self.digest = self.cache.digest
        """SHA-256 over what tells the records, in hex; see `TableCache.digest`."""
        if not len(self):
            where = f"{dataset.folder.address}/{dataset.files[split]}" if split in dataset.files else split
            raise DatasetError(f"{where}: no records")

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, number: int) -> Record:
        """Read one record.

        Raises:
            RecordError: what lies there is no record; names the file and the byte.
        """
        name, offset, size = self.place(number)
        with self.dataset.folder.open(name) as stream:
            stream.seek(offset)
            data = stream.read(size)
        try:
            return decode_record(data)
        except RecordError as error:
            raise RecordError(f"{name}, byte {offset}: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapped table would travel as a copy of all of it.
        return RecordIndex, (self.dataset, self.split)

    def place(self, number: int) -> tuple[str, int, int]:
        """Return where a record's JSON lies: the file, relative to the dataset folder, its first byte, its size."""
        return self.files[self.shard(number)], self._cell("offset", number), self._cell("size", number)

    def shard(self, number: int) -> int:
        """Return the number of the shard that holds a record; 0 where there are none."""
        return self._cell("shard", number) if self.shards else 0

    def shard_sizes(self) -> list[int]:
        """Return the number of records in each shard; empty where there are none."""
        if not self.shards:
            return []
        return [int(size) for size in np.bincount(self.column("shard"), minlength=len(self.shards))]

    def ids(self, numbers: Iterable[int]) -> list[str]:
        """Return the ids of records, without reading them."""
        return [self._cell("id", number) for number in numbers]

    def open_image(self, number: int, record: Record, which: int) -> IO[bytes]:
        """Open an image of a record, by its place (from 0) among all that the record shows.

        Args:
            number: the record's.
            record: the same, as read.
            which: the image.

        Raises:
            OSError: it cannot be read; FileNotFoundError where there is none.
        """
        if not self.shards:
            return self.dataset.images.open(record, which)
        offsets, sizes = self._cell("image_offsets", number), self._cell("image_sizes", number)
        if which >= len(offsets):
            raise FileNotFoundError(self.image_place(number, record, which))
        with self.dataset.folder.open(self.shards[self.shard(number)]) as stream:
            stream.seek(offsets[which])
            return io.BytesIO(stream.read(sizes[which]))

    def image_place(self, number: int, record: Record, which: int) -> str:
        """Name where that image is, for people."""
        if not self.shards:
            return self.dataset.images.place(record, which)
        return f"image {which} of {record.id} in {self.shards[self.shard(number)]}"

    def image_name(self, number: int, record: Record, which: int) -> str:
        """Name that image as the image facts do, by path or by tar and offset; "" where the shard holds none."""
        if not self.shards:
            return f"{IMAGES}/{list(record.images())[which]}"
        offsets = self._cell("image_offsets", number)
        return f"{self.shards[self.shard(number)]}@{offsets[which]}" if which < len(offsets) else ""

    def column(self, name: str) -> npt.NDArray[np.int64]:
        """Return a column of numbers: `offset`, `size`, or of shards `shard`; [records]."""
        return numbers(self._table[name])

    def slice(self, first: int, count: int) -> pa.Table:
        """Return some rows of the table, without a copy."""
        return self._table.slice(first, count)

    def _cell(self, column: str, number: int) -> Any:
        return self._table[column][number].as_py()

    def _read_lines(self, progress: Progress) -> Iterator[pa.RecordBatch]:
        name = self.files[0]
        rows: list[tuple[str, int, int]] = []
        what, total = f"Indexing {self.split}", self.dataset.folder.size(name)
        progress(what, "bytes", 0, total)
        for line in read_lines(self.dataset.folder, name):
            try:
                identity = _identity.decode(line.data).id
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise RecordError(f"{name}, line {line.number}: not a record: {error}") from error
            rows.append((identity, line.offset, len(line.data)))
            if len(rows) == _ROWS:
                yield _batch(_IN_LINES, rows)
                rows = []
                progress(what, "bytes", line.offset, total)
        if rows:
            yield _batch(_IN_LINES, rows)

    def _read_shards(self, progress: Progress) -> Iterator[pa.RecordBatch]:
        shards = followed(self.shards, progress, f"Indexing {self.split}", "shards", len(self.shards))
        for number, name in enumerate(shards):
            entries = read_index(self.dataset.folder, name)
            if entries:
                yield _batch(_IN_SHARDS, [_row(number, entry) for entry in entries])


class _Identity(msgspec.Struct):
    """As much of a record as the index needs."""

    id: str


_identity = msgspec.json.Decoder(_Identity)


def _row(shard: int, entry: ShardEntry) -> tuple[Any, ...]:
    offset, size = entry.record
    return entry.id, offset, size, shard, [start for start, _ in entry.images], [length for _, length in entry.images]


def _batch(schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
