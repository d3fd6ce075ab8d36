"""A folder on an object store."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from ..schema.errors import UsageError
from .base import Entry, Folder, check_name
from .connection import connect

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["RemoteFolder"]

_READ_AHEAD = 1 << 16
# What botocore raises where it finds no way to sign a request.
_CREDENTIALS = {
    "CredentialRetrievalError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "SSOTokenLoadError",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
}


class RemoteFolder(Folder):
    """A folder on an object store, through fsspec. Stores write objects whole, so nothing partial is ever seen."""

    def __init__(self, address: str) -> None:
        super().__init__(address.rstrip("/"))
        self._connect()

    def list(self, name: str = "") -> list[Entry]:
        """Return what lies directly inside `name`; see `Folder.list`."""
        prefix = self._path(name)
        entries = []
        for info in self._call("ls", prefix, detail=True, refresh=True):
            base = PurePosixPath(info["name"]).name
            # Some stores list the prefix itself, as an empty object.
            if info["name"].rstrip("/") == prefix or base.startswith("."):
                continue
            is_folder = info["type"] == "directory"
            entries.append(Entry(f"{name}/{base}" if name else base, is_folder, 0 if is_folder else info["size"] or 0))
        return sorted(entries)

    def exists(self, name: str) -> bool:
        """Tell whether a file or folder of this name is there."""
        self._call("invalidate_cache")
        return bool(self._call("exists", self._path(name)))

    def size(self, name: str) -> int:
        """Return a file's size in bytes."""
        return int(self._call("size", self._path(name)))

    def fingerprint(self, name: str) -> str:
        """Return what the store itself tells versions apart by, such as an ETag."""
        self._call("invalidate_cache")
        return str(self._call("ukey", self._path(name)))

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading; see `Folder.open`."""
        # The files of fsspec lack some of what a stream can do, such as a line of at most so many bytes.
        return io.BufferedReader(self._call("open", self._path(name), "rb"), _READ_AHEAD)

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """Collect the bytes on this machine and upload them in one go; see `Folder.create`."""
        with tempfile.TemporaryDirectory(prefix="phi3v-data-") as folder:
            spool = Path(folder) / "upload"
            with spool.open("wb") as stream:
                yield stream
            self._call("put_file", os.fspath(spool), self._path(name))

    def write(self, name: str, data: bytes) -> None:
        """Write a whole object at once, without a file on this machine."""
        self._call("pipe_file", self._path(name), data)

    def write_new(self, name: str, data: bytes) -> bool:
        """Write an object where there is none, in one step; return whether it was written."""
        try:
            self._call("pipe_file", self._path(name), data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            if _error_code(error) != "NotImplemented":
                raise
            return self.version(name) is None and self._write(name, data)
        return True

    def refuses_to_overwrite(self, name: str, data: bytes) -> bool:
        """Tell whether `write_new` compares and writes in one step here, by trying it on an object that is there.

        Args:
            name: an object that is there.
            data: its bytes, for a store that writes them again.
        """
        if not self.address.startswith("s3://"):
            return False  # fsspec looks first and writes then
        try:
            self._call("pipe_file", self._path(name), data, mode="create")
        except FileExistsError:
            return True
        except OSError as error:
            if _error_code(error) != "NotImplemented":
                raise
        return False

    def replace(self, name: str, data: bytes, version: str) -> bool:
        """Write an object where it still is the given version; return whether it was written.

        Not every store compares and writes in one step (`refuses_to_overwrite`); on one that does not, two writers at
        one moment may both be told that they wrote.

        Args:
            name: the object.
            data: its new bytes.
            version: what `version` returned.
        """
        if self.address.startswith("s3://"):
            try:
                self._call("pipe_file", self._path(name), data, IfMatch=version)
            except FileNotFoundError:
                return False
            except OSError as error:
                code = _error_code(error)
                if code in {"PreconditionFailed", "ConditionalRequestConflict"}:
                    return False
                if code != "NotImplemented":
                    raise
            else:
                return True
        return self.version(name) == version and self._write(name, data)

    def _write(self, name: str, data: bytes) -> bool:
        self.write(name, data)
        return True

    def version(self, name: str) -> str | None:
        """Return what `replace` compares; None where there is no object."""
        self._call("invalidate_cache")
        try:
            info = self._call("info", self._path(name))
        except FileNotFoundError:
            return None
        return str(info["ETag"]) if "ETag" in info else self.fingerprint(name)

    def delete(self, name: str) -> None:
        """Remove an object, or all below a prefix."""
        self._call("invalidate_cache")
        with contextlib.suppress(FileNotFoundError):
            self._call("rm", self._path(name), recursive=True)

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Copy the object into a temporary file, removed at the end of the block."""
        with tempfile.TemporaryDirectory(prefix="phi3v-data-") as folder:
            path = Path(folder) / PurePosixPath(name).name
            self._call("get_file", self._path(name), os.fspath(path))
            yield path

    def _path(self, name: str) -> str:
        return f"{self._root}/{check_name(name)}" if name else self._root

    def _connect(self) -> None:
        self._filesystem: AbstractFileSystem
        self._filesystem, self._root = connect(self.address)
        self._process = os.getpid()

    def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        # A connection does not survive a fork: a child makes its own.
        if self._process != os.getpid():
            self._connect()
        try:
            return getattr(self._filesystem, method)(*arguments, **options)
        except Exception as error:
            if type(error).__name__ not in _CREDENTIALS:
                raise
            raise UsageError(
                f"{self.address}: no credentials for this store ({error}); set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or name a profile in AWS_PROFILE"
            ) from None

    # Connections do not travel between processes; the address does.
    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.address}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.address = state["address"]
        self._connect()


def _error_code(error: OSError) -> str:
    """Return the code that S3 answered with, "" where it did not."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
