"""Every file below an input, found by its path or by its bare name, in a temporary table rather than in memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from ...schema.errors import ItemError
from ...storage import Folder
from ...storage.temporary_tables import TemporaryTables

__all__ = ["FileNames"]

# How Python spells the bytes of a name that is not UTF-8.
_NOT_UTF8 = re.compile("[\ud800-\udfff]")


class FileNames(TemporaryTables):
    """The files below a folder, walked through once. A context manager: leaving it removes the table.

    Files whose names are not UTF-8 are left out: no annotation can name them.
    """

    def __init__(self, folder: Folder) -> None:
        super().__init__("CREATE TABLE file (path TEXT, name TEXT, size INTEGER)")
        self.address = folder.address
        entries = (entry for entry in folder.files() if not _NOT_UTF8.search(entry.name))
        rows = ((entry.name, PurePosixPath(entry.name).name, entry.size) for entry in entries)
        self.fill("INSERT INTO file VALUES (?, ?, ?)", rows)
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
        if self._select("path", direct):
            return direct
        named = self._select("name", PurePosixPath(path).name)
        if not named:
            raise ItemError(f"no image {path}; put it below the input")
        if len(named) > 1:
            raise ItemError(f"the image {path} may be {' or '.join(named[:2])}; keep one of them below the input")
        return named[0]

    def size(self, path: str) -> int:
        """Return a file's size in bytes."""
        (size,) = self.execute("SELECT size FROM file WHERE path = ?", (path,)).fetchone()
        return int(size)

    def _select(self, column: str, value: str) -> list[str]:
        query = f"SELECT path FROM file WHERE {column} = ? ORDER BY rowid LIMIT 2"
        return [path for (path,) in self.execute(query, (value,))]
