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
from .base import Entry, Folder, check_name

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["RemoteFolder"]

_READ_AHEAD = 1 << 16
# The client's own retries are off: each would wait for the timeouts again. Pauses of minutes are for `RetryPolicy`.
_S3 = {"connect_timeout": 10, "read_timeout": 30, "retries": {"total_max_attempts": 1, "mode": "standard"}}  # seconds
_REFUSALS = {"PreconditionFailed", "ConditionalRequestConflict"}
_ATTEMPTS = 3  # how often one request is sent
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
        return bool(self._call("exists", self._path(name), fresh=True))

    def size(self, name: str) -> int:
        """Return a file's size in bytes."""
        return int(self._call("size", self._path(name)))

    def fingerprint(self, name: str) -> str:
        """Return what the store itself tells versions apart by, such as an ETag."""
        return str(self._call("ukey", self._path(name), fresh=True))

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading; see `Folder.open`."""
        # The files of fsspec lack some of what a stream can do, such as a line of at most so many bytes.
        return io.BufferedReader(self._call("open", self._path(name), "rb"), _READ_AHEAD)

    def read(self, name: str) -> bytes:
        """Return an object's bytes, in one request: it may be replaced by a shorter one at any moment."""
        data: bytes = self._call("cat_file", self._path(name))
        return data

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
        written = self._write_where(name, data, mode="create")
        return self._overwrite(name, data, None) if written is None else written

    def refuses_to_overwrite(self, name: str, data: bytes) -> bool:
        """Tell whether `write_new` compares and writes in one step here, by trying it on an object that is there.

        Args:
            name: an object that is there.
            data: its bytes, for a store that writes them again.
        """
        # Other clients of fsspec look first and write then.
        return self._is_s3 and self._write_where(name, data, mode="create") is False

    def replace(self, name: str, data: bytes, version: str) -> bool:
        """Write an object where it still is the given version; return whether it was written.

        Not every store compares and writes in one step (`refuses_to_overwrite`); on one that does not, two writers at
        one moment may both be told that they wrote.

        Args:
            name: the object.
            data: its new bytes.
            version: what `version` returned.
        """
        written = self._write_where(name, data, IfMatch=version) if self._is_s3 else None
        return self._overwrite(name, data, version) if written is None else written

    def _write_where(self, name: str, data: bytes, **condition: Any) -> bool | None:
        """Write an object under a condition; return whether it holds, None where the store knows no conditions."""
        try:
            self._call("pipe_file", self._path(name), data, **condition)
        except OSError as error:
            # The code that S3 answered with, where it did.
            answer = getattr(error.__cause__, "response", None) or {}
            code = answer.get("Error", {}).get("Code")
            is_refused = isinstance(error, FileExistsError) or code in _REFUSALS
            if is_refused or (isinstance(error, FileNotFoundError) and "IfMatch" in condition):
                return False
            if code != "NotImplemented":
                raise
            return None
        return True

    def _overwrite(self, name: str, data: bytes, version: str | None) -> bool:
        if self.version(name) != version:
            return False
        self.write(name, data)
        return True

    @property
    def _is_s3(self) -> bool:
        return self.address.startswith("s3://")

    def version(self, name: str) -> str | None:
        """Return what `replace` compares; None where there is no object."""
        try:
            info = self._call("info", self._path(name), fresh=True)
        except FileNotFoundError:
            return None
        return str(info["ETag"]) if "ETag" in info else self.fingerprint(name)

    def delete(self, name: str) -> None:
        """Remove an object, or all below a prefix."""
        with contextlib.suppress(FileNotFoundError):
            self._call("rm", self._path(name), fresh=True, recursive=True)

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
        self._filesystem, self._root = _client(self.address)
        self._process = os.getpid()

    def _call(self, method: str, *arguments: Any, fresh: bool = False, **options: Any) -> Any:
        # A connection does not survive a fork: a child makes its own.
        if self._process != os.getpid():
            self._connect()
        if fresh:
            self._filesystem.invalidate_cache()
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


def _client(address: str) -> tuple[AbstractFileSystem, str]:
    """Return a client that gives up on a store that does not answer, and the folder's path in the store."""
    import fsspec
    from fsspec.config import conf

    protocol = address.partition("://")[0]
    is_s3 = protocol == "s3"
    # Settings of fsspec's own configuration win over ours.
    options = {"config_kwargs": _S3 | conf.get("s3", {}).get("config_kwargs", {})} if is_s3 else {}
    try:
        client, root = fsspec.core.url_to_fs(address, **options)
    except ImportError as error:
        if is_s3:
            raise MissingDependencyError("s3fs", "an address s3://", "s3") from error
        raise UsageError(f"{address}: {error}") from error
    except ValueError as error:
        raise UsageError(
            f"{address}: {error}; use a local path or an fsspec address such as s3://bucket/folder"
        ) from error
    if is_s3:
        client.retries = _ATTEMPTS
    return client, str(root).rstrip("/")
