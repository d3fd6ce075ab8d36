"""Names that are taken, kept on disk: a plan of millions of items needs no more memory than one of a thousand."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ...storage.temporary_tables import TemporaryTables
from ..base import Item

__all__ = ["Names", "Owner"]


class Owner(NamedTuple):
    """The item that has a name: where it lies, and what it shares."""

    path: str
    shared: str


class Names(TemporaryTables):
    """Which item was the first to take a name. A context manager: leaving it removes the list."""

    def __init__(self) -> None:
        super().__init__(
            "CREATE TABLE taken (kind TEXT, name TEXT, path TEXT, shared TEXT, PRIMARY KEY (kind, name)) WITHOUT ROWID"
        )

    def take(self, kind: Literal["id", "images"], name: str, item: Item) -> Owner | None:
        """Take a name for an item.

        Returns:
            None where it was free; otherwise whose it is.
        """
        row = (kind, name, item.path, item.shared)
        if self.execute("INSERT OR IGNORE INTO taken VALUES (?, ?, ?, ?)", row).rowcount:
            return None
        found = self.execute("SELECT path, shared FROM taken WHERE kind = ? AND name = ?", (kind, name))
        return Owner(*found.fetchone())
