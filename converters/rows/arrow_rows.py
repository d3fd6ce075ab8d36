"""Parquet and Arrow files, batch by batch; columns of bytes are left where they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ...schema.errors import ItemError
from ...storage import Folder
from .arrow_files import open_arrow, open_parquet
from .cells import has_bytes, marked, plain_values
from .row import Row

__all__ = ["read_arrow", "read_parquet"]

_BATCH = 256


def read_parquet(folder: Folder, name: str) -> Iterator[Row]:
    """Yield the rows of a Parquet file."""
    number = 0
    try:
        with open_parquet(folder, name) as file:
            for batch in file.iter_batches(_BATCH, columns=_without_bytes(file)):
                cells = {
                    field.name: [marked(value, field.type) for value in _values(batch, field.name)]
                    for field in file.schema_arrow
                }
                yield from _rows(name, number, cells, batch.num_rows)
                number += batch.num_rows
    except ItemError as error:
        yield Row(name, number, None, str(error))


def read_arrow(folder: Folder, name: str) -> Iterator[Row]:
    """Yield the rows of an Arrow file, of the stream format (as `datasets` caches) or the file format."""
    number = 0
    try:
        with open_arrow(folder, name) as file:
            for whole in file.batches():
                for start in range(0, whole.num_rows, _BATCH):
                    file.check()
                    batch = whole.slice(start, _BATCH)
                    cells = {field.name: plain_values(batch.column(field.name)) for field in batch.schema}
                    yield from _rows(name, number, cells, batch.num_rows)
                    number += batch.num_rows
    except ItemError as error:
        yield Row(name, number, None, str(error))


def _rows(name: str, number: int, cells: dict[str, list[Any]], count: int) -> Iterator[Row]:
    for at in range(count):
        values = {column: values[at] for column, values in cells.items()}
        # Times, decimals and the like become what JSON has for them.
        yield Row(f"{name}, row {number + at + 1}", number + at, msgspec.to_builtins(values, enc_hook=str))


def _values(batch: pa.RecordBatch, column: str) -> list[Any]:
    index = batch.schema.get_field_index(column)
    return plain_values(batch.column(index)) if index >= 0 else [None] * batch.num_rows


def _without_bytes(file: pq.ParquetFile) -> list[str]:
    """Name the leaves to load: all but bytes. Lists of bytes alone are loaded, for only so they can be counted."""
    leaves = [file.schema.column(index) for index in range(len(file.schema))]
    light = [leaf.path for leaf in leaves if not _is_bytes(leaf)]
    for field in file.schema_arrow:
        is_bare_list = field.type.num_fields and not any(_is_below(path, field.name) for path in light)
        if is_bare_list and has_bytes(field.type) and not pa.types.is_struct(field.type):
            light += [leaf.path for leaf in leaves if _is_below(leaf.path, field.name)]
    return light


def _is_below(path: str, column: str) -> bool:
    return path == column or path.startswith(f"{column}.")


def _is_bytes(leaf: pq.ColumnSchema) -> bool:
    return leaf.physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY") and leaf.logical_type.type == "NONE"
