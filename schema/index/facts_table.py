"""The image facts of a dataset, kept beside it: a table by the hash of an image's name.

A row holds for as long as the file's fingerprint is what it was. The table is read where it lies, and written anew, row
by row, when something has changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from ...storage import LocalFolder
from ...storage.outage import one_line
from ..errors import OutputError
from .facts import Depth, ImageFacts
from .table import array_of, numbers, read_table, write_table

SCHEMA = pa.schema(
    [
        ("key", pa.uint64()),  # of the name
        ("content", pa.uint64()),
        ("hash", pa.uint64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("thumbnail", pa.binary()),
        ("facts", pa.binary()),  # all of them but for the thumbnail, as MessagePack
    ]
)
_NAME = "images.arrow"
_KEY = "images-2"
_ROWS = 1 << 14
# New rows are held until there are so many bytes of them: each time the whole table is written anew.
_HELD = 1 << 27

_encode = msgspec.msgpack.Encoder().encode
decode_facts = msgspec.msgpack.Decoder(ImageFacts).decode
"""Turn the column `facts` of a row into facts."""


def image_key(name: str) -> int:
    """Return the hash that stands for an image's name."""
    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"))


def batch_of(facts: Iterable[ImageFacts]) -> pa.RecordBatch:
    """Return rows of the table."""
    rows = list(facts)
    return batch_of_columns(
        [image_key(each.name) for each in rows],
        [each.content for each in rows],
        [each.hash for each in rows],
        [each.width for each in rows],
        [each.height for each in rows],
        [each.thumbnail for each in rows],
        [_encode(msgspec.structs.replace(each, thumbnail=b"") if each.thumbnail else each) for each in rows],
    )


def batch_of_columns(*columns: Sequence[int] | Sequence[bytes] | npt.NDArray[Any]) -> pa.RecordBatch:
    """Return rows of the table from its columns, those of SCHEMA."""
    arrays = [array_of(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def discard_damaged(folder: LocalFolder) -> None:
    """Remove the table of a folder if it is not whole: its images are looked at again."""
    if read_table(folder, _NAME, _KEY) is None:
        with contextlib.suppress(OSError):
            folder.delete(_NAME)


class FactsTable:
    """The table of one dataset folder.

    Args:
        folder: where tables about the dataset are kept.
        check: look whether the file is whole; unnecessary where that was done a moment ago.
    """

    def __init__(self, folder: LocalFolder, check: bool = True) -> None:
        self._folder = folder
        found = read_table(folder, _NAME, _KEY, check=check)
        self.table: pa.Table = pa.Table.from_batches([], SCHEMA) if found is None else found
        self._facts, self._thumbnails = self.table["facts"], self.table["thumbnail"]
        self.keys: npt.NDArray[np.uint64] = _unsigned(self.table["key"])

    def __len__(self) -> int:
        return len(self.keys)

    def known(self, name: str, fingerprint: str, depth: Depth) -> ImageFacts | None:
        """Return what is known of an image; None where its file has changed, or was not looked at so deep."""
        row = self.row(image_key(name)) if len(self) else None
        return self.known_at(row, name, fingerprint, depth) if row is not None else None

    def known_at(self, row: int, name: str, fingerprint: str, depth: Depth) -> ImageFacts | None:
        """Return what is known of an image whose row is known; see `known`."""
        facts = self.at(row)
        deep_enough = facts.depth == "pixels" or depth == "header"
        if facts.name != name or facts.fingerprint != fingerprint or not deep_enough:
            return None
        if depth == "pixels":
            facts.thumbnail = self._thumbnails[row].as_py()
        return facts

    def row(self, key: int) -> int | None:
        """Return the row of an image, by the hash of its name."""
        row = int(np.searchsorted(self.keys, np.uint64(key)))
        return row if row < len(self.keys) and self.keys[row] == key else None

    def rows(self, keys: Sequence[int]) -> list[int]:
        """Return the row of each image, by the hashes of their names; -1 where there is none."""
        asked = np.array(keys, np.uint64)
        rows = np.minimum(np.searchsorted(self.keys, asked), len(self) - 1)
        found: list[int] = np.where(self.keys[rows] == asked, rows, -1).tolist() if len(self) else [-1] * len(keys)
        return found

    def at(self, row: int) -> ImageFacts:
        """Return the facts of a row, without the thumbnail."""
        return decode_facts(self._facts[row].as_py())

    def thumbnail(self, row: int) -> npt.NDArray[np.uint8]:
        """Return an image's thumbnail; see `looks`."""
        return np.frombuffer(self._thumbnails[row].as_py(), np.uint8)

    def hashes(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
        """Return every row's hash, and whether it has one: the image was decoded, and is not of one colour."""
        hashes = _unsigned(self.table["hash"])
        return hashes, _unsigned(self.table["content"]) != 0

    def contents(self) -> npt.NDArray[np.uint64]:
        """Return the hash of all bytes of every row's file; 0 where it was not read whole."""
        return _unsigned(self.table["content"])

    def sizes(self) -> npt.NDArray[np.int64]:
        """Return every row's width and height in pixels, [images, 2]; 0, 0 where it cannot be read."""
        return np.stack([numbers(self.table["width"]), numbers(self.table["height"])], axis=1)

    def update(self, batches: list[pa.RecordBatch]) -> FactsTable:
        """Put rows into the table, in place of those of the same images, and return the table as it is then.

        Raises:
            OSError: the folder cannot be written.
        """
        if not batches:
            return self
        new = pa.Table.from_batches(batches, SCHEMA)
        keys = _unsigned(new["key"])
        # The last row of a key is the newest: looked for from the end, it is the first.
        _, last = np.unique(keys[::-1], return_index=True)
        new = new.combine_chunks().take(array_of(len(keys) - 1 - last, pa.int64()))
        write_table(self._folder, _NAME, _KEY, SCHEMA, _merged(self.table, new))
        return FactsTable(self._folder, check=False)


class FactsWriter:
    """Puts rows into the table of a folder, many at a time, few enough to hold.

    Args:
        folder: where tables about the dataset are kept.
    """

    def __init__(self, folder: LocalFolder) -> None:
        self._folder = folder
        self._held: list[pa.RecordBatch] = []
        self._bytes = 0

    def add(self, batch: pa.RecordBatch | None) -> None:
        """Take rows in; None is no rows.

        Raises:
            OutputError: the folder cannot be written.
        """
        if batch is None:
            return
        self._held.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= _HELD:
            self.finish()

    def finish(self) -> FactsTable:
        """Write what is held, and return the table.

        Raises:
            OutputError: the folder cannot be written.
        """
        held, self._held, self._bytes = self._held, [], 0
        try:
            return FactsTable(self._folder, check=False).update(held)
        except OSError as error:
            raise OutputError(f"{self._folder.path}: the image facts cannot be written ({one_line(error)})") from error


def _merged(old: pa.Table, new: pa.Table) -> Iterator[pa.RecordBatch]:
    """Yield the rows of two sorted tables in order, a few in memory at a time; new ones in place of old ones."""
    new_keys = _unsigned(new["key"])
    start = 0
    for batch in old.to_batches(_ROWS):
        keys = np.from_dlpack(batch["key"])
        if not len(keys):
            continue
        end = int(np.searchsorted(new_keys, keys[-1], "right"))
        kept = array_of(np.flatnonzero(~np.isin(keys, new_keys[start:end])), pa.int64())
        both = pa.concat_tables([pa.Table.from_batches([batch.take(kept)]), new.slice(start, end - start)])
        both = both.combine_chunks()
        yield from both.take(array_of(np.argsort(_unsigned(both["key"]), kind="stable"), pa.int64())).to_batches()
        start = end
    yield from new.slice(start).to_batches(_ROWS)


def _unsigned(column: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    chunks = [np.from_dlpack(chunk) for chunk in column.chunks if len(chunk)]
    return np.concatenate([np.empty(0, dtype=np.uint64), *chunks], dtype=np.uint64, casting="unsafe")
