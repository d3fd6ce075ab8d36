"""One run at a time on an address of an object store: a lock object that names its owner, who renews it.

The object is JSON::

    {"owner": "6f3c...", "process": {"host": "node-1", "pid": 4711, "file": "phi3v-data-lock-x1"}, "renewals": 12}

Who finds it there watches it for one lease. If it changes, its owner is alive; if not, the owner is gone and the lock
is taken over. Nothing depends on what time it is: clocks of machines differ. An owner on this machine whose process has
ended is gone at once, which the system tells by a file lock: a run that was killed, or that could not release its lock,
is resumed without a wait.

Two that start at one moment are told apart by the store, which writes the object only where there is none. Not every
store does: some write whatever the condition says. This is tried after the lock is written, at the cost of one request;
where the condition does not hold, the run looks again after a pause, and the last writer is the owner. A write that
takes longer than the pause is noticed by the next renewal, after a quarter of a lease: then the earlier run stops.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..schema.errors import ConversionStopped, OutputError
from .folder import LocalFolder
from .outage import one_line
from .remote import RemoteFolder

_log = logging.getLogger(__name__)

# How often in a lease it is renewed, and how often a foreign one is looked at.
_RENEWALS, _LOOKS = 4, 12
# What the name of the file starts with that an owner keeps locked.
_HELD = "phi3v-data-lock-"


class _Process(msgspec.Struct, frozen=True):
    host: str
    pid: int
    file: str = ""  # a temporary one there that it keeps locked


class _Lease(msgspec.Struct, frozen=True):
    owner: str
    process: _Process
    renewals: int = 0


class StoreLock:
    """The lock of a folder on an object store. A context manager; a thread renews the lease while it is held.

    A lock that nobody renews is free after `lease` seconds; `wait` pauses for so many while a foreign one is watched.

    Raises:
        OutputError: on entering: another run owns it and is alive.
    """

    def __init__(
        self, folder: RemoteFolder, name: str, *, lease: float = 60.0, wait: Callable[[float], object] = time.sleep
    ) -> None:
        self._folder, self._name, self._seconds, self._wait = folder, name, lease, wait
        self._version: str | None = None
        self._is_conditional = True
        self._ended = threading.Event()
        self._lost = ""
        self._renewing = threading.Thread(target=self._renew_until_released, daemon=True)

    def __enter__(self) -> StoreLock:
        # Locked as long as this run goes on, whatever ends it.
        self._descriptor, held = tempfile.mkstemp(prefix=_HELD)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._held = Path(held)
        self._lease = _Lease(uuid.uuid4().hex, _Process(socket.gethostname(), os.getpid(), self._held.name))
        try:
            while not self._take():
                pass
        except BaseException:
            self._held.unlink(missing_ok=True)
            os.close(self._descriptor)
            raise
        self._renewing.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._renewing.join()
        try:
            if self._is_ours():
                self._folder.delete(self._name)
            self._held.unlink(missing_ok=True)
        except Exception as failure:  # noqa: BLE001 - whatever the client raises
            # A store that is away keeps the lock; a later run on this machine sees by the file that this one has ended.
            _log.info("the lock stays on the store (%s)", one_line(failure))
        os.close(self._descriptor)

    def check(self) -> None:
        """Raise ConversionStopped where the lease could not be renewed in time, or another run has taken over."""
        if self._lost:
            raise ConversionStopped(f"{self._folder.address}: {self._lost}; rerun: progress is kept")

    def regain(self) -> bool:
        """Write the lock object again if somebody removed it; tell whether it is this run's; see `check`."""
        self.check()
        return self._is_ours() or (self._folder.version(self._name) is None and self._write(None))

    def _take(self) -> bool:
        """Try once to become the owner; False where the lock changed hands meanwhile."""
        version = self._folder.version(self._name)
        if version is not None:
            found = self._read()
            if found is None or not _has_ended(found.process):
                self._watch(version, found)
            _log.info("taking over the lock of a run that has ended (%s)", _described(found))
        if not self._write(version):
            return False
        self._is_conditional = self._folder.refuses_to_overwrite(self._name, msgspec.json.encode(self._lease))
        if not self._is_conditional:
            pause = self._seconds / _LOOKS
            _log.info("this store does not tell two writers apart; looking again in %.0f s", pause)
            self._wait(pause)
        self._version = self._folder.version(self._name)
        return self._version is not None and self._is_ours()

    def _write(self, version: str | None) -> bool:
        """Write the lease in place of a version of the object; tell whether it is there."""
        # The answer to a write may be lost and the write be repeated, so that our own object is in its way.
        return self._folder.replace(self._name, msgspec.json.encode(self._lease), version) or self._is_ours()

    def _watch(self, version: str, found: _Lease | None) -> None:
        _log.info("waiting up to %.0f s to see whether the run that locked this address is alive", self._seconds)
        for _ in range(_LOOKS):
            self._wait(self._seconds / _LOOKS)
            now = self._folder.version(self._name)
            if now is None:
                return
            if now != version:
                raise OutputError(
                    f"{self._folder.address}: another run is at work here ({_described(found)}); wait for it to end, "
                    "or choose another --out"
                )

    def _read(self) -> _Lease | None:
        """Return who owns the lock; None where nobody does, or where it is not known."""
        try:
            return msgspec.json.decode(self._folder.read(self._name), type=_Lease)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _is_ours(self) -> bool:
        found = self._read()
        return found is not None and found.owner == self._lease.owner

    def _renew_until_released(self) -> None:
        renewed = time.monotonic()
        while not self._lost and not self._ended.wait(self._seconds / _RENEWALS):
            try:
                self._lease = msgspec.structs.replace(self._lease, renewals=self._lease.renewals + 1)
                if (self._is_conditional or self.regain()) and (self._write(self._version) or self.regain()):
                    renewed, self._version = time.monotonic(), self._folder.version(self._name)
                else:
                    self._lost = f"another run has taken over this address ({_described(self._read())})"
            except Exception as error:  # noqa: BLE001 - whatever the client raises, it is tried again until the lease ends
                if time.monotonic() - renewed > self._seconds:
                    self._lost = f"the lock could not be renewed for {self._seconds:.0f} s ({one_line(error)})"


def _described(lease: _Lease | None) -> str:
    return f"process {lease.process.pid} on {lease.process.host}" if lease is not None else "its owner is unknown"


def _has_ended(process: _Process) -> bool:
    """Tell whether a process of this machine has ended: nobody locks its file; False where that is not known."""
    # The object may be anybody's: what it names is looked for among the temporary files, and only looked at.
    if process.host != socket.gethostname() or not process.file.startswith(_HELD):
        return False
    try:
        with LocalFolder(tempfile.gettempdir()).open(process.file) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
