"""Arrow tables on disk that are read where they lie, and are either whole or not there.

A file is an Arrow IPC stream, and behind its end the XXH3 of it in hex (128 bits, which readers of streams never see):
it tells damage, and costs a tenth of SHA-256. The schema's metadata holds the key: what the table was made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from ...storage import LocalFolder

_KEY = b"phi3v-data"
_DIGEST = 32  # bytes: 128 bits in hex


def write_table(folder: LocalFolder, name: str, key: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write a table, one batch in memory at a time; it appears when it is complete.

    Args:
        folder: where.
        name: of the file.
        key: what the table is made from.
        schema: of the batches.
        batches: its rows.

    Raises:
        OSError: the folder cannot be written.
    """
    with folder.create(name) as stream:
        hashing = _Hashing(stream)
        with pa.ipc.new_stream(pa.PythonFile(hashing, mode="w"), schema.with_metadata({_KEY: key})) as writer:
            for batch in batches:
                writer.write_batch(batch)
        stream.write(hashing.digest.hexdigest().encode())


def read_table(folder: LocalFolder, name: str, key: str, *, check: bool = True) -> pa.Table | None:
    """Map a table into memory; None where there is none, it is damaged, or was made from something else.

    Args:
        folder: where.
        name: of the file.
        key: what the table is made from.
        check: read all of it first, to know that it is whole.
    """
    try:
        buffer = pa.memory_map(str(folder.path / name)).read_buffer()
        content, tail = buffer.slice(0, max(0, buffer.size - _DIGEST)), buffer.slice(max(0, buffer.size - _DIGEST))
        if check and xxhash.xxh3_128_hexdigest(memoryview(content)).encode() != tail.to_pybytes():
            return None
        table = pa.ipc.open_stream(content).read_all()
    except (OSError, pa.ArrowInvalid):
        return None
    return table if (table.schema.metadata or {}).get(_KEY) == key.encode() else None


def array_of(values: Sequence[Any] | npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Return numbers or bytes, none of them missing, as an array of Arrow."""
    # From buffers: `pa.array` would import pandas, which takes half a second in each process.
    if pa.types.is_binary(kind):
        ends = np.cumsum([0, *map(len, values)], dtype=np.int32)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))]
    else:
        buffers = [None, pa.py_buffer(np.ascontiguousarray(values, kind.to_pandas_dtype()))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def numbers(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return a column of whole numbers, none of them missing, as an array; [rows]."""
    # Arrow's own to_numpy would import pandas, too.
    chunks = [np.from_dlpack(chunk) for chunk in column.chunks if len(chunk)]
    return np.concatenate([np.empty(0, dtype=np.int64), *chunks], dtype=np.int64, casting="unsafe")


class _Hashing:
    """A file that is only written to, and hashed on the way."""

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = xxhash.xxh3_128()

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        """Whoever opened the stream closes it."""
