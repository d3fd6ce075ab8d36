"""What a conversion under way keeps beside its output, in `<out>/.convert/`, and what a kill leaves of it.

::

    run.json            the settings, the input and the plan's digest
    journal/000000.jsonl  what is settled; on an object store, more segments follow
    images/             with --no-images: the images on their way into the shards
    input-*/            the raw data, where it came as an archive
    lock                held while a run is at work

Which of the files are there decides where the next run resumes (`State.phase`):

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
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from ...schema.errors import ConversionStopped, OutputError
from ...schema.layout import IMAGES, MANIFEST, QUARANTINE, SHARDS
from ...storage import PARTIAL, Folder, LocalFolder, check_writable
from . import fault_injection
from .journal import Journal, lines_of
from .settings import RunHeader, decode_header, encode_header

__all__ = ["HEADER", "SEGMENTS", "STAGING", "STATE", "LocalState", "Phase", "State", "read_header"]

STATE = ".convert"
STAGING = f"{STATE}/{IMAGES}"
HEADER = f"{STATE}/run.json"
SEGMENTS = f"{STATE}/journal"
_FIRST_SEGMENT = f"{SEGMENTS}/000000.jsonl"
# Seconds between two looks whether the state is still there.
_LOOKS = 1.0


class Phase(enum.Enum):
    """How far the conversion in a folder is, see the module's text."""

    EMPTY = "empty"
    CLEARING = "clearing"
    CONVERTING = "converting"
    FINISHED = "finished"


def read_header(out: Folder) -> RunHeader | None:
    """Read what the unfinished run in a folder makes; None where there is none.

    Raises:
        DatasetError: the header is damaged, or of another version.
    """
    try:
        data = out.read(HEADER)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return decode_header(data, f"{out.address}/{HEADER}")


class State(ABC):
    """The state of a conversion in one dataset folder. A context manager: leaving it gives the folder free.

    Args:
        out: the dataset folder.
        work: a folder on this machine that outlives a killed run.
    """

    def __init__(self, out: Folder, work: Path) -> None:
        self.out = out
        self.work = work
        self._held = contextlib.ExitStack()
        self._running: tuple[RunHeader, IO[bytes]] | None = None  # what the run makes, and its journal

    @abstractmethod
    def __enter__(self) -> State: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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

    @abstractmethod
    def _open_stream(self) -> IO[bytes]:
        """Open the journal's file, for reading and appending."""

    @abstractmethod
    def _on_line(self, line: bytes) -> None:
        """Take note of a line that was appended to the journal."""

    @abstractmethod
    def _is_kept(self) -> bool:
        """Tell whether the state is there as this run left it."""

    def check_kept(self) -> None:
        """Make sure that nobody removed or replaced the state while the run was at work.

        Raises:
            ConversionStopped: somebody did. What was removed is written again: the next run converts what is missing.
        """
        if not self._is_kept():
            self._restore()
            raise ConversionStopped(
                f"{self.out.address}: removed or replaced while the conversion was at work; rerun: what is missing is "
                "converted again"
            )

    def _restore(self) -> None:
        """Write header and journal again, unless another run is at work or has finished here."""
        if self._running is not None and self.phase() in (Phase.EMPTY, Phase.CLEARING):
            header, stream = self._running
            self._write_header(header)
            self._create_journal(line for line in lines_of(stream) if line.endswith(b"\n"))

    def phase(self) -> Phase:
        """Return how far the conversion in the folder is."""
        if self.out.exists(HEADER):
            return Phase.CONVERTING if self.out.exists(_FIRST_SEGMENT) else Phase.CLEARING
        return Phase.FINISHED if self.out.exists(MANIFEST) else Phase.EMPTY

    def journal_lines(self) -> Iterator[bytes]:
        """Yield what the journal holds, line by line, without opening it for a run."""
        for segment in self.out.list(SEGMENTS):
            with self.out.open(segment.name) as stream:
                yield from stream

    def start(self, header: RunHeader) -> None:
        """Start a run; whatever an earlier conversion left is removed."""
        self.out.delete(SEGMENTS)
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
        """Remove what killed runs left of their state and of files half written."""
        self.out.delete(PARTIAL)
        self.out.delete(STATE)

    def _write_header(self, header: RunHeader) -> None:
        with self.out.create(HEADER) as stream:
            fault_injection.write(stream, encode_header(header), "header-half-written")
        fault_injection.point("header-written")

    def _create_journal(self, journal: Iterable[bytes]) -> None:
        self.out.delete(SEGMENTS)
        with self.out.create(_FIRST_SEGMENT) as stream:
            stream.writelines(journal)


class LocalState(State):
    """A state on this machine's disks, locked while a run is at work.

    Raises:
        OutputError: on entering it: the folder cannot be written, or another run is at work there.
    """

    def __init__(self, out: LocalFolder) -> None:
        super().__init__(out, (out.path / STATE).absolute())
        self._root = out.path
        self._path = out.path / STATE
        self._looked = time.monotonic()

    def __enter__(self) -> State:
        check_writable(self.out)
        self._made = [path for path in (self._path, *self._path.parents) if not path.exists()]
        self._path.mkdir(parents=True, exist_ok=True)
        self._lock = self._held.enter_context((self._path / "lock").open("ab"))
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._held.close()
            raise OutputError(f"{self.out.address}: another conversion is at work here; wait for it to end") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if error is not None and not (self._root / HEADER).exists():
            # It ended before it began: it leaves no trace.
            for remove in ((self._path / "lock").unlink, *(folder.rmdir for folder in self._made)):
                with contextlib.suppress(OSError):
                    remove()

    def _is_kept(self) -> bool:
        return self._holds_lock() and (self._root / HEADER).exists() and (self._root / _FIRST_SEGMENT).exists()

    def _holds_lock(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._lock.fileno()), (self._path / "lock").stat())
        except OSError:
            return False

    def _restore(self) -> None:
        if self._holds_lock():
            super()._restore()
            return
        self._path.mkdir(parents=True, exist_ok=True)
        with (self._path / "lock").open("ab") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            super()._restore()

    def _on_line(self, line: bytes) -> None:
        if time.monotonic() - self._looked > _LOOKS:
            self.check_kept()
            self._looked = time.monotonic()

    def _open_stream(self) -> IO[bytes]:
        # Every image passes through this folder; empty, it would be made and removed around each of them.
        keeper = self._root / PARTIAL / "keep"
        keeper.parent.mkdir(exist_ok=True)
        keeper.touch()
        return (self._root / _FIRST_SEGMENT).open("a+b")
