"""Annotation files below an input: found by name, and read row by row, in the form in which the data set is published.

What cannot be read is a failed item. Functions named `..._at` take a cell of a row, and raise ItemError, in one clear
line, where it is not what it should be.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from ...schema.errors import InputError, ItemError
from ...schema.splits import split_of_file
from ...schema.wording import shortened
from ...storage import Folder
from ...storage.temporary_tables import TemporaryTables
from ..base import Item
from ..rows import Row, read_rows
from ..sample import failed_item

# How Python spells the bytes of a name that is not UTF-8.
_NOT_UTF8 = re.compile("[\ud800-\udfff]")
_ORDER = ("train", "val", "dev", "test")
# Rows that are looked at to tell a file's form: the first may be the one that is damaged.
_LOOKED_AT = 20


class FileNames(TemporaryTables):
    """The files below a folder, walked through once. A context manager: leaving it removes the table.

    Files whose names are not UTF-8 are left out: no annotation can name them.
    """

    def __init__(self, folder: Folder) -> None:
        super().__init__("CREATE TABLE file (path TEXT, name TEXT, size INTEGER)")
        self.address = folder.address
        for entry in folder.files():
            if not _NOT_UTF8.search(entry.name):
                row = (entry.name, PurePosixPath(entry.name).name, entry.size)
                self.execute("INSERT INTO file VALUES (?, ?, ?)", row)
        self.execute("CREATE INDEX by_path ON file (path)")
        self.execute("CREATE INDEX by_name ON file (name)")

    def __iter__(self) -> Iterator[str]:
        """Yield every path, in the folder's order."""
        for (path,) in self.execute("SELECT path FROM file ORDER BY rowid"):
            yield path

    def find(self, path: str, beside: str = "") -> str:
        """Return where an image lies that an annotation names by a path, which begins in the annotation's folder.

        Where there is no such file, the one of the same name is taken, wherever it lies below the input; so nothing
        outside the input is ever reached.

        Raises:
            ItemError: there is no such file, or the bare name stands for several.
        """
        direct = (PurePosixPath(beside).parent / path).as_posix()
        found = self._select("path", direct)[:1] or self._select("name", PurePosixPath(path).name)
        if not found:
            raise ItemError(f"no image {path}; put it below the input")
        if len(found) > 1:
            raise ItemError(f"the image {path} may be {' or '.join(found)}; keep one of them below the input")
        return found[0]

    def size(self, path: str) -> int:
        """Return a file's size in bytes."""
        (size,) = self.execute("SELECT size FROM file WHERE path = ?", (path,)).fetchone()
        return int(size)

    def _select(self, column: str, value: str) -> list[str]:
        query = f"SELECT path FROM file WHERE {column} = ? ORDER BY rowid LIMIT 2"
        return [path for (path,) in self.execute(query, (value,))]


class Form(NamedTuple):
    """One way in which a data set is published.

    `items` takes a row, its file's split, and its number in the split, through all files from 0; it raises ItemError
    where it cannot make items of them.
    """

    columns: Sequence[str]  # what its rows have, as people are told
    is_of: Callable[[dict[str, Any]], bool]  # tells whether a row may be of this form
    items: Callable[[Row, str, int], Iterable[Item]]


def annotation_files(
    files: FileNames, published: re.Pattern[str], expected: str, *, tables: bool = True
) -> dict[str, str]:
    """Return the split of each annotation file: those of train, validation, development and test, each by path.

    Those whose names are as published, and with `tables` Parquet and Arrow files. Raises InputError where there is
    none; `expected` is what people are told to put below the input.
    """
    found = {
        path: split_of_file(path)
        for path in files
        if published.fullmatch(PurePosixPath(path).name) or (tables and is_table(path))
    }
    if not found:
        raise InputError(f"{files.address}: no annotation file of this data set; expected {expected}")
    places = {split: [split.startswith(name) for name in _ORDER].index(True) for split in found.values()}
    return dict(sorted(found.items(), key=lambda file: (places[file[1]], file[1], file[0])))


def is_table(path: str) -> bool:
    """Tell whether a file is a Parquet or Arrow table."""
    return PurePosixPath(path).suffix.lower() in (".parquet", ".arrow")


def find_items(folder: Folder, files: Mapping[str, str], forms: Sequence[Form]) -> Iterator[Item]:
    """Yield the items of every row of every file, given with its split; its first rows tell which form it has."""
    counts: Counter[str] = Counter()
    for name, split in files.items():
        try:
            rows = read_rows(folder, name)
            first = list(islice(rows, _LOOKED_AT))
            form = _form(first, forms)
            for row in chain(first, rows):
                counts[split] += 1
                try:
                    row.cells()
                    yield from form.items(row, split, counts[split] - 1)
                except ItemError as error:
                    yield failed_item(row.place, split, str(error))
        except (ItemError, InputError) as error:
            # A file that cannot be read takes nothing from the others.
            yield failed_item(name, split, str(error))


def _form(rows: Iterable[Row], forms: Sequence[Form]) -> Form:
    found = [row.values for row in rows if row.values is not None]
    if not found:
        return forms[0]  # each row says what is wrong with it
    for form in (form for values in found for form in forms if form.is_of(values)):
        return form
    expected = ", or ".join(", ".join(form.columns) for form in forms)
    raise ItemError(f"a file of another data set: its rows have {', '.join(found[0])}; expected {expected}")


def cell_at(values: Mapping[str, Any], key: str) -> Any:
    """Return a cell, whatever it holds."""
    if key not in values:
        raise ItemError(f"no {key!r}; it has: {', '.join(values) or 'nothing'}")
    return values[key]


def text_at(values: Mapping[str, Any], key: str) -> str:
    """Return a text unchanged; a blank one is an error."""
    return _text(cell_at(values, key), repr(key))


def texts_at(values: Mapping[str, Any], key: str) -> list[str]:
    """Return a list of texts, of at least one, none of them blank."""
    found = cell_at(values, key)
    if not isinstance(found, list) or not found:
        raise ItemError(f"{key!r} is {shortened(found)}; expected a list of texts")
    return [_text(text, f"{key}[{number}]") for number, text in enumerate(found)]


def name_at(values: Mapping[str, Any], key: str) -> str:
    """Return what something is called by: a text, or a number as one."""
    found = cell_at(values, key)
    return str(found) if type(found) is int else _text(found, repr(key))


def is_identified(pattern: re.Pattern[str], values: Mapping[str, Any]) -> bool:
    """Tell whether a row has an identifier of this form."""
    return pattern.fullmatch(str(values.get("identifier"))) is not None


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ItemError(f"{what} is {shortened(value)}; expected a text")
    if not value.strip():
        raise ItemError(f"{what} is empty")
    return value
