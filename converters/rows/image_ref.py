"""An image somewhere in the raw data, and the one reader of its bytes: a file, a cell of a table, or a data: URI."""

from __future__ import annotations

import base64
import binascii
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from itertools import accumulate
from pathlib import PurePosixPath
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa

from ...schema.errors import ItemError, MediaError
from ...schema.record import ImagePath
from ...storage import Folder
from .arrow_files import damage_is_an_item_error, open_arrow, open_parquet

Steps: TypeAlias = tuple[str | int, ...]
# What reads the bytes in a table's cells: by the table, the row from 0, the column, and the steps from there.
CellReader: TypeAlias = Callable[[str, int, str, Steps], bytes]

_DATA_URI = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)
# Rows held at a time: images are large, and a worker's next item is a few rows ahead.
_BATCH = 16
# Columns read side by side: items go through the files in order, and a row has a few columns of images.
_OPEN = 4


class ImageRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the bytes of an image are: in a file of the input, in a cell of a table, or in a data: URI."""

    path: str = ""  # a file of the input, or a data: URI; of a cell, the path beside its bytes; "" where there is none
    file: str = ""  # the file whose row names the image: its folder is where a path starts, or else the input
    row: int = 0  # number of that row, from 0
    column: str = ""  # whose cell holds the bytes, "" where no cell does
    steps: Steps = ()  # keys and indexes that lead from the cell to the bytes

    @property
    def is_file(self) -> bool:
        """Whether the bytes are a file of the input."""
        return not self.column and not _DATA_URI.match(self.path)


def path_in_input(text: str, root: str = "") -> str:
    """Return the path of a file that a row names, or its data: URI; a path may start with the input's address, `root`.

    Raises:
        ItemError: it is an address elsewhere, or a path that leaves the input.
    """
    if _DATA_URI.match(text):
        return text
    short = text if len(text) <= 60 else f"{text[:57]}..."
    if text[:5].lower() == "data:":
        raise ItemError(f"{short}: a data: URI that is not base64; expected data:image/png;base64,...")
    inside = text.removeprefix(f"{root}/") if root else text
    if "://" in inside:
        raise ItemError(f"{short}: images are not fetched; put it below the input, and name its path there")
    try:
        return msgspec.convert(PurePosixPath(inside).as_posix(), ImagePath)
    except msgspec.ValidationError:
        where = f"outside the input {root}" if root else "not a path below the input"
        raise ItemError(f"{short}: {where}; expected one such as images/a.jpg, with / between") from None


class ImageReader:
    """Reads images wherever they are; one a worker.

    `cells` reads the bytes in the cells of tables, or raises ItemError; by default, tables are files of the input.
    `fetch` is called with the path of a file that the input does not hold; without, such a file is missing.
    """

    def __init__(
        self, folder: Folder, cells: CellReader | None = None, fetch: Callable[[str], bytes] | None = None
    ) -> None:
        self.folder = folder
        self._read_cell = cells or RowImages(folder).read
        self._fetch = fetch

    def read(self, image: ImageRef) -> bytes:
        """Return the bytes of an image.

        Raises:
            MediaError: there is no such image.
            ItemError: a cell holds no bytes, or a data: URI is damaged.
        """
        if image.column:
            try:
                return self._read_cell(image.file, image.row, image.column, image.steps)
            except ItemError:
                if not image.path:
                    raise
        if head := _DATA_URI.match(image.path):
            try:
                return base64.b64decode(image.path[head.end() :], validate=True)
            except binascii.Error as error:
                raise ItemError(f"{image.path[:40]}...: damaged base64 ({error})") from None
        path = self.path_of(image)
        try:
            return self.folder.read(path)
        except (FileNotFoundError, NotADirectoryError):
            if self._fetch is not None:
                return self._fetch(path)
            raise MediaError(f"{path}: no such image in the input") from None
        except IsADirectoryError:
            raise MediaError(f"{path}: a folder, not an image") from None

    def path_of(self, image: ImageRef) -> str:
        """Return the path in the input of an image that is a file."""
        beside = (PurePosixPath(image.file).parent / image.path).as_posix() if image.file else image.path
        return beside if beside == image.path or self.folder.exists(beside) else image.path


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
        # The one used last is put last; the first goes.
        found = self._columns.pop((file, column), None) or _Column(self._folder, file, column)
        self._columns[file, column] = found
        while len(self._columns) > _OPEN:
            self._columns.pop(next(iter(self._columns))).close()
        return bytes_at(found.cell(row), steps, f"{file}, row {row + 1}, column {column}")


def bytes_at(cell: Any, steps: Sequence[str | int], place: str) -> bytes:
    """Return the bytes inside a cell, which messages call `place`: keys and indexes lead to them, or to their struct.

    Raises:
        ItemError: there are no bytes there.
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


class _Column:
    """One column of one file, read forward, in parts that can be begun at: row groups, or batches."""

    def __init__(self, folder: Folder, name: str, column: str) -> None:
        self._name, self._column = name, column
        self._is_parquet = PurePosixPath(name).suffix.lower() == ".parquet"
        self._open = ExitStack()
        self.close = self._open.close
        self._check: Callable[[], None] = lambda: None
        self._batches_of: Callable[[int], Iterator[pa.Array]]
        with self._damage():
            if self._is_parquet:
                table = self._open.enter_context(open_parquet(folder, name))
                groups = range(table.num_row_groups if column in table.schema_arrow.names else 0)
                sizes = [table.metadata.row_group(group).num_rows for group in groups]
                read = partial(table.iter_batches, _BATCH, columns=[column])
                self._batches_of = lambda group: (batch.column(0) for batch in read(row_groups=[group]))
            else:
                # The file is mapped: a column is a few addresses until a cell is asked for.
                mapped = self._open.enter_context(open_arrow(folder, name))
                columns = [batch.column(column) for batch in mapped.batches() if column in batch.schema.names]
                sizes = [len(cells) for cells in columns]
                self._check, self._batches_of = mapped.check, lambda batch: iter([columns[batch]])
        # Where each part begins, and the last one ends.
        self._starts = list(accumulate(sizes, initial=0))
        self._part, self._first = -1, 0
        self._batches: Iterator[pa.Array] = iter(())
        self._cells: Sequence[pa.Scalar] = ()

    def cell(self, number: int) -> Any:
        with self._damage():
            if not self._first <= number < self._first + len(self._cells):
                self._move_to(number)
            self._check()
            return self._cells[number - self._first].as_py()

    def _damage(self) -> AbstractContextManager[None]:
        return damage_is_an_item_error(self._name, "Parquet" if self._is_parquet else "Arrow")

    def _move_to(self, number: int) -> None:
        place = f"{self._name}, column {self._column}"
        part = bisect_right(self._starts, number) - 1
        if part == len(self._starts) - 1:
            raise ItemError(f"{place}: no row {number + 1} with such a column; was the file replaced?")
        if part != self._part or number < self._first:
            self._part, self._batches = part, self._batches_of(part)
            self._first, self._cells = self._starts[part], ()
        while number >= self._first + len(self._cells):
            self._first += len(self._cells)
            cells = next(self._batches, None)
            if cells is None:  # an earlier row failed: the batches behind it cannot be reached
                raise ItemError(f"{place}: row {number + 1} lies behind a damaged one")
            self._cells = cells
