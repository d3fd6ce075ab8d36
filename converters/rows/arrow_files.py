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
from typing import IO, Any, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ...schema.errors import ItemError
from ...storage import Folder
from ...storage.outage import one_line, outage
from .read import Row

__all__ = ["ArrowFile", "damage_is_an_item_error", "open_arrow", "open_parquet", "read_arrow", "read_parquet"]

_FILE_MAGIC = b"ARROW1"
# What pyarrow raises over damaged bytes, besides OSError and MemoryError.
_DAMAGE = (pa.ArrowException, UnicodeDecodeError, ValueError, LookupError, OverflowError, TypeError)
_BATCH = 256

# Some rows: how many, and the values of each column.
_Cells: TypeAlias = tuple[int, dict[str, list[Any]]]


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
    """An open Arrow file, of the stream format or the file format; what nobody looks at is never loaded."""

    def __init__(self, name: str, mapped: pa.MemoryMappedFile, stream: IO[bytes]) -> None:
        self._name, self._mapped, self._descriptor = name, mapped, stream.fileno()
        self._opened = self._state()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield its batches, each validated. Call `check` before a part of one is looked at later."""
        is_file = self._mapped.read(len(_FILE_MAGIC)) == _FILE_MAGIC
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


def read_parquet(folder: Folder, name: str) -> Iterator[Row]:
    """Yield the rows of a Parquet file."""
    return _rows(name, _parquet_cells(folder, name))


def read_arrow(folder: Folder, name: str) -> Iterator[Row]:
    """Yield the rows of an Arrow file, of the stream format (as `datasets` caches) or the file format."""
    return _rows(name, _arrow_cells(folder, name))


def _rows(name: str, batches: Iterator[_Cells]) -> Iterator[Row]:
    number = 0
    try:
        for count, cells in batches:
            for at in range(count):
                values = {column: values[at] for column, values in cells.items()}
                # Times, decimals and the like become what JSON has for them.
                yield Row(f"{name}, row {number + 1}", number, msgspec.to_builtins(values, enc_hook=str))
                number += 1
    except ItemError as error:
        yield Row(name, number, None, str(error))


def _parquet_cells(folder: Folder, name: str) -> Iterator[_Cells]:
    with open_parquet(folder, name) as file:
        for batch in file.iter_batches(_BATCH, columns=_without_bytes(file)):
            loaded, nothing = dict(zip(batch.schema.names, batch.columns, strict=True)), [None] * batch.num_rows
            yield (
                batch.num_rows,
                {field.name: _values(loaded.get(field.name, nothing), field.type) for field in file.schema_arrow},
            )


def _arrow_cells(folder: Folder, name: str) -> Iterator[_Cells]:
    with open_arrow(folder, name) as file:
        for whole in file.batches():
            for start in range(0, whole.num_rows, _BATCH):
                file.check()
                batch = whole.slice(start, _BATCH)
                yield (
                    batch.num_rows,
                    {field.name: _values(batch.column(field.name), field.type) for field in batch.schema},
                )


def _without_bytes(file: pq.ParquetFile) -> list[str]:
    """Name the leaves to load: all but bytes. Lists of bytes alone are loaded, for only so they can be counted."""
    leaves = [file.schema.column(index) for index in range(len(file.schema))]
    light = {leaf.path for leaf in leaves if not _is_bytes(leaf)}
    for field in file.schema_arrow:
        own = {leaf.path for leaf in leaves if leaf.path == field.name or leaf.path.startswith(f"{field.name}.")}
        light |= own if _is_list(field.type) and light.isdisjoint(own) else set()
    return sorted(light)


def _is_bytes(leaf: pq.ColumnSchema) -> bool:
    return leaf.physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY") and leaf.logical_type.type == "NONE"


def _is_binary(kind: pa.DataType) -> bool:
    is_any = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(is_it(kind) for is_it in is_any)


def _is_list(kind: pa.DataType) -> bool:
    is_any = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_it(kind) for is_it in is_any)


def _has_bytes(kind: pa.DataType) -> bool:
    """Tell whether cells of this type hold bytes, at any depth."""
    return _is_binary(kind) or any(_has_bytes(kind.field(index).type) for index in range(kind.num_fields))


def _values(cells: pa.Array | list[None], kind: pa.DataType) -> list[Any]:
    """Return a column's cells with marks in the place of bytes, which are not copied, and may not be loaded."""
    if isinstance(kind, pa.ExtensionType):
        return _values(cells.storage if isinstance(cells, pa.ExtensionArray) else cells, kind.storage_type)
    if not _has_bytes(kind) and isinstance(cells, pa.Array):
        values: list[Any] = cells.to_pylist()
        return values
    return [_value(cell, kind) for cell in cells]


def _value(cell: pa.Scalar | None, kind: pa.DataType) -> Any:
    """Return a cell with marks in the place of bytes; None is one that was not loaded."""
    if cell is not None and not cell.is_valid:
        return None
    if _is_binary(kind):
        return {"path": None, "bytes": True}
    if cell is not None and not _has_bytes(kind):
        return cell.as_py()
    if cell is not None and _is_list(kind):
        return [_value(element, kind.value_type) for element in cell.values]
    if not pa.types.is_struct(kind):
        return None
    found = {field.name: _value(None if cell is None else cell.get(field.name), field.type) for field in kind}
    index = kind.get_field_index("bytes")
    if index < 0 or not _is_binary(kind.field(index).type):
        return found
    # As `datasets` stores an image: its bytes, and its path.
    path = found.get("path")
    return {"path": path if isinstance(path, str) else None, "bytes": True}
