"""Tables in a temporary file: millions of names take no more memory than a thousand."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TypeVar

from ..schema.errors import ConversionStopped

Tables = TypeVar("Tables", bound="TemporaryTables")

# The file is never read again after a crash, so nothing is spent on surviving one. A negative size is in KiB.
_SETUP = "PRAGMA cache_size = -1024; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"


class TemporaryTables:
    """A SQLite database in a temporary file, made by SQL and written to once it outgrows 1 MiB. A context manager."""

    def __init__(self, tables: str) -> None:
        # The empty name means a file of its own, removed when it is closed.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(f"{_SETUP} {tables}; BEGIN;")

    def __enter__(self: Tables) -> Tables:
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def execute(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run one statement; ConversionStopped where there is no room among the temporary files."""
        try:
            return self._database.execute(sql, values)
        except sqlite3.OperationalError as error:
            raise ConversionStopped(
                f"names cannot be kept in a temporary file ({error}); make room, or set TMPDIR to another disk"
            ) from error
