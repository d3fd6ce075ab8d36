"""Parquet and Arrow files as plain JSON values, batch by batch; bytes are left where they are, and marked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ...schema.errors import ItemError
from ...storage import Folder
from .arrow_files import open_arrow, open_parquet
from .row import Row

__all__ = ["read_arrow", "read_parquet"]

_BATCH = 256

# Some rows: how many, and the values of each column.
_Cells: TypeAlias = tuple[int, dict[str, list[Any]]]


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
            loaded = dict(zip(batch.schema.names, map(_plain_values, batch.columns), strict=True))
            nothing = [None] * batch.num_rows
            yield (
                batch.num_rows,
                {
                    field.name: [_marked(value, field.type) for value in loaded.get(field.name, nothing)]
                    for field in file.schema_arrow
                },
            )


def _arrow_cells(folder: Folder, name: str) -> Iterator[_Cells]:
    with open_arrow(folder, name) as file:
        for whole in file.batches():
            for start in range(0, whole.num_rows, _BATCH):
                file.check()
                batch = whole.slice(start, _BATCH)
                yield batch.num_rows, {field.name: _plain_values(batch.column(field.name)) for field in batch.schema}


def _without_bytes(file: pq.ParquetFile) -> list[str]:
    """Name the leaves to load: all but bytes. Lists of bytes alone are loaded, for only so they can be counted."""
    leaves = [file.schema.column(index) for index in range(len(file.schema))]
    light = [leaf.path for leaf in leaves if not _is_bytes(leaf)]
    for field in file.schema_arrow:
        is_bare_list = field.type.num_fields and not any(_is_below(path, field.name) for path in light)
        if is_bare_list and _has_bytes(field.type) and not pa.types.is_struct(field.type):
            light += [leaf.path for leaf in leaves if _is_below(leaf.path, field.name)]
    return light


def _is_below(path: str, column: str) -> bool:
    return path == column or path.startswith(f"{column}.")


def _is_bytes(leaf: pq.ColumnSchema) -> bool:
    return leaf.physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY") and leaf.logical_type.type == "NONE"


def _is_binary(kind: pa.DataType) -> bool:
    is_any = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(is_it(kind) for is_it in is_any)


def _is_list(kind: pa.DataType) -> bool:
    is_any = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_it(kind) for is_it in is_any)


def _is_image(kind: pa.DataType) -> bool:
    """Tell whether this is how `datasets` stores an image: a struct of its bytes and its path."""
    index = kind.get_field_index("bytes") if pa.types.is_struct(kind) else -1
    return index >= 0 and _is_binary(kind.field(index).type)


def _has_bytes(kind: pa.DataType) -> bool:
    """Tell whether cells of this type hold bytes, at any depth."""
    if _is_binary(kind):
        return True
    return any(_has_bytes(kind.field(index).type) for index in range(kind.num_fields))


def _plain_values(array: pa.Array) -> list[Any]:
    """Return an array's cells with marks in the place of bytes, which are not copied."""
    kind = array.type
    if isinstance(kind, pa.ExtensionType):
        return _plain_values(array.storage)
    if not _has_bytes(kind):
        values: list[Any] = array.to_pylist()
        return values
    valid = array.is_valid().to_pylist()
    if _is_binary(kind):
        return [_mark(None) if there else None for there in valid]
    if _is_list(kind):
        inner = iter(_plain_values(array.flatten()))
        lengths = array.value_lengths().to_pylist()
        return [None if length is None else [next(inner) for _ in range(length)] for length in lengths]
    if pa.types.is_struct(kind):
        names = [kind.field(index).name for index in range(kind.num_fields)]
        children = [_plain_values(child) for child in array.flatten()]
        rows = [dict(zip(names, cells, strict=True)) for cells in zip(*children, strict=True)]
        return [_marked(row, kind) if there else None for row, there in zip(rows, valid, strict=True)]
    return [None] * len(array)


def _marked(value: Any, kind: pa.DataType) -> Any:
    """Put marks where a cell's bytes would be, which were not loaded."""
    if isinstance(kind, pa.ExtensionType):
        return _marked(value, kind.storage_type)
    if not _has_bytes(kind):
        return value
    if _is_binary(kind):
        return value or _mark(None)
    if value is None:
        return None
    if _is_image(kind):
        path = value.get("path")
        return _mark(path if isinstance(path, str) else None)
    if _is_list(kind):
        return [_marked(element, kind.value_type) for element in value]
    if pa.types.is_struct(kind):
        fields = [kind.field(index) for index in range(kind.num_fields)]
        return {field.name: _marked(value.get(field.name), field.type) for field in fields}
    return value


def _mark(path: str | None) -> dict[str, Any]:
    return {"path": path, "bytes": True}
