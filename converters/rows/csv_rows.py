"""Tables of text: CSV, and TSV with a tab for the comma. The first line names the columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from ...schema.wording import counted
from ...storage import Folder
from .read import LONGEST_ROW, Row

__all__ = ["read_csv"]

_NOT_UTF8 = "not UTF-8; save the file in this encoding"


def read_csv(folder: Folder, name: str, delimiter: str) -> Iterator[Row]:
    """Yield a row for each line of cells, every cell as text. Quoted cells may hold line ends."""
    # What is not UTF-8 becomes lone surrogates, so that it spoils its own row and no other.
    with (
        folder.open(name) as stream,
        io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="") as text,
    ):
        yield from _rows(text, name, delimiter)


def _rows(text: io.TextIOWrapper, name: str, delimiter: str) -> Iterator[Row]:
    # The library's own limit, one for the whole process, is shorter than many a text.
    csv.field_size_limit(LONGEST_ROW)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    columns: list[str] = []
    number = 0
    while True:
        place, failure = f"{name}:{reader.line_num + 1}", ""
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells, failure = [""], f"not a row of cells ({error})"
        if not cells:
            continue
        if not columns and not failure:
            columns = cells
            if failure := _header_failure(columns):
                yield Row(place, 0, None, failure)
                return
            continue
        failure = failure or _row_failure(columns, cells)
        yield Row(place, number, None if failure else dict(zip(columns, cells, strict=True)), failure)
        number += 1


def _header_failure(columns: list[str]) -> str:
    if any(map(_is_undecoded, columns)):
        return _NOT_UTF8
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        return f"the first line names the column {twice!r} twice; the first line gives each column a name of its own"
    return ""


def _row_failure(columns: list[str], cells: list[str]) -> str:
    if len(cells) != len(columns):
        return f"{counted(len(cells), 'cell')}; the first line names {counted(len(columns), 'column')}"
    return _NOT_UTF8 if any(map(_is_undecoded, cells)) else ""


def _is_undecoded(cell: str) -> bool:
    return not cell.isascii() and any("\udc80" <= character <= "\udcff" for character in cell)
