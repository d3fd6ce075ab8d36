"""One row, or why there is none where one should be; from a file's name to what reads its rows; CSV and TSV."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from ...schema.errors import InputError, ItemError
from ...schema.wording import counted
from ...storage import Folder, open_folder
from ...storage.outage import one_line

_TEXTS = (".json", ".jsonl", ".csv", ".tsv")
ROW_SUFFIXES = (*_TEXTS, ".parquet", ".arrow")
# Most bytes of one row's text: a longer one is a damaged file, and must not fill the memory.
LONGEST_ROW = 64 << 20


class Row(NamedTuple):
    """One row of a file.

    Its place is where it stands, as people are shown it: `train.jsonl:17`, or `train-00000.parquet, row 17`; lines and
    rows are counted from 1.
    """

    place: str
    number: int  # in the file, from 0
    values: dict[str, Any] | None  # its cells by column, as plain JSON values; None where this is not a row
    failure: str = ""  # why it is not a row, "" where it is one
    file: str = ""  # its path in the input; `read_rows` fills it in

    def cells(self) -> dict[str, Any]:
        """Return its cells; ItemError where it is not a row."""
        if self.values is None:
            raise ItemError(self.failure)
        return self.values


def read_rows(folder: Folder, name: str, delimiter: str = "") -> Iterator[Row]:
    """Yield the rows of a file, in order, flat in memory.

    A `.json` file holds an array of objects; or an object with such an array under `data`, or under the only key that
    has one; or JSON lines, as NLVR2 publishes them. CSV and TSV name their columns in the first line. A cell with an
    image's bytes (binary, or a struct of bytes and path as `datasets` stores images, or a list of them) becomes
    `{"path": str | None, "bytes": true}`, and the bytes are not loaded.

    Args:
        folder: where the file lies.
        name: its path there; the suffix tells its form.
        delimiter: what separates the cells of CSV and TSV; by default a comma, and a tab.

    Raises:
        InputError: the file is not there, cannot be read, or its suffix is none of `ROW_SUFFIXES`.
    """
    suffix = PurePosixPath(name).suffix.lower()
    rows: Iterable[Row]
    try:
        if suffix in _TEXTS and _is_utf_16(folder, name):
            rows = [Row(f"{name}:1", 0, None, "the file is UTF-16; save it as UTF-8")]
        elif suffix in (".json", ".jsonl"):
            from .json_rows import read_json

            rows = read_json(folder, name)
        elif suffix in (".csv", ".tsv"):
            rows = _read_csv(folder, name, delimiter or ("," if suffix == ".csv" else "\t"))
        elif suffix in (".parquet", ".arrow"):
            from .arrow_files import read_table

            rows = read_table(folder, name)
        else:
            raise InputError(f"{folder.address}/{name}: not a file of rows; expected one of {' '.join(ROW_SUFFIXES)}")
        for row in rows:
            yield row._replace(file=name)
    except OSError as error:
        raise InputError(f"{folder.address}/{name}: cannot be read ({one_line(error)})") from error


def _is_utf_16(folder: Folder, name: str) -> bool:
    with folder.open(name) as stream:
        return stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def _read_csv(folder: Folder, name: str, delimiter: str) -> Iterator[Row]:
    """Yield a row for each line of cells, every cell as text. Quoted cells may hold line ends."""
    # The library's own limit, one for the whole process, is shorter than many a text.
    csv.field_size_limit(LONGEST_ROW)
    columns: list[str] = []
    number = 0
    # What is not UTF-8 becomes lone surrogates, so that it spoils its own row and no other.
    with (
        folder.open(name) as stream,
        io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="") as text,
    ):
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        while True:
            place = f"{name}:{reader.line_num + 1}"
            try:
                cells = next(reader, None)
                failure = _csv_failure(columns, cells) if cells else ""
            except csv.Error as error:
                cells, failure = [], f"not a row of cells ({error})"
            if failure or (cells and columns):
                yield Row(place, number, None if failure else dict(zip(columns, cells or (), strict=True)), failure)
                number += 1
            if cells is None or (failure and cells and not columns):
                return
            columns = columns or cells


def _csv_failure(columns: list[str], cells: list[str]) -> str:
    """Say what is wrong with a row, "" for nothing; without columns, it is the line that names them."""
    if columns and len(cells) != len(columns):
        return f"{counted(len(cells), 'cell')}; the first line names {counted(len(columns), 'column')}"
    if any(not cell.isascii() and re.search("[\udc80-\udcff]", cell) for cell in cells):
        return "not UTF-8; save the file in this encoding"
    twice = next((cell for cell in cells if not columns and cells.count(cell) > 1), None)
    if twice is not None:
        return f"the first line names the column {twice!r} twice; the first line gives each column a name of its own"
    return ""


class InputFile(NamedTuple):
    """The folder of raw data, and the one file of it that was given, "" where the folder was."""

    folder: Folder
    name: str


def input_file(given: Folder, suffixes: tuple[str, ...]) -> InputFile:
    """Return the folder around an input that is a file with one of the suffixes; the input itself where it is not."""
    parent, _, name = given.address.rpartition("/")
    if parent and PurePosixPath(name).suffix.lower() in suffixes:
        around = open_folder(parent)
        if any(entry.name == name and not entry.is_folder for entry in around.list()):
            return InputFile(around, name)
    return InputFile(given, "")
