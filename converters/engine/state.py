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
FINISHED   no       -       yes          has nothing to do; retries from the records: `State.start_from_records`
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
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from ...schema.errors import ConversionStopped, OutputError
from ...schema.layout import IMAGES, MANIFEST, QUARANTINE, SHARDS
from ...storage import PARTIAL, Folder, LocalFolder
from . import fault_injection
from .journal import Journal
from .settings import RunHeader, decode_header, encode_header

__all__ = ["HEADER", "SEGMENTS", "STAGING", "STATE", "LocalState", "Phase", "State", "read_header"]

STATE = ".convert"
STAGING = f"{STATE}/{IMAGES}"
HEADER = f"{STATE}/run.json"
SEGMENTS = f"{STATE}/journal"
_FIRST_SEGMENT = f"{SEGMENTS}/000000.jsonl"
# A disk may take empty files and no bytes.
_PROBE = bytes(4096)


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

    @abstractmethod
    def __enter__(self) -> State: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @abstractmethod
    def open_journal(self, items: int) -> Journal:
        """Open the journal for a plan of so many items."""

    @abstractmethod
    def check_kept(self) -> None:
        """Make sure that nobody removed or replaced the state while the run was at work.

        Raises:
            ConversionStopped: somebody did.
        """

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

    def start_from_records(self, header: RunHeader, lines: Iterable[bytes]) -> None:
        """Start a run from a finished dataset, whose files stay until assembly replaces them.

        Args:
            header: what the run makes.
            lines: the journal of what is settled.
        """
        self._create_journal(lines)
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

    def _create_journal(self, lines: Iterable[bytes]) -> None:
        self.out.delete(SEGMENTS)
        with self.out.create(_FIRST_SEGMENT) as stream:
            stream.writelines(lines)


class LocalState(State):
    """A state on this machine's disks, locked while a run is at work.

    Raises:
        OutputError: on entering it: the folder cannot be written, or another run is at work there.
    """

    def __init__(self, out: LocalFolder) -> None:
        super().__init__(out, (out.path / STATE).absolute())
        self._root = out.path
        self._path = out.path / STATE
        self._held = contextlib.ExitStack()

    def __enter__(self) -> State:
        self._made = [path for path in (self._path, *self._path.parents) if not path.exists()]
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._lock = self._held.enter_context((self._path / "lock").open("ab"))
            probe = self._path / "probe"
            probe.write_bytes(_PROBE)
            probe.unlink()
        except OSError as error:
            self._held.close()
            self._remove_made()
            raise OutputError(
                f"{self.out.address}: cannot be written ({error.strerror}); make room or permission for it, or choose "
                "another --out"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._held.close()
            raise OutputError(f"{self.out.address}: another conversion is at work here; wait for it to end") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()
        if error is not None and not (self._root / HEADER).exists():
            self._remove_made()

    def _remove_made(self) -> None:
        # It ended before it began: it leaves no trace.
        for remove in (
            *((self._path / name).unlink for name in ("probe", "lock")),
            *(path.rmdir for path in self._made),
        ):
            with contextlib.suppress(OSError):
                remove()

    def check_kept(self) -> None:
        """Make sure that the lock and the journal are still there; see `State.check_kept`."""
        try:
            is_kept = os.path.samestat(os.fstat(self._lock.fileno()), (self._path / "lock").stat())
        except OSError:
            is_kept = False
        if not is_kept or not (self._root / _FIRST_SEGMENT).exists():
            raise ConversionStopped(
                f"{self.out.address}: removed or replaced while the conversion was at work, and its progress with it; "
                "remove what is left of it and rerun"
            )

    def open_journal(self, items: int) -> Journal:
        """Open the journal in its place; see `State.open_journal`."""
        # Every image passes through this folder; empty, it would be made and removed around each of them.
        keeper = self._root / PARTIAL / "keep"
        keeper.parent.mkdir(exist_ok=True)
        keeper.touch()
        stream = self._held.enter_context((self._root / _FIRST_SEGMENT).open("a+b"))
        return Journal(stream, items)
