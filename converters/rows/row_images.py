"""The bytes that lie in cells, for workers: one file after the other, forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import accumulate
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from ...schema.errors import ItemError
from ...storage import Folder
from .arrow_files import open_arrow, open_parquet, parquet_batches

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RowImages", "bytes_at"]

# Rows held at a time: images are large, and a worker's next item is a few rows ahead.
_BATCH = 16
# Columns read side by side: items go through the files in order, and a row has a few columns of images.
_OPEN = 4


class RowImages:
    """Reads the bytes that rows have in the place of `{"path": ..., "bytes": true}`.

    Reading forward is cheap: a column is read batch by batch, and the last batch is kept. Going back starts the row
    group again.

    Args:
        folder: where the files lie.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._columns: dict[tuple[str, str], _Column] = {}

    def read(self, file: str, row: int, column: str, steps: Sequence[str | int] = ()) -> bytes:
        """Return an image's bytes.

        Args:
            file: the table.
            row: the row in it, from 0.
            column: the column.
            steps: keys and indexes that lead from its cell to bytes, or to a struct with bytes.

        Raises:
            ItemError: there are no bytes at this place.
        """
        return bytes_at(self._column(file, column).cell(row), steps, f"{file}, row {row + 1}, column {column}")

    def _column(self, name: str, column: str) -> _Column:
        key = (name, column)
        # The one used last is put last; the first goes.
        found = self._columns.pop(key, None) or _Column(self._folder, name, column)
        self._columns[key] = found
        while len(self._columns) > _OPEN:
            self._columns.pop(next(iter(self._columns))).close()
        return found


def bytes_at(cell: Any, steps: Sequence[str | int], place: str) -> bytes:
    """Return the bytes inside a cell.

    Args:
        cell: its value.
        steps: keys and indexes that lead to bytes, or to a struct with bytes.
        place: the cell, for messages.

    Raises:
        ItemError: there are no bytes at this place.
    """
    found = cell
    for step in steps:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            found = None
    data = found.get("bytes") if isinstance(found, dict) else found
    if not isinstance(data, bytes) or not data:
        raise ItemError(f"{place}: no bytes of an image; the cell is empty or holds a path alone")
    return data


class _Part(NamedTuple):
    """Rows of a file that can be begun at.

    Args:
        start: the first.
        stop: the one after the last.
        batches: reads them.
        check: called before a cell is looked at.
    """

    start: int
    stop: int
    batches: Callable[[], Iterator[pa.Array]]
    check: Callable[[], object] = lambda: None


class _Column:
    """One column of one file, read forward."""

    def __init__(self, folder: Folder, name: str, column: str) -> None:
        self._place = f"{name}, column {column}"
        self._open = ExitStack()
        parts = _parquet_parts if PurePosixPath(name).suffix.lower() == ".parquet" else _arrow_parts
        self._parts = parts(self._open, folder, name, column)
        self._part: _Part | None = None
        self._batches: Iterator[pa.Array] = iter(())
        self._first = 0
        self._cells: Sequence[pa.Scalar] = ()

    def cell(self, number: int) -> Any:
        if not self._first <= number < self._first + len(self._cells):
            self._move_to(number)
        if self._part is not None:
            self._part.check()
        return self._cells[number - self._first].as_py()

    def close(self) -> None:
        self._open.close()

    def _move_to(self, number: int) -> None:
        part = next((part for part in self._parts if part.start <= number < part.stop), None)
        if part is None:
            raise ItemError(f"{self._place}: no row {number + 1} with such a column; was the file replaced?")
        if part is not self._part or number < self._first:
            self._part, self._batches = part, part.batches()
            self._first, self._cells = part.start, ()
        while number >= self._first + len(self._cells):
            self._first += len(self._cells)
            cells = next(self._batches, None)
            if cells is None:  # an earlier row failed: the batches behind it cannot be reached
                raise ItemError(f"{self._place}: row {number + 1} lies behind a damaged one")
            self._cells = cells


def _parquet_parts(stack: ExitStack, folder: Folder, name: str, column: str) -> list[_Part]:
    file = stack.enter_context(open_parquet(folder, name))
    if column not in file.schema_arrow.names:
        return []

    def batches(group: int) -> Iterator[pa.Array]:
        return (batch.column(0) for batch in parquet_batches(file, name, _BATCH, row_groups=[group], columns=[column]))

    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    stops = list(accumulate(sizes))
    return [
        _Part(stop - size, stop, partial(batches, group))
        for group, (size, stop) in enumerate(zip(sizes, stops, strict=True))
    ]


def _arrow_parts(stack: ExitStack, folder: Folder, name: str, column: str) -> list[_Part]:
    # The file is mapped: a column is a few addresses until a cell is asked for.
    file = stack.enter_context(open_arrow(folder, name))
    columns = [batch.column(column) for batch in file.batches() if column in batch.schema.names]
    stops = list(accumulate(map(len, columns)))
    return [
        _Part(stop - len(cells), stop, partial(iter, [cells]), file.check)
        for cells, stop in zip(columns, stops, strict=True)
    ]
