"""Anybody's table: rows of CSV, TSV, JSON lines, JSON, Parquet or Arrow files, and which columns mean what.

One raw sample is one row, such as this line of `qa/val.jsonl`, beside the folder `qa/pages/`::

    {"page": "pages/linn.png", "ask": "What is the TELEX number?", "right": ["298949", "#298949"], "doc": "linn"}

With `--images page --prompt ask --answer right --group doc` it becomes one record::

    {"id": "val-0000000000", "source": "table",
     "conversations": [{"images": ["pages/linn.png.0.png"], "user": "What is the TELEX number?",
                        "assistant": "298949", "answers": ["298949", "#298949"]}],
     "meta": {"group": "linn", "row": "qa/val.jsonl:1"}}

An option's value with `{{` or `{%` in it is a Jinja template over the row's columns; any other is a column's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, ClassVar

from msgspec import Meta

from ...schema.errors import InputError
from ...storage import Folder, check_readable, open_folder
from ..mapping.columns import FoundRow, RowMapping, split_in_name
from ..mapping.media import Shown
from ..rows import ROW_SUFFIXES, RowImages, read_rows

__all__ = ["Table"]


@dataclass(frozen=True, kw_only=True)
class Table(RowMapping):
    """Rows of CSV, TSV, JSON, JSON lines, Parquet or Arrow files, by a mapping of their columns."""

    name: ClassVar[str] = "table"
    takes_files: ClassVar[tuple[str, ...]] = ROW_SUFFIXES

    files: Annotated[
        tuple[str, ...],
        Meta(
            description="which files below the input are tables, such as 'qa/*.jsonl'; every one by its suffix where "
            "not given"
        ),
    ] = ()

    def rows(self) -> Iterator[FoundRow]:
        """Yield every row of every file, by path.

        Raises:
            InputError: there is no such file.
        """
        names = self._names()
        if not names:
            wanted = " ".join(self.files) or " ".join(f"*{suffix}" for suffix in ROW_SUFFIXES)
            raise InputError(f"{self.input.address}: no table in it; expected {wanted}")
        for name in names:
            for row in read_rows(self.folder, name):
                yield FoundRow(name, split_in_name(name), row)

    def read_cell(self, file: str, number: int, shown: Shown) -> bytes:
        """Return the bytes in a cell."""
        return self._cells.read(file, number, shown.column, shown.which)

    @property
    def folder(self) -> Folder:
        """The input; where that is one file, the folder around it."""
        return self._place[0]

    def _names(self) -> list[str]:
        folder, only = self._place
        if only:
            return [only]
        check_readable(folder)
        return [entry.name for entry in folder.files() if self._is_table(entry.name)]

    def _is_table(self, name: str) -> bool:
        if self.files:
            return any(fnmatch(name, pattern) for pattern in self.files)
        return PurePosixPath(name).suffix.lower() in ROW_SUFFIXES

    @cached_property
    def _place(self) -> tuple[Folder, str]:
        parent, _, name = self.input.address.rpartition("/")
        if parent and PurePosixPath(name).suffix.lower() in ROW_SUFFIXES:
            around = open_folder(parent)
            if any(entry.name == name and not entry.is_folder for entry in around.list()):
                return around, name
        return self.input, ""

    @cached_property
    def _cells(self) -> RowImages:
        return RowImages(self.folder)
