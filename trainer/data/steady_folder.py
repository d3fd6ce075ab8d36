"""A dataset folder as a long run reads it: shards and records from copies on this disk, all else with retry_policy."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import IO

from ...storage import Entry, Folder
from ...storage.outage import RetryPolicy
from .shard_cache import ShardCache


class SteadyFolder(Folder):
    """Reads a folder that may be out of reach for a while, such as one on an object store.

    Args:
        source: the folder itself.
        cache: where shards and files of records are copied to.
    """

    def __init__(self, source: Folder, cache: ShardCache) -> None:
        super().__init__(source.address)
        self.source = source
        self.cache = cache
        self._versions: dict[str, str] = {}

    @property
    def _retry_policy(self) -> RetryPolicy:
        return self.cache.retry_policy

    def list(self, name: str = "") -> list[Entry]:
        """Return what lies directly inside `name`; see `Folder.list`."""
        return self._retry_policy.run(self._where(name), lambda: self.source.list(name))

    def exists(self, name: str) -> bool:
        """Tell whether a file or folder of this name is there."""
        return self._retry_policy.run(self._where(name), lambda: self.source.exists(name))

    def size(self, name: str) -> int:
        """Return a file's size in bytes."""
        return self._retry_policy.run(self._where(name), lambda: self.source.size(name))

    def fingerprint(self, name: str) -> str:
        """Return what changes when a file does; see `Folder.fingerprint`."""
        return self._retry_policy.run(self._where(name), lambda: self.source.fingerprint(name))

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading: a copy on this disk, or its bytes in memory."""
        if _is_read_in_parts(name):
            return self.cache.open(self.source, name, self._version(name))
        return io.BytesIO(self._retry_policy.run(self._where(name), lambda: self.source.read(name)))

    def fetch(self, name: str) -> None:
        """Have a file copied before it is opened; see `ShardCache.fetch`."""
        self.cache.fetch(self.source, name, self._version(name))

    def release(self, name: str) -> None:
        """Say that a file's copy is not needed soon; see `ShardCache.release`."""
        self.cache.release(self.source, name, self._version(name))

    def create(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Open a new file for writing, in the folder itself."""
        return self.source.create(name)

    def delete(self, name: str) -> None:
        """Remove a file from the folder itself."""
        self.source.delete(name)

    def local(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """Give the file a path on this machine; see `Folder.local`."""
        return self.source.local(name)

    def _version(self, name: str) -> str:
        # Asked for once: a run reads the data it began with.
        if name not in self._versions:
            self._versions[name] = self.fingerprint(name)
        return self._versions[name]

    def _where(self, name: str) -> str:
        return f"{self.address}/{name}"


def _is_read_in_parts(name: str) -> bool:
    """Tell whether a file is read a record or an image at a time, and not whole."""
    return name.endswith((".tar", ".jsonl")) and not name.endswith(".tar.index.jsonl")
