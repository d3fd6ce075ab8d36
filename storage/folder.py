"""A folder of files: the interface, wherever it lies, and the one on this machine."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import unicodedata
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

# Files that are being written, in a folder of their own: what a killed run leaves lies in one place.
PARTIAL = ".partial"

_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class Entry(NamedTuple):
    """One thing directly inside a folder: its name relative to the root, whether it is a folder, its size in bytes."""

    name: str
    is_folder: bool
    size: int


class Folder(ABC):
    """A folder of files; its address is a local path, or an fsspec address such as `s3://bucket/prefix`."""

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
    """Return a name that stays inside its folder; OSError where it is absolute, has a part `..` or a zero byte."""
    if name.startswith("/") or "\0" in name or (".." in name and ".." in name.split("/")):
        raise OSError(errno.EINVAL, "the name leads out of the folder", name)
    return name


def name_key(name: str) -> str:
    """Return a key that two names share where some file system takes them for one (case, Unicode form)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def fingerprint_of(status: os.stat_result) -> str:
    """Return the fingerprint of a file on this machine."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def user_cache(name: str) -> Path:
    """Return a folder of this package in the user's cache, $XDG_CACHE_HOME or ~/.cache; it may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "phi3v-data" / name


class LocalFolder(Folder):
    """A folder on this machine. It need not exist yet; the first file written makes it.

    Only regular files are opened: reading a FIFO, a socket or a device may never end. A link that cannot be followed,
    or that leads to a folder around it, is listed as a file of no size.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(os.fspath(path))
        self.path = Path(path)
        self._partial = self.path / PARTIAL

    def list(self, name: str = "") -> list[Entry]:
        with os.scandir(self._path(name)) as entries:
            return sorted(self._entry(name, entry) for entry in entries if not entry.name.startswith("."))

    def exists(self, name: str) -> bool:
        return self._path(name).exists()

    def size(self, name: str) -> int:
        return self._path(name).stat().st_size

    def fingerprint(self, name: str) -> str:
        return fingerprint_of(self._path(name).stat())

    def open(self, name: str) -> IO[bytes]:
        return open(self._path(name), "rb", opener=_open_regular)

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """Open a new file for writing under PARTIAL, and move it to its place at the end; see `Folder.create`."""
        target, temporary = self._path(name), self._partial / uuid.uuid4().hex
        try:
            with self._open_partial(temporary) as stream:
                yield stream
            try:
                temporary.replace(target)
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            with contextlib.suppress(OSError):  # not empty: another writer is at work
                self._partial.rmdir()

    def delete(self, name: str) -> None:
        path = self._path(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        path = self._path(name)
        _check_regular(path.stat(), path)
        yield path

    def _path(self, name: str) -> Path:
        return self.path / check_name(name) if name else self.path

    def _open_partial(self, path: Path) -> IO[bytes]:
        while True:
            try:
                return path.open("xb")
            except FileNotFoundError:
                # Another writer may make the folder, or remove it while it is empty, at any moment: it is tried again.
                with contextlib.suppress(FileExistsError):
                    self._partial.mkdir(parents=True, exist_ok=True)

    def _entry(self, parent: str, entry: os.DirEntry[str]) -> Entry:
        name = f"{parent}/{entry.name}" if parent else entry.name
        try:
            if entry.is_dir() and not (entry.is_symlink() and self._is_inside(entry, parent)):
                return Entry(name, True, 0)
            # stat is asked of files only; it is most of the cost of a listing.
            return Entry(name, False, entry.stat().st_size)
        except OSError:
            # A link to nothing or to itself: whoever opens it gets the error.
            return Entry(name, False, 0)

    def _is_inside(self, link: os.DirEntry[str], parent: str) -> bool:
        """Tell whether a link to a folder was reached through that folder, so that a walk would never end."""
        here = self.path.absolute() / parent
        return any(folder.samefile(link.path) for folder in (here, *here.parents))


def _open_regular(path: str, flags: int) -> int:
    # Without O_NONBLOCK the opening of a FIFO waits for its other end.
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        _check_regular(Path(path).stat(), path)  # a socket cannot even be opened
        raise
    try:
        _check_regular(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(found: os.stat_result, path: str | os.PathLike[str]) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind in _KINDS:
        raise OSError(errno.EINVAL, f"{_KINDS[kind]}, not a regular file", os.fspath(path))
