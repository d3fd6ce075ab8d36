"""Opening Parquet and Arrow files wherever they lie, so that reading them takes little memory.

An Arrow file is mapped into memory, and its own offsets say where each cell lies: a damaged one would have us read
beyond the file, which ends the process. So every batch is validated before anything in it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...schema.errors import ItemError
from ...storage import Folder
from ...storage.outage import one_line, outage

__all__ = ["arrow_batches", "damage_is_an_item_error", "open_parquet", "parquet_batches"]

_FILE_MAGIC = b"ARROW1"
# What pyarrow raises over damaged bytes, besides OSError and MemoryError.
_DAMAGE = (pa.ArrowException, UnicodeDecodeError, ValueError, LookupError, OverflowError, TypeError)


@contextmanager
def open_parquet(folder: Folder, name: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file so that a column is read in pieces, not whole.

    Raises:
        ItemError: it cannot be read.
    """
    with folder.open(name) as stream:
        with damage_is_an_item_error(name, "Parquet"):
            file = pq.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False)
        with file:
            yield file


def parquet_batches(file: pq.ParquetFile, name: str, size: int, **selection: list[Any]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file in batches of at most `size`.

    Args:
        file: the open file.
        name: its name.
        size: rows in a batch.
        selection: `columns` and `row_groups`, as `iter_batches` takes them.

    Raises:
        ItemError: it is damaged.
    """
    with damage_is_an_item_error(name, "Parquet"):
        yield from file.iter_batches(size, **selection)


@contextmanager
def arrow_batches(folder: Folder, name: str) -> Iterator[Iterator[pa.RecordBatch]]:
    """Open an Arrow file, of the stream format or the file format, so that what nobody looks at is never loaded.

    Raises:
        ItemError: it cannot be read; from the iterator, too.
    """
    with folder.local(name) as path, pa.memory_map(str(path)) as source:
        yield _batches(source, name)


def _batches(source: pa.MemoryMappedFile, name: str) -> Iterator[pa.RecordBatch]:
    with damage_is_an_item_error(name, "Arrow"):
        is_file = source.read(len(_FILE_MAGIC)) == _FILE_MAGIC
        source.seek(0)
        reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else iter(reader)
        for batch in batches:
            batch.validate(full=True)
            yield batch


@contextmanager
def damage_is_an_item_error(name: str, kind: str) -> Iterator[None]:
    """Say in one line that a table is damaged; errors of the machine itself pass through.

    Args:
        name: the file's name.
        kind: its format.

    Raises:
        ItemError: from within the block: the table cannot be read.
    """
    try:
        yield
    except (OSError, MemoryError, *_DAMAGE) as error:
        # pyarrow has no memory for the sizes that a damaged file claims; they are named as such.
        if isinstance(error, OSError) and outage(error) is not None:
            raise
        raise ItemError(f"{name}: not a {kind} file that can be read ({one_line(error)[:300]})") from error
