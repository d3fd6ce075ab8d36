"""From annotation files to items: each row in the form of its file; what cannot be read is a failed item."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from ...schema.errors import InputError, ItemError
from ...schema.splits import split_of_file
from ...storage import Folder
from ..base import Item
from ..rows import Row, read_rows
from ..sample import failed_item
from .files import FileNames

__all__ = ["AnnotationFile", "Form", "annotation_files", "find_items", "is_table"]

_ORDER = ("train", "val", "dev", "test")

# Rows that are looked at to tell a file's form: the first may be the one that is damaged.
_LOOKED_AT = 20


class AnnotationFile(NamedTuple):
    """A file of rows, and the split they belong to."""

    name: str
    split: str


class Form(NamedTuple):
    """One way in which a data set is published.

    Args:
        columns: what its rows have, as people are told.
        is_of: tells whether a row may be of this form.
        items: makes the items of a row, of its file's split, and of its number in the split, through all files from 0;
            raises ItemError where it cannot.
    """

    columns: Sequence[str]
    is_of: Callable[[dict[str, Any]], bool]
    items: Callable[[Row, str, int], list[Item]]


def annotation_files(
    files: FileNames, published: re.Pattern[str], expected: str, *, tables: bool = True
) -> list[AnnotationFile]:
    """List a data set's annotation files: those of train, validation, development and test, each by path.

    Those whose names are as published, and with `tables` Parquet and Arrow files. Raises InputError where there is
    none; `expected` is what people are told to put below the input.
    """
    found = [
        AnnotationFile(path, split_of_file(path))
        for path in files
        if published.fullmatch(PurePosixPath(path).name) or (tables and is_table(path))
    ]
    if not found:
        raise InputError(f"{files.address}: no annotation file of this data set; expected {expected}")
    places = {file.split: [file.split.startswith(name) for name in _ORDER].index(True) for file in found}
    return sorted(found, key=lambda file: (places[file.split], file.split, file.name))


def is_table(path: str) -> bool:
    """Tell whether a file is a Parquet or Arrow table."""
    return PurePosixPath(path).suffix.lower() in (".parquet", ".arrow")


def find_items(folder: Folder, files: Iterable[AnnotationFile], forms: Sequence[Form]) -> Iterator[Item]:
    """Yield the items of every row of every file, in order; a file's first rows tell which of the forms it has."""
    counts: Counter[str] = Counter()
    for name, split in files:
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
    known = (form for values in found for form in forms if form.is_of(values))
    # Where there is no row, each says what is wrong with it.
    form = next(known, None if found else forms[0])
    if form is None:
        expected = ", or ".join(", ".join(form.columns) for form in forms)
        raise ItemError(f"a file of another data set: its rows have {', '.join(found[0])}; expected {expected}")
    return form
