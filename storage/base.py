"""The interface of a folder, wherever it lies."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

__all__ = ["Entry", "Folder", "check_name", "name_key"]


class Entry(NamedTuple):
    """One thing directly inside a folder: its name relative to the root, whether it is a folder, its size in bytes."""

    name: str
    is_folder: bool
    size: int


class Folder(ABC):
    """A folder of files.

    Args:
        address: a local path, or an fsspec address such as `s3://bucket/prefix`.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    @abstractmethod
    def list(self, name: str = "") -> list[Entry]:
        """Return what lies directly inside `name`, sorted by name; hidden entries (leading dot) are left out."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Tell whether a file or folder of this name is there."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Return a file's size in bytes; FileNotFoundError where there is none."""

    @abstractmethod
    def fingerprint(self, name: str) -> str:
        """Return what changes when a file does, without reading it; FileNotFoundError where there is none."""

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading; OSError where it is not a regular file, or its name leaves the folder."""

    @abstractmethod
    def create(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Open a new file for writing; it appears on leaving the block, and never if the block raises."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove a file, or a folder with all it holds; nothing happens where there is none."""

    @abstractmethod
    def local(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """Give the file a path on this machine for the length of the block (a remote one is copied here)."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        with self.open(name) as stream:
            return stream.read()

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file at once."""
        with self.create(name) as stream:
            stream.write(data)

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of a file's bytes, in hex."""
        digest = hashlib.sha256()
        with self.open(name) as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()

    def files(self, name: str = "") -> Iterator[Entry]:
        """Yield every file below `name`, depth first, in the order of `list`."""
        for entry in self.list(name):
            if entry.is_folder:
                yield from self.files(entry.name)
            else:
                yield entry

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"


def check_name(name: str) -> str:
    """Return a name that stays inside its folder.

    Raises:
        OSError: the name is absolute, has a part `..` or a zero byte.
    """
    if name.startswith("/") or "\0" in name or (".." in name and ".." in name.split("/")):
        raise OSError(errno.EINVAL, "the name leads out of the folder", name)
    return name


def name_key(name: str) -> str:
    """Return a key that two names share where some file system takes them for one (case, Unicode form)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
