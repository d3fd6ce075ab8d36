"""One row, or why there is none where one should be; and from a file's name to what reads its rows."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from ...schema.errors import InputError, ItemError
from ...storage import Folder, open_folder
from ...storage.outage import one_line

__all__ = ["LONGEST_ROW", "ROW_SUFFIXES", "InputFile", "Row", "input_file", "read_rows"]

_TEXTS = (".json", ".jsonl", ".csv", ".tsv")
ROW_SUFFIXES = (*_TEXTS, ".parquet", ".arrow")
# Most bytes of one row's text: a longer one is a damaged file, and must not fill the memory.
LONGEST_ROW = 64 << 20


class Row(NamedTuple):
    """One row of a file.

    Args:
        place: where it stands, as people are shown it: `train.jsonl:17` or `train-00000.parquet, row 17`; lines and
            rows are counted from 1.
        number: its number in the file, from 0.
        values: its cells by column, as plain JSON values; None where this is not a row.
        failure: why it is not a row, "" where it is one.
        file: its path in the input; `read_rows` fills it in.
    """

    place: str
    number: int
    values: dict[str, Any] | None
    failure: str = ""
    file: str = ""

    def cells(self) -> dict[str, Any]:
        """Return its cells; ItemError where it is not a row."""
        if self.values is None:
            raise ItemError(self.failure)
        return self.values


def read_rows(folder: Folder, name: str, delimiter: str = "") -> Iterator[Row]:
    """Yield the rows of a file, in order, flat in memory.

    A `.json` file holds an array of objects; or an object with such an array under `data`, or under the only key that
    has one; or JSON lines, as NLVR2 publishes them. CSV and TSV name their columns in the first line. A cell with a
    image's bytes (binary, or a struct of bytes and path as `datasets` stores images, or a list of them) becomes
    `{"path": str | None, "bytes": true}`, and the bytes are not loaded.

    Args:
        folder: where the file lies.
        name: its path there; the suffix tells its form.
        delimiter: what separates the cells of CSV and TSV; by default a comma, and a tab.

    Raises:
        InputError: the file is not there, cannot be read, or its suffix is none of `ROW_SUFFIXES`.
    """
    for row in _rows(folder, name, delimiter):
        yield row._replace(file=name)


def _rows(folder: Folder, name: str, delimiter: str) -> Iterator[Row]:
    # Each reader brings libraries of its own.
    suffix = PurePosixPath(name).suffix.lower()
    try:
        if suffix in _TEXTS and _is_utf_16(folder, name):
            yield Row(f"{name}:1", 0, None, "the file is UTF-16; save it as UTF-8")
        elif suffix in (".json", ".jsonl"):
            from .json_rows import read_json, read_json_lines

            yield from (read_json if suffix == ".json" else read_json_lines)(folder, name)
        elif suffix in (".csv", ".tsv"):
            from .csv_rows import read_csv

            yield from read_csv(folder, name, delimiter or ("," if suffix == ".csv" else "\t"))
        elif suffix in (".parquet", ".arrow"):
            from .arrow_files import read_arrow, read_parquet

            yield from (read_parquet if suffix == ".parquet" else read_arrow)(folder, name)
        else:
            raise InputError(f"{folder.address}/{name}: not a file of rows; expected one of {' '.join(ROW_SUFFIXES)}")
    except OSError as error:
        raise InputError(f"{folder.address}/{name}: cannot be read ({one_line(error)})") from error


def _is_utf_16(folder: Folder, name: str) -> bool:
    with folder.open(name) as stream:
        return stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


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
