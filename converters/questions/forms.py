"""From annotation files to items: each row in the form of its file; what cannot be read is a failed item."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import Any, ClassVar, NamedTuple, Protocol

from ...schema.errors import InputError, ItemError
from ...schema.splits import split_of_file
from ...storage import Folder
from ..base import Item
from ..rows import Row, read_rows
from ..sample import failed_item
from .files import FileNames

__all__ = ["AnnotationFile", "Form", "annotation_files", "find_items", "is_table"]

_TABLES = (".parquet", ".arrow")
_ORDER = ("train", "val", "dev", "test")

# Rows that are looked at to tell a file's form: the first may be the one that is damaged.
_LOOKED_AT = 20


class AnnotationFile(NamedTuple):
    """A file of rows, and the split they belong to."""

    name: str
    split: str


class Form(Protocol):
    """One way in which a data set is published."""

    columns: ClassVar[Sequence[str]]
    """What its rows have; what people are told to look for."""

    def knows(self, values: dict[str, Any]) -> bool:
        """Tell whether a row may be of this form."""

    def items(self, row: Row, split: str, number: int) -> list[Item]:
        """Make the items of a row.

        Args:
            row: the row.
            split: of its file.
            number: its number in the split, through all its files, from 0.

        Raises:
            ItemError: it cannot be converted.
        """


def annotation_files(
    files: FileNames, published: re.Pattern[str], expected: str, *, tables: bool = True
) -> list[AnnotationFile]:
    """List a data set's annotation files: those of train, validation, development and test, each by path.

    Args:
        files: what lies below the input.
        published: matches the names of the files as they were published.
        expected: what people are told to put below the input.
        tables: Parquet and Arrow files count, too.

    Raises:
        InputError: there is none.
    """
    found = []
    for path in files:
        if published.fullmatch(PurePosixPath(path).name) or (tables and is_table(path)):
            found.append(AnnotationFile(path, split_of_file(path)))
    if not found:
        raise InputError(f"{files.address}: no annotation file of this data set; expected {expected}")
    return sorted(found, key=lambda file: (_place(file.split), file.split, file.name))


def is_table(path: str) -> bool:
    """Tell whether a file is a Parquet or Arrow table."""
    return PurePosixPath(path).suffix.lower() in _TABLES


def _place(split: str) -> int:
    return next(place for place, name in enumerate(_ORDER) if split.startswith(name))


def find_items(folder: Folder, files: Iterable[AnnotationFile], forms: Sequence[Form]) -> Iterator[Item]:
    """Yield the items of every row of every file, in order.

    Args:
        folder: the input.
        files: its annotation files.
        forms: the forms a file may have, told apart by its first rows.
    """
    counts: Counter[str] = Counter()
    for file in files:
        try:
            rows = read_rows(folder, file.name)
            first = list(islice(rows, _LOOKED_AT))
            form = _form(first, forms)
            for row in chain(first, rows):
                number = counts[file.split]
                counts[file.split] += 1
                try:
                    row.cells()
                    yield from form.items(row, file.split, number)
                except ItemError as error:
                    yield failed_item(row.place, file.split, str(error))
        except (ItemError, InputError) as error:
            # A file that cannot be read takes nothing from the others.
            yield failed_item(file.name, file.split, str(error))


def _form(rows: Iterable[Row], forms: Sequence[Form]) -> Form:
    found = [row.values for row in rows if row.values is not None]
    for values in found:
        for form in forms:
            if form.knows(values):
                return form
    if not found:
        # Each row says what is wrong with it.
        return forms[0]
    expected = ", or ".join(", ".join(form.columns) for form in forms)
    raise ItemError(f"a file of another data set: its rows have {', '.join(found[0])}; expected {expected}")
