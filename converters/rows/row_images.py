"""The bytes that lie in cells, for workers: one file after the other, forward."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from itertools import accumulate
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

from ...schema.errors import ItemError
from ...storage import Folder
from .arrow_files import damage_is_an_item_error, open_arrow, open_parquet

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
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._columns: dict[tuple[str, str], _Column] = {}

    def read(self, file: str, row: int, column: str, steps: Sequence[str | int] = ()) -> bytes:
        """Return the bytes of an image in a row of a table, counted from 0; for the steps, see `bytes_at`."""
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


# Rows of a file that can be begun at: how many, and what reads them in batches.
_Part: TypeAlias = tuple[int, Callable[[], Iterator["pa.Array"]]]


class _Column:
    """One column of one file, read forward."""

    def __init__(self, folder: Folder, name: str, column: str) -> None:
        self._name, self._column = name, column
        self._open = ExitStack()
        self._check: Callable[[], None] | None = None
        self._is_parquet = PurePosixPath(name).suffix.lower() == ".parquet"
        with self._damage():
            self._parts = self._parquet_parts(folder) if self._is_parquet else self._arrow_parts(folder)
        # Where each part begins, and the last one ends.
        self._starts = list(accumulate((size for size, _ in self._parts), initial=0))
        self._part = -1
        self._batches: Iterator[pa.Array] = iter(())
        self._first = 0
        self._cells: Sequence[pa.Scalar] = ()

    def cell(self, number: int) -> Any:
        with self._damage():
            if not self._first <= number < self._first + len(self._cells):
                self._move_to(number)
            if self._check is not None:
                self._check()
            return self._cells[number - self._first].as_py()

    def close(self) -> None:
        self._open.close()

    def _damage(self) -> AbstractContextManager[None]:
        return damage_is_an_item_error(self._name, "Parquet" if self._is_parquet else "Arrow")

    def _move_to(self, number: int) -> None:
        place = f"{self._name}, column {self._column}"
        part = bisect_right(self._starts, number) - 1
        if part == len(self._parts):
            raise ItemError(f"{place}: no row {number + 1} with such a column; was the file replaced?")
        if part != self._part or number < self._first:
            self._part, self._batches = part, self._parts[part][1]()
            self._first, self._cells = self._starts[part], ()
        while number >= self._first + len(self._cells):
            self._first += len(self._cells)
            cells = next(self._batches, None)
            if cells is None:  # an earlier row failed: the batches behind it cannot be reached
                raise ItemError(f"{place}: row {number + 1} lies behind a damaged one")
            self._cells = cells

    def _parquet_parts(self, folder: Folder) -> list[_Part]:
        file = self._open.enter_context(open_parquet(folder, self._name))

        def batches(group: int) -> Iterator[pa.Array]:
            found = file.iter_batches(_BATCH, row_groups=[group], columns=[self._column])
            return (batch.column(0) for batch in found)

        groups = range(file.num_row_groups if self._column in file.schema_arrow.names else 0)
        return [(file.metadata.row_group(group).num_rows, partial(batches, group)) for group in groups]

    def _arrow_parts(self, folder: Folder) -> list[_Part]:
        # The file is mapped: a column is a few addresses until a cell is asked for.
        file = self._open.enter_context(open_arrow(folder, self._name))
        self._check = file.check
        columns = [batch.column(self._column) for batch in file.batches() if self._column in batch.schema.names]
        return [(len(cells), partial(iter, [cells])) for cells in columns]
