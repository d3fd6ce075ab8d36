"""A folder on an object store."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from ..schema.errors import MissingDependencyError, UsageError
from .base import Entry, Folder

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["RemoteFolder"]

_READ_AHEAD = 1 << 16


class RemoteFolder(Folder):
    """A folder on an object store, through fsspec. Stores write objects whole, so nothing partial is ever seen."""

    def __init__(self, address: str) -> None:
        super().__init__(address.rstrip("/"))
        self._connect()

    def _connect(self) -> None:
        self._connected, self._root = _filesystem(self.address)
        self._process = os.getpid()

    @property
    def _fs(self) -> AbstractFileSystem:
        # A connection does not survive a fork either: a child makes its own.
        if self._process != os.getpid():
            self._connect()
        return self._connected

    def list(self, name: str = "") -> list[Entry]:
        """Return what lies directly inside `name`; see `Folder.list`."""
        prefix = self._path(name)
        entries = []
        for info in self._fs.ls(prefix, detail=True, refresh=True):
            base = PurePosixPath(info["name"]).name
            # Some stores list the prefix itself, as an empty object.
            if info["name"].rstrip("/") == prefix or base.startswith("."):
                continue
            is_folder = info["type"] == "directory"
            entries.append(Entry(f"{name}/{base}" if name else base, is_folder, 0 if is_folder else info["size"] or 0))
        return sorted(entries)

    def exists(self, name: str) -> bool:
        """Tell whether a file or folder of this name is there."""
        self._fs.invalidate_cache()
        return bool(self._fs.exists(self._path(name)))

    def size(self, name: str) -> int:
        """Return a file's size in bytes."""
        return int(self._fs.size(self._path(name)))

    def fingerprint(self, name: str) -> str:
        """Return what the store itself tells versions apart by, such as an ETag."""
        self._fs.invalidate_cache()
        return str(self._fs.ukey(self._path(name)))

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        # The files of fsspec lack some of what a stream can do, such as a line of at most so many bytes.
        return io.BufferedReader(self._fs.open(self._path(name), "rb"), _READ_AHEAD)

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """Collect the bytes here and upload them in one go; see `Folder.create`."""
        with tempfile.TemporaryDirectory(prefix="phi3v-data-") as folder:
            spool = Path(folder) / "upload"
            with spool.open("wb") as stream:
                yield stream
            self._fs.put_file(os.fspath(spool), self._path(name))

    def write(self, name: str, data: bytes) -> None:
        """Write a whole object at once, without a detour over the disk."""
        self._fs.pipe_file(self._path(name), data)

    def delete(self, name: str) -> None:
        """Remove an object, or all below a prefix."""
        self._fs.invalidate_cache()
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm(self._path(name), recursive=True)

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Copy the object into a temporary file, removed at the end of the block."""
        with tempfile.TemporaryDirectory(prefix="phi3v-data-") as folder:
            path = Path(folder) / PurePosixPath(name).name
            self._fs.get_file(self._path(name), os.fspath(path))
            yield path

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    # Connections do not travel between processes; the address does.
    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.address}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.address = state["address"]
        self._connect()


def _filesystem(address: str) -> tuple[AbstractFileSystem, str]:
    import fsspec

    try:
        filesystem, root = fsspec.core.url_to_fs(address)
    except ImportError as error:
        protocol = address.partition("://")[0]
        extra = {"s3": ("s3fs", "s3")}.get(protocol)
        if extra is None:
            raise UsageError(f"{address}: {error}") from error
        raise MissingDependencyError(extra[0], f"an address {protocol}://", extra[1]) from error
    except ValueError as error:
        raise UsageError(
            f"{address}: {error}; use a local path or an fsspec address such as s3://bucket/folder"
        ) from error
    return filesystem, str(root).rstrip("/")
