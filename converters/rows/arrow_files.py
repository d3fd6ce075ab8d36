"""Parquet and Arrow files, opened wherever they lie, and their rows as plain JSON values, without the bytes in cells.

An Arrow file is mapped into memory, and its own offsets say where each cell lies: a damaged one would have us read
beyond the file, which ends the process. So every batch is validated before anything in it is used, and the file must be
as it was when it was opened. What remains: a file that is cut in the moment between this look and the reading of the
rows looked for (`ArrowFile`) ends the process. That of a worker is survived; discovery's is not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ...schema.errors import ItemError
from ...storage import Folder
from ...storage.outage import one_line, outage
from .read import Row

# What pyarrow raises over damaged bytes, besides OSError and MemoryError.
_DAMAGE = (pa.ArrowException, UnicodeDecodeError, ValueError, LookupError, OverflowError, TypeError)
_BATCH = 256
_BINARY = {kind.id for kind in (pa.binary(), pa.large_binary(), pa.binary(1), pa.binary_view())}
_LISTS = {kind.id for kind in (pa.list_(pa.null()), pa.large_list(pa.null()), pa.list_(pa.null(), 1))}


@contextmanager
def open_parquet(folder: Folder, name: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file so that a column is read in pieces, not whole; ItemError where it, or a piece, is damaged."""
    with (
        folder.open(name) as stream,
        damage_is_an_item_error(name, "Parquet"),
        pq.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False) as file,
    ):
        yield file


class ArrowFile:
    """An open Arrow file, of the stream format or the file format; what nobody looks at is never loaded."""

    def __init__(self, name: str, mapped: pa.MemoryMappedFile, stream: IO[bytes]) -> None:
        self._name, self._mapped, self._descriptor = name, mapped, stream.fileno()
        self._opened = self._state()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield its batches, each validated. Call `check` before a part of one is looked at later."""
        is_file = self._mapped.read(6) == b"ARROW1"
        self._mapped.seek(0)
        reader = pa.ipc.open_file(self._mapped) if is_file else pa.ipc.open_stream(self._mapped)
        batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else iter(reader)
        while True:
            self.check()
            batch = next(batches, None)
            if batch is None:
                return
            batch.validate(full=True)
            yield batch

    def check(self) -> None:
        """Raise ItemError unless the file is as it was opened: where it was cut, a look into it ends the process."""
        if self._state() != self._opened:
            raise ItemError(f"{self._name}: was changed while it was read; leave it alone and rerun")

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self._descriptor)
        return found.st_size, found.st_mtime_ns


@contextmanager
def open_arrow(folder: Folder, name: str) -> Iterator[ArrowFile]:
    """Open an Arrow file; ItemError where it, or what is read in the block, is damaged."""
    with (
        folder.local(name) as path,
        path.open("rb") as stream,
        damage_is_an_item_error(name, "Arrow"),
        pa.memory_map(str(path)) as mapped,
    ):
        yield ArrowFile(name, mapped, stream)


@contextmanager
def damage_is_an_item_error(name: str, kind: str) -> Iterator[None]:
    """Say in one line, as ItemError, that a table of this format is damaged; errors of the machine pass through."""
    try:
        yield
    except (OSError, MemoryError, *_DAMAGE) as error:
        # pyarrow has no memory for the sizes that a damaged file claims; they are named as such.
        if isinstance(error, OSError) and outage(error) is not None:
            raise
        raise ItemError(f"{name}: not a {kind} file that can be read ({one_line(error)[:300]})") from error


def read_table(folder: Folder, name: str) -> Iterator[Row]:
    """Yield the rows of a Parquet file, or of an Arrow file of either format: `datasets` caches streams."""
    batches = (_parquet_columns if name.lower().endswith(".parquet") else _arrow_columns)(folder, name)
    number = 0
    try:
        for columns in batches:
            for cells in zip(*columns.values(), strict=True):
                # Times, decimals and the like become what JSON has for them.
                values = msgspec.to_builtins(dict(zip(columns, cells, strict=True)), enc_hook=str)
                yield Row(f"{name}, row {number + 1}", number, values)
                number += 1
    except ItemError as error:
        yield Row(name, number, None, str(error))


def _parquet_columns(folder: Folder, name: str) -> Iterator[dict[str, list[Any]]]:
    with open_parquet(folder, name) as file:
        for batch in file.iter_batches(_BATCH, columns=_without_bytes(file)):
            loaded, count = dict(zip(batch.schema.names, batch.columns, strict=True)), batch.num_rows
            yield {field.name: _values(loaded.get(field.name), field.type, count) for field in file.schema_arrow}


def _arrow_columns(folder: Folder, name: str) -> Iterator[dict[str, list[Any]]]:
    with open_arrow(folder, name) as file:
        for whole in file.batches():
            for start in range(0, whole.num_rows, _BATCH):
                file.check()
                batch = whole.slice(start, _BATCH)
                columns = zip(batch.schema, batch.columns, strict=True)
                yield {field.name: _values(column, field.type, len(column)) for field, column in columns}


def _without_bytes(file: pq.ParquetFile) -> list[str]:
    """Name the leaves to load: all but bytes. Lists of bytes alone are loaded, for only so they can be counted."""
    leaves = [file.schema.column(index) for index in range(len(file.schema))]
    light = {leaf.path for leaf in leaves if leaf.logical_type.type != "NONE" or "BYTE_ARRAY" not in leaf.physical_type}
    for field in file.schema_arrow:
        own = {leaf.path for leaf in leaves if leaf.path == field.name or leaf.path.startswith(f"{field.name}.")}
        light |= own if field.type.id in _LISTS and light.isdisjoint(own) else set()
    return sorted(light)


def _has_bytes(kind: pa.DataType) -> bool:
    """Tell whether cells of this type hold bytes, at any depth."""
    return kind.id in _BINARY or any(_has_bytes(kind.field(index).type) for index in range(kind.num_fields))


def _values(array: pa.Array | None, kind: pa.DataType, count: int) -> list[Any]:
    """Return so many cells of a type with marks in the place of bytes, which are not copied, and may not be loaded.

    The array lacks what was not loaded; None stands for all of it.
    """
    if isinstance(kind, pa.ExtensionType):
        return _values(getattr(array, "storage", None), kind.storage_type, count)
    # Of a map, the keys alone may be loaded.
    if array is not None and not _has_bytes(array.type if pa.types.is_map(kind) else kind):
        values: list[Any] = array.to_pylist()
        return values
    valid = [True] * count if array is None else array.is_valid().to_pylist()
    if kind.id in _BINARY:
        return [{"path": None, "bytes": True} if there else None for there in valid]
    if kind.id in _LISTS and array is not None:
        flat = array.flatten()
        inner = iter(_values(flat, kind.value_type, len(flat)))
        lengths = array.value_lengths().to_pylist()
        return [None if length is None else [next(inner) for _ in range(length)] for length in lengths]
    if not pa.types.is_struct(kind):
        return [None] * count
    loaded = {} if array is None else dict(zip((field.name for field in array.type), array.flatten(), strict=True))
    columns = {field.name: _values(loaded.get(field.name), field.type, count) for field in kind}
    index = kind.get_field_index("bytes")
    if index >= 0 and kind.field(index).type.id in _BINARY:
        # As `datasets` stores an image: its bytes, and its path.
        paths = [path if isinstance(path, str) else None for path in columns.get("path", [None] * count)]
        columns = {"path": paths, "bytes": [True] * count}
    cells = zip(*columns.values(), strict=True)
    return [dict(zip(columns, each, strict=True)) if there else None for each, there in zip(cells, valid, strict=True)]
