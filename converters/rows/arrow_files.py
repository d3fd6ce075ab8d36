"""Opening Parquet and Arrow files wherever they lie, so that reading them takes little memory.

An Arrow file is mapped into memory, and its own offsets say where each cell lies: a damaged one would have us read
beyond the file, which ends the process. So every batch is validated before anything in it is used, and the file must be
as it was when it was opened. What remains: a file that is cut in the moment between this look and the reading of the
rows looked for (`ArrowFile`) ends the process. That of a worker is survived; discovery's is not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from ...schema.errors import ItemError
from ...storage import Folder
from ...storage.outage import one_line, outage

__all__ = ["ArrowFile", "damage_is_an_item_error", "open_arrow", "open_parquet"]

_FILE_MAGIC = b"ARROW1"
# What pyarrow raises over damaged bytes, besides OSError and MemoryError.
_DAMAGE = (pa.ArrowException, UnicodeDecodeError, ValueError, LookupError, OverflowError, TypeError)


@contextmanager
def open_parquet(folder: Folder, name: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file so that a column is read in pieces, not whole.

    Raises:
        ItemError: it cannot be read; of what is read in the block, too.
    """
    with (
        folder.open(name) as stream,
        damage_is_an_item_error(name, "Parquet"),
        pq.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False) as file,
    ):
        yield file


class ArrowFile:
    """An open Arrow file, of the stream format or the file format; what nobody looks at is never loaded.

    Args:
        name: its name.
        source: it, mapped.
        stream: it, open.
    """

    def __init__(self, name: str, source: pa.MemoryMappedFile, stream: IO[bytes]) -> None:
        self._name = name
        self._source = source
        self._descriptor = stream.fileno()
        self._opened = self._state()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield its batches, each validated. Call `check` before a part of one is looked at later.

        Raises:
            ItemError: it was changed meanwhile.
        """
        is_file = self._source.read(len(_FILE_MAGIC)) == _FILE_MAGIC
        self._source.seek(0)
        reader = pa.ipc.open_file(self._source) if is_file else pa.ipc.open_stream(self._source)
        batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else iter(reader)
        while True:
            self.check()
            batch = next(batches, None)
            if batch is None:
                return
            batch.validate(full=True)
            yield batch

    def check(self) -> None:
        """Make sure that the file is as it was when it was opened: where it was cut, a look into it ends the process.

        Raises:
            ItemError: it is not.
        """
        if self._state() != self._opened:
            raise ItemError(f"{self._name}: was changed while it was read; leave it alone and rerun")

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self._descriptor)
        return found.st_size, found.st_mtime_ns


@contextmanager
def open_arrow(folder: Folder, name: str) -> Iterator[ArrowFile]:
    """Open an Arrow file.

    Raises:
        ItemError: it cannot be read; of what is read in the block, too.
    """
    with (
        folder.local(name) as path,
        path.open("rb") as stream,
        damage_is_an_item_error(name, "Arrow"),
        pa.memory_map(str(path)) as source,
    ):
        yield ArrowFile(name, source, stream)


@contextmanager
def damage_is_an_item_error(name: str, kind: str) -> Iterator[None]:
    """Say in one line that a table is damaged, given its name and its format; errors of the machine pass through.

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
