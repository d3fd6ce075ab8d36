"""Opening Parquet and Arrow files wherever they lie, so that reading them takes little memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from ...storage import Folder

__all__ = ["arrow_batches", "open_parquet"]

_FILE_MAGIC = b"ARROW1"


@contextmanager
def open_parquet(folder: Folder, name: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file so that a column is read in pieces, not whole."""
    with folder.open(name) as stream, pq.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False) as file:
        yield file


@contextmanager
def arrow_batches(folder: Folder, name: str) -> Iterator[Iterator[pa.RecordBatch]]:
    """Open an Arrow file by mapping it into memory, so that what nobody looks at is never read."""
    with folder.local(name) as path, pa.memory_map(str(path)) as source:
        is_file = source.read(len(_FILE_MAGIC)) == _FILE_MAGIC
        source.seek(0)
        if is_file:
            reader = pa.ipc.open_file(source)
            yield (reader.get_batch(number) for number in range(reader.num_record_batches))
        else:
            yield iter(pa.ipc.open_stream(source))
