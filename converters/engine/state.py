"""What a conversion under way keeps beside its output, in `<out>/.convert/`.

::

    run.json            the settings, the input and the plan's digest; while it is there, the dataset is not finished
    journal/000000.jsonl  what is settled; on an object store, more segments follow
    images/             with --no-images: the pictures on their way into the shards
    lock                held while a run is at work (this machine's disks only)

A finished dataset has no such folder: its records and its quarantine.jsonl say all that the journal said, and a retry
makes the journal from them.
"""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import msgspec

from ...schema.errors import DatasetError, OutputError
from ...schema.folder import PARTIAL, Folder, LocalFolder
from ...schema.layout import IMAGES, MANIFEST, QUARANTINE, SHARDS
from . import faults
from .journal import Journal
from .messages import encode
from .settings import Settings

__all__ = ["STAGING", "Header", "State", "open_state", "stale_records"]

STATE = ".convert"
STAGING = f"{STATE}/{IMAGES}"
_HEADER = f"{STATE}/run.json"
_SEGMENTS = f"{STATE}/journal"
_FORMAT = 1


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """`run.json`: what the run under way makes of what.

    Args:
        settings: what shapes the output.
        input: the raw data's address, as given.
        plan: the plan's digest.
        stale: files of an earlier dataset here that are to be removed before the work begins.
    """

    settings: Settings
    input: str
    plan: str
    stale: list[str] = []
    format: int = _FORMAT

    def differences(self, earlier: Header) -> list[str]:
        """Say what differs from what an earlier run made, one phrase a difference."""
        found = self.settings.differences(earlier.settings)
        if self.input != earlier.input:
            found.append(f"input {earlier.input} -> {self.input}")
        elif not found and self.plan != earlier.plan:
            found.append("the input no longer holds the same samples")
        return found


class State(ABC):
    """The state of a conversion in one dataset folder. A context manager: leaving it gives the folder free.

    Args:
        out: the dataset folder.
    """

    def __init__(self, out: Folder) -> None:
        self.out = out

    @abstractmethod
    def __enter__(self) -> State: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @abstractmethod
    def journal(self, items: int) -> Journal:
        """Open the journal for a plan of so many items."""

    @abstractmethod
    def flush(self) -> None:
        """Make sure that all that was noted is kept."""

    def header(self) -> Header | None:
        """Read what the unfinished run here makes; None where there is none."""
        try:
            data = self.out.read(_HEADER)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            header = msgspec.json.decode(data, type=Header)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DatasetError(f"{self.out.address}/{_HEADER}: damaged ({error}); remove {STATE}") from error
        if header.format != _FORMAT:
            raise DatasetError(
                f"{self.out.address}: an unfinished run of another version of phi3v-data; finish it with that one, "
                f"or begin again with --restart"
            )
        return header

    def begin(self, header: Header, noted: Iterable[bytes] | None = None) -> None:
        """Make the folder that of a new run.

        Args:
            header: what it makes.
            noted: lines the journal starts with, for a run that goes on from a finished dataset; None removes all
                that an earlier dataset left.
        """
        if noted is not None:
            self._create_journal(noted)
        else:
            self.out.delete(_SEGMENTS)
        with self.out.create(_HEADER) as stream:
            faults.write(stream, encode(header), "header-half-written")
        faults.point("header-written")
        if noted is None:
            self.clear(header)

    @property
    def cleared(self) -> bool:
        """Whether what an earlier dataset left is gone, so that work may begin."""
        return self.out.exists(f"{_SEGMENTS}/{_segment(0)}")

    def clear(self, header: Header) -> None:
        """Remove what an earlier dataset left; killed half-way, it is done again."""
        for name in (MANIFEST, QUARANTINE, *header.stale, SHARDS, IMAGES, STAGING, PARTIAL):
            self.out.delete(name)
        self._create_journal(())
        faults.point("journal-created")

    def _create_journal(self, noted: Iterable[bytes]) -> None:
        self.out.delete(_SEGMENTS)
        with self.out.create(f"{_SEGMENTS}/{_segment(0)}") as stream:
            stream.writelines(noted)

    def finish(self) -> None:
        """Declare the dataset finished: the header goes first, the rest is debris."""
        self.out.delete(_HEADER)
        faults.point("state-half-removed")
        self.sweep()
        faults.point("state-removed")

    def sweep(self) -> None:
        """Remove what killed runs left of their state and of files half written."""
        self.out.delete(PARTIAL)
        self.out.delete(STATE)


def _segment(number: int) -> str:
    return f"{number:06d}.jsonl"


class _LocalState(State):
    def __init__(self, out: LocalFolder) -> None:
        super().__init__(out)
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
        stream = self._held.enter_context((self._path.parent / _SEGMENTS / _segment(0)).open("a+b"))
        return Journal(stream, items)

    def flush(self) -> None:
        """Nothing waits here: every line is written as it comes."""


class _RemoteState(State):
    """Journal lines are collected here and written as one object now and then; a kill loses the last few seconds."""

    _BYTES, _SECONDS = 1 << 18, 5.0

    def __init__(self, out: Folder) -> None:
        super().__init__(out)
        self._held = contextlib.ExitStack()
        self._collected: list[bytes] = []
        self._next = 0
        self._since = time.monotonic()

    def __enter__(self) -> State:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def journal(self, items: int) -> Journal:
        stream = tempfile.TemporaryFile(prefix="phi3v-data-journal-")
        self._held.enter_context(stream)
        for entry in self.out.list(_SEGMENTS):
            stream.write(self.out.read(entry.name))
            self._next = int(Path(entry.name).stem) + 1
        stream.flush()
        return Journal(stream, items, self._collect)

    def _collect(self, line: bytes) -> None:
        self._collected.append(line)
        waited = time.monotonic() - self._since
        if waited > self._SECONDS or sum(map(len, self._collected)) > self._BYTES:
            self.flush()

    def flush(self) -> None:
        if self._collected:
            self.out.write(f"{_SEGMENTS}/{_segment(self._next)}", b"".join(self._collected))
            self._next += 1
            self._collected.clear()
        self._since = time.monotonic()


def open_state(out: Folder) -> State:
    """Return the state kept in a dataset folder.

    Raises:
        OutputError: on entering it: the folder cannot be written, or another run is at work there.
    """
    return _LocalState(out) if isinstance(out, LocalFolder) else _RemoteState(out)


def stale_records(out: Folder, source: str) -> Iterator[str]:
    """Name the record files that an earlier conversion of a source left in a folder."""
    for entry in out.list():
        if entry.name.startswith(f"{source}_") and entry.name.endswith(".jsonl"):
            yield entry.name
