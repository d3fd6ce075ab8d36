"""Measure records, many at a time: what a worker process does to build an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, NamedTuple, Protocol

import pyarrow as pa

from ...storage import Folder, LocalFolder
from ...storage.outage import RetryPolicy, one_line, outage
from ..errors import RecordError, RunError, UsageError
from ..record import Record, decode_record
from .counting import Counter, Counting, TokenCounts
from .sizes import ImageSize, ImageSizes, Unreadable

COSTS = pa.schema(
    [
        ("tokens", pa.int64()),
        ("supervised", pa.int64()),
        ("crops", pa.int64()),
        ("widths", pa.list_(pa.int64())),
        ("heights", pa.list_(pa.int64())),
        ("answered", pa.bool_()),
        ("failure", pa.string()),
    ]
)


class Chunk(NamedTuple):
    """Records that lie in one file: their rows of the index's own table."""

    file: str
    rows: pa.RecordBatch


class Measured(NamedTuple):
    """What was found out about a chunk.

    Args:
        costs: a row of COSTS for each record.
        facts: rows of the facts table for images that were not known before; None where there are none.
    """

    costs: pa.RecordBatch
    facts: pa.RecordBatch | None


class _Row(NamedTuple):
    tokens: int
    supervised: int
    crops: int
    widths: list[int]
    heights: list[int]
    answered: bool
    failure: str


class _Images(Protocol):
    """Where the images of a chunk's records are."""

    def sizes(self, row: int, record: Record) -> list[ImageSize | Unreadable]:
        """Return the sizes of the images that a record shows, in order."""


@dataclass
class _InFiles:
    known: ImageSizes

    def sizes(self, row: int, record: Record) -> list[ImageSize | Unreadable]:
        return [self.known.of_file(name) for name in record.images()]


@dataclass
class _InTar:
    known: ImageSizes
    stream: IO[bytes]
    chunk: Chunk

    def sizes(self, row: int, record: Record) -> list[ImageSize | Unreadable]:
        rows = self.chunk.rows
        places = zip(rows["image_offsets"][row].as_py(), rows["image_sizes"][row].as_py(), strict=True)
        shown = list(record.images())
        # The index may know of fewer images than the record shows, or of more.
        found = [
            self.known.of_member(self.chunk.file, self.stream, *place) for _, place in zip(shown, places, strict=False)
        ]
        return [*found, *[Unreadable("is not in the shard's index")] * (len(shown) - len(found))]


class Measurer:
    """Measures the records of chunks.

    Args:
        folder: the dataset folder.
        tables: where the image facts are kept; None where every image is looked at anew.
        counting: what tokens and crops follow from.
        retry_policy: how long the folder may be out of reach.
    """

    def __init__(
        self, folder: Folder, tables: LocalFolder | None, counting: Counting, retry_policy: RetryPolicy
    ) -> None:
        self._folder = folder
        self._retry_policy = retry_policy
        self._counter = Counter(counting)
        self._sizes = ImageSizes(folder, tables)

    def __call__(self, chunk: Chunk) -> Measured:
        """Measure the records of a chunk.

        A record that cannot be trained on says so in `failure`; what can be known of it is there all the same.

        Raises:
            RunError: the data cannot be reached, or the machine is failing.
        """
        where = f"{self._folder.address}/{chunk.file}"
        try:
            return self._retry_policy.run(where, lambda: self._measure_all(chunk))
        except OSError as error:
            why = outage(error) or one_line(error)
            raise RunError(f"{where}: the index could not be built ({why}); run again") from error

    def _measure_all(self, chunk: Chunk) -> Measured:
        with self._folder.open(chunk.file) as stream:
            records = [
                _decoded(stream, offset, size)
                for offset, size in zip(chunk.rows["offset"].to_pylist(), chunk.rows["size"].to_pylist(), strict=True)
            ]
            images: _Images
            if "shard" in chunk.rows.schema.names:
                images = _InTar(self._sizes, stream, chunk)
            else:
                images = _InFiles(self._sizes)
                self._sizes.look_ahead(name for each in records if isinstance(each, Record) for name in each.images())
            rows = [self._measure(row, record, images) for row, record in enumerate(records)]
        columns = zip(*rows, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, COSTS, strict=True)]
        return Measured(pa.RecordBatch.from_arrays(arrays, schema=COSTS), self._sizes.take_facts())

    def _measure(self, row: int, record: Record | str, images: _Images) -> _Row:
        if isinstance(record, str):
            return _Row(0, 0, 0, [], [], answered=True, failure=record)
        sizes = images.sizes(row, record)
        failure = _first_failure(record, sizes)
        grids = [self._counter.grid(*size) if isinstance(size, ImageSize) else None for size in sizes]
        crops = sum(grid.encoded_crops for grid in grids if grid is not None)
        try:
            counts = self._counter.tokens(record, [grid.tokens if grid is not None else 0 for grid in grids])
        except UsageError as error:
            counts, failure = TokenCounts(0, 0), failure or str(error)
        known = [size if isinstance(size, ImageSize) else ImageSize(0, 0) for size in sizes]
        supervised = [turn for turn in record.conversations if turn.is_supervised]
        answered = bool(supervised) and all(turn.assistant for turn in supervised)
        widths, heights = [size.width for size in known], [size.height for size in known]
        return _Row(*counts, crops, widths, heights, answered, failure)


def _decoded(stream: IO[bytes], offset: int, size: int) -> Record | str:
    stream.seek(offset)
    try:
        return decode_record(stream.read(size))
    except RecordError as error:
        return str(error)


def _first_failure(record: Record, sizes: Sequence[ImageSize | Unreadable]) -> str:
    for name, size in zip(record.images(), sizes, strict=True):
        if isinstance(size, Unreadable):
            return f"image {name} {size.reason}"
    return ""
