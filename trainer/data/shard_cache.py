"""A bounded folder on this node's disk that holds copies of shards, shared by all of the node's processes.

A copy appears under its name only when it is complete and verified. Who fetches a shard holds its lock, so that others
wait for that copy instead of making their own; who makes room holds the lock of the whole. Both are `flock`s, which
end with the process that holds them::

    lock                    of the whole
    <key>.lock              of one shard
    <key>.partial           being fetched; as large as it is going to be, so that it counts
    <key>.tar               complete; its time of change is when it was last read, 0 once it is released
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ...schema.errors import RunError, UsageError
from ...schema.shard_index import ShardEntry, read_index
from ...storage import Folder
from ...storage.outage import RetryPolicy

_HEADER = 512
# A copy that came damaged is fetched once more; the store's own one is damaged if that is, too.
_COPIES = 2


@dataclass(frozen=True)
class ShardCache:
    """Copies of shards on this node's disk.

    Args:
        root: where they lie; made on first use.
        limit: bytes that they never exceed, copies under way included.
        retry_policy: how long a store may be away.
    """

    root: Path
    limit: int
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)

    def open(self, source: Folder, name: str, version: str) -> IO[bytes]:
        """Open a shard, which is fetched first where there is no copy of it.

        Args:
            source: the folder that has it.
            name: its name there.
            version: what changes when the shard does; a copy of another version is never taken.

        Raises:
            RunError: it cannot be had, came damaged twice, or the store was away for too long.
            UsageError: it alone is larger than the limit.
        """
        copy = self._path(source, name, version, "tar")
        while True:
            # It may be thrown away between the fetch and the opening; once open it stays readable.
            try:
                stream = copy.open("rb")
            except FileNotFoundError:
                self.fetch(source, name, version)
                continue
            # A shard that was released and is read again is needed again.
            _touch(copy, time.time_ns())
            return stream

    def fetch(self, source: Folder, name: str, version: str) -> None:
        """Make sure there is a copy of a shard; waits where another process is fetching it. See `open`."""
        copy = self._path(source, name, version, "tar")
        partial = self._path(source, name, version, "partial")
        self.root.mkdir(parents=True, exist_ok=True)
        with _locked(self._path(source, name, version, "lock")):
            if copy.exists():
                return
            damage = ""
            for _ in range(_COPIES):
                where = f"{source.address}/{name}"
                damage = self.retry_policy.run(where, lambda: self._download(source, name, partial))
                # Whoever makes room sees a file under one name, and once.
                with _locked(self.root / "lock"):
                    if not damage:
                        partial.replace(copy)
                        _touch(copy, time.time_ns())
                        return
                    partial.unlink()
        raise RunError(f"{source.address}/{name}: damaged, also when fetched again ({damage}); write the shards again")

    def release(self, source: Folder, name: str, version: str) -> None:
        """Say that a shard is not needed soon: it is the first to go when room is needed."""
        _touch(self._path(source, name, version, "tar"), 0)

    def _path(self, source: Folder, name: str, version: str, suffix: str) -> Path:
        key = hashlib.sha256(f"{source.address}/{name}\n{version}".encode()).hexdigest()[:32]
        return self.root / f"{key}.{suffix}"

    def _download(self, source: Folder, name: str, partial: Path) -> str:
        """Copy a shard to `partial`, and say what is wrong with the copy."""
        size = source.size(name)
        # A file of records has no members to verify; its index is made from the copy.
        entries = read_index(source, name) if name.endswith(".tar") else []
        while not self._reserve(partial, size):
            self.retry_policy.wait(1.0)
        with source.open(name) as remote, partial.open("r+b") as local:
            shutil.copyfileobj(remote, local, 1 << 20)
            copied = local.tell()
            if copied != size:
                return f"{copied} bytes came, {size} were announced"
            return _damage(local, size, entries)

    def _reserve(self, partial: Path, size: int) -> bool:
        """Make a file of this size, having thrown away what is needed least; False while others' copies fill all."""
        if size > self.limit:
            hint = "allow more with --set data.cache_gb, or write smaller shards with --shard-size"
            raise UsageError(f"a shard of {size:,} bytes, and {self.limit:,} for copies of shards on this disk; {hint}")
        with _locked(self.root / "lock"):
            partial.unlink(missing_ok=True)
            files = [(path, path.stat()) for path in self.root.iterdir() if path.suffix in (".tar", ".partial")]
            held = sum(status.st_size for _, status in files)
            for path, status in sorted(files, key=lambda each: each[1].st_mtime_ns):
                if held + size <= self.limit:
                    break
                if path.suffix == ".tar" or _abandoned(path):
                    path.unlink()
                    held -= status.st_size
            if held + size > self.limit:
                return False
            with partial.open("wb") as stream:
                stream.truncate(size)
            return True


def _touch(copy: Path, nanoseconds: int) -> None:
    # The system's own idea of now moves on in steps of milliseconds, in which many shards are read.
    with contextlib.suppress(FileNotFoundError):
        os.utime(copy, ns=(nanoseconds, nanoseconds))


def _damage(stream: IO[bytes], size: int, entries: list[ShardEntry]) -> str:
    """Say what is wrong with a tar: every member must lie where the index says, and be as long."""
    for entry in entries:
        for start, length in (entry.record, *entry.images):
            stream.seek(start - _HEADER)
            block = stream.read(_HEADER)
            try:
                header = tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape")
            except tarfile.HeaderError:
                return f"no member of {entry.id} begins at byte {start}"
            if header.size != length or start + length > size:
                return f"the member of {entry.id} at byte {start} has {header.size} bytes, its index says {length}"
    return ""


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # Closing alone would not do: a worker forked meanwhile holds the file, too.
            fcntl.flock(stream, fcntl.LOCK_UN)


def _abandoned(partial: Path) -> bool:
    """Tell whether whoever was fetching this has died."""
    with partial.with_suffix(".lock").open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(stream, fcntl.LOCK_UN)
        return True
