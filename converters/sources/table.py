"""Anybody's table: rows of CSV, TSV, JSON lines, JSON, Parquet or Arrow files, and which columns mean what.

One raw sample is one row, such as this line of `qa/val.jsonl`, beside the folder `qa/pages/`::

    {"page": "pages/linn.png", "ask": "What is the TELEX number?", "right": ["298949", "#298949"], "doc": "linn"}

With `--images page --prompt ask --answer right --group doc` it becomes the record that docs/sources/table.md shows. An
option's value with `{{` or `{%` in it is a Jinja template over the row's columns; any other is a column's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Annotated, ClassVar

from msgspec import Meta

from ...schema.errors import InputError, UsageError
from ...schema.splits import split_of_file
from ...storage import check_readable
from ..mapping.columns import RowMapping
from ..rows import ROW_SUFFIXES, Row, read_rows


@dataclass(frozen=True, kw_only=True)
class Table(RowMapping):
    """Rows of CSV, TSV, JSON, JSON lines, Parquet or Arrow files, by a mapping of their columns."""

    name: ClassVar[str] = "table"
    takes_files: ClassVar[tuple[str, ...]] = ROW_SUFFIXES

    files: Annotated[
        tuple[str, ...],
        "tables below the input, by pattern, such as 'qa/*.jsonl'; every file with such a suffix where not given",
    ] = ()
    delimiter: Annotated[
        str, Meta(max_length=2), "character between the cells of CSV and TSV, such as ';' or '\\t'"
    ] = ""

    def __post_init__(self) -> None:
        if len(self._between) > 1 or self._between in ('"', "\n", "\r"):
            raise UsageError(f"--delimiter {self.delimiter!r}: expected one character, such as ';' or '\\t'")
        super().__post_init__()

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Yield every row of every file, by path; raises InputError where there is no such file."""
        folder, only = self.place
        if not only:
            check_readable(folder)
        names = [only] if only else [entry.name for entry in folder.files() if self._is_table(entry.name)]
        if not names:
            wanted = " ".join(self.files) or " ".join(f"*{suffix}" for suffix in ROW_SUFFIXES)
            raise InputError(f"{self.input.address}: no table in it; expected {wanted}")
        for name in names:
            for row in read_rows(folder, name, self._between):
                yield split_of_file(name), row

    @property
    def _between(self) -> str:
        return "\t" if self.delimiter == "\\t" else self.delimiter

    def _is_table(self, name: str) -> bool:
        if self.files:
            return any(fnmatch(name, pattern) for pattern in self.files)
        return PurePosixPath(name).suffix.lower() in ROW_SUFFIXES
