"""A folder of files, on this machine or on an object store, under one small interface.

Names are relative, use `/` and never leave the folder. Everything written is written whole or not at all: a file
appears under its name only when it is complete.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import unicodedata
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from .errors import InputError, MissingDependencyError, UsageError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = [
    "PARTIAL",
    "Entry",
    "Folder",
    "LocalFolder",
    "RemoteFolder",
    "check_readable",
    "is_remote",
    "name_key",
    "open_folder",
]

# Files under way, in a folder of their own so that a killed run leaves its debris in one place.
PARTIAL = ".partial"


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
        """Open a file for reading."""

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


class RemoteFolder(Folder):
    """A folder on an object store, through fsspec. Stores write objects whole, so nothing partial is ever seen."""

    def __init__(self, address: str) -> None:
        super().__init__(address.rstrip("/"))
        self._connect()

    def _connect(self) -> None:
        self._fs: AbstractFileSystem
        self._fs, self._root = _filesystem(self.address)

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
        stream: IO[bytes] = self._fs.open(self._path(name), "rb")
        return stream

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


def name_key(name: str) -> str:
    """Fold a name so that two get the same key where some file system takes them for one (case, Unicode form)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_remote(address: str | os.PathLike[str]) -> bool:
    """Tell whether an address is an fsspec one (`s3://...`) rather than a local path."""
    text = os.fspath(address)
    return "://" in text and not text.startswith("file://")


def open_folder(address: str | os.PathLike[str]) -> Folder:
    """Return the folder at a local path or an fsspec address.

    Raises:
        UsageError: fsspec knows no such protocol.
        MissingDependencyError: the protocol's package is not installed.
    """
    text = os.fspath(address)
    if is_remote(text):
        return RemoteFolder(text)
    return LocalFolder(text.removeprefix("file://"))


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


def check_readable(folder: Folder) -> None:
    """Make sure a folder is there and can be listed.

    Raises:
        InputError: it is missing, no folder, or not readable.
    """
    try:
        folder.list()
    except FileNotFoundError:
        raise InputError(f"{folder.address}: no such folder") from None
    except NotADirectoryError:
        raise InputError(f"{folder.address}: a file; a folder was expected") from None
    except PermissionError:
        raise InputError(f"{folder.address}: permission denied; make it readable") from None
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise InputError(f"{folder.address}: no such folder") from None
        raise InputError(f"{folder.address}: cannot be listed ({error})") from error
