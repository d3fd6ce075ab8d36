"""What a conversion under way keeps beside its output, in `<out>/.convert/`, and what a kill leaves of it.

docs/architecture.md lists the files. Which of them are there decides where the next run resumes (`State.phase`):

========== ======== ======= ============ =======================================================================
phase      run.json journal dataset.json the next run
========== ======== ======= ============ =======================================================================
EMPTY      no       -       no           starts: `State.start`
CLEARING   yes      no      -            removes the rest of the earlier dataset, then converts: `State.clear`
CONVERTING yes      yes     - (retry)    converts what the journal does not settle, then assembles
FINISHED   no       -       yes          does what is missing or retried, if anything: `State.start_from_records`
========== ======== ======= ============ =======================================================================

Each step between two phases is one file that appears or goes whole: `run.json` is written, the first segment of the
journal is written, `run.json` is removed. What a kill leaves between them is either done again, or debris that `sweep`
removes. A finished dataset keeps no `.convert`: its records and its quarantine.jsonl hold all that the journal did.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from ...schema.errors import ConversionStopped, OutputError
from ...schema.layout import IMAGES, MANIFEST, QUARANTINE, SHARDS
from ...storage import PARTIAL, Folder, LocalFolder, RemoteFolder, check_writable, user_cache
from ...storage.lock import StoreLock
from . import fault_injection
from .header import RunHeader, decode_header, encode_header
from .journal import Journal, lines_of, read_journal

STATE = ".convert"
STAGING = f"{STATE}/{IMAGES}"
HEADER = f"{STATE}/run.json"
_SEGMENTS = f"{STATE}/journal"
_FIRST_SEGMENT = f"{_SEGMENTS}/000000.jsonl"
_LOCK = f"{STATE}/lock"
# Seconds between two looks whether the state is still there; on a store, a segment of the journal is written then.
_LOOKS, _STORE_LOOKS = 1.0, 5.0

# How far the conversion in a folder is, see above.
Phase = enum.Enum("Phase", ["EMPTY", "CLEARING", "CONVERTING", "FINISHED"])


def read_header(out: Folder) -> RunHeader | None:
    """Read what the unfinished run in a folder makes; None where there is none, DatasetError where it is damaged."""
    try:
        data = out.read(HEADER)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return decode_header(data, f"{out.address}/{HEADER}")


def state_of(out: Folder, images: str = IMAGES) -> State:
    """Return the state of the conversion in a dataset folder, whose images go to a folder in it."""
    if isinstance(out, RemoteFolder):
        return _RemoteState(out, images)
    local = LocalFolder(out.address)
    return State(local, images, (local.path / STATE).absolute(), _FolderLock(local), _LOOKS)


class State:
    """The state of a conversion in one dataset folder, on a disk, locked while a run is at work. A context manager.

    Raises:
        OutputError: on entering it: the folder cannot be written, or another run is at work there.
    """

    def __init__(self, out: Folder, images: str, work: Path, lock: _FolderLock | StoreLock, looks: float) -> None:
        self.out, self.images = out, images
        self.work = work  # a folder on this machine that outlives a killed run
        self._lock, self._looks, self._looked = lock, looks, time.monotonic()
        self._held = contextlib.ExitStack()
        self._running: tuple[RunHeader, IO[bytes]] | None = None  # what the run makes, and its journal

    def __enter__(self) -> State:
        check_writable(self.out)
        self._held.enter_context(self._lock)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        with self._held:
            if error is not None:
                # What is not kept is done again; the error that ended the run is the one to report.
                with contextlib.suppress(Exception):
                    self.check_kept()

    def open_journal(self, items: int, header: RunHeader) -> Journal:
        """Open the journal for a plan of so many items; from now on, the state is written again if it is removed."""
        stream = self._held.enter_context(self._open_stream())
        self._running = (header, stream)
        return Journal(stream, items, self._on_line)

    def _open_stream(self) -> IO[bytes]:
        """Open the journal's file, for reading and appending."""
        # Every image passes through this folder; empty, it would be made and removed around each of them.
        keeper = Path(self.out.address) / PARTIAL / "keep"
        keeper.parent.mkdir(exist_ok=True)
        keeper.touch()
        return (Path(self.out.address) / _FIRST_SEGMENT).open("a+b")

    def _on_line(self, line: bytes) -> None:
        """Take note of a line that was appended to the journal."""
        if time.monotonic() - self._looked > self._looks:
            self.check_kept()

    def check_kept(self) -> None:
        """Make sure that nobody removed or replaced the state while the run was at work.

        Raises:
            ConversionStopped: somebody did. What was removed is written again, unless another run is at work or has
                finished here: the next run converts what is missing.
        """
        if self._lock.regain():
            self._looked, phase = time.monotonic(), self.phase()
            if self._running is None or phase is Phase.CONVERTING:
                return
            if phase is not Phase.FINISHED:
                header, stream = self._running
                self._write_header(header)
                self._create_journal(line for line, _ in read_journal(lines_of(stream)))
        raise ConversionStopped(
            f"{self.out.address}: removed or replaced while the conversion was at work; rerun: what is missing is "
            "converted again"
        )

    def phase(self) -> Phase:
        """Return how far the conversion in the folder is."""
        if self.out.exists(HEADER):
            return Phase.CONVERTING if self.out.exists(_FIRST_SEGMENT) else Phase.CLEARING
        return Phase.FINISHED if self.out.exists(MANIFEST) else Phase.EMPTY

    def journal_lines(self) -> Iterator[bytes]:
        """Yield what the journal holds, line by line, without opening it for a run."""
        for segment in self.out.list(_SEGMENTS):
            with self.out.open(segment.name) as stream:
                yield from stream

    def start(self, header: RunHeader) -> None:
        """Start a run; whatever an earlier conversion left is removed."""
        self.out.delete(_SEGMENTS)
        self._write_header(header)
        self.clear(header)

    def start_from_records(self, header: RunHeader, journal: Iterable[bytes]) -> None:
        """Start a run with the lines of a journal from a finished dataset, whose files stay until they are replaced."""
        self._create_journal(journal)
        self._write_header(header)

    def clear(self, header: RunHeader) -> None:
        """Remove what an earlier dataset left; killed half-way, it is done again."""
        for name in (MANIFEST, QUARANTINE, *header.stale, SHARDS, IMAGES, STAGING, PARTIAL):
            self.out.delete(name)
        self._create_journal(())
        fault_injection.point("journal-created")

    def finish(self) -> None:
        """Declare the dataset finished: the header goes first, the rest is debris."""
        self.out.delete(HEADER)
        fault_injection.point("state-half-removed")
        self.sweep()
        fault_injection.point("state-removed")

    def sweep(self) -> None:
        """Remove what this run and killed ones left of their state and of files half written."""
        self.out.delete(PARTIAL)
        with contextlib.suppress(FileNotFoundError):
            for entry in self.out.list(STATE):
                if entry.name != _LOCK:  # it is removed last, or as the state is left
                    self.out.delete(entry.name)
        shutil.rmtree(self.work, ignore_errors=True)

    def _write_header(self, header: RunHeader) -> None:
        with self.out.create(HEADER) as stream:
            fault_injection.write(stream, encode_header(header), "header-half-written")
        fault_injection.point("header-written")

    def _create_journal(self, journal: Iterable[bytes]) -> None:
        self.out.delete(_SEGMENTS)
        with self.out.create(_FIRST_SEGMENT) as stream:
            stream.writelines(journal)


class _FolderLock:
    """A file that is locked while a run is at work in a folder."""

    def __init__(self, folder: LocalFolder) -> None:
        self._folder, self._path = folder, folder.path / _LOCK
        self._made: list[Path] = []
        self._files = contextlib.ExitStack()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> None:
        if not self.regain():
            raise OutputError(f"{self._folder.address}: another conversion is at work here; wait for it to end")

    def __exit__(self, *error: object) -> None:
        with self._files, contextlib.suppress(OSError):
            # Where nothing else is there, the run ended before it began: it leaves no trace.
            if self._is_held() and list(self._path.parent.iterdir()) == [self._path]:
                for remove in (self._path.unlink, *(folder.rmdir for folder in self._made)):
                    remove()

    def regain(self) -> bool:
        """Lock the file, again where somebody removed it; tell whether the lock is this run's."""
        if self._is_held():
            return True
        self._made = [folder for folder in self._path.parents if not folder.exists()]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = self._files.enter_context(file)
        return True

    def _is_held(self) -> bool:
        try:
            return self._file is not None and os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except OSError:
            return False


class _RemoteState(State):
    """A state on an object store. A kill loses the journal's lines of the last seconds; their items are done again."""

    def __init__(self, out: RemoteFolder, images: str) -> None:
        work = user_cache(hashlib.sha256(out.address.encode()).hexdigest()[:16])
        super().__init__(out, images, work, StoreLock(out, _LOCK), _STORE_LOOKS)
        self._collected = bytearray()
        self._next = 0

    def check_kept(self) -> None:
        """Write the lines collected so far; see `State.check_kept`."""
        if self._collected and self._lock.regain():
            self.out.write(f"{_SEGMENTS}/{self._next:06d}.jsonl", bytes(self._collected))
            self._next += 1
            self._collected.clear()
        super().check_kept()

    def _open_stream(self) -> IO[bytes]:
        stream = tempfile.TemporaryFile(prefix="phi3v-data-journal-")  # noqa: SIM115 - closed on leaving the state
        stream.writelines(self.journal_lines())
        stream.flush()
        self._next = int(PurePosixPath(self.out.list(_SEGMENTS)[-1].name).stem) + 1
        return stream

    def _on_line(self, line: bytes) -> None:
        self._collected += line
        super()._on_line(line)
