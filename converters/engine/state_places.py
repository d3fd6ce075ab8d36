"""Where a conversion keeps its state: on this machine's disks, or on an object store."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path, PurePosixPath
from types import TracebackType

from ...schema.errors import OutputError
from ...storage import PARTIAL, Folder, LocalFolder
from .journal import Journal
from .state import SEGMENTS, STATE, State, segment_name
from .trouble import one_line

__all__ = ["open_state"]

# A journal segment is written when it has so many bytes, or is so many seconds old.
_BYTES, _SECONDS = 1 << 18, 5.0


def open_state(out: Folder) -> State:
    """Return the state kept in a dataset folder.

    Raises:
        OutputError: on entering it: the folder cannot be written, or another run is at work there.
    """
    return _LocalState(out) if isinstance(out, LocalFolder) else _RemoteState(out)


class _LocalState(State):
    def __init__(self, out: LocalFolder) -> None:
        super().__init__(out, (out.path / STATE).absolute())
        self._root = out.path
        self._path = out.path / STATE
        self._held = contextlib.ExitStack()

    def __enter__(self) -> State:
        self._made = [path for path in (self._path, *self._path.parents) if not path.exists()]
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            lock = self._held.enter_context((self._path / "lock").open("ab"))
        except OSError as error:
            raise OutputError(
                f"{self.out.address}: cannot be written ({error.strerror}); choose another --out"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._held.close()
            raise OutputError(f"{self.out.address}: another conversion is at work here; wait for it to end") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()
        if error is not None and not (self._path / "run.json").exists():
            # It ended before it began: leave no trace of it.
            (self._path / "lock").unlink(missing_ok=True)
            for path in self._made:
                with contextlib.suppress(OSError):
                    path.rmdir()

    def journal(self, items: int) -> Journal:
        # Every image passes through this folder; empty, it would be made and removed around each of them.
        keeper = self._root / PARTIAL / "keep"
        keeper.parent.mkdir(exist_ok=True)
        keeper.touch()
        stream = self._held.enter_context((self._root / SEGMENTS / segment_name(0)).open("a+b"))
        return Journal(stream, items)


class _RemoteState(State):
    """Journal lines are collected here and written as one object now and then; a kill loses the last few seconds."""

    def __init__(self, out: Folder) -> None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        super().__init__(out, cache / "phi3v-data" / hashlib.sha256(out.address.encode()).hexdigest()[:16])
        self._held = contextlib.ExitStack()
        self._collected = bytearray()
        self._next = 0
        self._since = time.monotonic()

    def __enter__(self) -> State:
        try:
            self.out.write(f"{STATE}/probe", b"")
            self.out.delete(f"{STATE}/probe")
        except Exception as error:
            raise OutputError(
                f"{self.out.address}: cannot be written ({type(error).__name__}: {one_line(error)}); check the address "
                "and the credentials"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            if error is not None:
                # What is not kept is done again; the error that ended the run is the one to tell.
                with contextlib.suppress(Exception):
                    self._flush()

    def sweep(self) -> None:
        """Remove what the run left, here and on the store."""
        super().sweep()
        shutil.rmtree(self.work, ignore_errors=True)

    def journal(self, items: int) -> Journal:
        stream = tempfile.TemporaryFile(prefix="phi3v-data-journal-")  # noqa: SIM115 - closed on leaving the state
        self._held.enter_context(stream)
        for entry in self.out.list(SEGMENTS):
            stream.write(self.out.read(entry.name))
            self._next = int(PurePosixPath(entry.name).stem) + 1
        stream.flush()
        return Journal(stream, items, self._collect)

    def _collect(self, line: bytes) -> None:
        self._collected += line
        if len(self._collected) > _BYTES or time.monotonic() - self._since > _SECONDS:
            self._flush()

    def _flush(self) -> None:
        if self._collected:
            self.out.write(f"{SEGMENTS}/{segment_name(self._next)}", bytes(self._collected))
            self._next += 1
            self._collected.clear()
        self._since = time.monotonic()
