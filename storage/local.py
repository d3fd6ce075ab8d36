"""A folder on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .base import Entry, Folder

__all__ = ["PARTIAL", "LocalFolder"]

# Files under way, in a folder of their own so that a killed run leaves its debris in one place.
PARTIAL = ".partial"


class LocalFolder(Folder):
    """A folder on this machine. It need not exist yet; the first file written makes it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(os.fspath(path))
        self.path = Path(path)

    def list(self, name: str = "") -> list[Entry]:
        """Return what lies directly inside `name`; see `Folder.list`."""
        with os.scandir(self._path(name)) as entries:
            # stat is asked of files only; it is most of the cost of a listing.
            found = [
                Entry(f"{name}/{e.name}" if name else e.name, e.is_dir(), 0 if e.is_dir() else _size(e))
                for e in entries
                if not e.name.startswith(".")
            ]
        return sorted(found)

    def exists(self, name: str) -> bool:
        """Tell whether a file or folder of this name is there."""
        return self._path(name).exists()

    def size(self, name: str) -> int:
        """Return a file's size in bytes."""
        return self._path(name).stat().st_size

    def fingerprint(self, name: str) -> str:
        """Return the file's size and time of change."""
        found = self._path(name).stat()
        return f"{found.st_size}-{found.st_mtime_ns}"

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        return self._path(name).open("rb")

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """Open a new file for writing under PARTIAL, and move it to its place at the end; see `Folder.create`."""
        target = self._path(name)
        temporary = self.path / PARTIAL / uuid.uuid4().hex
        try:
            with _open_making_folders(temporary) as stream:
                yield stream
            try:
                temporary.replace(target)
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty: another writer is at work
                temporary.parent.rmdir()

    def delete(self, name: str) -> None:
        """Remove a file, or a folder with all it holds."""
        path = self._path(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Give the file's own path."""
        yield self._path(name)

    def _path(self, name: str) -> Path:
        return self.path / name if name else self.path


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        # A link that leads nowhere is there all the same: whoever opens it fails by its name.
        return 0


def _open_making_folders(path: Path) -> IO[bytes]:
    while True:
        try:
            return path.open("xb")
        except FileNotFoundError:
            # Another writer may make the folder, or remove it while it is empty, at any moment: it is tried again.
            with contextlib.suppress(FileExistsError):
                path.parent.mkdir(parents=True, exist_ok=True)
