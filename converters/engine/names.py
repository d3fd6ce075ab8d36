"""Names that are taken, kept on disk: a plan of millions of items needs no more memory than one of a thousand."""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Literal, NamedTuple

from ...schema.errors import ConversionStopped
from ..base import Item

__all__ = ["Names", "Owner"]

_SETUP = """
PRAGMA cache_size = -1024;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE taken (kind TEXT, name TEXT, path TEXT, shared TEXT, PRIMARY KEY (kind, name)) WITHOUT ROWID;
BEGIN;
"""


class Owner(NamedTuple):
    """The item that has a name: where it lies, and what it shares."""

    path: str
    shared: str


class Names:
    """Which item was the first to take a name. A context manager: leaving it removes the list.

    Raises:
        ConversionStopped: there is no room for it among the temporary files.
    """

    def __init__(self) -> None:
        # The empty name means a database of its own in a temporary file, written to once it outgrows the cache.
        self._list = sqlite3.connect("", isolation_level=None)
        self._list.executescript(_SETUP)

    def __enter__(self) -> Names:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._list.close()

    def take(self, kind: Literal["id", "images"], name: str, item: Item) -> Owner | None:
        """Take a name for an item.

        Returns:
            None where it was free; otherwise whose it is.
        """
        try:
            row = (kind, name, item.path, item.shared)
            if self._list.execute("INSERT OR IGNORE INTO taken VALUES (?, ?, ?, ?)", row).rowcount:
                return None
            found = self._list.execute("SELECT path, shared FROM taken WHERE kind = ? AND name = ?", (kind, name))
            return Owner(*found.fetchone())
        except sqlite3.OperationalError as error:
            raise ConversionStopped(
                f"the names of the items cannot be kept ({error}); make room for temporary files, or set TMPDIR"
            ) from error
