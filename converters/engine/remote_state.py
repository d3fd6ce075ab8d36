"""The state of a conversion on an object store."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from pathlib import PurePosixPath
from typing import IO

from ...storage import RemoteFolder, check_writable, user_cache
from ...storage.lock import StoreLock
from .state import SEGMENTS, STATE, Phase, State

__all__ = ["RemoteState"]

_LOCK = f"{STATE}/lock"
# A segment of the journal is written when it has so many bytes, or is so many seconds old.
_BYTES, _SECONDS = 1 << 18, 5.0


class RemoteState(State):
    """A state on an object store. Journal lines are collected and written as one object now and then.

    A kill loses the lines of the last few seconds, whose items are done again.

    Raises:
        OutputError: on entering it: the address cannot be written, or another run is at work there.
    """

    def __init__(self, out: RemoteFolder) -> None:
        super().__init__(out, user_cache(hashlib.sha256(out.address.encode()).hexdigest()[:16]))
        self._lock = StoreLock(out, _LOCK)
        self._collected = bytearray()
        self._next = 0
        self._since = time.monotonic()

    def __enter__(self) -> State:
        check_writable(self.out)
        self._held.enter_context(self._lock)
        return self

    def _is_kept(self) -> bool:
        self._flush()
        self._lock.check()
        return self._running is None or self.phase() is Phase.CONVERTING

    def _restore(self) -> None:
        if self._lock.regain():
            super()._restore()

    def sweep(self) -> None:
        """Remove what the run left, here and on the store; the lock stays until the state is left."""
        for entry in self.out.list(STATE):
            if entry.name != _LOCK:
                self.out.delete(entry.name)
        shutil.rmtree(self.work, ignore_errors=True)

    def _open_stream(self) -> IO[bytes]:
        stream = tempfile.TemporaryFile(prefix="phi3v-data-journal-")  # noqa: SIM115 - closed on leaving the state
        for entry in self.out.list(SEGMENTS):
            stream.write(self.out.read(entry.name))
            self._next = int(PurePosixPath(entry.name).stem) + 1
        stream.flush()
        return stream

    def _on_line(self, line: bytes) -> None:
        self._collected += line
        if len(self._collected) > _BYTES or time.monotonic() - self._since > _SECONDS:
            self.check_kept()

    def _flush(self) -> None:
        if self._collected:
            self._lock.check()
            self.out.write(f"{SEGMENTS}/{self._next:06d}.jsonl", bytes(self._collected))
            self._next += 1
            self._collected.clear()
        self._since = time.monotonic()
