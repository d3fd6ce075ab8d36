"""From a file's name to what reads its rows; an input may be such a file, or the folder around some."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from ...schema.errors import InputError
from ...storage import Folder, open_folder
from ...storage.outage import one_line
from .csv_rows import read_csv
from .row import Row

__all__ = ["ROW_SUFFIXES", "InputFile", "input_file", "read_rows"]

_TEXTS = (".json", ".jsonl", ".csv", ".tsv")
ROW_SUFFIXES = (*_TEXTS, ".parquet", ".arrow")


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
    suffix = PurePosixPath(name).suffix.lower()
    try:
        if suffix in _TEXTS and _is_utf_16(folder, name):
            yield Row(f"{name}:1", 0, None, "the file is UTF-16; save it as UTF-8")
        elif suffix == ".json":
            from .json_rows import read_json

            yield from read_json(folder, name)
        elif suffix == ".jsonl":
            from .json_rows import read_json_lines

            with folder.open(name) as stream:
                yield from read_json_lines(stream, name)
        elif suffix in (".csv", ".tsv"):
            yield from read_csv(folder, name, delimiter or ("," if suffix == ".csv" else "\t"))
        elif suffix in (".parquet", ".arrow"):
            from .arrow_rows import read_arrow, read_parquet

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
