"""A folder on an object store; from an address to its folder."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ..schema.errors import MissingDependencyError, UsageError
from .folder import Entry, Folder, LocalFolder, check_name

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
    return RemoteFolder(text) if is_remote(text) else LocalFolder(text.removeprefix("file://"))


class RemoteFolder(Folder):
    """A folder on an object store, through fsspec. Stores write objects whole, so nothing partial is ever seen."""

    def __init__(self, address: str) -> None:
        super().__init__(address.rstrip("/"))
        self._is_s3 = address.startswith("s3://")
        self._connect()

    def list(self, name: str = "") -> list[Entry]:
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
        return bool(self._call("exists", self._path(name), fresh=True))

    def size(self, name: str) -> int:
        return int(self._call("size", self._path(name)))

    def fingerprint(self, name: str) -> str:
        info = self._call("info", self._path(name), fresh=True)
        return str(info["ETag"] if "ETag" in info else self._call("ukey", self._path(name)))

    def open(self, name: str) -> IO[bytes]:
        # The files of fsspec lack some of what a stream can do, such as a line of at most so many bytes.
        return io.BufferedReader(self._call("open", self._path(name), "rb"), _READ_AHEAD)

    def read(self, name: str) -> bytes:
        """Return an object's bytes, in one request: it may be replaced by a shorter one at any moment."""
        return bytes(self._call("cat_file", self._path(name)))

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

    def version(self, name: str) -> str | None:
        """Return what `replace` compares; None where there is no object."""
        with contextlib.suppress(FileNotFoundError):
            return self.fingerprint(name)
        return None

    def replace(self, name: str, data: bytes, version: str | None) -> bool:
        """Write an object where it still has a version, or still is not there (None); return whether it was written.

        Not every store compares and writes in one step (`refuses_to_overwrite`); on one that does not, two writers at
        one moment may both be told that they wrote.
        """
        written = self._write_where(name, data, version) if self._is_s3 or version is None else None
        if written is None and (written := self.version(name) == version):
            self.write(name, data)
        return bool(written)

    def refuses_to_overwrite(self, name: str, data: bytes) -> bool:
        """Tell whether `replace` compares and writes in one step here; tried on an object, with the bytes it has."""
        # Other clients of fsspec look first and write then.
        return self._is_s3 and self._write_where(name, data, None) is False

    def _write_where(self, name: str, data: bytes, version: str | None) -> bool | None:
        """Write as `replace` does, in one step; None where the store knows no conditions."""
        condition: dict[str, Any] = {"mode": "create"} if version is None else {"IfMatch": version}
        try:
            self._call("pipe_file", self._path(name), data, **condition)
        except OSError as error:
            # The code that S3 answered with, where it did.
            answer = getattr(error.__cause__, "response", None) or {}
            code = answer.get("Error", {}).get("Code")
            if isinstance(error, FileExistsError) or code in _REFUSALS:
                return False
            if version is not None and isinstance(error, FileNotFoundError):
                return False
            if code != "NotImplemented":
                raise
            return None
        return True

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._call("rm", self._path(name), fresh=True, recursive=True)

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="phi3v-data-") as folder:
            path = Path(folder) / PurePosixPath(name).name
            self._call("get_file", self._path(name), os.fspath(path))
            yield path

    def _path(self, name: str) -> str:
        return f"{self._root}/{check_name(name)}" if name else self._root

    def _connect(self) -> None:
        """Make a client that gives up on a store that does not answer."""
        import fsspec
        from fsspec.config import conf

        # Settings of fsspec's own configuration win over ours.
        options = {"config_kwargs": _S3 | conf.get("s3", {}).get("config_kwargs", {})} if self._is_s3 else {}
        try:
            self._client, root = fsspec.core.url_to_fs(self.address, **options)
        except ImportError as error:
            if self._is_s3:
                raise MissingDependencyError("s3fs", "an address s3://", "s3") from error
            raise UsageError(f"{self.address}: {error}") from error
        except ValueError as error:
            raise UsageError(
                f"{self.address}: {error}; use a local path or an fsspec address such as s3://bucket/folder"
            ) from error
        if self._is_s3:
            self._client.retries = _ATTEMPTS
        self._root, self._process = str(root).rstrip("/"), os.getpid()

    def _call(self, method: str, *arguments: Any, fresh: bool = False, **options: Any) -> Any:
        # A connection does not survive a fork: a child makes its own.
        if self._process != os.getpid():
            self._connect()
        if fresh:
            self._client.invalidate_cache()
        try:
            return getattr(self._client, method)(*arguments, **options)
        except Exception as error:
            if type(error).__name__ not in _CREDENTIALS:
                raise
            raise UsageError(
                f"{self.address}: no credentials for this store ({error}); set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or name a profile in AWS_PROFILE"
            ) from None

    # Connections do not travel between processes; the address does.
    def __reduce__(self) -> tuple[type[RemoteFolder], tuple[str]]:
        return type(self), (self.address,)
